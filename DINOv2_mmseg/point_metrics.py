"""How well a model agrees with the points that people labelled, and with the cover that follows from them.

A point counts as what the model says of the pixel that it lies in. Labels that the model does not know stay in the
truth, where they can only be wrong. Cover is the share of a class among the points of a photo, in %, which is how
ecologists estimate it; beside it stands the share of the class in the whole predicted map, which no point can give.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from DINOv2_mmseg import metrics
from quadrat.shapes import SemanticMap

COLONIES = "all colonies"
"""Stands beside the classes where the cover of all that is no background is told."""


@dataclass(frozen=True, slots=True)
class Cover:
    """A class in a photo, in % .

    Attributes:
        photo: its name.
        label: of the class, or `COLONIES`.
        points: number of labelled points in the photo.
        human: share of the points that people gave the class.
        predicted: share of the same points that the model gives it.
        whole_map: share of the whole predicted map, `None` where there is no map.
    """

    photo: str
    label: str
    points: int
    human: float
    predicted: float
    whole_map: float | None


@dataclass(frozen=True, slots=True)
class PointFigures:
    """What a model is worth at points.

    Attributes:
        photos: number of photos.
        points: number of points.
        accuracy: share of the points that are right, 0..1.
        macro_recall: mean recall over the classes that have points, 0..1.
        cover_error: mean of ``|predicted - human|`` over photos and classes, in percentage points.
        cover_error_map: the same for the whole map against the human points; `None` where there was no map.
        classes: by name; the truth's and the model's.
        class_cover_error: by name, mean over the photos, in percentage points.
        cover: every photo and class.
    """

    photos: int
    points: int
    accuracy: float
    macro_recall: float
    cover_error: float
    cover_error_map: float | None
    classes: dict[str, metrics.ClassFigures]
    class_cover_error: dict[str, float]
    cover: tuple[Cover, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, rounded to six digits."""
        return metrics.rounded(asdict(self))


class PointTally:
    """Points counted photo by photo.

    Args:
        labels: classes of the model.
        background: those that are no colonies; if there are colonies and background, the cover of all colonies is told.
    """

    def __init__(self, labels: Sequence[str], background: Collection[str] = ()):
        self.model_labels, self.background = tuple(labels), frozenset(background)
        self._photos: list[_Photo] = []

    def __len__(self) -> int:
        return len(self._photos)

    def add(
        self,
        photo: str,
        human: Sequence[str],
        predicted: Sequence[str],
        shares: Mapping[str, float] | None = None,
    ) -> None:
        """Count one photo.

        Args:
            photo: its name.
            human: N labels.
            predicted: N labels of the same points.
            shares: of the whole map, 0..1 a class (`map_shares`); `None` where there is no map.

        Raises:
            ValueError: the numbers differ, there is no point, or a prediction is none of the model's classes.
        """
        if len(human) != len(predicted) or not len(human):
            raise ValueError(
                f"{photo}: {len(human)} human and {len(predicted)} predicted labels: expected N >= 1 of each"
            )
        if strange := set(predicted) - set(self.model_labels):
            raise ValueError(f"{photo}: predicted {sorted(strange)}: expected classes of {list(self.model_labels)}")
        self._photos.append(_Photo(photo, tuple(human), tuple(predicted), None if shares is None else dict(shares)))

    @property
    def labels(self) -> tuple[str, ...]:
        """The model's classes, then those that people used and the model does not know."""
        extra = {label for photo in self._photos for label in photo.human} - set(self.model_labels)
        return (*self.model_labels, *sorted(extra))

    def confusion(self) -> NDArray[np.int64]:
        """Counts ``[C, C]`` in the order of `labels`: rows are what people said, columns what the model says."""
        place = {label: i for i, label in enumerate(self.labels)}
        counts = np.zeros((len(place),) * 2, np.int64)
        for photo in self._photos:
            rows, columns = ([place[label] for label in side] for side in (photo.human, photo.predicted))
            np.add.at(counts, (rows, columns), 1)
        return counts

    def figures(self) -> PointFigures:
        """What the photos so far amount to.

        Raises:
            ValueError: there is no photo.
        """
        if not self._photos:
            raise ValueError("no photo was counted: expected at least one with points")
        counted = metrics.figures(self.labels, self.confusion())
        cover = tuple(self._cover())
        classes = [one for one in cover if one.label != COLONIES]
        mapped = [abs(one.whole_map - one.human) for one in classes if one.whole_map is not None]
        return PointFigures(
            photos=len(self._photos),
            points=counted.counted,
            accuracy=float(counted.overall_accuracy or 0),
            macro_recall=float(counted.mean_accuracy or 0),
            cover_error=float(np.mean([abs(one.predicted - one.human) for one in classes])),
            cover_error_map=float(np.mean(mapped)) if mapped else None,
            classes=counted.classes,
            class_cover_error=_by_label(cover),
            cover=cover,
        )

    def _cover(self) -> list[Cover]:
        """Every photo and class that occurs anywhere in the truth or the predictions."""
        there = {label for photo in self._photos for label in (*photo.human, *photo.predicted)}
        groups = {label: {label} for label in self.labels if label in there}
        colonies = set(self.labels) - self.background
        if self.background and colonies:
            groups[COLONIES] = colonies
        return [photo.cover(name, group) for photo in self._photos for name, group in groups.items()]


@dataclass(frozen=True, slots=True)
class _Photo:
    name: str
    human: tuple[str, ...]
    predicted: tuple[str, ...]
    shares: Mapping[str, float] | None

    def cover(self, name: str, group: Collection[str]) -> Cover:
        human, predicted = (
            100 * sum(label in group for label in side) / len(side) for side in (self.human, self.predicted)
        )
        whole = None if self.shares is None else 100 * sum(self.shares.get(label, 0.0) for label in group)
        return Cover(self.name, name, len(self.human), human, predicted, whole)


def labels_at(known: SemanticMap, xy_px: ArrayLike) -> list[str]:
    """The class of the pixel that each point lies in.

    Args:
        known: of the photo.
        xy_px: ``[N, 2]``; the right and the lower edge of the photo belong to its last pixels.

    Raises:
        ValueError: a point outside the photo, or a pixel that is "not known".
    """
    height, width = known.index.shape
    xy = np.asarray(xy_px, np.float64).reshape(-1, 2)
    outside = ~((xy >= 0) & (xy <= (width, height))).all(1)
    if outside.any():
        raise ValueError(f"point {tuple(xy[outside][0].tolist())} lies outside the photo of {width} x {height} px")
    columns, rows = np.minimum(np.floor(xy).astype(int), (width - 1, height - 1)).T
    numbers = known.index[rows, columns]
    if (numbers == SemanticMap.IGNORE).any():
        raise ValueError("the map knows no class at some of the points: expected one everywhere")
    return [known.labels[number] for number in numbers]


def map_shares(known: SemanticMap) -> dict[str, float]:
    """Share of each class in the known part of a map, 0..1."""
    counts = np.bincount(known.index.reshape(-1), minlength=256)[: len(known.labels)]
    return {label: float(part / max(counts.sum(), 1)) for label, part in zip(known.labels, counts, strict=True)}


def _by_label(cover: Sequence[Cover]) -> dict[str, float]:
    labels = dict.fromkeys(one.label for one in cover)
    return {
        label: float(np.mean([abs(one.predicted - one.human) for one in cover if one.label == label]))
        for label in labels
    }
