"""What people drew on a photo, kept exactly as CVAT keeps it, and its way to and from the shapes that modules speak.

`quadrat.shapes` holds pixels and named points: what networks learn and answer. Here nothing is rounded, joined or left
out: polygons keep their points, boxes and ellipses their angle, every shape its group, source and attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quadrat import masks
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Annotations, Instance, Keypoints, Shape

Labels = Sequence[Mapping[str, Any]]
"""Label definitions as CVAT's label constructor takes them: name, color, type, attributes; sublabels and svg."""

FEWEST_POINTS = {"polygon": 3, "polyline": 2, "points": 1}
_POINTS = {"rectangle": 2, "ellipse": 2, "mask": 2, "cuboid": 8, "skeleton": 0, "tag": 0}
KINDS = (*FEWEST_POINTS, *_POINTS)
"""CVAT's own names for what can be drawn."""

CONFIDENCE = "confidence"
"""The number attribute, 0..100, that says how sure a person or a network was."""

_NO_POINTS = np.zeros((0, 2))


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One annotation of CVAT.

    Attributes:
        kind: one of `KINDS`.
        label: class name, not empty.
        xy_px: float64 ``[N, 2]``, finite. Vertices of a polygon (3 or more), polyline (2), points (1), cuboid (8);
            two corners of a rectangle before it is turned; centre of an ellipse and a point of its right-most x and
            top-most y, before it is turned; begin and exclusive end of a mask's box, whole numbers; none for a skeleton
            and a tag.
        mask: of a mask only: bool ``[y1 - y0, x1 - x0]``.
        elements: of a skeleton only: its points, each of kind ``points``, in no particular order.
        attributes: name -> value, as text.
        group: 0 for none; shapes of one photo with the same number belong together.
        occluded: covered in part.
        outside: of a skeleton's point: not in the photo.
        source: ``manual``, ``auto`` and the like, as CVAT says it.
        score: 0..1, what CVAT has beside its attributes.
        z_order: those with a higher one lie above.
        rotation: of a rectangle, ellipse or skeleton, degrees clockwise on the screen about its centre.
        id: CVAT's number; `None` where there is none.

    Raises:
        ValueError: an unknown kind, no label, too few points, a coordinate or score that is no fit number, a mask of
            another shape than its box.
    """

    kind: str
    label: str
    xy_px: NDArray[np.float64] = field(default_factory=_NO_POINTS.copy)
    mask: NDArray[np.bool_] | None = None
    elements: tuple[Drawn, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    group: int = 0
    occluded: bool = False
    outside: bool = False
    source: str = "manual"
    score: float = 1.0
    z_order: int = 0
    rotation: float = 0.0
    id: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}: expected one of {', '.join(KINDS)}")
        if not isinstance(self.label, str) or not self.label:
            raise ValueError(f"label of a {self.kind} is {self.label!r}: expected a name")
        if not 0.0 <= self.score <= 1.0:  # false for NaN too
            raise ValueError(f"score of {self.label!r} is {self.score}: expected 0..1")
        xy = np.asarray(self.xy_px, np.float64)
        if xy.ndim != 2 or xy.shape[1] != 2 or not np.isfinite(xy).all():
            raise ValueError(f"xy_px of {self.label!r} is {list(xy.shape)}: expected finite float64[N, 2]")
        self._check_number(len(xy))
        self._check_mask(xy)
        attributes = MappingProxyType({str(key): str(value) for key, value in self.attributes.items()})
        for name, value in (("xy_px", xy), ("elements", tuple(self.elements)), ("attributes", attributes)):
            object.__setattr__(self, name, value)

    def _check_number(self, count: int) -> None:
        fewest = FEWEST_POINTS.get(self.kind)
        if fewest is not None and count < fewest:
            raise ValueError(f"{self.kind} of {self.label!r} has {count} points: expected {fewest} or more")
        if fewest is None and count != _POINTS[self.kind]:
            raise ValueError(f"{self.kind} of {self.label!r} has {count} points: expected {_POINTS[self.kind]}")

    def _check_mask(self, xy: NDArray[np.float64]) -> None:
        if (self.mask is not None) != (self.kind == "mask"):
            raise ValueError(f"{self.kind} of {self.label!r}: a mask's pixels belong to the kind mask, and only there")
        if self.mask is None:
            return
        width, height = (int(v) for v in xy[1] - xy[0])
        if self.mask.dtype != np.bool_ or self.mask.shape != (height, width) or not self.mask.size:
            raise ValueError(
                f"mask of {self.label!r} is {self.mask.dtype}{list(self.mask.shape)}: expected bool{[height, width]}"
            )

    @property
    def confidence(self) -> float:
        """0..1: what the attribute ``confidence`` says, else the score."""
        try:
            return min(max(float(self.attributes[CONFIDENCE]) / 100, 0.0), 1.0)
        except (KeyError, ValueError):
            return self.score


@dataclass(frozen=True, slots=True, eq=False)
class DrawnPhoto:
    """A photo with all that people drew on it.

    Attributes:
        name: as CVAT or the file that it comes from has it; may have folders (``site_a/1.jpg``).
        size_wh: width and height in px of the photo as people saw it, EXIF turned.
        drawn: shapes and tags, in the order of their source.
        path: its file on this machine; `None` where there is none.
        facts: what else is known, for example ``cvat_task_id``; text, numbers and truth values.
        problems: a sentence for everything that could not be kept as it was.

    Raises:
        ValueError: no name, or a size below 1 x 1.
    """

    name: str
    size_wh: tuple[int, int]
    drawn: tuple[Drawn, ...] = ()
    path: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        width, height = (int(v) for v in self.size_wh)
        if not self.name or width < 1 or height < 1:
            raise ValueError(f"photo {self.name!r} of {width} x {height} px: expected a name and at least 1 x 1")
        object.__setattr__(self, "size_wh", (width, height))
        object.__setattr__(self, "drawn", tuple(self.drawn))
        object.__setattr__(self, "facts", MappingProxyType(dict(self.facts)))


# ---------------------------------------------------------------------------------------------- as shapes


def to_annotations(photo: DrawnPhoto, sublabels: Mapping[str, Sequence[str]] | None = None) -> Annotations:
    """The shapes that modules speak, see `to_shapes`.

    ``meta["skipped"]`` counts by kind what has no place among them: tags, polylines, single points, cuboids.
    """
    skipped: dict[str, int] = {}
    for one in photo.drawn:
        if one.kind in ("tag", "polyline", "points", "cuboid"):
            skipped[one.kind] = skipped.get(one.kind, 0) + 1
    meta = {"skipped": skipped} if skipped else {}
    return Annotations(photo.name, photo.size_wh, tuple(to_shapes(photo.drawn, photo.size_wh, sublabels)), meta)


def to_shapes(
    drawn: Iterable[Drawn], size_wh: tuple[int, int], sublabels: Mapping[str, Sequence[str]] | None = None
) -> list[Shape]:
    """Polygons, masks, rectangles and ellipses as instances, skeletons as keypoints; the rest is left out.

    Polygons of one label and group are the parts of one instance. What has no pixel inside the photo is left out.

    Args:
        drawn: on one photo.
        size_wh: of the photo.
        sublabels: skeleton label -> names of its points in order; a point that is not there is hidden. Without them the
            points are ordered by name, numbers as numbers.
    """
    shapes: list[Shape] = []
    grouped: dict[tuple[str, int], list[Instance]] = {}
    for one in drawn:
        if one.kind == "skeleton":
            shapes.append(_keypoints(one, (sublabels or {}).get(one.label, ())))
            continue
        instance = to_instance(one, size_wh)
        if instance is not None and one.group and one.kind == "polygon":
            grouped.setdefault((one.label, one.group), []).append(instance)
        elif instance is not None:
            shapes.append(instance)
    for parts in grouped.values():
        united = masks.unite(parts, parts[0].score, parts[0].attributes)
        if united is not None:
            shapes.append(united)
    return shapes


def to_instance(one: Drawn, size_wh: tuple[int, int]) -> Instance | None:
    """A polygon, mask, rectangle or ellipse as an instance; `None` for another kind and where no pixel is inside."""
    attributes = {name: value for name, value in one.attributes.items() if name != CONFIDENCE}
    if one.mask is not None:
        origin = int(one.xy_px[0, 0]), int(one.xy_px[0, 1])
        instance = masks.instance_from_mask(one.label, one.mask, origin, one.confidence, attributes)
        return None if instance is None else masks.clip(instance, size_wh)
    ring = outline(one)
    return None if ring is None else masks.instance_from_rings(one.label, [ring], size_wh, one.confidence, attributes)


def outline(one: Drawn) -> masks.Ring | None:
    """float64 ``[N, 2]`` px around a polygon, rectangle or ellipse (180 points), turned; `None` for other kinds."""
    if one.kind == "polygon":
        return one.xy_px
    if one.kind == "rectangle":
        (x0, y0), (x1, y1) = one.xy_px
        return _turned(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), one.rotation)
    if one.kind == "ellipse":
        (cx, cy), (right, top) = one.xy_px
        angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
        ring = np.stack([cx + (right - cx) * np.cos(angle), cy + (cy - top) * np.sin(angle)], 1)
        return _turned(ring, one.rotation)
    return None


def _turned(ring: masks.Ring, degrees: float) -> masks.Ring:
    if not degrees:
        return ring
    centre = (ring.min(0) + ring.max(0)) / 2
    turn = cv2.getRotationMatrix2D((0, 0), -degrees, 1.0)[:, :2]
    return np.asarray((ring - centre) @ turn.T + centre, np.float64)


def _keypoints(one: Drawn, order: Sequence[str]) -> Keypoints:
    points = {element.label: element for element in one.elements}
    names = list(order) or sorted(points, key=natural)
    there = [points.get(name) for name in names]
    visibility = [
        HIDDEN if p is None or p.outside else OCCLUDED if p.occluded or one.occluded else VISIBLE for p in there
    ]
    xy = np.array([(0.0, 0.0) if p is None else tuple(p.xy_px[0]) for p in there])
    scores = np.array([0.0 if p is None else p.score for p in there])
    attributes = {name: value for name, value in one.attributes.items() if name != CONFIDENCE}
    return Keypoints(one.label, tuple(names), xy, np.array(visibility, np.uint8), scores, one.confidence, attributes)


def natural(name: str) -> tuple[int, str]:
    """A key that sorts "2" before "10", and numbers before words."""
    return (int(name), "") if name.isascii() and name.isdigit() else (1 << 30, name)


def sublabels_of(labels: Labels) -> dict[str, list[str]]:
    """Skeleton label -> names of its points, in the order of the label definitions."""
    return {
        str(label["name"]): [str(sub["name"]) for sub in label["sublabels"]]
        for label in labels
        if label.get("sublabels")
    }


def missing_points(one: Drawn, sublabels: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of the points that a skeleton should have and has not; empty for other kinds."""
    there = {element.label for element in one.elements}
    return [name for name in sublabels.get(one.label, ()) if name not in there] if one.kind == "skeleton" else []


