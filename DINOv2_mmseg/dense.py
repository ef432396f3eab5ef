"""`Dense`: what a network says of every place of a photo, and how its coarse scores become a class a pixel.

A network gives scores for cells of some pixels each. They are enlarged bilinearly, one class after another, and only
the largest so far and its class are kept: no array of classes x height x width ever is. The enlargement is two small
matrix products a block, exact for any scale, so that nothing shifts on the way back to the photo's pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from quadrat.shapes import Box, SemanticMap

Scores = NDArray[np.float32]

BLOCK_PX = 512
"""Side of the blocks that are enlarged at a time: their rows of all steps stay in the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """What a network says of every place of a photo.

    Attributes:
        map: one class a pixel of the photo.
        scores: float32 ``[C, h, w]``, probabilities of the classes a cell; they add up to 1.
        cell_xy_px: width and height in px of the photo of a cell. Cell (0, 0) begins in the photo's top-left corner;
            the last ones may reach beyond the photo.
        scale: px of the network's input a px of the photo.
    """

    map: SemanticMap
    scores: Scores
    cell_xy_px: tuple[float, float]
    scale: float

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the photo in px."""
        height, width = self.map.index.shape
        return width, height

    def probability(self, label_index: int, box: Box) -> Scores:
        """The probability of a class for the pixels of a box, between cells bilinear.

        Args:
            label_index: of `map.labels`.
            box: x0, y0, x1, y1 in px, inside the photo.

        Returns:
            float32 ``[y1 - y0, x1 - x0]``, 0..1.
        """
        return _enlarged(self.scores[label_index], box, self.cell_xy_px)


def label_map(
    scores: Scores, labels: Sequence[str], size_wh: tuple[int, int], cell_xy_px: tuple[float, float]
) -> SemanticMap:
    """The class with the largest score for every pixel, scores between cells bilinear.

    Args:
        scores: float32 ``[C, h, w]``, larger is likelier; cells that cover the photo at least.
        labels: C class names.
        size_wh: of the photo in px.
        cell_xy_px: width and height of a cell in px of the photo.
    """
    width, height = size_wh
    index = np.zeros((height, width), np.uint8)
    for x0, y0, x1, y1 in _blocks(size_wh):
        index[y0:y1, x0:x1] = _winners(scores, (x0, y0, x1, y1), cell_xy_px)
    return SemanticMap(tuple(labels), index)


def _blocks(size_wh: tuple[int, int]) -> Iterator[Box]:
    width, height = size_wh
    for y0 in range(0, height, BLOCK_PX):
        for x0 in range(0, width, BLOCK_PX):
            yield x0, y0, min(x0 + BLOCK_PX, width), min(y0 + BLOCK_PX, height)


def _winners(scores: Scores, box: Box, cell_xy_px: tuple[float, float]) -> NDArray[np.uint8]:
    (left, right, across), (top, bottom, down) = _weights_of(scores.shape, box, cell_xy_px)
    cells = scores[:, top:bottom, left:right]
    candidates = _can_win(cells)
    best = down @ cells[candidates[0]] @ across
    index = np.full(best.shape, candidates[0], np.uint8)
    larger = np.empty(best.shape, np.uint8)
    for i in candidates[1:]:
        value = down @ cells[i] @ across
        cv2.compare(value, best, cv2.CMP_GT, larger)
        cv2.max(value, best, best)
        index[larger.view(np.bool_)] = i
    return index


def _can_win(cells: Scores) -> list[int]:
    """Classes that can be the largest somewhere: those whose largest score reaches the smallest of the winners."""
    largest = cells.reshape(len(cells), -1).max(axis=1)
    surely = cells.reshape(len(cells), -1).min(axis=1).max()
    return np.flatnonzero(largest >= surely).tolist()


def _enlarged(cells: Scores, box: Box, cell_xy_px: tuple[float, float]) -> Scores:
    (left, right, across), (top, bottom, down) = _weights_of(cells.shape, box, cell_xy_px)
    return np.asarray(down @ cells[top:bottom, left:right] @ across, np.float32)


def _weights_of(
    shape: Sequence[int], box: Box, cell_xy_px: tuple[float, float]
) -> tuple[tuple[int, int, Scores], tuple[int, int, Scores]]:
    x0, y0, x1, y1 = box
    left, right, across = _weights(x0, x1, shape[-1], cell_xy_px[0])
    top, bottom, down = _weights(y0, y1, shape[-2], cell_xy_px[1])
    return (left, right, np.ascontiguousarray(across.T)), (top, bottom, down)


def _weights(start: int, end: int, cells: int, cell_px: float) -> tuple[int, int, Scores]:
    """The cells that pixels ``start`` to ``end`` lie between, and their weights ``[end - start, cells used]``."""
    weights = weights_at(np.arange(start, end) + 0.5, cells, cell_px)
    used = np.flatnonzero(weights.any(axis=0))
    first, last = int(used[0]), int(used[-1]) + 1
    return first, last, np.ascontiguousarray(weights[:, first:last])


def weights_at(places_px: NDArray[np.float64], cells: int, cell_px: float) -> Scores:
    """How much each cell counts at places along a side, bilinear between their middles: float32 ``[N, cells]``."""
    place = np.clip(places_px / cell_px - 0.5, 0, cells - 1)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(cells)), 0).astype(np.float32)
