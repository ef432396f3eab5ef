"""Likely mistakes of the people who drew, as FiftyOne's brain finds them from a segmenter that is sure of its answers.

FiftyOne compares fields of one kind by their boxes. Where people drew polygons, or both polygons and masks, their boxes
are compared, and what is found is written to the shapes themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from bson import ObjectId
from tqdm import tqdm

from data_engineering.labels import fo
from data_engineering.review_fields import TRUTH_COPY, kind_of, labels_path

_AREAS = (fo.Detections, fo.Polylines)
_AT_ONCE = 500


def mistake_fields(segmenter: str) -> tuple[str, str, str]:
    """Names of what is found: how likely a name is wrong (0..1), predicted but not drawn, drawn but not predicted."""
    return f"mistakenness_{segmenter}", f"missing_{segmenter}", f"spurious_{segmenter}"


def find_mistakes(dataset: fo.Dataset, people: Sequence[str], segmenter: str) -> None:
    """Find likely mistakes, see `fiftyone.brain.compute_mistakenness`.

    Every shape that people drew gets ``mistakenness_<segmenter>`` and ``spurious_<segmenter>``, every prediction that
    people may have missed ``missing_<segmenter>``, every photo its largest mistakenness and the numbers of both others.

    Args:
        dataset: gets the fields.
        people: fields of what people drew.
        segmenter: field of detections that all say how sure they are.
    """
    import fiftyone.brain as fob

    areas = [f for f in people if kind_of(dataset, f) in _AREAS]
    _forget(dataset, areas, segmenter)
    direct = len(areas) == 1 and kind_of(dataset, areas[0]) is fo.Detections
    truth = areas[0] if direct else TRUTH_COPY
    if not direct:
        _copy_boxes(dataset, areas)
    likely, missing, spurious = mistake_fields(segmenter)
    for path, kind in _attributes(dataset, areas, segmenter).items():
        dataset.add_sample_field(path, kind)
    view = dataset.exists(segmenter).exists(truth)
    fob.compute_mistakenness(
        view,
        segmenter,
        truth,
        mistakenness_field=likely,
        missing_field=missing,
        spurious_field=spurious,
        progress=True,
    )
    if not direct:
        _bring_back(dataset, (likely, f"{likely}_loc", spurious))
        dataset.delete_sample_field(TRUTH_COPY)


def _forget(dataset: fo.Dataset, areas: Sequence[str], segmenter: str) -> None:
    found = mistake_fields(segmenter)
    if found[0] in dataset.list_brain_runs():
        dataset.delete_brain_run(found[0])
    there = (TRUTH_COPY, *found, *_attributes(dataset, areas, segmenter))
    old = [path for path in there if dataset.has_field(path)]
    if old:
        dataset.delete_sample_fields(old)


def _attributes(dataset: fo.Dataset, areas: Sequence[str], segmenter: str) -> dict[str, type[fo.Field]]:
    """What the labels themselves get; FiftyOne does not tell the dataset."""
    likely, missing, spurious = mistake_fields(segmenter)
    kinds = {likely: fo.FloatField, f"{likely}_loc": fo.FloatField, spurious: fo.BooleanField}
    paths = {f"{labels_path(dataset, f)}.{name}": kind for f in areas for name, kind in kinds.items()}
    return {**paths, f"{labels_path(dataset, segmenter)}.{missing}": fo.BooleanField}


def _copy_boxes(dataset: fo.Dataset, areas: Sequence[str]) -> None:
    """Boxes of all areas in one field, as plain documents: FiftyOne's own objects would take many times as long."""
    dataset.add_sample_field(TRUTH_COPY, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    with tqdm(total=len(dataset), desc="boxes of drawn shapes", unit="photo") as bar:
        for at in range(0, len(dataset), _AT_ONCE):
            part = dataset[at : at + _AT_ONCE]
            ids = part.values("id")
            boxes: dict[str, list[dict[str, Any]]] = {}
            for field in areas:
                for sample, found in zip(ids, _boxes(part, dataset, field), strict=True):
                    if found is not None:
                        boxes.setdefault(sample, []).extend(found)
            copies = {sample: {"_cls": "Detections", "detections": found} for sample, found in boxes.items()}
            dataset.set_values(TRUTH_COPY, copies, key_field="id", validate=False, progress=False)
            bar.update(len(ids))


def _boxes(part: fo.DatasetView, dataset: fo.Dataset, field: str) -> Iterator[list[dict[str, Any]] | None]:
    """The boxes of a field, a list for each photo; `None` where nobody has looked, which is not the same as none."""
    path = labels_path(dataset, field)
    detections = kind_of(dataset, field) is fo.Detections
    places = ["bounding_box"] if detections else ["points", "closed", "filled"]
    for shapes in zip(*part.values([f"{path}.{name}" for name in ("id", "label", *places)]), strict=True):
        known = zip(*(values or () for values in shapes), strict=True)
        yield (
            None
            if shapes[0] is None
            else [
                {
                    "_id": ObjectId(),
                    "_cls": "Detection",
                    "tags": [],
                    "label": label,
                    "bounding_box": place[0] if detections else _box(place[0]),
                    "drawn_id": shape,
                    "drawn_in": field,
                }
                for shape, label, *place in known
                if detections or place[1] or place[2]
            ]
        )


def _box(rings: Sequence[Sequence[Sequence[float]]]) -> list[float]:
    xy = np.concatenate([np.reshape(ring, (-1, 2)) for ring in rings])
    return [float(value) for value in (*xy.min(0), *np.ptp(xy, 0))]


def _bring_back(dataset: fo.Dataset, names: Sequence[str]) -> None:
    """Write what was found about the boxes to the shapes that they are the boxes of."""
    found: dict[str, list[dict[str, object]]] = {}
    copies = dataset.exists(TRUTH_COPY).select_fields(TRUTH_COPY)
    total = len(copies)
    for count, sample in enumerate(copies.iter_samples(), 1):
        for box in sample[TRUTH_COPY].detections:
            for name in names:
                if box.has_field(name) and box[name] is not None:
                    known = {"sample_id": sample.id, "label_id": box["drawn_id"], "value": box[name]}
                    found.setdefault(f"{labels_path(dataset, box['drawn_in'])}.{name}", []).append(known)
        if count % _AT_ONCE == 0 or count == total:
            for path, values in found.items():
                dataset.set_label_values(path, values)
            found = {}
