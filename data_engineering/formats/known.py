"""The formats by name, and which one a file is in."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, cast

from data_engineering.formats import zips
from data_engineering.formats.collection import Collection, FormatError
from quadrat.images import IMAGE_SUFFIXES

FORMATS = {
    "cvat": "cvat_images",
    "backup": "cvat_backup",
    "coco": "coco",
    "yolo": "yolo",
    "coralnet": "coralnet_csv",
    "taglab": "taglab",
    "photos": "photos_alone",
}
"""Name of a format -> module in this folder."""
WRITTEN = tuple(name for name in FORMATS if name != "photos")
"""Names of those that are written as well as read."""

_HEAD = 1 << 16


class Format(Protocol):
    """What every format's module has."""

    def read(self, path: Path, *, photos: Sequence[Path] = (), extract_to: Path | None = None) -> Collection:
        """Read a file or folder, see `cvat_images.read`."""

    def write(self, collection: Collection, out: Path) -> Any:
        """Write one; what it cannot hold is returned as `losses.Losses`, or nothing."""


def module_of(name: str) -> Format:
    """The module of a format.

    Raises:
        FormatError: no such format; the message lists those there are.
    """
    if name not in FORMATS:
        raise FormatError(f"unknown format {name!r}: expected one of {', '.join(FORMATS)}")
    return cast(Format, importlib.import_module(f"{__package__}.{FORMATS[name]}"))


def detect(path: Path) -> str:
    """The name of the format that a file or folder is in.

    Raises:
        FormatError: it is not there, or in none that is known.
    """
    path = Path(path)
    if not path.exists():
        raise FormatError(f"{path} is not there: give an existing file or folder")
    suffix = path.suffix.lower()
    if path.is_dir() or suffix in {".zip", ".7z"}:
        found = _of_members(_members(path))
    else:
        found = {".xml": "cvat", ".csv": "coralnet", ".yaml": "yolo", ".yml": "yolo"}.get(suffix)
        if suffix == ".json":
            found = _of_json(path)
    if found is None:
        raise FormatError(f"{path}: not known as any of {', '.join(FORMATS)}: say which it is (--format)")
    return found


def _members(path: Path) -> Iterable[str]:
    if path.is_dir():
        return (file.relative_to(path).as_posix() for pattern in ("*", "*/*", "*/*/*") for file in path.glob(pattern))
    with zips.opened(path) as archive:
        return list(archive.under(""))


def _of_members(names: Iterable[str]) -> str | None:
    there = {PurePosixPath(name) for name in names if not PurePosixPath(name).name.startswith(".")}
    top = {place.name for place in there if len(place.parts) <= 2}
    if "annotations.xml" in top:
        return "cvat"
    if "project.json" in top or {"task.json", "annotations.json"} <= top:
        return "backup"
    if "obj.names" in top or any(name.endswith((".yaml", ".yml")) for name in top):
        return "yolo"
    if any(place.parent.name == "annotations" and place.suffix == ".json" for place in there):
        return "coco"
    if any(name.endswith(".csv") for name in top):
        return "coralnet"
    if any(name.endswith(".json") for name in top):
        return "taglab"
    return "photos" if any(place.suffix.lower() in IMAGE_SUFFIXES for place in there) else None


def _of_json(path: Path) -> str | None:
    """COCO lists its categories, TagLab its maps; a key may stand far from the beginning of a large file."""
    keys = {"taglab": ('"working_area"', '"map_px_to_mm_factor"'), "coco": ('"categories"',)}
    with path.open("rb") as file:
        head = file.read(_HEAD).decode("utf-8", "replace")
    for name, marks in keys.items():
        if any(mark in head for mark in marks):
            return name
    try:
        top = json.loads(path.read_bytes())
    except ValueError as error:
        raise FormatError(f"{path}: no JSON ({error})") from None
    if not isinstance(top, dict):
        return None
    return "coco" if "categories" in top else "taglab" if {"images", "labels"} <= set(top) else None
