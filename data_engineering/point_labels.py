"""Points that people set in photos, each with its class: from a CoralNet table or from FiftyOne keypoints.

Both become annotations with one `Keypoints` a class and photo, whose points are what is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_engineering import coralnet
from data_engineering.coralnet import Point
from data_engineering.match import MatchError, Photos
from data_engineering.training_folder import Sample
from quadrat import images
from quadrat.shapes import Annotations, Keypoints


@dataclass(frozen=True)
class PointSource:
    """Where photos with points come from, exactly one of them.

    Attributes:
        table: CoralNet's, with the folders of its photos; or
        photos: those folders.
        fiftyone: the name of a FiftyOne dataset, with its field of keypoints; the label of a keypoint, of one or many
            points, is the class of its points.
        field: that field.

    Raises:
        ValueError: not exactly one source, or half of one.
    """

    table: Path | None = None
    photos: Sequence[Path] = ()
    fiftyone: str | None = None
    field: str | None = None

    def __post_init__(self) -> None:
        coralnet_given, fiftyone_given = (bool(self.table), bool(self.photos)), (bool(self.fiftyone), bool(self.field))
        if {coralnet_given, fiftyone_given} != {(True, True), (False, False)}:
            raise ValueError(
                "expected one source of points: a CoralNet table with the folders of its photos (--coralnet CSV "
                "--photos DIR), or a FiftyOne dataset with its field of keypoints (--fiftyone NAME --points FIELD)"
            )

    @property
    def words(self) -> str:
        """What a network trained on this has seen."""
        if self.table:
            return f"CoralNet points of {self.table.resolve().parent.name}/{self.table.name}"
        return f"points {self.field} of FiftyOne dataset {self.fiftyone}"

    def samples(self, progress: str = "prepare") -> Iterator[Sample]:
        """Every photo with what gives its points, behind a progress bar of this name.

        Raises:
            ValueError: no such table, dataset or field. What is wrong with a photo is raised by what gives its points.
        """
        found = (
            list(_coralnet(self.table, self.photos)) if self.table else _fiftyone(str(self.fiftyone), str(self.field))
        )
        return iter(tqdm(found, desc=progress, unit="photo"))

    def names(self) -> list[str]:
        """The names of the photos whose points can be read."""
        return [photo.name for photo, _ in self._read("list")]

    def counts(self) -> Counter[str]:
        """Number of points a label, in all photos whose points can be read."""
        found = Counter[str]()
        for _, known in self._read("count"):
            found.update({shape.label: len(shape.names) for shape in known.keypoints})
        return found

    def _read(self, progress: str) -> Iterator[tuple[Path, Annotations]]:
        for photo, load in self.samples(progress):
            try:
                yield photo, load()
            except (ValueError, KeyError, OSError):
                continue  # whoever prepares the photo says why


def to_annotations(photo: str, size_wh: tuple[int, int], points: Iterable[Point], **meta: object) -> Annotations:
    """Points of a photo as its annotations: one `Keypoints` a label; those without a label are left out.

    Args:
        photo: file name.
        size_wh: of the photo in px.
        points: of the photo.
        meta: facts about the photo.

    Raises:
        ValueError: a point lies outside of the photo; or none has a label.
    """
    by_label: dict[str, list[tuple[float, float]]] = {}
    width, height = size_wh
    for point in points:
        if not (point.x_px < width and point.y_px < height):
            raise ValueError(
                f"a point lies at x {point.x_px:g}, y {point.y_px:g}, outside of the photo of {width} x {height} px: "
                "expected points of this photo, and of this size of it"
            )
        if point.label:
            by_label.setdefault(point.label, []).append((point.x_px, point.y_px))
    if not by_label:
        raise ValueError("no point of this photo has a label")
    shapes = [
        Keypoints(label, tuple(str(k + 1) for k in range(len(xy))), np.array(xy)) for label, xy in by_label.items()
    ]
    return Annotations(photo, size_wh, tuple(shapes), meta)


def _coralnet(table: Path, folders: Sequence[Path]) -> Iterator[Sample]:
    points = coralnet.read(table)
    if not points:
        raise ValueError(f"{table} has no points: expected lines below its first one")
    photos = Photos(str(photo.resolve()) for folder in folders for photo in images.list_photos(folder))
    named: dict[Path, str] = {}
    for name, of_photo in points.items():
        try:
            photo = Path(photos.find(name))
            if photo in named:
                raise MatchError(f"{photo.name} is {named[photo]!r} in the table already: expected one name a photo")
        except MatchError as error:
            yield Path(name), _failing(error)
            continue
        named[photo] = name
        yield photo, lambda photo=photo, points=of_photo: to_annotations(photo.name, images.read_size_wh(photo), points)
    for unnamed in sorted({Path(path) for path in photos.paths} - set(named)):
        yield unnamed, _failing(ValueError(f"{table.name} has no point of this photo"))


def _failing(error: ValueError) -> Callable[[], Annotations]:
    def load() -> Annotations:
        raise error

    return load


def _fiftyone(name: str, field: str) -> Iterator[Sample]:
    from data_engineering import dataset
    from data_engineering.labels import fo

    there = dataset.load(name)
    schema = there.get_field_schema(embedded_doc_type=fo.Keypoints)
    if field not in schema:
        raise ValueError(
            f"dataset {name!r} has no field {field!r} of keypoints (there are: {', '.join(schema) or 'none'})"
        )
    for sample in there.iter_samples():
        yield Path(sample.filepath), lambda sample=sample: _of_sample(sample, field)


def _of_sample(sample: Any, field: str) -> Annotations:
    from data_engineering import dataset

    width, height = size_wh = dataset.size_of(sample)
    points = [
        Point(x * width, y * height, str(keypoint.label or ""))
        for keypoint in (sample[field].keypoints if sample[field] else ())
        for x, y in keypoint.points
        if np.isfinite([x, y]).all()
    ]
    return to_annotations(Path(sample.filepath).name, size_wh, points, tags=list(sample.tags))
