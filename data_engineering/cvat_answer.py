"""The shapes that a function answers, in the way CVAT asks for them, read as what is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from cvat_sdk import models
from cvat_sdk.attributes import attribute_value_validator
from numpy.typing import NDArray

from data_engineering.cvat_draw import AUTO
from quadrat import masks
from quadrat.drawn import CONFIDENCE, Drawn


def read(raw: Mapping[str, Any], labels: Mapping[str, Any], as_masks: bool, notes: list[str]) -> Drawn:
    """A shape or tag of an answer, source auto.

    Args:
        raw: the parsed JSON.
        labels: definitions by name.
        as_masks: take a mask as a mask where its label is for polygons and the answer has its polygon too.
        notes: gets a sentence for each attribute that has no place.

    Raises:
        ValueError: it cannot be drawn; KeyError, TypeError and AttributeError where it is no shape at all.
    """
    name, kind = str(raw["label"]), str(raw["type"]).lower()
    if name not in labels:
        raise ValueError(f"its label {name!r} is not among the labels")
    label = labels[name]
    attributes = dict(_attributes(raw, label, notes))
    common: dict[str, Any] = {
        "attributes": attributes,
        "group": int(raw.get("group_id") or raw.get("group") or 0),
        "occluded": bool(raw.get("occluded")),
        "outside": bool(raw.get("outside")),
        "z_order": int(raw.get("z_order") or 0),
        "rotation": float(raw.get("rotation") or 0),
        "score": _score(raw, attributes),
        "source": AUTO,
    }
    if kind == "skeleton":
        return Drawn(kind, name, elements=tuple(_elements(raw, label)), **common)
    if kind == "tag":
        return Drawn(kind, name, **common)
    if kind == "mask" and (as_masks or label.get("type") in ("mask", "any", None) or not raw.get("points")):
        return _mask(raw, name, common)
    return Drawn("polygon" if kind == "mask" else kind, name, _xy(raw["points"]), **common)


def _mask(raw: Mapping[str, Any], name: str, common: Mapping[str, Any]) -> Drawn:
    instance = masks.mask_from_cvat(raw["mask"], name)
    if instance is None:
        raise ValueError(f"a mask of {name!r} has no pixel")
    return Drawn("mask", name, np.array(instance.xyxy_px, float).reshape(2, 2), instance.mask, **common)


def _xy(points: Sequence[float]) -> NDArray[np.float64]:
    if len(points) % 2:
        raise ValueError(f"{len(points)} numbers are no list of x and y")
    return np.asarray(points, np.float64).reshape(-1, 2)


def _elements(raw: Mapping[str, Any], label: Mapping[str, Any]) -> Iterator[Drawn]:
    known = {str(sub["name"]) for sub in label.get("sublabels") or ()}
    for element in raw["elements"]:
        name = str(element["label"])
        if name not in known:
            raise ValueError(f"the skeleton {label['name']!r} has no point {name!r}")
        hidden, covered = bool(element.get("outside")), bool(element.get("occluded"))
        yield Drawn("points", name, _xy(element["points"]), outside=hidden, occluded=covered, source=AUTO)


def _score(raw: Mapping[str, Any], attributes: Mapping[str, str]) -> float:
    """What the answer says, else its attribute ``confidence``, in which scores come through CVAT."""
    for key in ("score", CONFIDENCE):
        if raw.get(key) is not None:
            return float(raw[key])
    return float(attributes[CONFIDENCE]) / 100 if attributes.get(CONFIDENCE, "").isdecimal() else 1.0


def _attributes(raw: Mapping[str, Any], label: Mapping[str, Any], notes: list[str]) -> Iterator[tuple[str, str]]:
    specs = {str(spec["name"]): spec for spec in label.get("attributes") or ()}
    for one in raw.get("attributes") or ():
        name, value = str(one["name"]), str(one["value"])
        if name not in specs:
            notes.append(f"the attribute {name!r} is not among those of {label['name']!r}: left out")
        elif not _fits(specs[name], value):
            notes.append(f"the attribute {name!r} of {label['name']!r} cannot be {value!r}: left out")
        else:
            yield name, value


def _fits(spec: Mapping[str, Any], value: str) -> bool:
    return bool(attribute_value_validator(attribute_model({"id": 0, **spec}))(value))


def attribute_model(spec: Mapping[str, Any]) -> models.AttributeRequest:
    """An attribute of a label as cvat-sdk has it."""
    values = list(spec.get("values") or ())
    return models.AttributeRequest(
        id=spec["id"], name=spec["name"], mutable=False, input_type=spec["input_type"], values=values
    )
