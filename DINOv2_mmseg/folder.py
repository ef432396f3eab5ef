"""What a prepared folder of class maps is: photos, an index picture of each, and how they came to be.

- ``{train,val,test}/data/NAME.jpg``: links to the photos
- ``{train,val,test}/labels/NAME.png``: the class of every pixel, as a palette picture; 255 is "not known"
- ``{train,val,test}/points/NAME.csv``: of a folder made from points, where people set them
- ``classes.txt``: the class names, in the order of the index
- ``manifest.yaml``: how the folder came to be
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from quadrat import files
from quadrat.formats.overlay import colour_rgb
from quadrat.shapes import SemanticMap

SPLITS = ("train", "val", "test")
KINDS = ("dense", "points")
BACKGROUND = "background"
"""Class 0 of a dense folder: every pixel that is no colony."""
IGNORE = SemanticMap.IGNORE

LabelledPoint = tuple[float, float, str]
"""x and y in px of the photo (the centre of the top-left pixel is 0.5, 0.5), and the class."""

_BACKGROUND_RGB, _IGNORE_RGB = (40, 40, 40), (128, 128, 128)
_POINT_COLUMNS = ("x_px", "y_px", "label")


@dataclass(frozen=True)
class Manifest:
    """How a prepared folder came to be.

    Attributes:
        labels: class names; the value ``i`` in a label picture means ``labels[i]``.
        background: those of `labels` that are no colonies.
        kind: ``dense``: every pixel has its class; ``points``: only the pixels at (or grown round) points have one.
        level: taxonomy level of the labels; empty for points, which have labels of their own.
        trained_on: what a network trained on this folder has seen, in words; goes on its card.
        note: a sentence for its card; empty if none is needed.
        seed: of the split.
        photos: number of photos a split.
        pixels: number of labelled pixels a class in ``train``, or in the one split of a folder for evaluation; for
            points, the number of points.
        skipped: photos that were left out, with the reason.
        ignored: labels whose pixels are "not known", with their number of colonies or points in all splits.

    Raises:
        ValueError: another kind, labels that repeat or are too many, a background that is none of them.
    """

    labels: tuple[str, ...]
    background: tuple[str, ...]
    kind: str
    level: str
    trained_on: str
    note: str
    seed: int
    photos: dict[str, int]
    pixels: dict[str, int]
    skipped: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r}: expected one of {', '.join(KINDS)}")
        if not self.labels or len(set(self.labels)) != len(self.labels) or len(self.labels) > IGNORE:
            raise ValueError(f"labels {list(self.labels)}: expected 1 to {IGNORE} distinct names")
        if strange := sorted(set(self.background) - set(self.labels)):
            raise ValueError(f"background {strange} is none of the labels {list(self.labels)}")


def write(folder: Path, manifest: Manifest) -> None:
    """Write ``classes.txt`` and ``manifest.yaml`` into a folder whose photos and labels are there."""
    raw = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(manifest).items()}
    files.write_text(folder / "classes.txt", "".join(f"{label}\n" for label in manifest.labels))
    files.write_text(folder / "manifest.yaml", yaml.safe_dump(raw, sort_keys=False, allow_unicode=True))


def read(folder: Path) -> Manifest:
    """Read the manifest of a prepared folder.

    Raises:
        ValueError: `folder` was not made by `python -m DINOv2_mmseg.prepare`, or its files contradict each other.
    """
    path = folder / "manifest.yaml"
    raw = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else None
    if not isinstance(raw, dict) or set(raw) != {f.name for f in fields(Manifest)}:
        raise ValueError(
            f"{folder} is no prepared folder: make one with `python -m DINOv2_mmseg.prepare --out {folder}`"
        )
    lists = {key: tuple(str(name) for name in raw[key]) for key in ("labels", "background")}
    manifest = Manifest(**{**raw, **lists})
    listed = tuple((folder / "classes.txt").read_text("utf-8").splitlines())
    if listed != manifest.labels:
        raise ValueError(
            f"{folder}: classes.txt has {list(listed)}, manifest.yaml {list(manifest.labels)}: expected one"
        )
    return manifest


def pairs(folder: Path, split: str) -> list[tuple[Path, Path]]:
    """The photos of a split with their label pictures, by name. Paths as they lie in the folder (links not followed).

    Raises:
        ValueError: there is no such split, or a photo has no label picture.
    """
    data = folder / split / "data"
    if not data.is_dir():
        raise ValueError(f"{folder} has no split {split!r}: expected one of {', '.join(SPLITS)}")
    found = [(photo, folder / split / "labels" / f"{photo.stem}.png") for photo in sorted(data.iterdir())]
    found = [(photo, label) for photo, label in found if not photo.name.startswith(".")]
    if missing := [photo.name for photo, label in found if not label.is_file()]:
        raise ValueError(f"{data}: no label picture of {', '.join(missing[:3])}: prepare the folder again")
    return found


def points(folder: Path, split: str) -> dict[str, list[LabelledPoint]]:
    """The points that people set in the photos of a split.

    Returns:
        By the photo's name without suffix; empty for a dense folder.

    Raises:
        ValueError: a file is not what `write_points` writes.
    """
    return {path.stem: _read_points(path) for path in sorted((folder / split / "points").glob("[!.]*.csv"))}


def check_can_train(manifest: Manifest) -> None:
    """Refuse a folder that a network cannot be trained on.

    Raises:
        ValueError: train or val is empty, or a class has no labelled pixel in train; the message names them.
    """
    if empty := [split for split in ("train", "val") if not manifest.photos.get(split)]:
        raise ValueError(
            f"no photo in {' and '.join(empty)} (photos {manifest.photos}): prepare the folder with more photos, "
            "other shares --val and --test, or the tags train and val"
        )
    if absent := [label for label in manifest.labels if not manifest.pixels.get(label)]:
        unit = "point" if manifest.kind == "points" else "pixel"
        fix = "--min-points" if manifest.kind == "points" else "a coarser --level"
        raise ValueError(
            f"no {unit} in train of the classes {', '.join(absent)}: prepare the folder with more photos, {fix}, or "
            "--classes without them"
        )


def palette(labels: Sequence[str]) -> bytes:
    """256 colours as RGB bytes: of each label as CVAT and the overlays show it, dark for `BACKGROUND`, else gray."""
    colours = [_BACKGROUND_RGB if label == BACKGROUND else colour_rgb(label) for label in labels]
    return bytes(channel for rgb in colours + [_IGNORE_RGB] * (256 - len(colours)) for channel in rgb)


def encode_label(index: NDArray[np.uint8], labels: Sequence[str]) -> bytes:
    """A label picture as a PNG with palette: any viewer shows the classes in their colours.

    Args:
        index: uint8 ``[H, W]``; 255 is "not known".
        labels: class names, for the colours.

    Raises:
        ValueError: `index` is of another type, or holds a value that names no class.
    """
    picture = Image.fromarray(SemanticMap(tuple(labels), index).index)
    picture.putpalette(palette(labels))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def read_label(path: Path) -> NDArray[np.uint8]:
    """The classes of a photo's pixels: uint8 ``[H, W]``, 255 where not known.

    Raises:
        ValueError: no label picture, or a damaged one.
    """
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.mode in ("P", "L"):
                return np.array(picture, np.uint8)
            mode = picture.mode
    except (OSError, ImportError) as error:  # ultralytics has Pillow ask for a HEIF reader where it knows no format
        raise ValueError(f"{path}: not a readable label picture ({error})") from error
    raise ValueError(f"{path} has the mode {mode}: expected a palette (P) or gray (L) PNG of class numbers")


def write_points(path: Path, found: Iterable[LabelledPoint]) -> None:
    """Write the points of a photo, see `points`."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerows([_POINT_COLUMNS, *found])
    files.write_text(path, text.getvalue())


def _read_points(path: Path) -> list[LabelledPoint]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if tuple(header) != _POINT_COLUMNS:
        raise ValueError(f"{path}: its first line is {header}: expected {','.join(_POINT_COLUMNS)}")
    try:
        return [(float(x), float(y), label) for x, y, label in rows]
    except ValueError as error:
        raise ValueError(f"{path}: expected two numbers and a label a line ({error})") from None
