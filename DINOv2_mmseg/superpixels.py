"""Points grown to superpixels: what is alike in colour and near to a point is taken to be of its class.

SLIC (Achanta et al. 2012, "SLIC superpixels compared to state-of-the-art superpixel methods", IEEE TPAMI 34) of
scikit-image cuts the photo along its edges; a superpixel whose points agree gets their class.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

IGNORE = 255
LONG_SIDE_PX = 1024
"""Larger photos are cut on a copy of this size: the cost goes with the pixels, and superpixels are much larger."""


def grow(
    image_rgb: NDArray[np.uint8],
    xy: NDArray[np.int64],
    numbers: NDArray[np.uint8],
    count: int,
    long_side_px: int = LONG_SIDE_PX,
) -> NDArray[np.uint8]:
    """Give every superpixel the class of its points.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        xy: int64 ``[N, 2]``, column and row of the points' pixels, inside of the photo.
        numbers: uint8 ``[N]``, their classes; 255 says that the class is not known.
        count: number of superpixels that are asked for; SLIC makes about as many.
        long_side_px: of the copy that is cut.

    Returns:
        uint8 ``[H, W]``: 255 where a superpixel has no point or its points contradict each other.

    Raises:
        ValueError: `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"{count} superpixels: expected 1 or more")
    height, width = image_rgb.shape[:2]
    segments = _segments(_shrunk(image_rgb, long_side_px), count)
    rows, columns = _nearest(height, segments.shape[0]), _nearest(width, segments.shape[1])
    of_segment = agreed(segments[rows[xy[:, 1]], columns[xy[:, 0]]], numbers, int(segments.max()) + 1)
    return of_segment[segments][rows][:, columns]


def _shrunk(image_rgb: NDArray[np.uint8], long_side_px: int) -> NDArray[np.uint8]:
    height, width = image_rgb.shape[:2]
    scale = min(1.0, long_side_px / max(height, width))
    if scale == 1.0:
        return image_rgb
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _segments(image_rgb: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    from skimage.segmentation import slic

    return slic(image_rgb, n_segments=count, compactness=10, sigma=1, start_label=0, channel_axis=-1)


def _nearest(size: int, small: int) -> NDArray[np.int64]:
    """For each pixel of a side the pixel of the shrunk side that its centre lies in."""
    return ((np.arange(size) + 0.5) * (small / size)).astype(np.int64).clip(max=small - 1)


def agreed(segment: NDArray[np.int64], numbers: NDArray[np.uint8], segments: int) -> NDArray[np.uint8]:
    """The class of each segment, uint8 ``[segments]``: that of its points if it is one and the same, else 255."""
    least, largest = np.full(segments, IGNORE, np.uint8), np.zeros(segments, np.uint8)
    np.minimum.at(least, segment, numbers)
    np.maximum.at(largest, segment, numbers)
    return np.where(least == largest, least, np.uint8(IGNORE))
