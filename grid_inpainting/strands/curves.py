"""Where the strings of a quadrat are to be expected: a smooth curve through the points of each row and column.

A curve is laid in layers, so that few or poor points bend it little: the layout under a homography; a smooth field that
all points share (what the lens bends); the bow of each string; and what its own points still lie off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from quadrat.homography import apply_homography, fit_homography
from quadrat.shapes import HIDDEN, OCCLUDED, Keypoints
from quadrat.template import Template

Floats = NDArray[np.float64]

PAST_FRAME = 0.045
"""How far a string is sought past the frame, as a share of the frame's side: it is wound round a bar."""
_DENSE = 97
_MOST_PIECES = 5000
"""Of a string; where it is longer (a photo of a small part of a quadrat), they lie farther apart."""
_FIT_PX_PER_SIDE = 0.02
"""Points that lie farther off the flat layout, as a share of the quadrat's side, do not place it."""
_FIELD_LEAST, _BOW_LEAST = 20, 4


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """N strings in C pieces each, evenly along each.

    Attributes:
        xy_px: float64 ``[N, C, 2]``, where the pieces are expected.
        cell_px: float64 ``[N]``, distance of neighbouring points in the photo; of straight lines, what stands for it.
        knots: float64 ``[N, M]``, at which piece (not whole) the string meets others; NaN pads.
        covered: bool ``[N, C]``, pieces next to a point that is said to be covered.
    """

    xy_px: Floats
    cell_px: Floats
    knots: Floats
    covered: NDArray[np.bool_]

    @property
    def step_px(self) -> Floats:
        """float64 ``[N]``, distance of pieces."""
        step: Floats = np.linalg.norm(np.diff(self.xy_px, axis=1), axis=2).mean(1)
        return step

    def only(self, which: NDArray[np.bool_]) -> Curves:
        """Some of the strings: bool ``[N]``."""
        return Curves(self.xy_px[which], self.cell_px[which], self.knots[which], self.covered[which])

    def inside(self, size_wh: tuple[int, ...]) -> NDArray[np.bool_]:
        """Pieces that lie in a photo, ``[N, C]``."""
        inside: NDArray[np.bool_] = ((self.xy_px >= 0) & (self.xy_px <= size_wh)).all(2)
        return inside


def strings_of(layout: Template) -> list[tuple[int, NDArray[np.int64]]]:
    """The strings of a layout: rows and columns of points that edges join, and that are no side of the frame.

    Returns:
        The axis of ``uv`` that a string runs along (0: across, 1: down), and the indices of its points in order.
    """
    joined = np.array(layout.edges, np.int64).reshape(-1, 2)
    found = []
    for axis in (0, 1):
        rank = layout.lattice_rc[:, axis]
        within = joined[rank[joined[:, 0]] == rank[joined[:, 1]]]
        for line in np.unique(rank[within]):
            on = np.unique(within[rank[within[:, 0]] == line])
            place = float(np.median(layout.uv[on, 1 - axis]))
            if 1e-6 < place < 1 - 1e-6:
                found.append((axis, on[np.argsort(layout.uv[on, axis])]))
    return found


def through_points(points: Keypoints, layout: Template, step_px: float) -> Curves | None:
    """Curves through the placed points of each string, from frame to frame and a little on.

    Args:
        points: of the layout's names.
        layout: where strings run.
        step_px: distance of pieces on the longest.

    Returns:
        `None` where the layout has no strings.

    Raises:
        ValueError: the placed points fix no homography.
    """
    strings = strings_of(layout)
    if not strings:
        return None
    placed = np.asarray(points.visibility) != HIDDEN
    side = float(np.ptp(points.xy_px[placed], axis=0).max())
    flat, _ = fit_homography(layout.uv[placed], points.xy_px[placed], max(_FIT_PX_PER_SIDE * side, 3.0))
    off = points.xy_px - apply_homography(flat, layout.uv)
    cell = _cell_px(layout, apply_homography(flat, layout.uv))
    good = placed & (np.linalg.norm(off, axis=1) < 0.8 * cell)
    field = _field(layout.uv[good], off[good], 0.05 * cell)
    off = off - _powers(layout.uv) @ field
    t = np.linspace(-PAST_FRAME, 1 + PAST_FRAME, _DENSE)
    dense = []
    for axis, on in strings:
        uv = np.empty((len(t), 2))
        uv[:, axis], uv[:, 1 - axis] = t, np.median(layout.uv[on, 1 - axis])
        seen = on[good[on]]
        bow = _bow(layout.uv[seen, axis], off[seen], t, cell)
        dense.append(apply_homography(flat, uv) + _powers(uv.clip(0, 1)) @ field + bow)
    knots = [layout.uv[on, axis] for axis, on in strings]
    made = _even(np.array(dense), t, knots, step_px, cell)
    under = np.asarray(points.visibility) == OCCLUDED
    for n, (_, on) in enumerate(strings):
        made.covered[n] = _next_to(made.knots[n, : len(on)], under[on], made.covered.shape[1])
    return made


