"""YOLO data sets, as ultralytics lays them out and CVAT exports them, and those of darknet ("YOLO 1.1").

    data.yaml: names, train, val, test (folders of photos, or lists of them), kpt_shape and kpt_names for skeletons
    images/train/a.jpg, labels/train/a.txt      or train/images/a.jpg, train/labels/a.txt
    obj.names, obj.data, train.txt, obj_train_data/a.txt beside a.jpg    (darknet)

A label file has a line for each object (`yolo_lines`) in shares of the photo, so that photos are needed to read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from data_engineering.formats import folders, yolo_lines
from data_engineering.formats.collection import Collection, FormatError
from data_engineering.formats.yolo_lines import Classes
from data_engineering.formats.yolo_written import CONFIG, SPLITS, write
from quadrat import images
from quadrat.drawn import Drawn, DrawnPhoto
from quadrat.drawn_labels import Seen

__all__ = ["read", "write"]

_NOT_SPLITS = {"path", "names", "nc", "kpt_shape", "kpt_names", "flip_idx", "download", "channels", "yaml_file", "task"}

# ---------------------------------------------------------------------------------------------- reading


def read(path: str | Path, *, photos: Sequence[Path] = (), extract_to: Path | None = None) -> Collection:
    """Read a data set: boxes, polygons and skeletons, whatever its lines say.

    Args:
        path: its YAML file, its folder, or a zip of that.
        photos: folders with the photos, where they are not in the data set (CVAT's export without images).
        extract_to: folder for what a zip holds; without it a photo inside a zip has no path.

    Returns:
        Photos by split and name, with the fact ``cvat_subset``; a line that could not be read is in `problems`.

    Raises:
        FormatError: a file is damaged, or a photo is not there; the message names the file and what is wrong in it.
    """
    path = Path(path)
    with folders.unpacked(path, extract_to, with_photos=True) as tree:
        classes, items = _layout(tree.root, path)
        if not items:
            raise FormatError(f"{path}: no photo and no label file in it: expected YOLO's images and labels")
        finder = folders.Finder(photos, [], path)
        sized = _sized(items, finder, path)
        found = tree.settled(_read_photo(item, *sized[item.name, item.labels], classes) for item in items)
    return Collection(found, Seen(names=classes.names, points=classes.points).of(found), path.stem)


@dataclass(frozen=True)
class _Item:
    """A photo of the data set: its name, split and label file, and its own file where that is there."""

    name: str
    subset: str
    labels: Path
    photo: Path | None


def _layout(root: Path, source: Path) -> tuple[Classes, list[_Item]]:
    if root.is_file():
        return _ultralytics(root, source)
    yamls = [root / name for name in (CONFIG, "dataset.yaml") if (root / name).is_file()] or sorted(root.glob("*.y*ml"))
    if len(yamls) == 1 or (yamls and yamls[0].name == CONFIG):
        return _ultralytics(yamls[0], source)
    if (root / "obj.names").is_file():
        return _darknet(root, source)
    raise FormatError(f"{source}: neither {CONFIG} nor obj.names in it: give its YAML file or its folder")


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{file.name}: cannot be read as text ({error}): export it again") from error


def _ultralytics(config: Path, source: Path) -> tuple[Classes, list[_Item]]:
    where = source if source.is_file() and source.suffix != ".zip" else f"{source}/{config.name}"
    try:
        raw = yaml.safe_load(_text(config))
        classes = _classes(raw)
    except (yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        raise FormatError(f"{where}: no configuration of YOLO ({error}): expected names: {{0: name}}") from error
    base = config.parent / str(raw.get("path") or ".")
    bases = [folder for folder in (base, config.parent) if folder.is_dir()]
    items: dict[Path, _Item] = {}
    for key, value in raw.items():
        entries = value if isinstance(value, list) else [value]
        if key in _NOT_SPLITS or not all(isinstance(entry, str) and entry for entry in entries):
            continue
        for entry in entries:
            found = _entry(key, entry, bases)
            if found is None and key in ("train", "val"):
                raise FormatError(f"{where}: {key}: no folder or list {entry!r}: put it there, or take the line out")
            for item in found or ():
                items.setdefault(item.labels, item)
    return classes, sorted(items.values(), key=lambda item: (item.subset, item.name))


def _classes(raw: Mapping[str, Any]) -> Classes:
    named = raw["names"]
    names = tuple(map(str, named if isinstance(named, list) else (named[number] for number in range(len(named)))))
    if not raw.get("kpt_shape"):
        return Classes(names)
    count, per_point = (int(v) for v in raw["kpt_shape"])
    told = raw.get("kpt_names") or {}
    known = {name: told.get(number) if isinstance(told, dict) else told for number, name in enumerate(names)}
    points = {name: tuple(map(str, known[name] or range(1, count + 1)))[:count] for name in names}
    return Classes(names, (count, per_point), points)


def _entry(key: str, entry: str, bases: Sequence[Path]) -> list[_Item] | None:
    """The photos of a split; `None` where neither folder nor list is there."""
    for base in bases:
        for place in (base / entry, base / entry.removeprefix("../")):
            labels = _labels_folder(place)
            if place.is_file():
                return list(_listed(key, place, [*bases, place.parent]))
            if place.is_dir() or (labels != place and labels.is_dir()):
                return list(_in_folder(key, place, labels))
    return None


def _labels_folder(folder: Path) -> Path:
    """``labels`` for the last ``images`` of a path, as ultralytics looks for it."""
    parts = list(folder.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def _in_folder(key: str, folder: Path, labels: Path) -> Iterator[_Item]:
    subset = _subset(key, folder)
    there: set[Path] = set()
    for photo in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if photo.suffix.lower() in images.IMAGE_SUFFIXES and not photo.name.startswith("."):
            inside = photo.relative_to(folder)
            there.add(labels / inside.with_suffix(".txt"))
            yield _Item(inside.as_posix(), subset, labels / inside.with_suffix(".txt"), photo)
    for file in sorted(labels.rglob("*.txt")) if labels != folder else ():
        if file not in there:
            yield _Item(file.relative_to(labels).with_suffix("").as_posix(), subset, file, None)


def _subset(key: str, folder: Path) -> str:
    """``train`` for ``images/train`` and ``train/images``; one folder ``images`` for all says nothing of splits."""
    if folder.parent.name == "images":
        return folder.name
    named = {name for names in SPLITS.values() for name in names}
    return "" if folder.name == "images" and folder.parent.name.lower() not in named else key


def _listed(key: str, file: Path, bases: Sequence[Path]) -> Iterator[_Item]:
    for line in _text(file).splitlines():
        if not line.strip():
            continue
        told = PurePosixPath(line.strip().replace("\\", "/"))
        choices = [told, PurePosixPath(*told.parts[1:])] if told.parts[0] == "data" else [told]
        placed = [base / choice for base in bases for choice in choices]
        photo = next((place for place in placed if place.is_file()), None)
        beside = [_labels_folder(place).with_suffix(".txt") for place in ([photo] if photo else placed)]
        labels = next((place for place in beside if place.is_file()), beside[0])
        yield _Item(_name(told, key), key, labels, photo)


def _name(told: PurePosixPath, key: str) -> str:
    parts = list(told.parts)
    if "images" in parts[:-1]:
        parts = parts[len(parts) - parts[::-1].index("images") :]
        parts = parts[1:] if len(parts) > 1 and parts[0].lower() == key.lower() else parts
    else:
        at = next((k for k, part in enumerate(parts[:-1]) if part.startswith("obj_") and part.endswith("_data")), None)
        parts = parts[at + 1 :] if at is not None else parts[-1:]
    return "/".join(parts)


def _darknet(root: Path, source: Path) -> tuple[Classes, list[_Item]]:
    names = tuple(line.strip() for line in _text(root / "obj.names").splitlines() if line.strip())
    config = _text(root / "obj.data") if (root / "obj.data").is_file() else ""
    told = dict(line.split("=", 1) for line in config.splitlines() if "=" in line)
    lists = {key.strip(): value.strip().removeprefix("data/") for key, value in told.items()}
    splits = {key: name for key, name in lists.items() if name.endswith(".txt")} or {"train": "train.txt"}
    items: dict[Path, _Item] = {}
    for key, name in splits.items():
        if not (root / name).is_file():
            raise FormatError(f"{source}: no list of photos {name!r}, which obj.data names as {key}: put it there")
        for item in _listed(key, root / name, [root]):
            items.setdefault(item.labels, item)
    return Classes(names), list(items.values())


def _sized(
    items: Sequence[_Item], finder: folders.Finder, source: Path
) -> dict[tuple[str, Path], tuple[Path, tuple[int, int]]]:
    sought = finder.sized([item.name for item in items if item.photo is None])
    return {
        (item.name, item.labels): sought[item.name]
        if item.photo is None
        else (item.photo, folders.read_size(item.photo, source))
        for item in items
    }


def _read_photo(item: _Item, photo: Path, size_wh: tuple[int, int], classes: Classes) -> DrawnPhoto:
    drawn: list[Drawn] = []
    problems: list[str] = []
    group = 1
    lines = _text(item.labels).splitlines() if item.labels.is_file() else []
    name = item.name if PurePosixPath(item.name).suffix.lower() == photo.suffix.lower() else item.name + photo.suffix
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found = yolo_lines.read(line.split(), classes, size_wh, group)
        except (ValueError, OverflowError) as error:
            problems.append(f"{name}: line {number} of {item.labels.name} was left out: {error}: mend it.")
            continue
        group += len(found) > 1
        drawn += found
    facts = {"cvat_subset": item.subset} if item.subset else {}
    return DrawnPhoto(name, size_wh, tuple(drawn), photo, facts, tuple(problems))
