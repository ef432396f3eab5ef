"""One shape or tag of CVAT's JSON, as its API and its backups have it, to and from `quadrat.drawn.Drawn`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from quadrat import rle
from quadrat.drawn import Drawn, Labels, natural
from quadrat.formats.cvat_xml_shapes import read_mask

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Names:
    """What labels and attributes are called, and what a server's numbers for them are.

    Attributes:
        points: skeleton label -> names of its points in order.
        labels: a server's number -> (name of the skeleton that a point belongs to, else empty; name of the label).
        specs: a server's number of an attribute -> its name. Both are empty for a backup, which has names only.
    """

    points: Mapping[str, Sequence[str]] = field(default_factory=dict)
    labels: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    specs: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, labels: Labels) -> Names:
        """Read them from label definitions: a server's with numbers, or a constructor's without."""
        numbered: dict[int, tuple[str, str]] = {}
        specs: dict[int, str] = {}
        points: dict[str, list[str]] = {}
        for label in labels:
            sublabels = label.get("sublabels") or []
            for parent, one in (("", label), *((str(label["name"]), sub) for sub in sublabels)):
                if "id" in one:
                    numbered[int(one["id"])] = parent, str(one["name"])
                specs |= {int(spec["id"]): str(spec["name"]) for spec in one.get("attributes") or [] if "id" in spec}
            if sublabels:
                points[str(label["name"])] = [str(sub["name"]) for sub in sublabels]
        return cls(points, numbered, specs)

    def label(self, raw: Raw) -> tuple[str, str]:
        """Name of the skeleton that the shape is a point of, as far as known, and name of its label.

        Raises:
            ValueError: the server has no label of this number.
        """
        if "label" in raw:
            return "", str(raw["label"])
        if raw.get("label_id") not in self.labels:
            raise ValueError(f"its label has the number {raw.get('label_id')}, which none of the task's labels has")
        return self.labels[raw["label_id"]]


# ---------------------------------------------------------------------------------------------- labels


def definitions(labels: Labels) -> list[dict[str, Any]]:
    """A server's labels as its label constructor takes them: without numbers, a skeleton's picture with names."""
    return [_definition(label) for label in labels]


def _definition(label: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": str(label["name"]),
        "color": str(label.get("color") or ""),
        "type": str(label.get("type") or "any"),
        "attributes": [_spec(spec) for spec in label.get("attributes") or []],
    }
    if label.get("sublabels"):
        made["sublabels"] = [_definition(sub) for sub in label["sublabels"]]
        names = {str(sub["id"]): str(sub["name"]) for sub in label["sublabels"] if "id" in sub}
        made["svg"] = _named_svg(str(label.get("svg") or ""), names)
    return made


def _spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": str(spec["name"]),
        "input_type": str(spec.get("input_type") or "text"),
        "mutable": bool(spec.get("mutable")),
        "values": [str(value) for value in spec.get("values") or []],
        "default_value": str(spec.get("default_value") or ""),
    }


def _named_svg(svg: str, names: Mapping[str, str]) -> str:
    def named(found: re.Match[str]) -> str:
        quote, number = found[1], found[2]
        return f"data-label-name={quote}{names[number]}{quote}" if number in names else found[0]

    return re.sub(r"data-label-id=(\"|&quot;)(\d+)\1", named, svg)


# ---------------------------------------------------------------------------------------------- reading


def read(raw: Raw, names: Names, size_wh: tuple[int, int]) -> tuple[Drawn | None, list[str]]:
    """A shape, or a tag (which has no ``type``), of the API or of a backup.

    Args:
        raw: the parsed JSON.
        names: of the labels and attributes.
        size_wh: of the photo in px; a mask with a box larger than that is refused.

    Returns:
        What is drawn, or `None` where it cannot be kept; and a sentence for all that could not be kept as it was,
        which does not name the photo.
    """
    notes: list[str] = []
    title = _title(raw, names)
    try:
        one = _read(raw, names, size_wh, notes)
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
        what = str(error) if isinstance(error, ValueError) else f"it is not what CVAT writes ({error!r})"
        return None, [f"{title} was left out: {what}. Draw it anew in CVAT, or delete it there."]
    return one, [f"{title}: {note}" for note in notes]


def _title(raw: Raw, names: Names) -> str:
    raw = raw if isinstance(raw, Mapping) else {}
    try:
        label = f" {names.label(raw)[1]!r}"
    except (ValueError, TypeError):
        label = ""
    number = f" (id {raw['id']})" if raw.get("id") is not None else ""
    return f"{raw.get('type') or 'tag'}{label}{number}"


def _read(raw: Raw, names: Names, size_wh: tuple[int, int], notes: list[str]) -> Drawn:
    kind = str(raw.get("type") or "tag")
    label = names.label(raw)[1]
    common: dict[str, Any] = {
        "attributes": _attributes(raw, names, notes),
        "group": int(raw.get("group") or 0),
        "occluded": bool(raw.get("occluded")),
        "outside": bool(raw.get("outside")),
        "source": str(raw.get("source") or "manual"),
        "score": _score(raw, notes),
        "z_order": int(raw.get("z_order") or 0),
        "rotation": float(raw.get("rotation") or 0.0),
        "id": None if raw.get("id") is None else int(raw["id"]),
    }
    if not math.isfinite(common["rotation"]):
        raise ValueError(f"its rotation is {common['rotation']}")
    if kind == "skeleton":
        return Drawn(kind, label, elements=_elements(raw, label, names, size_wh, notes), **common)
    if kind == "mask":
        box, mask = _mask(raw["points"], size_wh)
        return Drawn(kind, label, box, mask=mask, **common)
    if kind == "tag":
        return Drawn(kind, label, **common)
    points = np.asarray(raw["points"], np.float64)
    if points.ndim != 1 or points.size % 2:
        raise ValueError(f"{kind} of {label!r} has {points.size} numbers as points: expected pairs of x and y")
    return Drawn(kind, label, points.reshape(-1, 2), **common)


def _score(raw: Raw, notes: list[str]) -> float:
    score = raw.get("score")
    if score is None or 0.0 <= float(score) <= 1.0:
        return 1.0 if score is None else float(score)
    notes.append(f"its score is {score}, expected 0..1: taken as 1.")
    return 1.0


def _attributes(raw: Raw, names: Names, notes: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in raw.get("attributes") or []:
        name = one.get("name") or names.specs.get(one.get("spec_id"))
        if name is None:
            notes.append(
                f"its attribute number {one.get('spec_id')} ({one.get('value')!r}) was left out: its label has none of "
                f"this number. Look at the label's attributes in CVAT."
            )
        else:
            found[str(name)] = _text(one.get("value"))
    return found


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _mask(points: Sequence[float], size_wh: tuple[int, int]) -> tuple[Any, Any]:
    """Box, its end exclusive, and pixels of runs that are followed by left, top, right, bottom, all inclusive."""
    if len(points) < 5:
        raise ValueError(f"it has {len(points)} numbers: expected runs of pixels, then left, top, right, bottom")
    left, top, right, bottom = (int(v) for v in points[-4:])
    return read_mask([int(v) for v in points[:-4]], (left, top, right + 1, bottom + 1), size_wh)


def _elements(raw: Raw, label: str, names: Names, size_wh: tuple[int, int], notes: list[str]) -> tuple[Drawn, ...]:
    found: dict[str, Drawn] = {}
    for element in raw.get("elements") or []:
        try:
            parent, name = names.label(element)
            if names.labels and parent != label:
                raise ValueError(f"{name!r} is no point of {label!r}")
            one = _read({**element, "type": element.get("type") or "points"}, names, size_wh, notes)
            if one.kind != "points" or len(one.xy_px) != 1:
                raise ValueError(f"it is a {one.kind} of {len(one.xy_px)} points, expected one point")
            if name in found:
                raise ValueError(f"there are two points {name!r}, the first was kept")
            found[name] = one
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            notes.append(f"a point of it was left out: {error}. Place it anew in CVAT.")
    return tuple(found.values())


# ---------------------------------------------------------------------------------------------- writing


def raw_points(one: Drawn) -> list[float]:
    """Coordinates as CVAT's JSON has them: x and y in turn; of a mask its runs and its box, all ends inclusive."""
    if one.mask is None:
        return [float(v) for v in one.xy_px.ravel()]
    (x0, y0), (x1, y1) = one.xy_px.tolist()
    return [*map(float, rle.runs_of(one.mask.ravel()).tolist()), x0, y0, x1 - 1, y1 - 1]


def write(one: Drawn, frame: int) -> dict[str, Any]:
    """A shape or tag without its label and attributes, which are called by name here and by number there."""
    common = {"frame": frame, "group": one.group, "source": one.source}
    if one.kind == "tag":
        return common
    return common | {
        "type": one.kind,
        "score": one.score,
        "occluded": one.occluded,
        "outside": one.outside,
        "z_order": one.z_order,
        "rotation": one.rotation % 360,
        "points": raw_points(one),
        "elements": [],
    }


def complete(one: Drawn, points: Iterable[str]) -> list[Drawn]:
    """All points of a skeleton in order; those it has not are outside, at the mean of the others.

    Args:
        one: a skeleton.
        points: names that it should have; where there are none it keeps its own, ordered by name.
    """
    there = {element.label: element for element in one.elements}
    middle = np.mean([p.xy_px for p in there.values()], axis=0) if there else np.zeros((1, 2))
    return [
        there.get(name) or Drawn("points", name, middle, outside=True, source=one.source)
        for name in list(points) or sorted(there, key=natural)
    ]
