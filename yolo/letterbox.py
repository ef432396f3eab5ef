"""A photo in a network's input, as ultralytics' `LetterBox` puts it, and boxes of the input back in the photo.

In numpy and OpenCV alone: a function that serves an export has no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo.framework import interpolation_for

GRAY = 114


@dataclass(frozen=True)
class Placing:
    """Where a photo lies in the letterboxed input.

    Attributes:
        gain_xy: input px a photo px.
        pad_xy: input px left of and above the photo.
        size_wh: the photo's size in input px.
    """

    gain_xy: tuple[float, float]
    pad_xy: tuple[int, int]
    size_wh: tuple[int, int]


def place(photo_wh: tuple[int, int], input_wh: tuple[int, int]) -> Placing:
    """Where a photo of `photo_wh` lies in an input of `input_wh`: in its middle, as large as may be."""
    gain = min(input_wh[0] / photo_wh[0], input_wh[1] / photo_wh[1])
    w, h = (max(round(side * gain), 1) for side in photo_wh)
    pad = round((input_wh[0] - w) / 2 - 0.1), round((input_wh[1] - h) / 2 - 0.1)
    return Placing((w / photo_wh[0], h / photo_wh[1]), pad, (w, h))


def letterbox(image_rgb: NDArray[np.uint8], size_px: int, stride: int, rect: bool) -> NDArray[np.uint8]:
    """Bring a photo to a network's size, and fill what is left of its input with gray.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        size_px: longer side of the input in px.
        stride: the input's sides are multiples of it.
        rect: make the input as small a rectangle as holds the photo, else a square.

    Returns:
        uint8 ``[h, w, 3]``; photos that shrink are averaged.
    """
    height, width = image_rgb.shape[:2]
    w, h = place((width, height), (size_px, size_px)).size_wh
    across, down = (size_px - side if not rect else (size_px - side) % stride for side in (w, h))
    if (w, h) != (width, height):
        interpolation = interpolation_for(image_rgb.shape, (size_px, size_px))
        image_rgb = np.asarray(cv2.resize(image_rgb, (w, h), interpolation=interpolation), np.uint8)
    left, top = round(across / 2 - 0.1), round(down / 2 - 0.1)
    canvas = np.full((h + down, w + across, 3), GRAY, np.uint8)
    canvas[top : top + h, left : left + w] = image_rgb
    return canvas


def to_photo(boxes: NDArray[np.float32], photo_wh: tuple[int, int], input_wh: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes ``[N, 4]``, x0 y0 x1 y1 in px of the input, in px of the photo, cut at its border."""
    placing = place(photo_wh, input_wh)
    pad, gain, size = (np.tile(np.float32(pair), 2) for pair in (placing.pad_xy, placing.gain_xy, photo_wh))
    return np.clip((boxes - pad) / gain, 0, size)
