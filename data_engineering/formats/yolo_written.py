"""A YOLO data set in ultralytics' layout, written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from data_engineering.formats import folders, yolo_lines
from data_engineering.formats.collection import Collection
from data_engineering.formats.losses import Losses
from data_engineering.formats.yolo_lines import Classes, Task
from quadrat import files
from quadrat.drawn import DrawnPhoto, Labels, sublabels_of
from quadrat.drawn_labels import Seen

CONFIG = "data.yaml"
SPLITS: Mapping[str, Sequence[str]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Key of the configuration -> names of subsets that mean it, in lower case."""


def write(collection: Collection, out: str | Path, *, task: Task | None = None, copy_photos: bool = False) -> Losses:
    """Write a data set that ultralytics trains on, whole or not at all.

    A subset is a folder of ``images`` and of ``labels``; ``train``, ``val`` and ``test`` name those that are called so
    (ultralytics asks for the first two: where one is missing it names another). Holes and parts of an object are joined
    into its one ring by bridges of no width.

    Args:
        collection: what to write.
        out: a new folder.
        task: ``detect`` writes boxes, ``segment`` outlines, ``pose`` skeletons: a YOLO data set has one kind only.
            Default: that of which there is something, outlines first.
        copy_photos: copy the photos instead of linking them.

    Returns:
        A count of what had no place.

    Raises:
        FormatError: `out` is a folder with something in it, or a photo's name leads out of it.
        ValueError: an unknown task.
    """
    if task not in (None, "detect", "segment", "pose"):
        raise ValueError(f"task {task!r}: expected detect, segment or pose")
    out, losses, photos = Path(out), Losses(), list(collection.photos)
    task = task or yolo_lines.task_of([one for photo in photos for one in photo.drawn])
    classes = _classes(collection.labels, photos, task, losses)
    subsets = _subsets(photos)
    with folders.new_folder(out) as draft:
        for photo, name in zip(photos, _names(photos, subsets, out, losses), strict=True):
            losses.of_photo(photo, ("subset",))
            lines = yolo_lines.written(photo.drawn, photo.size_wh, task, classes, losses)
            label = PurePosixPath("labels", subsets[id(photo)], name).with_suffix(".txt")
            files.write_text(draft / label, "".join(f"{line}\n" for line in lines))
            if photo.path is None:
                losses.add("photo's file")
            else:
                folders.place(photo.path, draft / "images" / subsets[id(photo)] / name, copy=copy_photos)
        config = _config(classes, dict.fromkeys(subsets[id(photo)] for photo in photos))
        files.write_text(draft / CONFIG, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    return losses


def _classes(labels: Labels, photos: Sequence[DrawnPhoto], task: Task, losses: Losses) -> Classes:
    losses.add("label's colour", sum("color" in label for label in labels))
    losses.add("label's definition of an attribute", sum(len(label.get("attributes") or ()) for label in labels))
    defined = Seen(labels).of(photos)
    points = {name: tuple(names) for name, names in sublabels_of(defined).items()}
    if task != "pose":
        others = {one.label for photo in photos for one in photo.drawn if one.kind != "skeleton"}
        return Classes(tuple(str(one["name"]) for one in defined if one["name"] not in points.keys() - others))
    return Classes(tuple(points), (max(map(len, points.values()), default=1), 3), points)


def _subsets(photos: Sequence[DrawnPhoto]) -> dict[int, str]:
    """The folder of each photo, by the photo's identity; empty for all where none is in a subset."""
    told = {id(photo): str(photo.facts.get("cvat_subset") or "").replace("/", "_") for photo in photos}
    return {key: subset or "train" for key, subset in told.items()} if any(told.values()) else told


def _names(photos: Sequence[DrawnPhoto], subsets: Mapping[int, str], out: Path, losses: Losses) -> Iterator[str]:
    """Names within a subset that differ in more than their suffix, since ``a.jpg`` and ``a.png`` share ``a.txt``."""
    taken: set[tuple[str, str]] = set()
    for photo in photos:
        name = PurePosixPath(folders.safe_name(photo.name, out))
        stems = (name, *(name.with_name(f"{name.stem}-{number}{name.suffix}") for number in range(2, len(photos) + 2)))
        subset = subsets[id(photo)]
        chosen = next(stem for stem in stems if (subset, str(stem.with_suffix(""))) not in taken)
        taken.add((subset, str(chosen.with_suffix(""))))
        losses.add("photo's name", int(chosen != name))
        yield chosen.as_posix()


def _config(classes: Classes, subsets: Mapping[str, Any]) -> dict[str, Any]:
    places: dict[str, list[str]] = {}
    for subset in subsets:
        key = next((key for key, names in SPLITS.items() if subset.lower() in names), subset or "train")
        places.setdefault(key, []).append(f"images/{subset}" if subset else "images")
    some = next(iter(places.values()), ["images"])
    places = {"train": some, **places}
    places.setdefault("val", places["train"])
    config: dict[str, Any] = {key: value[0] if len(value) == 1 else value for key, value in places.items()}
    config["names"] = dict(enumerate(classes.names))
    if classes.kpt_shape:
        config["kpt_shape"] = list(classes.kpt_shape)
        config["kpt_names"] = {number: list(classes.points[name]) for number, name in enumerate(classes.names)}
    return config
