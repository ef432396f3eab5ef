"""Large photographs in windows, and what comes back put together.

Memory is that of a window, of the instances' own box crops, and for dense maps of one band of windows; never of
full-frame masks or scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import cv2
import numpy as np
from numpy.typing import NDArray

from quadrat import masks
from quadrat.shapes import Box, Instance, SemanticMap

Mask = NDArray[np.bool_]

MIN_IOS = 0.5
MIN_IOU = 0.1


def windows(size_wh: tuple[int, int], tile_px: int, overlap_px: int) -> list[Box]:
    """Windows that cover a photo, row by row.

    All have one size: the tile's, or the photo's along a side that is shorter. Neighbours share at least `overlap_px`;
    the last of a row or column lies flush with the border and so may share more.

    Args:
        size_wh: the photo's size.
        tile_px: side of a window, at least 1.
        overlap_px: 0 to ``tile_px - 1``.

    Raises:
        ValueError: a value out of range.
    """
    width, height = size_wh
    if width < 1 or height < 1:
        raise ValueError(f"size_wh is {size_wh}: expected at least 1 x 1")
    if not 0 <= overlap_px < tile_px:
        raise ValueError(f"tile of {tile_px} px with an overlap of {overlap_px} px: expected 0 <= overlap < tile")
    w, h = min(tile_px, width), min(tile_px, height)
    columns, rows = (_starts(side, tile_px, overlap_px) for side in size_wh)
    return [(x, y, x + w, y + h) for y in rows for x in columns]


def _starts(side: int, tile: int, overlap: int) -> list[int]:
    last = max(side - tile, 0)
    return [*range(0, last, tile - overlap), last]


# ------------------------------------------------------------------------------------------------ instances


def predict_tiled(
    predict: Callable[[NDArray[np.uint8]], Sequence[Instance]],
    image_rgb: NDArray[np.uint8],
    tile_px: int,
    overlap_px: int,
) -> list[Instance]:
    """Find instances window by window and join what the windows' borders cut.

    Args:
        predict: finds instances in a crop uint8 ``[h, w, 3]``, in pixels of the crop.
        image_rgb: uint8 ``[H, W, 3]``.
        tile_px: side of a window; best what the network was trained at.
        overlap_px: at least 1, or nothing is joined; best the size of a common object.

    Returns:
        Instances in pixels of the photo, best score first.
    """
    height, width = image_rgb.shape[:2]
    per_window = []
    for box in windows((width, height), tile_px, overlap_px):
        x0, y0, x1, y1 = box
        found = predict(np.ascontiguousarray(image_rgb[y0:y1, x0:x1]))
        inside = (masks.clip(instance, (x1 - x0, y1 - y0)) for instance in found)
        per_window.append((box, [_shifted(instance, x0, y0) for instance in inside if instance is not None]))
    return merge_instances(per_window, (width, height))


def merge_instances(per_window: Sequence[tuple[Box, Sequence[Instance]]], size_wh: tuple[int, int]) -> list[Instance]:
    """Join the pieces of instances that several windows saw.

    Two windows see the same in the pixels they share. So two instances of one label from two windows are one if there,
    and only there, they agree: a connected piece of the one and a connected piece of the other share at least half of
    the smaller (`MIN_IOS`) and a tenth of both together (`MIN_IOU`: a sliver that strays over a neighbour joins
    nothing). Pieces and not the whole, since what one window sees as an arch can be two posts in the next. Boxes decide
    nothing.

    Args:
        per_window: each window and what was found in it, in pixels of the photo, inside the window.
        size_wh: the photo's size; instances are cut there.

    Returns:
        Best score first. A joined instance is the union of its pieces; its score is their mean weighted by area, its
        attributes are those of the largest.
    """
    flat = [instance for _, found in per_window for instance in found]
    seen_in = [box for box, found in per_window for _ in found]
    parent = list(range(len(flat)))
    for i, j in _close(flat, seen_in):
        shared = _intersection(seen_in[i], seen_in[j])
        if shared is not None and _root(parent, i) != _root(parent, j) and _agree(flat[i], flat[j], shared):
            parent[_root(parent, i)] = _root(parent, j)
    groups: dict[int, list[Instance]] = {}
    for i, instance in enumerate(flat):
        groups.setdefault(_root(parent, i), []).append(instance)
    joined = (masks.clip(_union(pieces), size_wh) for pieces in groups.values())
    return sorted((instance for instance in joined if instance is not None), key=lambda instance: -instance.score)


def _close(instances: Sequence[Instance], seen_in: Sequence[Box]) -> Iterator[tuple[int, int]]:
    """Pairs from two windows whose labels are one and whose boxes overlap: all that is worth a look at the masks."""
    boxes = np.array([instance.xyxy_px for instance in instances], np.int64).reshape(-1, 4)
    window = np.unique(np.array(seen_in, np.int64).reshape(-1, 4), axis=0, return_inverse=True)[1]
    label = np.unique([instance.label for instance in instances], return_inverse=True)[1]
    for i, box in enumerate(boxes):
        rest = boxes[i + 1 :]
        near = (rest[:, :2] < box[2:]).all(axis=1) & (rest[:, 2:] > box[:2]).all(axis=1)
        near &= (window[i + 1 :] != window[i]) & (label[i + 1 :] == label[i])
        yield from ((i, int(j)) for j in np.flatnonzero(near) + i + 1)


def _agree(a: Instance, b: Instance, shared: Box) -> bool:
    """Whether a piece of `a` and a piece of `b` in the pixels both windows saw are the same thing."""
    in_a, in_b = _intersection(a.xyxy_px, shared), _intersection(b.xyxy_px, shared)
    common = in_a and in_b and _intersection(in_a, in_b)
    if in_a is None or in_b is None or common is None:
        return False
    if not (masks.window(a, common) & masks.window(b, common)).any():
        return False
    frame = min(in_a[0], in_b[0]), min(in_a[1], in_b[1]), max(in_a[2], in_b[2]), max(in_a[3], in_b[3])
    pieces_a, pieces_b = _pieces(masks.window(a, frame)), _pieces(masks.window(b, frame))
    count_a, count_b = int(pieces_a.max()) + 1, int(pieces_b.max()) + 1
    met = np.bincount((pieces_a * count_b + pieces_b).ravel(), minlength=count_a * count_b).reshape(count_a, count_b)
    area_a, area_b = met.sum(axis=1)[1:, None], met.sum(axis=0)[None, 1:]
    met = met[1:, 1:]
    same = (met >= MIN_IOS * np.minimum(area_a, area_b)) & (met >= MIN_IOU * (area_a + area_b - met))
    return bool(same.any())


def _pieces(mask: Mask) -> NDArray[np.int32]:
    return np.asarray(cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[1], np.int32)


def _union(pieces: Sequence[Instance]) -> Instance:
    if len(pieces) == 1:
        return pieces[0]
    corners = np.array([piece.xyxy_px for piece in pieces])
    (x0, y0), (x1, y1) = corners[:, :2].min(axis=0).tolist(), corners[:, 2:].max(axis=0).tolist()
    mask = np.zeros((y1 - y0, x1 - x0), np.bool_)
    for piece in pieces:
        left, top, right, bottom = piece.xyxy_px
        mask[top - y0 : bottom - y0, left - x0 : right - x0] |= piece.mask
    areas = np.array([piece.area_px for piece in pieces])
    score = float(np.average([piece.score for piece in pieces], weights=np.maximum(areas, 1)))
    largest = pieces[int(areas.argmax())]
    return Instance(largest.label, (x0, y0, x1, y1), mask, min(score, 1.0), largest.attributes)


def _root(parent: list[int], i: int) -> int:
    while parent[i] != i:
        parent[i] = i = parent[parent[i]]
    return i


def _intersection(a: Box, b: Box) -> Box | None:
    box = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return box if box[0] < box[2] and box[1] < box[3] else None


def _shifted(instance: Instance, dx: int, dy: int) -> Instance:
    x0, y0, x1, y1 = instance.xyxy_px
    box = (x0 + dx, y0 + dy, x1 + dx, y1 + dy)
    return Instance(instance.label, box, instance.mask, instance.score, instance.attributes)


# ------------------------------------------------------------------------------------------------ dense maps


def blend_dense(
    predict_scores: Callable[[NDArray[np.uint8]], NDArray[np.floating]],
    image_rgb: NDArray[np.uint8],
    labels: Sequence[str],
    tile_px: int,
    overlap_px: int,
) -> SemanticMap:
    """One class a pixel from windows whose scores fade into each other.

    Each window's scores are weighted by sin2 along both sides, most in its middle, and added up. The sum of the weights
    is the same for all classes, so the largest sum is the largest mean. Holds scores of one band of windows: 4 bytes x
    classes x photo width x tile.

    Args:
        predict_scores: scores of a crop uint8 ``[h, w, 3]``: floats ``[C, h, w]``, larger is likelier (probabilities
            blend better than logits).
        image_rgb: uint8 ``[H, W, 3]``.
        labels: C class names.
        tile_px: side of a window.
        overlap_px: 0 to ``tile_px - 1``.

    Raises:
        ValueError: scores of another shape.
    """
    height, width = image_rgb.shape[:2]
    bands = _bands(predict_scores, image_rgb, len(labels), windows((width, height), tile_px, overlap_px))
    return SemanticMap(tuple(labels), np.concatenate(list(bands)))


def _bands(
    predict_scores: Callable[[NDArray[np.uint8]], NDArray[np.floating]],
    image_rgb: NDArray[np.uint8],
    classes: int,
    boxes: Sequence[Box],
) -> Iterator[NDArray[np.uint8]]:
    """Finished rows uint8 ``[h, W]`` from the top: a row is finished when no further window reaches it."""
    rows = [list(row) for _, row in groupby(boxes, key=lambda box: box[1])]
    x0, y0, x1, y1 = boxes[0]
    weight = (_fade(y1 - y0)[:, None] * _fade(x1 - x0)).astype(np.float32)
    band = np.zeros((classes, y1 - y0, image_rgb.shape[1]), np.float32)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        for x0, y0, x1, y1 in row:
            scores = np.asarray(predict_scores(np.ascontiguousarray(image_rgb[y0:y1, x0:x1])))
            if scores.shape != (classes, y1 - y0, x1 - x0):
                raise ValueError(f"scores are {list(scores.shape)}: expected {[classes, y1 - y0, x1 - x0]}")
            band[:, :, x0:x1] += scores * weight
        done = (following[0][1] if following else row[0][3]) - row[0][1]
        yield band[:, :done].argmax(axis=0).astype(np.uint8)
        band[:, : band.shape[1] - done] = band[:, done:].copy()
        band[:, band.shape[1] - done :] = 0


def _fade(length: int) -> NDArray[np.float64]:
    faded: NDArray[np.float64] = np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2
    return faded
