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
    half = ((size_wh[0] + 1) // 2, (size_wh[1] + 1) // 2)
    colour, height = _patches(rng, half, px_per_cm / 2)
    colour = cv2.resize(colour, size_wh, interpolation=cv2.INTER_LINEAR)
    height = cv2.resize(height, size_wh, interpolation=cv2.INTER_LINEAR)
    fine = _noise(rng, size_wh, 16.0, 0.8) * np.float32(rng.uniform(0.03, 0.1))  # what half the size cannot hold
    colour *= cv2.merge([1 + fine] * 3)
    return colour, height * np.float32(px_per_cm) + 3 * fine


def _patches(rng: np.random.Generator, size_wh: tuple[int, int], px_per_cm: float) -> _Layer:
    kinds = list(_LAYERS)
    share = rng.dirichlet([0.8, 0.7, 0.9, 0.5])
    used = [i for i in np.argsort(-share)[:3] if share[i] > 0.08]
    colour, height = _LAYERS[kinds[used[0]]](rng, size_wh, px_per_cm)
    for i in used[1:]:
        over, over_height = _LAYERS[kinds[i]](rng, size_wh, px_per_cm)
        field = _noise(rng, size_wh, 30 * px_per_cm, 1.5)
        weight = step(-0.12, 0.12, field - np.float32(np.quantile(field[::8, ::8], 1 - share[i])))
        colour = cv2.blendLinear(over, colour, weight, 1 - weight)
        height += weight * (over_height - height)
    height += 1.8 * rng.uniform(0.3, 1) * _noise(rng, size_wh, 45 * px_per_cm, 2.4)
    return colour, height


def _noise(rng: np.random.Generator, size_wh: tuple[int, int], feature_px: float, slope: float) -> Field:
    return tiles.noise(slope).spread(size_wh, feature_px, rng.uniform(0, 1, 2), int(rng.integers(4)))


def _places(size_wh: tuple[int, int]) -> tuple[Field, Field]:
    x, y = np.meshgrid(np.arange(size_wh[0], dtype=np.float32), np.arange(size_wh[1], dtype=np.float32))
    return x, y


def _grain(rng: np.random.Generator, size_wh: tuple[int, int], feature_px: float) -> Field:
    return tiles.grain(0).spread(size_wh, max(feature_px, 1.2), rng.uniform(0, 1, 2), int(rng.integers(4)))


def _blend(low: NDArray, high: NDArray, weight: Field) -> Field:
    low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
    weight = np.clip(weight, 0, 1)
    return cv2.merge([low[c] + (high[c] - low[c]) * weight for c in range(3)])


def _sand(rng: np.random.Generator, size_wh: tuple[int, int], px_per_cm: float) -> _Layer:
    tone = rng.uniform(0.85, 1.1) * np.array([212, 202, 176])
    waves = _noise(rng, size_wh, 7 * px_per_cm, 1.7)
    grain = _grain(rng, size_wh, 0.25 * px_per_cm)
    colour = _blend(tone * 0.82, tone, 0.6 + 0.25 * waves + 0.18 * grain)
    return colour, 0.12 * waves + 0.012 * grain


def _rubble(rng: np.random.Generator, size_wh: tuple[int, int], px_per_cm: float) -> _Layer:
    """Broken branches and stones: two sizes of cells, bent out of shape by noise."""
    size = rng.uniform(1.6, 4.0)
    rough = _noise(rng, size_wh, 3 * px_per_cm, 1.1)
    bend = 0.35 * size * px_per_cm
    warp = (_noise(rng, size_wh, 2 * size * px_per_cm, 1.5), _noise(rng, size_wh, 2 * size * px_per_cm, 1.5))
    x, y = _places(size_wh)
    stretch = np.float32(rng.uniform(0.5, 1.0))  # finger-shaped pieces where it is small
    looked = tiles.cells(0, int(rng.integers(2))).sample(
        (x + np.float32(bend) * warp[0]) * stretch,
        y + np.float32(bend) * warp[1],
        size * px_per_cm,
        rng.uniform(0, 1, 2),
    )
    centre, edge, number = cv2.split(looked)
    stone = step(-0.05, 0.3, edge + 0.09 * rough)
    colour = _blend(np.array([112, 102, 86]), np.array([208, 198, 174]), number * 0.75 + 0.1 + 0.15 * rough)
    colour *= cv2.merge([0.5 + 0.5 * stone] * 3)
    height = stone * (0.25 + 0.45 * number) * size * 0.32 * (1.1 - 0.5 * np.minimum(centre, 1.4)) + 0.06 * rough
    return colour, height


def _rock(rng: np.random.Generator, size_wh: tuple[int, int], px_per_cm: float) -> _Layer:
    rough = _noise(rng, size_wh, 9 * px_per_cm, 1.25)
    fine = _noise(rng, size_wh, 2.5 * px_per_cm, 1.0)
    crust = step(0.2, 0.9, _noise(rng, size_wh, 12 * px_per_cm, 1.3) + 0.25 * fine)
    base = _blend(np.array([96, 86, 72]), np.array([184, 168, 142]), 0.45 + 0.22 * rough + 0.14 * fine)
    pink = np.array([rng.uniform(140, 186), rng.uniform(90, 116), rng.uniform(104, 130)])  # crustose coralline algae
    crust *= np.float32(rng.uniform(0.1, 0.8))
    over = _blend(0.75 * pink, 1.05 * pink, 0.5 + 0.35 * fine)
    base = cv2.blendLinear(over, base, crust, 1 - crust)
    return base, 0.45 * rough + 0.07 * fine


def _algae(rng: np.random.Generator, size_wh: tuple[int, int], px_per_cm: float) -> _Layer:
    tuft = _noise(rng, size_wh, 2.2 * px_per_cm, 0.9)
    patch = _noise(rng, size_wh, 8 * px_per_cm, 1.4)
    low = np.array([[44, 42, 26], [58, 46, 34], [40, 52, 34]])[rng.integers(3)]
    high = np.array([[122, 120, 74], [140, 118, 84], [112, 130, 84]])[rng.integers(3)]
    colour = _blend(low, high, 0.45 + 0.26 * tuft + 0.15 * patch)
    return colour, 0.14 * tuft + 0.4 * patch


_LAYERS = {"sand": _sand, "rubble": _rubble, "rock": _rock, "algae": _algae}
