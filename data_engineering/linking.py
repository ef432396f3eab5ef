"""Photos on their way into a training folder: read whole, named distinctly, linked instead of copied."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from quadrat import images
from quadrat.shapes import Annotations


def read_checked(photo: Path, annotations: Annotations) -> images.Rgb:
    """The photo, uint8 ``[H, W, 3]``, if it can be read whole and is as large as its annotations say.

    Raises:
        ValueError: it cannot, or is of another size.
    """
    image_rgb = images.read(photo)
    height, width = image_rgb.shape[:2]
    if (width, height) != annotations.size_wh:
        raise ValueError(f"the photo is {width} x {height} px, its annotations are for {annotations.size_wh}")
    return image_rgb


def link(photo: Path, target: Path) -> None:
    """Link `photo`: symbolic, else hard, else a copy. A JPEG without end marker is copied whole.

    ultralytics mends such a file in place, and some of its versions would write through the link into the original.
    """
    if photo.suffix.lower() in {".jpg", ".jpeg"} and not _ends_well(photo):
        images.write(target, images.read(photo))
        return
    for method in (os.symlink, os.link, shutil.copyfile):
        try:
            method(photo, target)
            return
        except OSError as error:
            failure = error
    raise failure


def _ends_well(jpeg: Path) -> bool:
    with jpeg.open("rb") as file:
        file.seek(-2, os.SEEK_END)
        return file.read() == b"\xff\xd9"


def distinct_stem(photo: Path, taken: set[str]) -> str:
    """The photo's name without suffix, with a few letters more where another folder had it; is added to `taken`."""
    stem = photo.stem
    if stem in taken:
        stem = f"{stem}-{hashlib.sha256(str(photo).encode()).hexdigest()[:8]}"
    taken.add(stem)
    return stem
