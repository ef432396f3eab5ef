"""Outlines as rings of points: their areas, where they cross themselves, and what of them lies in a frame.

Everything is done for many rings at once: datasets hold hundreds of thousands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from quadrat import masks

Ring = masks.Ring

NOTICED_PX = 0.01
"""Crossings of edges by less are noise: formats round to it."""

_PAIRS = 1 << 20  # pairs of edges that are looked at in one go


def areas(rings: Sequence[Sequence[Ring]]) -> NDArray[np.float64]:
    """Area of each shape in units of its points: float64 ``[N]``; holes run against their outer ring."""
    flat = [ring for each in rings for ring in each]
    if not flat:
        return np.zeros(len(rings))
    lengths = np.array([len(ring) for ring in flat])
    points, begins = np.concatenate(flat), np.cumsum(lengths) - lengths
    following = points[_following(lengths)]
    cross = points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0]
    signed = np.add.reduceat(cross, begins) / 2
    owner = np.repeat(np.arange(len(rings)), [len(each) for each in rings])
    return np.abs(np.bincount(owner, signed, len(rings)))


def _following(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of points of rings one after the other: the index of the next point of the same ring."""
    ends = np.cumsum(lengths)
    following = np.arange(1, ends[-1] + 1)
    following[ends - 1] = ends - lengths
    return following


# ---------------------------------------------------------------------------------------------- crossings


def crossings(rings: Sequence[Ring]) -> list[NDArray[np.float64]]:
    """Where each ring crosses itself: float64 ``[K, 2]`` px a ring.

    Edges that only touch, or run along one another, do not cross: outlines of masks touch at corners.
    """
    if not rings:
        return []
    lengths = np.array([len(ring) for ring in rings])
    start = np.concatenate(rings)
    following = _following(lengths)
    owner = np.repeat(np.arange(len(rings)), lengths)
    places: list[NDArray[np.float64]] = []
    owners: list[NDArray[np.int64]] = []
    for first, second in _near(start, start[following], owner):
        apart = (following[first] != second) & (following[second] != first)
        first, second = first[apart], second[apart]
        crossed, xy = _crossed(start[first], start[following[first]], start[second], start[following[second]])
        places.append(xy)
        owners.append(owner[first[crossed]])
    found, whose = np.concatenate(places), np.concatenate(owners)
    return [found[whose == index] for index in range(len(rings))] if len(found) else [found] * len(rings)


def _near(start: Ring, end: Ring, owner: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of edges of one ring whose boxes meet: found by sorting them along x, each ring in a stretch of its own."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    stretch = owner * (float(np.ptp(start[:, 0])) + 1)
    order = np.argsort(low[:, 0] + stretch, kind="stable")
    begin = (low[:, 0] + stretch)[order]
    count = np.searchsorted(begin, (high[:, 0] + stretch)[order], side="right") - np.arange(len(begin)) - 1
    cuts = np.flatnonzero(np.diff(np.cumsum(count) // _PAIRS)) + 1
    for a, b in pairwise([0, *cuts.tolist(), len(order)]):
        some = count[a:b]
        first = np.repeat(np.arange(a, b), some)
        second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(some) - some, some)
        first, second = order[first], order[second]
        meet = (low[first, 1] <= high[second, 1]) & (low[second, 1] <= high[first, 1])
        yield first[meet], second[meet]


def _crossed(a: Ring, b: Ring, c: Ring, d: Ring) -> tuple[NDArray[np.bool_], Ring]:
    """Which edges a-b cross the edges c-d by more than `NOTICED_PX`, and where those that do."""
    to_c, to_d = _offset(a, b, c), _offset(a, b, d)
    to_a, to_b = _offset(c, d, a), _offset(c, d, b)
    crossed = (to_c * to_d < 0) & (to_a * to_b < 0)
    for offset in (to_a, to_b, to_c, to_d):
        crossed &= np.abs(offset) > NOTICED_PX
    share = to_a[crossed] / (to_a[crossed] - to_b[crossed])
    return crossed, a[crossed] + share[:, None] * (b - a)[crossed]


def _offset(a: Ring, b: Ring, point: Ring) -> NDArray[np.float64]:
    """How far points lie from the lines through a and b, px; negative on the one side."""
    along, to = b - a, point - a
    cross = along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0]
    return np.asarray(cross / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-12))


def clip(ring: Ring, frame: Ring) -> Ring:
    """The part of a ring inside a convex frame whose points run clockwise on the screen; may have no points.

    Sutherland and Hodgman (Reentrant polygon clipping, 1974). Parts stay joined by lines of no width: areas are right.
    """
    for a, b in zip(frame, np.roll(frame, -1, axis=0), strict=True):
        inward = (b[0] - a[0]) * (ring[:, 1] - a[1]) - (b[1] - a[1]) * (ring[:, 0] - a[0])
        inside = inward >= 0
        if inside.all():
            continue
        following, beyond = np.roll(ring, -1, axis=0), np.roll(inward, -1)
        leaves = inside != np.roll(inside, -1)
        share = inward / np.where(leaves, inward - beyond, 1)
        both = np.stack([ring, ring + share[:, None] * (following - ring)], axis=1).reshape(-1, 2)
        ring = both[np.stack([inside, leaves], axis=1).ravel()]
    return ring
