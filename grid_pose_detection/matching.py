"""Candidates to the points of a template: false ones refused, missing ones filled in, doubts said.

`indexing` gives candidates rows and columns, `placing` finds which rows and columns of the template these are. Then a
homography and, for lens and sag, `warp` lay the template over the photo, and the Hungarian algorithm gives each point
its candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from grid_pose_detection import placing, projective, quads, warp
from grid_pose_detection.candidates import ANY, CROSSING, END, Candidates, Match, to_keypoints
from grid_pose_detection.indexing import Indexed, index
from grid_pose_detection.placing import Placing
from quadrat import geometry
from quadrat.homography import Homography
from quadrat.template import Template

__all__ = ["ANY", "CROSSING", "END", "Candidates", "Match", "best_match", "match", "to_keypoints"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_COST = 0.35
SURE = 3.0
"""Least margin of evidence (natural logarithm of a likelihood ratio) over the next best placing."""
SURE_UNSEEN = 3.0
"""The same where a whole outer row or column has no candidate, in units of what one point is worth."""
NEAR_45_DEG = 42.0
"""Quadrats turned further than this may as well be turned the other way."""
LEAST_EVIDENCE = 10.0

_INDEXED = 1.5  # candidates that the index is made of, at most, in points of the template; those of the best scores
_ROUNDS = 2
_TYPICAL = 0.12  # cells off that halve the weight of a pair
_GATE_MEDIANS, _LEAST_GATE = 4.0, 0.15  # farther off than so many times the median, and cells: false after all
_DOUBT = 0.05  # cells that a candidate of score 0 counts as farther away
_OTHER_KIND = 0.15  # cells that a candidate of the wrong kind counts as farther away
_FILLED = 0.5  # score of a filled point, as a share of its neighbours'


def match(candidates: Candidates, template: Template, *, max_cost: float = MAX_COST) -> Match | None:
    """Lay a template over candidates.

    Args:
        candidates: N points, in any order.
        template: of at least two rows and two columns.
        max_cost: cells, greatest distance of a point from where the fitted lattice has it.

    Returns:
        Every point of the template, or ``None`` where no lattice is.

    Raises:
        ValueError: the template has one row or column, or `max_cost` is not in 0..0.5.
    """
    return best_match(candidates, [template], max_cost=max_cost)


def best_match(candidates: Candidates, templates: Sequence[Template], *, max_cost: float = MAX_COST) -> Match | None:
    """Lay that of several templates over candidates which fits best; see `match`.

    Where another fits nearly as well, the match says so in `ambiguous`.

    Raises:
        ValueError: no template, or see `match`.
    """
    _check(templates, max_cost)
    if len(templates[0].names) == 4 and templates[0].lattice_shape == (2, 2):
        return quads.match_corners(candidates, templates[0])
    some = _likeliest(candidates, round(_INDEXED * max(len(t.names) for t in templates)))
    indexed = index(some.xy_px)
    if indexed is None:
        return None
    laid = [(p, t) for t in templates if (p := placing.place(indexed, some.kinds, t))]
    laid.sort(key=lambda one: -one[0].evidence)
    if not laid or laid[0][0].evidence < LEAST_EVIDENCE:
        return None
    best = _lay(candidates, indexed, *laid[0], max_cost)
    if best is not None and len(laid) > 1 and laid[0][0].evidence - laid[1][0].evidence < SURE:
        doubt = f"layout {laid[1][1].name} fits as well as {best.template.name}"
        best = replace(best, ambiguous=(*best.ambiguous, doubt))
    return best


def _check(templates: Sequence[Template], max_cost: float) -> None:
    if not templates:
        raise ValueError("no template: expected at least one layout to match")
    for template in templates:
        if min(template.lattice_shape) < 2:
            rows, columns = template.lattice_shape
            raise ValueError(f"layout {template.name!r} has {rows} x {columns} points: expected two rows and columns")
    if not 0 < max_cost <= 0.5:
        raise ValueError(f"max_cost is {max_cost}: expected cells, above 0 and at most 0.5")


def _likeliest(candidates: Candidates, count: int) -> Candidates:
    """At most so many, those of the highest scores."""
    if len(candidates) <= count:
        return candidates
    best = np.argsort(-candidates.scores, kind="stable")[:count]
    return Candidates(candidates.xy_px[best], candidates.scores[best], candidates.kinds[best])


# ------------------------------------------------------------------------------------------------ laying


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Places of a template's points in cells, about column and row: ``[K, 2]``, and the way there from ``uv``."""

    places: Floats
    from_uv: Homography


@lru_cache(maxsize=32)
def _cells(template: Template) -> _Cells:
    cr = template.lattice_rc[:, ::-1]
    scale, shift = np.array([np.polyfit(template.uv[:, i], cr[:, i], 1) for i in (0, 1)]).T
    return _Cells(template.uv * scale + shift, np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]], [0, 0, 1]]))


