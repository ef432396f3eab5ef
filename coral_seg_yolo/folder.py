"""What a prepared YOLO folder of colonies is; how it lies on disk says `yolo.folder`.

A line of a label file is a colony: its class, then x y x y ... in 0..1 of the photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from quadrat import masks
from quadrat.shapes import Instance
from yolo import folder as shared
from yolo.folder import SPLITS, labels_of, photos

__all__ = ["SPLITS", "Manifest", "labels_of", "photos", "read", "read_labels", "write"]


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
    shared.write(folder, manifest, manifest.labels)


def read(folder: Path) -> Manifest:
    """Read the manifest of a prepared folder.

    Raises:
        ValueError: `folder` was not made by `python -m coral_seg_yolo.prepare`.
    """
    return shared.read(folder, Manifest, "coral_seg_yolo")


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
