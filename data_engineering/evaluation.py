"""Predictions in a FiftyOne dataset evaluated by FiftyOne, so that its app shows right, wrong and missed colonies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from data_engineering import dataset, drawn_fields, labels
from data_engineering.dataset import GROUND_TRUTH
from data_engineering.labels import DatasetError, fo
from quadrat import drawn
from quadrat.shapes import Instance

MATCH_IOU = 0.5


def check_key(name: str, key: str, overwrite: bool) -> None:
    """Refuse an evaluation key before much work goes into its predictions.

    Raises:
        DatasetError: no such dataset, no fit name, or a key that is there while `overwrite` is not set.
    """
    if not key.isidentifier():
        raise DatasetError(f"eval_key {key!r}: expected letters, digits and _")
    if key in dataset.load(name).list_evaluations() and not overwrite:
        raise DatasetError(f"dataset {name!r} has an evaluation {key!r}: give another --eval-key or --overwrite")


def evaluate(
    name: str, field: str, key: str, samples: Sequence[str], to_label: Callable[[str], str] | None = None
) -> dict[str, int]:
    """Compare `field` with what people drew, mask with mask at IoU 0.5, and keep the outcome under `key`.

    Every shape gets ``<key>`` (tp, fp, fn), every sample the numbers of each. A colony that is found under a wrong name
    is a false prediction that is tied to the missed colony, so that the app's confusion matrix has it.

    FiftyOne compares detections with masks only among themselves. Where people drew polylines or boxes, or where their
    labels are of another level, ``<key>_truth`` holds their shapes as they were compared.

    Args:
        name: of the dataset.
        field: of the predictions.
        key: of the evaluation; one that is there is replaced.
        samples: ids of those to evaluate.
        to_label: what a drawn label is called among the predictions.

    Returns:
        ``tp``, ``fp`` and ``fn``: numbers of colonies found and named right, of false and of missed ones.

    Raises:
        DatasetError: no such dataset.
    """
    whole = dataset.load(name)
    if key in whole.list_evaluations():
        whole.delete_evaluation(key)
    view = whole.select(list(samples))
    truth = _comparable(whole, view, f"{key}_truth", to_label or str)
    view.evaluate_detections(
        field, gt_field=truth, eval_key=key, method="coco", iou=MATCH_IOU, use_masks=True, classwise=False
    )
    return {kind: int(view.sum(f"{key}_{kind}") or 0) for kind in ("tp", "fp", "fn")}


def _comparable(whole: fo.Dataset, view: fo.DatasetView, copy: str, to_label: Callable[[str], str]) -> str:
    """The field of the truth, or of a copy as detections with masks under the right labels."""
    kind = getattr(whole.get_field(GROUND_TRUTH), "document_type", None)
    if kind is fo.Detections:
        path = f"{GROUND_TRUTH}.detections"
        with_mask = view.count(f"{path}.mask") + view.count(f"{path}.mask_path")
        if with_mask == view.count(path) and all(to_label(label) == label for label in view.distinct(f"{path}.label")):
            return GROUND_TRUTH
    if whole.has_field(copy):
        whole.delete_sample_field(copy)
    fields = drawn_fields.there(whole, GROUND_TRUTH)
    for sample in view.iter_samples(autosave=True):
        photo = drawn_fields.read_sample(sample, fields)
        shapes = drawn.to_shapes(photo.drawn, photo.size_wh)
        drawn_ones = [replace(one, label=to_label(one.label)) for one in shapes if isinstance(one, Instance)]
        sample[copy] = labels.detections(drawn_ones, photo.size_wh)
    return copy
