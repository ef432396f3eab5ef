"""Shapes of networks as FiftyOne's labels, and FiftyOne with the project's own database.

Instances are detections with their mask on the box, keypoints are keypoints with their names;
`data_engineering.drawn_fields` reads both, and what people drew. The database belongs to the project (``.cache`` beside
it), unless ``FIFTYONE_DATABASE_DIR`` or ``FIFTYONE_DATABASE_URI`` name another.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
os.environ.setdefault("FIFTYONE_DATABASE_VALIDATION", "false")  # no notice that the bundled MongoDB is not the newest
os.environ.setdefault("FIFTYONE_DATABASE_DIR", str(Path(__file__).resolve().parents[1] / ".cache" / "fiftyone-db"))

import fiftyone as fo

from quadrat.shapes import HIDDEN, OCCLUDED, Instance, Keypoints


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
