"""Instance masks from YOLO's prototypes, each computed inside its own box only, at photo resolution.

A mask is a weighted sum of M prototype maps of a quarter of the network's input size, larger than 0. ultralytics'
`retina_masks` enlarges every object's whole map to the size of the photo and then clears all but the box. Here the sum
and the bilinear enlargement are done for the box alone, or rather for a somewhat larger one that begins where a sample
of the map and a pixel of the photo begin together: from there OpenCV enlarges it just as it would the whole map.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo.letterbox import Placing

Floats = NDArray[np.float32]

REACH = 16  # samples to look back for a beginning
CLOSE_PX = 1 / 64  # how far a sample's and a pixel's beginning may lie apart


def box_masks(
    prototypes: Floats, coefficients: Floats, boxes: Floats, placing: Placing, input_wh: tuple[int, int]
) -> list[tuple[NDArray[np.bool_], tuple[int, int]]]:
    """The masks of N objects.

    Args:
        prototypes: float32 ``[M, mh, mw]``, covering the network's whole input.
        coefficients: float32 ``[N, M]``.
        boxes: float32 ``[N, 4]``, x0 y0 x1 y1 in photo px, inside the photo.
        placing: of the photo in the input.
        input_wh: size of the input in px.

    Returns:
        For each object bool ``[h, w]`` and the photo pixel of its top-left corner; h or w is 0 for an empty box.
    """
    ratios = prototypes.shape[2] / input_wh[0], prototypes.shape[1] / input_wh[1]
    edges = np.ceil(boxes).astype(np.int64).reshape(-1, 2, 2)
    crops = [_crops(edges[:, :, axis], placing, axis, ratios[axis]) for axis in (0, 1)]
    factors = [1 / (placing.gain_xy[axis] * ratios[axis]) for axis in (0, 1)]
    masks = []
    for weights, ((x0, y0), (x1, y1)), (left, right, x), (top, bottom, y) in zip(
        coefficients, edges.tolist(), *(crop.tolist() for crop in crops), strict=True
    ):
        if x0 < x1 and y0 < y1:
            logits = np.einsum("m,mhw->hw", weights, prototypes[:, top:bottom, left:right])  # no BLAS, no threads
            enlarged = cv2.resize(logits, None, fx=factors[0], fy=factors[1], interpolation=cv2.INTER_LINEAR)
            mask = enlarged[y0 - y : y1 - y, x0 - x : x1 - x] > 0
        else:
            mask = np.zeros((max(y1 - y0, 0), max(x1 - x0, 0)), np.bool_)
        masks.append((mask, (x0, y0)))
    return masks


def _crops(edges_px: NDArray[np.int64], placing: Placing, axis: int, ratio: float) -> NDArray[np.int64]:
    """The samples to enlarge for pixels from one edge to the other, on one axis.

    Args:
        edges_px: int64 ``[N, 2]``.
        placing: of the photo in the input.
        axis: 0 for x, 1 for y.
        ratio: samples an input px.

    Returns:
        int64 ``[N, 3]``: first and last sample (exclusive), and the pixel with which the first one begins.
    """
    step = placing.gain_xy[axis] * ratio  # samples a photo px
    offset = placing.pad_xy[axis] * ratio
    first, end = math.floor(offset), math.ceil(offset + placing.size_wh[axis] * ratio)
    low, high = np.floor((edges_px + (0.5, -0.5)) * step + offset - 0.5).T
    candidates = np.clip(low, first, end - 1)[:, None] - np.arange(REACH)
    pixels = (candidates - offset) / step
    apart = np.where(candidates < first, np.inf, np.maximum(np.abs(pixels - np.rint(pixels)), CLOSE_PX))
    best = np.arange(len(apart)), apart.argmin(axis=1)
    return np.stack([candidates[best], np.clip(high + 2, first + 1, end), np.rint(pixels[best])], 1).astype(np.int64)
