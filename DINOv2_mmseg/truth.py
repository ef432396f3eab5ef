"""What is known of the photos that weights are measured on: class maps, colonies, or points.

The truth of a rendered folder or of a FiftyOne dataset becomes classes by the rules of `DINOv2_mmseg.class_maps`, at
the taxonomy level of the weights. Classes that differ are named side by side and refused before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from DINOv2_mmseg import class_maps
from DINOv2_mmseg import folder as prepared
from DINOv2_mmseg.class_maps import Classes, Index, UnknownLabels
from DINOv2_mmseg.folder import BACKGROUND, LabelledPoint
from quadrat import images
from quadrat.formats import shapes_json
from quadrat.shapes import Annotations, Instance

SizeWh = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The truth of one photo; `None` where that kind of truth is not known.

    Attributes:
        index: uint8 ``[H, W]`` of class numbers, 255 where not known.
        colonies: with the names of the weights' classes.
        points: x and y in px, and the class.
    """

    index: Index | None = None
    colonies: tuple[Instance, ...] | None = None
    points: tuple[LabelledPoint, ...] | None = None


Load = Callable[[SizeWh], Known]
"""Gives the truth of a photo of that size in px; a `ValueError` says that it is for another size."""


@dataclass(frozen=True)
class Samples:
    """Photos with what gives their truth.

    Attributes:
        each: gives them, anew at every call.
        total: how many they are.
        kind: ``dense``, ``points``, or ``colonies`` (dense, and the colonies are known one by one).
    """

    each: Callable[[], Iterable[tuple[Path, Load]]]
    total: int
    kind: str

    def evenly(self, limit: int) -> Samples:
        """So many of them, evenly taken; all for 0."""
        if not 0 < limit < self.total:
            return self
        step = (self.total - 1) / max(limit - 1, 1)
        chosen = {round(number * step) for number in range(limit)}

        def few() -> Iterator[tuple[Path, Load]]:
            yield from (sample for place, sample in enumerate(self.each()) if place in chosen)

        return Samples(few, len(chosen), self.kind)


def of_prepared(data: Path, split: str, labels: Sequence[str]) -> Samples:
    """The photos of a split of a prepared folder.

    Args:
        data: the folder.
        split: train, val or test.
        labels: classes of the weights.

    Raises:
        ValueError: no prepared folder, other classes, or no photo in the split.
    """
    manifest = prepared.read(data)
    check_classes("weights", labels, str(data), manifest.labels)
    pairs = prepared.pairs(data, split)
    points = prepared.points(data, split) if manifest.kind == "points" else {}
    if manifest.kind == "points":
        pairs = [pair for pair in pairs if points.get(pair[0].stem)]
    if not pairs:
        raise ValueError(
            f"{data} has no photo{' with points' * bool(points)} in split {split!r} ({manifest.photos}): "
            "choose another --split"
        )

    def load(photo: Path, label: Path) -> Load:
        if manifest.kind == "points":
            return lambda _: Known(points=tuple(points[photo.stem]))
        return lambda size_wh: Known(index=_of_size(prepared.read_label(label), size_wh))

    return Samples(lambda: ((photo, load(photo, label)) for photo, label in pairs), len(pairs), manifest.kind)


def of_rendered(folder: Path, classes: Classes) -> Samples:
    """The photos of a folder of `data_engineering.render`, or of its ``rectified``.

    Raises:
        ValueError: there is no truth, or its labels are none of the classes.
    """
    truths = sorted((folder / "truth").glob("*.json"))
    if not truths:
        raise ValueError(
            f"{folder / 'truth'} holds no *.json: expected a folder of `python -m data_engineering.render`"
        )
    photos = {photo.stem: photo for photo in images.list_photos(folder / "photos")}
    found = {colony.label for truth in truths for colony in shapes_json.read(truth).instances}
    check_labels(classes, found, str(folder))

    def each() -> Iterator[tuple[Path, Load]]:
        for truth in truths:
            photo = photos.get(truth.stem, folder / "photos" / f"{truth.stem}.jpg")
            yield photo, _load_colonies(lambda truth=truth: shapes_json.read(truth), classes)

    return Samples(each, len(truths), "colonies")


