"""What Nuclio would drop or refuse in one function configuration, and what CVAT would not understand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.serving import labels
from deploy.validate.checks import MAP, TEXT, all_of, fields, list_of, one_of
from deploy.validate.fields import HTTP, TOP
from quadrat import cvat_labels

CVAT_KINDS = ("detector", "interactor", "tracker", "reid")
_TEXTS = all_of(
    TEXT,
    "name type spec framework help_message animated_gif version min_pos_points min_neg_points startswith_box"
    " startswith_box_optional supported_shape_types",
)
_ANNOTATIONS = fields({**_TEXTS, "type": one_of(*CVAT_KINDS)}, "type")
_OTHER_ANNOTATIONS = fields(_TEXTS)
"""Of a function that CVAT is not shown: it may be of any kind."""
_ATTRIBUTE = fields(
    {
        "name": TEXT,
        "input_type": one_of("number", "select", "radio", "checkbox", "text"),
        "values": list_of(TEXT),
        "mutable": lambda value, place: iter(()),
        "default_value": TEXT,
    },
    "name input_type",
)
_LABEL = {
    **all_of(TEXT, "name type svg color"),
    "id": lambda value, place: iter(()),
    "attributes": list_of(_ATTRIBUTE),
}
_LABELS = list_of(
    fields({**_LABEL, "sublabels": list_of(fields({**_LABEL, "type": one_of("points")}, "name"))}, "name")
)
_SPEC = "metadata.annotations.spec"


def faults(raw: Any) -> list[str]:
    """Everything wrong with a function configuration as YAML decodes it, one sentence each, the field first."""
    found = list(TOP(raw, ""))
    if any(isinstance(raw, dict) and not isinstance(raw.get(name), dict) for name in ("metadata", "spec")):
        return found
    if not isinstance(raw, dict):
        return found
    return found + [*_for_cvat(raw["metadata"]), *_triggers(raw["spec"]), *_build(raw["spec"])]


def is_for_cvat(metadata: Mapping[str, Any]) -> bool:
    """Whether CVAT is shown the function: it lists those of the project ``cvat``."""
    labels_of = metadata.get("labels")
    return not isinstance(labels_of, dict) or labels_of.get("nuclio.io/project-name", "cvat") == "cvat"


def _for_cvat(metadata: Mapping[str, Any]) -> Iterator[str]:
    annotations = metadata.get("annotations")
    if not isinstance(annotations, dict):
        return
    shown = is_for_cvat(metadata)
    for fault in (_ANNOTATIONS if shown else _OTHER_ANNOTATIONS)(annotations, "metadata.annotations"):
        yield fault.replace("Nuclio knows", "CVAT knows")
    if shown and annotations.get("type") == "detector":
        yield from _labels(annotations.get("spec", ""))


def _labels(spec: Any) -> Iterator[str]:
    """CVAT takes a skeleton without points, or with a picture of other points, and can then do nothing with it."""
    try:
        for label in labels.parse_spec(spec, _SPEC).values():
            if label.type == "skeleton":
                cvat_labels.read_skeleton(label.model_dump(mode="json"))
    except ValueError as error:
        yield f"{'' if isinstance(error, labels.LabelsError) else f'{_SPEC}: '}{error}"
        return
    for fault in _LABELS(json.loads(spec), _SPEC):
        yield fault.replace("Nuclio knows", "CVAT knows")


def _triggers(spec: Mapping[str, Any]) -> Iterator[str]:
    triggers = spec.get("triggers")
    for name, trigger in triggers.items() if isinstance(triggers, dict) else ():
        if not isinstance(trigger, dict):
            continue
        place = f"spec.triggers.{name}"
        if "maxWorkers" in trigger:
            yield f"{place}.maxWorkers: deprecated, use numWorkers"
        if trigger.get("kind") == "http" and not list(MAP(trigger.get("attributes", {}), place)):
            yield from HTTP(trigger.get("attributes", {}), f"{place}.attributes")


def _build(spec: Mapping[str, Any]) -> Iterator[str]:
    build, runtime = spec.get("build"), spec.get("runtime")
    if not isinstance(build, dict):
        return
    if build.get("commands") and build.get("directives"):
        yield "spec.build.commands: replaces directives, keep one of them"
    python = re.fullmatch(r"python:(\d+\.\d+).*", str(build.get("baseImage", "")))
    if python and f"python:{python[1]}" != runtime:
        yield f"spec.build.baseImage: its Python {python[1]} is not the runtime {runtime}"


def check_file(path: Path) -> list[str]:
    """The faults of a file, each beginning with its path."""
    raw = load(path)
    return [f"{path}: {fault}" for fault in ([raw] if isinstance(raw, str) else faults(raw))]


def load(path: Path) -> Any:
    """What a file holds; a text that says why where it cannot be read or is no map."""
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return f"cannot be read ({error})"
    return raw if isinstance(raw, dict) else f"expected a map, got {type(raw).__name__}"
