"""Which label fields of a dataset hold what people drew, and which what networks answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from data_engineering.dataset import GROUND_TRUTH
from data_engineering.labels import DatasetError, fo

REVIEW, FIX, SENT = "review", "fix", "sent"
"""Tags: to look at, to correct, and on its way to CVAT."""

TRUTH_COPY = "review_truth"
"""What people drew as boxes, while they are compared; gone afterwards."""

SEGMENTERS = ("yolo", "dino")
_CHOSEN = "review_predictions"
_KINDS = (fo.Detections, fo.Polylines, fo.Keypoints, fo.Classifications)


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of label fields.

    Attributes:
        people: what people drew, ``ground_truth`` and its companions.
        predictions: what networks answered.
        copies: what an evaluation compared instead of what people drew.
        segmenters: those of `predictions` that hold detections and are compared with each other and with people.
    """

    people: tuple[str, ...]
    predictions: tuple[str, ...]
    copies: tuple[str, ...]
    segmenters: tuple[str, ...]


def fields_of(dataset: fo.Dataset, predictions: Sequence[str] | None = None) -> Fields:
    """Sort the label fields of a dataset.

    Args:
        dataset: any.
        predictions: the segmenters' fields; by default those that `choose` was told, else those whose names begin with
            yolo or dino, else the fields of detections if there are two.

    Raises:
        DatasetError: one of `predictions` is not there or holds no detections.
    """
    there = list(dataset.get_field_schema(embedded_doc_type=_KINDS))
    copies = {f"{key}_truth" for key in dataset.list_evaluations()} | {TRUTH_COPY}
    people = [f for f in there if f == GROUND_TRUTH or f.startswith(f"{GROUND_TRUTH}_")]
    answered = [f for f in there if f not in people and f not in copies]
    for field in predictions or ():
        if field not in answered or kind_of(dataset, field) is not fo.Detections:
            raise DatasetError(
                f"--predictions {field}: dataset {dataset.name!r} has no such field of detections "
                f"(fields of predictions: {', '.join(answered) or 'none'})"
            )
    remembered = [f for f in dataset.info.get(_CHOSEN, ()) if f in answered]
    outlined = [f for f in answered if kind_of(dataset, f) is fo.Detections]
    named = [f for f in outlined if f.startswith(SEGMENTERS)]
    chosen = predictions or remembered or named or (outlined if len(outlined) == 2 else [])
    segmenters = tuple(f for f in chosen if f in outlined)
    return Fields(tuple(people), tuple(answered), tuple(f for f in there if f in copies), segmenters)


def choose(dataset: fo.Dataset, predictions: Sequence[str]) -> None:
    """Remember which fields are the segmenters', for later reviews and for the app's operators."""
    dataset.info[_CHOSEN] = list(fields_of(dataset, predictions).segmenters)
    dataset.save()


def kind_of(dataset: fo.Dataset, field: str) -> type[fo.Label]:
    """Class of the labels of a field."""
    return dataset.get_field(field).document_type


def labels_path(dataset: fo.Dataset, field: str) -> str:
    """``ground_truth`` -> ``ground_truth.polylines`` and the like."""
    return f"{field}.{kind_of(dataset, field)._LABEL_LIST_FIELD}"


def has_confidence(dataset: fo.Dataset, field: str) -> bool:
    """Whether every label of a field says how sure it is; false where there are none."""
    path = labels_path(dataset, field)
    if not dataset.has_field(f"{path}.confidence") or kind_of(dataset, field) is fo.Keypoints:
        return False  # keypoints have one for each point
    count = dataset.count(path)
    return bool(count) and count == dataset.count(f"{path}.confidence")
