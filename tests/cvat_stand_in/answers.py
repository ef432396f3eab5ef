"""The answer of a detector as CVAT reads it: names become ids, much is dropped without a word, some is a 500."""

from __future__ import annotations

from typing import Any

from tests.cvat_stand_in.http import Call, broken
from tests.cvat_stand_in.projects import labels_of
from tests.cvat_stand_in.shapes import Shape, clean
from tests.cvat_stand_in.state import Label


class Mapping:
    """Names of a function's labels to the labels of a task: by the same name, or as the caller says."""

    def __init__(self, call: Call, task: int, given: dict[str, Any] | None):
        self.own = labels_of(call.state, task=task)
        self.given = given

    def find(self, name: str, parent: Label | None = None, outer: str = "") -> Label | None:
        """The task's label for a name of the function; within a skeleton, for the name of a point."""
        if self.given:
            rules = self.given if parent is None else self.given.get(outer, {}).get("sublabels", {})
            if name not in rules:
                return None
            name = rules[name]["name"]
        wanted = parent.id if parent else None
        return next((label for label in self.own if label.name == name and label.parent == wanted), None)

    def names(self, label: str) -> dict[str, str] | None:
        """Names of attributes as the caller maps them; ``None`` where the same names stand for each other."""
        return dict(self.given[label].get("attributes", {})) if self.given and label in self.given else None

    def points(self, skeleton: Label) -> list[Label]:
        return [label for label in self.own if label.parent == skeleton.id]


def shapes_of(answer: Any, frame: int, mapping: Mapping, *, to_polygon: bool = False) -> dict[str, list[Shape]]:
    """What the server would store of an answer.

    Raises:
        Refusal: 500, where CVAT's code falls over the answer.
    """
    drawn: dict[str, list[Shape]] = {"tags": [], "shapes": [], "tracks": []}
    if not isinstance(answer, list):
        raise broken()
    for one in answer:
        if not isinstance(one, dict) or "label" not in one or "type" not in one:
            raise broken()
        if "elements" in one and one["type"] != "skeleton":
            raise broken()
        label = mapping.find(one["label"])
        if label is None:
            continue
        shape = {
            "label_id": label.id,
            "frame": frame,
            "source": "auto",
            "attributes": _attributes(one, label, mapping.names(one["label"])),
        }
        if one["type"] == "tag":
            drawn["tags"].append(clean(shape, "tags"))
        elif (whole := _shape(one, shape, label, mapping, to_polygon)) is not None:
            drawn["shapes"].append(whole)
    return drawn


def _attributes(one: dict[str, Any], label: Label, names: dict[str, str] | None) -> list[dict[str, Any]]:
    """Attributes that the label has (under `names`, where the caller maps them), with a value that it allows."""
    given = one.get("attributes", [])
    if not isinstance(given, list):
        raise broken()
    specs = {spec["name"]: spec for spec in label.attributes}
    found = []
    for attribute in given:
        name = attribute["name"]
        spec = specs.get(name if names is None else names.get(name, ""))
        if spec is not None and _allowed(str(attribute["value"]), spec):
            found.append({"spec_id": spec["id"], "value": str(attribute["value"])})
    return found


def _allowed(value: str, spec: dict[str, Any]) -> bool:
    kind, values = spec["input_type"], [str(one) for one in spec["values"]]
    if kind in ("select", "radio"):
        return value in values
    if kind == "checkbox":
        return value.lower() in ("true", "false")
    if kind == "number":
        try:
            return float(values[0]) <= float(value) <= float(values[1])
        except ValueError:
            return False
    return True


def _shape(one: dict[str, Any], shape: Shape, label: Label, mapping: Mapping, to_polygon: bool) -> Shape | None:
    kind = one["type"]
    common = {**shape, "type": kind, "group": one.get("group_id", 0), "outside": one.get("outside", False)}
    if kind == "skeleton":
        return _skeleton(one, common, label, mapping)
    if kind == "mask" and to_polygon and "points" in one:
        return clean({**common, "type": "polygon", "points": one["points"]})
    if kind == "mask":
        return clean({**common, "points": _runs(one.get("mask"))})
    if "points" not in one:
        raise broken()
    turned = {"rotation": one.get("rotation", 0)} if kind in ("rectangle", "ellipse") else {}
    return clean({**common, "points": one["points"], **turned})


def _runs(mask: Any) -> list[float]:
    """The bits of a mask as runs, the first of zeros, then the box."""
    if not mask or len(mask) < 5 or any(isinstance(bit, list) for bit in mask):
        raise broken()
    runs, last = [0], False
    for bit in mask[:-4]:
        if bool(bit) != last:
            runs.append(0)
            last = not last
        runs[-1] += 1
    return [*runs, *mask[-4:]]


def _skeleton(one: dict[str, Any], common: Shape, label: Label, mapping: Mapping) -> Shape | None:
    """A skeleton with all its points: those that the answer lacks lie outside, at the mean of the others."""
    if "elements" not in one or any("type" not in part for part in one["elements"]):
        raise broken()
    found: dict[int, Shape] = {}
    seen: list[list[float]] = []
    for part in one["elements"]:
        point = mapping.find(part["label"], label, one["label"])
        if point is None:
            continue
        seen.append(part["points"])
        given = {"label_id": point.id, "frame": common["frame"], "type": "points", "source": "auto"}
        outside = {"points": part["points"], "outside": part.get("outside", False)}
        found.setdefault(point.id, {**given, **outside, "attributes": _attributes(part, point, None)})
    if not found or all(part["outside"] for part in found.values()):
        return None
    mean = [sum(points[axis] for points in seen) / len(seen) for axis in (0, 1)]
    empty = {"frame": common["frame"], "type": "points", "source": "auto", "points": mean, "outside": True}
    parts = [found.get(point.id, {**empty, "label_id": point.id}) for point in mapping.points(label)]
    return clean({**common, "points": [], "outside": False, "elements": parts})
