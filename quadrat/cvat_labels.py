"""CVAT's raw label definitions, as its label constructor takes and gives them: made, and skeletons read.

What is made here is what the coral-quadrat projects use: every label carries the number attribute ``confidence``, 0 to
100. A skeleton's SVG is written unescaped and names its points by ``data-label-name``: CVAT puts its own ids in their
place. An SVG with ``&quot;`` and the label ids of another server, which is what the constructor exports, is taken by
CVAT without a word and is then of no use; it is read here all the same.
"""

from __future__ import annotations

import colorsys
import html
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE: Mapping[str, object] = {
    "name": "confidence",
    "input_type": "number",
    "mutable": True,
    "values": ["0", "100", "1"],
    "default_value": "100",
}
"""The number attribute of every label: least, most and step as strings of digits."""


_COLOUR_SALT = 11257  # chosen so that the colours of the 16 genera are far apart; a test holds them to it
_TONES = ((0.45, 0.98), (0.85, 0.98), (0.75, 0.70))  # saturation and value: pale, strong, dark


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """A skeleton label as CVAT has it.

    Attributes:
        label: class name.
        names: K point names in the order of the sublabels.
        xy_percent: float64 ``[K, 2]``, place of each point in the label's picture, 0..100, x right, y down.
        edges: pairs of indices into `names`; empty where the picture has no lines.
    """

    label: str
    names: tuple[str, ...]
    xy_percent: NDArray[np.float64]
    edges: tuple[tuple[int, int], ...]


def colour(name: str) -> str:
    """A clear colour as ``#rrggbb``, always the same for one name."""
    digest = zlib.crc32(f"{_COLOUR_SALT}{name}".encode())
    saturation, value = _TONES[(digest >> 16) % len(_TONES)]
    rgb = colorsys.hsv_to_rgb((digest & 0xFFFF) / 0x10000, saturation, value)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in rgb)


def polygon_label(name: str, attributes: bool = True) -> dict[str, Any]:
    """A label drawn as polygons, with the attribute ``confidence`` unless `attributes` is false."""
    return {"name": name, "color": colour(name), "type": "polygon", "attributes": _attributes(attributes)}


def segmentation_labels(names: Iterable[str]) -> list[dict[str, Any]]:
    """The constructor's list for a segmentation project: one polygon label for each class name.

    Raises:
        ValueError: a name comes twice (CVAT would refuse the list).
    """
    listed = list(names)
    if len(set(listed)) != len(listed):
        raise ValueError(f"label names must be distinct, twice in the list: {_repeated(listed)}")
    return [polygon_label(name) for name in listed]


def skeleton_label(
    label: str,
    names: Sequence[str],
    xy_percent: ArrayLike,
    edges: Iterable[tuple[int, int]] = (),
    attributes: bool = True,
) -> dict[str, Any]:
    """A skeleton label with its points as sublabels and its picture as SVG.

    Args:
        label: class name.
        names: K point names, free of the characters that mean something in SVG.
        xy_percent: ``[K, 2]``, 0..100.
        edges: pairs of indices into `names`, drawn as lines.
        attributes: whether the label carries ``confidence``.

    Raises:
        ValueError: a name that cannot stand in the SVG.
    """
    for name in names:
        if not name or set(name) & set("\"'<>&"):
            raise ValueError(f"point name {name!r} cannot stand in CVAT's SVG: use one without quotes, <, > and &")
    xy = np.asarray(xy_percent, np.float64)
    lines = [_line(xy, i, j) for i, j in edges]
    circles = [_circle(k, name, *xy[k]) for k, name in enumerate(names)]
    return {
        "name": label,
        "color": colour(label),
        "type": "skeleton",
        "sublabels": sublabels(label, names),
        "svg": "\n".join(lines + circles),
        "attributes": _attributes(attributes),
    }


def sublabels(label: str, names: Iterable[str]) -> list[dict[str, Any]]:
    """The points of a skeleton label as the constructor lists them."""
    return [{"name": name, "attributes": [], "type": "points", "color": colour(f"{label} {name}")} for name in names]


