"""Label definitions against those that a CVAT project has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from data_engineering import cvat_shapes
from quadrat import cvat_labels
from quadrat.drawn import Labels

_ANY = ("any", "")


def for_constructor(labels: Labels) -> list[dict[str, Any]]:
    """Definitions as a project is made of them; a skeleton without a picture gets one of points in a square.

    Args:
        labels: definitions, a server's or a constructor's.
    """
    return [_with_picture(label) for label in cvat_shapes.definitions(labels)]


def _with_picture(label: dict[str, Any]) -> dict[str, Any]:
    if not label.get("sublabels") or label.get("svg"):
        return label
    names = [sub["name"] for sub in label["sublabels"]]
    side = math.ceil(math.sqrt(len(names)))
    places = [(5 + 90 * (k % side + 0.5) / side, 5 + 90 * (k // side + 0.5) / side) for k in range(len(names))]
    return {**label, "svg": cvat_labels.skeleton_label(label["name"], names, places)["svg"]}


def differences(wanted: Labels, there: Labels) -> list[str]:
    """What a project's labels lack of those wanted; what it has besides does no harm, and colours do not matter.

    Args:
        wanted: definitions.
        there: definitions of the project.
    """
    known = {str(label["name"]): label for label in there}
    said = []
    for label in wanted:
        name = str(label["name"])
        if name not in known:
            said.append(f"label {name!r} is not there")
        else:
            said += [f"label {name!r} {what}" for what in _of_label(label, known[name])]
    return said


def _of_label(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    kinds = str(wanted.get("type") or ""), str(there.get("type") or "")
    said = [f"is of type {kinds[1]}, not {kinds[0]}"] if kinds[0] != kinds[1] and not {*kinds} & {*_ANY} else []
    known = {str(spec["name"]): spec for spec in there.get("attributes") or []}
    for spec in wanted.get("attributes") or []:
        name = str(spec["name"])
        if name not in known:
            said.append(f"has no attribute {name!r}")
        elif _values(spec) != _values(known[name]):
            said.append(f"has an attribute {name!r} of {_values(known[name])}, not {_values(spec)}")
    points = {str(sub["name"]) for sub in there.get("sublabels") or []}
    asked = {str(sub["name"]) for sub in wanted.get("sublabels") or []}
    for what, names in (("lacks the points", asked - points), ("has further points", points - asked)):
        said += [f"{what} {', '.join(sorted(names)[:5])}"] if names and asked else []
    return said


def _values(spec: Mapping[str, Any]) -> str:
    kind = str(spec.get("input_type") or "text")
    values = [str(value) for value in spec.get("values") or []]
    return kind if kind in ("text", "checkbox") else f"{kind} {values if kind == 'number' else sorted(values)}"
