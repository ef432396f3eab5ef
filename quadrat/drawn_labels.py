"""Label definitions for what was drawn: made where a file has none, and what a skeleton lacks said in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadrat import cvat_labels
from quadrat.drawn import CONFIDENCE, Drawn, DrawnPhoto, Labels, missing_points, natural

_NAMED = 5  # of the points that a skeleton lacks


class Seen:
    """Labels of all that was drawn, gathered shape by shape, so that photos need not be kept.

    Args:
        labels: definitions that are there already; attributes that were drawn and that they lack are added.
        names: further labels that come before those that are only drawn, used or not.
        colours: label -> ``#rrggbb``; others get `quadrat.cvat_labels.colour`.
        points: skeleton label -> names of its points in order; those of others are the ones drawn, sorted.
        edges: skeleton label -> pairs of indices into its points, the lines of its picture.
    """

    def __init__(
        self,
        labels: Labels = (),
        *,
        names: Iterable[str] = (),
        colours: Mapping[str, str] | None = None,
        points: Mapping[str, Sequence[str]] | None = None,
        edges: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    ) -> None:
        self._given = {str(label["name"]): dict(label) for label in labels}
        self._kinds: dict[str, set[str]] = {name: set() for name in names if name not in self._given}
        self._colours, self._points, self._edges = colours or {}, points or {}, edges or {}
        self._attributes: dict[str, dict[str, None]] = {}
        self._names: dict[str, set[str]] = {}
        self._fullest: dict[str, dict[str, NDArray[np.float64]]] = {}

    def add(self, drawn: Iterable[Drawn]) -> None:
        """Take note of the labels, kinds, attributes and points of what was drawn."""
        for one in drawn:
            self._attributes.setdefault(one.label, {}).update(dict.fromkeys(one.attributes))
            if one.label in self._given:
                continue
            self._kinds.setdefault(one.label, set()).add(one.kind)
            if one.kind == "skeleton":
                self._names.setdefault(one.label, set()).update(element.label for element in one.elements)
                there = {element.label: element.xy_px[0] for element in one.elements if not element.outside}
                if len(there) > len(self._fullest.get(one.label, ())):
                    self._fullest[one.label] = there

    def of(self, photos: Iterable[DrawnPhoto]) -> list[dict[str, Any]]:
        """Take note of all that was drawn on these photos and answer the `definitions`."""
        for photo in photos:
            self.add(photo.drawn)
        return self.definitions()

    def definitions(self) -> list[dict[str, Any]]:
        """The given definitions, then one for each further label, in the order in which they were named and met.

        A label of several kinds gets the type ``any``, but one with skeletons is a skeleton: CVAT takes them under no
        other. Its picture shows the first complete one drawn, else a ring; it is empty where the name of a point cannot
        stand in it. Attributes are text, but ``confidence`` is a number.
        """
        given = [
            label | {"attributes": self._specs(name, label.get("attributes") or ())}
            for name, label in self._given.items()
        ]
        return [*given, *(self._definition(name) for name in self._kinds)]

    def _specs(self, name: str, there: Iterable[Mapping[str, Any]] = ()) -> list[Mapping[str, Any]]:
        """Definitions of a label's attributes: those that are there, then those drawn that they lack."""
        known = {str(spec["name"]): spec for spec in there}
        return [*known.values(), *(_spec(one) for one in self._attributes.get(name, ()) if one not in known)]

    def _definition(self, name: str) -> dict[str, Any]:
        kinds = self._kinds[name]
        kind = next(iter(kinds)) if len(kinds) == 1 else "any"
        skeleton = name in self._points or "skeleton" in kinds
        made = self._skeleton(name) if skeleton else {"name": name, "color": cvat_labels.colour(name), "type": kind}
        made["color"] = self._colours.get(name, made["color"])
        return made | {"attributes": self._specs(name)}

    def _skeleton(self, label: str) -> dict[str, Any]:
        names = self._points.get(label) or sorted(self._names.get(label, ()), key=natural)
        places = self._fullest.get(label, {})
        complete = bool(names) and places.keys() >= set(names)
        xy = _spread(np.array([places[name] for name in names])) if complete else _ring(len(names))
        try:
            return cvat_labels.skeleton_label(label, names, xy, self._edges.get(label, ()))
        except ValueError:
            bare = cvat_labels.skeleton_label(label, (), xy)
            return bare | {"sublabels": cvat_labels.sublabels(label, names)}


def _spec(name: str) -> dict[str, Any]:
    if name == CONFIDENCE:
        return dict(cvat_labels.CONFIDENCE)
    return {"name": name, "input_type": "text", "mutable": True, "values": [""], "default_value": ""}


def _spread(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points over 5..95 per cent of a picture; in the middle where they have no width or height."""
    span = np.ptp(xy, axis=0)
    return np.where(span > 0, 5 + 90 * (xy - xy.min(0)) / np.maximum(span, 1e-9), 50.0)


def _ring(count: int) -> NDArray[np.float64]:
    angle = 2 * np.pi * np.arange(count) / max(count, 1)
    return np.stack([50 + 45 * np.sin(angle), 50 - 45 * np.cos(angle)], 1)


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
