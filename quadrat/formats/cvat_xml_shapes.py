"""One shape or tag of CVAT's XML to and from `quadrat.drawn.Drawn`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from quadrat import masks, rle
from quadrat.drawn import Drawn

_KINDS = {"box": "rectangle"} | {k: k for k in ("polygon", "polyline", "points", "ellipse", "mask", "cuboid")}
_TAGS = {kind: tag for tag, kind in _KINDS.items()}
TAGS = (*_KINDS, "skeleton", "tag")
"""Elements of an image that are drawn."""

_CUBOID = tuple(f"{axis}{corner}{face}" for face in "12" for corner in ("tl", "bl", "tr", "br") for axis in "xy")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read(element: Element, size_wh: tuple[int, int]) -> tuple[Drawn | None, list[str]]:
    """A shape or tag of an image.

    Args:
        element: a child of an image, one of `TAGS`.
        size_wh: of the photo in px; a mask with a box larger than that is refused.

    Returns:
        What is drawn, or `None` where it cannot be kept; and a sentence for all that could not be kept as it was,
        which does not name the photo.
    """
    notes: list[str] = []
    title = f"{element.tag} {element.get('label')!r}"
    try:
        return _read(element, size_wh, notes), [f"{title}: {note}" for note in notes]
    except KeyError as error:
        why = f"it has no {error.args[0]!r}"
    except (ValueError, OverflowError) as error:
        why = str(error)
    return None, [f"{title} was left out: {why}. Draw it anew in CVAT, or delete it there."]


def _read(element: Element, size_wh: tuple[int, int], notes: list[str]) -> Drawn:
    label, get = element.attrib["label"], element.get
    attributes = {one.attrib["name"]: one.text or "" for one in element if one.tag == "attribute"}
    common: dict[str, Any] = {
        "attributes": attributes,
        "group": int(get("group_id") or 0),
        "occluded": get("occluded") == "1",
        "outside": get("outside") == "1",
        "source": get("source") or "manual",
        "z_order": int(get("z_order") or 0),
        "rotation": _finite(get("rotation") or "0"),
    }
    if element.tag == "tag":
        return Drawn("tag", label, **common)
    if element.tag == "skeleton":
        return Drawn("skeleton", label, elements=_points_of(element, size_wh, notes), **common)
    if element.tag == "mask":
        box, mask = _mask(element, size_wh)
        return Drawn("mask", label, box, mask=mask, **common)
    return Drawn(_KINDS[element.tag], label, _coordinates(element), **common)


def _finite(text: str) -> float:
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(f"{text!r} stands where a number is expected")
    return value


def _coordinates(element: Element) -> NDArray[np.float64]:
    if element.tag == "box":
        return np.array([float(element.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr")]).reshape(2, 2)
    if element.tag == "ellipse":
        cx, cy, rx, ry = (float(element.attrib[key]) for key in ("cx", "cy", "rx", "ry"))
        return np.array([[cx, cy], [cx + rx, cy - ry]])
    if element.tag == "cuboid":
        return np.array([float(element.attrib[key]) for key in _CUBOID]).reshape(8, 2)
    text = element.attrib["points"]
    pairs = text.split(";") if text else []
    values = [float(value) for pair in pairs for value in pair.split(",")]
    if len(values) != 2 * len(pairs):
        raise ValueError("its points are not all pairs of x and y")
    return np.array(values).reshape(-1, 2)


def _mask(element: Element, size_wh: tuple[int, int]) -> tuple[NDArray[np.float64], masks.Mask]:
    left, top, width, height = (int(element.attrib[key]) for key in ("left", "top", "width", "height"))
    runs = [int(run) for run in element.attrib["rle"].split(",")]
    return read_mask(runs, (left, top, left + width, top + height), size_wh)


def read_mask(
    runs: Sequence[int], xyxy: tuple[int, int, int, int], size_wh: tuple[int, int]
) -> tuple[NDArray[np.float64], masks.Mask]:
    """Pixels of a mask.

    Args:
        runs: lengths in px, row by row, beginning with those of 0.
        xyxy: box in px, its end exclusive.
        size_wh: of the photo in px.

    Returns:
        float64 ``[2, 2]`` corners of the box, and bool ``[height, width]``.

    Raises:
        ValueError: the box is empty or larger than the photo, or the runs do not fill it.
    """
    x0, y0, x1, y1 = xyxy
    width, height = x1 - x0, y1 - y0
    if not (0 < width <= size_wh[0] and 0 < height <= size_wh[1]):
        raise ValueError(f"its box is {width} x {height} px, on a photo of {size_wh[0]} x {size_wh[1]} px")
    if min(runs, default=0) < 0 or sum(runs) != width * height:
        raise ValueError(f"its runs add up to {sum(runs)} px: expected {width} x {height} = {width * height}")
    return np.array([[x0, y0], [x1, y1]], np.float64), rle.runs_to_bits(runs).reshape(height, width)


def _points_of(skeleton: Element, size_wh: tuple[int, int], notes: list[str]) -> tuple[Drawn, ...]:
    found: dict[str, Drawn] = {}
    for element in skeleton.iter("points"):
        one, said = read(element, size_wh)
        notes += said
        if one is None:
            continue
        if len(one.xy_px) != 1 or one.label in found:
            why = "it comes twice" if one.label in found else f"it has {len(one.xy_px)} places, expected one"
            notes.append(f"point {one.label!r} was left out: {why}. Place it anew in CVAT.")
            continue
        found[one.label] = one
    return tuple(found.values())


# ---------------------------------------------------------------------------------------------- writing


def text(value: str) -> str:
    """`value` as text between tags; characters that XML cannot have become U+FFFD."""
    return escape(_NOT_XML.sub("\ufffd", value), {"\r": "&#13;"})


def quoted(value: object) -> str:
    """`value` as an attribute's value with its quotes."""
    return quoteattr(_NOT_XML.sub("\ufffd", str(value)))


