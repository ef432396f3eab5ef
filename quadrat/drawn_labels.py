"""Label definitions for what was drawn: made where a file has none, and what a skeleton lacks said in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from quadrat import cvat_labels
from quadrat.drawn import CONFIDENCE, Drawn, Labels, missing_points, natural

_NAMED = 5  # of the points that a skeleton lacks


class Seen:
    """Labels of all that was drawn, gathered shape by shape, so that photos need not be kept.

    Args:
        labels: definitions that are there already; attributes that were drawn and that they lack are added.
    """

    def __init__(self, labels: Labels = ()) -> None:
        self._given = {str(label["name"]): dict(label) for label in labels}
        self._kinds: dict[str, dict[str, None]] = {}
        self._attributes: dict[str, dict[str, None]] = {}
        self._skeletons: dict[str, dict[str, tuple[float, float]]] = {}

    def add(self, drawn: Iterable[Drawn]) -> None:
        """Take note of the labels, kinds, attributes and points of what was drawn."""
        for one in drawn:
            self._attributes.setdefault(one.label, {}).update(dict.fromkeys(one.attributes))
            if one.label in self._given:
                continue
            self._kinds.setdefault(one.label, {})[one.kind] = None
            if one.kind == "skeleton":
                points = self._skeletons.setdefault(one.label, {})
                for element in one.elements:
                    points.setdefault(element.label, (float(element.xy_px[0, 0]), float(element.xy_px[0, 1])))

    def definitions(self) -> list[dict[str, Any]]:
        """The given definitions, then one for each further label, by name.

        A label of several kinds gets the type ``any``. Attributes are text, but ``confidence`` is a number.
        """
        given = [self._completed(name, label) for name, label in self._given.items()]
        return [*given, *(self._definition(name) for name in sorted(self._kinds))]

    def _completed(self, name: str, label: dict[str, Any]) -> dict[str, Any]:
        there = list(label.get("attributes") or ())
        names = {str(spec["name"]) for spec in there}
        return label | {
            "attributes": there + [_spec(one) for one in self._attributes.get(name, ()) if one not in names]
        }

    def _definition(self, name: str) -> dict[str, Any]:
        kinds, attributes = self._kinds[name], [_spec(one) for one in self._attributes[name]]
        if "skeleton" in kinds:
            return _skeleton(name, self._skeletons[name], attributes)
        kind = next(iter(kinds)) if len(kinds) == 1 else "any"
        return {"name": name, "color": cvat_labels.colour(name), "type": kind, "attributes": attributes}


def _spec(name: str) -> dict[str, Any]:
    if name == CONFIDENCE:
        return dict(cvat_labels.CONFIDENCE)
    return {"name": name, "input_type": "text", "mutable": True, "values": [""], "default_value": ""}


def _skeleton(
    label: str, points: Mapping[str, tuple[float, float]], attributes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A skeleton's definition; its picture shows the first one drawn, within 5..95 per cent."""
    names = sorted(points, key=natural)
    xy = np.array([points[name] for name in names], np.float64).reshape(-1, 2)
    if len(xy):
        least, span = xy.min(0), np.maximum(np.ptp(xy, axis=0), 1e-6)
        xy = 5 + 90 * (xy - least) / span
    return {**cvat_labels.skeleton_label(label, names, xy, attributes=False), "attributes": list(attributes)}


def missing_sentences(one: Drawn, sublabels: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence where a skeleton has fewer points than its label; none where it is complete or of another kind."""
    missing = missing_points(one, sublabels)
    if not missing:
        return []
    total = len(sublabels[one.label])
    named = ", ".join(missing[:_NAMED]) + (" and more" if len(missing) > _NAMED else "")
    number = "" if one.id is None else f" (id {one.id})"
    return [
        f"skeleton {one.label!r}{number} has {total - len(missing)} of its {total} points, missing: {named}. It was "
        "kept; place the missing ones in CVAT, or mark them as outside."
    ]
