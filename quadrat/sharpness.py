"""How blurred a photo is, measured where it should be sharp: at its strongest edges."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

_WORKING_SIDE, _LEAST_SIDE = 1024, 64
_AGAIN_PX = 1.5  # sigma of the blur that is added; tells well what lies below twice of it
_DENOISE_PX = 0.7
_EDGE_SHARE = 0.01  # of the pixels: those with the strongest gradient


def blur_px(image_rgb: NDArray[np.uint8], xyxy_px: tuple[float, float, float, float] | None = None) -> float:
    """Sigma in px of the blur of a photo or of a part of it.

    An edge of blur s has, blurred once more by t, a gradient smaller by ``sqrt(1 + t^2 / s^2)`` (Zhuo and Sim, "Defocus
    map estimation from a single image", 2011). Of the strongest edges the sharpest quarter counts: many are soft by
    nature. Works at 1024 px, and coarser as long as edges look too wide there; what is finer than about half a pixel
    at 1024 px cannot be told from sharp.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        xyxy_px: the part, cut to the photo; default all of it.

    Returns:
        px of the photo as given; 0 where there is no edge at all.
    """
    part = image_rgb if xyxy_px is None else _cut(image_rgb, xyxy_px)
    if min(part.shape[:2]) < 8:
        return 0.0
    scale = min(1.0, _WORKING_SIDE / max(part.shape[:2]))
    gray = cv2.cvtColor(_shrunk(part, scale), cv2.COLOR_RGB2GRAY)
    found = _sigma(gray)
    while found > 2 * _AGAIN_PX and min(gray.shape[:2]) > _LEAST_SIDE:
        scale, gray = scale / 2, _shrunk(gray, 0.5)
        found = _sigma(gray)
    return float(found / scale)


def _sigma(gray: cv2.typing.MatLike) -> float:
    smooth = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), _DENOISE_PX)
    first, again = _gradient(smooth), _gradient(cv2.GaussianBlur(smooth, (0, 0), _AGAIN_PX))
    strong = first >= max(float(np.quantile(first, 1 - _EDGE_SHARE)), 2.0)
    if not strong.any():
        return 0.0
    ratio = np.maximum(first[strong] / np.maximum(again[strong], 1e-3), 1.001)
    found = float(np.quantile(_AGAIN_PX / np.sqrt(ratio**2 - 1), 0.25))
    return math.sqrt(max(found**2 - _DENOISE_PX**2, 0.0))


def _shrunk(image: cv2.typing.MatLike, scale: float) -> cv2.typing.MatLike:
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image


def _cut(image: NDArray[np.uint8], xyxy_px: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(min(max(v, 0), most)) for v, most in zip(xyxy_px, (width, height) * 2, strict=True))
    return image[y0:y1, x0:x1]


def _gradient(gray: cv2.typing.MatLike) -> NDArray[np.float32]:
    across, down = (cv2.Scharr(gray, cv2.CV_32F, *axis, scale=1 / 32) for axis in ((1, 0), (0, 1)))
    return np.asarray(cv2.magnitude(across, down), np.float32)
