"""What a function that paints a grid out is sent, checked: a photo, and where its strings run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from deploy.serving.request import Request, RequestError, decode_base64
from quadrat import images
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Keypoints
from quadrat.template import Template

POINTS, MASK = "bad_points", "bad_mask"
"""Codes of errors in what is to be removed."""

_FARTHEST_PX = 1_000_000
_MOST_POINTS = 10_000
_GRID = ("keypoints", "skeleton", "mask")

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-_FARTHEST_PX, le=_FARTHEST_PX)]
Row = Annotated[list[Number], Field(min_length=2, max_length=3)]


def _is_flat(value: object) -> str:
    return "rows" if isinstance(value, list) and value and isinstance(value[0], list) else "flat"


Points = Annotated[
    Annotated[list[Row], Field(max_length=_MOST_POINTS), Tag("rows")]
    | Annotated[list[Number], Field(min_length=1, max_length=3 * _MOST_POINTS), Tag("flat")],
    Discriminator(_is_flat),
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Element(_Part):
    """A point of a skeleton, as CVAT has it."""

    label: str
    points: Annotated[list[Number], Field(min_length=2, max_length=2)]
    outside: bool = False
    occluded: bool = False


class Skeleton(_Part):
    """A skeleton of CVAT: its elements in any order. Its own label is of no weight."""

    elements: Annotated[list[Element], Field(min_length=1, max_length=_MOST_POINTS)]
    attributes: list[dict[str, Any]] = []


class PaintingRequest(Request):
    """A photo, what to remove (exactly one of `keypoints`, `skeleton`, `mask`) and how to answer.

    Attributes:
        keypoints: K points in the layout's order, ``[x, y]`` or ``[x, y, visibility]`` each in px of the photo; or
            COCO's flat list of 3 K numbers.
        skeleton: the same as CVAT has it, found by the names of its elements.
        mask: a PNG of the photo's size in base64: what is above 0 is removed.
        format: of the answer.
        return_mask: answer what was painted, too.
        force: paint even over half of the photo.
    """

    EXAMPLE = '{"image": "<base64>", "keypoints": [[x, y], ...], "format": "png"}'
    FIXES: ClassVar[Mapping[str, str]] = {
        **Request.FIXES,
        "keypoints": "expected the points in the layout's order, each [x, y] or [x, y, visibility 0, 1 or 2] in px of"
        " the photo, or COCO's flat list of x, y, visibility; finite numbers",
        "skeleton": 'expected one of CVAT: {"elements": [{"label": "1", "points": [x, y], "outside": false}, ...]}',
        "mask": "expected a PNG file of the photo's size in base64, above 0 where something is to be removed",
        "format": "expected png or jpeg; leave it out for png",
        "return_mask": "expected true or false",
        "force": "expected true or false",
    }
    keypoints: Points | None = None
    skeleton: Skeleton | None = None
    mask: str | None = Field(default=None, min_length=1)
    format: Literal["png", "jpeg"] = "png"
    return_mask: bool = False
    force: bool = False

    @field_validator("keypoints")
    @classmethod
    def _as_rows(cls, given: Points | None) -> Points | None:
        """Refuse half points and visibilities that are none."""
        if given and not isinstance(given[0], list) and len(given) % 3:
            raise ValueError(f"field `keypoints` is a flat list of {len(given)} numbers: {cls.FIXES['keypoints']}")
        for number, row in enumerate(_rows(given or [])):
            if row[2] not in (HIDDEN, OCCLUDED, VISIBLE):
                raise ValueError(f"field `keypoints`: point {number + 1} is {row}: {cls.FIXES['keypoints']}")
        return given

    @model_validator(mode="after")
    def _one_grid(self) -> PaintingRequest:
        given = [f"`{name}`" for name in _GRID if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"expected exactly one of the fields `keypoints`, `skeleton` and `mask`, got {got}")
        return self


def _rows(given: Sequence[Any]) -> list[list[float]]:
    """X, y and visibility of each point."""
    if given and not isinstance(given[0], list):
        return [list(given[k : k + 3]) for k in range(0, len(given), 3)]
    return [row if len(row) == 3 else [*row, VISIBLE] for row in given]


def keypoints_of(asked: PaintingRequest, known: Sequence[Template]) -> Keypoints | None:
    """The points of a request, named and in the order of a layout; `None` where it has a mask.

    Args:
        asked: what came.
        known: layouts that the points may be in; which of several with the same names is left open.

    Raises:
        RequestError: 400, the points are of none of them.
    """
    if asked.skeleton is not None:
        return _from_skeleton(asked.skeleton, known)
    if asked.keypoints is None:
        return None
    rows = np.array(_rows(asked.keypoints), np.float64)
    layout = next((each for each in known if len(each.names) == len(rows)), None)
    if layout is None:
        raise RequestError(400, POINTS, f"field `keypoints` has {len(rows)} points: {_expected(known)}")
    return Keypoints(layout.label, layout.names, rows[:, :2], rows[:, 2].astype(np.uint8))


def _from_skeleton(skeleton: Skeleton, known: Sequence[Template]) -> Keypoints:
    by_name = {element.label: element for element in skeleton.elements}
    if len(by_name) < len(skeleton.elements):
        raise RequestError(400, POINTS, "field `skeleton` holds a point twice: expected each of its points once")
    layout = next((each for each in known if set(each.names) == set(by_name)), None)
    if layout is None:
        names = ", ".join(sorted(by_name)[:4])
        raise RequestError(400, POINTS, f"field `skeleton` has {len(by_name)} points ({names}, …): {_expected(known)}")
    elements = [by_name[name] for name in layout.names]
    named = next((str(each.get("value")) for each in skeleton.attributes if each.get("name") == "layout"), "")
    return Keypoints(
        layout.label,
        layout.names,
        np.array([element.points for element in elements], np.float64),
        np.array([_visibility(element) for element in elements], np.uint8),
        attributes={"layout": named} if named else {},
    )


def _visibility(element: Element) -> int:
    if element.outside:
        return HIDDEN
    return OCCLUDED if element.occluded else VISIBLE


def _expected(known: Sequence[Template]) -> str:
    counts = sorted({len(each.names) for each in known})
    layouts = [f"{count} ({', '.join(each.name for each in known if len(each.names) == count)})" for count in counts]
    return (
        f"expected all of a layout, {' or '.join(layouts)}; one that is not in the photo has visibility 0 or is"
        " outside. Another layout is set by TEMPLATE"
    )


def mask_of(asked: PaintingRequest, size_wh: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The mask of a request, bool ``[H, W]``; `None` where it has points.

    Raises:
        RequestError: 413 for too large a file, 400 for bad base64, no PNG, or one of another size than the photo.
    """
    if asked.mask is None:
        return None
    try:
        return images.decode_mask(decode_base64(asked.mask, "mask"), size_wh)
    except images.ImageError as error:
        raise RequestError(400, MASK, f"field `mask`: {error}") from error
