"""Many samples on one picture, beside real photographs, to be looked at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render.scene import render
from data_engineering.render.settings import Settings
from quadrat import images
from quadrat.formats import overlay as overlays

Picture = NDArray[np.uint8]

_GAP_PX = 6


def write(
    path: Path,
    count: int,
    seed: int = 0,
    settings: Settings | None = None,
    beside: Path | None = None,
    *,
    overlay: bool = False,
    cell_px: int = 480,
) -> None:
    """Render `count` samples onto one sheet.

    Args:
        path: ``.png`` or ``.jpg``.
        count: rendered samples, at least 1.
        seed: of the first; the others follow.
        settings: what is drawn and how often.
        beside: folder of real photographs; as many go to the left of the rendered ones.
        overlay: draw the truth.
        cell_px: side of one cell.

    Raises:
        ValueError: `count` is below 1, or there is no photograph in `beside`.
    """
    if count < 1:
        raise ValueError(f"count is {count}: expected at least 1")
    shown = [_picture(seed + i, settings, overlay) for i in range(count)]
    sheet = grid([_fitted(picture, cell_px) for picture in shown])
    if beside is not None:
        photos = images.list_photos(beside)
        if not photos:
            raise ValueError(f"{beside} holds no photograph")
        real = grid([_fitted(images.read(photo), cell_px) for photo in photos[:count]])
        height = max(real.shape[0], sheet.shape[0])
        sheet = np.hstack(
            [_padded(real, height), np.full((height, 4 * _GAP_PX, 3), 255, np.uint8), _padded(sheet, height)]
        )
    images.write(path, sheet)


def grid(cells: list[Picture]) -> Picture:
    """Cells of one size in a block about as wide as it is high."""
    columns = int(np.ceil(np.sqrt(len(cells))))
    cells = cells + [np.zeros_like(cells[0])] * (-len(cells) % columns)
    return np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])


def _picture(seed: int, settings: Settings | None, overlay: bool) -> Picture:
    sample = render(seed, settings)
    return overlays.draw(sample.photo, sample.annotations.shapes) if overlay else sample.photo


def _fitted(picture: Picture, cell_px: int) -> Picture:
    room = cell_px - _GAP_PX
    scale = room / max(picture.shape[:2])
    h, w = (max(round(side * scale), 1) for side in picture.shape[:2])
    cell = np.zeros((cell_px, cell_px, 3), np.uint8)
    y, x = (cell_px - h) // 2, (cell_px - w) // 2
    cell[y : y + h, x : x + w] = cv2.resize(
        picture, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    return cell


def _padded(sheet: Picture, height: int) -> Picture:
    return np.vstack([sheet, np.zeros((height - sheet.shape[0], sheet.shape[1], 3), np.uint8)])
