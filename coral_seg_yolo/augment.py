"""Test-time augmentation: the photo mirrored four ways, and what the views found put together by vote.

ultralytics has none for segmentation. A quadrat is seen from above, so that a mirrored one is as likely as the photo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from coral_seg_yolo import class_scores
from quadrat import masks
from quadrat.shapes import Instance

VIEWS = ((False, False), (True, False), (False, True), (True, True))
"""Mirrored left to right, and top to bottom."""

SAME_IOU = 0.5
MIN_VIEW_SCORE = 0.001

Predict = Callable[[NDArray[np.uint8], float], Sequence[Instance]]


def predict_augmented(
    predict: Predict, image_rgb: NDArray[np.uint8], threshold: float, labels: Sequence[str]
) -> list[Instance]:
    """Predict all views of a photo and merge what they found.

    Instances of several views whose masks overlap by `SAME_IOU` are one. Its score for a class is the mean over all
    views (0 where a view does not see it), its label the best class, and its mask those pixels that views with more
    than half of the weight have; a view weighs as much as its score.

    Args:
        predict: gives the instances of an image uint8 ``[h, w, 3]`` above a threshold, with `class_scores`.
        image_rgb: uint8 ``[H, W, 3]``.
        threshold: 0..1, the lowest score of a merged instance.
        labels: of the classes.

    Returns:
        Instances with `class_scores`, best score first.
    """
    height, width = image_rgb.shape[:2]
    lowest = max(threshold / len(VIEWS), MIN_VIEW_SCORE)  # one view that is sure can carry three that are not
    found = []
    for across, down in VIEWS:
        view = image_rgb[:: -1 if down else 1, :: -1 if across else 1]
        instances = predict(np.ascontiguousarray(view), lowest)
        found.append([mirror(instance, (width, height), across, down) for instance in instances])
    merged = (_vote(group, labels) for group in _groups(found))
    kept = (instance for instance in merged if instance is not None and instance.score >= threshold)
    return sorted(kept, key=lambda instance: -instance.score)


def mirror(instance: Instance, size_wh: tuple[int, int], across: bool, down: bool) -> Instance:
    """An instance of a photo of `size_wh`, mirrored left to right (`across`) and top to bottom (`down`)."""
    (width, height), (x0, y0, x1, y1), mask = size_wh, instance.xyxy_px, instance.mask
    if across:
        x0, x1, mask = width - x1, width - x0, mask[:, ::-1]
    if down:
        y0, y1, mask = height - y1, height - y0, mask[::-1]
    return replace(instance, xyxy_px=(x0, y0, x1, y1), mask=mask)


def _groups(found: Sequence[Sequence[Instance]]) -> list[list[Instance]]:
    """Instances that are one colony, at most one from each view: the surest first, each takes the nearest of a view."""
    flat = [(instance, view) for view, instances in enumerate(found) for instance in instances]
    flat.sort(key=lambda entry: -entry[0].score)
    boxes = np.array([instance.xyxy_px for instance, _ in flat], np.int64).reshape(-1, 4)
    areas = np.array([instance.area_px for instance, _ in flat], np.int64)
    views = np.array([view for _, view in flat], np.int64)
    free = np.ones(len(flat), bool)
    groups = []
    for place, (first, view) in enumerate(flat):
        if not free[place]:
            continue
        free[place] = False
        near = np.flatnonzero(free & (views != view) & (_most_iou(boxes, areas, place) >= SAME_IOU))
        nearest: dict[int, tuple[float, int]] = {}
        for other in near.tolist():
            overlap = masks.iou(first, flat[other][0])
            if overlap >= SAME_IOU:
                nearest[flat[other][1]] = max(nearest.get(flat[other][1], (0.0, 0)), (overlap, other))
        others = [other for _, other in nearest.values()]
        free[others] = False
        groups.append([first, *(flat[other][0] for other in others)])
    return groups


def _most_iou(boxes: NDArray[np.int64], areas: NDArray[np.int64], place: int) -> NDArray[np.float64]:
    """What the IoU of one mask with each other can be at most, by boxes and areas."""
    sides = np.minimum(boxes[:, 2:], boxes[place, 2:]) - np.maximum(boxes[:, :2], boxes[place, :2])
    shared = np.minimum(np.maximum(sides, 0).prod(1), np.minimum(areas, areas[place]))
    return shared / np.maximum(np.maximum(areas, areas[place]), 1)


def _vote(group: Sequence[Instance], labels: Sequence[str]) -> Instance | None:
    scores = class_scores.of(group, len(labels)).sum(0) / len(VIEWS)
    weights = np.array([instance.score for instance in group])
    corners = np.array([instance.xyxy_px for instance in group])
    x0, y0, x1, y1 = box = (*corners[:, :2].min(0).tolist(), *corners[:, 2:].max(0).tolist())
    votes = np.zeros((y1 - y0, x1 - x0), np.float32)
    for instance, weight in zip(group, weights, strict=True):
        votes += masks.window(instance, box) * np.float32(weight)
    best = int(scores.argmax())
    attributes = {class_scores.ATTRIBUTE: class_scores.to_text(scores)}
    return masks.instance_from_mask(labels[best], votes > weights.sum() / 2, (x0, y0), float(scores[best]), attributes)
