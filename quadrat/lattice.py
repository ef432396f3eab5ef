"""Rows and columns of points: found from their places, joined to neighbours, made straight."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def numbered(count: int) -> tuple[str, ...]:
    """Point names ``"1"`` to ``str(count)``."""
    return tuple(str(k + 1) for k in range(count))


def neighbours(lattice_rc: ArrayLike) -> tuple[tuple[int, int], ...]:
    """Pairs of indices, smaller first and in order, of points one step apart in a row or column of ``[K, 2]`` cells."""
    cells = [(int(r), int(c)) for r, c in np.asarray(lattice_rc)]
    at = {cell: k for k, cell in enumerate(cells)}
    steps = (at.get(cell) for r, c in cells for cell in ((r, c + 1), (r + 1, c)))
    found = zip((k for k in range(len(cells)) for _ in range(2)), steps, strict=True)
    return tuple(sorted((min(i, j), max(i, j)) for i, j in found if j is not None))


def lattice_of(xy: ArrayLike) -> NDArray[np.int64]:
    """Row and column of points that lie roughly on an upright lattice.

    Each axis is cut where the sorted coordinates leave a gap that is wide: more than 0.4 of the widest. Gaps far below
    what the points would leave in a single row (0.3 of the larger extent divided by K) never count.

    Args:
        xy: ``[K, 2]`` finite, any unit.

    Returns:
        int64 ``[K, 2]``: ranks of row and column, from 0.

    Raises:
        ValueError: another shape, not finite, or two points in one cell (no lattice, or too crooked or turned).
    """
    places = np.asarray(xy, np.float64)
    if places.ndim != 2 or places.shape[1:] != (2,) or not len(places) or not np.isfinite(places).all():
        raise ValueError(f"places are {list(places.shape)}: expected finite [K, 2] with K >= 1")
    noise = 0.3 * float(np.ptp(places, axis=0).max()) / len(places)
    rc = np.stack([_ranks(places[:, 1], noise), _ranks(places[:, 0], noise)], axis=1)
    cells, first, count = np.unique(rc, axis=0, return_index=True, return_counts=True)
    if (count > 1).any():
        crowded = int(first[count > 1][0])
        raise ValueError(
            f"{len(places)} places form no upright lattice: {len(cells)} cells, two points in that of point "
            f"{crowded + 1}; give row and column of each (lattice_rc) in a YAML file"
        )
    return rc


def _ranks(values: NDArray[np.float64], noise: float) -> NDArray[np.int64]:
    order = np.argsort(values, kind="stable")
    gaps = np.diff(values[order])
    wide = gaps > max(noise, 0.4 * float(gaps.max(initial=0.0)))
    ranks = np.zeros(len(values), np.int64)
    ranks[order[1:]] = np.cumsum(wide)
    return ranks


def straightened(xy: NDArray[np.float64], rc: NDArray[np.int64]) -> NDArray[np.float64]:
    """Places ``[K, 2]`` in 0..1 with each row and column at its mean.

    The outermost rows and columns come to 0 and 1; one alone to 0.5. `rc` is what `lattice_of` says of `xy`.
    """
    uv = np.full(xy.shape, 0.5)
    for axis, ranks in enumerate((rc[:, 1], rc[:, 0])):
        means = np.bincount(ranks, xy[:, axis]) / np.bincount(ranks)
        if len(means) > 1:
            uv[:, axis] = ((means - means[0]) / (means[-1] - means[0]))[ranks]
    return uv
