"""What the colonies grow on: sand, rubble, rock and algae, in patches."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render import tiles
from data_engineering.render.surfaces import step
from data_engineering.render.tiles import Field

_Layer = tuple[Field, Field]  # colour [h, w, 3], height in cm [h, w]


def draw(rng: np.random.Generator, size_wh: tuple[int, int], px_per_cm: float) -> tuple[Field, Field]:
    """Draw the seabed, unlit.

    Args:
        rng: the photo's random numbers.
        size_wh: canvas in px.
        px_per_cm: scale of the canvas.

    Returns:
        Colour float32 ``[h, w, 3]`` 0..255 and height float32 ``[h, w]`` px.
    """
    kinds = list(_LAYERS)
    share = rng.dirichlet([0.5, 0.7, 0.9, 0.6])
    used = [i for i in np.argsort(-share)[:3] if share[i] > 0.08]
    colour, height = _LAYERS[kinds[used[0]]](rng, size_wh, px_per_cm)
    for i in used[1:]:
        over, over_height = _LAYERS[kinds[i]](rng, size_wh, px_per_cm)
        field = _noise(rng, size_wh, 30 * px_per_cm, 1.5)
        weight = step(-0.12, 0.12, field - np.float32(np.quantile(field[::8, ::8], 1 - share[i])))
        colour += weight[..., None] * (over - colour)
        height += weight * (over_height - height)
    height += 2.2 * rng.uniform(0.3, 1) * _noise(rng, size_wh, 40 * px_per_cm, 1.9)
    return colour, height * np.float32(px_per_cm)


def _noise(rng: np.random.Generator, size_wh: tuple[int, int], feature_px: float, slope: float) -> Field:
    tile = tiles.noise(slope, int(rng.integers(3)))
    return tile.spread(size_wh, feature_px, rng.uniform(0, 1, 2), rng.uniform(0, 2 * np.pi))


def _cells(rng: np.random.Generator, size_wh: tuple[int, int], feature_px: float) -> tuple[Field, Field, Field]:
    looked = tiles.cells(0, int(rng.integers(2))).spread(
        size_wh, feature_px, rng.uniform(0, 1, 2), rng.uniform(0, 2 * np.pi)
    )
    return tuple(np.ascontiguousarray(c) for c in cv2.split(looked))  # type: ignore[return-value]


def _grain(rng: np.random.Generator, size_wh: tuple[int, int], feature_px: float) -> Field:
    return tiles.grain(0).spread(size_wh, max(feature_px, 1.2), rng.uniform(0, 1, 2), rng.uniform(0, 2 * np.pi))


def _blend(low: NDArray, high: NDArray, weight: Field) -> Field:
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    return low + np.clip(weight, 0, 1)[..., None] * (high - low)


def _sand(rng: np.random.Generator, size_wh: tuple[int, int], px_per_cm: float) -> _Layer:
    tone = rng.uniform(0.85, 1.1) * np.array([212, 202, 176])
    waves = _noise(rng, size_wh, 7 * px_per_cm, 1.7)
    grain = _grain(rng, size_wh, 0.25 * px_per_cm)
    colour = _blend(tone * 0.82, tone, 0.6 + 0.25 * waves + 0.18 * grain)
    return colour, 0.22 * waves + 0.015 * grain


def _rubble(rng: np.random.Generator, size_wh: tuple[int, int], px_per_cm: float) -> _Layer:
    size = rng.uniform(2.0, 4.5)
    centre, edge, number = _cells(rng, size_wh, size * px_per_cm)
    rough = _noise(rng, size_wh, 3 * px_per_cm, 1.1)
    stone = step(0.02, 0.3, edge + 0.07 * rough)
    colour = _blend(np.array([96, 88, 76]), np.array([198, 188, 166]), number * 0.8 + 0.1 + 0.1 * rough)
    colour *= (0.35 + 0.65 * stone)[..., None]
    height = stone * (0.35 + 0.5 * number) * size * 0.35 * (1.1 - 0.5 * np.minimum(centre, 1.4)) + 0.1 * rough
    return colour, height


def _rock(rng: np.random.Generator, size_wh: tuple[int, int], px_per_cm: float) -> _Layer:
    rough = _noise(rng, size_wh, 9 * px_per_cm, 1.25)
    fine = _noise(rng, size_wh, 2.5 * px_per_cm, 1.0)
    crust = step(0.2, 0.9, _noise(rng, size_wh, 12 * px_per_cm, 1.3) + 0.25 * fine)
    base = _blend(np.array([84, 74, 62]), np.array([168, 152, 128]), 0.45 + 0.22 * rough + 0.14 * fine)
    pink = np.array([rng.uniform(140, 186), rng.uniform(90, 116), rng.uniform(104, 130)])  # crustose coralline algae
    strength = (crust * rng.uniform(0.1, 0.8))[..., None].astype(np.float32)
    base += strength * (pink.astype(np.float32) * (0.9 + 0.12 * fine)[..., None] - base)
    return base, 0.75 * rough + 0.16 * fine


def _algae(rng: np.random.Generator, size_wh: tuple[int, int], px_per_cm: float) -> _Layer:
    tuft = _noise(rng, size_wh, 2.2 * px_per_cm, 0.9)
    patch = _noise(rng, size_wh, 8 * px_per_cm, 1.4)
    low = np.array([[44, 42, 26], [58, 46, 34], [40, 52, 34]])[rng.integers(3)]
    high = np.array([[122, 120, 74], [140, 118, 84], [112, 130, 84]])[rng.integers(3)]
    colour = _blend(low, high, 0.45 + 0.26 * tuft + 0.15 * patch)
    return colour, 0.25 * tuft + 0.4 * patch


_LAYERS = {"sand": _sand, "rubble": _rubble, "rock": _rock, "algae": _algae}
