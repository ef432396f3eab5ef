"""One colony, drawn from above on a crop: outline by growth form, skin by genus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render import tiles
from data_engineering.render.genera import GENERA, Look
from data_engineering.render.surfaces import SURFACES, Ground, Skin, cells_of, step
from data_engineering.render.tiles import Field

MARGIN = 1.3
"""Half side of the crop over the colony's mean radius."""
SMALLEST_FEATURE_PX = 3.0
"""Corallites finer than this could not be seen: they are drawn this wide."""


@dataclass(frozen=True, slots=True, eq=False)
class Colony:
    """A drawn colony.

    Attributes:
        genus: key of `GENERA`.
        form: growth form.
        rgb: float32 ``[n, n, 3]``, 0..255, unlit.
        height_px: float32 ``[n, n]``, over the seabed.
        mask: bool ``[n, n]``.
    """

    genus: str
    form: str
    rgb: Field
    height_px: Field
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """Outline, relief and shading of a growth form; float32 ``[n, n]`` each.

    `inside` is positive within the outline, `height` in radii, `mix` and `tone` as in `Skin`.
    """

    inside: Field
    height: Field
    mix: Field
    tone: Field


def draw(rng: np.random.Generator, genus: str, diameter_px: float, px_per_cm: float) -> Colony:
    """Draw a colony.

    Args:
        rng: its random numbers.
        genus: key of `GENERA`.
        diameter_px: mean diameter, at least 2.
        px_per_cm: scale, for the size of the corallites.
    """
    look = GENERA[genus]
    form = str(rng.choice(list(look.forms), p=np.array(list(look.forms.values())) / sum(look.forms.values())))
    feature_px = max(rng.uniform(*look.feature_cm) * px_per_cm, SMALLEST_FEATURE_PX)
    ground = _ground(rng, form, diameter_px / 2, feature_px)
    shape = FORMS[form](ground, look)
    skin = SURFACES[look.surface](ground)
    colour = _colour(rng, look, ground, shape, skin)
    height = shape.height * np.float32(ground.radius_px) + skin.height * np.float32(min(feature_px, 14.0) * 0.5)
    mask = _whole(shape.inside > 0)
    return Colony(genus, form, colour, np.where(mask, np.maximum(height, 0.5), 0).astype(np.float32), mask)


