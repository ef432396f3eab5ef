"""Homographies fitted fast, many at once, where the pairs are known but for a few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PRIOR = np.diag([0.25, 0.25, 1e-3, 0.25, 0.25, 1e-3, 2.0, 2.0])
"""Weight, in points, of the belief that the map is nearly the identity: keeps a fit to few points from running wild."""
_IDENTITY = np.eye(3).reshape(9, 1)[:8]


def fit(src: Floats, dst: Floats, weights: Floats, start: Floats, prior: Floats = _PRIOR) -> Floats:
    """Homographies from `src` to `dst` by weighted least squares about a first guess.

    The algebraic error, divided by the depth that `start` gives, is nearly the distance in units of `dst`.

    Args:
        src: ``[..., N, 2]``, about the size of `dst`.
        dst: ``[..., N, 2]``.
        weights: ``[..., N]``, at least 0.
        start: ``[..., 3, 3]``, whose depth is used.
        prior: ``[8, 8]``, weight of the belief in the identity.

    Returns:
        float64 ``[..., 3, 3]``, the last entry 1.
    """
    w = weights / np.square(depth(start, src))
    ones = np.concatenate([src, np.ones((*src.shape[:-1], 1))], axis=-1)  # x, y, 1; then these times u, times v
    terms = np.concatenate([ones, ones * dst[..., :1], ones * dst[..., 1:]], axis=-1)
    products = (terms * w[..., None]).swapaxes(-1, -2) @ terms  # [..., 9, 9]: all sums that the normal equations need
    system, right = np.zeros((*products.shape[:-2], 8, 8)), np.empty((*products.shape[:-2], 8, 1))
    system[..., 0:3, 0:3] = system[..., 3:6, 3:6] = products[..., 0:3, 0:3]
    system[..., 0:3, 6:8], system[..., 3:6, 6:8] = -products[..., 0:3, 3:5], -products[..., 0:3, 6:8]
    system[..., 6:8, 0:6] = system[..., 0:6, 6:8].swapaxes(-1, -2)
    system[..., 6:8, 6:8] = products[..., 3:5, 3:5] + products[..., 6:8, 6:8]
    right[..., 0:3, 0], right[..., 3:6, 0] = products[..., 0:3, 5], products[..., 0:3, 8]
    right[..., 6:8, 0] = -products[..., 3:5, 5] - products[..., 6:8, 8]
    solved = np.ones((*products.shape[:-2], 9))
    solved[..., :8] = np.linalg.solve(system + prior, right + prior @ _IDENTITY)[..., 0]
    return solved.reshape(*products.shape[:-2], 3, 3)


def depth(homography: Floats, xy: Floats) -> Floats:
    """The third component of mapped points ``[..., N]``, kept from coming near 0 or below."""
    mapped = xy @ homography[..., 2, :2, None] + homography[..., 2, 2, None, None]
    return np.maximum(mapped[..., 0], 0.05)


def apply(homography: Floats, xy: Floats) -> Floats:
    """Map points ``[..., N, 2]``; those at or behind the horizon go far away."""
    mapped = xy @ homography[..., :2, :2].swapaxes(-1, -2) + homography[..., None, :2, 2]
    return np.asarray(mapped / depth(homography, xy)[..., None])
