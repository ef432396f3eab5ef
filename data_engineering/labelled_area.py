"""The photos of a dataset with their place, their split and the area of each class; no photo is opened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from data_engineering import dataset as datasets
from data_engineering import drawn_fields
from data_engineering.places import SPLITS
from quadrat import drawn, masks
from quadrat.drawn import Drawn, DrawnPhoto


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a dataset.

    Attributes:
        id: of its sample.
        path: of its file.
        splits: the tags of splits that it has.
        area: where it was taken, if its sample says so.
        quadrat_id: likewise.
        areas: class -> px.
    """

    id: str
    path: str
    splits: tuple[str, ...]
    area: str | None
    quadrat_id: str | None
    areas: Mapping[str, float]


def read(name: str, field: str | None) -> list[Photo]:
    """All photos of a dataset; where it has no such field family, or that is `None`, they have no areas.

    Raises:
        DatasetError: no such dataset.
    """
    dataset = datasets.load(name)
    if field is None or not drawn_fields.there(dataset, field):
        known = [dataset.values(each) if dataset.has_field(each) else [None] * len(dataset) for each in _KNOWN]
        rows = zip(*dataset.values(["id", "filepath", "tags"]), *known, strict=True)
        return [_photo(*row, {}) for row in rows]
    photos = tqdm(drawn_fields.iter_drawn(dataset, field), desc="read", unit="photo", total=len(dataset))
    return [_of_drawn(photo) for photo in photos]


def tag(name: str, splits: Mapping[str, str]) -> None:
    """Tag samples, by their id, with a split."""
    dataset = datasets.load(name)
    of: dict[str, list[str]] = defaultdict(list)
    for sample_id, split in splits.items():
        of[split].append(sample_id)
    for split, ids in of.items():
        dataset.select(ids).tag_samples(split)


_KNOWN = ("area", "quadrat_id")


def _of_drawn(photo: DrawnPhoto) -> Photo:
    areas: dict[str, float] = defaultdict(float)
    for one in photo.drawn:
        areas[one.label] += _area_px(one)
    facts = photo.facts
    of_labels = {label: area for label, area in areas.items() if area}
    return _photo(facts["sample_id"], str(photo.path), facts["tags"], *(facts.get(each) for each in _KNOWN), of_labels)


def _photo(
    sample_id: str, path: str, tags: Sequence[str] | None, area: Any, quadrat_id: Any, areas: Mapping[str, float]
) -> Photo:
    splits = tuple(split for split in SPLITS if split in (tags or ()))
    return Photo(sample_id, path, splits, area and str(area), quadrat_id and str(quadrat_id), areas)


def _area_px(one: Drawn) -> float:
    """Of a mask the pixels, of an outline what it encloses (shoelace), of what has no inside nothing."""
    if one.mask is not None:
        return float(np.count_nonzero(one.mask))
    ring = drawn.outline(one)
    return 0.0 if ring is None else abs(masks.signed_area(ring))
