"""The skin of a colony: corallites, pores, ridges, papillae.

Each surface answers, for every pixel, how far the colour goes from the genus's main colour to its second one, how
bright it is, and how high it stands. Light and shade come from the height; `tone` is what light does not reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from data_engineering.render import tiles
from data_engineering.render.tiles import Field


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """The crop that a colony is drawn on; all arrays float32 ``[n, n]``.

    Attributes:
        x_px: from the colony's centre, right.
        y_px: from the colony's centre, down.
        u_px: as `x_px`, bent so that a texture's features vary over the colony and crowd at its steep sides.
        v_px: as `y_px`, bent alike.
        rel: 0 at the centre, 1 at the outline.
        angle: radians.
        radius_px: mean radius.
        feature_px: size of one corallite or knob.
        rng: the colony's own random numbers.
    """

    x_px: Field
    y_px: Field
    u_px: Field
    v_px: Field
    rel: Field
    angle: Field
    radius_px: float
    feature_px: float
    rng: np.random.Generator

    def look_up(self, tile: tiles.Tile, feature_px: float) -> Field:
        """A texture at a random place, its features `feature_px` wide."""
        return tile.sample(self.u_px, self.v_px, feature_px, self.rng.uniform(0, 1, 2))

    def cloud(self, feature_px: float, slope: float = 1.8) -> Field:
        """Fractal noise whose details under a tenth of `feature_px` are left out: it costs little."""
        n = self.x_px.shape[0]
        every = int(np.clip(feature_px / 10, 1, 8))
        coarse = np.s_[::every, ::every]
        small = tiles.noise(slope).sample(self.x_px[coarse], self.y_px[coarse], feature_px, self.rng.uniform(0, 1, 2))
        side = small.shape[0] * every
        return cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)[:n, :n] if every > 1 else small

    def bent(self) -> Ground:
        """With `u_px` and `v_px` bent: slowly over the colony, so that sizes vary, and from feature to feature."""
        slow, quick = np.float32(0.07 * self.radius_px), np.float32(0.1 * self.feature_px)
        crowd = 1 + np.float32(0.22) * np.square(np.minimum(self.rel, np.float32(1.1)))
        u = self.x_px * crowd + slow * self.cloud(self.radius_px, 2.4)
        v = self.y_px * crowd + slow * self.cloud(self.radius_px, 2.4)
        wide = max(2.5 * self.feature_px, 8.0)
        return replace(self, u_px=u + quick * self.cloud(wide, 2.4), v_px=v + quick * self.cloud(wide, 2.4))


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


def cells_of(ground: Ground, regular: int = 2, feature_px: float | None = None) -> tuple[Field, Field, Field, Field]:
    """Distance to the centre, distance to the edge, random number, septa: see `tiles.corallites`."""
    looked = ground.look_up(tiles.corallites(regular, 0), feature_px or ground.feature_px)
    centre, edge, number, septa = cv2.split(looked)
    return centre, edge, number, septa


def _honeycomb(g: Ground) -> Skin:
    _, edge, number, septa = cells_of(g)
    wall = step(0.44, 0.12, edge)
    teeth = septa * step(0.1, 0.3, edge)
    return Skin(wall + 0.18 * teeth, 0.74 + 0.32 * wall + 0.12 * teeth + 0.14 * (number - 0.5), wall * 0.9)


def _fleshy(g: Ground) -> Skin:
    centre, edge, number, septa = cells_of(g, 1)
    swell = step(0.0, 0.45, edge) * (1 - 0.55 * step(0.55, 0.1, centre))
    mouth = step(0.34, 0.12, centre)
    wrinkle = septa * step(0.2, 0.5, centre)
    mix = 0.75 * step(0.75, 0.25, centre) + 0.9 * (number - 0.5) + 0.12 * wrinkle
    return Skin(mix, 0.72 + 0.38 * swell - 0.25 * mouth + 0.1 * wrinkle, 1.5 * swell + 0.12 * wrinkle)


def _craters(g: Ground) -> Skin:
    centre, _, number, _ = cells_of(g, 1)
    hole = step(0.4, 0.24, centre)
    cone = step(0.95, 0.4, centre)
    return Skin(cone * 0.8, 0.92 + 0.1 * cone - 0.62 * hole + 0.08 * (number - 0.5), cone * (1 - hole) * 0.9)


def _rings(g: Ground) -> Skin:
    centre, _, number, septa = cells_of(g, 3)
    rim = step(0.95, 0.8, centre) * step(0.42, 0.62, centre)
    pit = step(0.5, 0.25, centre)
    gap = step(0.88, 1.05, centre)
    tone = 0.98 + 0.14 * rim * (1 + 0.7 * septa) - 0.48 * pit - 0.42 * gap + 0.1 * (number - 0.5)
    return Skin(rim, tone, rim * 0.9 + 0.2 * (1 - gap))


def _domes(g: Ground) -> Skin:
    centre, _, number, septa = cells_of(g, 2)
    dome = 1 - np.square(np.minimum(centre / np.float32(0.95), 1))
    mouth = step(0.42, 0.22, centre)
    wall = step(0.3, 0.55, centre) * step(0.95, 0.7, centre)
    rays = septa * wall
    tone = 0.62 + 0.42 * dome + 0.16 * wall + 0.16 * rays - 0.3 * mouth + 0.14 * (number - 0.5)
    return Skin(0.9 * mouth + 0.35 * wall + 0.2 * rays, tone, dome * 1.3 - 0.5 * mouth)


def _studs(g: Ground) -> Skin:
    centre, edge, number, _ = cells_of(g, 1)
    disc = step(0.75, 0.45, centre)
    star = step(0.24, 0.05, centre)
    tone = 0.9 + 0.16 * disc - 0.36 * star - 0.16 * step(0.1, 0, edge)
    return Skin(disc * (0.6 + 0.35 * number), tone, disc * 0.4 - 0.2 * star)


def _meanders(g: Ground) -> Skin:
    wave = g.look_up(tiles.labyrinth(0), g.feature_px * 1.25)
    ridge = step(-0.75, 1.0, 0.5 * np.arctanh(np.clip(wave, -0.98, 0.98)))
    _, _, number, septa = cells_of(g, 1, g.feature_px * 0.9)
    teeth = septa * ridge * (1 - ridge)
    return Skin(ridge + 0.5 * teeth, 0.78 + 0.26 * ridge + 0.4 * teeth + 0.1 * (number - 0.5), ridge * 1.0)


def _velvet(g: Ground) -> Skin:
    fine = g.look_up(tiles.noise(1.2), 12.0)
    return Skin(0.08 * fine, 1 + 0.05 * fine, 0.03 * fine)


def _papillae(g: Ground) -> Skin:
    centre, _, number, _ = cells_of(g, 0)
    bump = step(0.65, 0.15, centre) * (0.4 + 0.6 * number)
    return Skin(bump * 0.6, 0.9 + 0.16 * bump, bump * 0.9)


def _ridges(g: Ground) -> Skin:
    bend = g.cloud(g.radius_px * 1.2, 1.7)
    period = max(g.feature_px, 3.0)
    count = np.float32(np.clip(2 * np.pi * g.radius_px * 0.6 / period, 10, 90).round())
    wave = np.sin(g.angle * count + 3.4 * bend) * step(0.05, 0.3, g.rel)
    wave *= np.clip(0.75 + 0.4 * bend, 0.2, 1.2)
    fine = g.look_up(tiles.noise(1.1), 10.0)
    margin = step(0.88, 1.0, g.rel)
    return Skin(0.25 + 0.3 * wave + 0.7 * margin + 0.08 * fine, 0.96 + 0.17 * wave + 0.05 * fine, 0.8 * wave)


def _septa(g: Ground) -> Skin:
    count = np.float32(np.clip(2 * np.pi * g.radius_px * 0.7 / max(g.feature_px, 3.0), 18, 110).round())
    wobble = g.cloud(g.radius_px)
    fine = g.look_up(tiles.noise(1.1), 9.0)
    half = step(0.45, 0.6, g.rel) * np.float32(0.5) * np.sin(2 * (g.angle * count + 0.6 * wobble))
    wave = (np.sin(g.angle * count + 0.6 * wobble) * step(0.1, 0.35, g.rel) + half) * (1 + 0.25 * fine)
    turn = g.rng.uniform(0, np.pi)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along, across = g.x_px * c + g.y_px * s, g.y_px * c - g.x_px * s
    slit = step(1.0, 0.4, np.hypot(along / (0.24 * g.radius_px), across / (0.05 * g.radius_px)))
    rim = step(0.8, 1.0, g.rel)
    tone = 0.96 + 0.12 * wave - 0.5 * slit + 0.06 * fine
    return Skin(0.35 + 0.25 * wave + 0.35 * rim + 0.15 * wobble, tone, 0.5 * wave - 1.5 * slit)


def _spikes(g: Ground) -> Skin:
    """Galaxea: stars of sharp pale septa, standing apart over a dark, fleshy ground."""
    centre, _, number, septa = cells_of(g, 1, max(0.7 * g.feature_px, 5.0))
    star = step(0.85, 0.45, centre) * np.clip(0.55 + 0.6 * septa, 0, 1) * (1 - 0.6 * step(0.3, 0.1, centre))
    return Skin(star * 1.1, 0.62 + 0.5 * star + 0.12 * (number - 0.5), 1.1 * star)


def _cups(g: Ground) -> Skin:
    """Turbinaria: a smooth plate with polyps like small raised buttons, well apart."""
    centre, _, number, _ = cells_of(g, 2, max(1.1 * g.feature_px, 6.0))
    button = step(0.55, 0.4, centre)
    pit = step(0.26, 0.12, centre)
    return Skin(0.7 * button - 0.3 * pit, 0.95 + 0.08 * number + 0.06 * button - 0.45 * pit, 0.6 * button - 0.4 * pit)


def _warts(g: Ground) -> Skin:
    centre, _, _, _ = cells_of(g, 1, max(g.feature_px * 0.22, 2.6))
    wart = step(0.8, 0.2, centre)
    return Skin(wart * 0.2, 0.94 + 0.12 * wart, 0.12 * wart)


def _pores(g: Ground) -> Skin:
    fine = g.look_up(tiles.noise(0.8), 9.0)
    return Skin(0.5 + 0.4 * g.cloud(g.radius_px, 1.6), 1 + 0.045 * fine, 0.05 * fine)


def _felt(g: Ground) -> Skin:
    """Calices too small to count: a matt, even grain, in soft low ridges."""
    _, edge, number, _ = cells_of(g, 0, max(g.feature_px, 3.0))
    fold = 1 - np.minimum(np.abs(g.look_up(tiles.noise(1.6), max(7 * g.feature_px, 12.0))), 1)
    mix = 0.4 * number + 0.5 * fold
    return Skin(mix, 0.9 + 0.1 * fold - 0.07 * step(0.35, 0.05, edge), 0.9 * fold * fold)


def _branchlets(g: Ground) -> Skin:
    fine = g.look_up(tiles.noise(0.9), 7.0)
    return Skin(0.06 * fine, 1 + 0.09 * fine, 0.08 * fine)


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
    "spikes": _spikes,
    "cups": _cups,
    "warts": _warts,
    "pores": _pores,
    "felt": _felt,
    "branchlets": _branchlets,
    "fingers": _velvet,
}
