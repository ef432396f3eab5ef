"""How good are predicted instances: COCO's average precision, and the IoU of the masks that were found.

Average precision is pycocotools' (the reference implementation of COCO), fed from memory.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from quadrat import masks
from quadrat.formats import coco
from quadrat.shapes import Annotations, Instance

MATCH_IOU = 0.5


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
    by_class = _average_precision(truth, predicted)
    any_class = _average_precision([_one_class(t) for t in truth], [_one_class(p) for p in predicted])
    found = [iou for t, p in zip(truth, predicted, strict=True) for iou in _matched_ious(t.instances, p.instances)]
    truths = sum(len(t.instances) for t in truth)
    return Score(
        map50=by_class[1],
        map50_95=by_class[0],
        map50_any=any_class[1],
        mask_iou=float(np.mean(found)) if found else float("nan"),
        recall=len(found) / truths if truths else float("nan"),
        truths=truths,
        predictions=sum(len(p.instances) for p in predicted),
    )


def _average_precision(truth: Sequence[Annotations], predicted: Sequence[Annotations]) -> tuple[float, float]:
    raw = coco.to_dict([_renamed(t, number) for number, t in enumerate(truth)])
    guesses = coco.to_dict([_renamed(p, number) for number, p in enumerate(predicted)])
    number = {category["name"]: category["id"] for category in raw["categories"]}
    label = {category["id"]: category["name"] for category in guesses["categories"]}
    results = [
        {**{k: a[k] for k in ("image_id", "segmentation", "score")}, "category_id": number[label[a["category_id"]]]}
        for a in guesses["annotations"]
        if label[a["category_id"]] in number
    ]
    if not raw["annotations"]:
        return float("nan"), float("nan")
    if not results:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = raw
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(results), "segm")
        evaluation.params.maxDets = [1, 100, 1000]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]  # [IoU, recall, class], all areas, 1000 a photo
    return _mean(precision), _mean(precision[:1])


def _mean(precision: np.ndarray) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else float("nan")


def _renamed(photo: Annotations, number: int) -> Annotations:
    return replace(photo, image=f"{number}", shapes=photo.instances)


def _one_class(photo: Annotations) -> Annotations:
    return replace(photo, shapes=tuple(replace(shape, label="coral") for shape in photo.instances))


def _matched_ious(truth: Sequence[Instance], predicted: Sequence[Instance]) -> list[float]:
    """IoU of each true colony with the prediction that is its own: best pairs first, each used once."""
    pairs = sorted(
        ((masks.iou(t, p), i, j) for i, t in enumerate(truth) for j, p in enumerate(predicted)), reverse=True
    )
    used_truth: set[int] = set()
    used_predicted: set[int] = set()
    found = []
    for iou, i, j in pairs:
        if iou < MATCH_IOU:
            break
        if i not in used_truth and j not in used_predicted:
            used_truth.add(i)
            used_predicted.add(j)
            found.append(iou)
    return found
