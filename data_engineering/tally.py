"""Predictions counted against the truth: average precision as COCO defines it, confusion, IoU of what was found.

A `Tally` takes one photo after the other and keeps a few numbers a prediction and no mask, so that the number of photos
does not matter. Its average precision is that of pycocotools; a test holds it to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quadrat import masks
from quadrat.shapes import Instance

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
CONFIDENCES = np.linspace(0, 1, 1001)
LOWEST = 0.001
"""Scores below count for nothing, as is usual for average precision."""

BACKGROUND = "background"

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """One class, or all classes as one, over all photos.

    Attributes:
        support: number of true instances.
        ap: float64 ``[10]``, average precision at each of `IOUS`; NaN without true instances.
        precision_at_recall: float64 ``[101]`` at `RECALLS`, at IoU 0.5.
        precision: float64 ``[1001]``, share of the predictions of at least `CONFIDENCES` that are right at IoU 0.5; 1
            where there is none.
        recall: float64 ``[1001]``, share of the true instances that these predictions find.
        f1: float64 ``[1001]``, harmonic mean of both.
    """

    support: int
    ap: Floats
    precision_at_recall: Floats
    precision: Floats
    recall: Floats
    f1: Floats

    @property
    def map50(self) -> float:
        """Average precision at IoU 0.5."""
        return float(self.ap[0])

    @property
    def map50_95(self) -> float:
        """Average precision, mean over `IOUS`."""
        return float(self.ap.mean())


def mask_ious(truth: Sequence[Instance], predicted: Sequence[Instance]) -> Floats:
    """IoU of the masks, float64 ``[T, P]``; 0 for pairs that cannot reach the lowest of `IOUS`."""
    boxes = _box_overlaps(truth, predicted)
    area_t = np.array([instance.area_px for instance in truth], np.float64)[:, None]
    area_p = np.array([instance.area_px for instance in predicted], np.float64)[None]
    most = np.minimum(boxes, np.minimum(area_t, area_p)) / np.maximum(np.maximum(area_t, area_p), 1)
    ious = np.zeros(boxes.shape)
    for i, j in zip(*np.nonzero(most >= IOUS[0]), strict=True):
        shared = masks.overlap_px(truth[i], predicted[j])
        ious[i, j] = shared / (area_t[i, 0] + area_p[0, j] - shared)
    return ious


def box_ious(truth: Sequence[Instance], predicted: Sequence[Instance]) -> Floats:
    """IoU of the boxes round the masks, float64 ``[T, P]``."""
    shared = _box_overlaps(truth, predicted)
    area_t, area_p = _box_areas(truth)[:, None], _box_areas(predicted)[None]
    return shared / (area_t + area_p - shared)


class Tally:
    """What predictions of many photos are worth.

    Args:
        labels: all classes.
        ious: `mask_ious` or `box_ious`.
    """

    def __init__(self, labels: Sequence[str], ious: Callable[..., Floats] = mask_ious):
        self.labels = tuple(labels)
        self.ious = ious
        self.support = np.zeros(len(self.labels), np.int64)
        self.photos = 0
        self._guesses: list[NDArray[np.void]] = []
        self._found: list[NDArray[np.void]] = []

    def add(
        self, truth: Sequence[Instance], predicted: Sequence[Instance], scores: NDArray[np.floating] | None = None
    ) -> None:
        """Count one photo.

        Args:
            truth: what is there.
            predicted: what was found, each instance once and under its likeliest label.
            scores: 0..1 ``[P, C]``, for every prediction its score for every class, as average precision wants it: the
                second guess counts too. `None` knows the likeliest only.

        Raises:
            ValueError: a label that is none of `labels`.
        """
        kind_t, kind_p = self._kinds(truth), self._kinds(predicted)
        ious = self.ious(truth, predicted)
        if scores is None:
            scores = np.zeros((len(predicted), len(self.labels)))
            scores[np.arange(len(predicted)), kind_p] = [instance.score for instance in predicted]
        for kind in np.flatnonzero((scores >= LOWEST).any(0)):
            order = _falling(scores[:, kind])
            order = order[scores[order, kind] >= LOWEST]
            guesses = np.zeros(len(order), _GUESS)
            guesses["score"], guesses["kind"] = scores[order, kind], kind
            guesses["right"] = matched(ious[kind_t == kind][:, order])[0]
            self._guesses.append(guesses)
        self._found.append(_found(predicted, kind_p, kind_t, ious))
        np.add.at(self.support, kind_t, 1)
        self.photos += 1

    def _kinds(self, instances: Sequence[Instance]) -> NDArray[np.int16]:
        unknown = {instance.label for instance in instances} - set(self.labels)
        if unknown:
            raise ValueError(f"labels {sorted(unknown)} are not known: expected those of {list(self.labels)}")
        return np.array([self.labels.index(instance.label) for instance in instances], np.int16)

    def by_label(self) -> dict[str, Curves]:
        """The curves of each class that has a true instance."""
        rows = _joined(self._guesses, _GUESS)
        return {
            label: curves(rows["score"][own := rows["kind"] == kind], rows["right"][own], int(self.support[kind]))
            for kind, label in enumerate(self.labels)
            if self.support[kind]
        }

    def any_label(self) -> Curves:
        """The curves when all classes count as one."""
        rows = _joined(self._found, _FOUND)
        return curves(rows["score"], rows["right"], int(self.support.sum()))

    def confusion(self, confidence: float) -> NDArray[np.int64]:
        """Which class is taken for which, masks matched at IoU 0.5 whatever their class, best score first.

        Args:
            confidence: 0..1, the lowest score that counts.

        Returns:
            Counts ``[C + 1, C + 1]``: rows are true classes, columns predicted ones, the last of each `BACKGROUND` (a
            prediction of nothing, a true instance that nobody found).
        """
        rows = _joined(self._found, _FOUND)
        rows = rows[rows["score"] >= confidence]
        counts = np.zeros((len(self.labels) + 1,) * 2, np.int64)
        np.add.at(counts, (rows["met"], rows["kind"]), 1)  # -1 is the last
        counts[:-1, -1] = self.support - counts[:-1, :-1].sum(1)
        return counts

    def found_ious(self, confidence: float) -> Floats:
        """IoU of each true instance that was found (at IoU 0.5, whatever its class) with what found it."""
        rows = _joined(self._found, _FOUND)
        return rows["iou"][(rows["score"] >= confidence) & (rows["met"] >= 0)].astype(np.float64)

    def predictions(self, confidence: float = 0.0) -> int:
        """Number of predictions of at least `confidence`."""
        return int((_joined(self._found, _FOUND)["score"] >= confidence).sum())


def _found(
    predicted: Sequence[Instance], kind_p: NDArray[np.int16], kind_t: NDArray[np.int16], ious: Floats
) -> NDArray[np.void]:
    order = _falling(np.array([instance.score for instance in predicted]))
    right, met = matched(ious[:, order])
    rows = np.zeros(len(predicted), _FOUND)
    rows["score"] = [predicted[place].score for place in order]
    rows["kind"], rows["right"] = kind_p[order], right
    rows["met"] = np.where(met >= 0, np.append(kind_t, -1)[met], -1)
    rows["iou"] = [ious[one, place] if one >= 0 else 0 for one, place in zip(met, order, strict=True)]
    return rows


_GUESS = np.dtype([("score", "f4"), ("kind", "i2"), ("right", "?", 10)])
_FOUND = np.dtype([*_GUESS.descr, ("met", "i2"), ("iou", "f4")])


def _joined(parts: list[NDArray[np.void]], kind: np.dtype) -> NDArray[np.void]:
    """All rows, best score first; they stay in `parts` as one."""
    rows = np.concatenate([np.zeros(0, kind), *parts])
    parts[:] = [rows[_falling(rows["score"])]]
    return parts[0]


def _falling(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    return np.argsort(-scores, kind="stable")


def best_confidence(curves: Sequence[Curves]) -> int:
    """The place in `CONFIDENCES` where the mean F1 of several classes is best."""
    return int(np.mean([one.f1 for one in curves], 0).argmax()) if curves else 0


# ---------------------------------------------------------------------------------------------- one photo


def matched(ious: Floats) -> tuple[Flags, NDArray[np.int64]]:
    """Give each prediction, best score first, the free true instance that it overlaps most.

    Args:
        ious: ``[T, P]``, predictions by falling score.

    Returns:
        Bool ``[P, 10]``: whether it got one at each of `IOUS`; int64 ``[P]``: which at the first of them, else -1.
    """
    right, met = np.zeros((ious.shape[1], len(IOUS)), bool), np.full(ious.shape[1], -1)
    taken = np.zeros((ious.shape[0], len(IOUS)), bool)
    places = np.arange(len(IOUS))
    for j in np.flatnonzero((ious >= IOUS[0]).any(0)):
        free = np.where(taken, -1.0, ious[:, j, None])
        best = free.argmax(0)
        right[j] = free[best, places] >= IOUS
        taken[best, places] |= right[j]
        if right[j, 0]:
            met[j] = best[0]
    return right, met


def _box_overlaps(truth: Sequence[Instance], predicted: Sequence[Instance]) -> Floats:
    a, b = _boxes(truth)[:, None], _boxes(predicted)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.maximum(sides, 0).prod(-1)


def _box_areas(instances: Sequence[Instance]) -> Floats:
    boxes = _boxes(instances)
    return (boxes[:, 2:] - boxes[:, :2]).prod(-1)


def _boxes(instances: Sequence[Instance]) -> Floats:
    return np.array([instance.xyxy_px for instance in instances], np.float64).reshape(-1, 4)


# ---------------------------------------------------------------------------------------------- all photos


def curves(scores: NDArray[np.float32], right: Flags, support: int) -> Curves:
    """The curves of one class.

    Args:
        scores: ``[N]``, falling: of all predictions.
        right: bool ``[N, 10]``: which of them are right at each of `IOUS`.
        support: number of true instances.
    """
    found = right.cumsum(0)  # [N, 10]
    counts = np.arange(1, len(scores) + 1)[:, None]
    at_recall = _at_recalls(found / max(support, 1), found / counts)
    chosen = np.searchsorted(-scores, -CONFIDENCES.astype(np.float32), side="right")  # predictions of each confidence
    hits = np.append(0, found[:, 0])[chosen]
    return Curves(
        support=support,
        ap=at_recall.mean(0) if support else np.full(len(IOUS), np.nan),
        precision_at_recall=at_recall[:, 0],
        precision=np.where(chosen > 0, hits / np.maximum(chosen, 1), 1.0),
        recall=hits / max(support, 1),
        f1=2 * hits / np.maximum(chosen + support, 1),
    )


def _at_recalls(recall: Floats, precision: Floats) -> Floats:
    """The best precision at each of `RECALLS` or beyond, ``[101, 10]``; 0 where recall never comes so far."""
    envelope = np.flip(np.maximum.accumulate(np.flip(precision, 0), 0), 0)
    result = np.zeros((len(RECALLS), recall.shape[1]))
    for column in range(recall.shape[1]):
        place = np.searchsorted(recall[:, column], RECALLS)
        reached = place < len(recall)
        result[reached, column] = envelope[place[reached], column]
    return result
