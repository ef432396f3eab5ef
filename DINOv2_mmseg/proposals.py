"""Masks from the image alone: a SAM network asked all over the photo, and which of its answers are worth keeping.

After the automatic mask generation of Segment Anything (Kirillov et al., ICCV 2023): a grid of points, then filters by
the predicted IoU and by stability (IoU of the mask cut at a logit of +1 with that cut at -1), then the better of two
masks that are nearly the same. Asked besides: the innermost point of every colony of the semantic map, alone and with
the colony's box. All is done on the network's grid of cells; a mask becomes pixels of the photo only when it is wanted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from DINOv2_mmseg.dense import Dense
from DINOv2_mmseg.sam import Floats, Prompts, Sam, Seen
from quadrat import masks
from quadrat.shapes import Instance

ROWS = 256
"""Rows of a photo that are worked on at a time."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How masks are found.

    Attributes:
        points_per_side: of the grid over the photo's longer side; the shorter one has points as far apart.
        batch: prompts at a time; 16 of SAM's ViT-B take about 3 GB in all.
        min_iou: masks whose predicted IoU is below are dropped (this and the next as CoralSCOP publishes them).
        min_stability: masks less stable than this are dropped.
        same_iou: of two masks that overlap more than this the one of lower predicted IoU is dropped.
    """

    points_per_side: int = 16
    batch: int = 16
    min_iou: float = 0.72
    min_stability: float = 0.62
    same_iou: float = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A mask on the network's cells.

    Attributes:
        cells: the mask in cells; its score is the predicted IoU, cut to 0..1.
        logits: float16, the cells of the mask's box and one more on every side where the grid has one.
        origin_xy: the cell that `logits` begins with.
    """

    cells: Instance
    logits: NDArray[np.float16]
    origin_xy: tuple[int, int]


def proposals(sam: Sam, seen: Seen, asked: Sequence[Prompts], how: Asking) -> list[Proposal]:
    """Ask the network.

    Returns:
        What passes the filters, highest predicted IoU first.
    """
    kept: list[Proposal] = []
    for prompts in asked:
        for logits, ious in sam.answers(seen, prompts, how.batch):
            kept = distinct([*kept, *good(logits, ious, how)], how.same_iou)  # at once: few are ever held
    return kept


def good(logits: Floats, ious: Floats, how: Asking) -> Iterator[Proposal]:
    """Those of some masks that pass the filters.

    Args:
        logits: float32 ``[M, h, w]``.
        ious: float32 ``[M]``, predicted.
        how: the limits.
    """
    for one, iou in zip(logits, ious.tolist(), strict=True):
        if not iou >= how.min_iou or stability(one) < how.min_stability:
            continue
        cells = masks.instance_from_mask("mask", one > 0, score=min(max(iou, 0.0), 1.0))
        if cells is not None:
            x0, y0, x1, y1 = cells.xyxy_px
            left, top = max(x0 - 1, 0), max(y0 - 1, 0)
            yield Proposal(cells, one[top : y1 + 1, left : x1 + 1].astype(np.float16), (left, top))


def stability(logits: Floats) -> float:
    """IoU of the mask cut at +1 with that cut at -1, 0..1; 0 where even the larger is empty."""
    larger = np.count_nonzero(logits > -1)
    return np.count_nonzero(logits > 1) / larger if larger else 0.0


def distinct(found: Sequence[Proposal], same_iou: float) -> list[Proposal]:
    """Drop what overlaps a better one by more than `same_iou`; best first."""
    order = sorted(found, key=lambda one: -one.cells.score)
    boxes = np.array([one.cells.xyxy_px for one in order]).reshape(-1, 4)
    areas = np.array([one.cells.area_px for one in order])
    kept: list[int] = []
    for place, one in enumerate(order):
        better = np.array(kept, int)
        sides = np.minimum(boxes[better, 2:], boxes[place, 2:]) - np.maximum(boxes[better, :2], boxes[place, :2])
        most = np.minimum(np.maximum(sides, 0).prod(-1), np.minimum(areas[better], areas[place]))
        likely = better[most > same_iou * np.maximum(areas[better], areas[place])]  # the others cannot reach it
        if not any(masks.iou(order[other].cells, one.cells) > same_iou for other in likely.tolist()):
            kept.append(place)
    return [order[place] for place in kept]


