"""Crossings of strings, exact to a fraction of a pixel: every string is followed through the full-resolution photo.

One yarn is used for all strings of a frame, and it hangs smoothly. So the photo is sampled once, across every string at
many places along it, in the straightened view of the fitted lattice; what tells the yarn from its surroundings (colour,
brighter or darker, width) is learnt from all samples together; each string is then followed as the best smooth path
(Viterbi, 1967) near the curve through its points; and lines fitted to the path on both sides of a point meet in it.

Across a string the unit is a cell of the lattice, along it the frame's side. The number of samples does not depend on
the photo's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from grid_pose_detection import refine_yarn
from quadrat.homography import Homography
from quadrat.template import Template

Floats = NDArray[np.float64]

PITCH = 0.0125
"""Distance of samples across a string, in cells."""
REACH = 16
"""Samples to either side of the expected place where a string is looked for."""
MARGIN = 11
"""Further samples to either side, that show what surrounds a string."""
_PER_CELL = 4
_IN_CHUNK = 3
_LEAST_PIECES = 20
_OFFSETS = np.arange(-REACH, REACH + 1) * PITCH


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """The N rows and columns of a lattice: strings, and the sides of the frame that strings end on.

    Attributes:
        axis: int64 ``[N]``, the axis of uv that a line runs along: 0 for a row, 1 for a column.
        place: float64 ``[N]``, where it lies on the other axis.
        points: bool ``[N, K]``, the points on it.
        string: bool ``[N]``, false for a side of the frame.
        cell: float64 ``[2]``, the side of a (square) cell in units of uv.
    """

    axis: NDArray[np.int64]
    place: Floats
    points: NDArray[np.bool_]
    string: NDArray[np.bool_]
    cell: Floats

    def only(self, which: NDArray[Any]) -> Lines:
        """Some of the lines: a mask or indices."""
        return Lines(self.axis[which], self.place[which], self.points[which], self.string[which], self.cell)

    @property
    def cell_across(self) -> Floats:
        """float64 ``[N]``, a cell on the axis across the line."""
        return np.asarray(self.cell[1 - self.axis])


def lines_of(template: Template) -> Lines | None:
    """Rows and columns of at least 4 points; `None` where the layout has none that cross."""
    lines = [
        (axis, template.lattice_rc[:, axis] == rank)
        for axis in (0, 1)
        for rank in np.unique(template.lattice_rc[:, axis])
        if np.count_nonzero(template.lattice_rc[:, axis] == rank) >= 4
    ]
    along = np.array([axis for axis, _ in lines], np.int64)
    if len(np.unique(along)) < 2:
        return None
    on = np.array([row for _, row in lines])
    place = np.array([template.uv[row, 1 - axis].mean() for axis, row in lines])
    steps = [np.median(np.diff(place[along == a])) * template.size_cm[1 - a] for a in (0, 1)]
    return Lines(along, place, on, (place > 1e-6) & (place < 1 - 1e-6), min(steps) / np.array(template.size_cm))


@dataclass(frozen=True, slots=True, eq=False)
class Bows:
    """Curves of second degree near straight lines.

    Attributes:
        coefficients: float64 ``[N, 3]`` of ``1, s, s^2``, s = -1..1 along the line; cells off its place.
        spread: standard deviation of the points from their curves, in cells, outliers aside.
    """

    coefficients: Floats
    spread: float

    def off(self, lines: Lines, along: Floats) -> Floats:
        """Place across, in uv, at `along` ``[N, ...]``."""
        a, b, c = self.coefficients.T.reshape(3, -1, *(1,) * (along.ndim - 1))
        s = 2 * along - 1
        shape = (-1, *(1,) * (along.ndim - 1))
        curve: Floats = lines.place.reshape(shape) + lines.cell_across.reshape(shape) * (a + b * s + c * s * s)
        return curve


def bows_through(lines: Lines, uv: Floats, found: NDArray[np.bool_]) -> Bows:
    """Curves through points, whatever some of them say; points that were not found count a quarter.

    Args:
        lines: N rows and columns.
        uv: float64 ``[K, 2]``.
        found: bool ``[K]``.
    """
    s = 2 * uv[:, lines.axis].T - 1
    off = (uv[:, 1 - lines.axis].T - lines.place[:, None]) / lines.cell_across[:, None]
    counted = np.where(lines.points, np.where(found, 1.0, 0.25), 0.0)
    weight, spread = counted, 0.0
    for _ in range(6):
        fitted = weighted_fit(s, off, weight, 2, (0, 0, 0.02))
        error: Floats = off - _polynomial(fitted, s)
        spread = 1.48 * float(np.median(np.abs(error[counted > 0])))
        weight = counted * robust(error, 1.5 * max(spread, 0.007))
    return Bows(fitted, spread)


def weighted_fit(x: Floats, y: Floats, weight: Floats, degree: int, ridge: tuple[float, ...]) -> Floats:
    """Polynomials ``[N, degree + 1]`` through ``x, y`` ``[N, M]``; `ridge` keeps each coefficient small."""
    powers = np.stack([x**k for k in range(degree + 1)], -1)
    weighed = powers * weight[..., None]
    normal: Floats = weighed.swapaxes(1, 2) @ powers + np.diag(ridge) + 1e-6 * np.eye(degree + 1)
    fitted: Floats = np.linalg.solve(normal, weighed.swapaxes(1, 2) @ y[..., None])[..., 0]
    return fitted


def _polynomial(fitted: Floats, x: Floats) -> Floats:
    value: Floats = sum(fitted[:, k : k + 1] * x**k for k in range(fitted.shape[1]))  # type: ignore[assignment]
    return value


def robust(error: Floats, scale: float) -> Floats:
    """Weights 0..1 that fall with the error: those of Geman and McClure (1985)."""
    weight: Floats = 1 / (1 + (error / scale) ** 2) ** 2
    return weight


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """Strings as they were found, in C pieces each.

    Attributes:
        at: float64 ``[C]``, where along the string a piece lies, 0..1.
        off: float64 ``[N, C]``, cells off the expected curve.
        weight: float64 ``[N, C]``, 0: not seen, to 3: clearly seen.
    """

    at: Floats
    off: Floats
    weight: Floats


def follow(image_rgb: NDArray[np.uint8], homography: Homography, strings: Lines, bows: Bows) -> Tracks | None:
    """Follow every string near its curve.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        homography: uv to px.
        strings: N of them.
        bows: their curves.

    Returns:
        `None` where the lattice reaches the horizon or lies outside of the photo.
    """
    pieces = _PER_CELL * round(1 / float(np.sqrt(strings.cell.prod())))
    along = (np.arange(pieces * _IN_CHUNK) + 0.5) / (pieces * _IN_CHUNK)
    n, total = len(strings.axis), 2 * (REACH + MARGIN) + 1
    across = np.arange(-(REACH + MARGIN), REACH + MARGIN + 1) * PITCH
    curve: Floats = bows.off(strings, np.broadcast_to(along, (n, len(along))))
    off = curve[..., None] + strings.cell_across[:, None, None] * across
    row = (strings.axis == 0)[:, None, None]
    far = np.broadcast_to(along[:, None], off.shape)
    xyw = np.tensordot(homography[:, :2], np.stack([np.where(row, far, off), np.where(row, off, far)]), 1)
    xyw += homography[:, 2].reshape(3, 1, 1, 1)
    if (xyw[2] <= 0).any() or max(image_rgb.shape[:2]) > 32_000:  # OpenCV's remap takes no larger photo
        return None
    x, y = (xyw[:2] / xyw[2] - 0.5).astype(np.float32).reshape(2, -1, total)
    seen = cv2.remap(image_rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    height, width = image_rgb.shape[:2]
    inside = ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).all(1).reshape(n, pieces, _IN_CHUNK).all(2)
    if np.count_nonzero(inside) < _LEAST_PIECES:
        return None
    profiles = seen.reshape(n, pieces, _IN_CHUNK, total * 3).mean(2, dtype=np.float32).reshape(n, pieces, total, 3)
    unlikely: Floats = 0.5 * (_OFFSETS / (0.02 + 0.5 * bows.spread)) ** 2
    signal, path = refine_yarn.trace(profiles, inside, unlikely, MARGIN, bows.spread / PITCH)
    peak, height_there = peaks(signal, climbed(signal, path, 2))
    weight = np.clip(height_there - 1, 0, 3) * inside
    for axis in (0, 1):
        which = strings.axis == axis
        at = np.rint(peak[which]).astype(np.int64)
        peak[which] += refine_yarn.middle(profiles[which], at, weight[which] > 0.5, MARGIN)
    return Tracks(along.reshape(pieces, _IN_CHUNK).mean(1), (peak - REACH) * PITCH, weight)


def climbed(signal: NDArray[np.float32], path: NDArray[np.int64], reach: int = 1) -> NDArray[np.int64]:
    """The highest places of a signal ``[N, C, I]`` within `reach` of a path, off its borders."""
    near = np.clip(path[..., None] + np.arange(-reach, reach + 1), 1, signal.shape[2] - 2)
    top = np.take_along_axis(signal, near, 2).argmax(2)
    return np.asarray(np.take_along_axis(near, top[..., None], 2)[..., 0], np.int64)


def peaks(signal: NDArray[np.float32], top: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Where highest places of a signal are to a fraction of a sample, and how high."""
    around = top[..., None] + np.arange(-1, 2)
    left, middle, right = np.take_along_axis(signal, around, 2).transpose(2, 0, 1).astype(np.float64)
    bend = np.minimum(left - 2 * middle + right, -1e-6)
    return top + np.clip(0.5 * (left - right) / bend, -0.5, 0.5), middle