def _whole(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part, its holes of a few pixels filled: a colony is one piece."""
    grown = cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(grown, connectivity=4)
    if count <= 2:
        return grown.view(np.bool_)
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())


_RAGGED = {"massive": 0.1, "solitary": 0.03, "encrusting": 0.3, "foliose": 0.2, "tabular": 0.13}


def _ground(rng: np.random.Generator, form: str, radius_px: float, feature_px: float) -> Ground:
    half = int(np.ceil(radius_px * MARGIN)) + 1
    axis = np.arange(-half, half + 1, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    turn = rng.uniform(0, np.pi)
    squash = rng.uniform(0.88, 1.0) if form == "solitary" else rng.uniform(0.66, 1.0)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    distance, angle = cv2.cartToPolar(
        (c * x + s * y) * np.float32(squash**0.5), (c * y - s * x) / np.float32(squash**0.5)
    )
    outline = _outline(rng, _RAGGED.get(form, 0.13)) * np.float32(radius_px)
    rel = distance / outline[(angle * np.float32(255.99 / (2 * np.pi))).astype(np.int32) % 256]
    return Ground(x, y, rel, angle, radius_px, feature_px, rng)


def _outline(rng: np.random.Generator, ragged: float) -> Field:
    """Radius over the mean at 256 angles: a few waves, the long ones strongest."""
    k = np.arange(2, 9)
    size = ragged * rng.standard_normal(len(k)) / k
    waves = np.cos(np.linspace(0, 2 * np.pi, 256, endpoint=False)[:, None] * k + rng.uniform(0, 2 * np.pi, len(k)))
    return np.clip(1 + waves @ size, 0.6, MARGIN - 0.05).astype(np.float32)


def _colour(rng: np.random.Generator, look: Look, ground: Ground, shape: _Shape, skin: Skin) -> Field:
    main, second = (np.array(c, np.float32) for c in look.palettes[rng.integers(len(look.palettes))])
    pale = np.float32(rng.uniform(0, 0.35))
    main, second = (c + pale * (c.mean() - c) for c in (main, second))
    hue = 1 + 0.06 * rng.standard_normal(3).clip(-2, 2)
    light = rng.uniform(0.82, 1.14)
    if rng.random() < 0.03:  # bleached
        main, second = 0.3 * main + 160, 0.3 * second + 170
    blotch = ground.look_up(tiles.noise(1.8), ground.radius_px * 1.5)
    mix = np.clip(skin.mix * (1 - shape.mix) + shape.mix, 0, 1)
    tone = shape.tone * skin.tone * (1 + 0.05 * blotch) * np.float32(light)
    return (main + mix[..., None] * (second - main)) * (tone[..., None] * hue.astype(np.float32))


def _dome(g: Ground) -> Field:
    return np.sqrt(np.clip(1 - np.square(g.rel), 0, 1))


def _massive(g: Ground, look: Look) -> _Shape:
    """A dome; where the genus is lumpy, a heap of smaller domes that meet in soft creases."""
    size = max(g.radius_px * g.rng.uniform(0.4, 0.75), 6.0)
    centre, _, number = cells_of(g, 1, size)
    swell = np.float32(look.lumps) * (1 - np.square(np.minimum(centre, 1.25)) / 1.6) * (0.6 + 0.6 * number)
    dome = _dome(g)
    inside = 1 - g.rel - np.float32(0.1 * look.lumps) * (centre - 0.6)
    flat = np.float32(g.rng.uniform(0.45, 0.85))
    crease = np.float32(look.lumps) * step(0.8, 1.25, centre)
    tone = (0.8 + 0.22 * dome) * (1 - 0.22 * crease)
    soft = cv2.GaussianBlur(swell, (0, 0), max(size * 0.05, 0.6))
    return _Shape(inside, flat * dome + 0.2 * soft, np.zeros_like(dome), tone)


def _encrusting(g: Ground, look: Look) -> _Shape:
    rough = g.look_up(tiles.noise(1.5), g.radius_px * 0.9)
    inside = 1 - g.rel + 0.09 * rough
    rim = step(0.14, 0.03, inside)
    height = 0.1 * np.clip(inside * 4, 0, 1) + 0.035 * rough + 0.03
    return _Shape(inside, height, 0.45 * rim, 1 + 0.1 * rim + 0.05 * rough)


def _solitary(g: Ground, look: Look) -> _Shape:
    dome = _dome(g)
    return _Shape(1 - g.rel, 0.3 * dome + 0.12, np.zeros_like(dome), 0.85 + 0.2 * dome)


def _foliose(g: Ground, look: Look) -> _Shape:
    """Overlapping leaves: a saw tooth from the centre out, each tooth one tier with a bright margin."""
    warp = g.look_up(tiles.noise(1.7), g.radius_px * 0.9)
    tiers = np.float32(g.rng.uniform(2.0, 3.6))
    swirl = np.float32(g.rng.choice([-1, 0, 1]))
    phase = g.rel * tiers + 0.42 * warp + swirl * g.angle * np.float32(1 / (2 * np.pi))
    tooth = phase - np.floor(phase)
    margin = step(0.8, 0.97, tooth)
    shade = step(0.0, 0.35, tooth)
    inside = 1 - g.rel + 0.07 * warp
    outer = step(0.08, 0.02, inside)
    height = 0.2 * tooth + 0.12 * (1 - np.minimum(g.rel, 1)) + 0.05
    return _Shape(inside, height, np.clip(0.75 * np.maximum(margin, outer), 0, 1), 0.68 + 0.4 * shade)


def _radial(g: Ground, stretch: float) -> Ground:
    """The same crop with distances drawn out towards the rim, so that what grows there leans outwards."""
    pull = np.float32(stretch)
    rel = np.maximum(g.rel, 1e-3)
    factor = np.log1p(pull * rel) / (rel * np.log1p(pull)) * np.float32(1.0)
    return replace(g, x_px=g.x_px * factor, y_px=g.y_px * factor)


def _tips(g: Ground, look: Look, feature_px: float, stretch: float, gap: float, relief: float) -> _Shape:
    """Branch ends seen from above: rounded, pale on top, dark between, the outline following them."""
    centre, edge, number = cells_of(_radial(g, stretch), 1, feature_px)
    knob = step(gap - 0.12, gap + 0.3, edge)
    inside = 1 - g.rel - np.float32(min(0.9 * feature_px / g.radius_px, 0.3)) * (centre - 0.5)
    dome = _dome(g)
    height = (
        np.float32(relief) * dome
        + 0.05
        + (0.1 + 0.2 * number) * knob * np.float32(min(1, 6 * feature_px / g.radius_px))
    )
    tip = step(0.5, 0.1, centre)
    return _Shape(inside, height, tip, (0.45 + 0.6 * knob) * (0.8 + 0.25 * dome + 0.1 * number))


def _branching(g: Ground, look: Look) -> _Shape:
    return _tips(g, look, max(g.feature_px * 1.5, 5.0), 4.0, 0.08, 0.5)


def _knobs(g: Ground, look: Look) -> _Shape:
    shape = _tips(g, look, max(g.feature_px, 6.0), 1.2, 0.02, 0.55)
    return replace(shape, mix=0.5 * shape.mix)


def _columns(g: Ground, look: Look) -> _Shape:
    shape = _tips(g, look, max(g.feature_px * 5, 7.0), 0.3, -0.1, 0.2)
    return replace(shape, mix=0.35 * shape.mix)


def _tabular(g: Ground, look: Look) -> _Shape:
    """A plate on a stalk: fine branchlets in a fan, well over the ground, pale round the margin."""
    shape = _tips(g, look, max(g.feature_px * 0.85, 4.0), 2.5, 0.0, 0.05)
    margin = step(0.78, 0.98, g.rel)
    bowl = np.square(np.minimum(g.rel, 1))
    height = shape.height * 0.35 + np.float32(g.rng.uniform(0.25, 0.45)) + 0.1 * bowl
    return replace(
        shape, height=height, mix=np.clip(0.8 * shape.mix + 0.5 * margin, 0, 1), tone=shape.tone + 0.12 * margin
    )


def _blades(g: Ground, look: Look) -> _Shape:
    """Upright plates seen edge on: winding bright lines over dark gaps."""
    wave = g.look_up(tiles.labyrinth(1), max(g.feature_px, 9.0))
    blade = step(0.95, 0.5, np.abs(wave + 0.1))
    edge = step(0.4, 0.12, np.abs(wave + 0.1))
    inside = 1 - g.rel - 0.16 * (1 - blade)
    return _Shape(inside, 0.12 + 0.3 * blade + 0.2 * _dome(g), 0.85 * edge, 0.62 + 0.45 * blade)


FORMS: dict[str, Callable[[Ground, Look], _Shape]] = {
    "massive": _massive,
    "encrusting": _encrusting,
    "solitary": _solitary,
    "foliose": _foliose,
    "branching": _branching,
    "knobs": _knobs,
    "columns": _columns,
    "tabular": _tabular,
    "blades": _blades,
}