def of_fiftyone(name: str, classes: Classes) -> Samples:
    """The photos of a FiftyOne dataset.

    Raises:
        ValueError: there is no such dataset, it is empty, or its labels are none of the classes.
    """
    from data_engineering import dataset, segmentations

    total = len(dataset.load(name))
    if not total:
        raise ValueError(f"dataset {name!r} has no photo")
    check_labels(classes, segmentations.labels_of(name), f"dataset {name}")

    def each() -> Iterator[tuple[Path, Load]]:
        for photo, known in dataset.iter_annotations(name):
            yield photo, _load_colonies(lambda known=known: known, classes)

    return Samples(each, total, "colonies")


def _load_colonies(read: Callable[[], Annotations], classes: Classes) -> Load:
    def load(size_wh: SizeWh) -> Known:
        known = read()
        if known.size_wh != size_wh:
            raise ValueError(f"the photo is {size_wh} px, its truth is for {known.size_wh}")
        numbers = {colony.label: classes.index_of(colony.label) for colony in known.instances}
        colonies = (
            replace(colony, label=classes.labels[numbers[colony.label]])
            for colony in known.instances
            if numbers[colony.label] != prepared.IGNORE
        )
        return Known(class_maps.draw(known, classes).index, tuple(colonies))

    return load


def _of_size(index: Index, size_wh: SizeWh) -> Index:
    if index.shape != size_wh[::-1]:
        raise ValueError(f"the photo is {size_wh} px, its label picture {index.shape[::-1]}")
    return index


# ---------------------------------------------------------------------------------------------- classes


def classes_at_level(
    labels: Sequence[str], level: str | None = None, unknown: str = "refuse", ignore: Collection[str] = ()
) -> Classes:
    """What the labels of genera mean to weights.

    Args:
        labels: classes of the weights: the background, and all or some names of a taxonomy level.
        level: of the taxonomy; `None`: the one that these names are of.
        unknown: what becomes of labels that are no class, see `class_maps.Classes`.
        ignore: labels whose pixels are not known.

    Raises:
        ValueError: the weights' classes are not of the level; both are named side by side.
    """
    from data_engineering import taxonomy

    levels = taxonomy.load().levels
    fits = [one for one in levels if set(labels) <= {BACKGROUND, *taxonomy.labels(one)}]
    exact = [one for one in fits if len(labels) == 1 + len(taxonomy.labels(one))]
    chosen = level or next(iter([*exact, *fits]), None)
    if chosen is None or chosen not in fits or BACKGROUND not in labels:
        nearest = level or max(levels, key=lambda one: len(set(labels) & set(taxonomy.labels(one))))
        check_classes("weights", labels, f"level {nearest}", (BACKGROUND, *taxonomy.labels(nearest)))
    known = set(taxonomy.labels(str(chosen)))

    def to_class(label: str) -> str:
        return label if label in known else taxonomy.to_level(label, str(chosen))

    return Classes(tuple(labels), to_class, frozenset(ignore), unknown, to_class(class_maps.OTHER))


def check_classes(ours: str, labels: Sequence[str], theirs: str, other_labels: Sequence[str]) -> None:
    """Refuse classes that differ, or differ in order.

    Args:
        ours: whose `labels` are.
        labels: class names.
        theirs: whose `other_labels` are.
        other_labels: class names.

    Raises:
        ValueError: names both lists side by side.
    """
    if tuple(labels) == tuple(other_labels):
        return
    wide = max(len(name) for name in (ours, *labels)) + 2
    rows = [
        f"  {number:>3}  {a or '-':{wide}}{b or '-'}{'' if a == b else '   <- differs'}"
        for number, (a, b) in enumerate(zip_longest(labels, other_labels))
    ]
    head = f"       {ours:{wide}}{theirs}"
    raise ValueError(
        f"the classes of the {ours} and of {theirs} differ:\n{head}\n" + "\n".join(rows) + "\nprepare the data with "
        "the classes of the weights (--level, --classes), or choose other weights"
    )


def check_labels(classes: Classes, found: Iterable[str], where: str) -> None:
    """Refuse labels that are none of the classes.

    Raises:
        ValueError: names the labels beside the classes.
    """
    try:
        classes.check(found)
    except UnknownLabels as error:
        raise ValueError(f"{where} and the weights differ: {error}") from error
