"""Tileable textures that every surface is made of: fractal noise, cells, labyrinths.

Made once a process from fixed seeds (about a second), then only looked up: a photograph costs few random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

TILE_PX, NOISE_PX = 512, 1024
SEPTA = 13
_CELLS = 400


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A texture that repeats.

    Attributes:
        levels: float32 ``[n, n]`` or ``[n, n, C]``, each half the size of the one before: the fine ones alias when
            they are made small.
        period_px: size of one feature (cell, wave) in `levels[0]`.
    """

    levels: tuple[Field, ...]
    period_px: float

    def sample(self, x_px: Field, y_px: Field, feature_px: float, offset: NDArray[np.float64]) -> Field:
        """Look the texture up at ``[H, W]`` places so that one feature is `feature_px` wide."""
        scale, level = self._scale(feature_px)
        shift = (offset * level.shape[0]).astype(np.float32)
        return cv2.remap(
            level, x_px * scale + shift[0], y_px * scale + shift[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )

    def spread(self, size_wh: tuple[int, int], feature_px: float, offset: NDArray[np.float64], turns: int) -> Field:
        """Cover a whole picture, the texture turned by `turns` right angles."""
        scale, level = self._scale(feature_px)
        level = np.rot90(level, turns)
        n = level.shape[0]
        x, y = ((int(o * n) + np.arange(int(side * scale) + 2)) % n for o, side in zip(offset, size_wh, strict=True))
        return cv2.resize(level[y[:, None], x], size_wh, interpolation=cv2.INTER_LINEAR)

    def _scale(self, feature_px: float) -> tuple[np.float32, Field]:
        scale = self.period_px / max(feature_px, 0.5)
        step = int(np.clip(np.floor(np.log2(max(scale, 1e-6)) + 0.3), 0, len(self.levels) - 1))
        return np.float32(scale / 2**step), self.levels[step]


@cache
def noise(slope: float) -> Tile:
    """Fractal noise of mean 0 and deviation 1; `slope` 1 is rough, 2 is cloudy. The longest wave is two features."""
    waves = 8
    spectrum = np.fft.rfft2(np.random.default_rng([1, round(100 * slope)]).standard_normal((NOISE_PX, NOISE_PX)))
    spectrum[0, 0] = 0
    spectrum /= np.maximum(_frequency(NOISE_PX)[:, : spectrum.shape[1]], waves) ** slope
    field = np.fft.irfft2(spectrum)
    return _tile(field / field.std(), NOISE_PX / waves / 2)


@cache
def grain(seed: int) -> Tile:
    """Plain noise of deviation 1, one feature a pixel."""
    field = np.random.default_rng([2, seed]).standard_normal((TILE_PX, TILE_PX))
    return Tile((field.astype(np.float32),), 1.0)


@cache
def cells(regular: int, seed: int) -> Tile:
    """Voronoi cells; `regular` rounds of relaxation make them alike.

    Channels: distance to the cell's centre (0 there, about 1 at its edge), distance to the edge (0 there, about 1
    at the centre), a random number 0..1 of the cell.
    """
    return _tile(corallites(regular, seed).levels[0][..., :3], TILE_PX / np.sqrt(_CELLS))


@cache
def corallites(regular: int, seed: int) -> Tile:
    """As `cells`, with a fourth channel, the septa: -1..1, `SEPTA` waves about the cell's centre."""
    rng = np.random.default_rng([3, regular, seed])
    sites = rng.uniform(0, TILE_PX, (_CELLS, 2))
    for _ in range(regular):
        _, owner = _nearest(sites)
        sites = _centroids(sites, owner)
    distance, owner = _nearest(sites)
    radius = TILE_PX / np.sqrt(_CELLS) / 2
    edge = (owner != np.roll(owner, 1, 0)) | (owner != np.roll(owner, 1, 1))
    to_edge = cv2.distanceTransform(np.tile((~edge).astype(np.uint8), (2, 2)), cv2.DIST_L2, 5)
    half = TILE_PX // 2
    to_edge = np.roll(to_edge[half : half + TILE_PX, half : half + TILE_PX], (half, half), (0, 1))
    number = rng.uniform(0, 1, _CELLS)[owner]
    dx, dy = (_wrapped(place - sites[owner, axis]) for axis, place in enumerate(_places()))
    septa = np.sin(SEPTA * np.arctan2(dy, dx) + 40 * number) * np.minimum(distance / 4, 1)
    return _tile(np.dstack([np.minimum(distance / radius, 1.6), to_edge / radius, number, septa]), 2 * radius)


@cache
def labyrinth(seed: int) -> Tile:
    """Winding ridges and valleys, -1..1, as brain corals have them: noise of one wavelength, its contrast evened."""
    period = 24.0
    spectrum = np.fft.fft2(np.random.default_rng([4, seed]).standard_normal((TILE_PX, TILE_PX)))
    frequency = _frequency(TILE_PX)
    centre = TILE_PX / period
    field = np.fft.ifft2(spectrum * np.exp(-(((frequency - centre) / (0.12 * centre)) ** 2))).real
    return _tile(np.tanh(2 * field / field.std()), period)


def _frequency(n: int) -> NDArray[np.float64]:
    f = np.fft.fftfreq(n) * n
    return np.hypot(f[:, None], f[None, :])


def _places() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.mgrid[0:TILE_PX, 0:TILE_PX] + 0.5
    return x, y


def _wrapped(offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """The short way round the torus."""
    return (offset + TILE_PX / 2) % TILE_PX - TILE_PX / 2


def _nearest(sites: NDArray[np.float64]) -> tuple[Field, NDArray[np.int64]]:
    """Distance to and index of the nearest site, on the torus."""
    from scipy.spatial import cKDTree

    x, y = _places()
    distance, owner = cKDTree(sites % TILE_PX, boxsize=TILE_PX).query(np.stack([x.ravel(), y.ravel()], 1))
    shape = (TILE_PX, TILE_PX)
    return distance.reshape(shape).astype(np.float32), owner.reshape(shape)


def _centroids(sites: NDArray[np.float64], owner: NDArray[np.int64]) -> NDArray[np.float64]:
    flat = owner.ravel()
    count = np.maximum(np.bincount(flat, minlength=len(sites)), 1)
    moved = []
    for axis, place in enumerate(_places()):
        offset = _wrapped(place - sites[owner, axis])
        moved.append(sites[:, axis] + np.bincount(flat, offset.ravel(), len(sites)) / count)
    return np.stack(moved, 1) % TILE_PX


def _tile(field: NDArray, period_px: float) -> Tile:
    levels = [field.astype(np.float32)]
    for _ in range(4):
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return Tile(tuple(levels), period_px)
