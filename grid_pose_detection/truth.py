"""What is true of photos that weights are measured on: their quadrats, each with its own scale."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid_pose_detection import folder as prepared
from quadrat import images, lattice
from quadrat.formats import shapes_json
from quadrat.frame_view import is_frame
from quadrat.layout_choice import layout_of
from quadrat.shapes import HIDDEN, Annotations, Keypoints
from quadrat.template import Template

Sample = tuple[Path, Callable[[], Annotations]]
"""A photo, and what gives what is true of it."""

LEAST_CORNERS = 3
"""So many corners of a frame fix the last one."""


@dataclass(frozen=True, slots=True, eq=False)
class Quadrat:
    """One true quadrat.

    Attributes:
        points: in the order of `layout`.
        layout: of the points.
        cell_px: float64 ``[K]``, above 0: what errors of each point are measured by, see `cells_px`.
    """

    points: Keypoints
    layout: Template
    cell_px: NDArray[np.float64]


def cells_px(points: Keypoints, layout: Template) -> NDArray[np.float64]:
    """The size of a cell at every point, in px of the photo, float64 ``[K]``.

    In a lattice: the mean way to the neighbours in its row, or to those in its column, whichever is shorter; a point
    without a neighbour in the photo has the median of the others. For the corners of a frame: the mean of its sides.

    Args:
        points: those that are hidden count for nothing.
        layout: of the points.

    Raises:
        ValueError: no two neighbours are in the photo.
    """
    seen, rc = np.asarray(points.visibility) != HIDDEN, layout.lattice_rc
    pairs = np.array([(i, j) for i, j in lattice.neighbours(rc) if seen[i] and seen[j]], np.int64).reshape(-1, 2)
    if not len(pairs):
        raise ValueError(
            f"of the quadrat {points.label!r} no two neighbouring points are in the photo: it has no scale"
        )
    lengths = np.linalg.norm(points.xy_px[pairs[:, 0]] - points.xy_px[pairs[:, 1]], axis=1)
    if is_frame(layout):
        return np.full(len(layout.names), lengths.mean())
    means = np.full((2, len(layout.names)), np.inf)
    for axis in (0, 1):
        along = rc[pairs[:, 0], axis] == rc[pairs[:, 1], axis]
        ends, ways = pairs[along].ravel(), np.repeat(lengths[along], 2)
        count = np.bincount(ends, minlength=len(seen))
        total = np.bincount(ends, ways, minlength=len(seen))
        means[axis, count > 0] = total[count > 0] / count[count > 0]
    cells = means.min(axis=0)
    known = np.isfinite(cells)
    return np.where(known, cells, np.median(cells[known]))


def quadrats(known: Annotations, layouts: Sequence[Template]) -> list[Quadrat]:
    """The quadrats of a photo that have the label of `layouts`.

    A frame of which fewer than `LEAST_CORNERS` are in the photo is left out: nobody can say where it lies, and the
    photo is to be refused as one without a quadrat.

    Raises:
        ValueError: one that is in none of `layouts`, or without scale.
    """
    found = []
    for points in known.keypoints:
        if points.label != layouts[0].label:
            continue
        layout = layout_of(points, layouts)
        if layout is None:
            raise ValueError(
                f"its {len(points.names)} points {points.label!r} are of layout "
                f"{points.attributes.get('layout', 'unknown')!r}: expected one of {[each.name for each in layouts]}"
            )
        if is_frame(layout) and np.count_nonzero(points.visibility) < LEAST_CORNERS:
            continue
        found.append(Quadrat(points, layout, cells_px(points, layout)))
    return found


def frame_of(known: Annotations) -> str:
    """The kind of frame, as the renderer names it; ``unknown`` of other photos."""
    return str(known.meta.get("frame", "unknown"))


def of_rendered(folder: Path) -> list[Sample]:
    """The photos of a folder of `data_engineering.render`, or of its ``rectified``.

    Raises:
        ValueError: there is no truth.
    """
    truths = sorted((folder / "truth").glob("*.json"))
    if not truths:
        raise ValueError(
            f"{folder / 'truth'} holds no *.json: expected a folder of `python -m data_engineering.render`"
        )
    by_stem = {photo.stem: photo for photo in images.list_photos(folder / "photos")}
    return [
        (by_stem.get(truth.stem, folder / "photos" / f"{truth.stem}.jpg"), lambda truth=truth: shapes_json.read(truth))
        for truth in truths
    ]


def of_prepared(folder: Path, split: str) -> list[Sample]:
    """The photos of a split of a folder of `grid_pose_detection.prepare`.

    Raises:
        ValueError: no such folder, or nothing in the split.
    """
    manifest = prepared.read(folder)
    if not manifest.photos.get(split):
        raise ValueError(f"{folder} has no photo in split {split!r} ({manifest.photos}): choose another --split")
    if not (folder / "truth" / split).is_dir():
        raise ValueError(f"{folder} was prepared before truth was kept: make it again, or give --rendered")
    return [
        (photo, lambda photo=photo: shapes_json.read(folder / "truth" / split / f"{photo.stem}.json"))
        for photo in prepared.photos(folder, split)
    ]


def of_fiftyone(name: str) -> Iterator[Sample]:
    """The photos of a FiftyOne dataset."""
    from data_engineering import dataset

    for photo, known in dataset.iter_annotations(name):
        yield Path(photo), lambda known=known: known
