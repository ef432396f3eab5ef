"""How a prepared YOLO folder lies on disk, whatever its labels say.

- ``images/{train,val,test}/NAME.jpg``: links to the photos
- ``labels/{train,val,test}/NAME.txt``: one line an object
- ``dataset.yaml``: as ultralytics reads it
- ``manifest.json``: how the folder came to be; each module has its own
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from quadrat import files

SPLITS = ("train", "val", "test")
M = TypeVar("M")


def write(folder: Path, manifest: Any, names: Sequence[str], more: Mapping[str, object] | None = None) -> None:
    """Write ``dataset.yaml`` and ``manifest.json`` into a folder whose photos and labels are there.

    Args:
        folder: the folder.
        manifest: a dataclass of what JSON can hold.
        names: of the classes, in the order of their numbers.
        more: what else ultralytics is to be told, such as ``kpt_shape``.
    """
    dataset = {**{split: f"images/{split}" for split in SPLITS}, "names": dict(enumerate(names)), **(more or {})}
    files.write_text(folder / "dataset.yaml", yaml.safe_dump(dataset, sort_keys=False, allow_unicode=True))
    files.write_json(folder / "manifest.json", asdict(manifest))


def read(folder: Path, manifest_type: type[M], module: str) -> M:
    """Read the manifest of a prepared folder; its lists become tuples.

    Raises:
        ValueError: `folder` was not made by ``python -m {module}.prepare``.
    """
    path = folder / "manifest.json"
    known = {f.name for f in fields(manifest_type)}  # type: ignore[arg-type]
    raw = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if set(raw) != known:
        raise ValueError(f"{folder} is no prepared folder: make one with `python -m {module}.prepare --out {folder}`")
    return manifest_type(**{key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()})


def photos(folder: Path, split: str) -> list[Path]:
    """The photos of a split, by name. Paths as they lie in the folder (links are not followed)."""
    return sorted(path for path in (folder / "images" / split).iterdir() if not path.name.startswith("."))


def used(folder: Path) -> dict[str, list[Path]]:
    """The photos that ultralytics trains and validates on: what ``dataset.yaml`` names, wherever it lies.

    Raises:
        ValueError: there is no such file, or it names a place that is not there.
    """
    path = folder / "dataset.yaml"
    raw = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else None
    if not isinstance(raw, dict) or not raw.get("train") or not raw.get("val"):
        raise ValueError(f"{path} names no photos for train and val: prepare {folder} again")
    root = folder / str(raw.get("path") or "")
    return {
        split: [photo for place in _listed(raw[split]) for photo in _at(root / place)] for split in ("train", "val")
    }


def _listed(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else [str(value)]


def _at(place: Path) -> list[Path]:
    """The photos of a folder, or those that a text file lists, as ultralytics reads it."""
    if place.is_dir():
        return sorted(path for path in place.rglob("*") if path.is_file())
    if not place.is_file():
        raise ValueError(f"{place} is not there: expected a folder of photos, or a file that lists some")
    lines = (line.strip() for line in place.read_text("utf-8").splitlines())
    return [place.parent / line for line in lines if line]


def labels_of(photo: Path) -> Path:
    """The label file of a photo in a prepared folder."""
    return photo.parents[2] / "labels" / photo.parent.name / f"{photo.stem}.txt"
