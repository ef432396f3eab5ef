"""One colony, drawn from above on a crop: outline by growth form, skin by genus, parts of it dead."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render import tiles
from data_engineering.render.forms import COMMON_RAGGED, FORMS, RAGGED, Shape
from data_engineering.render.genera import GENERA, Look
from data_engineering.render.surfaces import SURFACES, Ground, Skin, step
from data_engineering.render.tiles import Field

MARGIN = 1.12
"""Half side of the crop over the colony's longest reach; what frays an outline may go so far beyond it."""
SMALLEST_FEATURE_PX = 3.0
"""Corallites finer than this could not be seen: they are drawn this wide."""
_ANGLES = 2048
_TURF = ((96, 90, 68), (118, 106, 84), (86, 92, 66), (148, 140, 118), (134, 104, 104))
"""What grows where a colony died: turf algae, sediment, pink crusts."""
_RIM = (196, 172, 160)


@dataclass(frozen=True, slots=True, eq=False)
class Colony:
    """A drawn colony.

    Attributes:
        genus: key of `GENERA`.
        form: growth form.
        rgb: float32 ``[n, n, 3]``, 0..255, unlit.
        height_px: float32 ``[n, n]``, over the seabed.
        mask: bool ``[n, n]``.
        rel: float32 ``[n, n]``: 0 at the centre, 1 about the outline.
        turf_rgb: colour of its dead parts, and of the ground that it grew from.
    """

    genus: str
    form: str
    rgb: Field
    height_px: Field
    mask: NDArray[np.bool_]
    rel: Field
    turf_rgb: tuple[float, float, float]


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
    ground = _ground(rng, form, diameter_px / 2, feature_px).bent()
    shape = FORMS[form](ground, look)
    skin = SURFACES[look.surfaces.get(form, look.surface)](ground)
    dead, lost = _mortality(ground, form)
    rgb, turf = _colour(ground, look, shape, skin, dead)
    alive = 1 - dead
    height = shape.height * np.float32(ground.radius_px) - np.float32(0.03 * ground.radius_px) * dead
    height += skin.height * alive * np.float32(min(feature_px, 16.0) * 0.2)
    fray = shape.inside - 2 * np.maximum(ground.rel - 1, 0)  # outwards less than inwards: the crop ends at `MARGIN`
    mask = whole((fray > 0) & ~lost & (ground.rel < MARGIN))
    height = np.where(mask, np.maximum(height, 0.5), 0).astype(np.float32)
    return Colony(genus, form, rgb, height, mask, ground.rel, turf)


