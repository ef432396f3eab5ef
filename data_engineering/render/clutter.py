"""What lies on and over a quadrat beside corals, frame and strings: divers' things and other animals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from data_engineering.render import animals, gear, patches
from data_engineering.render.camera import View, apply
from data_engineering.render.patches import Layer, Patch
from data_engineering.render.settings import Settings

Things = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]
"""Colours ``[h, w, 3]``, cover ``[h, w]`` (255: thing) and height in cm ``[h, w]`` on the canvas."""

_ON_SEABED_CM, _ON_FRAME_CM, _SWIMMING_CM = 2.5, 12.0, 30.0
_ANIMALS: dict[Callable[[np.random.Generator, int], Patch], tuple[float, float, float]] = {  # odds, size in cm
    animals.urchin: (0.38, 7, 18),
    animals.sponge: (0.2, 6, 16),
    animals.cucumber: (0.18, 12, 24),
    animals.star: (0.06, 9, 20),
    animals.snail: (0.18, 2.5, 5),
}


def draw(rng: np.random.Generator, settings: Settings, view: View, kind: str) -> Things | None:
    """Draw what lies over frame, colonies and strings.

    Args:
        rng: the photo's random numbers.
        settings: the odds of each kind of clutter.
        view: gives canvas and quadrat.
        kind: of the frame; without one no tape is laid across.

    Returns:
        Colours, cover and height; `None` where there is nothing.
    """
    drawn = {name for name in _KINDS if rng.random() < settings.clutter.get(name, 0.0)}
    if kind == "none":
        drawn -= {"tape"}
    if not drawn:
        return None
    table = _Table(rng, view)
    for name, draw_one in _KINDS.items():  # from the seabed upwards
        if name in drawn:
            draw_one(table)
    return (table.layer.rgb, table.layer.alpha, table.height_cm) if table.layer.alpha.any() else None


class _Table:
    """The canvas with what has been laid on it so far."""

    def __init__(self, rng: np.random.Generator, view: View) -> None:
        self.rng, self.view, self.scale = rng, view, view.px_per_cm
        self.layer: Layer = patches.empty(view.canvas_wh)
        self.height_cm = np.zeros(self.layer.alpha.shape, np.float32)
        self.side_cm = min(view.quadrat_wh_cm)

    def px(self, cm: float) -> int:
        return max(round(cm * self.scale), 4)

    def place(self, uv: NDArray[np.float64]) -> NDArray[np.float64]:
        return apply(self.view.cm_to_canvas, (uv * self.view.quadrat_wh_cm)[None])[0]

    def lay(self, patch: Patch, at: NDArray[np.float64], angle: float, height_cm: float, anchor: float = 0.5) -> None:
        where = self.layer.lay(patch, at, angle, (anchor, 0.5))
        if where is not None:
            there = self.height_cm[where]
            there[self.layer.alpha[where] > 0] = height_cm


def _animals(table: _Table) -> None:
    rng = table.rng
    odds = np.array([o for o, _, _ in _ANIMALS.values()])
    make, (_, low, high) = list(_ANIMALS.items())[rng.choice(len(odds), p=odds / odds.sum())]
    for _ in range(rng.integers(1, 4)):  # they keep company
        size_cm = rng.uniform(low, high) * min(table.side_cm / 70, 1)
        uv = rng.uniform(-0.25, 1.25, (8, 2))  # bars lie over the seabed: the first place that is off them
        off_bars = np.minimum(np.abs(uv), np.abs(uv - 1)).min(1) > 0.6 * size_cm / table.side_cm + 0.03
        patch = make(rng, table.px(size_cm))
        table.lay(patch, table.place(uv[off_bars.argmax()]), rng.uniform(0, 2 * np.pi), _ON_SEABED_CM)


def _gear(table: _Table) -> None:
    rng, side = table.rng, table.side_cm
    choice = rng.integers(5)
    upright = rng.integers(4) * np.pi / 2 + rng.normal(0, 0.25)
    if choice == 0:
        patch = gear.tag(rng, table.px(rng.uniform(4, 7)))
    elif choice == 1:
        patch = gear.lead(rng, table.px(rng.uniform(7, 11)))
    elif choice == 2:
        long = rng.uniform(0.1, 0.3) * side
        patch = gear.scale_bar(rng, table.px(long), table.px(max(long * rng.uniform(0.08, 0.16), 1)))
    elif choice == 3:
        long = rng.uniform(0.2, 0.35) * min(side, 70)
        patch = gear.slate(rng, table.px(long), table.px(long * rng.uniform(0.6, 0.8)))
    else:
        wide = table.px(rng.uniform(2, 3.5))
        grounds = (((206, 210, 212), (36, 38, 44)), ((236, 234, 224), (30, 30, 34)), ((220, 186, 60), (40, 34, 20)))
        ground, ink = grounds[rng.integers(3)]
        strip = patches.ruler(rng, table.px(rng.uniform(20, 32)), wide, table.scale, ground, ink)
        patch = patches.solid(patches.worn(rng, strip, rng.uniform(0, 0.5), wide))
    edge = rng.integers(2)
    uv = rng.uniform(-0.1, 1.1, 2)
    if rng.random() < 0.6:  # most lies by the frame, out of the way
        uv[edge] = rng.choice([-0.09, 0.07, 0.93, 1.09]) + rng.normal(0, 0.03)
    table.lay(patch, table.place(uv), upright, 4.0)


def _tape(table: _Table) -> None:
    """A transect tape right across the quadrat, held by binder clips."""
    rng, view = table.rng, table.view
    thin = rng.random() < 0.2  # seen on its edge
    wide = table.px(rng.uniform(0.25, 0.6) if thin else rng.uniform(0.016, 0.045) * table.side_cm)
    length = round(rng.uniform(1.9, 3.2) * max(view.quadrat_wh_cm) * table.scale)
    angle = (0.0 if rng.random() < 0.75 else np.pi / 2) + rng.normal(0, 0.05) + np.pi * rng.integers(2)
    middle = rng.uniform(0.12, 0.88, 2)
    middle[0 if abs(np.cos(angle)) > 0.7 else 1] = rng.uniform(0.45, 0.55)
    at = table.place(middle)
    table.lay(gear.tape(rng, length, wide, table.scale * rng.uniform(1.0, 1.4)), at, angle, _ON_FRAME_CM)
    for _ in range(rng.choice([0, 1, 1, 2])):
        along = rng.uniform(-0.45, 0.45) * table.side_cm * table.scale
        clip = gear.clip(rng, max(round(max(wide, 0.02 * table.side_cm * table.scale) * rng.uniform(1.0, 1.5)), 6))
        spot = at + along * np.array([np.cos(angle), np.sin(angle)])
        table.lay(clip, spot, angle + rng.normal(0, 0.12), _ON_FRAME_CM)


def _fish(table: _Table) -> None:
    rng = table.rng
    heading, size = rng.uniform(0, 2 * np.pi), rng.uniform(5, 16)
    school = int(rng.choice([1, 1, 2, 4]))
    at = table.place(rng.uniform(-0.3, 1.3, 2))
    for _ in range(school):
        patch = animals.fish(rng, max(table.px(size * rng.uniform(0.85, 1.15)), 12))
        spot = at + rng.normal(0, 1.1, 2) * size * table.scale * (school > 1)
        table.lay(patch, spot, heading + rng.normal(0, 0.3), _SWIMMING_CM)


def _fin(table: _Table) -> None:
    """The tip of a fin that comes in from the border of the photo."""
    rng, (w, h) = table.rng, table.view.size_wh
    side, share = rng.integers(4), rng.uniform(0.1, 0.9)
    edge = np.array(((share * w, 0), (w, share * h), (share * w, h), (0, share * h))[side])
    matrix = np.linalg.inv(table.view.canvas_to_photo)
    border, centre = apply(matrix, table.view.lens.straighten(np.array([edge, [w / 2, h / 2]])))
    inward = (centre - border) / float(np.linalg.norm(centre - border))
    length = rng.uniform(0.3, 0.55) * table.side_cm * table.scale
    turn = float(np.arctan2(*-inward[::-1])) + rng.normal(0, 0.3)
    tip = border + inward * rng.uniform(0.1, 0.4) * length
    table.lay(gear.fin(rng, max(round(length), 12)), tip, turn, _SWIMMING_CM, anchor=0.0)


_KINDS: dict[str, Callable[[_Table], None]] = {
    "animals": _animals,
    "gear": _gear,
    "tape": _tape,
    "fish": _fish,
    "fin": _fin,
}