def straight(ends_xy_px: Floats, step_px: float, cell_px: float) -> Curves:
    """Straight lines ``[N, 2, 2]`` from end to end; `cell_px` is for the room about them that is theirs."""
    t = np.linspace(0, 1, _DENSE)
    dense = ends_xy_px[:, None, 0] + (ends_xy_px[:, None, 1] - ends_xy_px[:, None, 0]) * t[:, None]
    return _even(dense, t, [np.zeros(0)] * len(dense), step_px, cell_px)


def _even(dense: Floats, t: Floats, knots: list[Floats], step_px: float, cell_px: float) -> Curves:
    """Pieces of equal length along each of ``dense`` ``[N, D, 2]``."""
    way = np.cumsum(np.linalg.norm(np.diff(dense, axis=1), axis=2), 1)
    way = np.concatenate([np.zeros((len(dense), 1)), way], 1)
    pieces = int(np.clip(np.ceil(way[:, -1].max() / step_px) + 1, 8, _MOST_PIECES))
    xy = np.empty((len(dense), pieces, 2))
    at_knots = np.full((len(dense), max(len(k) for k in knots)), np.nan)
    for n, along in enumerate(way):
        even = np.linspace(0, along[-1], pieces)
        xy[n] = np.stack([np.interp(even, along, dense[n, :, i]) for i in (0, 1)], 1)
        at_knots[n, : len(knots[n])] = np.interp(knots[n], t, along) / along[-1] * (pieces - 1)
    return Curves(xy, np.full(len(dense), cell_px), at_knots, np.zeros(xy.shape[:2], np.bool_))


def _next_to(knots: Floats, which: NDArray[np.bool_], pieces: int) -> NDArray[np.bool_]:
    """Pieces whose nearest knot is one of `which`."""
    nearest = np.abs(np.arange(pieces)[:, None] - knots).argmin(1)
    return which[nearest]


def _cell_px(layout: Template, flat_px: Floats) -> float:
    """Median length in px of the edges of the layout."""
    a, b = np.array(layout.edges, np.int64).reshape(-1, 2).T
    return float(np.median(np.linalg.norm(flat_px[a] - flat_px[b], axis=1)))


def _powers(uv: Floats) -> Floats:
    """Monomials up to degree three of places -1..1, ``[n, 10]``."""
    x, y = (2 * uv - 1).T
    return np.stack([x**i * y**j for i in range(4) for j in range(4 - i)], 1)


def _field(uv: Floats, off: Floats, scale: float) -> Floats:
    """Coefficients ``[10, 2]`` of a smooth field through offsets, whatever some of them say."""
    if len(uv) < _FIELD_LEAST:
        return np.zeros((10, 2))
    return _robust(_powers(uv), off, scale, 0.02)


def _robust(powers: Floats, off: Floats, scale: float, ridge: float) -> Floats:
    """Least squares with the weights of Geman and McClure (1985)."""
    weight = np.ones(len(powers))
    for _ in range(5):
        weighed = powers * weight[:, None]
        fitted: Floats = np.linalg.solve(weighed.T @ powers + ridge * np.eye(powers.shape[1]), weighed.T @ off)
        weight = 1 / (1 + (np.linalg.norm(off - powers @ fitted, axis=1) / scale) ** 2) ** 2
    return fitted


def _bow(way: Floats, off: Floats, t: Floats, cell: float) -> Floats:
    """Offsets ``[len(t), 2]`` along a string from those of its points at `way`."""
    if len(way) < _BOW_LEAST:
        return np.repeat(np.median(off, 0, keepdims=True) if len(way) else np.zeros((1, 2)), len(t), 0)
    degree = np.arange(3)
    fitted = _robust((2 * way[:, None] - 1) ** degree, off, 0.05 * cell, 0.02)
    smooth = (2 * t[:, None] - 1) ** degree @ fitted
    left = off - (2 * way[:, None] - 1) ** degree @ fitted
    near = np.linalg.norm(left, axis=1) < 0.12 * cell
    if np.count_nonzero(near) < _BOW_LEAST:
        return smooth
    ends = np.clip(t, way[near].min(), way[near].max())
    rest: Floats = PchipInterpolator(way[near], left[near])(ends)
    return smooth + rest
