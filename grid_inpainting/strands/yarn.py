"""What the yarn of a frame looks like, and where each string runs: learnt from the strips of all strings together.

A string is sought on the inner places of its strip (`strips`), those farther than `margin` from both borders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_inpainting.strands.strips import Floats, Mask, Path, Signal, align, along_contrast, smooth_along

_WIDTHS = (1, 3, 5, 7, 9, 13, 17, 23)
_CONTRASTS = np.array([(1, 1, 1), (2, -1, -1), (-1, -1, 2), (1, 1, -2)], np.float32) / 4
"""Bright, red, blue and yellow against the rest."""
_CLIP = 4.0
_TURN = 3.0
"""Cost of a path's step by one place between pieces: strings hang smoothly."""
_SEEN = 1.0
_SPREAD_LEAST = 0.7
_PRIOR = 0.15
_ROUNDS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Yarn:
    """How the yarn differs from what is beside it.

    Attributes:
        contrast: float32 ``[3]``, the direction of colours that shows it best; absolute values sum to 1.
        width: of its core (at half height), odd, in places.
    """

    contrast: Signal
    width: int


def trace(strips: Signal, inside: Mask, spread: float, margin: int) -> tuple[Yarn, Path]:
    """Learn the yarn and follow it.

    Args:
        strips: float32 ``[N, C, T, 3]``.
        inside: bool ``[N, C]``, false for pieces beyond the photo.
        spread: by how many places strings may lie off the middle (standard deviation), before the photo is asked.
        margin: places to either side that only show the surroundings.

    Returns:
        The yarn, and the inner place of each piece, int64 ``[N, C]``.
    """
    strips = smooth_along(strips)
    middle = strips.shape[2] // 2 - margin
    unlikely = _unlikely(middle, spread)
    yarn = _first_look(strips, inside, unlikely, margin)
    signal, path = _follow(strips, inside, unlikely, margin, yarn)
    for _ in range(_ROUNDS):
        seen = (np.take_along_axis(signal, path[..., None], 2)[..., 0] > _SEEN) & inside
        if np.count_nonzero(seen) < 60:
            break
        off = (path[seen] - middle).astype(np.float64)
        unlikely = _unlikely(middle, float(np.clip(np.sqrt(np.mean(off**2)), _SPREAD_LEAST, spread)))
        aligned = align(strips, path, margin)[seen]
        contrast = _contrast(aligned, yarn.width, margin)
        yarn = Yarn(contrast, _width(along_contrast(aligned, contrast), margin))
        signal, path = _follow(strips, inside, unlikely, margin, yarn)
    return yarn, path


def best_path(gain: Signal, turn: float = _TURN) -> Path:
    """The path ``[N, C]`` of greatest gain through ``[N, C, I]`` that turns little (Viterbi, 1967)."""
    n, pieces, places = gain.shape
    turns = np.array([0.0, turn, turn], np.float32)[:, None, None]
    best: Signal = gain[:, 0]
    back = np.zeros(gain.shape, np.int8)
    padded = np.full((n, places + 2), -1e9, np.float32)
    for c in range(1, pieces):
        padded[:, 1:-1] = best
        ways = np.stack([best, padded[:, :-2], padded[:, 2:]]) - turns
        chosen = ways.argmax(0)
        back[:, c] = np.array([0, -1, 1], np.int8)[chosen]
        best = np.take_along_axis(ways, chosen[None], 0)[0] + gain[:, c]
    path = np.zeros((n, pieces), np.int64)
    path[:, -1] = best.argmax(1)
    for c in range(pieces - 1, 0, -1):
        path[:, c - 1] = path[:, c] + back[np.arange(n), c, path[:, c]]
    return path


def _unlikely(middle: int, spread: float) -> Floats:
    """Cost of each inner place; what many pieces together say outweighs it."""
    cost: Floats = _PRIOR * ((np.arange(2 * middle + 1) - middle) / spread) ** 2
    return cost


