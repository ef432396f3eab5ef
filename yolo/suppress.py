"""Raw predictions -> objects: the sure ones, doubles suppressed, as ultralytics and torchvision do it.

In numpy alone: a function that serves an export has no torch. Boxes, order and ties are those of torchvision's `nms`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[np.int64]

MOST_CANDIDATES = 30_000
"""As ultralytics has it; the best ones are looked at."""
_BLOCK = 64


def suppress(predictions: Floats, classes: int, threshold: float, iou: float, most: int) -> Places:
    """Which predictions are objects.

    Args:
        predictions: float32 ``[4 + classes + M, N]``: centre x y, width, height, a score a class, and whatever else.
        classes: number of classes.
        threshold: an object's best score is larger.
        iou: of two boxes that overlap more, the better-scored one stays, whatever their classes.
        most: of objects.

    Returns:
        Their places along the second axis, best score first.
    """
    scores = predictions[4 : 4 + classes].max(axis=0)
    sure = np.flatnonzero(scores > threshold)
    sure = sure[np.argsort(-scores[sure], kind="stable")[:MOST_CANDIDATES]]
    return sure[_first_of_doubles(_corners(predictions[:4, sure]), iou, most)]


def rows(predictions: Floats, places: Places, classes: int) -> Floats:
    """The predictions at `places` as rows ``[K, 6 + M]``: box x0 y0 x1 y1, best score, its class, whatever else."""
    found = predictions[:, places]
    scores = found[4 : 4 + classes]
    parts = [_corners(found[:4]), [scores.max(axis=0), scores.argmax(axis=0)], found[4 + classes :]]
    return np.ascontiguousarray(np.concatenate(parts, dtype=np.float32).T)


def above(predictions: Floats, threshold: float, most: int) -> Places:
    """Which rows ``[N, 6 + M]`` of a network that suppresses doubles itself score higher than `threshold`."""
    return np.flatnonzero(predictions[:, 4] > threshold)[:most]


def _corners(boxes: Floats) -> Floats:
    """Centre x y, width, height ``[4, N]`` -> x0 y0 x1 y1."""
    centre, half = boxes[:2], boxes[2:] / 2
    return np.concatenate([centre - half, centre + half])


def _first_of_doubles(boxes: Floats, iou: float, most: int) -> Places:
    """Which of the boxes ``[4, N]``, best first, overlap none that is better and stays.

    In blocks: one is settled box by box, then all the rest is held against those of it that stay, at once.
    """
    kept: list[Places] = []
    left = np.arange(boxes.shape[1])
    while left.size and sum(map(len, kept)) < most:
        block, left = left[:_BLOCK], left[_BLOCK:]
        apart = ~np.triu(_doubles(boxes[:, block], boxes[:, block], iou), 1)
        stays = np.ones(len(block), np.bool_)
        for number in np.flatnonzero(~apart.all(axis=1)).tolist():
            if stays[number]:
                stays &= apart[number]
        kept.append(block[stays])
        left = left[~_doubles(boxes[:, kept[-1]], boxes[:, left], iou).any(axis=0)]
    return np.concatenate([*kept, np.zeros(0, np.int64)])[:most]


def _doubles(some: Floats, others: Floats, iou: float) -> NDArray[np.bool_]:
    """Whether each of `some` overlaps each of `others` by more than `iou`; reckoned out only where they touch."""
    w = np.minimum(some[2, :, None], others[2]) - np.maximum(some[0, :, None], others[0])
    one, other = np.nonzero(w > 0)
    h = np.minimum(some[3, one], others[3, other]) - np.maximum(some[1, one], others[1, other])
    one, other, h = one[h > 0], other[h > 0], h[h > 0]
    shared = w[one, other] * h
    areas, other_areas = ((each[2] - each[0]) * (each[3] - each[1]) for each in (some, others))
    found = np.zeros(w.shape, np.bool_)
    found[one, other] = shared / (areas[one] + other_areas[other] - shared) > np.float64(iou)  # as torchvision: double
    return found
