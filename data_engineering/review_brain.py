"""What the app cannot see by itself: disagreements, likely mistakes, near duplicates, what to annotate next.

FiftyOne's evaluation and brain do the work. What was found is kept with a stamp of what it was found from, so that
nothing is computed twice, and what was cut short is computed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data_engineering import descriptors
from data_engineering.evaluation import MATCH_IOU
from data_engineering.labels import fo
from data_engineering.review_fields import Fields, fields_of, has_confidence, labels_path
from data_engineering.review_mistakes import find_mistakes
from quadrat.images import ImageError

DESCRIPTOR = "review_descriptor"
UNIQUENESS, UNCERTAINTY, INFORMATIVE = "uniqueness", "uncertainty", "informative"
DUPLICATES, DUPLICATE_DISTANCE = "near_duplicates", "near_duplicates_distance"
_STAMPS = "review"
_BATCH = 500


@dataclass(slots=True)
class Computed:
    """What was done.

    Attributes:
        steps: names of what was computed anew.
        notes: a sentence for everything that was left out.
    """

    steps: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compute(dataset: fo.Dataset, *, anew: bool = False) -> Computed:
    """Compute all that a review needs and that is not known yet.

    Args:
        dataset: gets fields and evaluations.
        anew: compute also what seems unchanged, for example after shapes were moved in the app.
    """
    fields = fields_of(dataset)
    done = Computed()
    if anew:
        dataset.info.pop(_STAMPS, None)
    _describe(dataset, done)
    _compare_photos(dataset, done)
    _disagree(dataset, fields, done)
    for segmenter in fields.segmenters:
        _mistakes(dataset, fields, segmenter, done)
    _informative(dataset, fields)
    return done


def disagreement_key(a: str, b: str) -> str:
    """Key of the evaluation of one field of predictions against another."""
    return f"{a}_against_{b}"


def disagreement_keys(fields: Fields) -> list[tuple[str, str, str]]:
    """Key and both fields of the comparison of the first two segmenters; none if there are fewer."""
    pairs = [fields.segmenters[:2]] if len(fields.segmenters) > 1 else []
    return [(disagreement_key(a, b), a, b) for a, b in pairs]


# ---------------------------------------------------------------------------------------------- how photos look


def _describe(dataset: fo.Dataset, done: Computed) -> None:
    """Put `descriptors` beside every photo that has none; what is there is kept when this is cut short."""
    if not dataset.has_field(DESCRIPTOR):
        dataset.add_sample_field(DESCRIPTOR, fo.VectorField)
    paths = dict(zip(*dataset.exists(DESCRIPTOR, False).values(["id", "filepath"]), strict=True))
    if not paths:
        return
    done.steps.append("descriptors")
    with ThreadPoolExecutor(2) as pool, tqdm(total=len(paths), desc="look at photos", unit="photo") as bar:
        for ids in _batches(list(paths)):
            found = zip(ids, pool.map(_described, (paths[one] for one in ids)), strict=True)
            rows = dict(found)
            done.notes += [str(row) for row in rows.values() if isinstance(row, ImageError)]
            fit = {one: row for one, row in rows.items() if not isinstance(row, ImageError)}
            dataset.set_values(DESCRIPTOR, fit, key_field="id")
            bar.update(len(ids))


def _described(path: str) -> NDArray[np.float32] | ImageError:
    try:
        return descriptors.descriptor(path)
    except ImageError as error:
        return error


def _compare_photos(dataset: fo.Dataset, done: Computed) -> None:
    """Near duplicates, and how unlike others a photo is, by FiftyOne's brain.

    It takes the mean of all rows away first, which turns cosines round where there are few photos, and leaves Euclidean
    distances as they are: sqrt(2 x cosine distance) for rows of length 1.
    """
    described = dataset.exists(DESCRIPTOR)
    ids = described.values("id")
    if len(ids) < 2 or not _stale(dataset, "photos", stamp := _hash(ids)):
        return
    import fiftyone.brain as fob

    rows = np.array(described.values(DESCRIPTOR), np.float32)
    index = fob.compute_similarity(described, backend="sklearn", metric="euclidean", embeddings=rows)
    fob.compute_near_duplicates(described, threshold=(2 * descriptors.NEAR) ** 0.5, similarity_index=index)
    _keep_duplicates(dataset, index.neighbors_map)
    fob.compute_uniqueness(described, uniqueness_field=UNIQUENESS, similarity_index=index)
    _stamped(dataset, "photos", stamp, done)


def _keep_duplicates(dataset: fo.Dataset, neighbours: dict[str, list[tuple[str, float]]]) -> None:
    dataset.delete_sample_fields([f for f in (DUPLICATES, DUPLICATE_DISTANCE) if dataset.has_field(f)])
    if not neighbours:
        return
    names = dict(zip(*dataset.select(list(neighbours)).values(["id", "filepath"]), strict=True))
    groups, distances = {}, {}
    for first, others in neighbours.items():
        for one, distance in [(first, 0.0), *others]:
            groups[one], distances[one] = names[first].replace("\\", "/").rsplit("/", 1)[-1], float(distance) ** 2 / 2
    dataset.set_values(DUPLICATES, groups, key_field="id")
    dataset.set_values(DUPLICATE_DISTANCE, distances, key_field="id")


# ---------------------------------------------------------------------------------------------- shapes compared


def _disagree(dataset: fo.Dataset, fields: Fields, done: Computed) -> None:
    """Evaluate the first segmenter against the second: what only one of them has, or calls otherwise, is disputed."""
    if len(fields.segmenters) != 2:
        done.notes.append(
            f"disagreements: {len(fields.segmenters)} fields of predictions "
            f"({', '.join(fields.segmenters) or 'none'}): name two by --predictions"
        )
    for key, a, b in disagreement_keys(fields):
        stamp = _stamp(dataset, [a, b])
        both = dataset.exists(a).exists(b)
        if not (_stale(dataset, key, stamp) or key not in dataset.list_evaluations()) or not both.count():
            continue
        if key in dataset.list_evaluations():
            dataset.delete_evaluation(key)
        masks = all(_has_masks(dataset, f) for f in (a, b))
        both.evaluate_detections(
            a, gt_field=b, eval_key=key, iou=MATCH_IOU, use_masks=masks, classwise=False, progress=True
        )
        _stamped(dataset, key, stamp, done)


def _has_masks(dataset: fo.Dataset, name: str) -> bool:
    path = labels_path(dataset, name)
    with_mask = sum(dataset.count(f"{path}.{m}") for m in ("mask", "mask_path") if dataset.has_field(f"{path}.{m}"))
    return with_mask == dataset.count(path)


def _mistakes(dataset: fo.Dataset, fields: Fields, segmenter: str, done: Computed) -> None:
    if not any(dataset.count(labels_path(dataset, f)) for f in fields.people):
        return
    if not has_confidence(dataset, segmenter):
        done.notes.append(f"likely label mistakes: not every shape of {segmenter} says how sure it is")
        return
    step, stamp = f"mistakenness_{segmenter}", _stamp(dataset, [*fields.people, segmenter])
    if _stale(dataset, step, stamp):
        find_mistakes(dataset, fields.people, segmenter)
        _stamped(dataset, step, stamp, done)


# ---------------------------------------------------------------------------------------------- what to annotate next


def _informative(dataset: fo.Dataset, fields: Fields) -> None:
    """How much is to be learnt from annotating a photo: uncertainty x uniqueness, both 0..1.

    Uncertainty is 1 - |2 c - 1| of a shape's confidence c, 1 where the network cannot say (Lewis & Gale, "A sequential
    algorithm for training text classifiers", SIGIR 1994), averaged over the shapes of a photo (Brust, Kaeding &
    Denzler, "Active learning for deep object detection", VISAPP 2019) and over the segmenters. It is weighted with how
    unlike other photos this one is, so that not the same doubt is annotated ten times (the product is that of Settles
    & Craven's information density, EMNLP 2008, with diversity for density). FiftyOne's uniqueness leaves out the very
    nearest photo; the view therefore proposes only one of near duplicates.
    """
    sure = [f for f in fields.segmenters if has_confidence(dataset, f)]
    if not sure or not dataset.has_field(UNIQUENESS):
        return
    doubts = [dataset.values(_mean_doubt(f"{f}.detections")) for f in sure]
    ids, unique = dataset.values(["id", UNIQUENESS])
    uncertainty, informative = {}, {}
    for one, rare, *known in zip(ids, unique, *doubts, strict=True):
        told = [doubt for doubt in known if doubt is not None]
        if told and rare is not None and np.isfinite(rare):
            uncertainty[one] = float(np.mean(told))
            informative[one] = uncertainty[one] * rare
    if informative:
        dataset.set_values(UNCERTAINTY, uncertainty, key_field="id")
        dataset.set_values(INFORMATIVE, informative, key_field="id")


def _mean_doubt(path: str) -> fo.ViewExpression:
    doubt = 1 - (2 * fo.ViewField("confidence") - 1).abs()
    return fo.ViewField(path).map(doubt).mean()


# ---------------------------------------------------------------------------------------------- stamps


def _stamp(dataset: fo.Dataset, fields: Sequence[str]) -> str:
    """A digest of the shapes in some fields; only a part of them is in memory at a time."""
    paths = ["id"]
    for name in fields:
        path = labels_path(dataset, name)
        wanted = (f"{path}.{part}" for part in ("id", "label", "confidence", "bounding_box"))
        paths += [one for one in wanted if one.endswith(".id") or dataset.has_field(one)]
    parts = (dataset[at : at + _BATCH].values(paths) for at in range(0, dataset.count(), _BATCH))
    return _hash(parts)


def _hash(values: Sequence[object] | Iterator[object]) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(repr(value).encode())
    return digest.hexdigest()


def _stale(dataset: fo.Dataset, step: str, stamp: str) -> bool:
    return dataset.info.get(_STAMPS, {}).get(step) != stamp


def _stamped(dataset: fo.Dataset, step: str, stamp: str, done: Computed) -> None:
    dataset.info[_STAMPS] = {**dataset.info.get(_STAMPS, {}), step: stamp}
    dataset.save()
    done.steps.append(step)


def _batches(values: list[str]) -> Iterator[list[str]]:
    return (values[at : at + _BATCH] for at in range(0, len(values), _BATCH))