def write(one: Drawn, indent: str) -> Iterator[str]:
    """The lines of a shape or tag."""
    tag = "skeleton" if one.kind == "skeleton" else _TAGS.get(one.kind, "tag")
    inner = [f"{indent}  <attribute name={quoted(k)}>{text(v)}</attribute>\n" for k, v in one.attributes.items()]
    head = "".join(f" {key}={quoted(value)}" for key, value in _head(one).items())
    for element in one.elements:
        inner += write(element, indent + "  ")
    if not inner:
        yield f"{indent}<{tag}{head}/>\n"
        return
    yield f"{indent}<{tag}{head}>\n"
    yield from inner
    yield f"{indent}</{tag}>\n"


def _head(one: Drawn) -> Mapping[str, object]:
    head: dict[str, object] = {"label": one.label, "source": one.source}
    if one.outside or one.kind == "points":
        head["outside"] = int(one.outside)
    if one.kind not in ("tag", "skeleton") or one.occluded:
        head["occluded"] = int(one.occluded)
    head |= _places(one)
    if one.rotation:
        head["rotation"] = f"{one.rotation:.6f}"  # two decimals would move the corners of a large box by half a pixel
    if one.kind != "tag":
        head["z_order"] = one.z_order
    return head | ({"group_id": one.group} if one.group else {})


def _places(one: Drawn) -> Mapping[str, object]:
    if one.mask is not None:
        (x0, y0), (x1, y1) = one.xy_px.astype(int).tolist()
        runs = ", ".join(map(str, rle.runs_of(one.mask.ravel()).tolist()))
        return {"rle": runs, "left": x0, "top": y0, "width": x1 - x0, "height": y1 - y0}
    numbers = one.xy_px.round(2).ravel().tolist()
    if one.kind == "rectangle":
        keys: Sequence[str] = ("xtl", "ytl", "xbr", "ybr")
    elif one.kind == "ellipse":
        cx, cy, right, top = numbers  # rounded before, so that the sum of what is written is within 0.005 px too
        keys, numbers = ("cx", "cy", "rx", "ry"), [cx, cy, right - cx, cy - top]
    elif one.kind == "cuboid":
        keys = _CUBOID
    elif numbers:
        return {"points": ";".join(f"{_number(x)},{_number(y)}" for x, y in one.xy_px.tolist())}
    else:
        return {}
    return {key: _number(number) for key, number in zip(keys, numbers, strict=True)}


def _number(value: float) -> str:
    """With two digits; nothing is a little below zero, so that what is read and written again stays the same."""
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text
