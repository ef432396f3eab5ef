"""A hole in a photo of any size, painted window by window: nothing outside of it changes.

Only windows that hold a part of the hole are painted, each with what lies around it. Memory is that of a batch of
windows and of one band of them across the photo, beside the photo itself and its mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np
from numpy.typing import NDArray

from quadrat import tiling
from quadrat.shapes import Box

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Paint = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""Images float32 ``[B, S, S, 3]`` 0..255 and holes ``[B, S, S]`` 0 or 1 -> painted images float32 ``[B, S, S, 3]``."""


@dataclass(frozen=True, slots=True)
class Windows:
    """How a photo is cut.

    Attributes:
        side_px: of a window as the network sees it; a multiple of 8.
        context_px: what a window sees beyond the part of it that is used.
        fade_px: over which neighbouring windows fade into each other.
        feather_px: how far the painted part reaches over the mask, fading into the photo.
        batch: windows painted at once.
    """

    side_px: int = 384
    context_px: int = 32
    fade_px: int = 16
    feather_px: int = 2
    batch: int = 2

    def __post_init__(self) -> None:
        if self.side_px % 8 or self.side_px <= 2 * (self.context_px + self.fade_px):
            raise ValueError(
                f"windows of {self.side_px} px with {self.context_px} px context and {self.fade_px} px to fade: "
                "expected a multiple of 8, larger than twice both"
            )
        if self.feather_px < 0 or self.batch < 1:
            raise ValueError(f"feather_px {self.feather_px}, batch {self.batch}: expected 0 or more, and 1 or more")


def inpaint(
    image_rgb: Rgb, mask: Mask, paint: Paint, windows: Windows = Windows(), shrink: int = 1
) -> tuple[Rgb, Mask]:
    """Paint the hole of a photo.

    Args:
        image_rgb: uint8 ``[H, W, 3]``, at least 1 x 1.
        mask: bool ``[H, W]``, true where the photo is to be painted.
        paint: the network or another method.
        windows: how the photo is cut.
        shrink: paint on a copy so many times smaller, for holes wider than the network knows; what is not painted keeps
            its full sharpness.

    Returns:
        The photo, uint8 ``[H, W, 3]``, and bool ``[H, W]`` what was painted: `mask` and its feather. Every other pixel
        is as it was.

    Raises:
        ValueError: `mask` is of another size or type, or `shrink` below 1.
    """
    height, width = image_rgb.shape[:2]
    if mask.shape != (height, width) or mask.dtype != np.bool_:
        raise ValueError(f"mask is {mask.dtype}{list(mask.shape)}: expected bool{[height, width]}, as the photo")
    if shrink < 1:
        raise ValueError(f"shrink is {shrink}: expected 1 or more")
    hole = _grown(mask, windows.feather_px)
    painted_rgb = image_rgb.copy()
    for top, rows, weight in _bands(image_rgb, hole, paint, windows, shrink):
        _lay_over(painted_rgb, top, rows, weight, mask, windows.feather_px)
    return painted_rgb, hole


def _grown(mask: Mask, by_px: int) -> Mask:
    """The mask and every pixel within `by_px` of it."""
    if not by_px:
        return mask.copy()
    side = 2 * by_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(mask.view(np.uint8), disc).view(np.bool_)


