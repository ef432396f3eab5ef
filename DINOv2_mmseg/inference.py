"""A photo of any size through a network: brought to its working scale, in windows whose scores fade into each other.

Scores are blended as the network gives them, one value a cell, and enlarged only once (`dense`). Windows begin at whole
patches, so that their cells lie on one grid. Where one window suffices it is the whole image: nothing is blended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from DINOv2_mmseg import dense
from DINOv2_mmseg.dense import Dense, Scores
from quadrat import images, tiling
from quadrat.shapes import SemanticMap

Run = Callable[[NDArray[np.uint8]], Scores]
"""Scores float32 ``[N, C, h, w]`` (logits) of images uint8 ``[N, H, W, 3]`` of one size."""

OVERLAP = 1 / 3
TIDY_CELLS = 4.0
"""Patches of a class smaller than a square of so many cells are mostly slivers between colony and ground."""
_LEAST_WEIGHT = 1e-3  # so that the outermost cells of the photo, which one window sees, have one
_MOST_WORK_PX = 8192


@dataclass(frozen=True)
class Settings:
    """How photos go through a network.

    Attributes:
        work_px: long side that a photo is brought to; 0 takes photos as they are.
        window_px: side of a window in px of the brought photo.
        patch_px: windows begin at multiples of it.
        scales: factors of the working scale; the probabilities of several are averaged.
        flip: average with the mirrored photo.
        batch: windows that the network sees at a time.
        fixed: the network takes windows of this size only; smaller photos are padded up to it.
        tidy_px: patches of a class smaller than this squared, in px of the photo, go to what surrounds them; 0: none;
            `None`: `TIDY_CELLS` of the network's cells.
    """

    work_px: int
    window_px: int
    patch_px: int
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    batch: int = 1
    fixed: bool = False
    tidy_px: int | None = 0

    def __post_init__(self) -> None:
        if self.window_px % self.patch_px or self.window_px <= 0:
            raise ValueError(f"window_px is {self.window_px}: expected a multiple of the patch, {self.patch_px} px")
        if not 0 <= self.work_px <= _MOST_WORK_PX:
            raise ValueError(f"work_px is {self.work_px}: expected 0 (photos as they are) to {_MOST_WORK_PX}")
        if not self.scales or not all(0.1 <= scale <= 10 for scale in self.scales):
            raise ValueError(f"scales are {list(self.scales)}: expected one or more of 0.1 to 10")
        if self.tidy_px is not None and self.tidy_px < 0:
            raise ValueError(f"tidy_px is {self.tidy_px}: expected 0 or more")


def segment(run: Run, image_rgb: images.Rgb, labels: Sequence[str], settings: Settings) -> Dense:
    """Classify every pixel of a photo.

    Args:
        run: the network.
        image_rgb: uint8 ``[H, W, 3]``.
        labels: C class names.
        settings: see there.
    """
    height, width = image_rgb.shape[:2]
    working = settings.work_px / max(height, width) if settings.work_px else 1.0
    scores, cell = _scores(run, image_rgb, working * settings.scales[0], settings)
    if len(settings.scales) > 1 or settings.flip:
        scores = np.log(_averaged(run, image_rgb, working, settings, scores, cell) + 1e-9)
    found = dense.label_map(scores, labels, (width, height), cell)
    if tidy_px := round(TIDY_CELLS * sum(cell) / 2) if settings.tidy_px is None else settings.tidy_px:
        found = tidied(found, tidy_px)
    return Dense(found, softmax(scores), cell, working * settings.scales[0])


def softmax(scores: Scores) -> Scores:
    """Probabilities over the first axis."""
    shares = np.exp(scores - scores.max(axis=0, keepdims=True))
    return np.asarray(shares / shares.sum(axis=0, keepdims=True), np.float32)


def _averaged(
    run: Run, image_rgb: images.Rgb, working: float, settings: Settings, first: Scores, cell: tuple[float, float]
) -> Scores:
    """Mean probabilities of all scales and both ways round, on the cells of the first."""
    height, width = image_rgb.shape[:2]
    total, count = softmax(first), 1
    for number, scale in enumerate(settings.scales):
        for mirrored in (False, True) if settings.flip else (False,):
            if (number, mirrored) == (0, False):
                continue
            seen = np.ascontiguousarray(image_rgb[:, ::-1]) if mirrored else image_rgb
            scores, other = _scores(run, seen, working * scale, settings)
            total += _on_cells(softmax(scores), other, first.shape[1:], cell, width if mirrored else None)
            count += 1
    return total / count


def _on_cells(
    scores: Scores,
    cell_xy_px: tuple[float, float],
    shape: Sequence[int],
    onto_xy_px: tuple[float, float],
    mirror_px: int | None,
) -> Scores:
    """Scores of one grid of cells at the middles of another's, of a mirrored photo mirrored back."""
    x, y = ((np.arange(n) + 0.5) * px for n, px in zip((shape[1], shape[0]), onto_xy_px, strict=True))
    across = dense.weights_at(x if mirror_px is None else mirror_px - x, scores.shape[2], cell_xy_px[0])
    down = dense.weights_at(y, scores.shape[1], cell_xy_px[1])
    return np.asarray(down @ scores @ across.T, np.float32)


