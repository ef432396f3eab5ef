"""How the frame of a quadrat lies in a photo: its corners, and how far from a rectangle it would have to be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quadrat.geometry import is_convex
from quadrat.homography import Points, apply_homography, fit_homography
from quadrat.shapes import HIDDEN, VISIBLE, Keypoints
from quadrat.template import Template

_UNIT_SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
_FEW = 8
"""With fewer points seen, a homography is fitted to those as well that were put where they should be."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameView:
    """The frame of a layout in a photo.

    Attributes:
        corners: float64 ``[4, 2]`` px: top left, top right, bottom right, bottom left.
        template: the layout.
        size_wh: of the photo in px.
    """

    corners: Points
    template: Template
    size_wh: tuple[int, int]

    @property
    def sides_px(self) -> NDArray[np.float64]:
        """float64 ``[4]``: top, right, bottom, left."""
        return np.asarray(np.hypot(*(np.roll(self.corners, -1, axis=0) - self.corners).T), np.float64)

    @property
    def sides_cm(self) -> NDArray[np.float64]:
        """As `sides_px`, of the real frame."""
        return np.tile(self.template.size_cm, 2)

    @property
    def side_px(self) -> float:
        """Mean side, above 0."""
        return max(float(self.sides_px.mean()), 1e-9)


def is_frame(template: Template) -> bool:
    """Whether a layout is the four corners of a frame, not a lattice."""
    return template.lattice_shape == (2, 2) and len(template.names) == 4


def looks_alike_turned(template: Template) -> bool:
    """Whether a quarter turn gives the same layout, so that beyond 45 degrees another point is the first."""
    rows, columns = template.lattice_shape
    cells = {(int(r), int(c)) for r, c in template.lattice_rc}
    return rows == columns and {(c, rows - 1 - r) for r, c in cells} == cells


@lru_cache(maxsize=32)
def cell_share(template: Template) -> float:
    """A cell's smaller side over the frame's."""
    gaps = np.hypot(*(template.uv[:, None] - template.uv[None]).transpose(2, 0, 1))
    np.fill_diagonal(gaps, np.inf)
    return float(np.median(gaps.min(axis=1)))


def frame_of(points: Keypoints, template: Template, size_wh: tuple[int, int]) -> tuple[FrameView, float]:
    """The frame, and the median distance of points from an even lattice in cells (0 for the corners themselves).

    Args:
        points: in the order of `template`.
        template: the layout.
        size_wh: of the photo in px.

    Raises:
        ValueError: the corners are not convex and clockwise, or the points form no lattice.
    """
    if is_frame(template):
        view = FrameView(points.xy_px[np.lexsort(template.uv.T)[[0, 1, 3, 2]]], template, size_wh)
        fitted = 0.0
    else:
        view, fitted = _lattice(points, template, size_wh)
    if not is_convex(view.corners):
        raise ValueError(f"corners {view.corners.round(1).tolist()} do not run clockwise round a convex frame")
    return view, fitted


def _lattice(points: Keypoints, template: Template, size_wh: tuple[int, int]) -> tuple[FrameView, float]:
    visibility = np.asarray(points.visibility)
    used = visibility == VISIBLE
    if np.count_nonzero(used) < _FEW:
        used = visibility != HIDDEN
    if np.count_nonzero(used) < 4:
        raise ValueError(f"{np.count_nonzero(used)} points fix no lattice: expected at least 4")
    uv, xy = template.uv[used], points.xy_px[used]
    cell_px = float(np.sqrt(np.prod(np.ptp(xy, axis=0) + 1e-6) / len(points.names)))
    to_photo, _ = fit_homography(uv, xy, 0.3 * cell_px)
    view = FrameView(apply_homography(to_photo, _UNIT_SQUARE), template, size_wh)
    off = np.hypot(*(xy - apply_homography(to_photo, uv)).T)
    return view, float(np.median(off)) / (view.side_px * cell_share(template))


def off_square(view: FrameView) -> tuple[float, float, float]:
    """How far from a rectangle of the right sides the frame would be, seen by any usual camera.

    A pinhole of focal length f with square pixels and its axis through the photo's centre sees the unit vectors of the
    plane as ``a``, ``b = K^-1 h``, first two columns of the homography: equal in length and at a right angle (Zhang and
    He, "Whiteboard scanning and image enhancement", 2007). The best f between half and eight times the photo's longer
    side is taken.

    Returns:
        ``hypot(log of the ratio of sides, skew in radians)``, the ratio (>= 1), and the angle in degrees.
    """
    to_photo = fit_homography(_UNIT_SQUARE * view.template.size_cm, view.corners)[0]
    axes = to_photo[:, :2] - np.outer((*(np.array(view.size_wh) / 2), 0.0), to_photo[2, :2])
    focal = np.geomspace(0.5, 8, 33)[:, None] * max(view.size_wh)
    a, b = (np.column_stack([axes[:2, i] / focal, np.full(len(focal), axes[2, i])]) for i in (0, 1))
    ratio = np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    sine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    skew = np.arcsin(np.clip(sine, -1, 1))
    off = np.hypot(np.log(ratio), skew)
    best = int(np.argmin(off))
    return float(off[best]), float(max(ratio[best], 1 / ratio[best])), 90 - abs(math.degrees(skew[best]))
