"""Instance masks from YOLO's prototypes, each computed inside its own box only, at photo resolution.

A mask is a weighted sum of M prototype maps of a quarter of the network's input size, larger than 0. ultralytics'
`retina_masks` enlarges every object's whole map to the size of the photo and then clears all but the box. Here the sum
and the bilinear enlargement (one axis after the other) are done for the box alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Placing:
    """Where a photo lies in the letterboxed input, as ultralytics' `LetterBox` puts it.

    Attributes:
        gain_xy: input px a photo px.
        pad_xy: input px left of and above the photo.
        size_wh: the photo's size in input px.
    """

    gain_xy: tuple[float, float]
    pad_xy: tuple[int, int]
    size_wh: tuple[int, int]


def place(photo_wh: tuple[int, int], input_wh: tuple[int, int]) -> Placing:
    """Where `LetterBox` puts a photo of `photo_wh` in an input of `input_wh`."""
    gain = min(input_wh[0] / photo_wh[0], input_wh[1] / photo_wh[1])
    w, h = (max(round(side * gain), 1) for side in photo_wh)
    pad = round((input_wh[0] - w) / 2 - 0.1), round((input_wh[1] - h) / 2 - 0.1)
    return Placing((w / photo_wh[0], h / photo_wh[1]), pad, (w, h))


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
    masks = []
    for weights, (x0, y0, x1, y1) in zip(coefficients, boxes.tolist(), strict=True):
        columns = _Axis(x0, x1, placing.gain_xy[0], placing.pad_xy[0], placing.size_wh[0], ratios[0])
        rows = _Axis(y0, y1, placing.gain_xy[1], placing.pad_xy[1], placing.size_wh[1], ratios[1])
        crop = prototypes[:, rows.first : rows.last + 1, columns.first : columns.last + 1]
        logits = np.tensordot(weights, crop, axes=1)
        enlarged = columns.enlarge(rows.enlarge(logits).T).T
        masks.append((enlarged > 0, (columns.start, rows.start)))
    return masks


class _Axis:
    """The whole photo pixels from `low` to `high` on one axis, and the prototype samples between which they lie."""

    def __init__(self, low: float, high: float, gain: float, pad: int, size: int, ratio: float):
        self.start = math.ceil(low)
        pixels = np.arange(self.start, max(math.ceil(high), self.start)) + 0.5
        # Sample i of the prototypes has its centre at i + 0.5; past the photo's border its last sample goes on.
        first, last = pad * ratio, max((pad + size) * ratio - 1, pad * ratio)
        self.at = np.clip((pixels * gain + pad) * ratio - 0.5, first, last)
        self.first = int(self.at[0]) if len(self.at) else 0
        self.last = math.ceil(self.at[-1]) if len(self.at) else 0

    def enlarge(self, samples: Floats) -> Floats:
        """Linear interpolation of float32 ``[samples, n]`` to ``[pixels, n]`` (cheaper than a matrix product)."""
        low = np.floor(self.at).astype(np.int64)
        share = (self.at - low).astype(np.float32)[:, None]
        low -= self.first
        high = np.minimum(low + 1, self.last - self.first)
        samples = np.ascontiguousarray(samples)
        enlarged = samples[low]
        enlarged += share * (samples[high] - enlarged)
        return enlarged
