"""What a prepared folder of pairs is: photos without strings, and beside some of them the same photo with strings.

- ``clean/{train,val,test}/NAME.*``: links to photos without strings
- ``photos/{split}/NAME.*``, ``strings/{split}/NAME.png``: of rendered ones the same with strings, and 255 where one is
- ``truth/{split}/NAME.json``: their true points, for an evaluation (shapes JSON)
- ``manifest.json``: how the folder came to be
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quadrat import files, images

MODULE = "grid_inpainting"
FORMAT = "quadratseg-pairs"
SPLITS = ("train", "val", "test")
KINDS = ("clean", "photos", "strings", "truth")


@dataclass(frozen=True)
class Manifest:
    """How a prepared folder came to be.

    Attributes:
        trained_on: what a network trained on this folder has seen, in words; goes on its card.
        note: a sentence for its card; empty if none is needed.
        seed: of the split.
        photos: number of photos a split.
        with_strings: number of those that there are with strings too, a split.
        skipped: photos that were left out, with the reason.
    """

    trained_on: str
    note: str
    seed: int
    photos: dict[str, int]
    with_strings: dict[str, int]
    skipped: dict[str, str] = field(default_factory=dict)
    format: str = FORMAT
    module: str = MODULE


@dataclass(frozen=True, slots=True)
class Pair:
    """One photo without strings and, if it was rendered with strings, the same with them.

    Attributes:
        name: file stem in the folder.
        clean: the photo without strings.
        photo: the same with strings, of the same size; or
        strings: PNG, 255 where a string is (`read_mask`); with `photo` or not at all.
        truth: shapes JSON of the points, if they are known.
    """

    name: str
    clean: Path
    photo: Path | None = None
    strings: Path | None = None
    truth: Path | None = None


def write(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` into a folder whose photos are there."""
    files.write_json(folder / "manifest.json", asdict(manifest))


def read(folder: Path) -> Manifest:
    """Read the manifest of a prepared folder.

    Raises:
        ValueError: `folder` was not made by `python -m grid_inpainting.prepare`.
    """
    path = folder / "manifest.json"
    raw = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    known = {each.name for each in fields(Manifest)}
    if not isinstance(raw, dict) or set(raw) != known or raw["format"] != FORMAT:
        raise ValueError(f"{folder} is no prepared folder: make one with `python -m {MODULE}.prepare --out {folder}`")
    return Manifest(**raw)


def pairs(folder: Path, split: str) -> list[Pair]:
    """The photos of a split, by name. Paths as they lie in the folder (links are not followed).

    Raises:
        ValueError: `folder` was not made by `python -m grid_inpainting.prepare`, or there is no such split.
    """
    read(folder)
    if split not in SPLITS:
        raise ValueError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    photos, strings, truths = (_by_stem(folder / kind / split) for kind in KINDS[1:])
    return [
        Pair(name, clean, photos.get(name), strings.get(name), truths.get(name))
        for name, clean in sorted(_by_stem(folder / "clean" / split).items())
    ]


def of_rendered(folder: Path) -> list[Pair]:
    """The photos of a folder of `data_engineering.render`, or of its ``rectified``, all with photo, strings and truth.

    Raises:
        ValueError: it is no such folder.
    """
    photos, clean, strings = (_by_stem(folder / kind) for kind in ("photos", "clean", "strings"))
    truths = _by_stem(folder / "truth")
    names = sorted(set(truths) & set(photos) & set(clean) & set(strings))
    if not names:
        raise ValueError(
            f"{folder} holds no photos/, clean/, strings/ and truth/ of the same names: expected a folder of "
            "`python -m data_engineering.render`"
        )
    return [Pair(name, clean[name], photos[name], strings[name], truths[name]) for name in names]


def read_mask(path: Path, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask that belongs to a photo, bool ``[H, W]``, see `images.decode_mask`.

    Raises:
        ValueError: it cannot be read, or is of another size than the photo; the message begins with the path.
    """
    try:
        return images.decode_mask(path.read_bytes(), size_wh)
    except images.ImageError as error:
        raise images.ImageError(f"{path}: {error}") from error


def _by_stem(folder: Path) -> Mapping[str, Path]:
    there = folder.iterdir() if folder.is_dir() else ()
    return {path.stem: path for path in there if not path.name.startswith(".")}
