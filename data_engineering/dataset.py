"""FiftyOne datasets: made from photos with shapes, read back, given predictions.

Instances are stored as detections with their mask on the box, keypoints as keypoints with their names; what people drew
in CVAT may be polylines as well, and is read as instances too. The database belongs to the project (``.cache`` beside
the code), unless ``FIFTYONE_DATABASE_DIR`` or ``FIFTYONE_DATABASE_URI`` name another.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
os.environ.setdefault("FIFTYONE_DATABASE_VALIDATION", "false")  # no notice that the bundled MongoDB is not the newest
os.environ.setdefault("FIFTYONE_DATABASE_DIR", str(Path(__file__).resolve().parents[1] / ".cache" / "fiftyone-db"))

import fiftyone as fo

from quadrat import cvat_labels, masks
from quadrat.formats import shapes_json
from quadrat.images import list_photos
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Annotations, Instance, Keypoints

GROUND_TRUTH = "ground_truth"
"""The field that holds what people drew, or what a renderer knows; its keypoints lie in ``ground_truth_keypoints``."""

Item = tuple[Path, Annotations]


class DatasetError(ValueError):
    """A dataset or a field that is not there, or is there already."""


def create(name: str, items: Iterable[Item], *, field: str = GROUND_TRUTH, overwrite: bool = False) -> fo.Dataset:
    """Make a persistent dataset of photos and their shapes.

    Args:
        name: of the dataset.
        items: photo and shapes; ``annotations.meta["tags"]`` (a list of text) become the sample's tags.
        field: instances go to this field, keypoints to ``<field>_keypoints``.
        overwrite: replace a dataset of this name.

    Raises:
        DatasetError: the name is taken and `overwrite` is not set.
    """
    if fo.dataset_exists(name):
        if not overwrite:
            raise DatasetError(f"dataset {name!r} exists: choose another name or overwrite it")
        fo.delete_dataset(name)
    dataset = fo.Dataset(name, persistent=True)
    dataset.add_samples([_sample(photo, annotations, field) for photo, annotations in items], progress=False)
    _set_up_app(dataset, field)
    return dataset


def from_rendered(folder: str | Path, name: str, *, overwrite: bool = False) -> fo.Dataset:
    """Make a dataset of a folder of `data_engineering.render`."""
    folder = Path(folder)
    truths = {path.stem: path for path in (folder / "truth").glob("*.json")}
    photos = [photo for photo in list_photos(folder / "photos") if photo.stem in truths]
    items = ((photo, shapes_json.read(truths[photo.stem])) for photo in photos)
    return create(name, items, overwrite=overwrite)


def attach(name: str, field: str, predictions: Iterable[Item]) -> int:
    """Put predictions into a field of the samples whose photo they are of, and return how many photos got some.

    Photos are matched by their path, else by file name where it is unique.

    Raises:
        DatasetError: no such dataset, or a photo that the dataset does not have.
    """
    dataset = load(name)
    by_path = dict(zip(dataset.values("filepath"), dataset.values("id"), strict=True))
    by_name: dict[str, list[str]] = {}
    for path, identity in by_path.items():
        by_name.setdefault(Path(path).name, []).append(identity)
    count = 0
    for photo, predicted in predictions:
        same_name = by_name.get(photo.name, [])
        identity = by_path.get(str(photo.resolve())) or (same_name[0] if len(same_name) == 1 else None)
        if identity is None:
            raise DatasetError(f"dataset {name!r} has {len(same_name)} photos {photo.name!r}: expected one")
        sample = dataset[identity]
        _fill(sample, predicted, field)
        sample.save()
        count += 1
    _set_up_app(dataset, field)
    return count


def load(name: str) -> fo.Dataset:
    """Open a dataset.

    Raises:
        DatasetError: there is none of this name; the message lists those that are.
    """
    if not fo.dataset_exists(name):
        raise DatasetError(f"no FiftyOne dataset {name!r} (there are: {', '.join(fo.list_datasets()) or 'none'})")
    return fo.load_dataset(name)


def iter_annotations(name: str, field: str = GROUND_TRUTH) -> Iterator[Item]:
    """Read a dataset's photos and shapes, instances first.

    Detections with a mask, closed polylines and, where there is neither, boxes become instances; keypoints are read
    from ``<field>_keypoints`` or from `field` itself. ``meta["tags"]`` holds the sample's tags.

    Args:
        name: of the dataset.
        field: of the labels.

    Yields:
        The photo's path and its shapes.

    Raises:
        DatasetError: no such dataset, or it has neither `field` nor its keypoints.
    """
    dataset = load(name)
    fields = [f for f in (field, _keypoints_field(field)) if dataset.has_field(f)]
    if not fields:
        there = ", ".join(dataset.get_field_schema(embedded_doc_type=fo.Label)) or "none"
        raise DatasetError(f"dataset {name!r} has no field {field!r} (label fields: {there})")
    point_names = {f: _point_names(dataset, f) for f in fields}
    for sample in dataset.iter_samples():
        size_wh = _size_of(sample)
        shapes = [shape for f in fields for shape in _read(sample[f], size_wh, point_names[f])]
        yield (
            Path(sample.filepath),
            Annotations(Path(sample.filepath).name, size_wh, tuple(shapes), {"tags": list(sample.tags)}),
        )


# ---------------------------------------------------------------------------------------------- writing


def _sample(photo: Path, annotations: Annotations, field: str) -> fo.Sample:
    tags = annotations.meta.get("tags", ())
    sample = fo.Sample(filepath=str(photo.resolve()), tags=[str(tag) for tag in _listed(tags)])
    width, height = annotations.size_wh
    sample.metadata = fo.ImageMetadata(width=width, height=height, num_channels=3)
    _fill(sample, annotations, field)
    return sample


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else ()


def _fill(sample: fo.Sample, annotations: Annotations, field: str) -> None:
    if annotations.instances or not annotations.keypoints:
        detections = [_detection(shape, annotations.size_wh) for shape in annotations.instances]
        sample[field] = fo.Detections(detections=detections)
    if annotations.keypoints:
        keypoints = [_keypoint(shape, annotations.size_wh) for shape in annotations.keypoints]
        sample[_keypoints_field(field)] = fo.Keypoints(keypoints=keypoints)


def _keypoints_field(field: str) -> str:
    return f"{field}_keypoints"


def _detection(shape: Instance, size_wh: tuple[int, int]) -> fo.Detection:
    width, height = size_wh
    x0, y0, x1, y1 = shape.xyxy_px
    box = [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height]
    return fo.Detection(
        label=shape.label,
        bounding_box=box,
        mask=np.array(shape.mask),
        confidence=float(shape.score),
        **{f"attribute_{key}": value for key, value in shape.attributes.items()},
    )


def _keypoint(shape: Keypoints, size_wh: tuple[int, int]) -> fo.Keypoint:
    seen = np.asarray(shape.visibility)
    places = np.where(seen[:, None] > HIDDEN, shape.xy_px / size_wh, np.nan)
    return fo.Keypoint(
        label=shape.label,
        points=[(float(x), float(y)) for x, y in places],
        confidence=[float(score) for score in np.asarray(shape.scores)],
        names=list(shape.names),
        occluded=[bool(value == OCCLUDED) for value in seen],
        score=float(shape.score),
    )


def _set_up_app(dataset: fo.Dataset, field: str) -> None:
    """Tell the app the labels' colours and the points' names; four corners are joined by lines."""
    dataset.app_config.color_scheme = fo.ColorScheme(color_by="value", fields=_label_colours(dataset))
    keypoints = _keypoints_field(field)
    names = _point_names(dataset, keypoints) if dataset.has_field(keypoints) else []
    if names:
        edges = [[*range(len(names)), 0]] if len(names) == 4 else []
        dataset.skeletons[keypoints] = fo.KeypointSkeleton(labels=names, edges=edges)
    dataset.save()


def _label_colours(dataset: fo.Dataset) -> list[dict[str, Any]]:
    """The colours that labels have in overlays and in CVAT, for each field of instances."""
    schemes = []
    for path in dataset.get_field_schema(embedded_doc_type=fo.Detections):
        labels = dataset.distinct(f"{path}.detections.label")
        colours = [{"value": label, "color": cvat_labels.colour(label)} for label in labels]
        schemes.append({"path": path, "colorByAttribute": "label", "valueColors": colours})
    return schemes


# ---------------------------------------------------------------------------------------------- reading


def _point_names(dataset: fo.Dataset, field: str) -> list[str]:
    if field in dataset.skeletons:
        return list(dataset.skeletons[field].labels or [])
    path = f"{field}.keypoints.names"
    if not dataset.has_field(path):
        return []
    kinds = {tuple(names) for sample in dataset.values(path) for names in (sample or []) if names}
    return list(kinds.pop()) if len(kinds) == 1 else []


def _size_of(sample: fo.Sample) -> tuple[int, int]:
    if sample.metadata is None or not sample.metadata.width:
        sample.compute_metadata()
    return int(sample.metadata.width), int(sample.metadata.height)


def _read(label: Any, size_wh: tuple[int, int], names: list[str]) -> list[Instance | Keypoints]:
    if label is None:
        return []
    if isinstance(label, fo.Detections):
        found: Iterable[Instance | Keypoints | None] = (_read_detection(d, size_wh) for d in label.detections)
    elif isinstance(label, fo.Polylines):
        found = (_read_polyline(p, size_wh) for p in label.polylines)
    elif isinstance(label, fo.Keypoints):
        found = (_read_keypoint(k, size_wh, names) for k in label.keypoints)
    else:
        raise DatasetError(f"labels of kind {type(label).__name__}: expected Detections, Polylines or Keypoints")
    return [shape for shape in found if shape is not None]


def _read_detection(detection: fo.Detection, size_wh: tuple[int, int]) -> Instance | None:
    width, height = size_wh
    x, y, w, h = detection.bounding_box
    mask = detection.get_mask() if detection.has_mask else None
    score = 1.0 if detection.confidence is None else float(detection.confidence)
    facts = {
        key.removeprefix("attribute_"): str(value)
        for key, value in detection.iter_fields()
        if key.startswith("attribute_")
    }
    if mask is None:
        ring = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]]) * size_wh
        return masks.instance_from_rings(detection.label, [ring], size_wh, score, facts)
    origin = round(x * width), round(y * height)
    instance = masks.instance_from_mask(detection.label, np.asarray(mask).astype(bool), origin, score, facts)
    return None if instance is None else masks.clip(instance, size_wh)


def _read_polyline(polyline: fo.Polyline, size_wh: tuple[int, int]) -> Instance | None:
    """A closed or filled polyline; its further rings are holes or parts by the even-odd rule."""
    if not (polyline.closed or polyline.filled):
        return None
    rings = [np.asarray(points, np.float64).reshape(-1, 2) * size_wh for points in polyline.points]
    score = 1.0 if polyline.confidence is None else float(polyline.confidence)
    return masks.instance_from_rings(polyline.label, rings, size_wh, score)


def _read_keypoint(keypoint: fo.Keypoint, size_wh: tuple[int, int], names: list[str]) -> Keypoints:
    xy = np.asarray(keypoint.points, np.float64) * size_wh
    hidden = ~np.isfinite(xy).all(1)
    own = keypoint.get_field("names") if keypoint.has_field("names") else None
    occluded = keypoint.get_field("occluded") if keypoint.has_field("occluded") else None
    seen = np.where(hidden, HIDDEN, np.where(np.array(occluded or [False] * len(xy)), OCCLUDED, VISIBLE))
    score = keypoint.get_field("score") if keypoint.has_field("score") else None
    return Keypoints(
        keypoint.label,
        tuple(own or names or [str(i + 1) for i in range(len(xy))]),
        np.where(hidden[:, None], 0.0, xy),
        seen.astype(np.uint8),
        None if keypoint.confidence is None else np.asarray(keypoint.confidence, np.float64),
        1.0 if score is None else float(score),
    )
