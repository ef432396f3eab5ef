"""A COCO annotation as drawn shapes, and drawn shapes as COCO annotations."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from data_engineering.formats.losses import Losses
from quadrat import masks, rle
from quadrat.drawn import Drawn, outline, to_instance
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE

Raw = Mapping[str, Any]

HELD = ("attributes", "occluded", "score", "rotation", "group")
"""What an annotation can say beside its form; groups are counted by `tied.tie`."""

_NOT_ATTRIBUTES = ("occluded", "rotation", "keyframe", "outside")

# ---------------------------------------------------------------------------------------------- reading


def read(raw: Raw, category: Raw, group: int, size_wh: tuple[int, int]) -> tuple[list[Drawn], list[str]]:
    """What one annotation draws.

    Args:
        raw: the annotation.
        category: that it names.
        group: ties its shapes where it is several.
        size_wh: of the photo in px.

    Returns:
        The shapes, and what is wrong with those that are left out, without a full stop.
    """
    forms, wrong = [], []
    for make in _makers(raw, category, size_wh):
        try:
            forms.append(make())
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            wrong.append(str(error))
    if not forms and not wrong:
        wrong.append("it has neither segmentation nor bbox nor keypoints")
    drawn = []
    for form in forms:
        try:
            drawn.append(Drawn(label=category["name"], group=group if len(forms) > 1 else 0, **form, **_facts(raw)))
        except (ValueError, TypeError) as error:
            wrong.append(str(error))
    return drawn, wrong


def _makers(raw: Raw, category: Raw, size_wh: tuple[int, int]) -> Iterator[Callable[[], dict[str, Any]]]:
    values, segmentation = raw.get("keypoints") or [], raw.get("segmentation") or []
    names = category.get("keypoints") or []
    pointed = bool(values and names) and (any(values) or not (segmentation or any(raw.get("bbox") or ())))
    if pointed:  # COCO has rows of nothing but zeros for people of whom no point was set
        yield partial(_skeleton, values, names)
    if isinstance(segmentation, Mapping):
        yield partial(_mask, segmentation, size_wh)
    elif segmentation:
        rings = segmentation if isinstance(segmentation, list) and isinstance(segmentation[0], list) else [segmentation]
        yield from (partial(_polygon, ring) for ring in rings)
    elif raw.get("bbox") and not pointed:
        yield partial(_box, raw["bbox"])


def _skeleton(values: Sequence[float], names: Sequence[str]) -> dict[str, Any]:
    if len(values) != 3 * len(names):
        raise ValueError(f"{len(values)} numbers in keypoints: expected x, y, visibility of {len(names)} points")
    rows = np.asarray(values, np.float64).reshape(-1, 3)
    if not np.isin(rows[:, 2], (HIDDEN, OCCLUDED, VISIBLE)).all():
        raise ValueError(f"visibility {np.unique(rows[:, 2]).tolist()} in keypoints: expected 0, 1 or 2")
    elements = tuple(
        Drawn("points", str(name), row[None, :2], outside=bool(row[2] == HIDDEN), occluded=bool(row[2] == OCCLUDED))
        for name, row in zip(names, rows, strict=True)
    )
    return {"kind": "skeleton", "elements": elements}


def _polygon(ring: Sequence[float]) -> dict[str, Any]:
    if not isinstance(ring, list) or len(ring) % 2:
        raise ValueError("a ring is no list of an even number of numbers: expected x and y of each point")
    return {"kind": "polygon", "xy_px": np.asarray(ring, np.float64).reshape(-1, 2)}


def _mask(raw: Raw, size_wh: tuple[int, int]) -> dict[str, Any]:
    instance = rle.decode(raw, "mask")
    if [int(v) for v in raw["size"]] != [size_wh[1], size_wh[0]]:
        raise ValueError(f"its mask is of {raw['size']} (height, width) px, the photo of {list(size_wh[::-1])}")
    if instance is None:
        raise ValueError("its mask has no pixel")
    return {"kind": "mask", "xy_px": np.array(instance.xyxy_px, np.float64).reshape(2, 2), "mask": instance.mask}


def _box(values: Sequence[float]) -> dict[str, Any]:
    if len(values) != 4:
        raise ValueError(f"bbox {list(values)}: expected x, y, width, height")
    x, y, width, height = (float(v) for v in values)
    if not (width > 0 and height > 0):
        raise ValueError(f"bbox {list(values)}: expected a width and height above 0")
    return {"kind": "rectangle", "xy_px": np.array([[x, y], [x + width, y + height]])}


def _facts(raw: Raw) -> dict[str, Any]:
    told = raw.get("attributes") or {}
    attributes = {str(name): _text(value) for name, value in told.items() if name not in _NOT_ATTRIBUTES}
    facts = {"attributes": attributes, "occluded": bool(told.get("occluded", False))}
    return {**facts, "score": float(raw.get("score", 1)), "rotation": float(told.get("rotation") or 0)}


def _text(value: object) -> str:
    """As CVAT shows it: 100 for 100.0, true for True."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


