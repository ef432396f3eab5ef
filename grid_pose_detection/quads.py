"""Four corners of a frame from candidates: the quadrilateral that scores and shape speak for most.

Every four of the best candidates, and every three with the fourth completed to a parallelogram, are weighed: log odds
of the scores, and how far the shape is from that of the frame as cameras see it (angles, opposite sides, side ratio,
size). A corner may lie outside the photo.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from grid_pose_detection.candidates import Candidates, Match
from quadrat import geometry
from quadrat.template import Template

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST = 12
"""Candidates that are weighed, those of the highest scores."""
SURE = 1.0
"""Least margin (natural logarithm of a likelihood ratio) over the next best quadrilateral."""
NEAR_45_DEG = 42.0

_MISSING = -2.5  # log odds that a corner has no candidate
_BONUS = 1.5  # log odds that a candidate of score 0.5 is a corner
_COSINE = 0.35  # of a corner's angle, usually
_RATIO, _ASPECT = 0.3, 0.35  # usual log ratio of opposite sides, and of width to height against the frame's
_SIZE = 0.7  # a quadrilateral of half the area is so many times log 2 less likely: what distracts lies within
_SAME = 0.05  # of the side: corners this near each other are one
_LEAST_SIDE = 0.05  # of the longest side
_FILLED = 0.5
_RING = {(0, 0): 0, (0, 1): 1, (1, 1): 2, (1, 0): 3}


def match_corners(candidates: Candidates, template: Template) -> Match | None:
    """Choose the corners.

    Args:
        candidates: N points, in any order; their kinds do not count.
        template: four points on a lattice of 2 x 2.

    Returns:
        The corners, or ``None`` where fewer than three candidates form a likely quadrilateral. Where three do, the
        fourth is not found and completes a parallelogram.
    """
    best = np.argsort(-candidates.scores, kind="stable")[:MOST]
    members = _subsets(len(best))
    if not len(members):
        return None
    xy, scores = candidates.xy_px[best], candidates.scores[best]
    quads, members = _ordered(_completed(xy, members), members)
    weights = _log_odds(scores, members) + _shape(quads, template)
    if not len(quads) or not weights.max() > 0:
        return None
    chosen = int(weights.argmax())
    quad, member = quads[chosen], members[chosen]
    ring = np.array([_RING[r, c] for r, c in template.lattice_rc.tolist()])
    found, scores = member >= 0, np.where(member >= 0, scores[member], np.nan)
    homography = geometry.fit_homography(template.uv, quad[ring])[0]
    return Match(
        template,
        quad[ring],
        found[ring],
        np.where(found, scores, _FILLED * np.nanmean(scores))[ring],
        homography,
        0.0,
        len(candidates) - int(found.sum()),
        _doubts(quads, weights, chosen),
    )


def _subsets(count: int) -> Ints:
    """Members of every quadrilateral ``[Q, 4]`` round its outline; -1 for a corner that must be completed."""
    fours = list(itertools.combinations(range(count), 4))
    threes = [(*order, -1) for three in itertools.combinations(range(count), 3) for order in _across(three)]
    return np.array(fours + threes, np.int64).reshape(-1, 4)


def _across(three: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    a, b, c = three
    return [(a, b, c), (b, c, a), (c, a, b)]  # the fourth lies across from the middle one


def _completed(xy: Floats, members: Ints) -> Floats:
    quads = xy[members]
    open_ = members[:, 3] < 0
    quads[open_, 3] = quads[open_, 0] + quads[open_, 2] - quads[open_, 1]
    return np.asarray(quads)


def _ordered(quads: Floats, members: Ints) -> tuple[Floats, Ints]:
    """Corners clockwise from the top left (see `geometry.order_corners`), without what is not convex."""
    out = quads - quads.mean(axis=1, keepdims=True)
    order = np.argsort(np.arctan2(out[..., 1], out[..., 0]), axis=1, kind="stable")
    ring, members = np.take_along_axis(quads, order[..., None], axis=1), np.take_along_axis(members, order, axis=1)
    sides = np.roll(ring, -1, axis=1) - ring
    length = np.linalg.norm(sides, axis=2)
    following = np.roll(sides, -1, axis=1)
    turn = sides[..., 0] * following[..., 1] - sides[..., 1] * following[..., 0]
    convex = (turn > 0.05 * length * np.roll(length, -1, axis=1)).all(axis=1)
    convex &= length.min(axis=1) > _LEAST_SIDE * length.max(axis=1)
    ring, members = ring[convex], members[convex]
    if not len(ring):
        return ring, members
    turns = np.stack([_turned(np.roll(ring, -k, axis=1)) for k in range(4)], axis=1)
    start = (np.arange(4) + np.abs(turns).argmin(axis=1)[:, None]) % 4
    return np.take_along_axis(ring, start[..., None], axis=1), np.take_along_axis(members, start, axis=1)


def _turned(quads: Floats) -> Floats:
    """`geometry.tilt_deg` of many: float64 ``[Q]``."""
    tl, tr, br, bl = quads.swapaxes(0, 1)
    across, down = (tr - tl) + (br - bl), (bl - tl) + (br - tr)
    across = across / np.linalg.norm(across, axis=1, keepdims=True)
    down = down / np.linalg.norm(down, axis=1, keepdims=True)
    return np.asarray(np.degrees(np.arctan2(across[:, 1] - down[:, 0], across[:, 0] + down[:, 1])))


def _log_odds(scores: Floats, members: Ints) -> Floats:
    sure = np.clip(scores, 0.02, 0.98)
    gain = np.log(sure / (1 - sure)) + _BONUS
    return np.asarray(np.where(members >= 0, gain[members], _MISSING).sum(axis=1))


def _shape(quads: Floats, template: Template) -> Floats:
    """Log of how usual the shapes are, ``[Q]``, at most 0."""
    sides = np.roll(quads, -1, axis=1) - quads
    length = np.linalg.norm(sides, axis=2)
    unit = sides / length[..., None]
    cosine = (unit * np.roll(unit, -1, axis=1)).sum(axis=2)
    opposite = np.log(length[:, :2] / length[:, 2:])
    width, height = length[:, 0] + length[:, 2], length[:, 1] + length[:, 3]
    aspect = np.log(width / height) - math.log(template.size_cm[0] / template.size_cm[1])
    area = np.abs(_area(quads))
    unusual = np.square(cosine / _COSINE).sum(axis=1) / 2 + np.square(opposite / _RATIO).sum(axis=1)
    unusual += np.square(aspect / _ASPECT)
    return np.asarray(-unusual / 2 + _SIZE * np.log(area / max(area.max(initial=0.0), 1e-300)))


def _area(quads: Floats) -> Floats:
    across, along = quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1]
    return np.asarray((across[:, 0] * along[:, 1] - across[:, 1] * along[:, 0]) / 2)


def _doubts(quads: Floats, weights: Floats, chosen: int) -> tuple[str, ...]:
    doubts = []
    best = quads[chosen]
    side = math.sqrt(abs(float(_area(quads[chosen : chosen + 1])[0])))
    other = np.linalg.norm(quads - best, axis=2).max(axis=1) > _SAME * side
    if other.any() and weights[chosen] - weights[other].max() < SURE:
        doubts.append("other corners fit as well")
    if abs(turned := geometry.tilt_deg(best)) > NEAR_45_DEG:
        doubts.append(f"turned by {abs(turned):.0f} degrees: top and side may be taken for each other")
    return tuple(doubts)