def _scores(run: Run, image_rgb: images.Rgb, scale: float, settings: Settings) -> tuple[Scores, tuple[float, float]]:
    """Logits ``[C, h, w]`` of a photo at a scale, and the size of their cells in px of the photo."""
    height, width = image_rgb.shape[:2]
    w, h = (max(round(side * scale), 1) for side in (width, height))
    shrunk = _resized(image_rgb, (w, h)) if (w, h) != (width, height) else image_rgb
    padded = _padded(shrunk, settings.patch_px, settings.window_px if settings.fixed else 0)
    scores, stride = _windowed(run, padded, settings)
    return scores, (stride * width / w, stride * height / h)


def _windowed(run: Run, image_rgb: images.Rgb, settings: Settings) -> tuple[Scores, float]:
    """Logits of an image of whole patches, and px of the image a cell."""
    height, width = image_rgb.shape[:2]
    patch, window = settings.patch_px, settings.window_px
    overlap = int(window * OVERLAP / patch) * patch
    boxes = tiling.windows((width, height), window, overlap)
    if len(boxes) == 1:
        scores = run(image_rgb[None])[0]
        return scores, width / scores.shape[2]
    total = weights = fade = None
    for start in range(0, len(boxes), settings.batch):
        some = boxes[start : start + settings.batch]
        crops = np.stack([image_rgb[y0:y1, x0:x1] for x0, y0, x1, y1 in some])
        for (x0, y0, x1, _), scores in zip(some, run(crops), strict=True):
            stride = (x1 - x0) / scores.shape[2]
            if total is None:
                cells = round(height / stride), round(width / stride)
                total, weights = np.zeros((len(scores), *cells), np.float32), np.zeros(cells, np.float32)
                fade = _fade(scores.shape[1])[:, None] * _fade(scores.shape[2])
            place = _cells_at(x0, y0, stride, fade.shape)
            total[:, *place] += scores * fade
            weights[place] += fade
    return total / weights, stride


def _cells_at(x0: int, y0: int, stride: float, shape: Sequence[int]) -> tuple[slice, slice]:
    left, top = round(x0 / stride), round(y0 / stride)
    return slice(top, top + shape[0]), slice(left, left + shape[1])


def _fade(length: int) -> Scores:
    """Weights of a window's cells along a side: sin2, most in the middle."""
    faded = np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2
    return np.asarray(np.maximum(faded, _LEAST_WEIGHT), np.float32)


def _resized(image_rgb: images.Rgb, size_wh: tuple[int, int]) -> images.Rgb:
    """Shrunk by averaging, as in training; enlarged bilinearly."""
    shrinks = size_wh[0] < image_rgb.shape[1] or size_wh[1] < image_rgb.shape[0]  # a side of 1 px stays
    return cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _padded(image_rgb: images.Rgb, patch_px: int, least_px: int) -> images.Rgb:
    """With its last row and column repeated up to whole patches, and up to so many px a side at least."""
    height, width = image_rgb.shape[:2]
    down, right = (max(side + -side % patch_px, least_px) - side for side in (height, width))
    if not down and not right:
        return np.ascontiguousarray(image_rgb)
    return np.pad(image_rgb, ((0, down), (0, right), (0, 0)), mode="edge")


def tidied(found: SemanticMap, tidy_px: int) -> SemanticMap:
    """Patches of a class of less than `tidy_px` squared pixels given to the nearest larger one."""
    index = found.index
    small = np.zeros(index.shape, np.bool_)
    for value in np.unique(index):
        _, numbers, facts, _ = cv2.connectedComponentsWithStats((index == value).view(np.uint8), connectivity=8)
        lost = facts[:, cv2.CC_STAT_AREA] < tidy_px**2
        lost[0] = False
        small |= lost[numbers]
    if not small.any() or small.all():
        return found
    _, nearest = cv2.distanceTransformWithLabels(small.view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    value_of = np.zeros(int(nearest.max()) + 1, np.uint8)
    value_of[nearest[~small]] = index[~small]
    return SemanticMap(found.labels, np.where(small, value_of[nearest], index))
