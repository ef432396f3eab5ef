"""The skin of a colony: corallites, pores, ridges, papillae.

Each surface answers, for every pixel, how far the colour goes from the genus's main colour to its second one, how
bright it is, and how high it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_engineering.render import tiles
from data_engineering.render.tiles import Field


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """The crop that a colony is drawn on; all arrays float32 ``[n, n]``.

    Attributes:
        x_px: from the colony's centre, right.
        y_px: from the colony's centre, down.
        rel: 0 at the centre, 1 at the outline.
        angle: radians.
        radius_px: mean radius.
        feature_px: size of one corallite or knob.
        rng: the colony's own random numbers.
    """

    x_px: Field
    y_px: Field
    rel: Field
    angle: Field
    radius_px: float
    feature_px: float
    rng: np.random.Generator

    def look_up(self, tile: tiles.Tile, feature_px: float) -> Field:
        """A texture at a random place, its features `feature_px` wide."""
        return tile.sample(self.x_px, self.y_px, feature_px, self.rng.uniform(0, 1, 2))


@dataclass(frozen=True, slots=True, eq=False)
class Skin:
    """What a surface gives, float32 ``[n, n]`` each.

    Attributes:
        mix: 0 main colour, 1 second colour.
        tone: brightness factor about 1.
        height: in units of the feature's size, 0..1.
    """

    mix: Field
    tone: Field
    height: Field


def step(low: float, high: float, value: Field) -> Field:
    """Smooth rise from 0 at `low` to 1 at `high`; falls where `low` > `high`."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


def cells_of(ground: Ground, regular: int = 2, feature_px: float | None = None) -> tuple[Field, Field, Field]:
    """Distance to the centre, distance to the edge, random number: see `tiles.cells`."""
    looked = ground.look_up(tiles.cells(regular, 0), feature_px or ground.feature_px)
    return looked[..., 0], looked[..., 1], looked[..., 2]


def _honeycomb(g: Ground) -> Skin:
    _, edge, number = cells_of(g)
    wall = step(0.42, 0.12, edge)
    return Skin(wall, 0.7 + 0.4 * wall + 0.15 * (number - 0.5), wall * 0.5)


def _fleshy(g: Ground) -> Skin:
    centre, edge, number = cells_of(g, 1)
    swell = step(0.75, 0.3, edge)
    groove = step(0.1, 0.0, edge)
    mouth = step(0.35, 0.1, centre)
    return Skin(np.clip(swell - 0.3 * groove + 0.5 * (number - 0.4), 0, 1), 1.05 - 0.35 * groove - 0.35 * mouth, swell)


def _craters(g: Ground) -> Skin:
    centre, _, number = cells_of(g, 1)
    hole = step(0.42, 0.24, centre)
    cone = step(0.95, 0.4, centre)
    return Skin(cone * 0.8, 1.0 - 0.68 * hole + 0.1 * (number - 0.5), cone * (1 - hole) * 0.6)


def _rings(g: Ground) -> Skin:
    centre, _, _ = cells_of(g, 3)
    rim = step(0.95, 0.8, centre) * step(0.42, 0.62, centre)
    pit = step(0.5, 0.25, centre)
    gap = step(0.88, 1.05, centre)
    return Skin(rim, 1.0 + 0.18 * rim - 0.5 * pit - 0.5 * gap, rim * 0.6 + 0.2 * (1 - gap))


def _domes(g: Ground) -> Skin:
    centre, _, number = cells_of(g, 2)
    dome = np.sqrt(np.clip(1 - np.square(centre / 0.95), 0, 1))
    mouth = step(0.5, 0.25, centre)
    gap = step(0.75, 1.0, centre)
    return Skin(np.clip(mouth * 1.1, 0, 1), 1.08 - 0.42 * gap + 0.15 * (number - 0.5), dome * 0.9 - 0.3 * mouth)


def _studs(g: Ground) -> Skin:
    centre, edge, number = cells_of(g, 1)
    disc = step(0.72, 0.5, centre)
    star = step(0.22, 0.05, centre)
    return Skin(disc * (0.75 + 0.25 * number), 0.85 + 0.25 * disc - 0.4 * star - 0.25 * step(0.1, 0, edge), disc * 0.25)


