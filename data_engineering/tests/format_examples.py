"""Photos and everything that can be drawn on them, for the tests of the formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from data_engineering.formats.collection import Collection
from quadrat import cvat_labels, images
from quadrat.drawn import Drawn, DrawnPhoto

SIZE = (160, 120)
SHARED = Path(__file__).resolve().parents[3] / "shared"
NAMES = ("1", "2", "3", "4")
SKELETON = cvat_labels.skeleton_label(
    "grid", NAMES, [[5, 5], [95, 5], [95, 95], [5, 95]], ((0, 1), (1, 2)), attributes=False
)


def photo_file(folder: Path, name: str = "a.png", size_wh: tuple[int, int] = SIZE) -> Path:
    """A photo with something in it."""
    width, height = size_wh
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows % 256, columns % 256, (rows + columns) % 256], 2).astype(np.uint8)
    images.write(path, pixels)
    return path


def collection(
    folder: Path, *drawn: Drawn, name: str = "a.png", labels: Sequence[Any] = (), **facts: Any
) -> Collection:
    """One photo of `SIZE` with this on it."""
    path = photo_file(folder, name)
    return Collection((DrawnPhoto(name, SIZE, drawn, path, facts),), labels, "reef")


def polygon(label: str = "Porites", shift: float = 0.0, **more: Any) -> Drawn:
    """A polygon of four points between pixels."""
    return Drawn("polygon", label, np.array([[10.13, 9.87], [50.5, 12], [40.25, 33.3], [11, 30]]) + shift, **more)


def mask(*, hole: bool = False, pieces: bool = False, **more: Any) -> Drawn:
    """A mask of 12 x 8 px at 20, 30, with a notch; with a hole or in two pieces where wanted."""
    pixels = np.ones((8, 12), bool)
    pixels[0, :3] = False
    if hole:
        pixels[3:5, 4:7] = False
    if pieces:
        pixels[:, 6] = False
    return Drawn("mask", "Pavona", np.array([[20, 30], [32, 38]], float), mask=pixels, **more)


def box(**more: Any) -> Drawn:
    """A box between pixels."""
    return Drawn("rectangle", "frame", np.array([[5.25, 6.5], [60.75, 40.125]]), **more)


def skeleton(seen: Sequence[str] = ("seen", "covered", "hidden", "seen"), label: str = "grid", **more: Any) -> Drawn:
    """A skeleton of four points."""
    places = [(20.5, 20.25), (80.125, 21), (79, 81.75), (19.5, 80)]
    elements = tuple(
        Drawn("points", name, np.array([xy]), outside=how == "hidden", occluded=how == "covered")
        for name, xy, how in zip(NAMES, places, seen, strict=True)
    )
    return Drawn("skeleton", label, elements=elements, **more)


def same(a: Drawn, b: Drawn, *, within: float = 0.01) -> bool:
    """Whether two shapes are of one kind, label and form."""
    if (a.kind, a.label, a.xy_px.shape, len(a.elements)) != (b.kind, b.label, b.xy_px.shape, len(b.elements)):
        return False
    if np.abs(a.xy_px - b.xy_px).max(initial=0) > within:
        return False
    if a.mask is not None and not (b.mask is not None and np.array_equal(a.mask, b.mask)):
        return False
    ours, theirs = ({e.label: e for e in one.elements} for one in (a, b))
    return ours.keys() == theirs.keys() and all(
        same(ours[n], theirs[n], within=within)
        and (ours[n].outside, ours[n].occluded) == (theirs[n].outside, theirs[n].occluded)
        for n in ours
    )


coordinates = st.floats(0, 119, allow_nan=False).map(lambda value: round(value, 3))
rings = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=12, unique=True).map(np.array)
bitmaps = (
    st.integers(1, 9)
    .flatmap(lambda width: st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=9))
    .map(lambda rows: np.array(rows, bool))
)
