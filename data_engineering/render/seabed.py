"""What the colonies grow on: ledges and boulders, rubble, dead thickets and sand, coated by turf, crusts and mats.

Heights are laid over one another and the highest is seen, so sand and rubble fill the hollows between the rocks as they
do on a reef. What only colours (turf, crustose algae, cyanobacteria, dust) comes after, by place and by height.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render import heaps, tiles
from data_engineering.render.surfaces import step
from data_engineering.render.tiles import Field, Tile

Rgb = tuple[float, float, float]

_DARK, _MIDDLE, _PALE = (62.0, 55.0, 42.0), (128.0, 117.0, 94.0), (204.0, 194.0, 166.0)
_TURFS: tuple[tuple[Rgb, Rgb], ...] = (
    ((52, 48, 26), (128, 118, 70)),
    ((64, 50, 32), (140, 116, 78)),
    ((48, 52, 34), (112, 116, 78)),
    ((84, 76, 58), (150, 138, 108)),
)
_CRUSTS: tuple[Rgb, ...] = ((168, 112, 122), (146, 98, 116), (172, 126, 120), (126, 78, 88), (188, 150, 148))
_MATS: tuple[Rgb, ...] = ((84, 56, 50), (58, 48, 38), (66, 60, 40), (104, 70, 52))
_FINE_PX = 50
"""Noise with smaller features comes from the tile that has many."""
_NOWHERE_CM = 1e3


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """Colour ``[h, w, 3]``, height in cm ``[h, w]``, and how rough it is to the finest, 0..1."""

    colour: Field
    height: Field
    rough: float


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Random numbers, size and scale of what is drawn, and what its layers share.

    `bend`: places of the heaps, x and y in px ``[h, w]``, bent so that they nowhere repeat. `grit`: fine noise.
    """

    rng: np.random.Generator
    size_wh: tuple[int, int]
    px_per_cm: float
    bend: tuple[Field, Field]
    grit: Field

    def noise(self, feature_cm: float, slope: float) -> Field:
        feature_px = feature_cm * self.px_per_cm
        tile = heaps.grit(slope) if feature_px < _FINE_PX else tiles.noise(slope)
        return _noise(self.rng, self.size_wh, feature_px, tile)

    def heap(self, tile: Tile, feature_cm: float) -> list[Field]:
        """The channels of a heap turned at random."""
        turn = self.rng.uniform(0, 2 * np.pi)
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        u, v = self.bend
        looked = tile.sample(c * u + s * v, c * v - s * u, feature_cm * self.px_per_cm, self.rng.uniform(0, 1, 2))
        return list(cv2.split(looked))


def _place(rng: np.random.Generator, size_wh: tuple[int, int], px_per_cm: float) -> _Place:
    w, h = size_wh
    bend = [_noise(rng, size_wh, 16 * px_per_cm, tiles.noise(3.0)) * np.float32(1.0 * px_per_cm) for _ in range(2)]
    bend[0] += np.arange(w, dtype=np.float32)[None, :]
    bend[1] += np.arange(h, dtype=np.float32)[:, None]
    grit = _noise(rng, size_wh, max(rng.uniform(0.5, 1.1) * px_per_cm, 3.0), heaps.grit())
    return _Place(rng, size_wh, px_per_cm, (bend[0], bend[1]), grit)


def _noise(rng: np.random.Generator, size_wh: tuple[int, int], feature_px: float, tile: Tile) -> Field:
    """A tile over the whole picture; where a part of it is enough, that part is only looked at, not copied."""
    level, scale = tile.levels[0], tile.period_px / feature_px
    n = level.shape[0]
    w, h = (int(side * scale) + 2 for side in size_wh)
    if max(w, h) > n:
        return tile.spread(size_wh, feature_px, rng.uniform(0, 1, 2), int(rng.integers(4)))
    x, y = int(rng.integers(n - w + 1)), int(rng.integers(n - h + 1))
    return cv2.resize(level[y : y + h, x : x + w], size_wh, interpolation=cv2.INTER_LINEAR)


