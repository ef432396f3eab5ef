"""What a prepared YOLO folder is: where its parts lie and what its manifest says.

- ``images/{train,val,test}/NAME.jpg``: links to the photos
- ``labels/{train,val,test}/NAME.txt``: one line a colony: its class, then x y x y ... in 0..1 of the photo
- ``dataset.yaml``: as ultralytics reads it
- ``manifest.json``: `Manifest`
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
import yaml

from quadrat import files, masks
from quadrat.shapes import Instance

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Manifest:
    """How a prepared folder came to be.

    Attributes:
        level: taxonomy level of the labels.
        labels: class names; a class's index is its place here.
        trained_on: what a network trained on this folder has seen, in words; goes on its card.
        note: a sentence for its card; empty if none is needed.
        seed: of the split.
        photos: number of photos a split.
        colonies: number of colonies a class, all splits together.
        skipped: photos that were left out, with the reason.
    """

    level: str
    labels: tuple[str, ...]
    trained_on: str
    note: str
    seed: int
    photos: dict[str, int]
    colonies: dict[str, int]
    skipped: dict[str, str] = field(default_factory=dict)


def write(folder: Path, manifest: Manifest) -> None:
    """Write `dataset.yaml` and `manifest.json` into a folder whose photos and labels are there."""
    dataset = {**{split: f"images/{split}" for split in SPLITS}, "names": dict(enumerate(manifest.labels))}
    files.write_text(folder / "dataset.yaml", yaml.safe_dump(dataset, sort_keys=False, allow_unicode=True))
    files.write_json(folder / "manifest.json", asdict(manifest))


def read(folder: Path) -> Manifest:
    """Read the manifest of a prepared folder.

    Raises:
        ValueError: `folder` was not made by `python -m coral_seg_yolo.prepare`.
    """
    path = folder / "manifest.json"
    known = {f.name for f in fields(Manifest)}
    raw = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    if set(raw) != known:
        raise ValueError(
            f"{folder} is no prepared folder: make one with `python -m coral_seg_yolo.prepare --out {folder}`"
        )
    return Manifest(**{**raw, "labels": tuple(raw["labels"])})


def photos(folder: Path, split: str) -> list[Path]:
    """The photos of a split, by name. Paths as they lie in the folder (links are not followed)."""
    return sorted(path for path in (folder / "images" / split).iterdir() if not path.name.startswith("."))


def labels_of(photo: Path) -> Path:
    """The label file of a photo in a prepared folder."""
    return photo.parents[2] / "labels" / photo.parent.name / f"{photo.stem}.txt"


def read_labels(photo: Path, labels: Sequence[str], size_wh: tuple[int, int]) -> list[Instance]:
    """The colonies of a photo in a prepared folder, in px of the photo.

    Args:
        photo: in the folder.
        labels: class names by their index.
        size_wh: of the photo.

    Raises:
        ValueError: a line names a class that `labels` does not have, or is no ring.
    """
    path = labels_of(photo)
    colonies = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        kind, *values = line.split()
        if int(kind) >= len(labels) or len(values) % 2:
            raise ValueError(f"{path}:{number}: expected a class of 0..{len(labels) - 1}, then pairs of x and y")
        ring = np.array(values, np.float64).reshape(-1, 2) * size_wh
        colonies.append(masks.instance_from_rings(labels[int(kind)], [ring], size_wh))
    return [colony for colony in colonies if colony is not None]
