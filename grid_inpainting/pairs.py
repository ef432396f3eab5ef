"""Training samples: a crop with a hole, and what belongs into it.

Sample `index` of seed `seed` is always the same, whatever process draws it: a run that goes on draws what an
unbroken run would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from grid_inpainting.folder import Pair
from grid_inpainting.settings import Settings
from quadrat import images

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class Pairs(Dataset[dict[str, Tensor]]):
    """``image`` and ``target`` float32 ``[3, S, S]`` 0..1: with and without strings; ``mask`` ``[1, S, S]`` 0 or 1."""

    def __init__(self, pairs: Sequence[Pair], settings: Settings, seed: int, repeat: int = 0) -> None:
        """Take pairs of a prepared folder; `repeat`: only so many samples, over and over."""
        if not pairs:
            raise ValueError("there is no photo to draw samples from: prepare more, or take another split")
        self.pairs, self.settings, self.seed, self.repeat = tuple(pairs), settings, seed, repeat

    def __len__(self) -> int:
        return self.repeat or 2**31

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Sample `index`."""
        number = index % self.repeat if self.repeat else index
        rng = np.random.default_rng([self.seed, number])
        pair = self.pairs[rng.integers(len(self.pairs))]
        photo, clean, mask = self._hole(rng, pair)
        flips = rng.integers(2, size=3).astype(bool)
        gain = rng.uniform(1 - self.settings.colour, 1 + self.settings.colour, 3)
        picture, target = (_turned(_recoloured(part, gain), flips) for part in (photo, clean))
        return {
            "image": _to_tensor(picture),
            "mask": torch.from_numpy(_turned(mask, flips)[None].astype(np.float32)),
            "target": _to_tensor(target),
        }

    def _hole(self, rng: np.random.Generator, pair: Pair) -> tuple[Rgb, Rgb, Mask]:
        """Crops of the photo as it is and without strings, and the hole."""
        settings = self.settings
        clean = images.read(pair.clean)
        strung = pair.strings is not None and rng.random() >= settings.drawn
        strings = cv2.imread(str(pair.strings), cv2.IMREAD_GRAYSCALE) if strung else None
        if strings is None or not strings.any():
            (part,) = _crops(rng, (clean,), _anywhere(rng, clean), settings)
            return part, part, draw_strokes(rng, settings.crop_px, settings.stroke_px)
        photo = images.read(pair.photo) if pair.photo else clean
        grow = 2 * int(rng.integers(settings.grow_px[0], settings.grow_px[1] + 1)) + 1
        hole = cv2.dilate(strings, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grow, grow)))
        photo, clean, hole = _crops(rng, (photo, clean, hole), _on(rng, strings), settings)
        return photo, clean, hole > 0


class Steps(Sampler[int]):
    """Sample numbers of the steps from `first` to `last`, for one of `world` processes."""

    def __init__(self, first: int, last: int, batch: int, rank: int = 0, world: int = 1) -> None:
        self.first, self.last, self.batch, self.rank, self.world = first, last, batch, rank, world

    def __len__(self) -> int:
        return self.last * self.batch  # of the whole run: what was done before counts as done

    def __iter__(self) -> Iterator[int]:
        """The numbers of this process: each step's samples are dealt out among the processes."""
        for number in range(self.first * self.batch, self.last * self.batch):
            yield number * self.world + self.rank


def draw_strokes(rng: np.random.Generator, side_px: int, stroke_px: Sequence[float]) -> Mask:
    """A hole of thin strokes, bool ``[side_px, side_px]``: single ones and runs of parallel ones, slightly bowed."""
    hole = np.zeros((side_px, side_px), np.uint8)
    low, high = stroke_px
    width = low + (high - low) * rng.beta(1.1, 2.5)
    for _ in range(rng.integers(1, 5)):
        heading = rng.uniform(0, np.pi)
        along = np.array([np.cos(heading), np.sin(heading)])
        across = along[::-1] * (1, -1)
        start, step = rng.uniform(0, side_px, 2), 3 * width + 12 + rng.uniform(0, side_px)
        for place in range(rng.integers(1, 4)):
            t = np.linspace(-1.5, 1.5, 24)[:, None] * side_px
            bow = rng.normal(0, 0.02) * side_px * np.cos(t / side_px * np.pi / 3)
            line = start + place * step * across + t * along + bow * across
            thick = max(1, round(width * rng.uniform(0.8, 1.3)))
            cv2.polylines(hole, [np.round(line * 16).astype(np.int32)], False, 255, thick, cv2.LINE_8, 4)
    return hole > 0


def _anywhere(rng: np.random.Generator, photo: Rgb) -> tuple[float, float]:
    return float(rng.uniform(0, photo.shape[1])), float(rng.uniform(0, photo.shape[0]))


def _on(rng: np.random.Generator, strings: NDArray[np.uint8]) -> tuple[float, float]:
    """A pixel that a string touches."""
    where = np.flatnonzero(strings)
    row, column = divmod(int(where[rng.integers(len(where))]), strings.shape[1])
    return column + 0.5, row + 0.5


def _crops(
    rng: np.random.Generator, parts: Sequence[NDArray[np.uint8]], near: tuple[float, float], settings: Settings
) -> list[NDArray[np.uint8]]:
    """The same window of several pictures, scaled to `crop_px`; `near` lies in it. A small photo is mirrored on."""
    side = settings.crop_px
    span = round(side / rng.uniform(*settings.zoom))
    height, width = parts[0].shape[:2]
    span = max(min(span, max(height, width)), 8)
    left, top = (
        int(np.clip(place - rng.uniform(0.1, 0.9) * span, 0, max(limit - span, 0)))
        for place, limit in zip(near, (width, height), strict=True)
    )
    cut = (part[top : top + span, left : left + span] for part in parts)
    return [_scaled(_filled_up(part, span), side) for part in cut]


def _filled_up(part: NDArray[np.uint8], span: int) -> NDArray[np.uint8]:
    below, right = span - part.shape[0], span - part.shape[1]
    return cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_REFLECT) if below or right else part


def _scaled(part: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    shrinks = part.shape[0] > side
    return cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _recoloured(picture: Rgb, gain: NDArray[np.float64]) -> Rgb:
    return np.clip(picture * gain, 0, 255).astype(np.uint8)


def _turned(picture: NDArray, flips: NDArray[np.bool_]) -> NDArray:
    """Mirrored left to right, upside down, and across the diagonal, as `flips` says."""
    picture = picture[:, ::-1] if flips[0] else picture
    picture = picture[::-1] if flips[1] else picture
    return np.ascontiguousarray(picture.swapaxes(0, 1) if flips[2] else picture)


def _to_tensor(picture: Rgb) -> Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 255)
