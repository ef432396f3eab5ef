"""YOLO-pose: a folder of label files, one a photo, one line an object, all in shares of the photo.

    labels/a.txt: <class> <centre x> <centre y> <width> <height> <x1> <y1> <visibility1> <x2> ...
    dataset.yaml: names: {0: grid}, kpt_shape: [117, 3], kpt_names: {0: ["1", "2", ...]}

A label file belongs to the photo of its name in ``images/``, which tells the size in px. Scores and attributes have no
place in it, and neither have points outside the photo: they become hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from quadrat import files, images
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Annotations, Keypoints

DATASET = "dataset.yaml"
_SPLITS = ("train", "val")  # without them ultralytics refuses the file


def write(folder: str | Path, photos: Iterable[Annotations]) -> None:
    """Write ``labels/*.txt`` and ``dataset.yaml``; put or link the photos into ``images/`` beside them to train.

    Args:
        folder: gets the files; each is whole or not there at all.
        photos: their keypoints are written, instances have no place. A photo without any gets an empty file. Of two
            photos whose names differ in the suffix alone, the second keeps it: ``a.png.txt``.

    Raises:
        ValueError: labels differ in the number of their points, or one label has different names of points.
    """
    photos, folder = list(photos), Path(folder)
    points = _points_of(photos)
    classes = sorted(points)
    for photo, name in zip(photos, files.distinct_names(PurePath(photo.image) for photo in photos), strict=True):
        lines = [_line(shape, classes.index(shape.label), photo.size_wh) for shape in photo.keypoints]
        files.write_text(folder / "labels" / f"{name}.txt", "".join(f"{line}\n" for line in lines))
    dataset: dict[str, Any] = {**dict.fromkeys(_SPLITS, "images"), "names": dict(enumerate(classes))}
    if classes:
        dataset["kpt_shape"] = [len(points[classes[0]]), 3]
        dataset["kpt_names"] = {number: list(points[label]) for number, label in enumerate(classes)}
    files.write_text(folder / DATASET, yaml.safe_dump(dataset, sort_keys=False, allow_unicode=True))


def _points_of(photos: Sequence[Annotations]) -> dict[str, tuple[str, ...]]:
    points: dict[str, tuple[str, ...]] = {}
    for shape in (shape for photo in photos for shape in photo.keypoints):
        if points.setdefault(shape.label, shape.names) != shape.names:
            raise ValueError(f"keypoints {shape.label!r} have points of different names: expected the same in all")
    if len({len(names) for names in points.values()}) > 1:
        counts = {label: len(names) for label, names in points.items()}
        raise ValueError(f"keypoints have {counts} points: expected one number, write each label to its own folder")
    return points


def _line(shape: Keypoints, number: int, size_wh: tuple[int, int]) -> str:
    share = shape.xy_px / size_wh
    inside = ((share >= 0) & (share <= 1)).all(axis=1)
    seen = np.where(inside, np.asarray(shape.visibility), HIDDEN)
    share = np.where((seen != HIDDEN)[:, None], share, 0.0)
    known = share[seen != HIDDEN] if (seen != HIDDEN).any() else np.zeros((1, 2))
    low, high = known.min(axis=0), known.max(axis=0)
    box = [*(low + high) / 2, *high - low]
    rows = (f"{x:.8f} {y:.8f} {flag}" for (x, y), flag in zip(share, seen, strict=True))
    return " ".join([str(number), *(f"{value:.8f}" for value in box), *rows])


# ---------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class _Dataset:
    """Label and names of points of every class, and how many numbers a point has."""

    classes: tuple[tuple[str, tuple[str, ...]], ...]
    per_point: int


def read(source: str | Path, photos: str | Path | None = None) -> list[Annotations]:
    """Read all label files of a folder, in the order of their names.

    The photo of ``labels/train/a.txt`` is ``images/train/a.*``, that of ``train/labels/a.txt`` is
    ``train/images/a.*``: as ultralytics looks for it.

    Args:
        source: the YAML file of the dataset, or the folder with it.
        photos: where the photos lie in the same folders as the label files under ``labels``; default: as above.

    Raises:
        ValueError: a file cannot be read or has no photo; the message begins with its path.
    """
    path = _yaml_of(Path(source))
    try:
        dataset = _dataset(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: not of a readable YOLO-pose dataset ({type(error).__name__}: {error})") from error
    root = path.parent
    labels = sorted(file for file in root.rglob("*.txt") if "labels" in file.relative_to(root).parts[:-1])
    return [_read_photo(file, root, Path(photos) if photos else None, dataset) for file in labels]


def _yaml_of(source: Path) -> Path:
    if not source.is_dir():
        return source
    found = next((path for path in (source / DATASET, source / "data.yaml") if path.is_file()), None)
    if found is None:
        raise ValueError(f"{source}: neither {DATASET} nor data.yaml in it: give the path of the dataset's YAML file")
    return found


def _dataset(raw: Mapping[str, Any]) -> _Dataset:
    names, told = raw["names"], raw.get("kpt_names") or {}
    count, per_point = raw["kpt_shape"] if names else (0, 3)
    labels = [str(names[number]) for number in range(len(names))]
    points = [tuple(map(str, told.get(number) or range(1, count + 1))) for number in range(len(labels))]
    return _Dataset(tuple(zip(labels, points, strict=True)), int(per_point))


def _read_photo(path: Path, root: Path, photos: Path | None, dataset: _Dataset) -> Annotations:
    try:
        photo, name = _photo_of(path, root, photos)
        size_wh = images.read_size_wh(photo)
        lines = path.read_text("utf-8").splitlines()
        shapes = tuple(_read_line(line.split(), dataset, size_wh) for line in lines if line.strip())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable YOLO-pose label file ({error})") from error
    return Annotations(name, size_wh, shapes)


def _read_line(values: Sequence[str], dataset: _Dataset, size_wh: tuple[int, int]) -> Keypoints:
    number = int(values[0])
    if not 0 <= number < len(dataset.classes):
        raise ValueError(f"class {number} has no name: expected below {len(dataset.classes)}")
    label, names = dataset.classes[number]
    expected = 5 + dataset.per_point * len(names)
    if len(values) != expected:
        raise ValueError(f"a line of {label!r} has {len(values)} numbers: expected {expected}")
    points = np.array(values[5:], np.float64).reshape(len(names), dataset.per_point)
    return Keypoints(label, names, points[:, :2] * size_wh, _visibility(points))


def _visibility(points: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Third number of each point; without one, what lies at 0, 0 is not there, as ultralytics takes it."""
    if points.shape[1] > 2:
        if not np.isin(points[:, 2], (HIDDEN, OCCLUDED, VISIBLE)).all():
            raise ValueError(f"visibility is {np.unique(points[:, 2]).tolist()}: expected 0, 1 or 2")
        return np.asarray(points[:, 2], np.uint8)
    return np.where((points == 0).all(axis=1), HIDDEN, VISIBLE).astype(np.uint8)


def _photo_of(path: Path, root: Path, photos: Path | None) -> tuple[Path, str]:
    """The photo of a label file, and its name relative to the folder of photos."""
    parts = path.relative_to(root).parts
    at = len(parts) - 1 - parts[::-1].index("labels")
    folder = photos or root.joinpath(*parts[:at], "images")
    near = folder.joinpath(*parts[at + 1 :]).with_suffix("")
    suffixes = ("", *images.IMAGE_SUFFIXES, *(suffix.upper() for suffix in images.IMAGE_SUFFIXES))
    found = next((c for c in (near.with_name(f"{near.name}{suffix}") for suffix in suffixes) if c.is_file()), None)
    if found is None:
        raise ValueError(f"there is no photo {near}.*, which tells its size in px")
    return found, found.relative_to(folder).as_posix()
