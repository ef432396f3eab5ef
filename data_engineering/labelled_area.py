"""The photos of a dataset with their place, their split and the area of each class: read in parts, nothing drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from data_engineering import dataset as datasets
from data_engineering.labels import fo
from data_engineering.places import SPLITS
from quadrat import images

_PART = 200


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a dataset.

    Attributes:
        id: of its sample.
        path: of its file.
        splits: the tags of splits that it has.
        area: where it was taken, if its sample says so.
        quadrat_id: likewise.
        areas: class -> px; of masks the pixels, of polygons what their rings enclose, of boxes all of it.
    """

    id: str
    path: str
    splits: tuple[str, ...]
    area: str | None
    quadrat_id: str | None
    areas: Mapping[str, float]


def read(name: str, field: str | None) -> list[Photo]:
    """All photos of a dataset; without `field` and ``<field>_masks``, or where it is `None`, they have no areas.

    Raises:
        DatasetError: no such dataset.
    """
    dataset = datasets.load(name)
    parts = [part for part in (field, f"{field}_masks") if field and dataset.has_field(part)]
    kinds = {part: getattr(dataset.get_field(part), "document_type", None) for part in parts}
    photos = []
    with tqdm(total=dataset.count(), desc="read", unit="photo") as bar:
        for first in range(0, dataset.count(), _PART):
            some = dataset[first : first + _PART]
            photos += _photos(some, kinds)
            bar.update(len(photos) - first)
    return photos


def tag(name: str, splits: Mapping[str, str]) -> None:
    """Tag samples, by their id, with a split."""
    dataset = datasets.load(name)
    of: dict[str, list[str]] = defaultdict(list)
    for sample_id, split in splits.items():
        of[split].append(sample_id)
    for split, ids in of.items():
        dataset.select(ids).tag_samples(split)


def _photos(some: fo.DatasetView, kinds: Mapping[str, Any]) -> Iterator[Photo]:
    ids, paths, tags = some.values(["id", "filepath", "tags"])
    sizes = [_size_wh(path, *known) for path, *known in zip(paths, *_values(some, _SIZE), strict=True)] if kinds else []
    areas: list[dict[str, float]] = [defaultdict(float) for _ in ids]
    for part, kind in kinds.items():
        for amounts, found, (width, height) in zip(areas, _shares(some, part, kind), sizes, strict=True):
            for label, share in found:
                amounts[label] += share * width * height
    for row in zip(ids, paths, tags, *_values(some, ("area", "quadrat_id")), areas, strict=True):
        sample_id, path, known, area, quadrat, amounts = row
        splits = tuple(split for split in SPLITS if split in (known or ()))
        yield Photo(sample_id, path, splits, area and str(area), quadrat and str(quadrat), amounts)


_SIZE = ("metadata.width", "metadata.height")


def _values(some: fo.DatasetView, fields: tuple[str, ...]) -> list[list[Any]]:
    """The values of fields; none where the dataset lacks one."""
    return [some.values(each) if some.has_field(each) else [None] * len(some) for each in fields]


def _size_wh(path: str, width: int | None, height: int | None) -> tuple[int, int]:
    return (width, height) if width and height else images.read_size_wh(path)


def _shares(some: fo.DatasetView, part: str, kind: Any) -> Iterator[list[tuple[str, float]]]:
    """For every photo the labels of a field's shapes with their share of the photo, 0..1."""
    if kind is fo.Polylines:
        path = f"{part}.polylines"
        for labels, closed, rings in zip(
            *some.values([f"{path}.{f}" for f in ("label", "closed", "points")]), strict=True
        ):
            shapes = zip(labels or (), closed or (), rings or (), strict=True)
            yield [(label, _enclosed(each)) for label, shut, each in shapes if label and shut]
    elif kind is fo.Detections:
        path = f"{part}.detections"
        wanted = [f"{path}.{f}" for f in ("label", "bounding_box", "mask")]
        for labels, boxes, pixels in zip(*some.values(wanted), strict=True):
            shapes = zip(labels or (), boxes or (), pixels or (), strict=True)
            yield [(label, box[2] * box[3] * _filled(mask)) for label, box, mask in shapes if label]
    else:
        yield from ([] for _ in range(len(some)))


def _enclosed(rings: list[list[tuple[float, float]]]) -> float:
    """The sum of the rings' areas (shoelace): a hole counts as much as a part, which is near enough for shares."""
    total = 0.0
    for ring in rings:
        x, y = np.array(ring, np.float64).reshape(-1, 2).T
        total += 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
    return total


def _filled(mask: Any) -> float:
    return 1.0 if mask is None else float(np.count_nonzero(mask)) / max(1, np.size(mask))