def _lay(
    candidates: Candidates, indexed: Indexed, placed: Placing, template: Template, max_cost: float
) -> Match | None:
    """Fit homography and warp to the pairs that the placing gives, then pair anew; twice."""
    cells = _cells(template)
    to_rough = _affine(placed) @ indexed.to_cells
    rough = projective.apply(to_rough, candidates.xy_px)
    used = placed.point >= 0
    point, pairs = placed.point[used], projective.apply(to_rough, indexed.xy_px[used])
    to_cells, moved = np.eye(3), np.zeros_like(cells.places)
    for _ in range(_ROUNDS):
        if len(point) < 4:
            return None
        to_cells, moved = _fit(template, pairs, point, to_cells, moved)
        flat = projective.apply(to_cells, rough)
        point, chosen = _assign(candidates, flat, cells.places + moved, template, max_cost)
        pairs = rough[chosen]
    gap = np.linalg.norm(flat[chosen] - (cells.places + moved)[point], axis=1)
    typical = gap <= max(_LEAST_GATE, _GATE_MEDIANS * float(np.median(gap))) if len(gap) else gap > 0
    point, chosen, gap = point[typical], chosen[typical], gap[typical]
    if len(point) < 4:
        return None
    from_cells = np.asarray(np.linalg.inv(to_cells @ to_rough), np.float64)
    lattice_px = _map(from_cells, cells.places + moved)
    homography = from_cells @ cells.from_uv
    corners = _map(homography, np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]))
    if lattice_px is None or corners is None:
        return None
    found = np.zeros(len(template.names), np.bool_)
    found[point] = True
    lattice_px[point] = candidates.xy_px[chosen]
    return Match(
        template,
        lattice_px,
        found,
        _scores(template, point, candidates.scores[chosen]),
        homography / abs(homography[2, 2]),
        float(np.median(gap)),
        len(candidates) - len(point),
        _doubts(template, found, placed, corners),
    )


def _affine(placed: Placing) -> Homography:
    """From steps of the index to columns and rows of the template."""
    return np.block([[placed.turn, placed.shift[:, None]], [np.zeros((1, 2)), np.ones((1, 1))]]).astype(np.float64)


def _fit(template: Template, rough: Floats, point: Ints, start: Homography, moved: Floats) -> tuple[Homography, Floats]:
    """Homography from rough to true cells, and by how much lens and sag move each point; wrong pairs weigh little."""
    places = _cells(template).places[point]
    to_cells = start
    for _ in range(2):
        off = projective.apply(to_cells, rough) - places - moved[point]
        weights = 1 / (1 + np.square(off).sum(axis=1) / _TYPICAL**2)
        to_cells = projective.fit(rough, places, weights, to_cells)
    return to_cells, warp.field(template, point, projective.apply(to_cells, rough) - places)


def _assign(
    candidates: Candidates, flat: Floats, places: Floats, template: Template, max_cost: float
) -> tuple[Ints, Ints]:
    """Points and their candidates, at the least sum of distances; being without one costs `max_cost`."""
    near = np.flatnonzero(((flat > places.min(axis=0) - 1) & (flat < places.max(axis=0) + 1)).all(axis=1))
    if not len(near):
        return near, near
    gap = cdist(places, flat[near])
    kinds = candidates.kinds[near]
    other = (kinds != ANY) & (kinds != placing.nodes(template).sort[: len(places), None])
    cost = gap + _DOUBT * (1 - candidates.scores[near]) + _OTHER_KIND * other
    cost = np.where(gap <= max_cost, np.minimum(cost, max_cost), max_cost + 1e-6)
    point, chosen = linear_sum_assignment(cost)
    good = gap[point, chosen] <= max_cost
    return point[good], near[chosen[good]]


def _map(homography: Homography, xy: Floats) -> Floats | None:
    """Mapped points, or ``None`` where some lie behind the horizon."""
    mapped = xy @ homography[:, :2].T + homography[:, 2]
    return mapped[:, :2] / mapped[:, 2:] if (mapped[:, 2] > 0).all() else None


@lru_cache(maxsize=32)
def _nearness(template: Template) -> Floats:
    """How much each point says of each other one: ``[K, K]``."""
    cr = template.lattice_rc
    return np.asarray(np.exp(-np.square(cr[:, None] - cr[None]).sum(axis=2) / 4.0) + 1e-9)


def _scores(template: Template, point: Ints, scores: Floats) -> Floats:
    near = _nearness(template)[:, point]
    filled = _FILLED * (near @ scores) / near.sum(axis=1)
    filled[point] = scores
    return np.asarray(filled)


# ------------------------------------------------------------------------------------------------ doubts


def _doubts(template: Template, found: NDArray[np.bool_], placed: Placing, corners: Floats) -> tuple[str, ...]:
    doubts = []
    unseen = _unseen_sides(template, found)
    if placed.margin < SURE:
        doubts.append(f"the grid fits as well {_shifted(placed.rival)}")
    elif unseen and placed.margin < SURE_UNSEEN * placed.one_point:
        doubts.append(f"no point seen in the {' and the '.join(unseen)}")
    if abs(turned := geometry.tilt_deg(corners)) > NEAR_45_DEG:
        doubts.append(f"turned by {abs(turned):.0f} degrees: rows and columns may be taken for each other")
    return tuple(doubts)


def _unseen_sides(template: Template, found: NDArray[np.bool_]) -> list[str]:
    rc, (rows, columns) = template.lattice_rc, template.lattice_shape
    sides = {
        "top row": rc[:, 0] == 0,
        "bottom row": rc[:, 0] == rows - 1,
        "left column": rc[:, 1] == 0,
        "right column": rc[:, 1] == columns - 1,
    }
    return [name for name, side in sides.items() if not found[side].any()]


def _shifted(rival: tuple[int, int] | None) -> str:
    if rival is None:
        return "turned another way"
    columns, rows = rival
    words = [f"{abs(n)} {name}{'s' if abs(n) > 1 else ''}" for n, name in ((columns, "column"), (rows, "row")) if n]
    return f"shifted by {' and '.join(words)}"
