"""What covers ground on a photo: outlines, areas, where they cross themselves, overlap, and leave the quadrat.

Everything is done for all shapes of a photo at once: datasets hold hundreds of thousands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_engineering import rings
from data_engineering.rings import Ring
from quadrat import drawn, layout_choice, masks, outlines, template
from quadrat.drawn import Drawn, DrawnPhoto
from quadrat.geometry import frame_homography, is_convex, order_corners
from quadrat.homography import apply_homography, fit_homography
from quadrat.shapes import HIDDEN

KINDS = ("polygon", "mask", "rectangle", "ellipse")
"""The kinds of `quadrat.drawn.Drawn` that cover ground."""

_RASTER = 96  # px of the longer side of the window in which two shapes are compared


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """The shapes of a photo that cover ground.

    Attributes:
        shapes: of one of `KINDS`.
        at: index of each among ``photo.drawn``.
        rings: of each what it fills: outer outlines, and holes, which run the other way round. A polygon that crosses
            itself fills pixels by the even-odd rule, as it does wherever networks learn from it.
        crossings: float64 ``[K, 2]`` px of each: where it crosses itself, if it is a polygon.
        boxes: float64 ``[N, 4]``: least x and y, greatest x and y of what was drawn, px.
        areas_px: float64 ``[N]``.
        frame: corners of the photo's quadrat (`quadrat_of`), where they are known.
        inside: where they are: `rings` cut at the frame, none of a shape that lies outside.
    """

    shapes: tuple[Drawn, ...]
    at: tuple[int, ...]
    rings: tuple[tuple[Ring, ...], ...]
    crossings: tuple[Ring, ...]
    boxes: NDArray[np.float64]
    areas_px: NDArray[np.float64]
    frame: Ring | None
    inside: tuple[tuple[Ring, ...], ...] | None

    def __len__(self) -> int:
        return len(self.shapes)


def of(photo: DrawnPhoto) -> Surfaces:
    """The shapes of a photo that cover ground, with outlines; those of masks run exactly along pixel edges."""
    found = [(index, one) for index, one in enumerate(photo.drawn) if one.kind in KINDS]
    shapes, at = tuple(one for _, one in found), tuple(index for index, _ in found)
    traced = iter(_traced([one for one in shapes if one.mask is not None]))
    drawn_as = [next(traced) if one.mask is not None else _ring(one) for one in shapes]
    points = [np.concatenate(each) if len(each) != 1 else each[0] for each in drawn_as]
    boxes = np.array([(*p.min(0), *p.max(0)) for p in points]).reshape(-1, 4)
    places = iter(rings.crossings([one.xy_px for one in shapes if one.kind == "polygon"]))
    crossed = tuple(next(places) if one.kind == "polygon" else one.xy_px[:0] for one in shapes)
    filled = tuple(
        _filled(ring, photo.size_wh) if len(where) else ring for ring, where in zip(drawn_as, crossed, strict=True)
    )
    frame = quadrat_of(photo)
    inside = None if frame is None else within(filled, frame)
    return Surfaces(shapes, at, filled, crossed, boxes, rings.areas(filled), frame, inside)


def _filled(ring: tuple[Ring, ...], size_wh: tuple[int, int]) -> tuple[Ring, ...]:
    """Outlines of the pixels of the photo that a ring fills; the ring as it is where they are none."""
    instance = masks.instance_from_rings("filled", ring, size_wh)
    parts = [] if instance is None else masks.instance_to_parts(instance)
    return tuple(each for part in parts for each in part) or ring


def colonies(surfaces: Surfaces) -> NDArray[np.int64]:
    """For each shape the place of the first part of its colony: polygons of one label and group are parts of one."""
    first: dict[tuple[str, int], int] = {}
    places = [
        first.setdefault((one.label, one.group), k) if one.group and one.kind == "polygon" else k
        for k, one in enumerate(surfaces.shapes)
    ]
    return np.array(places, np.int64)


def _ring(one: Drawn) -> tuple[Ring, ...]:
    ring = drawn.outline(one)
    assert ring is not None  # all other kinds of `KINDS` have one
    return (ring,)


def _traced(shapes: Sequence[Drawn]) -> Iterator[tuple[Ring, ...]]:
    """Exact outlines of masks; one without a pixel gets the corners of its box, run there and back: no area."""
    found = outlines.trace(
        [one.mask for one in shapes if one.mask is not None],
        [(int(one.xy_px[0, 0]), int(one.xy_px[0, 1])) for one in shapes],
    )
    for one, parts in zip(shapes, found, strict=True):
        yield tuple(ring for part in parts for ring in part) or (one.xy_px[[0, 1, 0]],)


# ---------------------------------------------------------------------------------------------- overlaps


def pairs(boxes: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of boxes that share ground: indices of the first and second, and the px2 that they share."""
    i, j = np.triu_indices(len(boxes), 1)
    low, high = np.maximum(boxes[i, :2], boxes[j, :2]), np.minimum(boxes[i, 2:], boxes[j, 2:])
    sides = high - low
    meet = (sides > 0).all(1)
    return i[meet], j[meet], sides[meet].prod(1)


