"""Homographies of the plane: fitted, applied, inverted.

A homography is float64 ``[3, 3]`` for column vectors ``(x, y, 1)``. Those made here are scaled so that the third
component ``w`` of what they map is positive on the side of the horizon that the camera sees; their inverses keep that.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Homography = NDArray[np.float64]
Points = NDArray[np.float64]


def fit_homography(src: ArrayLike, dst: ArrayLike, threshold: float = 3.0) -> tuple[Homography, NDArray[np.bool_]]:
    """The homography from `src` to `dst`, whatever some wrong pairs say.

    Four pairs are met exactly. With more, MAGSAC++ (Barath et al., CVPR 2020; OpenCV's) finds the good ones, on which
    the least squares of the reprojection error are then solved, twice.

    Args:
        src: ``[N, 2]``, N >= 4, finite.
        dst: ``[N, 2]``, the pair of each.
        threshold: largest error of a good pair, in units of `dst`.

    Returns:
        H, and bool ``[N]``: which pairs are good.

    Raises:
        ValueError: too few points, or points that fix no homography (on a line, on one spot, folded, contradictory).
    """
    a, b = as_points(src, "src"), as_points(dst, "dst")
    if len(a) != len(b) or len(a) < 4:
        raise ValueError(f"{len(a)} points in src, {len(b)} in dst: expected as many in both, at least 4")
    to_a, to_b = _normaliser(a, "src"), _normaliser(b, "dst")
    na, nb = apply_homography(to_a, a), apply_homography(to_b, b)
    good = np.ones(len(a), np.bool_)
    if len(a) > 4:
        scaled = threshold * float(to_b[0, 0])
        good = _vote(na, nb, scaled)
        for _ in range(2):
            fitted = _least_squares(na, nb, good)
            good = _errors(fitted, na, nb) <= scaled
    fitted = _least_squares(na, nb, good)
    return _scaled(np.linalg.inv(to_b) @ fitted @ to_a), good


def apply_homography(homography: ArrayLike, xy: ArrayLike) -> Points:
    """Map points.

    Args:
        homography: ``[3, 3]``.
        xy: ``[..., 2]``.

    Returns:
        float64 of the same shape.

    Raises:
        ValueError: another shape, or points on both sides of (or on) the line that goes to infinity.
    """
    h, points = as_homography(homography), np.asarray(xy, np.float64)
    if points.shape[-1:] != (2,):
        raise ValueError(f"xy is {list(points.shape)}: expected [..., 2]")
    mapped = points @ h[:, :2].T + h[:, 2]
    w = mapped[..., 2:]
    if w.size and not ((w > 0).all() or (w < 0).all()):
        raise ValueError("the points lie on both sides of the horizon of the homography: it cannot map them together")
    xy_mapped: Points = mapped[..., :2] / w
    return xy_mapped


def invert(homography: ArrayLike) -> Homography:
    """The homography back.

    Raises:
        ValueError: it is singular.
    """
    h = as_homography(homography)
    try:
        return _scaled(np.linalg.inv(h))
    except np.linalg.LinAlgError:
        raise ValueError("the homography is singular: it folds the plane onto a line and has no inverse") from None


def area_scale(homography: ArrayLike, xy: ArrayLike) -> NDArray[np.float64]:
    """How many times larger a small area becomes at each point: ``|det J| = |det H / w^3|``, float64 ``[...]``."""
    h, points = as_homography(homography), np.asarray(xy, np.float64)
    scale: NDArray[np.float64] = np.abs(np.linalg.det(h) / (points @ h[2, :2] + h[2, 2]) ** 3)
    return scale


def _vote(src: Points, dst: Points, threshold: float) -> NDArray[np.bool_]:
    px = 300.0  # OpenCV's MAGSAC expects coordinates of the size of pixels: on normalised ones it missed 1 in 4
    found, good = cv2.findHomography(
        src * px, dst * px, cv2.USAC_MAGSAC, threshold * px, maxIters=10_000, confidence=0.9999
    )
    if found is None:
        raise ValueError(f"{len(src)} points fix no homography: most lie on a line or contradict each other")
    return np.asarray(good.ravel(), np.bool_)


def _least_squares(src: Points, dst: Points, good: NDArray[np.bool_]) -> Homography:
    """Least squares on good pairs of normalised points; refuses pairs that leave a freedom or fold the plane."""
    if np.count_nonzero(good) < 4:
        raise ValueError(f"{len(src)} points fix no homography: only {np.count_nonzero(good)} agree, 4 are needed")
    a, b = src[good], dst[good]
    ones, zeros = np.ones((len(a), 1)), np.zeros((len(a), 3))
    p = np.hstack([a, ones])
    system = np.vstack([np.hstack([p, zeros, -b[:, :1] * p]), np.hstack([zeros, p, -b[:, 1:] * p])])
    strength = np.linalg.svd(system, compute_uv=False)
    if strength[7] < 1e-6 * strength[0]:
        raise ValueError(f"{len(a)} points fix no homography: too many of them lie on one line")
    if len(a) == 4:
        fitted = np.linalg.svd(system)[2][8].reshape(3, 3)
    else:
        fitted = np.asarray(cv2.findHomography(a, b, 0)[0], np.float64)
    w = p @ fitted[2]
    if np.linalg.cond(fitted) > 1e7 or not ((w > 0).all() or (w < 0).all()):
        raise ValueError(f"{len(a)} points fix no homography: they would fold the plane (points on a line, or crossed)")
    facing: Homography = fitted if w[0] > 0 else -fitted
    return facing


def _errors(h: Homography, src: Points, dst: Points) -> NDArray[np.float64]:
    mapped = src @ h[:, :2].T + h[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        error: NDArray[np.float64] = np.hypot(*(mapped[:, :2] / mapped[:, 2:] - dst).T)
    return np.where(mapped[:, 2] > 0, error, np.inf)


def _normaliser(points: Points, what: str) -> Homography:
    """Brings the mean to (0, 0) and the mean distance from it to the square root of 2 (Hartley, 1997)."""
    centre = points.mean(axis=0)
    spread = float(np.hypot(*(points - centre).T).mean())
    if spread <= 1e-12 * max(1.0, float(np.abs(centre).max())):
        raise ValueError(f"all {len(points)} points of {what} are one: expected at least 4 apart")
    scale = math.sqrt(2) / spread
    return np.array([[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1]])


def _scaled(h: NDArray[np.floating]) -> Homography:
    """By a positive factor: so that ``|H[2, 2]|`` is 1, or the largest entry where that one is next to nothing."""
    size = float(np.abs(h).max())
    scaled: Homography = h / (abs(h[2, 2]) if abs(h[2, 2]) > 1e-12 * size else size)
    return scaled


def as_points(xy: ArrayLike, what: str) -> Points:
    """Check points: finite float64 ``[N, 2]``, else a ValueError that calls them `what`."""
    points = np.asarray(xy, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"{what} is {list(points.shape)}: expected finite [N, 2]")
    return points


def as_homography(homography: ArrayLike) -> Homography:
    """Check a homography: finite float64 ``[3, 3]``, else a ValueError."""
    h = np.asarray(homography, np.float64)
    if h.shape != (3, 3) or not np.isfinite(h).all():
        raise ValueError(f"homography is {list(h.shape)}: expected finite [3, 3]")
    return h
