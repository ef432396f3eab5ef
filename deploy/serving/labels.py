"""The labels that a function offers CVAT: the annotation `spec` of its function.yaml."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from quadrat import cvat_labels
from quadrat.predictor import Card
from quadrat.template import Template

ShapeType = Literal["any", "polygon", "polyline", "rectangle", "ellipse", "points", "mask", "skeleton", "tag", "cuboid"]


_CONFIDENCE = {key: cvat_labels.CONFIDENCE[key] for key in ("name", "input_type", "values")}


class LabelsError(ValueError):
    """The labels cannot be read, or are not those of the weights."""


class Attribute(BaseModel):
    """An attribute as CVAT defines it; `values` of a number are least, most and step."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    name: str
    input_type: Literal["number", "select", "radio", "checkbox", "text"]
    values: tuple[str, ...] = ()

    def accepts(self, value: str) -> bool:
        """Whether CVAT keeps `value`: a wrong one vanishes without a word."""
        match self.input_type:
            case "number":
                least, most = (int(v) for v in self.values[:2]) if len(self.values) >= 2 else (0, 100)
                return value.isascii() and value.isdecimal() and least <= int(value) <= most
            case "checkbox":
                return value in ("true", "false")
            case "text":
                return True
        return value in self.values


class SubLabel(BaseModel):
    """A point of a skeleton."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    name: str
    type: Literal["points"] = "points"


class Label(BaseModel):
    """A class that the function may answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    name: str
    type: ShapeType = "any"
    attributes: tuple[Attribute, ...] = ()
    sublabels: tuple[SubLabel, ...] = ()
    svg: str = ""

    def attribute(self, name: str) -> Attribute | None:
        """The attribute of that name."""
        return next((a for a in self.attributes if a.name == name), None)


_LABELS = TypeAdapter(tuple[Label, ...])


def parse_spec(text: str, source: str = "spec") -> dict[str, Label]:
    """Read the JSON text of the annotation `spec`.

    Raises:
        LabelsError: no JSON, no labels, a name twice, or a field of the wrong kind; the message begins with `source`.
    """
    try:
        labels = _LABELS.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise LabelsError(f"{source}: annotation `spec`, {place or 'text'}: {first['msg']}") from error
    names = [label.name for label in labels]
    if not names or len(set(names)) != len(names):
        raise LabelsError(f"{source}: annotation `spec` must name at least one label and none twice, got {names}")
    return {label.name: label for label in labels}


def read_labels(path: Path) -> dict[str, Label]:
    """Read the labels of a function.yaml.

    Raises:
        LabelsError: the file is missing or holds no annotation `spec`.
    """
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
        spec = raw["metadata"]["annotations"]["spec"]
    except OSError as error:
        raise LabelsError(f"{path}: cannot be read. Put function.yaml beside main.py or set FUNCTION_YAML") from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise LabelsError(f"{path}: expected a function.yaml with metadata.annotations.spec") from error
    return parse_spec(str(spec), str(path))


def find_function_yaml(folder: Path, env: Mapping[str, str] | None = None) -> Path:
    """The function.yaml in force: the one named by ``FUNCTION_YAML``, else the one beside main.py."""
    named = (os.environ if env is None else env).get("FUNCTION_YAML", "")
    return Path(named) if named else folder / "function.yaml"


def check_against_card(labels: Mapping[str, Label], card: Card, source: str, layouts: Sequence[Template] = ()) -> None:
    """Refuse labels that are not exactly those of the weights: CVAT drops shapes of unknown labels without a word.

    Args:
        labels: what function.yaml offers.
        card: of the weights.
        source: what messages call function.yaml.
        layouts: of a predictor of keypoints: what its points may be of.

    Raises:
        LabelsError: with what either side lacks, and how to get the `spec` that would do.
    """
    missing, foreign = sorted(set(card.labels) - set(labels)), sorted(set(labels) - set(card.labels))
    if missing or foreign:
        spec = (
            f"to: {spec_for(card, more=_shared(labels))}"
            if not layouts
            else "to what `python -m deploy.spec LAYOUT` prints"
        )
        raise LabelsError(
            f"{source} does not offer the labels of the weights {card.name!r}. Only the weights have {missing}; only"
            f" function.yaml has {foreign}. Use other weights (MODEL_PATH), or set the annotation `spec` {spec}"
        )
    for layout in layouts:
        _check_points(labels[layout.label], layout, source)


def _check_points(label: Label, layout: Template, source: str) -> None:
    """Refuse a skeleton whose points are not those of `layout` in its order: CVAT drops points it does not know."""
    names = tuple(point.name for point in label.sublabels)
    if label.type == "skeleton" and names == layout.names:
        return
    other = next((pair for pair in zip(names, layout.names, strict=False) if pair[0] != pair[1]), None)
    order = f": point {other[0]!r} stands where {other[1]!r} belongs" if other else ""
    raise LabelsError(
        f"{source}: label {label.name!r} is a {label.type} of {len(names)} points, layout {layout.name!r} has"
        f" {len(layout.names)}{order}. Choose another layout (TEMPLATE) or other weights (MODEL_PATH), or set the"
        " annotation `spec` to what `python -m deploy.spec LAYOUT` prints for your layout"
    )


def _shared(labels: Mapping[str, Label]) -> list[Attribute]:
    """Attributes that every label has besides its confidence."""
    first = next(iter(labels.values()))
    return [a for a in first.attributes if a.name != "confidence" and all(a in x.attributes for x in labels.values())]


def spec_for(
    card: Card, layouts: Sequence[Template] = (), shape: str = "polygon", more: Sequence[Attribute] = ()
) -> str:
    """The annotation `spec` for weights: one label a class, each with its confidence 0..100.

    Args:
        card: of the weights.
        layouts: of weights that find keypoints: the label is a skeleton with the points of the first.
        shape: of weights that find instances: what CVAT keeps them as.
        more: further attributes of each of them.
    """
    if layouts:
        return json.dumps([skeleton_for(layouts[0])])
    attributes = [_CONFIDENCE, *(attribute.model_dump(mode="json") for attribute in more)]
    return json.dumps([{"name": name, "type": shape, "attributes": attributes} for name in card.labels])


def skeleton_for(layout: Template) -> dict[str, Any]:
    """A skeleton label as it stands in the annotation `spec`: what CVAT reads of a definition, and no more."""
    made = layout.cvat_label(edges=False)
    sublabels = [{"name": point["name"], "type": point["type"]} for point in made["sublabels"]]
    return {
        "name": made["name"],
        "type": made["type"],
        "attributes": [_CONFIDENCE],
        "sublabels": sublabels,
        "svg": made["svg"],
    }
