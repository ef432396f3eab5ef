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


def labels_of(photo: Path) -> Path:
    """The label file of a photo in a prepared folder."""
    return photo.parents[2] / "labels" / photo.parent.name / f"{photo.stem}.txt"
