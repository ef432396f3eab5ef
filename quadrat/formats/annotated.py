"""Corners and grid points, marked by a person or predicted, photo by photo, from any of our files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from quadrat import geometry
from quadrat.formats import coco, cvat_xml, shapes_json
from quadrat.homography import Points
from quadrat.shapes import Annotations, Keypoints

CORNERS = "quadrat_corner"
CORNER_NAMES = ("1", "2", "3", "4")


class Annotated(Mapping[str, Annotations]):
    """Annotations by the photo's name: its path under the folder that was given, with or without suffix.

    A name without its folders will do where it is the only one of its kind, as CVAT and COCO often keep no more.
    """

    def __init__(self, photos: Mapping[str, Annotations]) -> None:
        """Take annotations by name, a path with ``/``."""
        self._photos = dict(photos)
        self._short: dict[str, list[str]] = {}
        for name in self._photos:
            for short in {_stem(name), PurePath(name).name, PurePath(name).stem} - {name}:
                self._short.setdefault(short, []).append(name)

    def __getitem__(self, name: str) -> Annotations:
        for tried in (name, _stem(name), PurePath(name).name, PurePath(name).stem):
            if tried in self._photos:
                return self._photos[tried]
            found = self._short.get(tried, [])
            if len(found) == 1:
                return self._photos[found[0]]
            if found:
                raise KeyError(f"{name}: {len(found)} annotated photos may be meant: {', '.join(sorted(found)[:3])}")
        raise KeyError(f"{name}: nothing is annotated for it")

    def __iter__(self) -> Iterator[str]:
        return iter(self._photos)

    def __len__(self) -> int:
        return len(self._photos)


def read(source: str | Path) -> Annotated:
    """Read corners and grids.

    Args:
        source: a shapes JSON file or a folder of them, a COCO keypoints file, or a CVAT XML file. In CVAT the corners
            may be a skeleton, a polygon of four points, or points (four in one shape, or one each) of a label
            ``quadrat_corner``; what is no skeleton is put in order.

    Raises:
        ValueError: no such file, or one that cannot be read.
    """
    source = Path(source)
    if source.is_dir():
        files = sorted(path for path in source.rglob("*.json") if not path.name.startswith("."))
        named = {path.relative_to(source).with_suffix("").as_posix(): path for path in files if _is_shapes(path)}
        if not named:
            raise ValueError(f"{source}: no shapes JSON file in it, expected one a photo")
        return Annotated({name: shapes_json.read(path) for name, path in named.items()})
    if not source.is_file():
        raise ValueError(f"{source}: no such file or folder, expected shapes JSON, COCO keypoints or CVAT XML")
    if source.suffix.lower() == ".xml":
        return Annotated({photo.image: photo for photo in _read_cvat(source)})
    if _is_shapes(source):
        photo = shapes_json.read(source)
        return Annotated({photo.image: photo})
    return Annotated({photo.image: photo for photo in coco.read(source)})


def _stem(name: str) -> str:
    return PurePath(name).with_suffix("").as_posix()


def _is_shapes(path: Path) -> bool:
    try:
        raw = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(raw, dict) and raw.get("format") == shapes_json.FORMAT


def _read_cvat(path: Path) -> list[Annotations]:
    """As `cvat_xml.read`, and corners that are drawn as a polygon or as points."""
    photos = cvat_xml.read(path)
    drawn = [_drawn_corners(image) for image in ElementTree.parse(path).getroot().iter("image")]
    return [
        replace(photo, shapes=(*photo.shapes, corners)) if corners and not _has_corners(photo.keypoints) else photo
        for photo, corners in zip(photos, drawn, strict=True)
    ]


def _has_corners(keypoints: Sequence[Keypoints]) -> bool:
    return any(len(points.names) == len(CORNER_NAMES) for points in keypoints)


def _drawn_corners(image: Element) -> Keypoints | None:
    points: list[Points] = []
    for element in image:
        if element.get("label") == CORNERS and element.tag in ("polygon", "points"):
            pairs = element.attrib["points"].split(";")
            points.append(np.array([[float(v) for v in pair.split(",")] for pair in pairs], np.float64))
    if sum(map(len, points)) != len(CORNER_NAMES):
        return None
    try:
        return Keypoints(CORNERS, CORNER_NAMES, geometry.order_corners(np.concatenate(points)))
    except ValueError:  # two of them on one spot
        return None
