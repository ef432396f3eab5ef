"""Homographies fitted fast, many at once, where the pairs are known but for a few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PRIOR = np.diag([0.25, 0.25, 1e-3, 0.25, 0.25, 1e-3, 2.0, 2.0])
"""Weight, in points, of the belief that the map is nearly the identity: keeps a fit to few points from running wild."""


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
    x, y = src[..., 0], src[..., 1]
    u, v = dst[..., 0], dst[..., 1]
    rows = np.zeros((*w.shape, 2, 8))
    rows[..., 0, 0] = rows[..., 1, 3] = x
    rows[..., 0, 1] = rows[..., 1, 4] = y
    rows[..., 0, 2] = rows[..., 1, 5] = 1
    rows[..., 6] = -dst * x[..., None]
    rows[..., 7] = -dst * y[..., None]
    flat = rows.reshape(*w.shape[:-1], -1, 8)
    weighted = (flat * np.repeat(w, 2, axis=-1)[..., None]).swapaxes(-1, -2)
    right = weighted @ np.stack([u, v], axis=-1).reshape(*w.shape[:-1], -1, 1)
    right += (prior @ np.array([1.0, 0, 0, 0, 1, 0, 0, 0]))[:, None]
    solved = np.linalg.solve(weighted @ flat + prior, right)[..., 0]
    return np.concatenate([solved, np.ones((*solved.shape[:-1], 1))], axis=-1).reshape(*solved.shape[:-1], 3, 3)


def depth(homography: Floats, xy: Floats) -> Floats:
    """The third component of mapped points ``[..., N]``, kept from coming near 0 or below."""
    mapped = xy @ homography[..., 2, :2, None] + homography[..., 2, 2, None, None]
    return np.maximum(mapped[..., 0], 0.05)


def apply(homography: Floats, xy: Floats) -> Floats:
    """Map points ``[..., N, 2]``; those at or behind the horizon go far away."""
    mapped = xy @ homography[..., :2, :2].swapaxes(-1, -2) + homography[..., None, :2, 2]
    return np.asarray(mapped / depth(homography, xy)[..., None])
