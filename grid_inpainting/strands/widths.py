"""How wide strings are: from their profile across, averaged along all that is seen of them, and lump by lump."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from grid_inpainting.strands.strips import Floats, Mask, Signal, along_contrast

_FAINT = 4.0
"""Grey levels (0..255) that are still seen as a rim after painting."""
_SHARE_LEAST, _SHARE_MOST = 0.08, 0.22
"""Of the contrast in the middle: what a border may be taken at."""
_LUMP = 0.5
_CHANCE = 0.97
"""Surroundings that look like yarn by chance are not: of what lies farther off, less than the rest exceeds this."""


def borders(profiles: Signal, seen: Mask, contrast: Signal, doubled: bool) -> tuple[float, float]:
    """Where a string's borders lie off its middle, in places: left (negative) and right.

    A border is where next to nothing is left of the string's contrast: what blur spreads is to be painted over too.

    Args:
        profiles: float32 ``[N, C, T, 3]``, the string in the middle.
        seen: bool ``[N, C]``, at least one true.
        contrast: float32 ``[3]``, see `yarn.Yarn`.
        doubled: whether here and there a second strand runs beside.
    """
    levels = along_contrast(profiles[seen], contrast)
    level = np.median(levels, 0) if doubled else levels.mean(0)
    margin = len(level) // 2
    level = level - np.median(level[[0, 1, 2, 3, -4, -3, -2, -1]])
    peak = float(level[margin - 1 : margin + 2].max())
    faint = float(np.clip(_FAINT, _SHARE_LEAST * peak, _SHARE_MOST * peak))
    return -_falls_to(level[margin::-1], faint), _falls_to(level[margin:], faint)


def with_lumps(relief: Signal, seen: Mask, left: float, right: float, most: int) -> tuple[Floats, Floats]:
    """Borders at each piece: knots, tufts of algae and strands close beside make a string wider there.

    Args:
        relief: float32 ``[N, C, T]``, see `visible.Appearance.relief`.
        seen: bool ``[N, C]``, at least one true.
        left: border of the string as such, in places, negative.
        right: likewise.
        most: places by which a border may move.

    Returns:
        Left and right borders in places, float64 ``[N, C]``.
    """
    middle = relief.shape[2] // 2
    third = max(middle // 3, 1)
    far = relief[..., np.r_[:third, -third:0]][seen]
    level = max(_LUMP, float(np.quantile(far[::7], _CHANCE)))
    moved = [
        _moved(side, border, level, most)
        for side, border in ((relief[..., middle::-1], -left), (relief[..., middle:], right))
    ]
    return -moved[0], moved[1]


def _moved(side: Signal, border: float, level: float, most: int) -> Floats:
    """How far yarn goes on without a gap from a border, a place more for blur: ``[N, C]``."""
    first = round(border) + 1
    like = side[..., first : first + most] > level
    if not like.shape[2]:
        return np.full(side.shape[:2], border)
    run: NDArray[np.int64] = np.where(like.all(2), like.shape[2], np.argmin(like, 2))
    run = median_filter(run, (1, 5))
    return np.where(run > 0, first + run + 0.5, border)


def _falls_to(values: Signal, level: float) -> float:
    """At which place (not whole) values fall below a level; half a place at least."""
    below = values < level
    k = int(below.argmax())
    if not below[k]:
        return float(len(values) - 1)
    return max(float(k - (level - values[k]) / (values[k - 1] - values[k])), 0.5) if k else 0.5
