"""CVAT's detector answer: the list of shapes that a function returns, read back into shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from quadrat import masks
from quadrat.formats.cvat_xml import CONFIDENCE
from quadrat.shapes import HIDDEN, VISIBLE, Instance, Keypoints, Shape


def read(answer: Iterable[Mapping[str, Any]], size_wh: tuple[int, int]) -> tuple[Shape, ...]:
    """Turn an answer into shapes.

    Polygons of one label and ``group_id`` are the parts of one instance. The score is the attribute ``confidence``.

    Args:
        answer: a list of polygons, masks and skeletons as CVAT takes them.
        size_wh: the photo's size; what lies outside is cut.

    Raises:
        ValueError, KeyError, TypeError: an entry is of another kind or lacks something.
    """
    shapes: list[Shape] = []
    grouped: dict[tuple[str, int], list[Instance]] = {}
    for entry in answer:
        shape = _READERS[entry["type"]](entry, size_wh)
        if shape is None:
            continue
        if isinstance(shape, Instance) and entry.get("group_id"):
            grouped.setdefault((shape.label, int(entry["group_id"])), []).append(shape)
        else:
            shapes.append(shape)
    united = (masks.unite(parts, parts[0].score, parts[0].attributes) for parts in grouped.values())
    return (*shapes, *(shape for shape in united if shape is not None))


def _polygon(entry: Mapping[str, Any], size_wh: tuple[int, int]) -> Instance | None:
    score, attributes = _facts(entry)
    ring = np.reshape(entry["points"], (-1, 2))
    return masks.instance_from_rings(entry["label"], [ring], size_wh, score, attributes)


def _mask(entry: Mapping[str, Any], size_wh: tuple[int, int]) -> Instance | None:
    score, attributes = _facts(entry)
    instance = masks.mask_from_cvat(entry["mask"], entry["label"], score)
    inside = None if instance is None else masks.clip(instance, size_wh)
    return None if inside is None else Instance(inside.label, inside.xyxy_px, inside.mask, score, attributes)


def _skeleton(entry: Mapping[str, Any], _size_wh: tuple[int, int]) -> Keypoints:
    score, attributes = _facts(entry)
    elements = entry["elements"]
    seen = [HIDDEN if element.get("outside") else VISIBLE for element in elements]
    xy = np.array([element["points"][:2] for element in elements], np.float64)
    names = tuple(str(element["label"]) for element in elements)
    return Keypoints(entry["label"], names, xy, np.array(seen, np.uint8), None, score, attributes)


_READERS = {"polygon": _polygon, "mask": _mask, "skeleton": _skeleton}


def _facts(entry: Mapping[str, Any]) -> tuple[float, dict[str, str]]:
    facts = {str(item["name"]): str(item["value"]) for item in entry.get("attributes", ())}
    return float(facts.pop(CONFIDENCE, "100")) / 100, facts
