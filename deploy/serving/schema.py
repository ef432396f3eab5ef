"""CVAT's rules for a detector's answer, stricter than CVAT.

CVAT checks little: what it cannot store fails a whole batch run, and what it can store may be a mask of the wrong
length, a shape outside the photo or an attribute that vanished. What passes here is stored by CVAT just as it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, model_validator

from deploy.serving.labels import Label

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]

_LEAST_AREA_PX2 = 1e-6


class SchemaError(ValueError):
    """An answer that CVAT would refuse, lose or store otherwise than sent; the message names the shape and field."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an answer is measured against.

    Attributes:
        size_wh: width and height of the photo in px.
        labels: what the function offers.
        masks_to_polygons: whether the caller may have ticked "masks to polygons": a mask then needs its polygon too
            (CVAT converts nothing itself) and may stand for a polygon label.
    """

    size_wh: tuple[int, int]
    labels: Mapping[str, Label]
    masks_to_polygons: bool = False

    def check_points(self, points: Sequence[float]) -> None:
        """Refuse half points and points outside the photo."""
        if len(points) % 2:
            raise ValueError(f"{len(points)} numbers are no list of x and y")
        for values, most, axis in zip((points[::2], points[1::2]), self.size_wh, "xy", strict=True):
            if values and not (min(values) >= 0 and max(values) <= most):
                raise ValueError(f"{axis} must lie in the photo, 0..{most}, got {min(values)}..{max(values)}")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AttributeValue(_Model):
    """An attribute of a shape."""

    name: str
    value: str


class _Labelled(_Model):
    label: str
    type: str
    attributes: list[AttributeValue] = []

    @model_validator(mode="after")
    def _known(self, info: ValidationInfo) -> _Labelled:
        rules = _rules(info)
        label = rules.labels.get(self.label)
        if label is None:
            raise ValueError(f"label {self.label!r} is not offered: CVAT would drop the shape")
        allowed = {label.type} | ({"mask"} if rules.masks_to_polygons and label.type == "polygon" else set())
        if label.type != "any" and self.type not in allowed:
            raise ValueError(f"label {self.label!r} is a {label.type}, the shape a {self.type}")
        for given in self.attributes:
            attribute = label.attribute(given.name)
            if attribute is None or not attribute.accepts(given.value):
                raise ValueError(f"attribute {given.name!r} = {given.value!r} is not defined: CVAT would drop it")
        if len({given.name for given in self.attributes}) < len(self.attributes):
            raise ValueError("an attribute is given twice")
        return self


class _Shape(_Labelled):
    group_id: int | None = Field(default=None, ge=1)


class Tag(_Labelled):
    """A label of the whole photo."""

    type: Literal["tag"]


class Path(_Shape):
    """A polygon, a polyline or points: x and y in turn."""

    type: Literal["polygon", "polyline", "points"]
    points: list[Number]

    @model_validator(mode="after")
    def _drawable(self, info: ValidationInfo) -> Path:
        _rules(info).check_points(self.points)
        least = {"polygon": 3, "polyline": 2, "points": 1}[self.type]
        if len(self.points) < 2 * least:
            raise ValueError(f"a {self.type} has at least {least} points, got {len(self.points) // 2}")
        if self.type == "polygon" and _area_px2(self.points) < _LEAST_AREA_PX2:
            raise ValueError("the polygon has no area")
        return self


class Box(_Shape):
    """A rectangle (two corners) or an ellipse (centre, right end, upper end), perhaps turned."""

    type: Literal["rectangle", "ellipse"]
    points: list[Number] = Field(min_length=4, max_length=4)
    rotation: Number = Field(default=0, ge=0, le=360)

    @model_validator(mode="after")
    def _upright(self, info: ValidationInfo) -> Box:
        _rules(info).check_points(self.points)
        x0, y0, x1, y1 = self.points
        downwards = y1 - y0 if self.type == "rectangle" else y0 - y1
        if x1 <= x0 or downwards <= 0:
            raise ValueError(f"the {self.type} is inverted or empty: {self.points}")
        return self


class Mask(_Shape):
    """The 0/1 pixels of an inclusive box, row-major, then xtl, ytl, xbr, ybr; and the polygon round them."""

    type: Literal["mask"]
    mask: list[int] = Field(min_length=5)
    points: list[Number] | None = None

    @model_validator(mode="after")
    def _filled(self, info: ValidationInfo) -> Mask:
        rules = _rules(info)
        x0, y0, x1, y1 = self.mask[-4:]
        width, height = rules.size_wh
        if not (0 <= x0 <= x1 < width and 0 <= y0 <= y1 < height):
            raise ValueError(f"box {(x0, y0, x1, y1)} must lie in the photo of {width} x {height} px")
        pixels = self.mask[:-4]
        if len(pixels) != (x1 - x0 + 1) * (y1 - y0 + 1):
            raise ValueError(f"{len(pixels)} pixels do not fill box {(x0, y0, x1, y1)}")
        if set(pixels) - {0, 1} or 1 not in pixels:
            raise ValueError("pixels must be 0 or 1, with at least one 1")
        self._check_outline(rules)
        return self

    def _check_outline(self, rules: Rules) -> None:
        if self.points is not None:
            rules.check_points(self.points)
            if len(self.points) < 6 or _area_px2(self.points) < _LEAST_AREA_PX2:
                raise ValueError("the polygon of the mask is degenerate")
        elif rules.masks_to_polygons:
            raise ValueError("a mask needs its polygon as `points`: CVAT converts nothing itself")


class Element(_Model):
    """A point of a skeleton."""

    label: str
    type: Literal["points"]
    points: list[Number] = Field(min_length=2, max_length=2)
    outside: bool = False


class Skeleton(_Shape):
    """Named points; every point of the label is there once, hidden ones as `outside`."""

    type: Literal["skeleton"]
    elements: list[Element]

    @model_validator(mode="after")
    def _complete(self, info: ValidationInfo) -> Skeleton:
        rules = _rules(info)
        names = [element.label for element in self.elements]
        wanted = [sublabel.name for sublabel in rules.labels[self.label].sublabels]
        if sorted(names) != sorted(wanted):
            raise ValueError(f"a skeleton holds each of its {len(wanted)} points once, got {len(names)}: {names[:8]}")
        if all(element.outside for element in self.elements):
            raise ValueError("no point is visible: CVAT would drop the skeleton")
        for element in self.elements:
            rules.check_points(element.points)
        return self


AnyShape = Annotated[Tag | Path | Box | Mask | Skeleton, Field(discriminator="type")]
_ONE: TypeAdapter[Any] = TypeAdapter(AnyShape)


def check_shape(shape: object, rules: Rules) -> None:
    """Check one shape of an answer.

    Raises:
        SchemaError: with the first fault.
    """
    try:
        _ONE.validate_python(shape, context=rules)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise SchemaError(f"{place or 'shape'}: {fault['msg']}") from error


def check_answer(answer: object, rules: Rules) -> None:
    """Check a whole answer, a list of shapes as JSON decodes it.

    Raises:
        SchemaError: with the first shape at fault.
    """
    if not isinstance(answer, list):
        raise SchemaError(f"the answer is a {type(answer).__name__}: expected a list of shapes")
    for index, shape in enumerate(answer):
        try:
            check_shape(shape, rules)
        except SchemaError as error:
            raise SchemaError(f"shape {index}: {error}") from error


def _rules(info: ValidationInfo) -> Rules:
    assert isinstance(info.context, Rules), "validated without Rules: use check_shape or check_answer"
    return info.context


def _area_px2(points: Sequence[float]) -> float:
    xs, ys = points[::2], points[1::2]
    turned = zip(xs, ys, [*xs[1:], xs[0]], [*ys[1:], ys[0]], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for x0, y0, x1, y1 in turned)) / 2
