"""Shapes as FiftyOne's labels and back, and FiftyOne with the project's own database.

Instances are detections with their mask on the box, keypoints are keypoints with their names; what people drew in CVAT
may be polylines as well, and is read as instances too. The database belongs to the project (``.cache`` beside it),
unless ``FIFTYONE_DATABASE_DIR`` or ``FIFTYONE_DATABASE_URI`` name another.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
os.environ.setdefault("FIFTYONE_DATABASE_VALIDATION", "false")  # no notice that the bundled MongoDB is not the newest
os.environ.setdefault("FIFTYONE_DATABASE_DIR", str(Path(__file__).resolve().parents[1] / ".cache" / "fiftyone-db"))

import fiftyone as fo

from quadrat import masks
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Instance, Keypoints


class DatasetError(ValueError):
    """A dataset or a field that is not there, or is there already, or holds something else."""


def detections(instances: Sequence[Instance], size_wh: tuple[int, int]) -> fo.Detections:
    """Instances of a photo of `size_wh` as FiftyOne's detections with masks."""
    return fo.Detections(detections=[_detection(shape, size_wh) for shape in instances])


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


def keypoints(shapes: Sequence[Keypoints], size_wh: tuple[int, int]) -> fo.Keypoints:
    """Keypoints of a photo of `size_wh` as FiftyOne's."""
    return fo.Keypoints(keypoints=[_keypoint(shape, size_wh) for shape in shapes])


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


def read(label: Any, size_wh: tuple[int, int], names: list[str]) -> list[Instance | Keypoints]:
    """The shapes of one field of one sample.

    Args:
        label: what the field holds; `None` is no shape.
        size_wh: of the photo in px.
        names: of points, where keypoints do not name their own.

    Raises:
        DatasetError: labels of another kind than detections, polylines and keypoints.
    """
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
