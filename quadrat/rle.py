"""Run lengths of masks: plain ones, and COCO's compressed text; made from the box crop alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quadrat import masks
from quadrat.shapes import Instance


def runs_of(bits: masks.Mask) -> NDArray[np.int64]:
    """Run lengths of a flat bool array, beginning with the (perhaps empty) run of false."""
    edges = np.flatnonzero(bits[1:] != bits[:-1]) + 1
    first: list[int] = [0, 0] if len(bits) and bits[0] else [0]
    return np.diff(np.concatenate([np.array(first, np.int64), edges, np.array([len(bits)], np.int64)]))


def runs_to_bits(runs: ArrayLike) -> masks.Mask:
    """Flat bool array of run lengths that begin with the run of false."""
    lengths = np.asarray(runs, np.int64)
    bits: masks.Mask = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return bits


def encode(instance: Instance, size_wh: tuple[int, int]) -> dict[str, object]:
    """COCO's compressed run-length encoding of the whole photo, made from the box crop alone.

    Args:
        instance: what lies outside the photo is cut.
        size_wh: the photo's size.

    Returns:
        ``{"size": [H, W], "counts": str}`` as pycocotools reads it (column-major runs).
    """
    width, height = size_wh
    x0, y0, x1, y1 = box = masks.intersection(instance.xyxy_px, (0, 0, width, height))
    if x0 >= x1 or y0 >= y1:
        return {"size": [height, width], "counts": _counts_to_text(np.array([width * height]))}
    columns = masks.window(instance, box).T
    framed = np.zeros((x1 - x0, y1 - y0 + 2), np.int8)
    framed[:, 1:-1] = columns
    change = np.diff(framed, axis=1)
    start_col, start = np.nonzero(change == 1)
    end_col, end = np.nonzero(change == -1)
    starts = (start_col + x0) * height + start + y0
    ends = (end_col + x0) * height + end + y0
    joined = starts[1:] != ends[:-1]  # a run that goes on at the top of the next column
    edges = np.stack([starts[np.r_[True, joined]], ends[np.r_[joined, True]]], 1).ravel() if len(starts) else starts
    runs = np.diff(np.r_[0, edges, width * height])
    if len(runs) > 1 and runs[-1] == 0:
        runs = runs[:-1]
    return {"size": [height, width], "counts": _counts_to_text(runs)}


def decode(
    rle: Mapping[str, object], label: str, score: float = 1.0, attributes: Mapping[str, str] | None = None
) -> Instance | None:
    """Read COCO run lengths, compressed text or a plain list; ``None`` if no pixel is set.

    Raises:
        ValueError: the runs do not add up to the photo's size.
    """
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, Sequence) or len(size) != 2 or not isinstance(counts, (str, bytes, Sequence)):
        raise ValueError("rle: expected {'size': [H, W], 'counts': text or list}")
    height, width = int(size[0]), int(size[1])
    runs = _text_to_counts(counts) if isinstance(counts, (str, bytes)) else np.asarray(counts, np.int64)
    if (runs < 0).any() or int(runs.sum()) != height * width:
        raise ValueError(f"rle: runs add up to {int(runs.sum())} px, expected {height} x {width} = {height * width}")
    edges = np.cumsum(runs)
    starts, ends = edges[:-1:2], edges[1::2]
    starts = starts[: len(ends)]
    starts, ends = starts[ends > starts], ends[ends > starts]
    if not len(starts):
        return None
    x0, x1 = int(starts[0] // height), int((ends[-1] - 1) // height) + 1
    columns = np.zeros((x1 - x0) * height + 1, np.int8)
    np.add.at(columns, starts - x0 * height, 1)
    np.add.at(columns, ends - x0 * height, -1)
    mask = np.cumsum(columns[:-1], dtype=np.int8).astype(bool).reshape(x1 - x0, height).T
    return masks.instance_from_mask(label, mask, (x0, 0), score, attributes)


def _counts_to_text(runs: NDArray[np.int64]) -> str:
    """COCO's text: from the fourth run on the difference to the run before last; 5 bits a character, low first."""
    values = runs.astype(np.int64)
    values[3:] -= runs[1:-2]
    text = bytearray()
    for value in values.tolist():
        while True:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text.append(48 + bits + (32 if more else 0))
            if not more:
                break
    return text.decode("ascii")


def _text_to_counts(text: str | bytes) -> NDArray[np.int64]:
    raw = text.encode("ascii") if isinstance(text, str) else text
    runs: list[int] = []
    value = shift = 0
    for byte in raw:
        bits = byte - 48
        if not 0 <= bits < 64:
            raise ValueError(f"rle: byte {byte} is not part of COCO's text")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("rle: the text ends in the middle of a number")
    return np.array(runs, np.int64)
