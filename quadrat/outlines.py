"""Outlines of masks: traced exactly along pixel edges, and simplified; of many masks at once.

The photos of this project hold dozens of colonies, and numpy's cost is in the number of calls: what can be done for all
of them in one call is.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]
Part = list[Ring]
Mask = NDArray[np.bool_]

# ------------------------------------------------------------------------------------------------ tracing

# Directions of a step from pixel to pixel, clockwise on the screen: E SE S SW W NW N NE are 0 to 7, no step is 8.
# Index: 3 * (dy + 1) + dx + 1.
_DIRECTION = np.array([5, 6, 7, 4, 8, 0, 3, 2, 1])
_HEADING = np.array([0, 0, 1, 1, 2, 2, 3, 3, 3])  # E S W N along the pixel's edge, by the direction of arrival
_CORNER = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])  # where one who walks E, S, W, N along a pixel's edge turns


def _corners_passed() -> NDArray[np.int64]:
    """Number of corners to note at a pixel, by the directions in which its chain arrives there and leaves.

    Who walks along the edges with the mask on the right hand turns right at corners of the pixel until the next pixel
    of the chain lies ahead; where that one touches only at a corner, one more turn, to the left, leads over to it.
    """
    arrives, leaves = np.arange(8)[:, None], np.arange(8)[None]
    passed = np.full((9, 9), 4)  # a single pixel
    passed[:8, :8] = ((leaves + 1) // 2 - arrives // 2) % 4 + leaves % 2
    return passed


_PASSED = _corners_passed().ravel()


def trace(masks: Sequence[Mask], origins_xy: Sequence[tuple[int, int]]) -> list[list[Part]]:
    """Trace the exact outlines of masks along pixel edges.

    Pixels that touch at a corner belong to one part (8-connected); holes are 4-connected. Outer rings run clockwise as
    seen on the screen, holes counter-clockwise; every point is a corner.

    Args:
        masks: bool ``[h, w]`` each.
        origins_xy: photo pixel of each mask's top-left corner.

    Returns:
        For each mask its parts, one a connected component, largest outer ring first.
    """
    found: list[tuple[Any, Any]] = [
        cv2.findContours(
            np.ascontiguousarray(mask).view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=origin
        )
        for mask, origin in zip(masks, origins_xy, strict=True)
    ]
    rings = iter(_rings([chain for chains, _ in found for chain in chains]))
    return [_parts([next(rings) for _ in chains], tree) for chains, tree in found]


def _rings(chains: Sequence[NDArray[np.int32]]) -> list[Ring]:
    """Chains of pixels as OpenCV links them -> the corners passed along their outer edges."""
    if not chains:
        return []
    pixel = np.concatenate(chains)[::-1, 0]  # OpenCV walks with the mask on the left hand
    lengths = np.array([len(chain) for chain in reversed(chains)])
    following = _following(lengths)
    step = pixel[following] - pixel
    leaves = _DIRECTION[3 * step[:, 1] + step[:, 0] + 4]
    arrives = np.empty_like(leaves)
    arrives[following] = leaves
    passed = _PASSED[9 * arrives + leaves]
    total = np.cumsum(passed)
    at = np.repeat(np.arange(len(pixel)), passed)
    heading = np.arange(len(at)) + (_HEADING[arrives] - total + passed)[at]
    corners = (pixel[at] + _CORNER[heading % 4]).astype(np.float64)
    return np.split(corners, total[np.cumsum(lengths)[:-1] - 1])[::-1]


def _parts(rings: Sequence[Ring], tree: NDArray[np.int32] | None) -> list[Part]:
    """Put holes to the ring that they lie in, by OpenCV's tree of two levels."""
    parts: dict[int, Part] = {}
    holes = []
    for index, ring in enumerate(rings):
        assert tree is not None
        parent = int(tree[0, index, 3])
        if parent < 0:
            parts[index] = [ring]
        else:
            holes.append((parent, ring))
    for parent, ring in holes:
        parts[parent].append(ring)
    if len(parts) == 1:
        return list(parts.values())
    return sorted(parts.values(), key=lambda part: -signed_area(part[0]))


# ------------------------------------------------------------------------------------------------ simplifying


def signed_area(ring: Ring) -> float:
    """Area in px2; positive for a ring that runs clockwise as seen on the screen."""
    x, y = ring[:, 0], ring[:, 1]
    return float((x[:-1] @ y[1:] - x[1:] @ y[:-1] + x[-1] * y[0] - x[0] * y[-1]) / 2)


_KEY = np.array([1.0, 2.0**24])  # makes one number of x and y
_TIE = 1e-7  # px; less than any centre lies off a line between corners of pixels, unless it lies on it


def simplify(rings: Sequence[Ring], min_iou: float = 0.99) -> list[Ring]:
    """Drop points (Douglas-Peucker) as long as each ring, filled, keeps an IoU of `min_iou` with what it was.

    Args:
        rings: outlines along pixel edges, as `trace` gives them.
        min_iou: 0..1, both filled on pixels.

    Returns:
        For each ring one of at least 3 points; the same where no simpler one is close enough.
    """
    kept = list(rings)
    area = np.array([abs(signed_area(ring)) for ring in rings])
    length = np.array([np.abs(np.diff(ring, axis=0)).sum() for ring in rings])
    allowed = (1 - min_iou) * area
    tolerance = np.maximum(4 * allowed / np.maximum(length, 1), 1)
    rest = np.array([i for i, ring in enumerate(rings) if len(ring) > 4], np.int64)
    while len(rest):
        simple = [_douglas_peucker(rings[i], tolerance[i]) for i in rest]
        wrong = _misplaced([rings[i] for i in rest], simple)
        fits = wrong <= allowed[rest]
        for i, ring, fit in zip(rest, simple, fits, strict=True):
            if fit:
                kept[i] = ring
        rest, wrong = rest[~fits], wrong[~fits]
        smaller = tolerance[rest] * np.clip(0.9 * allowed[rest] / np.maximum(wrong, 1), 0.35, 0.75)
        tolerance[rest] = np.maximum(smaller, np.minimum(0.6, 0.75 * tolerance[rest]))  # 0.6: the last that drops much
        rest = rest[tolerance[rest] > 0.3]
    return kept


