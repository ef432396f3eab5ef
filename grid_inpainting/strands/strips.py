"""Strings as straightened strips of the photo: a profile of colours across each piece of each string.

Strips are float32 ``[N, C, T, 3]``: N strings, C pieces along each, T places across, a px apart, the middle one on the
curve.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Signal = NDArray[np.float32]
Mask = NDArray[np.bool_]
Path = NDArray[np.int64]

_OPENCV_MAX_SIDE = 32_000
_SMOOTH = 5
"""Pieces that are averaged: far shorter than what covers a string."""


def normals(xy_px: Floats) -> Floats:
    """Unit vectors ``[N, C, 2]`` to the right of curves ``[N, C, 2]`` (down in the photo, where they run right)."""
    along = np.gradient(xy_px, axis=1)
    along /= np.linalg.norm(along, axis=2, keepdims=True) + 1e-9
    return along[..., ::-1] * (-1, 1)


def moved(xy_px: Floats, off_px: NDArray[np.generic]) -> Floats:
    """Curves ``[N, C, 2]`` moved to the right by ``[N, C]``."""
    shifted: Floats = xy_px + normals(xy_px) * off_px[..., None]
    return shifted


def sample(image_rgb: NDArray[np.uint8], xy_px: Floats, reach: int) -> Signal:
    """Colours across curves: float32 ``[N, C, 2 * reach + 1, 3]``, 0..255.

    Args:
        image_rgb: uint8 ``[H, W, 3]``; beyond it, its border is repeated.
        xy_px: ``[N, C, 2]``.
        reach: px to either side.
    """
    across = np.arange(-reach, reach + 1, dtype=np.float64)
    right = normals(xy_px)
    strips = np.empty((*xy_px.shape[:2], len(across), 3), np.float32)
    for n, (line, normal) in enumerate(zip(xy_px, right, strict=True)):
        at = (line[:, None] + normal[:, None] * across[:, None] - 0.5).astype(np.float32)
        for first in range(0, len(line), _OPENCV_MAX_SIDE):
            part = at[first : first + _OPENCV_MAX_SIDE]
            strips[n, first : first + _OPENCV_MAX_SIDE] = cv2.remap(
                image_rgb, part[..., 0], part[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
    return strips


def smooth_along(strips: Signal) -> Signal:
    """Average over neighbouring pieces of a string."""
    smooth = np.empty_like(strips)
    for n, strip in enumerate(strips):
        smooth[n] = cv2.blur(strip, (1, _SMOOTH), borderType=cv2.BORDER_REPLICATE)
    return smooth


def cut(strips: Signal, off: int, reach: int) -> Signal:
    """A view of the strips about the place `off` the middle: ``[..., 2 * reach + 1, 3]``."""
    middle = strips.shape[-2] // 2 + off
    return strips[..., middle - reach : middle + reach + 1, :]


def align(strips: Signal, path: Path, margin: int) -> Signal:
    """Strips about a path ``[N, C]`` of places that begin `margin` off the border: ``[N, C, 2 * margin + 1, 3]``."""
    return np.take_along_axis(strips, (path[..., None] + np.arange(2 * margin + 1))[..., None], 2)


def along_contrast(colours: Signal, contrast: Signal) -> Signal:
    """How far colours ``[..., 3]`` go in a direction ``[3]``; without BLAS, whose threads cost more than they give."""
    return colours[..., 0] * contrast[0] + colours[..., 1] * contrast[1] + colours[..., 2] * contrast[2]