# ---------------------------------------------------------------------------------------------- writing


def alike(one: Drawn) -> Hashable:
    """What parts of one annotation share: COCO says it once for all of them."""
    return one.occluded, one.score, tuple(one.attributes.items())


def written(
    parts: Sequence[Drawn], size_wh: tuple[int, int], names: Sequence[str], losses: Losses
) -> dict[str, Any] | None:
    """An annotation without its ids; `None`, counted, for what COCO has no place for.

    Args:
        parts: polygons of one object, or any one shape.
        size_wh: of the photo in px.
        names: of the points of its label, where it is a skeleton.
        losses: counts what is left out or changed.
    """
    one = parts[0]
    form = _form(parts, size_wh, names, losses)
    if form is None:
        return None
    for part in parts:
        losses.of_shape(part, HELD)
    told: dict[str, Any] = {**one.attributes, "occluded": one.occluded}
    if one.rotation and one.kind != "ellipse":
        told["rotation"] = one.rotation
    return {**form, "iscrowd": 0, "attributes": told, "score": one.score}


def _form(
    parts: Sequence[Drawn], size_wh: tuple[int, int], names: Sequence[str], losses: Losses
) -> dict[str, Any] | None:
    one = parts[0]
    if one.kind == "polygon":
        return _polygons_form([part.xy_px for part in parts], size_wh)
    if one.kind == "ellipse":
        losses.add("ellipse as polygon")
        ring = outline(one)
        assert ring is not None
        return _polygons_form([ring], size_wh)
    if one.kind == "rectangle":
        (x0, y0), (x1, y1) = one.xy_px
        return {"segmentation": [], "bbox": _numbers([x0, y0, x1 - x0, y1 - y0]), "area": float((x1 - x0) * (y1 - y0))}
    if one.kind == "skeleton":
        return _skeleton_form(one, names, losses)
    if one.kind == "mask":
        return _mask_form(one, size_wh, losses)
    losses.add(one.kind)
    return None


def _polygons_form(rings: Sequence[masks.Ring], size_wh: tuple[int, int]) -> dict[str, Any]:
    low, high = np.concatenate(rings).min(0), np.concatenate(rings).max(0)
    area = sum(abs(masks.signed_area(ring)) for ring in rings)
    return {
        "segmentation": [_numbers(ring.ravel()) for ring in rings],
        "bbox": _numbers([*low, *(high - low)]),
        "area": round(area, 2),
    }


def _mask_form(one: Drawn, size_wh: tuple[int, int], losses: Losses) -> dict[str, Any] | None:
    assert one.mask is not None
    instance = to_instance(one, size_wh)
    kept = 0 if instance is None else instance.area_px
    losses.add("mask's pixels outside the photo", int(np.count_nonzero(one.mask)) - kept)
    if instance is None:
        losses.add("mask without a pixel in the photo")
        return None
    x0, y0, x1, y1 = instance.xyxy_px
    return {"segmentation": rle.encode(instance, size_wh), "bbox": [x0, y0, x1 - x0, y1 - y0], "area": kept}


def _skeleton_form(one: Drawn, names: Sequence[str], losses: Losses) -> dict[str, Any]:
    points = {element.label: element for element in one.elements}
    rows, seen = np.zeros((len(names), 3)), []
    for k, name in enumerate(names):
        point = points.pop(name, None)
        if point is None:
            losses.add("missing point of a skeleton, written as hidden")
            continue
        rows[k] = (*point.xy_px[0], HIDDEN if point.outside else OCCLUDED if point.occluded else VISIBLE)
        losses.add("attributes of a skeleton's point", len(point.attributes))
        if not point.outside:
            seen.append(point.xy_px[0])
    losses.add("point of a skeleton that its label does not have", len(points))
    low, high = (np.min(seen, 0), np.max(seen, 0)) if seen else (np.zeros(2), np.zeros(2))
    return {
        "segmentation": [],
        "bbox": _numbers([*low, *(high - low)]),
        "area": float(round(np.prod(high - low), 2)),
        "keypoints": [int(v) if k % 3 == 2 else round(float(v), 4) for k, v in enumerate(rows.ravel())],
        "num_keypoints": len(seen),
    }


def _numbers(values: ArrayLike) -> list[float]:
    rounded: list[float] = np.round(np.asarray(values, np.float64), 4).tolist()
    return rounded
