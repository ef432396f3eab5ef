"""Masks and outlines, on box crops (run lengths: `quadrat.rle`).

One rasteriser (`rings_to_mask`) and one outline tracer (`quadrat.outlines`) rule the whole project. A pixel belongs to
a polygon if its centre does; an exact outline runs along pixel edges, so that drawing it again gives the mask back.

A *ring* is float64 ``[N, 2]``, x and y in px, closed without repeating its first point. A *part* is a list of rings:
the outer one, then its holes. An object may have several parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from quadrat import outlines
from quadrat.shapes import Box, Instance

Ring = outlines.Ring
Part = outlines.Part
Mask = outlines.Mask


# ---------------------------------------------------------------------------------------------- polygon -> mask


def rings_to_mask(rings: Sequence[ArrayLike], xyxy_px: Box) -> Mask:
    """Fill `rings` by the even-odd rule: a pixel is set if its centre lies inside an odd number of rings.

    Every edge toggles, in each pixel row whose centre line it crosses, all pixels to the right of the crossing.

    Args:
        rings: rings in photo pixels, any real coordinates, in any order and direction.
        xyxy_px: the window to draw, whole pixels, end exclusive.

    Returns:
        bool ``[y1 - y0, x1 - x0]``.

    Raises:
        ValueError: a ring is not ``[N, 2]`` or not finite.
    """
    x0, y0, x1, y1 = xyxy_px
    width, height = x1 - x0, y1 - y0
    toggles = np.zeros((height, width + 1), np.uint8)
    for ring in rings:
        start = _as_ring(ring) - (x0, y0)
        if len(start) > 2:
            _toggle_edges(toggles, start, np.roll(start, -1, axis=0))
    return np.bitwise_xor.accumulate(toggles[:, :width], axis=1).view(np.bool_)


def _toggle_edges(toggles: NDArray[np.uint8], start: Ring, end: Ring) -> None:
    height, last = toggles.shape[0], toggles.shape[1] - 1
    low = np.minimum(start[:, 1], end[:, 1])
    high = np.maximum(start[:, 1], end[:, 1])
    first_row = np.clip(np.ceil(low - 0.5), 0, height).astype(np.int64)
    end_row = np.clip(np.ceil(high - 0.5), 0, height).astype(np.int64)
    count = end_row - first_row
    edge = np.repeat(np.arange(len(start)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first_row[edge]
    slope = (end[edge, 0] - start[edge, 0]) / (end[edge, 1] - start[edge, 1])
    x = start[edge, 0] + (row + 0.5 - start[edge, 1]) * slope
    column = np.clip(np.ceil(x - 0.5), 0, last).astype(np.int64)
    np.bitwise_xor.at(toggles, (row, column), 1)


def _as_ring(ring: ArrayLike) -> Ring:
    points = np.asarray(ring, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"ring is {list(points.shape)}: expected finite float64[N, 2] of x and y in px")
    return points


# ---------------------------------------------------------------------------------------------- mask -> polygon


def mask_to_parts(mask: Mask, origin_xy: tuple[int, int] = (0, 0)) -> list[Part]:
    """Trace the exact outlines of `mask` along pixel edges.

    Pixels that touch at a corner belong to one part (8-connected); holes are 4-connected. Outer rings run clockwise as
    seen on the screen, holes counter-clockwise.

    Args:
        mask: bool ``[h, w]``.
        origin_xy: photo pixel of the mask's top-left corner.

    Returns:
        One part for each connected component, largest outer ring first; empty for an empty mask.
    """
    return outlines.trace([mask], [origin_xy])[0]


def instances_to_parts(instances: Sequence[Instance]) -> list[list[Part]]:
    """Exact outlines of many instances in photo pixels, see `mask_to_parts`; faster than one by one."""
    return outlines.trace([i.mask for i in instances], [i.xyxy_px[:2] for i in instances])


def instance_to_parts(instance: Instance) -> list[Part]:
    """Exact outlines of an instance in photo pixels, see `mask_to_parts`."""
    return mask_to_parts(instance.mask, instance.xyxy_px[:2])


# ---------------------------------------------------------------------------------------------- rings


def signed_area(ring: ArrayLike) -> float:
    """Area in px2; positive for a ring that runs clockwise as seen on the screen."""
    return outlines.signed_area(_as_ring(ring))


def simplify(ring: ArrayLike, min_iou: float = 0.99) -> Ring:
    """Drop points of an exact outline, see `outlines.simplify` (which takes many at once)."""
    return outlines.simplify([_as_ring(ring)], min_iou)[0]


def join_parts(parts: Sequence[Part]) -> Ring:
    """Join all rings of an object into one ring by bridges of no width that are walked both ways.

    A format with one ring an object (YOLO's segments) can so carry holes and parts: filled by the even-odd rule the
    joined ring gives the same mask. Each ring is spliced in at the pair of points that lie nearest each other.

    Args:
        parts: as `mask_to_parts` gives them; at least one ring.

    Returns:
        float64 ``[N, 2]``.

    Raises:
        ValueError: there is no ring.
    """
    rings = [_as_ring(ring) for part in parts for ring in part]
    if not rings:
        raise ValueError("parts is empty: expected at least one ring")
    joined = rings[0]
    for ring in rings[1:]:
        at, to = _nearest_points(joined, ring)
        joined = np.concatenate([joined[: at + 1], np.roll(ring, -to, axis=0), ring[to : to + 1], joined[at:]])
    return joined


def _nearest_points(a: Ring, b: Ring, most: int = 400) -> tuple[int, int]:
    step_a, step_b = -(-len(a) // most), -(-len(b) // most)  # a bridge need not be the shortest
    gaps = np.square(a[::step_a, None] - b[None, ::step_b]).sum(-1)
    i, j = np.unravel_index(int(gaps.argmin()), gaps.shape)
    return int(i) * step_a, int(j) * step_b


# ---------------------------------------------------------------------------------------------- instances


def instance_from_mask(
    label: str,
    mask: Mask,
    origin_xy: tuple[int, int] = (0, 0),
    score: float = 1.0,
    attributes: Mapping[str, str] | None = None,
) -> Instance | None:
    """Trim `mask` to its pixels; ``None`` if it has none.

    Args:
        label: class name.
        mask: bool ``[h, w]``, a full frame or any crop.
        origin_xy: photo pixel of the mask's top-left corner.
        score: 0..1.
        attributes: extra facts.
    """
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    rows = np.flatnonzero(cv2.reduce(pixels, 1, cv2.REDUCE_MAX) if pixels.size else pixels)
    if not len(rows):
        return None
    y, h = int(rows[0]), int(rows[-1] - rows[0]) + 1
    x, _, w, _ = cv2.boundingRect(pixels[y : y + h])
    dx, dy = origin_xy
    box = (x + dx, y + dy, x + w + dx, y + h + dy)
    return Instance(label, box, mask[y : y + h, x : x + w].copy(), score, attributes or {})


def instance_from_rings(
    label: str,
    rings: Sequence[ArrayLike],
    size_wh: tuple[int, int] | None = None,
    score: float = 1.0,
    attributes: Mapping[str, str] | None = None,
) -> Instance | None:
    """Fill rings (even-odd) into an instance, cut at the photo's border; ``None`` if no pixel's centre lies inside.

    Args:
        label: class name.
        rings: outer rings and holes, photo pixels.
        size_wh: the photo's size; ``None`` leaves the shape as it is.
        score: 0..1.
        attributes: extra facts.
    """
    drawn = [r for r in (_as_ring(ring) for ring in rings) if len(r) > 2]
    if not drawn:
        return None
    box = _bounds(drawn)
    if size_wh is not None:
        box = intersection(box, (0, 0, *size_wh))
    if box[0] >= box[2] or box[1] >= box[3]:
        return None
    return instance_from_mask(label, rings_to_mask(drawn, box), box[:2], score, attributes)


def clip(instance: Instance, size_wh: tuple[int, int]) -> Instance | None:
    """Cut an instance at the photo's border and trim it; ``None`` if nothing is left inside."""
    x0, y0, x1, y1 = box = intersection(instance.xyxy_px, (0, 0, *size_wh))
    if x0 >= x1 or y0 >= y1:
        return None
    if box == instance.xyxy_px and _is_trimmed(instance.mask):
        return instance
    return instance_from_mask(instance.label, window(instance, box), (x0, y0), instance.score, instance.attributes)


def _is_trimmed(mask: Mask) -> bool:
    return bool(mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any())


def window(instance: Instance, xyxy_px: Box) -> Mask:
    """The instance's pixels in a window: bool ``[y1 - y0, x1 - x0]``, false outside its own box."""
    x0, y0, x1, y1 = xyxy_px
    result = np.zeros((y1 - y0, x1 - x0), np.bool_)
    ax0, ay0, ax1, ay1 = intersection(instance.xyxy_px, xyxy_px)
    if ax0 < ax1 and ay0 < ay1:
        ox, oy = instance.xyxy_px[:2]
        result[ay0 - y0 : ay1 - y0, ax0 - x0 : ax1 - x0] = instance.mask[ay0 - oy : ay1 - oy, ax0 - ox : ax1 - ox]
    return result


def paste(instance: Instance, full_mask: Mask) -> None:
    """Set the instance's pixels in a full-frame bool mask ``[H, W]``; what lies outside is cut."""
    height, width = full_mask.shape
    x0, y0, x1, y1 = box = intersection(instance.xyxy_px, (0, 0, width, height))
    if x0 < x1 and y0 < y1:
        full_mask[y0:y1, x0:x1] |= window(instance, box)


def to_full_mask(instance: Instance, size_wh: tuple[int, int]) -> Mask:
    """The instance as a full-frame mask bool ``[H, W]``. For tests and small images: costs a frame a shape."""
    return window(instance, (0, 0, *size_wh))


def overlap_px(a: Instance, b: Instance) -> int:
    """Number of pixels that two instances share."""
    x0, y0, x1, y1 = box = intersection(a.xyxy_px, b.xyxy_px)
    if x0 >= x1 or y0 >= y1:
        return 0
    return int(np.count_nonzero(window(a, box) & window(b, box)))


def iou(a: Instance, b: Instance) -> float:
    """Intersection over union, 0..1; 0 for two empty masks."""
    shared = overlap_px(a, b)
    return shared / max(a.area_px + b.area_px - shared, 1)


def ios(a: Instance, b: Instance) -> float:
    """Intersection over the smaller of the two, 0..1."""
    return overlap_px(a, b) / max(min(a.area_px, b.area_px), 1)


def unite(
    instances: Sequence[Instance], score: float | None = None, attributes: Mapping[str, str] | None = None
) -> Instance | None:
    """One instance of all pixels of several; ``None`` for none.

    Args:
        instances: their first one gives the label.
        score: 0..1; default: the highest of them.
        attributes: default: those of the first.
    """
    if not instances:
        return None
    boxes = np.array([instance.xyxy_px for instance in instances])
    (x0, y0), (x1, y1) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
    mask = np.zeros((y1 - y0, x1 - x0), np.bool_)
    for instance in instances:
        ax0, ay0, ax1, ay1 = instance.xyxy_px
        mask[ay0 - y0 : ay1 - y0, ax0 - x0 : ax1 - x0] |= instance.mask
    best = max(instance.score for instance in instances) if score is None else score
    facts = instances[0].attributes if attributes is None else attributes
    return Instance(instances[0].label, (x0, y0, x1, y1), mask, best, facts)


def _bounds(rings: Sequence[Ring]) -> Box:
    points = np.concatenate(list(rings))
    x0, y0 = np.floor(points.min(0)).astype(int)
    x1, y1 = np.ceil(points.max(0)).astype(int)
    return int(x0), int(y0), max(int(x1), int(x0) + 1), max(int(y1), int(y0) + 1)


def intersection(a: Box, b: Box) -> Box:
    """The box that two boxes share; inverted or empty where they share none."""
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


# ---------------------------------------------------------------------------------------------- CVAT


def mask_to_cvat(instance: Instance) -> list[int]:
    """CVAT's mask list: the 0/1 pixels of the inclusive box, row-major, then xtl, ytl, xbr, ybr."""
    x0, y0, x1, y1 = instance.xyxy_px
    values = list(instance.mask.tobytes())  # twice as fast as `tolist`
    values += (x0, y0, x1 - 1, y1 - 1)
    return values


def mask_from_cvat(values: Sequence[float], label: str, score: float = 1.0) -> Instance | None:
    """Read CVAT's mask list; ``None`` if no pixel is set.

    Raises:
        ValueError: the number of pixels is not that of the box.
    """
    if len(values) < 5:
        raise ValueError(f"mask has {len(values)} numbers: expected the pixels of a box and its 4 edges")
    x0, y0, x1, y1 = (int(v) for v in values[-4:])
    height, width = y1 - y0 + 1, x1 - x0 + 1
    if height < 1 or width < 1 or len(values) - 4 != height * width:
        raise ValueError(f"mask has {len(values) - 4} pixels: expected {width} x {height} of box {(x0, y0, x1, y1)}")
    pixels = np.asarray(values[:-4]).astype(bool).reshape(height, width)
    return instance_from_mask(label, pixels, (x0, y0), score)
