"""How well class maps agree with the truth: one confusion matrix over all photos, and what follows from it.

Counted are pixels, over all photos together, as mmsegmentation and the benchmarks of the field do: a photo with few
pixels of a class weighs little. The mean IoU and the mean Dice are over the classes that occur in the truth or in the
predictions, so that a class which is seen where there is none costs; a class that occurs in neither counts for nothing.
Mean accuracy is over the classes that occur in the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadrat.shapes import SemanticMap

Counts = NDArray[np.int64]

IGNORE = SemanticMap.IGNORE
_CHUNK_PX = 1 << 20  # bincount turns its input into int64: in pieces that takes little memory


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class; shares are 0..1, `None` where there is nothing to divide by.

    Attributes:
        support: number of pixels (or points) of the class.
        predicted: number of pixels that are said to be of the class, where the truth is known.
        iou: intersection over union.
        recall: share of the class that is found, also called its accuracy.
        precision: share of what is said to be of the class that is.
        dice: harmonic mean of both, also called F1.
    """

    support: int
    predicted: int
    iou: float | None
    recall: float | None
    precision: float | None
    dice: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """All that follows from a confusion matrix; shares are 0..1, `None` where there is nothing to divide by.

    Attributes:
        miou: mean IoU over the classes that occur in the truth or in the predictions.
        miou_supported: mean IoU over those that occur in the truth.
        mean_accuracy: mean recall over the classes that occur in the truth, also called macro recall.
        overall_accuracy: share of the pixels that are right.
        frequency_weighted_iou: mean IoU, each class weighed by its share of the true pixels.
        dice: mean Dice over the classes of `miou`.
        counted: number of pixels whose truth is known.
        classes_counted: number of classes in `miou` and `dice`.
        classes_supported: number of classes that occur in the truth.
        classes: figures of each class, in the order of the index.
    """

    miou: float | None
    miou_supported: float | None
    mean_accuracy: float | None
    overall_accuracy: float | None
    frequency_weighted_iou: float | None
    dice: float | None
    counted: int
    classes_counted: int
    classes_supported: int
    classes: dict[str, ClassFigures]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, shares rounded to six digits."""
        return rounded(asdict(self))


class Confusion:
    """Which class is taken for which, counted photo by photo.

    Attributes:
        labels: C class names.
        counts: int64 ``[C, C]``: rows are true classes, columns predicted ones.
        photos: number of photos counted.
    """

    def __init__(self, labels: Sequence[str]):
        self.labels = tuple(labels)
        self.counts: Counts = np.zeros((len(self.labels),) * 2, np.int64)
        self.photos = 0

    def add(self, truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> None:
        """Count one photo.

        Args:
            truth: uint8 ``[H, W]`` of class numbers; 255 does not count.
            predicted: the same; 255 only where the truth is 255.

        Raises:
            ValueError: sizes or types differ, or a number names no class.
        """
        self.counts += count(truth, predicted, self.labels)
        self.photos += 1

    def figures(self) -> Figures:
        """What the counts so far amount to."""
        return figures(self.labels, self.counts)


def count(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], labels: Sequence[str]) -> Counts:
    """The confusion matrix of two index maps, int64 ``[C, C]``, see `Confusion.add`."""
    if truth.shape != predicted.shape or truth.dtype != np.uint8 or predicted.dtype != np.uint8:
        raise ValueError(
            f"truth is {truth.dtype}{list(truth.shape)}, predicted {predicted.dtype}{list(predicted.shape)}: "
            "expected two uint8 maps of one size"
        )
    flat_t, flat_p = truth.reshape(-1), predicted.reshape(-1)
    table = np.zeros(256 * 256, np.int64)
    for start in range(0, flat_t.size, _CHUNK_PX):
        codes = flat_t[start : start + _CHUNK_PX].astype(np.uint16) << 8
        codes |= flat_p[start : start + _CHUNK_PX]
        table += np.bincount(codes, minlength=len(table))
    known = table.reshape(256, 256)[:IGNORE]
    classes = len(labels)
    if known[classes:].any() or known[:, classes:].any():
        rows, columns = np.nonzero(known)
        raise ValueError(f"a map holds class {max(rows.max(), columns.max())}: expected 0..{classes - 1} of {labels}")
    return known[:classes, :classes]


def figures(labels: Sequence[str], counts: Counts) -> Figures:
    """What a confusion matrix amounts to.

    Args:
        labels: C class names.
        counts: ``[C, C]``: rows are true classes, columns predicted ones.
    """
    right, support, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    total = int(support.sum())
    iou, dice = _shares(right, support + predicted - right), _shares(2 * right, support + predicted)
    recall, precision = _shares(right, support), _shares(right, predicted)
    return Figures(
        miou=_mean(iou),
        miou_supported=_mean(iou[support > 0]),
        mean_accuracy=_mean(recall),
        overall_accuracy=float(right.sum() / total) if total else None,
        frequency_weighted_iou=float(np.nansum(iou * support) / total) if total else None,
        dice=_mean(dice),
        counted=total,
        classes_counted=int(np.isfinite(iou).sum()),
        classes_supported=int((support > 0).sum()),
        classes={
            label: ClassFigures(
                int(support[i]), int(predicted[i]), *(_known(kind[i]) for kind in (iou, recall, precision, dice))
            )
            for i, label in enumerate(labels)
        },
    )


def _shares(parts: Counts, wholes: Counts) -> NDArray[np.float64]:
    return np.divide(parts, wholes, out=np.full(len(parts), np.nan), where=wholes > 0)


def _mean(shares: NDArray[np.float64]) -> float | None:
    known = shares[np.isfinite(shares)]
    return float(known.mean()) if len(known) else None


def _known(share: float) -> float | None:
    return float(share) if np.isfinite(share) else None


def rounded(value: Any) -> Any:
    """`value` with all numbers in its dicts, lists and tuples rounded to six digits."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one) for one in value]
    return round(value, 6) if isinstance(value, float) else value
