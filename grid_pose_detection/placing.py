"""Rows and columns to the rows and columns of a template: which way round, and shifted how far.

Every candidate on a crossing votes for each shift that brings a point of the template there; what its vote weighs is
the log of how much likelier it is as that point than as something false. Rows are those that run across the photo, so
what is open is only the shift, and a shear, as a lattice has more than one pair of steps.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from grid_pose_detection.candidates import ANY, CROSSING, END
from grid_pose_detection.indexing import Indexed
from quadrat.template import Template

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SPREAD = 0.055  # cells a found point lies off its crossing, along each axis; Student's t, for there are worse ones
_TAIL = 4.0  # its degrees of freedom
_BAR = 2.0  # log of how much denser false points lie on a bar of the frame than elsewhere
_CONFUSED = 0.05  # share of the kinds that are wrong
_TURNS = 3  # pairs of steps that are tried
_TURNED_DEG = 50.0
_REACH = 60  # cells from the middle
_NODE_CROSSING, _NODE_END, _NODE_FRAME = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Placing:
    """One way to lay a template over indexed candidates.

    Attributes:
        turn: int64 ``[2, 2]``, from steps of the index to columns and rows.
        shift: int64 ``[2]``, column and row number of cell (0, 0) of the turned index.
        point: int64 ``[N]``, which point of the template each candidate is taken for; -1 for none.
        evidence: log of how much likelier candidates are, as points and as ends on the frame, than as false ones; and
            how likely it is that so many of all are there. Comparable between templates.
        one_point: what a typical candidate adds to the evidence for a shift.
        margin: by how much all evidence surpasses that of the next best placing.
        rival: column and row by which that one is shifted against this; ``None`` where it is turned another way.
    """

    turn: Ints
    shift: Ints
    point: Ints
    evidence: float
    one_point: float
    margin: float
    rival: tuple[int, int] | None


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """The points of a template, and where strings end on the frame beyond them, if the points do not say so.

    Attributes:
        cr: int64 ``[M, 2]``, column and row; those of the template first.
        sort: int64 ``[M]``: a crossing, an end that is a point, an end on the frame that is none.
    """

    cr: Ints
    sort: Ints


@lru_cache(maxsize=32)
def nodes(template: Template) -> Nodes:
    """Nodes of a template."""
    cr = template.lattice_rc[:, ::-1]
    ends = ((template.uv <= 0) | (template.uv >= 1)).any(axis=1)
    sort = np.where(ends, _NODE_END, _NODE_CROSSING)
    if ends.any():
        return Nodes(cr, sort)
    columns, rows = cr.max(axis=0) + 1
    beyond = [(c, r) for c in range(columns) for r in (-1, rows)] + [(c, r) for r in range(rows) for c in (-1, columns)]
    return Nodes(np.concatenate([cr, beyond]), np.concatenate([sort, np.full(len(beyond), _NODE_FRAME)]))


def place(indexed: Indexed, kinds: Ints, template: Template) -> Placing | None:
    """The likeliest placing.

    Args:
        indexed: N candidates.
        kinds: int64 ``[N]``.
        template: layout.

    Returns:
        The placing, or ``None`` where no candidate is on a crossing or no steps run across and down.
    """
    used = _one_a_crossing(indexed)
    turns = _turns(indexed, used)
    if not len(turns):
        return None
    at, odds = nodes(template), _odds(len(used), len(template.names))
    gains = _gains(indexed, used, kinds, len(template.names))
    cells = indexed.nearest[used] @ turns.swapaxes(1, 2)  # [T, n, 2]
    tally, low = _tally(cells, at, gains)
    if (at.sort == _NODE_FRAME).any():
        tally += _on_bars(indexed, kinds, turns, template.lattice_shape[::-1], low, tally.shape)
    turn, v, u = np.unravel_index(int(tally.argmax()), tally.shape)
    shift = np.array([u, v]) + low
    point = np.full(len(indexed.cells), -1)
    point[used] = _points(template, cells[turn] + shift)
    worth = _worth(cells[turn] + shift, at, gains)
    expected = len(template.names) if (kinds == ANY).all() else len(at.sort)
    margin, rival = _next_best(tally, (int(turn), int(v), int(u)))
    there = len(worth) / expected
    evidence = float((worth - odds).sum()) - expected * _entropy(min(there, 1.0))
    return Placing(turns[turn], shift, point, evidence, float(np.median(worth)), margin, rival)


def _odds(found: int, expected: int) -> float:
    """Log odds that a point is among the candidates."""
    share = min(max(found / expected, 0.2), 0.9)
    return math.log(share / (1 - share))


def _entropy(share: float) -> float:
    return -sum(p * math.log(p) for p in (share, 1 - share) if p > 0)


def _worth(cr: Ints, at: Nodes, gains: Floats) -> Floats:
    """What each candidate that is on a node adds to the evidence; 0 alone where none is."""
    number = np.full((at.cr.max(axis=0) + 3)[::-1], -1)  # one row and column before and after
    number[at.cr[:, 1] + 1, at.cr[:, 0] + 1] = at.sort
    inside = ((cr >= -1) & (cr <= at.cr.max(axis=0) + 1)).all(axis=1)
    sort = number[cr[inside, 1] + 1, cr[inside, 0] + 1]
    worth = gains[inside][np.arange(len(sort)), sort][sort >= 0]
    return worth[worth > 0] if (worth > 0).any() else np.zeros(1)


def _tally(cells: Ints, at: Nodes, gains: Floats) -> tuple[Floats, Ints]:
    """Evidence for each turn and shift ``[T, rows, columns]``, and the least shift (column, row) of these."""
    flat = cells.reshape(-1, 2)
    low = at.cr.min(axis=0) - flat.max(axis=0)
    columns, rows = at.cr.max(axis=0) - flat.min(axis=0) - low + 1
    stride = np.array([1, columns])
    of_cells = (np.arange(len(cells)) * rows * columns)[:, None] - (cells + low) @ stride
    bins = of_cells[:, :, None] + at.cr @ stride  # a candidate and a node: the shift that brings one to the other
    votes = np.broadcast_to(gains[:, at.sort], bins.shape)
    tally = np.bincount(bins.ravel(), votes.ravel(), minlength=int(len(cells) * rows * columns))
    return tally.astype(np.float64).reshape(len(cells), int(rows), int(columns)), low


def _on_bars(
    indexed: Indexed, kinds: Ints, turns: Ints, size: tuple[int, int], low: Ints, shape: tuple[int, ...]
) -> Floats:
    """Evidence ``[T, rows, columns]`` from what lies on the bars, a step beyond the lattice: false points like them."""
    places = indexed.cells @ turns.swapaxes(1, 2)  # [T, N, 2]
    on_lattice = places[:, indexed.weights > 0]
    within = np.abs(places - np.median(on_lattice, axis=1, keepdims=True)) < np.array(size) / 2 + 1.5
    bins = np.rint(places).astype(np.int64)
    off = np.square(places - bins) / (_TAIL * _SPREAD**2)
    gains = np.maximum(_BAR - (_TAIL + 1) / 2 * np.log1p(off), 0) * (within[..., ::-1] & (kinds != CROSSING)[:, None])
    evidence = np.zeros(shape)
    for axis in (0, 1):
        count = shape[2 - axis]
        start = np.arange(len(turns))[:, None] * count
        for bar in (-1, size[axis]):
            at = bar - bins[..., axis] - low[axis]
            inside = (at >= 0) & (at < count)
            sums = np.bincount((start + at)[inside], gains[..., axis][inside], minlength=len(turns) * count)
            evidence += sums.reshape(-1, 1, count) if axis == 0 else sums.reshape(-1, count, 1)
    return evidence


def _next_best(tally: Floats, best: tuple[int, int, int]) -> tuple[float, tuple[int, int] | None]:
    """By how much it is less, and how it is shifted (`None`: turned another way)."""
    most = float(tally[best])
    tally[best] = -np.inf
    turn, v, u = (int(i) for i in np.unravel_index(int(tally.argmax()), tally.shape))
    margin = most - max(float(tally[turn, v, u]), 0.0)
    return margin, (u - best[2], v - best[1]) if turn == best[0] else None


def _points(template: Template, cr: Ints) -> Ints:
    """Which point of the template each column and row ``[n, 2]`` is; -1 for none."""
    rows, columns = template.lattice_shape
    number = np.full((rows + 1, columns + 1), -1)
    number[template.lattice_rc[:, 0], template.lattice_rc[:, 1]] = np.arange(len(template.names))
    inside = ((cr >= 0) & (cr < (columns, rows))).all(axis=1)
    return np.asarray(number[np.where(inside, cr[:, 1], rows), np.where(inside, cr[:, 0], columns)])


def _one_a_crossing(indexed: Indexed) -> Ints:
    """Candidates on a crossing, the nearest of each, not farther than a template can reach."""
    used = np.flatnonzero(indexed.weights > 0)
    used = used[np.argsort(-indexed.weights[used])]
    at = indexed.nearest[used]
    near = (np.abs(at - np.median(at, axis=0)) <= _REACH).all(axis=1)
    used, at = used[near], at[near].astype(np.int64)
    first = np.unique(at[:, 0] * 4 * _REACH + at[:, 1], return_index=True)[1]
    return np.asarray(used[first])


def _gains(indexed: Indexed, used: Ints, kinds: Ints, points: int) -> Floats:
    """What each of `used` weighs as a crossing, an end that is a point, and an end that is none: ``[n, 3]``."""
    false = max(len(indexed.weights) - len(used), 3) / (2 * points)  # a cell
    off = np.square(indexed.cells[used] - indexed.nearest[used]).sum(axis=1)
    gain = _odds(len(used), points) - math.log(2 * math.pi * _SPREAD**2 * false)
    gain = gain - (_TAIL / 2 + 1) * np.log1p(off / (_TAIL * _SPREAD**2))
    told = np.array([[1 - _CONFUSED, _CONFUSED, _CONFUSED], [_CONFUSED, 1 - _CONFUSED, 1 - _CONFUSED], [0.5, 0.5, 0.5]])
    kind = kinds[used]
    gains = np.maximum(gain[:, None] + np.log(2 * told[kind]), 0)  # ANY is -1, the last row
    gains[kind != END, _NODE_FRAME] = 0
    return np.asarray(gains)


def _turns(indexed: Indexed, used: Ints) -> Ints:
    """Pairs of steps that run across and down the photo, the most upright first: ``[T, 2, 2]``."""
    if not len(used):
        return np.zeros((0, 2, 2), np.int64)
    steps = np.linalg.inv(_slope(indexed.to_cells, np.median(indexed.xy_px[used], axis=0))) @ _UNIMODULAR_INVERSE
    unit = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    sine = unit[:, 0, 0] * unit[:, 1, 1] - unit[:, 1, 0] * unit[:, 0, 1]
    turned = np.degrees(np.arctan2(unit[:, 1, 0] - unit[:, 0, 1], unit[:, 0, 0] + unit[:, 1, 1]))
    good = np.flatnonzero((sine > 0.2) & (np.abs(turned) <= _TURNED_DEG))
    return np.asarray(_UNIMODULAR[good[np.argsort(-sine[good])[:_TURNS]]])


def _slope(homography: Floats, xy: Floats) -> Floats:
    """Derivative ``[2, 2]`` of what a homography maps at a point ``[2]``."""
    x, y, w = homography @ np.array([*xy, 1.0])
    return np.asarray((homography[:2, :2] - np.outer([x / w, y / w], homography[2, :2])) / w)


def _unimodular() -> Ints:
    all_four = np.array(list(itertools.product(range(-2, 3), repeat=4))).reshape(-1, 2, 2)
    det = all_four[:, 0, 0] * all_four[:, 1, 1] - all_four[:, 0, 1] * all_four[:, 1, 0]
    return np.asarray(all_four[np.abs(det) == 1])


_UNIMODULAR = _unimodular()
_UNIMODULAR_INVERSE = np.rint(np.linalg.inv(_UNIMODULAR))
