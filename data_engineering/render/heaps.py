"""Tileable heaps of solid pieces seen from above: broken branches, stones, dead thickets.

Made once a process from fixed seeds, as `tiles` are. Each piece is rounded, crooked and lies over or under the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render import tiles
from data_engineering.render.tiles import Field, Tile

_SIDE_PX = 1024


@dataclass(frozen=True, slots=True)
class _Piece:
    """Half length and half width in px, direction in radians, height of its middle and rise along it in px."""

    x: float
    y: float
    half: float
    width: float
    turn: float
    base: float
    rise: float = 0.0


@cache
def rubble() -> Tile:
    """Broken branches, one width of a branch a feature. Channels as `_heap` has them."""
    rng = np.random.default_rng([6, 0])
    pieces = []
    for _ in range(1500):
        width = float(np.clip(9 * np.exp(0.35 * rng.standard_normal()), 4, 18))
        stem = _Piece(*rng.uniform(0, _SIDE_PX, 2), width * rng.uniform(1.2, 5), width, *rng.uniform(0, 7, 2))
        pieces.append(stem)
        for _ in range(rng.integers(0, 3)):  # stubs of side branches
            at, turn = rng.uniform(-0.8, 0.8) * stem.half, stem.turn + rng.uniform(0.6, 1.4) * rng.choice([-1, 1])
            place = (stem.x + at * np.cos(stem.turn), stem.y + at * np.sin(stem.turn))
            pieces.append(_Piece(*place, stem.width * 1.9, stem.width * 0.8, turn, stem.base, 0.3))
    for _ in range(1800):  # crumbs below
        width = rng.uniform(3, 7)
        place = rng.uniform(0, _SIDE_PX, 2)
        pieces.append(_Piece(*place, width * rng.uniform(1, 2.5), width, rng.uniform(0, 7), rng.uniform(-9, -3)))
    return _heap(pieces, rng, 18.0)


@cache
def stones() -> Tile:
    """Boulders and pebbles of all sizes, the middling ones one feature wide; without the third channel."""
    rng = np.random.default_rng([6, 1])
    pieces = []
    for _ in range(850):
        width = float(np.clip(15 * rng.pareto(1.7) + 9, 9, 105))
        half = width * rng.uniform(1.0, 1.9)
        place = rng.uniform(0, _SIDE_PX, 2)
        pieces.append(_Piece(*place, half, width, rng.uniform(0, 7), rng.uniform(-0.9, 0.1) * width))
    heap = _heap(pieces, rng, 60.0)
    return Tile(tuple(np.ascontiguousarray(level[..., :2]) for level in heap.levels), heap.period_px)


@cache
def thicket() -> Tile:
    """Dead branching corals still standing: fingers that lean out from many centres and rise towards their tips."""
    rng = np.random.default_rng([6, 2])
    pieces = []
    for _ in range(95):
        x, y = rng.uniform(0, _SIDE_PX, 2)
        reach, base = rng.uniform(30, 95), rng.uniform(-20, 30)
        for _ in range(int(reach * 0.5)):
            turn, out = rng.uniform(0, 2 * np.pi), reach * np.sqrt(rng.uniform(0, 1))
            lean = out / reach
            place = (x + out * np.cos(turn), y + out * np.sin(turn))
            half, width = 6 + 18 * lean, rng.uniform(4.5, 8)
            top = base + 26 * (1 - lean * lean)
            pieces.append(_Piece(*place, half, width, turn + rng.normal(0, 0.35), top, 0.7 * (1 - 0.6 * lean)))
    return _heap(pieces, rng, 14.0)


@cache
def grit(slope: float = 0.9) -> Tile:
    """Noise of mean 0 and deviation 1 for what is fine: eight times as many features a side as `tiles.noise` has."""
    n, longest = _SIDE_PX, 64
    waves = np.fft.rfft2(np.random.default_rng([6, 3, round(100 * slope)]).standard_normal((n, n)))
    frequency = np.hypot(np.fft.fftfreq(n)[:, None] * n, np.fft.rfftfreq(n)[None] * n)
    field = np.fft.irfft2(waves / np.maximum(frequency, longest) ** slope)
    return _levels(field - field.mean(), n / longest / 2, field.std())


def _heap(pieces: list[_Piece], rng: np.random.Generator, feature_px: float) -> Tile:
    """Lay pieces down so that the highest is seen.

    Channels: height in features, about 0; the piece's own random number 0..1; how far inside the piece's outline,
    0 at its edge and 1 along its middle.
    """
    top = np.full((_SIDE_PX, _SIDE_PX), -12, np.float32)
    number, inside = np.zeros_like(top), np.zeros_like(top)
    crooked = tiles.noise(1.5).levels[0]
    for piece in pieces:
        for rows, columns, height, depth in _drawn(piece, crooked, rng):
            where = np.ix_(rows, columns)
            over = (depth > 0) & (height > top[where])
            top[where] = np.where(over, height, top[where])
            number[where] = np.where(over, np.float32(rng.uniform()), number[where])
            inside[where] = np.where(over, depth, inside[where])
    top = (top - top.mean()) / feature_px
    return _levels(np.dstack([np.maximum(top, -1.0), number, inside]), feature_px)


def _levels(field: NDArray[np.floating], feature_px: float, over: float = 1.0) -> Tile:
    levels = [(field / over).astype(np.float32)]
    for _ in range(4):
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return Tile(tuple(levels), feature_px)


def _drawn(
    piece: _Piece, crooked: Field, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Field, Field]]:
    """Rows, columns (on the torus), height and depth inside the outline of one piece."""
    n = int(np.ceil(max(piece.half, piece.width) * 1.25)) + 1
    axis = np.arange(-n, n + 1, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    c, s = np.float32(np.cos(piece.turn)), np.float32(np.sin(piece.turn))
    along, across = c * x + s * y, c * y - s * x
    oy, ox = rng.integers(0, _SIDE_PX - 2 * n - 1, 2)
    bend = crooked[oy : oy + 2 * n + 1, ox : ox + 2 * n + 1]
    across = across + np.float32(rng.normal(0, 0.12) / piece.half) * along * along
    beyond = np.maximum(np.abs(along) - np.float32(max(piece.half - piece.width, 0)), 0)
    distance = np.hypot(beyond, across) / np.float32(piece.width) * (1 + 0.16 * bend)
    depth = 1 - distance
    round_top = np.sqrt(np.clip(1 - distance * distance, 0, 1))
    height = piece.base + piece.width * (0.9 * round_top + 0.05 * bend) + piece.rise * along
    middle = (int(piece.y), int(piece.x))
    rows, columns = ((m + axis.astype(np.int64)) % _SIDE_PX for m in middle)
    yield rows, columns, height.astype(np.float32), depth.astype(np.float32)