def whole(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part, its holes filled: a colony is one piece."""
    outlines, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    if outlines:
        largest = max(outlines, key=len)
        cv2.drawContours(filled, [largest], 0, 1, cv2.FILLED)
    return filled.view(np.bool_)


def _ground(rng: np.random.Generator, form: str, radius_px: float, feature_px: float) -> Ground:
    turn = rng.uniform(0, np.pi)
    squash = rng.uniform(0.88, 1.0) if form == "solitary" else rng.uniform(0.62, 1.0)
    outline = _outline(rng, RAGGED.get(form, COMMON_RAGGED))
    theta = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    reach = float((outline * np.hypot(np.cos(theta) / squash**0.5, np.sin(theta) * squash**0.5)).max())
    half = int(np.ceil(radius_px * reach * MARGIN)) + 2
    axis = np.arange(-half, half + 1, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    distance, angle = cv2.cartToPolar(
        (c * x + s * y) * np.float32(squash**0.5), (c * y - s * x) / np.float32(squash**0.5)
    )
    bounds = outline * np.float32(radius_px)
    rel = distance / bounds[(angle * np.float32(_ANGLES / (2 * np.pi))).astype(np.int32) % _ANGLES]
    return Ground(x, y, x, y, rel, angle, radius_px, feature_px, rng)


def _outline(rng: np.random.Generator, ragged: float) -> Field:
    """Radius over the mean at `_ANGLES` angles: a few waves, the long ones strongest."""
    k = np.arange(2, 13)
    size = ragged * rng.standard_normal(len(k)) / k**1.4
    turn = np.linspace(0, 2 * np.pi, 129)
    waves = np.cos(turn[:, None] * k + rng.uniform(0, 2 * np.pi, len(k))) @ size
    radius = np.interp(np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False), turn, waves)
    return np.clip(1 + radius, 0.5, 1.3).astype(np.float32)


def _mortality(g: Ground, form: str) -> tuple[Field, NDArray[np.bool_]]:
    """Where the tissue died (weight 0..1; it still counts as colony), and what the rim lost for good."""
    if form == "solitary" or g.rng.random() < 0.45:
        return np.zeros_like(g.rel), np.zeros(g.rel.shape, np.bool_)
    field = g.cloud(g.radius_px * g.rng.uniform(0.4, 0.9), 1.35) + 0.7 * np.square(np.minimum(g.rel, 1))
    field += 0.14 * tiles.noise(1.0).sample(g.x_px, g.y_px, 18.0, g.rng.uniform(0, 1, 2))
    excess = field - np.float32(g.rng.uniform(1.2, 3.0))
    return step(-0.1, 0.1, excess), (excess > 0.15) & (g.rel > 0.7)


def _colour(g: Ground, look: Look, shape: Shape, skin: Skin, dead: Field) -> tuple[Field, tuple[float, float, float]]:
    """Colour ``[n, n, 3]``, and that of what is dead."""
    rng = g.rng
    main, second, drift = _palette(rng, look)
    contrast = np.float32(rng.uniform(0.45, 0.95))
    patch = g.cloud(g.radius_px * 1.2, 1.6)
    weight = np.clip(0.5 + 0.45 * patch, 0, 1)
    mix = contrast * np.clip(skin.mix * (1 - shape.mix) + shape.mix, 0, 1)
    tone = (1 + contrast * (shape.tone * skin.tone - 1)) * (1 + 0.06 * patch)
    tone *= np.float32(rng.uniform(0.8, 1.12))
    turf = np.array(_TURF[rng.integers(len(_TURF))]) * rng.uniform(0.8, 1.1)
    channels = [(a + weight * d + mix * (b - a)) * tone for a, b, d in zip(main, second, drift, strict=True)]
    if dead.any():
        rim = 2 * dead * (1 - dead)  # where living tissue ends it is pale
        channels = [c + rim * (np.float32(pale) - c) for c, pale in zip(channels, _RIM, strict=True)]
        rough = tiles.noise(1.0).sample(g.x_px, g.y_px, 14.0, rng.uniform(0, 1, 2))
        worn = (0.9 + 0.22 * rough) * (0.55 + 0.45 * np.minimum(shape.tone, 1))
        channels = [c + dead * (np.float32(t) * worn - c) for c, t in zip(channels, turf, strict=True)]
    return cv2.merge(channels), tuple(turf.tolist())


def _palette(rng: np.random.Generator, look: Look) -> tuple[list[np.float32], list[np.float32], list[np.float32]]:
    """Main and second colour of one colony, and how the main one shifts from patch to patch."""
    first, other = rng.integers(len(look.palettes), size=2)
    main, second = (np.array(c, np.float32) for c in look.palettes[first])
    drift = 0.35 * (np.array(look.palettes[other][0], np.float32) - main) * np.float32(rng.uniform(0, 1))
    grey = np.float32(rng.uniform(0, 0.4))
    main, second = (c + grey * (c.mean() - c) for c in (main, second))
    hue = (1 + 0.03 * rng.standard_normal(3).clip(-2, 2)).astype(np.float32)
    if rng.random() < 0.03:  # bleached
        main, second, drift = 0.3 * main + 150, 0.3 * second + 165, 0.3 * drift
    return list(main * hue), list(second * hue), list(drift * hue)