def _bands(
    image_rgb: Rgb, hole: Mask, paint: Paint, windows: Windows, shrink: int
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
    """Finished rows from the top: the first row's number, colours ``[h, W, 3]`` times weight, and weight ``[h, W]``.

    A row is finished when no further window reaches it. Where no window was painted the weight is 0.
    """
    height, width = hole.shape
    side, margin = windows.side_px * shrink, windows.context_px * shrink
    overlap = 2 * margin + windows.fade_px * shrink
    boxes = tiling.windows((width, height), side, overlap)
    rows = [list(row) for _, row in groupby(boxes, key=lambda box: box[1])]
    band_height = min(side, height)
    colours = np.zeros((band_height, width, 3), np.float32)
    weights = np.zeros((band_height, width), np.float32)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        top = row[0][1]
        inside = [(box, _weight(box, (width, height), margin, windows.fade_px * shrink)) for box in row]
        wanted = [(box, weight) for box, weight in inside if (_cut(hole, box) & (weight > 0)).any()]
        for some in (wanted[k : k + windows.batch] for k in range(0, len(wanted), windows.batch)):
            pictures = _painted(image_rgb, hole, [box for box, _ in some], paint, windows.side_px, shrink)
            for (box, weight), picture in zip(some, pictures, strict=True):
                colours[:, box[0] : box[2]] += picture * weight[..., None]
                weights[:, box[0] : box[2]] += weight
        done = (following[0][1] if following else row[0][3]) - top
        yield top, colours[:done], weights[:done]
        for array in (colours, weights):
            array[: band_height - done] = array[done:].copy()
            array[band_height - done :] = 0


def _cut(picture: NDArray, box: Box) -> NDArray:
    x0, y0, x1, y1 = box
    return picture[y0:y1, x0:x1]


def _weight(box: Box, size_wh: tuple[int, int], margin: int, fade: int) -> NDArray[np.float32]:
    """Weight ``[h, w]`` of a window's pixels: 0 in its context, rising over `fade`; all counts at the border."""
    (x0, y0, x1, y1), (width, height) = box, size_wh
    across = _slope(x1 - x0, margin, fade, x0 > 0, x1 < width)
    down = _slope(y1 - y0, margin, fade, y0 > 0, y1 < height)
    return np.minimum(down[:, None], across)


def _slope(length: int, margin: int, fade: int, at_start: bool, at_end: bool) -> NDArray[np.float32]:
    place = np.arange(length) + 0.5
    rise = np.ones(length)
    if at_start:
        rise = np.minimum(rise, (place - margin) / max(fade, 1))
    if at_end:
        rise = np.minimum(rise, (length - margin - place) / max(fade, 1))
    return np.clip(rise, 0, 1).astype(np.float32)


def _painted(
    image_rgb: Rgb, hole: Mask, boxes: Sequence[Box], paint: Paint, side_px: int, shrink: int
) -> Iterator[NDArray[np.float32]]:
    """Painted windows in the photo's own pixels, float32 ``[h, w, 3]``; one at a time leaves memory to the next."""
    pictures = np.stack([_seen(_cut(image_rgb, box), side_px, shrink, cv2.INTER_AREA) for box in boxes])
    holes = np.stack([_seen(_cut(hole, box).view(np.uint8), side_px, shrink, cv2.INTER_AREA) > 0 for box in boxes])
    painted = paint(pictures, holes.astype(np.float32))
    for picture, (x0, y0, x1, y1) in zip(painted, boxes, strict=True):
        wide = (
            picture if shrink == 1 else cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_CUBIC)
        )
        yield wide[: y1 - y0, : x1 - x0]


def _seen(part: NDArray[np.uint8], side_px: int, shrink: int, interpolation: int) -> NDArray[np.float32]:
    """What the network sees of a part of the photo: mirrored on where the photo is smaller than a window, shrunk."""
    below, right = side_px * shrink - part.shape[0], side_px * shrink - part.shape[1]
    if below or right:
        part = np.pad(part, ((0, below), (0, right), *(((0, 0),) if part.ndim == 3 else ())), mode="symmetric")
    part = part.astype(np.float32)
    return part if shrink == 1 else cv2.resize(part, (side_px, side_px), interpolation=interpolation)


def _lay_over(
    painted_rgb: Rgb, top: int, colours: NDArray[np.float32], weight: NDArray[np.float32], mask: Mask, feather_px: int
) -> None:
    """Put finished rows into the photo, in the mask wholly and over the feather less and less."""
    bottom = top + len(weight)
    begin, end = max(top - feather_px - 1, 0), min(bottom + feather_px + 1, len(mask))
    opacity = _opacity(mask[begin:end], feather_px)[top - begin : bottom - begin]
    rows, columns = np.nonzero((opacity > 0) & (weight > 0))
    share = opacity[rows, columns][:, None]
    new = colours[rows, columns] / weight[rows, columns][:, None]
    old = painted_rgb[top + rows, columns]
    mixed = np.rint(share * new + (1 - share) * old)
    painted_rgb[top + rows, columns] = np.clip(mixed, 0, 255).astype(np.uint8)


def _opacity(mask: Mask, feather_px: int) -> NDArray[np.float32]:
    """1 in the mask, falling to 0 just beyond `feather_px`; nothing where `_grown` has nothing."""
    if not feather_px or not mask.any():
        return mask.astype(np.float32)
    off = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.clip(1 - off / (feather_px + 1), 0, 1) * _grown(mask, feather_px)
