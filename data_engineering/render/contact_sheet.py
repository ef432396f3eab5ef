"""Many samples on one picture, among real photographs if wished, to be looked at."""

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
    among: Path | None = None,
    *,
    overlay: bool = False,
    cell_px: int = 480,
) -> list[int]:
    """Render `count` samples onto one sheet.

    Args:
        path: ``.png`` or ``.jpg``.
        count: rendered samples, at least 1.
        seed: of the first; the others follow.
        settings: what is drawn and how often.
        among: folder of real photographs; all of them are shuffled in, so that one can try to tell them apart.
        overlay: draw the truth.
        cell_px: side of one cell.

    Returns:
        The cells that hold real photographs, counted from 1, row by row.

    Raises:
        ValueError: `count` is below 1, or there is no photograph in `among`.
    """
    if count < 1:
        raise ValueError(f"count is {count}: expected at least 1")
    real = images.list_photos(among) if among is not None else []
    if among is not None and not real:
        raise ValueError(f"{among} holds no photograph")
    cells = [_fitted(images.read(photo), cell_px) for photo in real]
    cells += [_fitted(_picture(seed + i, settings, overlay), cell_px) for i in range(count)]
    order = np.random.default_rng(seed).permutation(len(cells)) if real else np.arange(len(cells))
    images.write(path, grid([cells[i] for i in order]))
    return [place for place, i in enumerate(order, 1) if i < len(real)]


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
