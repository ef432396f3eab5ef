"""A line of a YOLO label file as drawn shapes, and drawn shapes as lines. All numbers are shares of the photo.

class, centre x, centre y, width, height [, confidence]                  a box
class, x1, y1, x2, y2, x3, y3, ... [, confidence]                        a polygon of 3 points or more
class, centre x, centre y, width, height, x1, y1, visibility1, ...       points of a skeleton
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data_engineering.formats import tied
from data_engineering.formats.losses import Losses
from quadrat import masks
from quadrat.drawn import Drawn, outline, to_instance
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE

Task = Literal["detect", "segment", "pose"]


@dataclass(frozen=True)
class Classes:
    """What the numbers of a data set mean.

    Attributes:
        names: of the classes.
        kpt_shape: number of points a skeleton and of numbers a point; `None` without skeletons.
        points: class name -> names of its points, at most as many.
    """

    names: tuple[str, ...]
    kpt_shape: tuple[int, int] | None = None
    points: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_AREAS = ("polygon", "mask", "ellipse", "rectangle")

# ---------------------------------------------------------------------------------------------- reading


def read(values: Sequence[str], classes: Classes, size_wh: tuple[int, int], group: int) -> list[Drawn]:
    """What a line draws; polygons that bridges of no width join come apart and are tied by `group`.

    Raises:
        ValueError: no such class, a number too many or few, or one that is no number.
    """
    number = float(values[0])
    if not number.is_integer() or not 0 <= number < len(classes.names):
        raise ValueError(f"class {values[0]} has no name: expected 0 to {len(classes.names) - 1}")
    label, rest = classes.names[int(number)], np.asarray(values[1:], np.float64)
    width = 4 + int(np.prod(classes.kpt_shape)) if classes.kpt_shape else None
    if width is not None and len(rest) in (width, width + 1):
        elements = _elements(rest[4:width], label, classes, size_wh)
        return [Drawn("skeleton", label, elements=elements, score=_last(rest, width))]
    if len(rest) in (4, 5):
        (x, y), (w, h) = rest[:2] * size_wh, rest[2:4] * size_wh
        corners = np.array([[x - w / 2, y - h / 2], [x + w / 2, y + h / 2]])
        return [Drawn("rectangle", label, corners, score=_last(rest, 4))]
    if len(rest) < 6:
        expected = "4 for a box, 6 or more for a polygon" + (f", {width} for a skeleton" if width else "")
        raise ValueError(f"{len(rest)} numbers after the class: expected {expected}")
    even = len(rest) - len(rest) % 2
    return _polygons(label, rest[:even].reshape(-1, 2) * size_wh, _last(rest, even), group)


def _last(rest: NDArray[np.float64], at: int) -> float:
    return float(rest[at]) if len(rest) > at else 1.0


def _polygons(label: str, ring: NDArray[np.float64], score: float, group: int) -> list[Drawn]:
    rings = tied.unbridged(ring)
    if len(rings) > 1 and not tied.apart(rings):
        rings = [ring]  # a hole, which only the joined ring can say
    return [Drawn("polygon", label, each, score=score, group=group if len(rings) > 1 else 0) for each in rings]


def _elements(values: NDArray[np.float64], label: str, classes: Classes, size_wh: tuple[int, int]) -> tuple[Drawn, ...]:
    assert classes.kpt_shape is not None
    count, per_point = classes.kpt_shape
    rows = values.reshape(count, per_point)
    names = classes.points.get(label) or tuple(str(k + 1) for k in range(count))
    if per_point > 2:
        seen = rows[:, 2]
        if not np.isin(seen, (HIDDEN, OCCLUDED, VISIBLE)).all():
            raise ValueError(f"visibility {np.unique(seen).tolist()}: expected 0, 1 or 2")
    else:
        seen = np.where((rows == 0).all(1), HIDDEN, VISIBLE)  # as ultralytics takes it
    return tuple(
        Drawn("points", name, row[None, :2] * size_wh, outside=bool(v == HIDDEN), occluded=bool(v == OCCLUDED))
        for name, row, v in zip(names, rows, seen, strict=False)  # short skeletons are filled up with zeros
    )


# ---------------------------------------------------------------------------------------------- writing


def task_of(drawn: Sequence[Drawn]) -> Task:
    """``segment`` where there is an outline, ``pose`` where there are skeletons but none, else ``detect``."""
    kinds = {one.kind for one in drawn}
    if kinds & {"polygon", "mask", "ellipse"}:
        return "segment"
    return "pose" if "skeleton" in kinds else "detect"


def written(
    drawn: Sequence[Drawn], size_wh: tuple[int, int], task: Task, classes: Classes, losses: Losses
) -> list[str]:
    """The lines of a photo; what has no place among them, and what changes, is counted."""
    lines = []
    for parts in tied.tie(drawn, losses, lambda one: one.label):
        numbers = _numbers(parts, size_wh, task, classes, losses)
        for part in parts if numbers else ():
            losses.of_shape(part, ("group", "rotation"))
        lines += [f"{classes.names.index(parts[0].label)} {_text(values)}" for values in numbers]
    return lines


def _text(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.9f}".rstrip("0").rstrip(".") for value in values)


def _numbers(
    parts: Sequence[Drawn], size_wh: tuple[int, int], task: Task, classes: Classes, losses: Losses
) -> list[NDArray[np.float64]]:
    one = parts[0]
    if one.kind not in (("skeleton",) if task == "pose" else _AREAS):
        losses.add(one.kind, len(parts))
        return []
    if one.kind == "skeleton":
        return [_pose(one, size_wh, classes, losses)]
    rings = _rings(parts, size_wh, losses)
    if not rings:
        return []
    if task == "detect":
        if one.kind != "rectangle":
            losses.add(f"{one.kind} as box", len(parts))
        losses.add("rotation", int(one.kind == "rectangle" and one.rotation % 360 != 0))
        return [_box(np.concatenate(rings) / size_wh)]
    if one.kind != "polygon":
        losses.add(f"{one.kind} as polygon")
    if one.kind == "mask" or tied.apart(rings):
        return [(masks.join_parts([[ring] for ring in rings]) / size_wh).ravel()]
    losses.add("group", len(parts))
    return [(ring / size_wh).ravel() for ring in rings]


def _rings(parts: Sequence[Drawn], size_wh: tuple[int, int], losses: Losses) -> list[masks.Ring]:
    """Outlines within the photo; those of a mask with its holes."""
    one = parts[0]
    if one.kind == "mask":
        instance = to_instance(one, size_wh)
        if instance is None:
            losses.add("mask without a pixel in the photo")
            return []
        return [ring for part in masks.instance_to_parts(instance) for ring in part]
    rings = [np.asarray(outline(part), np.float64) for part in parts]
    losses.add("point outside the photo, moved to its border", sum(int(_outside(r, size_wh).sum()) for r in rings))
    return [np.clip(ring, 0, size_wh) for ring in rings]


def _outside(xy: NDArray[np.float64], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(((xy < 0) | (xy > size_wh)).any(1))


def _box(share: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = share.min(0), share.max(0)
    return np.array([*(low + high) / 2, *(high - low)])


def _pose(one: Drawn, size_wh: tuple[int, int], classes: Classes, losses: Losses) -> NDArray[np.float64]:
    assert classes.kpt_shape is not None
    rows = np.zeros((classes.kpt_shape[0], 3))
    points: dict[str, Any] = {element.label: element for element in one.elements}
    for k, name in enumerate(classes.points[one.label]):
        point = points.pop(name, None)
        if point is None:
            losses.add("missing point of a skeleton, written as hidden")
        elif _outside(point.xy_px, size_wh)[0]:
            losses.add("point outside the photo, written as hidden at 0, 0")
        else:
            seen = HIDDEN if point.outside else OCCLUDED if point.occluded else VISIBLE
            rows[k] = (*(point.xy_px[0] / size_wh), seen)
            losses.add("attributes of a skeleton's point", len(point.attributes))
    losses.add("point of a skeleton that its label does not have", len(points))
    there = rows[rows[:, 2] > HIDDEN, :2]
    return np.concatenate([_box(there if len(there) else np.zeros((1, 2))), rows.ravel()])
