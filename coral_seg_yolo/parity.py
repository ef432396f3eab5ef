"""Does an export give what torch gives? Its tensors, number by number, and the colonies that come of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from coral_seg_yolo import model
from quadrat import masks
from quadrat.shapes import Instance
from yolo import exporting

Rgb = NDArray[np.uint8]
THRESHOLD = 0.25
AXES = {"predictions": 2, "prototypes": 1}
"""Each row of the predictions (a coordinate, a class, a coefficient) and each prototype has a scale of its own."""


@dataclass(frozen=True)
class Limits:
    """What an export may differ by.

    Attributes:
        tensor: largest difference of a number, as a share of the largest value of its output row.
        score: largest difference of a colony's score.
        iou: lowest IoU of a colony's masks.
    """

    tensor: float
    score: float
    iou: float


EXACT = Limits(tensor=0.001, score=0.005, iou=0.99)
HALF = Limits(tensor=0.02, score=0.03, iou=0.95)
"""For 16-bit weights."""


@dataclass(frozen=True)
class Parity:
    """What an export does differ by; the worst over all photos.

    Attributes:
        tensors: name of the output -> largest difference as a share, see `Limits`.
        score: largest difference of a colony's score.
        iou: lowest IoU of a colony's masks.
        colonies: number of colonies compared.
        photos: number of photos.
    """

    tensors: dict[str, float]
    score: float
    iou: float
    colonies: int
    photos: int


def compare(torch_one: model.YoloPredictor, export: model.YoloPredictor, photos_rgb: Sequence[Rgb]) -> Parity:
    """Run both on photos.

    Args:
        torch_one: the original; from now on it takes inputs of the shape that the export takes.
        export: the export.
        photos_rgb: uint8 ``[H, W, 3]`` each, at least one.

    Raises:
        RuntimeError: the outputs have other shapes, or a colony of the one is none of the other.
    """
    torch_one.network.facts = export.network.facts
    tensors = dict.fromkeys(AXES, 0.0)
    scores, ious = [0.0], [1.0]
    for number, photo_rgb in enumerate(photos_rgb, 1):
        batch = export._letterbox(photo_rgb)
        for what, wanted, got in zip(tensors, torch_one.network(batch), export.network(batch), strict=True):
            share = exporting.difference(what, np.asarray(wanted), np.asarray(got), AXES[what])
            tensors[what] = max(tensors[what], share)
        pairs = _pairs(torch_one, export, photo_rgb, number)
        scores += [abs(one.score - other.score) for one, other in pairs]
        ious += [masks.iou(one, other) for one, other in pairs]
    return Parity(tensors, max(scores), min(ious), len(ious) - 1, len(photos_rgb))


def check(parity: Parity, limits: Limits) -> None:
    """Refuse what differs by more than it may.

    Raises:
        RuntimeError: names the worst figure, what it is and what it may be.
    """
    for what, worst in parity.tensors.items():
        exporting.check_difference(what, worst, limits.tensor)
    if not parity.score <= limits.score:
        raise RuntimeError(f"a colony's score differs from torch by {parity.score:.4f}, allowed {limits.score}")
    if not parity.iou >= limits.iou:
        raise RuntimeError(f"a colony's mask has an IoU of {parity.iou:.4f} with torch's, allowed {limits.iou} or more")


def _pairs(
    torch_one: model.YoloPredictor, export: model.YoloPredictor, photo_rgb: Rgb, number: int
) -> list[tuple[Instance, Instance]]:
    """Each sure colony of torch with that of the export, drawn from the same places of their outputs.

    Which of two doubles is suppressed may hang on the last digit: that is decided once, for both.
    """
    batch = export._letterbox(photo_rgb)
    raw = [model.Raw(*one.network(batch), (batch.shape[3], batch.shape[2])) for one in (torch_one, export)]
    if not export.network.facts.end2end:
        kept = torch_one._suppress(raw[0], photo_rgb, THRESHOLD)[2]
        raw = [one._replace(predictions=one.predictions[:, :, kept]) for one in raw]
    ours, theirs = (_all_colonies(one, each, photo_rgb) for one, each in zip((torch_one, export), raw, strict=True))
    pairs = []
    for colony in (colony for colony in ours if colony.score >= THRESHOLD):
        namesakes = [other for other in theirs if other.label == colony.label]
        near = max(namesakes, key=lambda other: masks.iou(colony, other), default=None)
        if near is None or masks.iou(colony, near) < 0.5:
            found = f"{colony.label} (score {colony.score:.3f}) at {colony.xyxy_px}"
            raise RuntimeError(f"photo {number}: torch finds {found}, the export does not")
        pairs.append((colony, near))
    return pairs


def _all_colonies(predictor: model.YoloPredictor, raw: model.Raw, photo_rgb: Rgb) -> list[Instance]:
    iou, predictor.iou = predictor.iou, 1.0
    try:
        return predictor._draw(raw, photo_rgb, 0.0)
    finally:
        predictor.iou = iou


def drawn_photos(count: int = 3, side: int = 640) -> list[Rgb]:
    """Made-up seabeds with roundish, spotted things on them, for want of photographs: uint8 ``[side, side, 3]``."""
    photos = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        ground = cv2.resize(rng.integers(60, 130, (side // 16, side // 16, 3), np.uint8), (side, side))
        spots = cv2.resize(rng.integers(0, 90, (side // 4, side // 4, 1), np.uint8), (side, side))
        for _ in range(14):
            x, y, width, height = (*rng.integers(0, side, 2).tolist(), *rng.integers(20, side // 7, 2).tolist())
            inside = cv2.ellipse(
                np.zeros((side, side), np.uint8), (x, y), (width, height), rng.integers(180), 0, 360, 1, -1
            )
            colour = rng.integers(70, 170, 3)
            ground[inside > 0] = (colour + spots[inside > 0, None] // 2).clip(0, 255)
        photos.append(cv2.GaussianBlur(ground, (0, 0), 1.0))
    return photos
