"""Shapes, tags and tracks of a request body: checked as loosely as CVAT checks them, and made whole."""

from __future__ import annotations

from typing import Any

from tests.cvat_stand_in.http import Call, Refusal
from tests.cvat_stand_in.projects import labels_of

Shape = dict[str, Any]

SOURCES = ("auto", "semi-auto", "manual", "file", "consensus")
# How many coordinates a kind of shape may have: least, most, and what the count must be a multiple of.
LENGTHS = {
    "rectangle": (4, 4, 4),
    "ellipse": (4, 4, 4),
    "polygon": (6, None, 2),
    "polyline": (4, None, 2),
    "points": (2, None, 2),
    "mask": (5, None, 1),
    "cuboid": (16, 16, 16),
    "skeleton": (0, 0, 1),
}


def check_body(body: Any, *, ids: bool = False) -> None:
    """Refuse a body with bad shapes: the error names the field of each; nothing of such a body is stored.

    Args:
        body: the JSON.
        ids: whether every shape must have an id (for action=delete).
    """
    if not isinstance(body, dict):
        raise Refusal(400, {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]})
    errors = {}
    for name in ("shapes", "tags", "tracks"):
        found = [_errors(shape, name, ids) for shape in body.get(name) or []]
        if any(found):
            errors[name] = found
    if errors:
        raise Refusal(400, errors)


def _errors(shape: Any, name: str, ids: bool, *, element: bool = False) -> dict[str, Any]:
    if not isinstance(shape, dict):
        kind = type(shape).__name__
        return {"non_field_errors": [f"Invalid data. Expected a dictionary, but got {kind}."]}
    required = ["frame", "label_id", *(["type"] if name == "shapes" else [])]
    errors: dict[str, Any] = {field: ["This field is required."] for field in required if shape.get(field) is None}
    if ids and shape.get("id") is None:
        errors["id"] = ["must be present and not null"]
    if shape.get("source", "manual") not in SOURCES:
        choices = ", ".join(repr(source) for source in SOURCES)
        errors["source"] = [f"must be one of {choices}, got {shape['source']!r}"]
    errors |= _numbers(shape)
    if name == "shapes" and "type" not in errors:
        errors |= _points(shape, element)
        elements = [_errors(part, "shapes", ids, element=True) for part in shape.get("elements") or []]
        if any(elements):
            errors["elements"] = elements
    return errors


def _numbers(shape: Shape) -> dict[str, Any]:
    errors = {}
    for name, most in (("score", 1), ("rotation", 360)):
        value = shape.get(name)
        if value is not None and value > most:
            errors[name] = [f"Ensure this value is less than or equal to {most}."]
        if value is not None and value < 0:
            errors[name] = ["Ensure this value is greater than or equal to 0."]
    if not isinstance(shape.get("group") or 0, int):
        errors["group"] = ["A valid integer is required."]
    return errors


NO_NUMBER = "[ErrorDetail(string='Value must be a float or an integer', code='invalid')]"


def _points(shape: Shape, element: bool) -> dict[str, Any]:
    kind, points = shape["type"], shape.get("points") or []
    if kind not in LENGTHS or (element and kind == "skeleton"):
        return {"type": [f'"{kind}" is not a valid choice.']}
    wrong = {str(place): NO_NUMBER for place, value in enumerate(points) if not isinstance(value, int | float)}
    if wrong:
        return {"points": wrong}
    least, most, step = LENGTHS[kind]
    if len(points) < least or (most is not None and len(points) > most) or len(points) % step:
        return {"points": [f"invalid length for shape type '{kind}'"]}
    if kind == "skeleton" and not shape.get("elements"):
        return {"elements": ["at least one required for skeleton shape"]}
    return {}


class Labels:
    """The labels of a task by id, with the attributes of each."""

    def __init__(self, call: Call, task: int):
        self.specs = {
            label.id: {spec["id"]: str(spec["default_value"]) for spec in label.attributes}
            for label in labels_of(call.state, task=task)
        }

    def check(self, shape: Shape) -> None:
        """Refuse labels and attributes that are not of the task; whether they fit together is not asked."""
        specs = self.specs.get(shape["label_id"])
        if specs is None:
            raise Refusal(400, [f"label_id `{shape['label_id']}` is invalid"])
        for attribute in shape.get("attributes") or []:
            if attribute.get("spec_id") not in specs:
                raise Refusal(400, [f"spec_id `{attribute.get('spec_id')}` is invalid"])
        for part in [*(shape.get("elements") or []), *_keyframes(shape)]:
            self.check({"label_id": shape["label_id"], **part})

    def filled(self, shape: Shape) -> list[Shape]:
        """The attributes of a shape with the defaults of those that it lacks."""
        given = {attribute["spec_id"]: attribute for attribute in shape["attributes"]}
        specs = self.specs.get(shape["label_id"], {})
        return [given.get(spec, {"spec_id": spec, "value": default}) for spec, default in specs.items()]


def _keyframes(track: Shape) -> list[Shape]:
    return [
        {"attributes": [a for a in key.get("attributes") or []]}
        for key in track.get("shapes") or []
        if isinstance(key, dict)
    ]


def clean(shape: Shape, name: str = "shapes", *, element: bool = False) -> Shape:
    """A shape as it is stored: known fields alone, with their defaults."""
    attributes = [
        {"spec_id": given["spec_id"], "value": _text(given.get("value", ""))} for given in shape.get("attributes") or []
    ]
    common = {
        "id": shape.get("id"),
        "label_id": shape["label_id"],
        "frame": shape["frame"],
        "group": shape.get("group") or 0,
        "source": shape.get("source", "manual"),
        "attributes": attributes,
    }
    if name == "tags":
        return common
    if name == "tracks":
        parts = [clean(part, "tracks", element=True) for part in shape.get("elements") or []]
        return {**common, "shapes": shape.get("shapes") or [], **({} if element else {"elements": parts})}
    drawn = {
        "type": shape["type"],
        "occluded": shape.get("occluded", False),
        "outside": shape.get("outside", False),
        "z_order": shape.get("z_order", 0),
        "rotation": shape.get("rotation", 0),
        "score": shape.get("score", 1),
        "points": list(shape.get("points") or []),
    }
    parts = [clean(part, element=True) for part in shape.get("elements") or []]
    return {**common, **drawn, **({} if element else {"elements": parts})}


def _text(value: Any) -> str:
    return "true" if value is True else "false" if value is False else str(value)
