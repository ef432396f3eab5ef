"""What a prepared YOLO folder of quadrat points is; how it lies on disk says `yolo.folder`.

Two formulations of one task, each with label files of its own:

- ``points``: every visible point is a small object: its kind (`kinds`), then the centre, width and height of its box.
- ``pose``: every quadrat is an object with K keypoints: its layout, its box, then x y visibility of each point.

All in 0..1 of the photo. The layouts lie beside the labels as YAML where they are not built in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quadrat import template
from quadrat.template import Template
from yolo import folder as shared
from yolo.folder import SPLITS, labels_of, photos

__all__ = ["FORMULATIONS", "SPLITS", "Manifest", "kinds_of", "labels_of", "layouts", "photos", "read", "write"]

MODULE = "grid_pose_detection"
FORMULATIONS = ("points", "pose")
CORNER, CROSSING, END = "corner", "crossing", "end"


@dataclass(frozen=True)
class Manifest:
    """How a prepared folder came to be.

    Attributes:
        formulation: ``points`` or ``pose``.
        label: class name of the quadrats in CVAT, ``quadrat_corner`` or ``grid``.
        layouts: names of the layouts; of those that are not built in, files in the folder.
        classes: of the network: kinds of points, or layouts.
        trained_on: what a network trained on this folder has seen, in words; goes on its card.
        note: a sentence for its card; empty if none is needed.
        seed: of the split.
        photos: number of photos a split.
        objects: number of objects a class, all splits together.
        skipped: photos that were left out, with the reason.
    """

    formulation: str
    label: str
    layouts: tuple[str, ...]
    classes: tuple[str, ...]
    trained_on: str
    note: str
    seed: int
    photos: dict[str, int]
    objects: dict[str, int]
    skipped: dict[str, str] = field(default_factory=dict)


def kinds_of(layout: Template) -> NDArray[np.str_]:
    """The kind of every point of a layout, str ``[K]``.

    A point of a 2 x 2 lattice is a ``corner``; of any other, one on the frame the ``end`` of a string, else a
    ``crossing`` of two.
    """
    if layout.lattice_shape == (2, 2):
        return np.full(len(layout.names), CORNER)
    return np.where(((layout.uv <= 0) | (layout.uv >= 1)).any(1), END, CROSSING)


def layouts(folder: Path, names: Sequence[str], label: str) -> list[Template]:
    """The layouts of a manifest or a card: built in, or a file in `folder`."""
    return [template.load(name if name in template.BUILTIN else folder / name, label) for name in names]


def write(folder: Path, manifest: Manifest, known: Sequence[Template]) -> None:
    """Write `dataset.yaml` and `manifest.json` into a folder whose photos and labels are there.

    ultralytics renumbers the keypoints of mirrored photos by one list, ``flip_idx``. Where the layouts need different
    ones, or one is not its own mirror image, there is no such list, and ultralytics mirrors no photo.
    """
    more: dict[str, object] = {}
    if manifest.formulation == "pose":
        more["kpt_shape"] = [len(known[0].names), 3]
        twins = {tuple(_mirrored(each)) for each in known}
        if len(twins) == 1 and () not in twins:
            more["flip_idx"] = list(*twins)
    shared.write(folder, manifest, manifest.classes, more)


def read(folder: Path) -> Manifest:
    """Read the manifest of a prepared folder.

    Raises:
        ValueError: `folder` was not made by `python -m grid_pose_detection.prepare`.
    """
    return shared.read(folder, Manifest, MODULE)


def _mirrored(layout: Template) -> list[int]:
    """For every point the index of the one that takes its place when the photo is mirrored left to right.

    Empty where the layout is not its own mirror image.
    """
    columns = layout.lattice_shape[1]
    at = {(int(row), int(column)): k for k, (row, column) in enumerate(layout.lattice_rc)}
    twins = [at.get((int(row), columns - 1 - int(column))) for row, column in layout.lattice_rc]
    return [] if None in twins else [twin for twin in twins if twin is not None]