def _douglas_peucker(ring: Ring, tolerance: float) -> Ring:
    return cv2.approxPolyDP(ring.astype(np.float32), tolerance, closed=True)[:, 0].astype(np.float64)


def _misplaced(rings: Sequence[Ring], simple: Sequence[Ring]) -> NDArray[np.float64]:
    """Number of pixels (at most) in which each ring, filled, differs from its simplified form.

    A simplified ring has a chord for some steps along pixel edges. Where a chord runs more across than down, each pixel
    column is looked at: between the step over the column and the chord lie the centres of so many misplaced pixels.
    Where it runs more down, each row. Steps that go back and forth under one chord are counted too often.

    Returns:
        float64 ``[rings]``; infinite where the simple ring has fewer than 3 points or another order.
    """
    chords = [_chord_starts(ring, few) for ring, few in zip(rings, simple, strict=True)]
    usable = np.array([len(starts) > 2 for starts in chords])
    result = np.full(len(rings), np.inf)
    if usable.any():
        kept = np.flatnonzero(usable).tolist()
        with np.errstate(invalid="ignore"):  # a chord from a point to itself has no slope
            counted = _count_misplaced([rings[i] for i in kept], [chords[i] for i in kept])
        result[kept] = np.where(np.isnan(counted), np.inf, counted)
    return result


def _chord_starts(ring: Ring, few: Ring) -> list[int]:
    """Which points of `ring` the points of `few` are, ascending; empty if they are not there in this order.

    A ring may pass a point twice, where pixels touch at a corner: then either may be meant.
    """
    key, wanted = ring @ _KEY, (few @ _KEY).tolist()
    points = key.tolist()
    for start in np.flatnonzero(key == wanted[0]).tolist():
        turned, at, found = points[start:] + points[:start], 0, [start]
        try:
            for point in wanted[1:]:
                at = turned.index(point, at + 1)
                found.append(at + start)
        except ValueError:
            continue
        first_turned = bisect.bisect_left(found, len(points))
        return [index - len(points) for index in found[first_turned:]] + found[:first_turned]
    return []


def _count_misplaced(rings: Sequence[Ring], starts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """`_misplaced` of rings whose chords start at their points `starts`."""
    sizes, counts = np.array([len(ring) for ring in rings]), np.array([len(own) for own in starts])
    begins = np.cumsum(sizes) - sizes
    points = np.concatenate(rings)
    first = np.concatenate([np.add(own, begin) for own, begin in zip(starts, begins.tolist(), strict=True)])
    run = points[first[_following(counts)]] - points[first]
    across = np.abs(run[:, 0]) >= np.abs(run[:, 1])  # the chord runs more across than down
    slope = np.where(across, run[:, 1], run[:, 0]) / np.where(across, run[:, 0], run[:, 1])
    u, v = np.where(across, points[first].T, points[first].T[::-1])
    # A centre on an edge belongs to the pixels on the edge's right: what lies half-way is rounded accordingly.
    half = np.where(across & ((run[:, 0] > 0) != (run[:, 1] < 0)), 0.5 + _TIE, 0.5 - _TIE)
    offset = v - slope * u + half

    chord = _chord_of_step(first, counts, np.array([own[0] for own in starts]), begins, len(points))
    step = points[_following(sizes)] - points
    seen = np.flatnonzero(np.where(across[chord], step[:, 0], step[:, 1]))
    axis = np.where(across[chord[seen]], 0, 1)
    length = step[seen, axis]
    span = np.abs(length).astype(np.int64)
    low, level, mine = points[seen, axis] + np.minimum(length, 0), points[seen, 1 - axis], chord[seen]
    each = np.repeat(np.arange(len(seen)), span)  # a pixel column or row that step `seen[each]` crosses
    centre = np.arange(len(each)) + (low - np.cumsum(span) + span + 0.5)[each]
    wrong = np.abs(np.floor(slope[mine][each] * centre + offset[mine][each]) - level[each])
    owner = np.repeat(np.arange(len(rings)), sizes)[seen]
    total: NDArray[np.float64] = np.bincount(owner[each], wrong, len(rings)).astype(np.float64)
    return total


def _chord_of_step(
    first: NDArray[np.int64], counts: NDArray[np.int64], heads: NDArray[np.int64], begins: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    """The chord that each step belongs to: the last one begun; before a ring's first, its last one.

    Args:
        first: the step with which each chord begins, of all rings.
        counts: chords a ring.
        heads: steps before the first chord a ring.
        begins: first step a ring.
        size: number of steps.
    """
    chord = np.zeros(size, np.int64)
    chord[first] = 1
    chord = np.cumsum(chord) - 1
    head = np.arange(heads.sum()) + np.repeat(begins - np.cumsum(heads) + heads, heads)
    chord[head] += np.repeat(counts, heads)
    return chord


def _following(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the next element for elements of closed rings of these sizes, one after the other."""
    ends = np.cumsum(sizes)
    following = np.arange(1, ends[-1] + 1)
    following[ends - 1] = ends - sizes
    return following