def _above_sides(levels: Signal, width: int, margin: int) -> tuple[Signal, Signal]:
    """By how much a box of `width` exceeds the box to its left, and to its right: ``[..., T]`` to inner places."""
    total = np.cumsum(np.pad(levels, [(0, 0)] * (levels.ndim - 1) + [(1, 0)]), -1, dtype=np.float32)
    at, half = np.arange(margin, levels.shape[-1] - margin), width // 2
    gap = 1 + width // 6
    side = max(min(max(half, 3), margin - half - gap), 1)

    def box(low: int, high: int) -> Signal:
        mean: Signal = (total[..., at + high] - total[..., at + low]) / (high - low)
        return mean

    middle = box(-half, half + 1)
    return middle - box(-half - gap - side, -half - gap), middle - box(half + 1 + gap, half + 1 + gap + side)


def _deviation(values: NDArray[Any]) -> float:
    """Standard deviation about 0, outliers aside."""
    return 1.48 * float(np.median(np.abs(values))) + 1e-3


def _follow(strips: Signal, inside: Mask, unlikely: Floats, margin: int, yarn: Yarn) -> tuple[Signal, Path]:
    left, right = _above_sides(along_contrast(strips, yarn.contrast), yarn.width, margin)
    signal: Signal = (left + right) / 2
    signal /= _deviation(signal[inside][::3])
    signal[~inside] = 0
    return signal, best_path(np.clip(signal, -1, _CLIP) - unlikely.astype(np.float32))


def _first_look(strips: Signal, inside: Mask, unlikely: Floats, margin: int) -> Yarn:
    """Width and contrast that most pieces show most clearly, on both sides, near where strings are expected."""
    some = strips[inside][:: max(np.count_nonzero(inside) // 4000, 1)]
    best = (-np.inf, _WIDTHS[0], _CONTRASTS[0])
    for contrast in np.concatenate([_CONTRASTS, -_CONTRASTS]):
        levels = along_contrast(some, contrast)
        for width in (w for w in _WIDTHS if w // 2 + 3 < margin):
            left, right = _above_sides(levels, width, margin)
            clear = np.minimum(left, right) / _deviation((left + right) / 2) - unlikely.astype(np.float32)
            best = max(best, (float(np.minimum(clear.max(1), 6).mean()), width, contrast), key=lambda one: one[0])
    return Yarn(best[2], best[1])


def _contrast(aligned: Signal, width: int, margin: int) -> Signal:
    """Fisher's (1936) direction between yarn and surroundings, of profiles that have the yarn in the middle."""
    half = width // 2
    yarn = aligned[:, margin - half : margin + half + 1].mean(1)
    rest = np.concatenate([aligned[:, : margin - half - 1], aligned[:, margin + half + 2 :]], 1)
    raised = yarn - rest.mean(1)
    noise = np.concatenate([(rest - rest.mean(1, keepdims=True))[:, ::3].reshape(-1, 3), raised - raised.mean(0)])
    noise = np.clip(noise, *np.percentile(noise, (1, 99), axis=0))
    noise -= noise.mean(0)
    spread = np.einsum("ni,nj->ij", noise, noise) / len(noise)
    direction = np.linalg.solve(spread + 2 * np.eye(3), np.median(raised, 0))
    return np.asarray(direction / max(float(np.abs(direction).sum()), 1e-9), np.float32)


def _width(levels: Signal, margin: int) -> int:
    """Width at half height of the median profile, odd, in places."""
    level = np.median(levels - levels[:, [0, 1, 2, -3, -2, -1]].mean(1, keepdims=True), 0)
    below = level < level[margin - 1 : margin + 2].mean() / 2
    reach = [int(side.argmax()) if side.any() else margin for side in (below[margin::-1], below[margin:])]
    return int(np.clip((sum(reach) - 1) | 1, 1, 2 * (margin - 5) - 1))
