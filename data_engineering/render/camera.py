"""Where the camera is: the homography from the quadrat's plane to the photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_engineering.render.settings import Settings

Matrix = NDArray[np.float64]

UNIT_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
"""Top left, top right, bottom right, bottom left."""
_CANVAS_LIMIT = 1.6
"""Most pixels of the drawn seabed, over those of the photo."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A photo of the plane, and the canvas on which that plane is drawn.

    Attributes:
        size_wh: photo in px.
        cm_to_photo: float64 ``[3, 3]``; (0, 0) cm is the quadrat's top left corner.
        cm_to_canvas: float64 ``[3, 3]``, a scale and a shift: bars of the frame lie along its axes.
        canvas_wh: px; covers all that the photo shows.
        quadrat_wh_cm: the quadrat's sides.
    """

    size_wh: tuple[int, int]
    cm_to_photo: Matrix
    cm_to_canvas: Matrix
    canvas_wh: tuple[int, int]
    quadrat_wh_cm: tuple[float, float]

    @property
    def px_per_cm(self) -> float:
        """Of the canvas."""
        return float(np.sqrt(self.cm_to_canvas[0, 0] * self.cm_to_canvas[1, 1]))

    @property
    def canvas_to_photo(self) -> Matrix:
        """float64 ``[3, 3]``."""
        return self.cm_to_photo @ np.linalg.inv(self.cm_to_canvas)


def apply(matrix: Matrix, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points ``[N, 2]`` by a homography ``[3, 3]``."""
    mapped = np.asarray(xy, np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return mapped[:, :2] / mapped[:, 2:]


def for_cv2(matrix: Matrix) -> Matrix:
    """The homography as OpenCV wants it, whose pixel centres lie at whole numbers."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.linalg.inv(half) @ matrix @ half


def look(rng: np.random.Generator, settings: Settings, quadrat_wh_cm: tuple[float, float]) -> View:
    """Choose a view: a pinhole over the quadrat, tilted and rolled a little."""
    size_wh = photo_size(settings, float(rng.choice(settings.aspects)))
    cm_to_photo = _pinhole(rng, settings, size_wh, quadrat_wh_cm)
    cm_to_canvas, canvas_wh = _canvas(cm_to_photo, size_wh, quadrat_wh_cm)
    return View(size_wh, cm_to_photo, cm_to_canvas, canvas_wh, quadrat_wh_cm)


def photo_size(settings: Settings, aspect: float) -> tuple[int, int]:
    """Width and height in px whose longer side is ``size_px``."""
    long = settings.size_px
    return (long, round(long / aspect)) if aspect >= 1 else (round(long * aspect), long)


def _pinhole(
    rng: np.random.Generator, settings: Settings, size_wh: tuple[int, int], quadrat_wh_cm: tuple[float, float]
) -> Matrix:
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
    centre = np.array(size_wh) * (0.5 + shift)
    matrix = _project(rotation, focal, centre, size_wh, quadrat_wh_cm, fill)
    while not cropped and not _shows(matrix, size_wh, quadrat_wh_cm):
        fill *= 0.95
        matrix = _project(rotation, focal, centre, size_wh, quadrat_wh_cm, fill)
    return matrix


def _project(
    rotation: Matrix,
    focal: float,
    centre: NDArray[np.float64],
    size_wh: tuple[int, int],
    quadrat_wh_cm: tuple[float, float],
    fill: float,
) -> Matrix:
    span = min(size_wh[0] / (quadrat_wh_cm[0] * 1.05), size_wh[1] / quadrat_wh_cm[1])  # px a cm that would fill it
    middle = np.array([[1, 0, -quadrat_wh_cm[0] / 2], [0, 1, -quadrat_wh_cm[1] / 2], [0, 0, 1]])
    pose = np.column_stack([rotation[:, 0], rotation[:, 1], [0, 0, focal / (span * fill)]])
    camera = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    matrix = camera @ pose @ middle
    return matrix / matrix[2, 2]


def _shows(matrix: Matrix, size_wh: tuple[int, int], quadrat_wh_cm: tuple[float, float]) -> bool:
    """Whether all corners lie in the photo, a little off its border."""
    corners = apply(matrix, UNIT_CORNERS * np.array(quadrat_wh_cm)) / size_wh
    return bool((corners > 0.02).all() and (corners < 0.98).all())


def _canvas(
    cm_to_photo: Matrix, size_wh: tuple[int, int], quadrat_wh_cm: tuple[float, float]
) -> tuple[Matrix, tuple[int, int]]:
    w, h = size_wh
    seen_cm = apply(np.linalg.inv(cm_to_photo), UNIT_CORNERS * (w, h))
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
