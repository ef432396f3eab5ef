"""Growth forms: the outline of a colony and the relief that its skin lies on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from data_engineering.render import branches, tiles
from data_engineering.render.branches import Bush
from data_engineering.render.genera import Look
from data_engineering.render.surfaces import Ground, step
from data_engineering.render.tiles import Field


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Outline, relief and shading of a growth form; float32 ``[n, n]`` each.

    `inside` is positive within the outline, `height` in radii, `mix` and `tone` as in `surfaces.Skin`.
    """

    inside: Field
    height: Field
    mix: Field
    tone: Field


RAGGED = {"massive": 0.22, "solitary": 0.03, "encrusting": 0.36, "foliose": 0.26, "tabular": 0.3, "leathery": 0.22}
"""How far the outline leaves the round; `COMMON_RAGGED` for the other forms."""
COMMON_RAGGED = 0.2


def _dome(g: Ground) -> Field:
    """Between a paraboloid and a half ball: steep, yet with no cliff at the rim."""
    low = np.clip(1 - np.square(g.rel), 0, 1)
    return np.float32(0.85) * low + np.float32(0.15) * np.sqrt(low)


def _massive(g: Ground, look: Look) -> Shape:
    """A dome; where the genus is lumpy, a heap of lobes that meet in dark creases."""
    dome = _dome(g)
    flat = np.float32(g.rng.uniform(0.45, 0.85))
    lumps = np.float32(look.lumps * g.rng.uniform(0.25, 1.0))
    size = max(g.radius_px * g.rng.uniform(0.28, 0.7), 6.0)
    bend = np.float32(0.3 * size)
    looked = tiles.cells(1, 0).sample(
        g.x_px + bend * g.cloud(2 * size, 2.4), g.y_px + bend * g.cloud(2 * size, 2.4), size, g.rng.uniform(0, 1, 2)
    )
    centre, _, number = cv2.split(looked)
    lobe = np.sqrt(np.clip(1.6 - np.square(centre), 0, 2)) * (0.6 + 0.4 * number)
    if g.rng.random() < 0.5:  # lobes upon lobes
        fine = tiles.cells(1, 1).sample(g.x_px, g.y_px, max(0.4 * size, 6.0), g.rng.uniform(0, 1, 2))[..., 0]
        lobe += 0.3 * np.sqrt(np.clip(1.6 - np.square(fine), 0, 2))
    lobe = cv2.GaussianBlur(lobe, (0, 0), max(size * 0.05, 0.6))
    crease = lumps * step(0.75, 1.3, centre)
    inside = 1 - g.rel - 0.22 * lumps * (centre - 0.6)
    height = flat * dome + lumps * np.float32(0.5 * size / g.radius_px) * lobe * step(-0.1, 0.3, inside)
    return Shape(inside, height, np.zeros_like(dome), (0.92 + 0.1 * dome) * (1 - 0.22 * crease))


def _encrusting(g: Ground, look: Look) -> Shape:
    """A skin over what lies below: its edge frayed, thin and a little pale."""
    rough = g.cloud(g.radius_px * 0.9, 1.5)
    fray = g.cloud(max(0.25 * g.radius_px, 6.0), 1.4)
    inside = 1 - g.rel + 0.1 * rough + 0.05 * fray
    rim = step(0.12, 0.03, inside)
    height = (0.08 + 0.035 * rough) * np.clip(inside * 3, 0, 1)
    return Shape(inside, height, 0.35 * rim, 1 + 0.06 * rim + 0.05 * rough)


def _solitary(g: Ground, look: Look) -> Shape:
    dome = _dome(g)
    bowl = step(0.5, 0.05, g.rel)
    return Shape(1 - g.rel, 0.34 * dome - 0.08 * bowl + 0.06, np.zeros_like(dome), 0.88 + 0.14 * dome)


def _foliose(g: Ground, look: Look) -> Shape:
    """Overlapping leaves: a saw tooth from the centre out, each tooth one tier with a lobed, bright margin."""
    warp = g.cloud(g.radius_px * 0.9, 1.6)
    frill = g.cloud(max(0.3 * g.radius_px, 8.0), 1.5)
    tiers = np.float32(g.rng.uniform(1.6, 3.4))
    swirl = np.float32(g.rng.choice([-1, 0, 1]))
    phase = g.rel * tiers + 0.5 * warp + 0.14 * frill + swirl * g.angle * np.float32(1 / (2 * np.pi))
    tooth = phase - np.floor(phase)
    margin = step(0.82, 0.98, tooth) * np.clip(0.7 + 0.5 * frill, 0, 1)
    shade = step(0.0, 0.4, tooth)
    inside = 1 - g.rel + 0.08 * warp + 0.05 * frill
    outer = step(0.07, 0.02, inside)
    height = 0.15 * tooth + 0.12 * (1 - np.minimum(g.rel, 1)) + 0.05 + 0.015 * frill
    return Shape(inside, height, np.clip(0.6 * np.maximum(margin, outer), 0, 1), 0.7 + 0.34 * shade)


def _bushy(g: Ground, spacing_px: float, bush: Bush, foot: float) -> Shape:
    """Branches over a dark hollow; within `foot` of the outline the gaps belong to the colony."""
    spacing_px = min(spacing_px, max(0.42 * g.radius_px, 4.0))  # a small colony has small branches, not few
    height, mix, tone, drawn = branches.draw(g, spacing_px, bush)
    foot = min(foot, max(1 - 0.3 * bush.lean * spacing_px / g.radius_px, 0.72))
    inside = np.where(drawn, np.float32(1), np.float32(foot) - g.rel)
    return Shape(inside, height / np.float32(g.radius_px), mix, tone * (0.92 + 0.1 * _dome(g)))


