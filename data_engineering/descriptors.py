"""What a photo looks like, as a row of numbers that need no network and no download: near for photos that look alike.

A row joins three views of the photo, made small: its brightness (a thumbnail, from which the mean is taken away), the
directions of its edges on a grid of 4 x 4 cells (as in Dalal & Triggs, "Histograms of oriented gradients for human
detection", CVPR 2005, and Oliva & Torralba's "spatial envelope", IJCV 2001), and its colours on the same grid. Saving a
photo again, making it smaller or a little brighter hardly moves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from quadrat import images

NEAR = 0.05
"""Cosine distance below which two photos are as good as the same. Saved again, half as large or a little brighter, a
photo moves by 0.02 at most; cut by 2 % at each border, by up to 0.08; other quadrats are 0.2 and more away."""

_SIDE, _THUMBNAIL, _CELLS, _DIRECTIONS = 64, 16, 4, 8
SIZE = _THUMBNAIL**2 + _CELLS**2 * _DIRECTIONS + _CELLS**2 * 3
"""Numbers in a row."""


def descriptors(paths: Sequence[str | Path], workers: int = 2) -> Iterator[NDArray[np.float32]]:
    """Describe photos, in their order.

    Args:
        paths: of photos; a few are in memory at a time.
        workers: threads that decode.

    Yields:
        float32 ``[SIZE]`` of length 1 for each.

    Raises:
        ImageError: a photo that cannot be read; the message begins with its path.
    """
    waiting = iter(paths)
    with ThreadPoolExecutor(workers) as pool:
        while some := list(islice(waiting, 16 * workers)):
            yield from pool.map(descriptor, some)


def descriptor(path: str | Path) -> NDArray[np.float32]:
    """Describe one photo, see `descriptors`."""
    small = _small(Path(path))
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    thumbnail = cv2.resize(lab[..., 0], (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    colours = cv2.resize(lab, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    parts = [_unit(thumbnail - thumbnail.mean()), _unit(_edges(lab[..., 0])), 0.5 * _unit(colours - [50, 0, 0])]
    return _unit(np.concatenate([part.ravel() for part in parts])).astype(np.float32)


def _small(path: Path) -> images.Rgb:
    """The photo at `_SIDE` x `_SIDE` px, EXIF turned; a JPEG is decoded no larger than is needed."""
    try:
        with images.opened(path) as image:
            image.draft("RGB", (4 * _SIDE, 4 * _SIDE))
            if image.mode not in ("RGB", "L"):
                return cv2.resize(images.read(path), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return np.asarray(upright.resize((_SIDE, _SIDE), Image.Resampling.BOX))
    except images.ImageError as error:
        raise error if str(error).startswith(str(path)) else images.ImageError(f"{path}: {error}") from error


def _edges(bright: NDArray[np.float32]) -> NDArray[np.float32]:
    """Float32 ``[cells, cells, directions]``: strength of edges of each direction."""
    dx, dy = cv2.Sobel(bright, cv2.CV_32F, 1, 0), cv2.Sobel(bright, cv2.CV_32F, 0, 1)
    strength, angle = np.hypot(dx, dy), np.arctan2(dy, dx) % np.pi
    direction = np.minimum((angle / np.pi * _DIRECTIONS).astype(int), _DIRECTIONS - 1)
    layers = [np.where(direction == k, strength, 0) for k in range(_DIRECTIONS)]
    return np.dstack([cv2.resize(layer, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA) for layer in layers])


def _unit(values: NDArray[np.floating]) -> NDArray[np.floating]:
    length = float(np.linalg.norm(values))
    return values / length if length > 1e-6 else np.full_like(values, values.size**-0.5)