def in_photo(proposal: Proposal, seen: Seen, label: str, score: float) -> Instance | None:
    """The mask in pixels of the photo: where its logits, between cells bilinear, are above 0. `None`: nowhere."""
    x0, y0, x1, y1 = proposal.cells.xyxy_px
    (cell_w, cell_h), (width, height) = seen.cell_xy_px, seen.size_wh
    left, right = max(int((x0 - 1) * cell_w), 0), min(-int(-(x1 + 1) * cell_w // 1), width)
    top, bottom = max(int((y0 - 1) * cell_h), 0), min(-int(-(y1 + 1) * cell_h // 1), height)
    if left >= right or top >= bottom:
        return None
    logits = proposal.logits.astype(np.float32)
    across = logits @ _weights(left, right, cell_w, proposal.origin_xy[0], logits.shape[1]).T
    down = _weights(top, bottom, cell_h, proposal.origin_xy[1], logits.shape[0])
    mask = np.empty((bottom - top, right - left), np.bool_)
    for row in range(0, len(mask), ROWS):  # never all of a large photo as float
        np.greater(down[row : row + ROWS] @ across, 0, out=mask[row : row + ROWS])
    return masks.instance_from_mask(label, mask, (left, top), score)


def _weights(start: int, end: int, cell_px: float, first: int, cells: int) -> Floats:
    """Of each of `cells` cells from number `first` for the px ``start`` to ``end``: ``[end - start, cells]``."""
    place = np.clip((np.arange(start, end) + 0.5) / cell_px - 0.5 - first, 0, cells - 1)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(cells)), 0).astype(np.float32)


# ---------------------------------------------------------------------------------------------- prompts


def prompts(dense: Dense, colonies: Sequence[Instance], background: Collection[str], how: Asking) -> list[Prompts]:
    """What to ask: the grid's points that do not lie on background, the colonies' innermost points, and their boxes."""
    inner = np.array([inner_point(one) for one in colonies], np.float64).reshape(-1, 2)
    grid = _grid(dense.size_wh, how.points_per_side)
    columns, rows = grid.astype(np.int64).T
    none = [i for i, label in enumerate(dense.map.labels) if label in background]
    grid = grid[~np.isin(dense.map.index[rows, columns], none)]
    boxes = np.array([one.xyxy_px for one in colonies], np.float64).reshape(-1, 4)
    return [Prompts(np.concatenate([inner, grid])), Prompts(inner, boxes)]


def _grid(size_wh: tuple[int, int], points_per_side: int) -> NDArray[np.float64]:
    step = max(size_wh) / points_per_side
    x, y = ((np.arange(n) + 0.5) * (side / n) for side, n in ((side, max(1, round(side / step))) for side in size_wh))
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)


def inner_point(instance: Instance, side_px: int = 256) -> tuple[float, float]:
    """The centre of the pixel of an instance that is farthest from its border, in px of the photo.

    Args:
        instance: whose box may have any size.
        side_px: it is looked for on a copy of at most this side.
    """
    h, w = instance.mask.shape
    step = max(1, -(-max(h, w) // side_px))
    small = instance.mask[step // 2 :: step, step // 2 :: step]
    if not small.any():
        y, x = np.argwhere(instance.mask)[0].tolist()
    else:
        padded = cv2.copyMakeBorder(small.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
        y, x = (int(v) * step + step // 2 for v in np.unravel_index(int(distance.argmax()), small.shape))
    return instance.xyxy_px[0] + x + 0.5, instance.xyxy_px[1] + y + 0.5
