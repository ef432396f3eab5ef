"""What lens and sagging strings move the points of a lattice by, off the homography: Gaussian process regression.

The prior has two parts: a smooth field over the whole frame (lens), and for each string a bow of its own across itself
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapter 2).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

from quadrat.template import Template

Floats = NDArray[np.float64]

_LENS_CELLS, _LENS_REACH = 0.12, 0.45  # standard deviation; reach as a share of the lattice's extent
_BOW_CELLS, _BOW_REACH = 0.07, 0.5
_NOISE_CELLS = 0.06


def field(template: Template, at: NDArray[np.int64], off: Floats) -> Floats:
    """Where all points lie, from some.

    Args:
        template: K points.
        at: ``[n]``, which points are known.
        off: ``[n, 2]``, by how much they are off their places, in cells: across, down.

    Returns:
        float64 ``[K, 2]``, smooth: also what is known is met only as well as its noise is worth.
    """
    moved = np.empty((len(template.names), 2))
    for axis, prior in enumerate(_priors(template)):
        known = prior[np.ix_(at, at)]
        known[np.diag_indices(len(at))] += _NOISE_CELLS**2
        moved[:, axis] = prior[:, at] @ dposv(known, off[:, axis])[1]  # positive definite: there is noise
    return moved


@lru_cache(maxsize=32)
def _priors(template: Template) -> tuple[Floats, Floats]:
    """Covariances ``[K, K]`` of what moves points across, and down."""
    cr = template.lattice_rc[:, ::-1]
    place = cr / np.maximum(cr.max(axis=0), 1)
    gap = place[:, None] - place[None]
    lens = _LENS_CELLS**2 * np.exp(-np.square(gap).sum(axis=2) / (2 * _LENS_REACH**2))
    bows = _BOW_CELLS**2 * np.exp(
        -np.square(gap) / (2 * _BOW_REACH**2)
    )  # a column moves across, and bends on its way down
    same = cr[:, None] == cr[None]
    return lens + same[..., 0] * bows[..., 1], lens + same[..., 1] * bows[..., 0]
