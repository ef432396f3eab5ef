"""Strings followed near curves: where they run, where they are seen, how wide they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from grid_inpainting.strands import doubled, widths
from grid_inpainting.strands.bands import Bands
from grid_inpainting.strands.curves import Curves
from grid_inpainting.strands.strips import Mask, Signal, cut, moved, sample, smooth_along
from grid_inpainting.strands.visible import Appearance, seen_along
from grid_inpainting.strands.yarn import trace

_USUAL_SIDE_PX = 1280
_MARGIN_PX, _SPREAD_PX = 14, 3.0
"""What is seen of the surroundings on either side, and how far off points may be, in photos of the usual size."""
_SEARCH, _APART = 0.1, 0.45
"""How far off a string is sought, and how far off the surroundings are looked at: in cells."""
_SECOND = 0.3
_MOST_CELL = 0.12
"""Of the photo's longer side; a larger cell is not looked at as a whole."""
_SMOOTH = 9
"""Pieces over which the whole places of a path are averaged."""


def follow(image_rgb: NDArray[np.uint8], expected: Curves) -> list[Bands]:
    """The bands that strings cover: none where no string is seen, else the strings and, if any, second strands.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        expected: where strings may run, about a px between pieces.
    """
    unit = max(1.0, max(image_rgb.shape[:2]) / _USUAL_SIDE_PX)
    inside = expected.inside(image_rgb.shape[1::-1])
    if not inside.any():
        return []
    expected, inside = expected.only(inside.any(1)), inside[inside.any(1)]
    cell = min(float(np.median(expected.cell_px)), _MOST_CELL * max(image_rgb.shape[:2]))
    margin, search = round(_MARGIN_PX * unit), max(4, round(_SEARCH * cell))
    near = sample(image_rgb, expected.xy_px, search + margin)
    yarn, path = trace(near, inside, _SPREAD_PX * unit, margin)
    off = uniform_filter1d((path - search).astype(np.float64), _SMOOTH, axis=1, mode="nearest")
    line = moved(expected.xy_px, off)
    apart = round(max(_APART * cell, 12 * unit))
    strips = sample(image_rgb, line, apart + margin)
    raw = cut(strips, 0, margin).copy()
    strips = smooth_along(strips)
    on = cut(strips, 0, margin)
    look = Appearance.learn(on[inside], expected.covered[inside], _beside(strips, inside, apart, margin), yarn)
    seen = seen_along(look.log_odds(on), inside, expected.covered)
    if not seen.any():
        return []
    relief = look.relief(strips, seen)
    reach = doubled.reach_of(yarn.width, _SECOND * cell)
    apart_from = seen & ~_crossed(expected, yarn.width)
    off, twice = doubled.second_strands(strips, relief, look, apart_from, reach)
    alone = _if_enough(seen & ~twice, seen)
    left, right = widths.borders(raw, alone, yarn.contrast, bool(twice.any()))
    lumps = widths.with_lumps(relief, seen, left, right, yarn.width + 3)
    second = np.full(seen.shape, left), np.full(seen.shape, right)
    return [Bands(line, *lumps, seen), Bands(moved(line, off), *second, twice)]


def _beside(strips: Signal, inside: Mask, apart: int, margin: int) -> Signal:
    """Profiles off the strings, at two distances on either side: ``[B, T, 3]``."""
    every = max(np.count_nonzero(inside) // 4000, 1)
    offs = (-apart, -3 * apart // 4, 3 * apart // 4, apart)
    return np.concatenate([cut(strips, off, margin)[inside][::every] for off in offs])


def _crossed(expected: Curves, width: float) -> Mask:
    """Pieces where another string crosses."""
    piece = np.arange(expected.xy_px.shape[1])
    reach = (0.8 * width + 4) / expected.step_px[:, None]
    crossed = np.zeros(expected.xy_px.shape[:2], np.bool_)
    for knot in expected.knots.T:
        crossed |= np.abs(piece - knot[:, None]) < reach
    return crossed


def _if_enough(some: Mask, every: Mask) -> Mask:
    return some if np.count_nonzero(some) > 0.1 * np.count_nonzero(every) else every
