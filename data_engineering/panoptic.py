"""Panoptic quality: how well colonies are found and outlined, in one figure that counts a split or a merge twice.

After Kirillov et al., "Panoptic Segmentation", CVPR 2019. A true and a predicted colony of one class match where their
IoU is above 0.5; as the colonies of a photo share no pixel, a match is then the only one that each can have. With TP
matches, FP predictions and FN true colonies left over:

    PQ = sum of the matches' IoU / (TP + FP / 2 + FN / 2) = SQ * RQ
    SQ = mean IoU of the matches            RQ = TP / (TP + FP / 2 + FN / 2), the F1 of finding
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from data_engineering.tally import mask_ious
from quadrat import masks
from quadrat.shapes import Annotations, Instance

MATCH_IOU = 0.5
"""A match needs more than this."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What is counted of one class, or of all colonies whatever their class.

    Attributes:
        iou_sum: sum of the matches' IoU.
        tp: number of matches.
        fp: number of predicted colonies without a match.
        fn: number of true colonies without a match.
    """

    iou_sum: float = 0.0
    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Quality) -> Quality:
        """The counts of both."""
        return Quality(self.iou_sum + other.iou_sum, self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def pq(self) -> float:
        """Panoptic quality, 0..1; NaN where there is neither a true nor a predicted colony."""
        return self.iou_sum / self._half_sum if self._half_sum else math.nan

    @property
    def sq(self) -> float:
        """Segmentation quality, 0..1: mean IoU of the matches; 0 where none of the colonies match, NaN without any."""
        if self.tp:
            return self.iou_sum / self.tp
        return 0.0 if self._half_sum else math.nan

    @property
    def rq(self) -> float:
        """Recognition quality, 0..1; NaN where there is neither a true nor a predicted colony."""
        return self.tp / self._half_sum if self._half_sum else math.nan

    @property
    def _half_sum(self) -> float:
        return self.tp + (self.fp + self.fn) / 2

    def to_dict(self) -> dict[str, float | int | None]:
        """JSON-able: ``pq``, ``sq``, ``rq`` (None for NaN), ``tp``, ``fp``, ``fn``."""
        figures = {"pq": _finite(self.pq), "sq": _finite(self.sq), "rq": _finite(self.rq)}
        return {**figures, "tp": self.tp, "fp": self.fp, "fn": self.fn}


@dataclass(frozen=True, slots=True)
class Panoptic:
    """Panoptic quality of a set of photos.

    Attributes:
        classes: a class, only those that have a true or a predicted colony in some photo, in order of their names.
        any_label: the same colonies matched whatever their class.
    """

    classes: Mapping[str, Quality] = field(default_factory=dict)
    any_label: Quality = Quality()

    @property
    def pq(self) -> float:
        """Mean of the classes' panoptic quality, 0..1; NaN without a class."""
        return _mean(one.pq for one in self.classes.values())

    @property
    def sq(self) -> float:
        """Mean of the classes' segmentation quality."""
        return _mean(one.sq for one in self.classes.values())

    @property
    def rq(self) -> float:
        """Mean of the classes' recognition quality."""
        return _mean(one.rq for one in self.classes.values())

    def to_dict(self) -> dict[str, object]:
        """JSON-able: the means as ``pq``, ``sq``, ``rq``; ``any_label``; ``classes`` by name."""
        means = {"pq": _finite(self.pq), "sq": _finite(self.sq), "rq": _finite(self.rq)}
        classes = {label: one.to_dict() for label, one in self.classes.items()}
        return {**means, "any_label": self.any_label.to_dict(), "classes": classes}


def panoptic_quality(truth: Sequence[Annotations], predicted: Sequence[Annotations]) -> Panoptic:
    """Compare predicted colonies with the true ones, photo by photo.

    Where colonies of one photo overlap, the best score takes the pixel (see `disjoint`), in truth and prediction alike.

    Args:
        truth: one entry a photo.
        predicted: the same photos in the same order.

    Raises:
        ValueError: the photos are not the same.
    """
    if [t.size_wh for t in truth] != [p.size_wh for p in predicted]:
        raise ValueError(
            f"{len(truth)} true and {len(predicted)} predicted photos, or sizes that differ: expected pairs"
        )
    counter = Counter()
    for t, p in zip(truth, predicted, strict=True):
        counter.add(t.instances, p.instances, t.size_wh)
    return counter.result()


class Counter:
    """Panoptic quality of one photo after the other; keeps four numbers a class and no mask."""

    def __init__(self) -> None:
        self._classes: dict[str, Quality] = {}
        self._any = Quality()

    def add(self, truth: Sequence[Instance], predicted: Sequence[Instance], size_wh: tuple[int, int]) -> None:
        """Count one photo.

        Args:
            truth: what is there.
            predicted: what was found.
            size_wh: of the photo in px; what lies outside is cut.
        """
        truth, predicted = disjoint(truth, size_wh), disjoint(predicted, size_wh)
        ious = mask_ious(truth, predicted)
        kinds_t, kinds_p = np.array([t.label for t in truth]), np.array([p.label for p in predicted])
        for label in {*kinds_t.tolist(), *kinds_p.tolist()}:
            found = _quality(ious[np.ix_(kinds_t == label, kinds_p == label)])
            self._classes[label] = self._classes.get(label, Quality()) + found
        self._any += _quality(ious)

    def result(self) -> Panoptic:
        """What all photos so far are worth."""
        return Panoptic(MappingProxyType(dict(sorted(self._classes.items()))), self._any)


def disjoint(instances: Sequence[Instance], size_wh: tuple[int, int]) -> list[Instance]:
    """Give each pixel of the photo to one instance: to the best score, at equal scores to the smaller one.

    (Of two colonies that a person drew over each other, the smaller is likelier to be meant on top.)

    Args:
        instances: of one photo, in any order.
        size_wh: of the photo in px.

    Returns:
        What is left of them, best score first; those of which nothing is left are gone.
    """
    inside = [cut for cut in (masks.clip(instance, size_wh) for instance in instances) if cut is not None]
    inside.sort(key=lambda one: (-one.score, one.area_px, one.xyxy_px, one.label))
    taken = np.zeros(size_wh[::-1], bool)
    left = []
    for one in inside:
        x0, y0, x1, y1 = one.xyxy_px
        here = taken[y0:y1, x0:x1]
        free = one.mask & ~here
        here |= one.mask
        rest = masks.instance_from_mask(one.label, free, (x0, y0), one.score, one.attributes)
        if rest is not None:
            left.append(rest)
    return left


def _quality(ious: np.ndarray) -> Quality:
    matched = ious[ious > MATCH_IOU]
    tp = len(matched)
    return Quality(float(matched.sum()), tp, ious.shape[1] - tp, ious.shape[0] - tp)


def _mean(figures: Iterable[float]) -> float:
    values = list(figures)
    return float(np.mean(values)) if values else math.nan


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
