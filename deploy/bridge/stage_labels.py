"""The labels that the project of a stage has in CVAT."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data_engineering import cvat_shapes, taxonomy
from deploy.bridge.plan import Stage
from quadrat import cvat_labels, template

GENERA = "genera"


class StageLabelsError(ValueError):
    """What a stage says of its labels cannot be used; the message says what was expected."""


def labels_of(stage: Stage, folder: Path) -> list[dict[str, Any]]:
    """The labels of a stage, as CVAT's label constructor takes them.

    Args:
        stage: of pipeline.yaml; ``genera`` are polygons of the 16 genera, ``corners`` and other layouts of
            `quadrat.template` a skeleton, anything else a file.
        folder: of pipeline.yaml, beside which files lie.

    Raises:
        StageLabelsError: neither a known name nor a file of labels.
    """
    if stage.labels == GENERA:
        return cvat_labels.segmentation_labels(taxonomy.labels("genus"))
    if stage.labels in template.BUILTIN:
        return [template.load(stage.labels).cvat_label()]
    path = folder / stage.labels
    if path.suffix.lower() == ".json":
        return _from_constructor(path)
    try:
        return [template.load(path).cvat_label()]  # a layout of one's own
    except ValueError as error:
        raise StageLabelsError(f"labels {stage.labels!r}: expected {GENERA}, or a layout: {error}") from None


def _from_constructor(path: Path) -> list[dict[str, Any]]:
    try:
        raw = json.loads(path.read_text("utf-8"))
        if not isinstance(raw, list) or not raw or not all(isinstance(label, dict) and label["name"] for label in raw):
            raise ValueError("no list of labels with names")
        return cvat_shapes.definitions(raw)
    except OSError as error:
        raise StageLabelsError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StageLabelsError(f"{path}: expected what CVAT's label constructor shows as raw ({error})") from None