def _branching(g: Ground, look: Look) -> Shape:
    """Fingers: of Acropora slender with pale tips, of soft corals fat, blunt and of one colour."""
    soft = look.surface == "velvet"
    spacing = max(g.feature_px * g.rng.uniform(1.0, 1.5), 5.0)
    if soft:
        return _bushy(g, 1.2 * spacing, Bush(1.4, 0.8, 0.15, 0.4, 0.25, 0.5, pale=0.9, tip=0.35), 0.85)
    disorder = g.rng.uniform(0.08, 0.6)
    return _bushy(g, spacing, Bush(g.rng.uniform(0.9, 1.7), 0.8, 0.45, 0.3, g.rng.uniform(0.1, 0.35), disorder), 0.8)


def _knobs(g: Ground, look: Look) -> Shape:
    """Pocillopora: stout branches that end in heads of warts."""
    spacing = max(g.feature_px, 6.0)
    warts = 3 if spacing < 11 else 6 if spacing < 26 else 9
    return _bushy(g, spacing, Bush(0.7, 0.86, 0.08, 0.35, g.rng.uniform(0.2, 0.4), 0.3, warts, 0.5, 0.7), 0.86)


def _tabular(g: Ground, look: Look) -> Shape:
    """A plate on a stalk: fine branchlets in a fan, well over the ground."""
    spacing = max(g.feature_px * g.rng.uniform(0.6, 0.8), 4.0)
    shape = _bushy(g, spacing, Bush(1.7, 0.6, 0.3, 0.35, 0.02, 0.18, pale=0.5), 0.93)
    stalk = np.float32(g.rng.uniform(0.25, 0.45)) + 0.1 * np.square(np.minimum(g.rel, 1))
    tone = np.maximum(shape.tone, 0.6) * (0.9 + 0.12 * step(0.6, 1.0, g.rel))
    return Shape(shape.inside, shape.height + stalk, 0.85 * shape.mix, tone)


def _columns(g: Ground, look: Look) -> Shape:
    """Psammocora: low blunt columns, grown together, soft as felt."""
    size = max(g.feature_px * g.rng.uniform(3.5, 6), 7.0)
    looked = g.look_up(tiles.cells(0, 0), size)
    centre, _, number = cv2.split(looked)
    swell = cv2.GaussianBlur(step(1.3, 0.1, centre) * (0.4 + 0.6 * number), (0, 0), max(0.06 * size, 0.6))
    inside = 1 - g.rel - np.float32(min(size / g.radius_px, 0.5)) * 0.5 * (centre - 0.6)
    height = 0.2 * _dome(g) + np.float32(0.6 * size / g.radius_px) * swell + 0.03
    return Shape(inside, height, 0.3 * swell, 0.78 + 0.26 * swell)


def _blades(g: Ground, look: Look) -> Shape:
    """Upright plates seen edge on: winding pale lines over dark gaps, more along one way than across it."""
    size, stretch = max(g.feature_px, 9.0), np.float32(g.rng.uniform(0.4, 0.9))
    turn = g.rng.uniform(0, np.pi)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    bend = np.float32(0.35 * size)
    u = (c * g.x_px + s * g.y_px) * stretch + bend * g.cloud(2 * size)
    v = c * g.y_px - s * g.x_px + bend * g.cloud(2 * size)
    ragged = g.cloud(0.8 * size, 1.3)
    wave = np.abs(tiles.labyrinth(1).sample(u, v, 1.1 * size, g.rng.uniform(0, 1, 2))) + 0.08 * ragged
    blade, edge = step(1.0, 0.2, wave), step(0.4, 0.1, wave)
    inside = 1 - g.rel - 0.2 * (1 - blade)
    top = np.clip(0.7 + 0.3 * ragged, 0, 1.2)
    height = 0.1 + np.float32(min(0.5 * size / g.radius_px, 0.4)) * blade * top + 0.2 * _dome(g)
    return Shape(inside, height, 0.55 * edge * top, 0.74 + 0.28 * blade)


def _leathery(g: Ground, look: Look) -> Shape:
    """Leather corals: a smooth cap thrown into folds towards its rim, ridged in the middle or not."""
    bend = g.cloud(g.radius_px)
    count = np.float32(g.rng.integers(5, 11))
    fold = np.sin(g.angle * count + 3.5 * bend) * step(0.15, 0.8, g.rel)
    ridge = 1 - np.minimum(np.abs(g.cloud(0.6 * g.radius_px, 2.0)) * 1.6, 1)
    ridge *= np.float32(g.rng.uniform(0, 1)) * step(1.0, 0.6, g.rel)
    inside = 1 - g.rel + 0.09 * fold
    height = 0.28 * _dome(g) + 0.06 * fold + 0.1 * ridge + 0.08
    return Shape(inside, height, np.clip(0.3 + 0.25 * fold + 0.4 * ridge, 0, 1), 0.9 + 0.08 * fold + 0.08 * ridge)


FORMS: dict[str, Callable[[Ground, Look], Shape]] = {
    "massive": _massive,
    "encrusting": _encrusting,
    "solitary": _solitary,
    "foliose": _foliose,
    "branching": _branching,
    "knobs": _knobs,
    "columns": _columns,
    "tabular": _tabular,
    "blades": _blades,
    "leathery": _leathery,
}