def read_skeleton(raw: object, label: str | None = None) -> Skeleton:
    """Read a skeleton from label definitions: a constructor's list, one label, or CVAT's answer to ``GET /api/labels``.

    Args:
        raw: the parsed JSON.
        label: name of the skeleton to take; needed only where there are several.

    Raises:
        ValueError: no such skeleton, or several; points and circles do not match; something is missing or no number.
    """
    entry = _pick(raw, label)
    where = f"skeleton {entry.get('name')!r}"
    sublabels = entry.get("sublabels")
    if not isinstance(sublabels, list) or not sublabels or not all(isinstance(s, dict) for s in sublabels):
        raise ValueError(f"{where} has no sublabels: expected one for each point")
    names = tuple(str(s.get("name", "")) for s in sublabels)
    if "" in names or len(set(names)) != len(names):
        raise ValueError(f"{where}: its point names must be distinct and not empty, twice: {_repeated(names)}")
    picture = _Picture(str(entry.get("svg", "")))
    if len(picture.circles) != len(names):
        raise ValueError(f"{where} has {len(names)} sublabels but {len(picture.circles)} circles in its svg")
    order = _match(picture.circles, names, [s.get("id") for s in sublabels], where)
    try:
        xy = np.array([[float(c["cx"]), float(c["cy"])] for c in picture.circles])[order]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{where}: a circle has no numbers cx and cy in its svg ({error})") from None
    nodes = {picture.circles[at].get("data-node-id", ""): k for k, at in enumerate(order)}
    try:
        edges = tuple((nodes[e["data-node-from"]], nodes[e["data-node-to"]]) for e in picture.lines)
    except KeyError as error:
        raise ValueError(f"{where}: a line of its svg lacks or misnames the node it joins ({error})") from None
    return Skeleton(str(entry.get("name", "")), names, xy, edges)


class _Picture(HTMLParser):
    """Circles (points) and lines (edges) of a skeleton's SVG as dicts of their attributes."""

    def __init__(self, svg: str) -> None:
        super().__init__()
        self.circles: list[dict[str, str]] = []
        self.lines: list[dict[str, str]] = []
        self.feed(html.unescape(svg) if "=&quot;" in svg else svg)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        if tag == "circle":
            self.circles.append(found)
        elif tag == "line" and found.get("data-type", "edge") == "edge":
            self.lines.append(found)


def _match(circles: list[dict[str, str]], names: Sequence[str], ids: list[object], where: str) -> list[int]:
    """For each point the index of its circle: by label name, else by label id, else in the order of the elements."""
    for key, wanted in (("data-label-name", list(names)), ("data-label-id", [str(i) for i in ids])):
        at = {circle.get(key): index for index, circle in enumerate(circles)}
        if set(at) == set(wanted):
            return [at[name] for name in wanted]
    if any("data-label-name" in circle for circle in circles):
        raise ValueError(f"{where}: the data-label-name of its circles are not the names of its sublabels")
    try:
        elements = [int(circle["data-element-id"]) for circle in circles]
    except (KeyError, ValueError):
        raise ValueError(f"{where}: a circle has neither data-label-name nor a whole data-element-id") from None
    if len(set(elements)) != len(elements):
        raise ValueError(f"{where}: the data-element-id of its circles must be distinct")
    return sorted(range(len(circles)), key=elements.__getitem__)


def _pick(raw: object, label: str | None) -> dict[str, Any]:
    if isinstance(raw, dict) and "results" in raw:
        raw = raw["results"]
    listed = raw if isinstance(raw, list) else [raw]
    found = [
        e for e in listed if isinstance(e, dict) and e.get("type") == "skeleton" and label in (None, e.get("name"))
    ]
    if len(found) != 1:
        named = "" if label is None else f" named {label!r}"
        fix = "; say which by its label" if len(found) > 1 else ": expected CVAT's raw label JSON"
        raise ValueError(f"the labels hold {len(found)} skeletons{named}, not one{fix}")
    return found[0]


def _attributes(wanted: bool) -> list[dict[str, object]]:
    return [dict(CONFIDENCE)] if wanted else []


def _circle(k: int, name: str, x: float, y: float) -> str:
    return (
        f'<circle r="0.75" cx="{x:.4f}" cy="{y:.4f}" data-type="element node" '
        f'data-element-id="{k + 1}" data-node-id="{k + 1}" data-label-name="{name}"></circle>'
    )


def _line(xy: NDArray[np.float64], i: int, j: int) -> str:
    return (
        f'<line x1="{xy[i, 0]:.4f}" y1="{xy[i, 1]:.4f}" x2="{xy[j, 0]:.4f}" y2="{xy[j, 1]:.4f}" '
        f'data-type="edge" data-node-from="{i + 1}" data-node-to="{j + 1}"></line>'
    )


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
