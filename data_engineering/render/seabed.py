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
_MATS: tuple[Rgb, ...] = ((86, 42, 36), (58, 44, 34), (64, 58, 30), (112, 62, 40))
_HIGH_CM = 1e3


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """Colour ``[h, w, 3]``, height in cm ``[h, w]``, and how rough it is to the finest, 0..1."""

    colour: Field
    height: Field
    rough: float


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Random numbers, size and scale of what is drawn."""

    rng: np.random.Generator
    size_wh: tuple[int, int]
    px_per_cm: float

    def noise(self, feature_cm: float, slope: float) -> Field:
        turns = int(self.rng.integers(4))
        return tiles.noise(slope).spread(self.size_wh, feature_cm * self.px_per_cm, self.rng.uniform(0, 1, 2), turns)

    def heap(self, tile: Tile, feature_cm: float, bend_cm: float = 0.0) -> tuple[Field, Field, Field]:
        """Height (features), number and depth of a heap turned at random, and bent so that it nowhere repeats."""
        w, h = self.size_wh
        turn, scale = self.rng.uniform(0, 2 * np.pi), np.float32(1.0)
        c, s = np.float32(np.cos(turn)) * scale, np.float32(np.sin(turn)) * scale
        x = np.arange(w, dtype=np.float32)[None, :]
        y = np.arange(h, dtype=np.float32)[:, None]
        bend = np.float32(bend_cm * self.px_per_cm)
        u, v = c * x + s * y, c * y - s * x
        if bend_cm:
            u += bend * self.noise(8 * bend_cm, 1.8)
            v += bend * self.noise(8 * bend_cm, 1.8)
        looked = tile.sample(u, v, feature_cm * self.px_per_cm, self.rng.uniform(0, 1, 2))
        height, number, depth = cv2.split(looked)
        return height, number, depth


def draw(rng: np.random.Generator, size_wh: tuple[int, int], px_per_cm: float) -> tuple[Field, Field]:
    """Draw the seabed, unlit.

    Args:
        rng: the photo's random numbers.
        size_wh: canvas in px.
        px_per_cm: scale of the canvas.

    Returns:
        Colour float32 ``[h, w, 3]`` 0..255 and height float32 ``[h, w]`` px.
    """
    place = _Place(rng, ((size_wh[0] + 1) // 2, (size_wh[1] + 1) // 2), px_per_cm / 2)
    colour, height, rough = _pile(place)
    _cavities(place, colour, height)
    colour = cv2.resize(colour, size_wh, interpolation=cv2.INTER_LINEAR)
    height = cv2.resize(height, size_wh, interpolation=cv2.INTER_LINEAR)
    rough = cv2.resize(rough, size_wh, interpolation=cv2.INTER_LINEAR)
    fine = _Place(rng, size_wh, px_per_cm).noise(rng.uniform(0.7, 1.6), 0.85)  # what half the size cannot hold
    fine *= rough
    speckle = 1 + fine * np.float32(rng.uniform(0.08, 0.2))
    colour *= cv2.merge([speckle] * 3)
    height *= np.float32(px_per_cm)
    height += fine * np.float32(0.045 * px_per_cm)
    return colour, height


def _pile(place: _Place) -> tuple[Field, Field, Field]:
    """Rock, and over it what lies in its hollows; then the coats."""
    rng = place.rng
    rock = _rock(place)
    colour, height = rock.colour, rock.height
    rough = np.full(height.shape, rock.rough, np.float32)
    sand, rubble, dead = rng.dirichlet([0.45, 0.7, 0.3]) * rng.uniform(0.15, 1.0)
    _coat(place, colour, height)
    swell = place.noise(40, 2.2)
    for share, make in ((dead, _dead_thicket), (rubble, _rubble), (sand, _sand)):
        if share < 0.06:
            continue
        layer = make(place)
        level = height + 1.2 * swell if make is not _dead_thicket else -8 * place.noise(25, 1.8)
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
    size = rng.uniform(7, 20)
    relief = np.float32(rng.uniform(0.25, 0.8))
    big, number, _ = place.heap(heaps.stones(), size, size * 0.12)
    small, other, _ = place.heap(heaps.stones(), size * rng.uniform(0.2, 0.35), size * 0.04)
    lump, fine = place.noise(4, 1.25), place.noise(1.6, 0.9)
    height = (
        relief * np.float32(size * 0.75) * big + relief * np.float32(size * 0.22) * small + 0.28 * lump + 0.09 * fine
    )
    tone = 0.2 + 0.22 * number + 0.18 * other + 0.1 * lump + 0.11 * fine + 0.07 * place.noise(15, 1.6)
    hue = np.array([1, rng.uniform(0.95, 1.02), rng.uniform(0.85, 1.08)]) * rng.uniform(0.85, 1.1)
    colour = _mix(np.array(_DARK) * hue, np.array(_PALE) * hue, tone)
    return _Layer(colour, height, 1.0)


def _rubble(place: _Place) -> _Layer:
    """Broken branches, and a few stones among them."""
    rng = place.rng
    width = rng.uniform(0.9, 2.2)
    height, number, depth = place.heap(heaps.rubble(), width, 0.5 * width)
    fine = place.noise(1.2, 0.9)
    tone = np.float32(rng.uniform(0.2, 0.4)) + 0.4 * number + 0.1 * fine
    hue = np.array([1, rng.uniform(0.94, 1.0), rng.uniform(0.84, 1.0)])
    colour = _mix(np.array(_DARK) * hue, np.array(_PALE) * hue, tone)
    colour *= cv2.merge([0.55 + 0.45 * step(-0.05, 0.3, depth)] * 3)
    return _Layer(colour, np.float32(width) * height + 0.03 * fine, 0.75)


def _dead_thicket(place: _Place) -> _Layer:
    """Dead branching corals, turf brown with pale tips."""
    rng = place.rng
    width = rng.uniform(0.8, 1.5)
    height, number, depth = place.heap(heaps.thicket(), width, 0.5 * width)
    tone = 0.12 + 0.16 * np.maximum(height, 0) + 0.3 * number
    colour = _mix((66, 58, 42), (186, 174, 142), tone)
    colour *= cv2.merge([0.5 + 0.5 * step(-0.05, 0.3, depth)] * 3)
    return _Layer(colour, np.float32(width) * height, 0.8)


def _sand(place: _Place) -> _Layer:
    """Sand in ripples, with grains, crumbs and stains."""
    rng = place.rng
    tone = rng.uniform(0.82, 1.08) * np.array([206, 198, 172]) * (1, rng.uniform(0.97, 1.01), rng.uniform(0.9, 1.06))
    turn, wave = rng.uniform(0, np.pi), rng.uniform(3, 9)
    w, h = place.size_wh
    x = np.arange(w, dtype=np.float32)[None, :] * np.float32(np.cos(turn) / (wave * place.px_per_cm))
    y = np.arange(h, dtype=np.float32)[:, None] * np.float32(np.sin(turn) / (wave * place.px_per_cm))
    ripple = np.sin(2 * np.pi * (x + y + 0.35 * place.noise(20, 2.0))) * np.float32(rng.uniform(0, 0.35))
    grain, stain = place.noise(0.5, 0.6), place.noise(12, 1.5)
    crumbs = step(1.5, 2.4, place.noise(1.1, 0.9))
    colour = _mix(tone * 0.62, tone, 0.72 + 0.12 * ripple + 0.1 * grain + 0.12 * stain - 0.5 * crumbs)
    return _Layer(colour, ripple + 0.02 * grain + 0.12 * crumbs + 0.25 * stain, 0.3)


def _coat(place: _Place, colour: Field, height: Field) -> None:
    """Turf, crustose algae and mats on the rock, in place: each has patches, and is thin in places within them."""
    rng = place.rng
    tuft = place.noise(1.0, 0.8)
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
    curve = px - cv2.blur(px, (5, 5)) + 0.5 * (px - cv2.blur(px, (17, 17)))
    dust = np.float32(place.rng.uniform(0.02, 0.07))
    factor = np.clip(1 + dust * curve, 0.4, 1.3)
    colour *= cv2.merge([factor, factor, factor])
