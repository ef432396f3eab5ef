"""Label definitions for formats that have none of their own, or only names: made from what was drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadrat import cvat_labels
from quadrat.drawn import CONFIDENCE, Drawn, DrawnPhoto, natural

ANY = "any"
"""CVAT's type of a label that may be drawn by every means."""


@dataclass(frozen=True)
class Points:
    """Names of a skeleton's points in order, and the lines between them as pairs of indices."""

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = field(default=())


def definitions(
    photos: Sequence[DrawnPhoto],
    names: Iterable[str] = (),
    *,
    colours: Mapping[str, str] | None = None,
    skeletons: Mapping[str, Points] | None = None,
) -> list[dict[str, Any]]:
    """Definitions as CVAT's label constructor has them, one a label.

    Args:
        photos: what they show gives each label its type and its attributes (text; ``confidence`` a number).
        names: labels that come first, used or not; the others follow in the order in which they are met.
        colours: label -> ``#rrggbb``; others get one made of their name.
        skeletons: label -> its points; those of other labels are taken from what was drawn.
    """
    drawn: dict[str, list[Drawn]] = {name: [] for name in dict.fromkeys(names)}
    for photo in photos:
        for one in photo.drawn:
            drawn.setdefault(one.label, []).append(one)
    known = dict(skeletons or {})
    made = []
    for label, shapes in drawn.items():
        kinds = {one.kind for one in shapes}
        if label in known or kinds == {"skeleton"}:
            definition = skeleton(label, known.get(label) or _points_of(shapes), shapes)
        else:
            definition = {"name": label, "color": cvat_labels.colour(label), "type": kinds.pop() if kinds else ANY}
            definition["type"] = ANY if kinds else definition["type"]
        definition["attributes"] = _attributes(shapes)
        definition["color"] = (colours or {}).get(label, definition["color"])
        made.append(definition)
    return made


def skeleton(label: str, points: Points, drawn: Sequence[Drawn] = ()) -> dict[str, Any]:
    """A skeleton's definition with a picture: its points as they lie in the first complete one drawn, else on a ring.

    A point whose name cannot stand in CVAT's picture leaves the picture empty.
    """
    xy = next((found for one in drawn if (found := _places(one, points.names)) is not None), _ring(len(points.names)))
    try:
        return cvat_labels.skeleton_label(label, points.names, xy, points.edges, attributes=False)
    except ValueError:
        sublabels = [
            {"name": name, "attributes": [], "type": "points", "color": cvat_labels.colour(f"{label} {name}")}
            for name in points.names
        ]
        color = cvat_labels.colour(label)
        return {"name": label, "color": color, "type": "skeleton", "sublabels": sublabels, "svg": "", "attributes": []}


def points_of(label: Mapping[str, Any]) -> Points:
    """Names and lines of a skeleton label; no lines where its picture cannot be read."""
    try:
        read = cvat_labels.read_skeleton(dict(label))
        return Points(read.names, read.edges)
    except ValueError:
        return Points(tuple(str(sub["name"]) for sub in label["sublabels"]))


def _points_of(drawn: Iterable[Drawn]) -> Points:
    return Points(tuple(sorted({element.label for one in drawn for element in one.elements}, key=natural)))


def _places(one: Drawn, names: Sequence[str]) -> NDArray[np.float64] | None:
    """Per cent ``[K, 2]`` of a skeleton that has all its points, spread over 5..95; `None` for others."""
    there = {element.label: element.xy_px[0] for element in one.elements if not element.outside}
    if one.kind != "skeleton" or set(there) != set(names):
        return None
    xy = np.array([there[name] for name in names])
    span = np.maximum(xy.max(0) - xy.min(0), 1e-9)
    return np.round(np.where(np.ptp(xy, axis=0) > 0, 5 + 90 * (xy - xy.min(0)) / span, 50.0), 2)


def _ring(count: int) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, max(count, 1), endpoint=False)[:count]
    return np.round(np.stack([50 + 45 * np.sin(angle), 50 - 45 * np.cos(angle)], 1), 2)


def _attributes(drawn: Iterable[Drawn]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for one in drawn for name in one.attributes)
    return [
        dict(cvat_labels.CONFIDENCE)
        if name == CONFIDENCE
        else {"name": name, "input_type": "text", "mutable": False, "values": [""], "default_value": ""}
        for name in names
    ]
