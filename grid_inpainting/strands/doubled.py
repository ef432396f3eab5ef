"""Second strands: strings that are doubled have another strand beside them, or wound about them."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from grid_inpainting.strands.strips import Floats, Mask, Path, Signal, cut
from grid_inpainting.strands.visible import Appearance, chain
from grid_inpainting.strands.yarn import best_path

_EVERY_PIECE, _EVERY_PLACE = 4, 2
_LEAST_GAIN, _MOST_GAIN = -3.0, 4.0
_TURN = 1.0
_RELIEF = 0.5
_ALL_ABOVE, _ONE_ABOVE = 0.3, 1.2
"""Mean log odds along a second path from which on it is taken for a strand: median of all strings, and of one alone."""
_DOUBT = 1.0


def reach_of(width: float, most: float) -> int:
    """How far off a second strand is sought, in places."""
    return int(min(2.0 * width + 4, most))


def second_strands(strips: Signal, relief: Signal, look: Appearance, seen: Mask, reach: int) -> tuple[Floats, Mask]:
    """Where a second strand runs beside each string. A frame is strung of single or of doubled strings as a whole.

    Args:
        strips: float32 ``[N, C, T, 3]``, the string in the middle.
        relief: float32 ``[N, C, T]``, see `Appearance.relief`.
        look: what strings look like.
        seen: bool ``[N, C]``, where the string is seen and no other crosses: no second one is sought elsewhere.
        reach: how far off it is sought, in places.

    Returns:
        Its distance from the string in places, float64 ``[N, C]``, and bool ``[N, C]``, where it is seen apart from it.
    """
    some, counted = strips[:, ::_EVERY_PIECE], seen[:, ::_EVERY_PIECE]
    if not counted.any():
        return np.zeros(seen.shape), np.zeros(seen.shape, np.bool_)
    off = np.arange(-reach, reach + 1, _EVERY_PLACE)
    gain = _gain(some, relief[:, ::_EVERY_PIECE], look, counted, off)
    path = best_path(gain, _TURN)
    told = np.take_along_axis(gain, path[..., None], 2)[..., 0].astype(np.float64)
    means = told.sum(1) / np.maximum(np.count_nonzero(counted, axis=1), 1)
    taken = means > (_ALL_ABOVE / 4 if np.median(means) > _ALL_ABOVE else _ONE_ABOVE)
    apart = (told != 0) & chain(told - _DOUBT) & taken[:, None]
    return _every_piece(off[path], seen.shape[1]), np.repeat(apart, _EVERY_PIECE, 1)[:, : seen.shape[1]] & seen


def _gain(some: Signal, relief: Signal, look: Appearance, counted: Mask, off: Path) -> Signal:
    """What a second path gains at distances `off` of the string: float32 ``[N, C, len(off)]``."""
    odds = np.stack([look.log_odds(cut(some, int(o), look.reach)) for o in off], -1)
    gain = np.clip(odds, _LEAST_GAIN, _MOST_GAIN).astype(np.float32)
    raised = uniform_filter1d(relief, look.yarn.width, axis=2)[:, :, relief.shape[2] // 2 + off]
    gain = np.where(raised > _RELIEF, gain, np.minimum(gain, 0))
    gain -= np.maximum(np.median(gain[counted], 0), 0)  # what the string itself looks like from there
    gain[:, :, np.abs(off) <= 0.75 * look.yarn.width + 1.5] = 0  # on the string itself: neither for nor against
    gain[~counted] = 0
    return gain


def _every_piece(off: Path, pieces: int) -> Floats:
    """Distances at some pieces, taken smoothly to all."""
    at, known = np.arange(pieces) / _EVERY_PIECE, np.arange(off.shape[1])
    between = np.stack([np.interp(at, known, row.astype(np.float64)) for row in off])
    smooth: Floats = uniform_filter1d(between, 2 * _EVERY_PIECE + 1, axis=1, mode="nearest")
    return smooth
