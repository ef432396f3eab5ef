"""Shapes to CVAT's detector answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.serving import schema
from deploy.serving.labels import Label
from quadrat import masks, outlines
from quadrat.shapes import HIDDEN, Instance, Keypoints, Shape

CvatShape = dict[str, Any]

_DECIMALS = 2
_LEAST_AREA_PX2 = 0.01


@dataclass(slots=True)
class Answer:
    """What goes to CVAT.

    Attributes:
        shapes: CVAT shapes, all of which passed `schema`.
        refused: why shapes were left out that the model should not have made: unknown labels and the like.
    """

    shapes: list[CvatShape] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """The answer's body; finite numbers only."""
        return f"[{','.join(_to_json(shape) for shape in self.shapes)}]"


_TO_DIGITS = bytes.maketrans(b"\0\1", b"01")


def _to_json(shape: CvatShape) -> str:
    """As `json.dumps` would, but the pixels of a mask, millions of them, are written four times as fast."""
    if "mask" not in shape:
        return json.dumps(shape, allow_nan=False, separators=(",", ":"))
    values = shape["mask"]
    x0, y0, x1, y1 = values[-4:]
    digits = ",".join(bytes(values[:-4]).translate(_TO_DIGITS).decode())
    rest = json.dumps({**shape, "mask": None}, allow_nan=False, separators=(",", ":"))
    return rest.replace('"mask":null', f'"mask":[{digits},{x0},{y0},{x1},{y1}]', 1)


def encode(
    shapes: Iterable[Shape],
    size_wh: tuple[int, int],
    labels: Mapping[str, Label],
    *,
    polygons: bool = True,
    threshold: float | None = None,
) -> Answer:
    """Turn shapes into what CVAT stores unchanged.

    Shapes are cut at the photo's border; those of which nothing is left, and those below `threshold`, are dropped.

    Args:
        shapes: instances and keypoints in px of the photo.
        size_wh: the photo's width and height in px.
        labels: what the function offers CVAT; attributes that a label lacks are left out.
        polygons: a colony becomes polygons, one a part and tied by `group_id`, without its holes; else, and for a
            label of type ``mask`` always, one mask with its polygon.
        threshold: lowest score, 0..1.
    """
    rules = schema.Rules(size_wh, labels, masks_to_polygons=True)
    answer, groups = Answer(), count(1)
    wanted = list(_wanted(shapes, size_wh, labels, threshold, answer))
    as_polygons = [polygons and labels[shape.label].type != "mask" for shape in wanted]
    drawn = _outlines(wanted, as_polygons)
    for shape, as_polygon in zip(wanted, as_polygons, strict=True):
        label = labels[shape.label]
        base: CvatShape = {"label": shape.label, "attributes": _attributes(shape, label)}
        if isinstance(shape, Keypoints):
            encoded = _skeleton(base, shape, label, size_wh)
        elif as_polygon:
            encoded = _polygons(base, next(drawn), groups)
        else:
            encoded = _mask(base, shape, next(drawn))
        for one in encoded:
            _admit(one, rules, answer)
    return answer


def _wanted(
    shapes: Iterable[Shape],
    size_wh: tuple[int, int],
    labels: Mapping[str, Label],
    threshold: float | None,
    answer: Answer,
) -> Iterator[Shape]:
    """The shapes to send, cut at the photo's border; refuses those of unknown labels."""
    for shape in shapes:
        if threshold is not None and shape.score < threshold:
            continue
        if shape.label not in labels:
            answer.refused.append(f"label {shape.label!r} is not in function.yaml")
            continue
        inside = masks.clip(shape, size_wh) if isinstance(shape, Instance) else shape
        if inside is not None:
            yield inside


def _admit(encoded: CvatShape, rules: schema.Rules, answer: Answer) -> None:
    """One bad shape fails a whole batch run in CVAT: leave it out and say so."""
    try:
        schema.check_shape(encoded, rules)
        answer.shapes.append(encoded)
    except schema.SchemaError as error:
        answer.refused.append(f"{encoded['label']}: {error}")


def _outlines(shapes: Sequence[Shape], without_holes: Sequence[bool]) -> Iterator[list[masks.Part]]:
    """The simplified outlines of each instance among `shapes`; made of all at once, which is faster."""
    instances = [
        (shape, bare) for shape, bare in zip(shapes, without_holes, strict=True) if isinstance(shape, Instance)
    ]
    exact = masks.instances_to_parts([instance for instance, _ in instances])
    kept = [[part[:1] if bare else part for part in parts] for parts, (_, bare) in zip(exact, instances, strict=True)]
    simple = iter(outlines.simplify([ring for parts in kept for part in parts for ring in part]))
    return ([[next(simple) for _ in part] for part in parts] for parts in kept)


def _attributes(shape: Shape, label: Label) -> list[dict[str, str]]:
    """CVAT takes a number only as a string of digits, and drops what the label does not define."""
    values = {**shape.attributes, "confidence": str(round(shape.score * 100))}
    wanted = ((attribute, values.get(attribute.name)) for attribute in label.attributes)
    return [{"name": a.name, "value": value} for a, value in wanted if value is not None and a.accepts(value)]


def _polygons(base: CvatShape, parts: Sequence[masks.Part], groups: Iterator[int]) -> list[CvatShape]:
    shapes = [{**base, "type": "polygon", "points": _flat(part[0])} for part in parts if _has_area(part[0])]
    if len(shapes) > 1:
        group = next(groups)
        shapes = [{**shape, "group_id": group} for shape in shapes]
    return shapes


def _mask(base: CvatShape, instance: Instance, parts: Sequence[masks.Part]) -> list[CvatShape]:
    ring = masks.join_parts(parts)
    shape = {**base, "type": "mask", "mask": masks.mask_to_cvat(instance), "points": _flat(ring)}
    return [shape] if _has_area(ring) else []


def _skeleton(base: CvatShape, keypoints: Keypoints, label: Label, size_wh: tuple[int, int]) -> list[CvatShape]:
    assert keypoints.visibility is not None
    xy = keypoints.xy_px
    seen = (keypoints.visibility != HIDDEN) & ((xy >= 0) & (xy <= size_wh)).all(axis=1)
    if not seen.any():
        return []
    places = {name: point for name, point, there in zip(keypoints.names, xy, seen, strict=True) if there}
    elsewhere = xy[seen].mean(axis=0)  # where CVAT puts a missing point too
    elements = [
        {
            "label": sublabel.name,
            "type": "points",
            "points": _flat(places.get(sublabel.name, elsewhere)),
            "outside": sublabel.name not in places,
        }
        for sublabel in label.sublabels
    ]
    return [{**base, "type": "skeleton", "elements": elements}]


def _has_area(ring: masks.Ring) -> bool:
    return len(ring) >= 3 and abs(masks.signed_area(ring)) >= _LEAST_AREA_PX2


def _flat(points: NDArray[np.float64]) -> list[float]:
    """X and y in turn; to two decimals, which no photo resolves."""
    flat: list[float] = np.round(points, _DECIMALS).ravel().tolist()
    return flat
