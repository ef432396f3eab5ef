"""How much farther than the quadrat's plane each place is: what is far is dim, blue and soft."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render.camera import View, apply
from data_engineering.render.settings import Settings
from data_engineering.render.tiles import Field

_SHRINK = 4


def of(rng: np.random.Generator, settings: Settings, view: View, flat: tuple[Field, Field], height_px: Field) -> Field:
    """Depth at a quarter of the photo's size, as a share of the camera's distance; below 0 nearer than the plane.

    Args:
        rng: the photo's random numbers.
        settings: how often the bottom falls off outside the quadrat.
        view: of the photo.
        flat: where on the canvas each pixel looks, float32 ``[H, W]`` x and y.
        height_px: float32 ``[H, W]``, of the canvas, as the camera sees it.
    """
    size = tuple(-(-side // _SHRINK) for side in view.size_wh)
    depth = cv2.resize(height_px, size, interpolation=cv2.INTER_AREA) / np.float32(-view.eye_cm[2] * view.px_per_cm)
    if rng.random() < settings.drop_probability:
        depth += np.float32(rng.uniform(0.2, 1.0)) * _outside(view, flat, rng.uniform(0.08, 0.4))
    return depth


def _outside(view: View, flat: tuple[Field, Field], slope: float) -> Field:
    """0 in the quadrat, rising to 1 at `slope` of its side beyond its border."""
    low, high = apply(view.cm_to_canvas, np.array([[0, 0], view.quadrat_wh_cm], np.float64))
    places = [axis[::_SHRINK, ::_SHRINK] for axis in flat]
    beyond = [np.maximum(low[i] - places[i], places[i] - high[i]).clip(0).astype(np.float32) for i in (0, 1)]
    t = np.minimum(np.hypot(*beyond) / np.float32(slope * (high - low).min()), 1)
    return t * t * (3 - 2 * t)


def soften(picture: NDArray[np.uint8], depth: Field) -> NDArray[np.uint8]:
    """The picture, out of focus where it is far."""
    if depth.max() < 0.3:
        return picture
    h, w = picture.shape[:2]
    far = cv2.resize(np.clip((depth - 0.1) * 2, 0, 1), (w, h), interpolation=cv2.INTER_LINEAR)
    blurred = cv2.GaussianBlur(picture, (0, 0), 2.2 * max(h, w) / 1280)
    return cv2.blendLinear(blurred, picture, far, 1 - far)