def _meanders(g: Ground) -> Skin:
    wave = g.look_up(tiles.labyrinth(0), g.feature_px * 1.25)
    ridge = step(-0.35, 0.55, wave)
    return Skin(ridge, 0.72 + 0.38 * ridge, ridge * 0.6)


def _velvet(g: Ground) -> Skin:
    fine = g.look_up(tiles.noise(1.2), 14.0)
    return Skin(np.zeros_like(fine), 1 + 0.05 * fine, 0.02 * fine)


def _papillae(g: Ground) -> Skin:
    centre, _, number = cells_of(g, 0)
    bump = step(0.6, 0.2, centre) * (0.5 + 0.5 * number)
    return Skin(bump * 0.75, 0.92 + 0.2 * bump, bump * 0.6)


def _ridges(g: Ground) -> Skin:
    bend = g.look_up(tiles.noise(1.9), g.radius_px * 1.6)
    period = max(g.feature_px, 3.0)
    count = np.float32(np.clip(2 * np.pi * g.radius_px * 0.6 / period, 10, 90).round())
    wave = np.sin(g.angle * count + 2.2 * bend) * step(0.1, 0.35, g.rel)
    margin = step(0.86, 0.98, g.rel)
    return Skin(np.clip(0.25 + 0.28 * wave + margin, 0, 1), 0.95 + 0.15 * wave, 0.2 * wave)


def _septa(g: Ground) -> Skin:
    count = np.float32(np.clip(2 * np.pi * g.radius_px * 0.7 / max(g.feature_px, 3.2), 18, 80).round())
    wobble = g.look_up(tiles.noise(1.8), g.radius_px)
    wave = np.sin(g.angle * count + 0.5 * wobble) * step(0.12, 0.4, g.rel)
    turn = g.rng.uniform(0, np.pi)
    along = g.x_px * np.float32(np.cos(turn)) + g.y_px * np.float32(np.sin(turn))
    across = g.y_px * np.float32(np.cos(turn)) - g.x_px * np.float32(np.sin(turn))
    slit = step(1.0, 0.5, np.hypot(along / (0.24 * g.radius_px), across / (0.06 * g.radius_px)))
    rim = step(0.82, 0.97, g.rel)
    return Skin(np.clip(0.4 + 0.35 * wave + 0.4 * rim, 0, 1), 0.95 + 0.2 * wave - 0.55 * slit, 0.3 * wave - slit)


def _tentacles(g: Ground) -> Skin:
    centre, edge, number = cells_of(g, 0)
    tip = step(0.5, 0.1, centre)
    gap = step(0.2, 0.0, edge)
    return Skin(tip, 0.95 - 0.5 * gap + 0.3 * (number - 0.5), 1 - np.minimum(centre, 1))


def _warts(g: Ground) -> Skin:
    centre, _, _ = cells_of(g, 1, max(g.feature_px * 0.28, 2.6))
    wart = step(0.8, 0.2, centre)
    return Skin(wart * 0.55, 0.9 + 0.2 * wart, 0.12 * wart)


def _pores(g: Ground) -> Skin:
    fine = g.look_up(tiles.grain(1), max(g.feature_px, 1.3))
    patch = g.look_up(tiles.noise(1.7), g.radius_px)
    return Skin(np.clip(0.5 + 0.3 * patch, 0, 1), 1 + 0.045 * fine, 0.02 * fine)


def _petals(g: Ground) -> Skin:
    _, edge, number = cells_of(g, 0, max(g.feature_px, 3.0))
    vein = step(0.35, 0.05, edge)
    return Skin(np.clip(number * 0.8, 0, 1), 1.05 - 0.3 * vein, 0.15 * (1 - vein))


def _branchlets(g: Ground) -> Skin:
    fine = g.look_up(tiles.noise(1.0), 9.0)
    return Skin(np.zeros_like(fine), 1 + 0.06 * fine, 0.03 * fine)


SURFACES: dict[str, Callable[[Ground], Skin]] = {
    "honeycomb": _honeycomb,
    "fleshy": _fleshy,
    "craters": _craters,
    "rings": _rings,
    "domes": _domes,
    "studs": _studs,
    "meanders": _meanders,
    "velvet": _velvet,
    "papillae": _papillae,
    "ridges": _ridges,
    "septa": _septa,
    "tentacles": _tentacles,
    "warts": _warts,
    "pores": _pores,
    "petals": _petals,
    "branchlets": _branchlets,
}
