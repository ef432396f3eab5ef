"""How the lens bends straight strings, found from the points of a lattice.

The one-parameter division model (Fitzgibbon, "Simultaneous linear estimation of multiple view geometry and lens
distortion", CVPR 2001), about the photo's centre: exact and closed both ways.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from quadrat.homography import Homography, Points, apply_homography, as_points, fit_homography, invert

MOST_K1 = 0.3
"""Largest distortion that is believed; wide lenses behind a flat port stay below 0.15."""
_LEAST_POINTS = 24
_LEAST_SPREAD = 0.35  # of the points about the photo's centre, in half diagonals: inside, a lens bends next to nothing
_SURE = 2.0  # standard errors by which k1 must differ from 0
_POINT, _END, _BOW = 0.002, 0.003, 0.005
"""What a point, the ends of a string and its bow are usually off, as shares of the frame's side."""


@dataclass(frozen=True, slots=True)
class Lens:
    """Radial distortion: ``straight = centre + (bent - centre) / (1 + k1 * r**2)``, r of the bent point.

    Attributes:
        size_wh: of the photo in px; r is counted in its half diagonals.
        k1: below 0 barrel, above 0 pincushion; 0 none.
    """

    size_wh: tuple[int, int]
    k1: float = 0.0

    def straighten(self, xy_px: ArrayLike) -> Points:
        """Photo points ``[N, 2]`` as a camera without distortion would have seen them."""
        out, r = self._from_centre(xy_px)
        straight: Points = out / (1 + self.k1 * r**2) + np.array(self.size_wh) / 2
        return straight

    def bend(self, xy_px: ArrayLike) -> Points:
        """Points ``[N, 2]`` of a camera without distortion as the photo shows them: the inverse of `straighten`."""
        out, r = self._from_centre(xy_px)
        bent: Points = out * 2 / (1 + np.sqrt(np.maximum(1 - 4 * self.k1 * r**2, 0))) + np.array(self.size_wh) / 2
        return bent

    def _from_centre(self, xy_px: ArrayLike) -> tuple[Points, NDArray[np.float64]]:
        half = np.array(self.size_wh) / 2
        out = as_points(xy_px, "xy_px") - half
        return out, np.hypot(*out.T)[:, None] / float(np.hypot(*half))


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A lattice seen through a lens.

    Attributes:
        lens: k1 is 0 where the points do not support another value.
        to_photo: homography from the layout's coordinates to the straightened photo; `lens.bend` what it gives.
        residual_px: median distance of the points from where the two put them.
        k1_error: standard error of k1; infinite where it was not estimated.
        note: why k1 is 0, in words; empty where it was estimated.
    """

    lens: Lens
    to_photo: Homography
    residual_px: float
    k1_error: float = np.inf
    note: str = ""


def fit(uv: ArrayLike, xy_px: ArrayLike, size_wh: tuple[int, int], *, sure: float = _SURE) -> Fitted:
    """Lens and homography together.

    Points of one string err together: it is tied a little off its place and sags. So the squares that are made least
    are those of errors freed of what they share (generalised least squares), after points that fit no homography at
    all are left out. k1 is kept only where it is sure: points enough, spread to where a lens bends, and several
    standard errors from 0.

    Args:
        uv: ``[N, 2]``, N >= 4, places of the points in the frame, 0..1; the frame's own corners may be among them.
        xy_px: ``[N, 2]``, in the photo.
        size_wh: of the photo in px.
        sure: standard errors by which k1 must differ from 0.

    Raises:
        ValueError: the points fix no homography.
    """
    uv, xy = as_points(uv, "uv"), as_points(xy_px, "xy_px")
    cell_px = float(np.sqrt(np.prod(np.ptp(xy, axis=0)) / len(xy)))
    plain, good = fit_homography(uv, xy, 0.3 * max(cell_px, 1e-6))
    pinhole = _fitted(Lens(size_wh), plain, uv, xy)
    note = _too_little(xy[good], size_wh)
    if note:
        return replace(pinhole, note=note)
    (k1, error), bent = _joint(uv[good], xy[good], size_wh, plain, free=True)
    if abs(k1) < MOST_K1 and abs(k1) >= sure * error:
        return replace(_fitted(Lens(size_wh, k1), bent, uv, xy), k1_error=error)
    why = f"a k1 of {k1:.2f} is not believed" if abs(k1) >= MOST_K1 else "the lens bends too little to tell"
    straight = _joint(uv[good], xy[good], size_wh, plain, free=False)[1]
    return replace(_fitted(Lens(size_wh), straight, uv, xy), note=f"{why} (k1 {k1:.3f} +- {error:.3f})")


def _fitted(lens: Lens, to_photo: Homography, uv: Points, xy: Points) -> Fitted:
    off = lens.bend(apply_homography(to_photo, uv)) - xy
    return Fitted(lens, to_photo, float(np.median(np.hypot(*off.T))))


def _too_little(xy: Points, size_wh: tuple[int, int]) -> str:
    if len(xy) < _LEAST_POINTS:
        return f"{len(xy)} points are too few to tell a lens, expected {_LEAST_POINTS}"
    half = np.array(size_wh) / 2
    spread = float(np.hypot(*((xy - half) / np.hypot(*half)).T).max())
    if spread < _LEAST_SPREAD:
        return f"all points lie within {100 * spread:.0f} % of the half diagonal, where a lens bends next to nothing"
    return ""


def _joint(
    uv: Points, xy: Points, size_wh: tuple[int, int], start: Homography, *, free: bool
) -> tuple[tuple[float, float], Homography]:
    """k1 with its standard error, and the homography to the straightened photo; k1 stays 0 unless it is `free`."""
    freed_u, freed_v = (np.linalg.inv(np.linalg.cholesky(_shared(uv, axis))) for axis in (0, 1))

    def off(x: NDArray[np.float64]) -> NDArray[np.float64]:
        straight = Lens(size_wh, x[8] if free else 0.0).straighten(xy)
        mapped = straight @ _matrix(x)[:, :2].T + _matrix(x)[:, 2]
        du, dv = (mapped[:, :2] / mapped[:, 2:] - uv).T
        return np.concatenate([freed_u @ du, freed_v @ dv])

    count = 9 if free else 8
    begin = invert(start)
    found = least_squares(off, np.append((begin / begin[2, 2]).ravel()[:8], 0.0)[:count], x_scale="jac", method="lm")
    variance = 2 * found.cost / (2 * len(uv) - count)
    k1, error = 0.0, np.inf
    if free:
        k1 = float(found.x[8])
        error = float(np.sqrt(np.linalg.pinv(found.jac.T @ found.jac)[8, 8] * variance))
    return (k1, error), invert(_matrix(found.x))


def _matrix(x: NDArray[np.float64]) -> Homography:
    return np.append(x[:8], 1).reshape(3, 3)


def _shared(uv: Points, axis: int) -> NDArray[np.float64]:
    """Covariance of the points' errors along u (0) or v (1): those of one column, or row, share ends and bow."""
    place, t = uv[:, axis].round(6), uv[:, 1 - axis]
    string = (place[:, None] == place[None]) & (place > 0) & (place < 1)  # what lies on the frame hangs on no string
    ends = _END**2 * (np.outer(1 - t, 1 - t) + np.outer(t, t))
    bow = _BOW**2 * np.outer(np.sin(np.pi * t), np.sin(np.pi * t))
    return _POINT**2 * np.eye(len(uv)) + np.where(string, ends + bow, 0.0)
