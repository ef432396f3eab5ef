"""Class maps in FiftyOne: predictions and truth as segmentations, evaluated by FiftyOne, so that its app shows both.

A map's value in FiftyOne is the number of its class where class 0 is the background, which the app does not draw; else
it is one more, so that class 0 is drawn too. 255 stays "not known" and is not evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_engineering import dataset, labels
from data_engineering.dataset import GROUND_TRUTH
from data_engineering.labels import DatasetError, fo
from data_engineering.match import MatchError, Photos
from data_engineering.tally import BACKGROUND
from quadrat import cvat_labels
from quadrat.shapes import Instance, SemanticMap

IGNORE = SemanticMap.IGNORE


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a model says of one photo, and what is known of it.

    Attributes:
        photo: its path.
        predicted: class of every pixel.
        colonies: found in it, or `None`.
        truth: with the same classes, or `None`.
    """

    photo: Path
    predicted: SemanticMap
    colonies: Sequence[Instance] | None = None
    truth: SemanticMap | None = None


def colonies_field(field: str) -> str:
    """The field that holds the colonies of the maps in `field`."""
    return f"{field}_colonies"


def truth_field(field: str) -> str:
    """The field that holds the truth that the maps in `field` were compared with."""
    return f"{field}_truth"


def labels_of(name: str, field: str = GROUND_TRUTH) -> set[str]:
    """All labels of detections and polylines in a field of a dataset.

    Raises:
        DatasetError: no such dataset, or it has no such field.
    """
    known = dataset.load(name)
    if not known.has_field(field):
        raise DatasetError(f"dataset {name!r} has no field {field!r}")
    kinds = [f"{field}.{kind}" for kind in ("detections", "polylines") if known.has_field(f"{field}.{kind}")]
    return {label for path in kinds for label in known.distinct(f"{path}.label")}


def targets(names: Sequence[str]) -> dict[int, str]:
    """FiftyOne's mask values and their classes.

    Raises:
        ValueError: so many classes that one would be 255.
    """
    first = _first_value(names)
    if first + len(names) > IGNORE:
        raise ValueError(f"{len(names)} classes: expected at most {IGNORE - first}, as {IGNORE} is not known")
    return {first + number: name for number, name in enumerate(names)}


def attach(name: str, field: str, items: Iterable[Seen], *, overwrite: bool = False) -> list[str]:
    """Put maps into `field`, their colonies into `colonies_field` and their truth into `truth_field`.

    Args:
        name: of the dataset.
        field: for the maps.
        items: a photo each.
        overwrite: replace what the fields hold, and the evaluations of `field`.

    Returns:
        The ids of the samples that got a map.

    Raises:
        DatasetError: no such dataset, a field that may not be written, a photo that the dataset does not have or has of
            another size.
    """
    known = dataset.load(name)
    _prepare(known, field, overwrite)
    photos = Photos(known.values("filepath"))
    filled, names = [], None
    for seen in items:
        sample = _sample_of(known, photos, seen)
        names = seen.predicted.labels
        sample[field] = _segmentation(seen.predicted)
        if seen.truth is not None:
            sample[truth_field(field)] = _segmentation(seen.truth)
        if seen.colonies is not None:
            sample[colonies_field(field)] = labels.detections(seen.colonies, dataset.size_of(sample))
        sample.save()
        filled.append(sample.id)
    if names:
        _set_up_app(known, field, names)
    return filled


def evaluate(name: str, field: str, key: str, samples: Sequence[str]) -> dict[str, float]:
    """Compare the maps in `field` with their truth, pixel by pixel, and keep the outcome under `key`.

    Every sample gets ``<key>_accuracy``, ``<key>_precision``, ``<key>_recall`` and ``<key>_dice``. The background, if
    it is class 0, counts as FiftyOne counts it: a pixel that is background in truth and prediction is no hit.

    Args:
        name: of the dataset.
        field: filled by `attach`, with the truth.
        key: of the evaluation; one that is there is replaced.
        samples: ids of those to evaluate.

    Returns:
        FiftyOne's ``accuracy``, ``precision``, ``recall`` and ``fscore`` over all pixels, 0..1.

    Raises:
        DatasetError: no such dataset, or no truth beside the maps.
    """
    whole = dataset.load(name)
    truth = truth_field(field)
    if not whole.has_field(truth):
        raise DatasetError(f"dataset {name!r} has no field {truth!r}: the maps in {field!r} came without their truth")
    if key in whole.list_evaluations():
        whole.delete_evaluation(key)
    known = {value: label for value, label in whole.mask_targets[field].items() if int(value) != IGNORE}
    results = whole.select(list(samples)).evaluate_segmentations(
        field, gt_field=truth, eval_key=key, mask_targets=known, compute_dice=True, progress=False
    )
    found = results.metrics(average="micro")
    return {kind: float(found[kind]) for kind in ("accuracy", "precision", "recall", "fscore")}


def _first_value(names: Sequence[str]) -> int:
    return 0 if names[0] == BACKGROUND else 1


def _segmentation(known: SemanticMap) -> fo.Segmentation:
    first = _first_value(known.labels)
    values = np.where(known.index == IGNORE, np.uint8(IGNORE), known.index + np.uint8(first))
    return fo.Segmentation(mask=values)


def _sample_of(known: fo.Dataset, photos: Photos, seen: Seen) -> fo.Sample:
    try:
        sample = known[photos.find(seen.photo)]
    except MatchError as error:
        raise DatasetError(f"dataset {known.name!r}: {error}") from error
    size_wh = dataset.size_of(sample)
    for one in (seen.predicted, seen.truth):
        if one is not None and one.index.shape != size_wh[::-1]:
            raise DatasetError(f"{sample.filepath} is {size_wh} px, its map is for {one.index.shape[::-1]}")
    return sample


def _prepare(known: fo.Dataset, field: str, overwrite: bool) -> None:
    if not field.isidentifier() or field == GROUND_TRUTH:
        raise DatasetError(f"field {field!r} is not for predictions: give another name of letters, digits and _")
    own = [one for one in (field, truth_field(field), colonies_field(field)) if known.has_field(one)]
    for one in own:
        kind = getattr(known.get_field(one), "document_type", None)
        if kind is not (fo.Detections if one == colonies_field(field) else fo.Segmentation):
            raise DatasetError(f"field {one!r} of dataset {known.name!r} holds something else: give another name")
    if any(known.exists(one) for one in own) and not overwrite:
        raise DatasetError(f"field {field!r} of dataset {known.name!r} holds something: name another or overwrite it")
    if own:
        for key in known.list_evaluations(pred_field=field):
            known.delete_evaluation(key)
        known.delete_sample_fields(own)


def _set_up_app(known: fo.Dataset, field: str, names: Sequence[str]) -> None:
    """Tell the app the names and colours of the mask values; the colours are those of overlays and of CVAT."""
    meaning = targets(names)
    fields = [one for one in (field, truth_field(field)) if known.has_field(one)]
    colours = [
        {"intTarget": value, "color": cvat_labels.colour(name)} for value, name in meaning.items() if name != BACKGROUND
    ]
    scheme = known.app_config.color_scheme or fo.ColorScheme(color_by="value")
    others = [entry for entry in scheme.fields or [] if entry.get("path") not in fields]
    scheme.fields = [*others, *({"path": one, "maskTargetsColors": colours} for one in fields)]
    known.app_config.color_scheme = scheme
    for one in fields:
        known.mask_targets[one] = {**meaning, IGNORE: "not known"}
    known.save()