def shared_px(surfaces: Surfaces, i: int, j: int) -> float:
    """Area that two shapes share in px2, within about 1 % of the smaller: both are drawn on a raster of 96 px."""
    low = np.maximum(surfaces.boxes[i, :2], surfaces.boxes[j, :2])
    sides = np.minimum(surfaces.boxes[i, 2:], surfaces.boxes[j, 2:]) - low
    if not (sides > 0).all():
        return 0.0
    scale = _RASTER / sides.max()
    width, height = (max(1, int(v)) for v in np.ceil(sides * scale))
    a, b = (masks.rings_to_mask([(r - low) * scale for r in surfaces.rings[k]], (0, 0, width, height)) for k in (i, j))
    return float(np.count_nonzero(a & b)) / scale**2


# ---------------------------------------------------------------------------------------------- the quadrat


def quadrat_of(photo: DrawnPhoto) -> Ring | None:
    """The corners of the photo's quadrat, where a skeleton says them: float64 ``[4, 2]``, clockwise from the top left.

    Four points are the corners; those of a grid's layout say where its frame lies. `None` where there is no such
    skeleton, or its points are no quadrilateral.
    """
    skeletons = [one for one in photo.drawn if one.kind == "skeleton"]
    places = [_places(one) for one in skeletons]
    found = (_corners(np.array(list(xy.values()))) for xy in places if len(xy) == 4)
    framed = (_frame(one) for one, xy in zip(skeletons, places, strict=True) if len(xy) > 4)
    return next((ring for ring in (*found, *framed) if ring is not None), None)


def _places(skeleton: Drawn) -> Mapping[str, Ring]:
    return {point.label: point.xy_px[0] for point in skeleton.elements if not point.outside}


def _corners(xy: Ring) -> Ring | None:
    try:
        ring = order_corners(xy)
    except ValueError:
        return None
    return ring if is_convex(ring) else None


def _frame(skeleton: Drawn) -> Ring | None:
    """Corners of the frame of a grid in one of the built-in layouts."""
    layouts = [each for each in map(template.load, template.BUILTIN) if each.label == skeleton.label]
    if not layouts:
        return None
    shape = drawn.to_shapes([skeleton], (1, 1), {skeleton.label: layouts[0].names})[0]
    layout = layout_choice.layout_of(shape, layouts)  # type: ignore[arg-type]  # a skeleton becomes keypoints
    if layout is None:
        return None
    seen = np.asarray(shape.visibility) != HIDDEN  # type: ignore[union-attr]
    try:
        to_photo, _ = fit_homography(layout.uv[seen], shape.xy_px[seen])  # type: ignore[union-attr]
        return _corners(apply_homography(to_photo, [(0, 0), (1, 0), (1, 1), (0, 1)]))
    except ValueError:
        return None


def within(shapes: Sequence[tuple[Ring, ...]], frame: Ring) -> tuple[tuple[Ring, ...], ...]:
    """Rings of each shape, cut at a convex frame (`rings.clip`); shapes inside keep theirs as they are."""
    if not shapes:
        return ()
    flat, counts = np.concatenate([ring for each in shapes for ring in each]), [sum(map(len, each)) for each in shapes]
    edge = np.roll(frame, -1, axis=0) - frame
    to = flat[:, None] - frame
    inside = (edge[:, 0] * to[..., 1] - edge[:, 1] * to[..., 0] >= 0).all(1)
    whole = np.add.reduceat(inside.astype(np.int64), np.cumsum(counts) - counts) == counts
    return tuple(
        each if ok else tuple(part for part in (rings.clip(ring, frame) for ring in each) if len(part))
        for each, ok in zip(shapes, whole, strict=True)
    )


def shares(surfaces: Surfaces) -> NDArray[np.float64]:
    """Area of each shape inside the quadrat as a share of the quadrat's own, seen from straight above: float64 ``[N]``.

    The quadrat is taken as flat; its corners say how the camera looked at it.

    Raises:
        ValueError: the quadrat's corners are not known.
    """
    if surfaces.frame is None or surfaces.inside is None:
        raise ValueError("the corners of the photo's quadrat are not known: there is no skeleton that says them")
    to_unit = frame_homography(surfaces.frame, (1, 1))
    return rings.areas([[apply_homography(to_unit, ring) for ring in each] for each in surfaces.inside])
