"""Where the camera is and how its lens bends: from the quadrat's plane to the photo and back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render.settings import Settings
from data_engineering.render.tiles import Field

Matrix = NDArray[np.float64]

UNIT_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
"""Top left, top right, bottom right, bottom left."""
_CANVAS_LIMIT = 1.6
"""Most pixels of the drawn seabed, over those of the photo."""
_NODE_PX = 4
"""The maps that `cv2.remap` follows are worked out for every 4th pixel: between them they are straight to 0.01 px."""


_SMOOTH_CM = 3.0
"""Relief is smoothed this much before it leans: a steep wall would be drawn out into streaks."""


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """Radial distortion about the photo's centre, by the division model: exact and closed both ways.

    ``straight = centre + (bent - centre) / (1 + k1 * r**2)``, r the bent point's distance in half diagonals.

    Attributes:
        size_wh: photo in px.
        k1: below 0 barrel, above 0 pincushion.
    """

    size_wh: tuple[int, int]
    k1: float = 0.0

    def straighten(self, xy_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Photo points ``[N, 2]`` as a pinhole would have seen them."""
        out, r = self._from_centre(xy_px)
        return out / (1 + self.k1 * r**2) + np.array(self.size_wh) / 2

    def bend(self, xy_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points ``[N, 2]`` of a pinhole as the photo shows them."""
        out, r = self._from_centre(xy_px)
        return out * 2 / (1 + np.sqrt(np.maximum(1 - 4 * self.k1 * r**2, 0))) + np.array(self.size_wh) / 2

    def _from_centre(self, xy_px: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        half = np.array(self.size_wh) / 2
        out = np.asarray(xy_px, np.float64) - half
        return out, np.linalg.norm(out, axis=1, keepdims=True) / np.linalg.norm(half)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A photo of the plane, and the canvas on which that plane is drawn.

    Attributes:
        size_wh: photo in px.
        cm_to_photo: float64 ``[3, 3]``, before the lens; (0, 0) cm is the quadrat's top left corner.
        cm_to_canvas: float64 ``[3, 3]``, a scale and a shift: bars of the frame lie along its axes.
        canvas_wh: px; covers all that the photo shows.
        quadrat_wh_cm: the quadrat's sides.
        lens: bends what the homography gives.
        eye_cm: float64 ``[3]``, the camera's place: x and y on the plane, height over it.
    """

    size_wh: tuple[int, int]
    cm_to_photo: Matrix
    cm_to_canvas: Matrix
    canvas_wh: tuple[int, int]
    quadrat_wh_cm: tuple[float, float]
    lens: Lens
    eye_cm: NDArray[np.float64]

    @property
    def px_per_cm(self) -> float:
        """Of the canvas."""
        return float(np.sqrt(self.cm_to_canvas[0, 0] * self.cm_to_canvas[1, 1]))

    @property
    def canvas_to_photo(self) -> Matrix:
        """float64 ``[3, 3]``, before the lens."""
        return self.cm_to_photo @ np.linalg.inv(self.cm_to_canvas)

    def to_photo(self, xy_cm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of the quadrat's plane ``[N, 2]`` in cm, as px of the photo."""
        return self.lens.bend(apply(self.cm_to_photo, xy_cm))

    def maps(self, height_px: Field | None = None) -> tuple[Field, Field]:
        """Where on the canvas each pixel of the photo looks: x and y as `cv2.remap` wants them, float32 ``[H, W]``.

        Args:
            height_px: float32 ``[h, w]``, of the canvas over the plane. What stands high then leans away from the
                camera's foot, as in perspective; without it all lies in the plane.
        """
        w, h = self.size_wh
        columns, rows = (np.arange(-1, -(-side // _NODE_PX) + 1) + 0.5 for side in (w, h))
        nodes = np.stack(np.meshgrid(columns * _NODE_PX, rows * _NODE_PX), -1).reshape(-1, 2)
        flat = apply(np.linalg.inv(self.canvas_to_photo), self.lens.straighten(nodes)) - 0.5
        seen = flat.reshape(len(rows), len(columns), 2).astype(np.float32)
        if height_px is not None:
            seen = self._lean(seen, height_px)
        grown = cv2.resize(seen, None, fx=_NODE_PX, fy=_NODE_PX, interpolation=cv2.INTER_LINEAR)
        x, y = cv2.split(grown[_NODE_PX : _NODE_PX + h, _NODE_PX : _NODE_PX + w])
        return x, y

    def _lean(self, seen: Field, height_px: Field) -> Field:
        """Move points ``[..., 2]`` of the plane to what stands before them.

        A ray meets height z at ``foot + (seen - foot) * (1 - z / eye)``: settles soon, as the relief is smoothed.
        """
        foot = (apply(self.cm_to_canvas, self.eye_cm[None, :2])[0] - 0.5).astype(np.float32)
        eye = np.float32(self.eye_cm[2] * self.px_per_cm)
        size = (-(-height_px.shape[1] // 4), -(-height_px.shape[0] // 4))
        small = cv2.resize(height_px, size, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), max(_SMOOTH_CM * self.px_per_cm / 4, 1.0)) / eye
        place = seen
        for _ in range(3):
            at = [(place[..., i] + 0.5) * np.float32(size[i] / height_px.shape[1 - i]) - 0.5 for i in (0, 1)]
            rise = cv2.remap(small, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            place = foot + (seen - foot) * (1 - rise)[..., None]
        return place


def apply(matrix: Matrix, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points ``[N, 2]`` by a homography ``[3, 3]``."""
    mapped = np.asarray(xy, np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return mapped[:, :2] / mapped[:, 2:]


def four_points(source: NDArray[np.float64], target: NDArray[np.float64]) -> Matrix:
    """The homography that brings four points ``[4, 2]`` to four others."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows), target.ravel()), 1).reshape(3, 3)


def for_cv2(matrix: Matrix) -> Matrix:
    """The homography as OpenCV wants it, whose pixel centres lie at whole numbers."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.linalg.inv(half) @ matrix @ half


def look(rng: np.random.Generator, settings: Settings, quadrat_wh_cm: tuple[float, float]) -> View:
    """Choose a view: a pinhole over the quadrat, tilted and rolled a little."""
    size_wh = photo_size(settings, float(rng.choice(settings.aspects)))
    lens = Lens(size_wh, float(rng.uniform(*settings.lens_k1)))
    cm_to_photo, eye_cm = _pinhole(rng, settings, lens, quadrat_wh_cm)
    cm_to_canvas, canvas_wh = _canvas(cm_to_photo, lens, quadrat_wh_cm)
    return View(size_wh, cm_to_photo, cm_to_canvas, canvas_wh, quadrat_wh_cm, lens, eye_cm)


def photo_size(settings: Settings, aspect: float) -> tuple[int, int]:
    """Width and height in px whose longer side is ``size_px``."""
    long = settings.size_px
    return (long, round(long / aspect)) if aspect >= 1 else (round(long * aspect), long)


def _pinhole(
    rng: np.random.Generator, settings: Settings, lens: Lens, quadrat_wh_cm: tuple[float, float]
) -> tuple[Matrix, NDArray[np.float64]]:
    tilt = np.radians(rng.uniform(*settings.tilt_deg))
    toward = rng.uniform(0, 2 * np.pi)
    roll = np.radians(np.clip(settings.roll_deg * rng.standard_normal(), -25, 25))
    cropped = rng.random() < settings.crop_probability
    fill = rng.uniform(0.95, 1.2) if cropped else rng.uniform(*settings.fill)
    shift = rng.uniform(-0.12, 0.12, 2) if cropped else rng.uniform(-0.02, 0.02, 2)

    axis = np.array([np.cos(toward), np.sin(toward), 0.0])
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation = np.eye(3) + np.sin(tilt) * k + (1 - np.cos(tilt)) * k @ k
    c, s = np.cos(roll), np.sin(roll)
    rotation = rotation @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    focal = rng.uniform(0.75, 1.3) * settings.size_px
    centre = np.array(lens.size_wh) * (0.5 + shift)
    matrix, eye = _project(rotation, focal, centre, lens.size_wh, quadrat_wh_cm, fill)
    while not cropped and not _shows(matrix, lens, quadrat_wh_cm):
        fill *= 0.95
        matrix, eye = _project(rotation, focal, centre, lens.size_wh, quadrat_wh_cm, fill)
    return matrix, eye


def _project(
    rotation: Matrix,
    focal: float,
    centre: NDArray[np.float64],
    size_wh: tuple[int, int],
    quadrat_wh_cm: tuple[float, float],
    fill: float,
) -> tuple[Matrix, NDArray[np.float64]]:
    """The homography and the camera's place in cm."""
    span = min(size_wh[0] / (quadrat_wh_cm[0] * 1.05), size_wh[1] / quadrat_wh_cm[1])  # px a cm that would fill it
    middle = np.array([[1, 0, -quadrat_wh_cm[0] / 2], [0, 1, -quadrat_wh_cm[1] / 2], [0, 0, 1]])
    distance = focal / (span * fill)
    pose = np.column_stack([rotation[:, 0], rotation[:, 1], [0, 0, distance]])
    camera = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    matrix = camera @ pose @ middle
    eye = -distance * rotation[2]  # the third axis points away from the camera
    return matrix / matrix[2, 2], eye * (1, 1, -1) + (*(np.array(quadrat_wh_cm) / 2), 0)


def _shows(matrix: Matrix, lens: Lens, quadrat_wh_cm: tuple[float, float]) -> bool:
    """Whether all corners lie in the photo, a little off its border."""
    corners = lens.bend(apply(matrix, UNIT_CORNERS * np.array(quadrat_wh_cm))) / lens.size_wh
    return bool((corners > 0.02).all() and (corners < 0.98).all())


def _canvas(cm_to_photo: Matrix, lens: Lens, quadrat_wh_cm: tuple[float, float]) -> tuple[Matrix, tuple[int, int]]:
    w, h = lens.size_wh
    t = np.linspace(0, 1, 9)[:, None]
    border = np.concatenate([a + (b - a) * t for a, b in zip(UNIT_CORNERS, np.roll(UNIT_CORNERS, -1, 0), strict=True)])
    seen_cm = apply(np.linalg.inv(cm_to_photo), lens.straighten(border * (w, h)))
    low, high = seen_cm.min(0), seen_cm.max(0)
    quadrat = np.array(quadrat_wh_cm)
    sides = apply(cm_to_photo, UNIT_CORNERS * quadrat)
    scale = np.sqrt(_area(sides) / quadrat.prod())
    scale *= min(1.0, np.sqrt(_CANVAS_LIMIT * w * h / ((high - low) * scale).prod()))
    scale_xy = np.round(quadrat * scale) / quadrat  # the frame's inner edges fall on whole pixels
    origin = np.ceil(-low * scale_xy) + 2
    canvas_wh = np.ceil(high * scale_xy + origin).astype(int) + 2
    matrix = np.array([[scale_xy[0], 0, origin[0]], [0, scale_xy[1], origin[1]], [0, 0, 1]])
    return matrix, (int(canvas_wh[0]), int(canvas_wh[1]))


def _area(corners: NDArray[np.float64]) -> float:
    x, y = corners.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
