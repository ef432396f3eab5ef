"""Candidates to rows and columns, before any template is looked at.

From a few seeds: the two steps of the lattice about a seed are those differences of neighbours that many neighbours
share. From there a homography to row and column numbers grows outwards ring by ring, as perspective changes the steps
slowly. All seeds grow at once; the one that most candidates agree with wins. What the homography leaves over (lens,
sagging strings) is taken up by a cubic surface before the numbers are rounded for good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from grid_pose_detection import projective
from quadrat.homography import Homography

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BATCHES = (slice(0, 24, 4), slice(2, None, 5), slice(0, 72, 3))  # of points by distance from the middle
_ENOUGH = 0.74  # agreement, as a share of the candidates, that makes more seeds needless
_NEIGHBOURS = 10
_SAME_STEP = 0.22  # differences this close, in lengths of the step, are one step
_REFINED = np.array([[[1.0, 0], [0, 1]], [[2, 0], [0, 1]], [[1, 0], [0, 2]], [[2, 0], [-1, 1]]])
"""Cells as found, and halved in the three ways there are: a seed may have taken two steps for one."""
_RINGS = (1.7, 2.6, 3.8, 5.5, 8.0, 12.0, np.inf)  # cells from the seed
_NEAR = 0.3  # cells from a whole number: agrees


@dataclass(frozen=True, slots=True, eq=False)
class Indexed:
    """Candidates on a lattice whose origin, handedness and axes are arbitrary.

    Attributes:
        xy_px: float64 ``[N, 2]``, the candidates.
        cells: float64 ``[N, 2]``, place of each candidate in steps of the lattice, lens and sag taken out.
        to_cells: homography from px to cells, without what lens and sag do.
        weights: float64 ``[N]``, 0..1: trust that a candidate is one of the lattice, by its distance from a crossing.
    """

    xy_px: Floats
    cells: Floats
    to_cells: Homography
    weights: Floats

    @property
    def nearest(self) -> Ints:
        """int64 ``[N, 2]``, the nearest crossing of each candidate."""
        return np.rint(self.cells).astype(np.int64)


def index(xy_px: Floats) -> Indexed | None:
    """Find the lattice in points.

    Args:
        xy_px: ``[N, 2]``.

    Returns:
        The lattice that most points agree with, or ``None`` where no neighbourhood has two steps.
    """
    if len(xy_px) < 4:
        return None
    near = cKDTree(xy_px).query(xy_px, min(_NEIGHBOURS, len(xy_px) - 1) + 1)[1]
    order = np.argsort(np.square(xy_px - np.median(xy_px, axis=0)).sum(axis=1))
    best: Indexed | None = None
    for batch in range(len(_BATCHES)):
        found = _from_seeds(xy_px, near, order[_BATCHES[batch]])
        if found is not None and (best is None or found.weights.sum() > best.weights.sum()):
            best = found
        if best is not None and best.weights.sum() > _ENOUGH * len(xy_px):
            break
    return best


def _from_seeds(xy: Floats, near: Ints, seeds: Ints) -> Indexed | None:
    seeds, bases = _steps(xy, near, seeds)
    if not len(seeds):
        return None
    to_local = np.linalg.inv(bases)
    local = (xy[None] - xy[seeds, None]) @ to_local.swapaxes(1, 2)
    grown = _grow(local)
    cells = np.einsum("rij,snj->rsni", _REFINED, projective.apply(grown, local))
    finer, best = np.unravel_index(int(_agreement(cells).sum(axis=2).argmax()), cells.shape[:2])
    refined = np.eye(3)
    refined[:2, :2] = _REFINED[finer]
    return _settled(xy, xy[seeds[best]], to_local[best], local[best], refined @ grown[best])


def _steps(xy: Floats, near: Ints, seeds: Ints) -> tuple[Ints, Floats]:
    """Those of the seeds ``[S]`` that have two steps, and the steps as columns ``[S, 2, 2]`` px."""
    away = xy[near[:, 1:]] - xy[:, None]  # [N, k, 2]
    around = near[seeds]  # [S, k + 1]
    votes = away[around].reshape(len(seeds), -1, 2)  # steps that the seed and its neighbours see
    own = away[seeds]  # [S, k, 2], nearest first
    off = np.abs(_complex(votes)[:, None, :] - _complex(own)[:, :, None])
    length = np.linalg.norm(own, axis=2)
    support = (off < _SAME_STEP * length[:, :, None]).sum(axis=2)
    return _bases(seeds, own, length, support, votes, off)


def _complex(xy: Floats) -> NDArray[np.complex128]:
    return np.asarray(xy[..., 0] + 1j * xy[..., 1])


def _bases(seeds: Ints, own: Floats, length: Floats, support: Ints, votes: Floats, off: Floats) -> tuple[Ints, Floats]:
    """The shortest step of each seed that has support, and the shortest of those across it."""
    rows = np.arange(len(seeds))
    first = np.where(support >= np.maximum(3, 0.5 * support.max(axis=1, keepdims=True)), length, np.inf).argmin(axis=1)
    a = own[rows, first]
    sine = np.abs(own[..., 0] * a[:, None, 1] - own[..., 1] * a[:, None, 0])
    across = np.where(sine > 0.4 * length * length[rows, first, None], support, 0)
    enough = across >= np.maximum(2, 0.5 * across.max(axis=1, keepdims=True))
    second = np.where(enough, length, np.inf).argmin(axis=1)
    good = enough[rows, second] & (support[rows, first] >= 3)
    chosen = np.stack([first, second], axis=1)[good]  # [G, 2]
    kept = np.flatnonzero(good)[:, None]
    same = off[kept, chosen] < _SAME_STEP * length[kept, chosen, None]  # [G, 2, V]
    means = same.astype(np.float64) @ votes[good] / same.sum(axis=2, keepdims=True)
    return seeds[good], means.swapaxes(1, 2)


def _grow(local: Floats) -> Floats:
    """Homographies ``[S, 3, 3]`` from steps about each seed, ``[S, N, 2]``, to cells."""
    grown = np.tile(np.eye(3), (len(local), 1, 1))
    for ring in _RINGS:
        cells = projective.apply(grown, local)
        inside = np.abs(cells).max(axis=2) <= ring
        grown = projective.fit(local, np.rint(cells), _agreement(cells) * inside, grown)
    return grown


def _agreement(cells: Floats) -> Floats:
    """0..1, how near each place ``[..., N, 2]`` is to a crossing."""
    off = np.square(cells - np.rint(cells)).sum(axis=-1)
    return np.asarray(np.maximum(1 - off / _NEAR**2, 0))


def _settled(xy: Floats, origin: Floats, to_local: Floats, local: Floats, grown: Floats) -> Indexed:
    """Fit once more to all that agree, and take out what is left over."""
    cells = projective.apply(grown, local)
    for _ in range(2):
        grown = projective.fit(local, np.rint(cells), _agreement(cells), grown)
        flat = projective.apply(grown, local)
        cells = flat - _cubic(flat, _agreement(cells), np.rint(cells))
    to_cells = grown @ np.block([[to_local, -(to_local @ origin)[:, None]], [np.zeros((1, 2)), np.ones((1, 1))]])
    return Indexed(xy, cells, to_cells, _agreement(cells))


def _cubic(flat: Floats, weights: Floats, crossings: Floats) -> Floats:
    """What a cubic surface says that `flat` is off from `crossings`, ``[N, 2]``; nothing far away from them."""
    used = weights > 0
    centre = flat[used].mean(axis=0)
    reach = np.abs(flat[used] - centre).max(axis=0) + 0.5
    x, y = np.clip((flat - centre) / reach, -1.3, 1.3).T
    ones = np.ones_like(x)
    terms = np.stack([ones, x, y, x * x, x * y, y * y, x**3, x * x * y, x * y * y, y**3], axis=1)
    weighted = terms * weights[:, None]
    system = weighted.T @ terms + 0.5 * np.eye(10)
    return np.asarray(terms @ np.linalg.solve(system, weighted.T @ (flat - crossings)))
