"""How good are predicted instances, in a few figures; `data_engineering.tally` has the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_engineering.tally import Tally
from quadrat.shapes import Annotations


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of one set of photos, 0..1; NaN where there is nothing to measure.

    Attributes:
        map50: mask average precision at IoU 0.5, mean over the classes.
        map50_95: the same, mean over IoU 0.50, 0.55 .. 0.95.
        map50_any: average precision at IoU 0.5 when all classes count as one.
        mask_iou: mean IoU of the true colonies that were found (matched at IoU >= 0.5, whatever their class).
        recall: share of the true colonies that were found.
        truths: number of true colonies.
        predictions: number of predicted ones.
    """

    map50: float
    map50_95: float
    map50_any: float
    mask_iou: float
    recall: float
    truths: int
    predictions: int


def score(truth: Sequence[Annotations], predicted: Sequence[Annotations]) -> Score:
    """Compare predictions with the truth, photo by photo.

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
    tally = Tally(sorted({shape.label for photo in [*truth, *predicted] for shape in photo.instances}))
    for t, p in zip(truth, predicted, strict=True):
        tally.add(t.instances, p.instances)
    classes, found, truths = list(tally.by_label().values()), tally.found_ious(0), int(tally.support.sum())
    return Score(
        map50=float(np.mean([one.map50 for one in classes])) if classes else float("nan"),
        map50_95=float(np.mean([one.map50_95 for one in classes])) if classes else float("nan"),
        map50_any=tally.any_label().map50,
        mask_iou=float(found.mean()) if len(found) else float("nan"),
        recall=len(found) / truths if truths else float("nan"),
        truths=truths,
        predictions=tally.predictions(),
    )
