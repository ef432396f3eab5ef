"""Small pictures for a sheet: a picture with its shapes, without their legend, and words under it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quadrat import images
from quadrat.formats import overlay
from quadrat.shapes import Shape

CELL_PX = 460
"""Width of a cell."""

_DRAWN_PX, _GAP_PX = 900, 5
_GRAY, _PAPER = 225, 250


def blank(size_wh: tuple[int, int]) -> images.Rgb:
    """In the place of a picture that there is not."""
    return np.full((size_wh[1], size_wh[0], 3), _GRAY, np.uint8)


def cell(image_rgb: images.Rgb, shapes: Sequence[Shape], words: str) -> images.Rgb:
    """One cell, `CELL_PX` wide with the gap round it.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        shapes: in its pixels.
        words: stand under it.
    """
    height, width = image_rgb.shape[:2]
    scale = min(1.0, _DRAWN_PX / max(height, width))
    drawn = overlay.draw(image_rgb, shapes, long_side=_DRAWN_PX)[: round(height * scale), : round(width * scale)]
    made = overlay.contact_sheet([drawn], columns=1, cell_px=CELL_PX - 2 * _GAP_PX, note=words)
    return np.pad(made, ((_GAP_PX, _GAP_PX), (_GAP_PX, _GAP_PX), (0, 0)), constant_values=_PAPER)


def sheet(rows: Sequence[Sequence[images.Rgb]], note: str) -> images.Rgb:
    """One row a photo, all of as many cells.

    Args:
        rows: at least one.
        note: stands under the sheet.
    """
    return overlay.contact_sheet([c for row in rows for c in row], columns=len(rows[0]), cell_px=CELL_PX, note=note)