# ---------------------------------------------------------------------------------------------- from shapes


def from_annotations(annotations: Annotations, *, as_masks: bool = False, source: str = "auto") -> DrawnPhoto:
    """What a network answered, or a renderer knows, as drawn by CVAT's means.

    A colony becomes polygons (one for each part, tied by a group; a polygon cannot say a hole) or, exact in all cases,
    a mask. The score travels as the attribute ``confidence``, 0 to 100, and as the score.

    Args:
        annotations: of a photo.
        as_masks: instances become masks, holes kept, instead of exact polygons.
        source: what CVAT shows as the origin.
    """
    drawn = [
        one
        for group, shape in enumerate(annotations.shapes, 1)
        for one in (
            _from_keypoints(shape, source)
            if isinstance(shape, Keypoints)
            else _from_mask(shape, source)
            if as_masks
            else _from_outlines(shape, group, source)
        )
    ]
    return DrawnPhoto(annotations.image, annotations.size_wh, tuple(drawn))


def _common(shape: Shape, source: str) -> dict[str, Any]:
    attributes = {**shape.attributes, CONFIDENCE: str(round(100 * shape.score))}
    return {"label": shape.label, "attributes": attributes, "source": source, "score": shape.score}


def _from_mask(shape: Instance, source: str) -> list[Drawn]:
    box = np.array(shape.xyxy_px, np.float64).reshape(2, 2)
    return [Drawn(kind="mask", xy_px=box, mask=shape.mask, **_common(shape, source))]


def _from_outlines(shape: Instance, group: int, source: str) -> list[Drawn]:
    outers = [part[0] for part in masks.instance_to_parts(shape)]
    tie = group if len(outers) > 1 else 0
    return [Drawn(kind="polygon", xy_px=ring, group=tie, **_common(shape, source)) for ring in outers]


def _from_keypoints(shape: Keypoints, source: str) -> list[Drawn]:
    assert shape.visibility is not None
    assert shape.scores is not None
    elements = tuple(
        Drawn(
            "points",
            name,
            xy[None],
            outside=bool(seen == HIDDEN),
            occluded=bool(seen == OCCLUDED),
            source=source,
            score=float(score),
        )
        for name, xy, seen, score in zip(shape.names, shape.xy_px, shape.visibility, shape.scores, strict=True)
    )
    return [Drawn(kind="skeleton", elements=elements, **_common(shape, source))]
