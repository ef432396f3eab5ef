"""The points that people labelled in photos, dealt to folds: what models and their peers are compared on.

All points count, also those of classes that cannot be learnt because they occur in the photos of one fold alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from DINOv2_mmseg import point_maps
from DINOv2_mmseg.folder import LabelledPoint
from quadrat.shapes import Annotations


@dataclass(frozen=True, slots=True, eq=False)
class PointPhoto:
    """A photo and its points.

    Attributes:
        path: of the photo.
        points: x and y in px, and the class.
    """

    path: Path
    points: tuple[LabelledPoint, ...]

    @property
    def labels(self) -> list[str]:
        """The class of each point."""
        return [label for _, _, label in self.points]

    @property
    def xy_px(self) -> NDArray[np.float64]:
        """Where the points lie, float64 ``[N, 2]``."""
        return np.array([(x, y) for x, y, _ in self.points], np.float64).reshape(-1, 2)


@dataclass(frozen=True, slots=True, eq=False)
class Dealt:
    """Photos dealt to folds.

    Attributes:
        photos: by name, so that the order is the same everywhere.
        fold_of: fold of each photo, 1..N, by its file name.
        count: N.
        skipped: photos that cannot be used, with the reason.
    """

    photos: tuple[PointPhoto, ...]
    fold_of: dict[str, int]
    count: int
    skipped: dict[str, str]

    def held_out(self, fold: int) -> list[PointPhoto]:
        """The photos that fold is measured on."""
        return [photo for photo in self.photos if self.fold_of[photo.path.name] == fold]

    def training(self, fold: int) -> list[PointPhoto]:
        """The photos that fold learns from."""
        return [photo for photo in self.photos if self.fold_of[photo.path.name] != fold]

    def support(self) -> Counter[str]:
        """Number of points a class."""
        return Counter(label for photo in self.photos for label in photo.labels)

    def unlearnable(self) -> list[str]:
        """Classes whose points all lie in the photos of one fold, so that fold cannot learn them."""
        folds: dict[str, set[int]] = {}
        for photo in self.photos:
            for label in photo.labels:
                folds.setdefault(label, set()).add(self.fold_of[photo.path.name])
        return sorted(label for label, those in folds.items() if len(those) == 1)


def deal(table: Path, folders: Sequence[Path], count: int, *, labelset: Path | None = None, seed: int = 0) -> Dealt:
    """Read a CoralNet table and deal its photos as `DINOv2_mmseg.prepare --fold` deals them.

    Args:
        table: as CoralNet exports it.
        folders: of its photos.
        count: number of folds, 2 or more.
        labelset: of short codes: classes get their full names.
        seed: of the deal.

    Raises:
        ValueError: the table or the labelset cannot be read, a label is not in the labelset, or there are fewer photos
            than folds.
    """
    from data_engineering import coralnet, folds, point_labels

    entries = coralnet.read_labelset(labelset) if labelset else {}
    legend = point_maps.Legend({code: entry.name for code, entry in entries.items()})
    source = point_labels.PointSource(table, tuple(folders))
    photos, skipped = [], {}
    for path, load in source.samples("read points"):
        try:
            found = point_maps.points_of(load())
        except (ValueError, OSError) as error:
            skipped[str(path)] = f"{type(error).__name__}: {error}"
            continue
        photos.append(PointPhoto(path, tuple((x, y, legend.to_name(label)) for x, y, label in found)))
    names, nothing = source.names(), Annotations("any", (1, 1))  # a fold goes by the photo's name alone
    dealt = [folds.deal(f"{number}/{count}", names, seed) for number in range(1, count + 1)]
    fold_of = {
        photo.path.name: next(fold.number for fold in dealt if fold.of(photo.path, nothing) == "val")
        for photo in photos
    }
    return Dealt(tuple(sorted(photos, key=lambda photo: photo.path.name)), fold_of, count, skipped)