def draw(rng: np.random.Generator, size_wh: tuple[int, int], px_per_cm: float) -> tuple[Field, Field]:
    """Draw the seabed, unlit.

    Args:
        rng: the photo's random numbers.
        size_wh: canvas in px.
        px_per_cm: scale of the canvas.

    Returns:
        Colour float32 ``[h, w, 3]`` 0..255 and height float32 ``[h, w]`` px.
    """
    place = _place(rng, ((size_wh[0] + 1) // 2, (size_wh[1] + 1) // 2), px_per_cm / 2)
    colour, height, rough = _pile(place)
    _cavities(place, colour, height)
    colour = cv2.resize(colour, size_wh, interpolation=cv2.INTER_LINEAR)
    height = cv2.resize(height * np.float32(px_per_cm), size_wh, interpolation=cv2.INTER_LINEAR)
    rough *= np.float32(rng.uniform(0.4, 1.0))
    fine = _noise(rng, size_wh, rng.uniform(2.5, 5), heaps.grit())  # what half the size cannot hold
    height += fine * cv2.resize(rough, size_wh, interpolation=cv2.INTER_LINEAR)
    return colour, height


def _pile(place: _Place) -> tuple[Field, Field, Field]:
    """Rock, and over it what lies in its hollows; then the coats."""
    rng = place.rng
    rock = _rock(place)
    colour, height = rock.colour, rock.height
    rough = np.full(height.shape, rock.rough, np.float32)
    sand, rubble, dead = rng.dirichlet([0.45, 0.7, 0.3]) * rng.uniform(0.15, 0.85)
    swell = np.float32(rng.uniform(1, 3.5)) * place.noise(28, 1.9)
    for share, make in ((dead, _dead_thicket), (rubble, _rubble), (sand, _sand)):
        if make is _sand:
            _coat(place, colour, height)
        if share < 0.06:
            continue
        layer = make(place)
        level = height + swell if make is not _dead_thicket else -8 * place.noise(25, 1.8)
        above = np.float32(np.quantile(level[::8, ::8], share)) + layer.height - level
        weight = step(-0.25, 0.25, above)
        colour = cv2.blendLinear(layer.colour, colour, weight, 1 - weight)
        lift = above if make is not _dead_thicket else np.minimum(layer.height, above)
        height = height + np.maximum(lift, 0)
        rough += weight * (np.float32(layer.rough) - rough)
    height += np.float32(rng.uniform(0.3, 2.2)) * place.noise(50, 2.4)
    return colour, height, rough


def _mix(low: Rgb | NDArray, high: Rgb | NDArray, weight: Field) -> Field:
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    weight = np.clip(weight, 0, 1)
    return cv2.merge([low[c] + (high[c] - low[c]) * weight for c in range(3)])


def _rock(place: _Place) -> _Layer:
    """Ledges and boulders of two sizes over one another, eaten and grown over until no face is smooth."""
    rng = place.rng
    size = rng.uniform(6, 18)
    relief = np.float32(rng.uniform(0.4, 1.2))
    big, number = place.heap(heaps.stones(), size)
    small, other = place.heap(heaps.stones(), size * rng.uniform(0.16, 0.3))
    lump, grit = place.noise(4, 1.25), place.grit
    height = relief * np.float32(size) * (0.75 * big + 0.26 * small) + 0.14 * lump + 0.08 * grit
    tone = 0.16 + 0.3 * number + 0.25 * other + 0.09 * lump + 0.1 * grit + 0.2 * step(1.2, 2.2, grit + 0.7 * lump)
    hue = np.array([1, rng.uniform(0.96, 1.02), rng.uniform(0.92, 1.12)]) * rng.uniform(0.85, 1.1)
    colour = _mix(np.array(_DARK) * hue, np.array(_PALE) * hue, tone)
    return _Layer(colour, height, 1.0)


def _rubble(place: _Place) -> _Layer:
    """Broken branches, and a few stones among them."""
    rng = place.rng
    width = 0.5 + 1.1 * rng.beta(1.2, 2.2)
    height, number, depth = place.heap(heaps.rubble(), width)
    grit = place.grit
    tone = np.float32(rng.uniform(0.2, 0.4)) + 0.42 * number + 0.12 * grit
    hue = np.array([1, rng.uniform(0.96, 1.01), rng.uniform(0.94, 1.1)])
    colour = _mix(np.array(_DARK) * hue, np.array(_PALE) * hue, tone)
    colour *= cv2.merge([0.55 + 0.45 * step(-0.05, 0.3, depth)] * 3)
    return _Layer(colour, np.float32(width) * height + 0.03 * grit, 0.75)


def _dead_thicket(place: _Place) -> _Layer:
    """Dead branching corals, turf brown with pale tips."""
    rng = place.rng
    width = rng.uniform(0.6, 1.3)
    height, number, depth = place.heap(heaps.thicket(), width)
    tone = 0.12 + 0.16 * np.maximum(height, 0) + 0.3 * number + 0.08 * place.grit
    colour = _mix((66, 58, 42), (186, 174, 142), tone)
    colour *= cv2.merge([0.5 + 0.5 * step(-0.05, 0.3, depth)] * 3)
    return _Layer(colour, np.where(depth > 0, np.float32(width) * height, np.float32(-_NOWHERE_CM)), 0.8)


def _sand(place: _Place) -> _Layer:
    """Sand in ripples, with grains, crumbs and stains."""
    rng = place.rng
    tone = rng.uniform(0.82, 1.08) * np.array([206, 198, 172]) * (1, rng.uniform(0.97, 1.01), rng.uniform(0.9, 1.06))
    turn, wave = rng.uniform(0, np.pi), rng.uniform(3, 9)
    w, h = place.size_wh
    x = np.arange(w, dtype=np.float32)[None, :] * np.float32(np.cos(turn) / (wave * place.px_per_cm))
    y = np.arange(h, dtype=np.float32)[:, None] * np.float32(np.sin(turn) / (wave * place.px_per_cm))
    ripple = np.sin(2 * np.pi * (x + y + 0.35 * place.noise(20, 2.0))) * np.float32(0.3 * rng.beta(1, 3))
    grain, stain = place.grit, place.noise(12, 1.5)
    crumbs = step(1.7, 2.6, grain + 0.5 * stain)
    colour = _mix(tone * 0.62, tone, 0.72 + 0.08 * ripple + 0.07 * grain + 0.12 * stain - 0.4 * crumbs)
    return _Layer(colour, ripple + 0.015 * grain + 0.1 * crumbs + 0.12 * stain, 0.25)


def _coat(place: _Place, colour: Field, height: Field) -> None:
    """Turf, crustose algae and mats on the rock, in place: each has patches, and is thin in places within them."""
    rng = place.rng
    tuft = place.grit
    low, high = _TURFS[rng.integers(len(_TURFS))]
    turf = _patch(place, rng.uniform(0.1, 0.75), 14) * np.float32(rng.uniform(0.4, 0.9))
    _over(colour, _mix(low, high, 0.45 + 0.24 * tuft), turf)
    height += 0.12 * turf * tuft
    pink = np.array(_CRUSTS[rng.integers(len(_CRUSTS))]) * rng.uniform(0.8, 1.1)
    crust = _patch(place, rng.uniform(0.0, 0.4), 7) * np.float32(rng.uniform(0.25, 0.75))
    _over(colour, _mix(0.62 * pink, 1.12 * pink, 0.5 + 0.25 * tuft), crust)
    if rng.random() < 0.4:
        mat = _patch(place, rng.uniform(0.02, 0.12), 10) * np.float32(rng.uniform(0.5, 0.9))
        tone = np.array(_MATS[rng.integers(len(_MATS))])
        _over(colour, _mix(0.7 * tone, 1.3 * tone, 0.5 + 0.25 * tuft), mat)


def _patch(place: _Place, share: float, feature_cm: float) -> Field:
    """Where a coat lies, 0..1: patches with ragged edges that cover `share` of the place."""
    field = place.noise(feature_cm, 1.15)
    at = np.float32(np.quantile(field[::8, ::8], 1 - share))
    return step(-0.2, 0.35, field - at)


def _over(colour: Field, coat: Field, weight: Field) -> None:
    colour[:] = cv2.blendLinear(coat, colour, weight, 1 - weight)


def _cavities(place: _Place, colour: Field, height: Field) -> None:
    """Darken what lies in clefts and bleach what stands out, in place: dust settles and light reaches unevenly."""
    px = height * np.float32(place.px_per_cm)
    curve = np.clip(px - cv2.blur(px, (5, 5)), -4, 3) + 0.4 * np.clip(px - cv2.blur(px, (21, 21)), -10, 6)
    dust = np.float32(place.rng.uniform(0.03, 0.08))
    factor = np.clip(1 + dust * curve + 0.12 * place.noise(11, 1.4), 0.4, 1.35)
    colour *= cv2.merge([factor, factor, factor])
