"""What covers the corners of real frames: knots of cord, floats, taped blocks, poles, struts of a camera stand.

Off by default. They lie on the canvas over frame and strings, in a layer of their own drawn from numbers of their own:
the same seed without them is the same photograph elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render import fittings, patches
from data_engineering.render.camera import View, apply
from data_engineering.render.clutter import Things
from data_engineering.render.patches import Layer, Patch, Rgb
from data_engineering.render.settings import Settings

_STREAM = 11
"""First number of the seed, apart from those of the photo (its version) and of backgrounds."""
_HEIGHT_CM = 12.0  # as high as what else lies on the frame
_CORDS: tuple[Rgb, ...] = (
    (222, 48, 40),
    (222, 48, 40),
    (236, 92, 40),
    (236, 208, 60),
    (236, 236, 228),
    (40, 92, 190),
    (60, 170, 80),
    (40, 40, 44),
)


def draw(
    seed: int, settings: Settings, view: View, bars: NDArray[np.uint8], away: NDArray[np.float64]
) -> Things | None:
    """Draw what covers the corners.

    Args:
        seed: of the photo.
        settings: `corner_covers` gives the probability of each kind.
        view: gives canvas and opening.
        bars: uint8 ``[h, w]``, cover of the frame on the canvas.
        away: unit vector ``[2]``, from the light.

    Returns:
        Colours, cover and height; `None` where there is nothing.
    """
    if not any(settings.corner_covers.values()):
        return None
    rng = np.random.default_rng([_STREAM, seed])
    chosen = {kind for kind in _KINDS if rng.random() < settings.corner_covers.get(kind, 0.0)}
    corners = apply(view.cm_to_canvas, np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * view.quadrat_wh_cm)
    layer = patches.empty(view.canvas_wh)
    bench = _Bench(layer, corners, bar_width(bars, corners), away, view.px_per_cm)
    for (kind, draw_one), own in zip(_KINDS.items(), rng.spawn(len(_KINDS)), strict=True):
        if kind in chosen:
            draw_one(own, bench)
    height_cm = np.where(layer.alpha > 0, np.float32(_HEIGHT_CM), np.float32(0))
    return (layer.rgb, layer.alpha, height_cm) if layer.alpha.any() else None


def bar_width(bars: NDArray[np.uint8], corners: NDArray[np.float64]) -> float:
    """Width in px of a frame's bars: over all four sides, the middle one of what is covered outside the opening.

    Args:
        bars: uint8 ``[h, w]``, cover of the frame.
        corners: ``[4, 2]`` px, of the opening, clockwise from the top left.
    """
    (x0, y0), (x1, y1) = corners[[0, 2]].round().astype(int)
    full = bars >= 128
    above, below = full[:y0, x0:x1][::-1], full[y1:, x0:x1]
    left, right = full[y0:y1, :x0].T[::-1], full[y0:y1, x1:].T
    widths = [np.logical_and.accumulate(s[1:]).sum(0) for s in (above, below, left, right) if len(s) > 1]
    return max(float(np.median(np.concatenate(widths))) + 1, 3.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    """The layer that all is laid on, and the measures of the frame below it.

    Attributes:
        layer: of the canvas.
        corners: ``[4, 2]`` px, of the opening, clockwise from the top left.
        width: of the bars, px.
        away: unit vector ``[2]``, where shadows fall.
        px_per_cm: scale of the canvas.
    """

    layer: Layer
    corners: NDArray[np.float64]
    width: float
    away: NDArray[np.float64]
    px_per_cm: float

    @property
    def side_px(self) -> float:
        return float((self.corners[2] - self.corners[0]).min())

    def outward(self, corner: int) -> float:
        """Angle of the diagonal that leaves the opening at a corner."""
        return (-3, -1, 1, 3)[corner] * np.pi / 4

    def lay(self, patch: Patch, at: NDArray[np.float64], angle: float, anchor: tuple[float, float]) -> None:
        """Lay a patch over a soft shadow on what is right below it; too thin to count as covering."""
        soft = max(0.12 * self.width, 1.0)
        rim = int(3 * soft)
        cover = cv2.copyMakeBorder(patch.alpha, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=0)
        dark = (0.42 * cv2.GaussianBlur(cover, (0, 0), soft)).astype(np.uint8)
        h, w = patch.alpha.shape
        inner = ((anchor[0] * w + rim) / dark.shape[1], (anchor[1] * h + rim) / dark.shape[0])
        shadow = Patch(np.full((*dark.shape, 3), 8, np.uint8), dark)
        self.layer.lay(shadow, at + 0.22 * self.width * self.away, angle, inner)
        self.layer.lay(patch, at, angle, anchor)


def _some(rng: np.random.Generator, least: int) -> list[int]:
    """All corners more often than not, else `least` or more of them."""
    count = 4 if rng.random() < 0.55 else int(rng.integers(least, 5))
    return [int(k) for k in rng.permutation(4)[:count]]


def _unit(angle: float) -> NDArray[np.float64]:
    return np.array([np.cos(angle), np.sin(angle)])


def _blocks(rng: np.random.Generator, bench: _Bench) -> None:
    """Foam in tape along all bars, thicker than they are, over more than half of them and close up to the corners."""
    thick = min(bench.width * rng.uniform(1.6, 3.0), 0.1 * bench.side_px)
    tape: Rgb | None = (34, 62, 166) if rng.random() < 0.3 else (176, 182, 190) if rng.random() < 0.7 else None
    for side in range(4):
        start, end = bench.corners[side], bench.corners[(side + 1) % 4]
        angle = side * np.pi / 2
        length = float(np.hypot(*(end - start)))
        out = (rng.uniform(0.3, 0.6)) * bench.width * _unit(angle - np.pi / 2)
        count = int(rng.integers(2, 4))
        near = np.where(rng.random(2) < 0.15, -0.03, rng.uniform(0.01, 0.07, 2))
        share = rng.uniform(0.5, 0.75) / count
        for centre in np.linspace(near[0] + share / 2, 1 - near[1] - share / 2, count):
            wide = max(round(thick * rng.uniform(0.85, 1.1)), 4)
            long = max(round(share * length * rng.uniform(0.85, 1.1)), 6)
            plain = tape is not None and rng.random() < 0.4
            patch = fittings.wrap(rng, long, wide, tape) if plain else fittings.block(rng, long, wide)
            bench.lay(patch, start + (end - start) * centre + out, angle + rng.normal(0, 0.03), (0.5, 0.5))


def _poles(rng: np.random.Generator, bench: _Bench) -> None:
    """Poles that start at a fitting on the corner and rise to the camera, as thick as the bars or thicker."""
    near, spread = bench.width * rng.uniform(0.9, 1.4), rng.uniform(1.2, 1.8)
    near = min(near, 0.06 * bench.side_px)
    grey = int(rng.choice([40, 120, 170])) if rng.random() < 0.8 else 220
    inward = rng.uniform(-0.35, 0.6)  # of the bar's width: the fitting reaches over the corner or ends before it
    for corner in _some(rng, 2):
        turn = bench.outward(corner) + rng.normal(0, 0.3)
        start = bench.corners[corner] + _unit(bench.outward(corner)) * (0.5 - inward) * bench.width
        wide = max(round(near * rng.uniform(1.05, 1.5)), 4)
        joint = patches.metal(rng, max(round(wide * rng.uniform(1.1, 2.0)), 5), wide, grey, rng.uniform(-0.4, 0.4))
        joint[:, [0, -1]] *= 0.5
        upright = np.pi / 2 * float(rng.integers(4))
        bench.lay(patches.solid(joint), start, upright if rng.random() < 0.5 else turn, (0.45, 0.5))
        pole = fittings.pole(rng, round(bench.side_px * rng.uniform(0.7, 1.1)), near, near * spread)
        pole.rgb[:, : max(round(0.1 * near), 1)] //= 2  # the end's edge
        bench.lay(pole, start, turn, (0.0, 0.5))


def _struts(rng: np.random.Generator, bench: _Bench) -> None:
    """Two struts of a camera stand, flat or round, that cross one bar near both its ends at a slant."""
    side = 0 if rng.random() < 0.7 else int(rng.integers(4))
    along = side * np.pi / 2
    start, end = bench.corners[side], bench.corners[(side + 1) % 4]
    slant, wide = rng.uniform(0.27, 0.5), max(round(min(bench.width, 0.07 * bench.side_px) * rng.uniform(0.45, 0.9)), 4)
    grey, share = rng.uniform(30, 100) if rng.random() < 0.7 else rng.uniform(120, 200), rng.uniform(0.0, 0.06)
    raised = rng.uniform(0.2, 0.8) * bench.width * _unit(along - np.pi / 2)
    for at, sign in ((share, 1), (1 - share, -1)):
        long = round(bench.side_px * rng.uniform(0.3, 0.5))
        strip = patches.metal(rng, long, wide, grey, rng.uniform(-0.5, 0.5))
        lip = max(wide // 7, 1)
        upper, lower = (1.9, 0.45) if rng.random() < 0.5 else (0.45, 1.9)
        strip[:lip] = upper * strip[:lip] + 25 * (upper > 1)
        strip[-lip:] = lower * strip[-lip:] + 25 * (lower > 1)
        patch = patches.solid(patches.worn(rng, strip, rng.uniform(0, 0.3), 2 * wide))
        foot = start + (end - start) * (at + rng.normal(0, 0.01)) + raised
        bench.lay(patch, foot, along - sign * slant + np.pi * (sign < 0), (0.25, 0.5))  # it goes on past the corner


def _floats(rng: np.random.Generator, bench: _Bench) -> None:
    """A float of a pole that hangs over the whole corner."""
    wide = max(round(max(1.4 * bench.width, 0.05 * bench.side_px) * rng.uniform(0.9, 1.3)), 6)
    wide = min(wide, round(0.13 * bench.side_px))
    long = max(round(bench.side_px * rng.uniform(0.11, 0.19)), wide)
    colour = (
        (1.0, 1.0, 1.0) if rng.random() < 0.7 else ((4.6, 3.4, 0.9), (4.5, 4.5, 4.3), (4.4, 1.6, 0.7))[rng.integers(3)]
    )
    for corner in rng.permutation(4)[: int(rng.choice([1, 1, 2]))]:
        turn = bench.outward(corner) + rng.normal(0, 0.3)
        patch = fittings.floater(rng, long, wide)
        rgb = np.clip(patch.rgb * np.array(colour), 0, 240).astype(np.uint8) if colour[0] > 1 else patch.rgb
        shift = np.array([rng.uniform(0.1, 0.38) * long, rng.normal(0, 0.12) * wide])
        at = bench.corners[corner] + shift[0] * _unit(turn) + shift[1] * _unit(turn + np.pi / 2)
        bench.lay(Patch(rgb, patch.alpha), at, turn + np.pi, (0.5, 0.5))


def _knots(rng: np.random.Generator, bench: _Bench) -> None:
    """Cord tied round the corners: turns across, a knot, loose ends."""
    colour = _CORDS[rng.integers(len(_CORDS))]
    thick = max(bench.side_px * rng.uniform(0.004, 0.009), 1.5)
    for corner in _some(rng, 3):
        patch = knot(rng, max(round(bench.side_px * rng.uniform(0.07, 0.16)), 16), thick, colour)
        shift = rng.normal(0, 0.006, 2) * bench.side_px + _unit(bench.outward(corner)) * rng.uniform(0, 0.9) * thick
        bench.lay(patch, bench.corners[corner] + shift, bench.outward(corner), (0.5, 0.5))


def knot(rng: np.random.Generator, size: int, thick: float, colour: Rgb) -> Patch:
    """A knot of cord in the middle of a square patch, its loose ends anywhere in it.

    Args:
        rng: random numbers.
        size: of the patch, px.
        thick: of the cord, px.
        colour: of the cord in the light.
    """
    picture, alpha = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.uint8)
    t = np.linspace(0, 1, 24)
    middle, radius = size / 2, thick * rng.uniform(1.4, 2.6)
    for _ in range(rng.integers(1, 4)):  # turns round the bars
        lean = np.pi / 2 + rng.normal(0, 0.35)
        run = np.outer(t - rng.uniform(0.3, 0.7), _unit(lean) * size * rng.uniform(0.3, 0.5))
        _cord(rng, picture, alpha, middle + run + rng.normal(0, 0.8 * thick, 2), thick, colour)
    for _ in range(rng.integers(2, 5)):  # loose ends
        turn, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 1.4)
        reach = rng.uniform(0.25, 0.5) * size
        angles = turn + bend * t
        run = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1), 0) * reach / len(t)
        _cord(rng, picture, alpha, middle + run, thick * rng.uniform(0.6, 0.9), colour)
    for _ in range(rng.integers(3, 6)):  # loops of the knot
        turn, flat = rng.uniform(0, np.pi), rng.uniform(0.3, 0.9)
        around = rng.uniform(0, 2 * np.pi) + 2 * np.pi * rng.uniform(0.6, 1.0) * t
        loop = np.stack([radius * np.cos(around), radius * flat * np.sin(around)], 1)
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        _cord(rng, picture, alpha, middle + loop @ spin.T + rng.normal(0, 0.4 * thick, 2), thick, colour)
    return patches.solid(picture, alpha)


def _cord(
    rng: np.random.Generator,
    picture: patches.Field,
    alpha: patches.Picture,
    path: NDArray[np.float64],
    thick: float,
    colour: Rgb,
) -> None:
    """Draw a cord along a path ``[n, 2]``, in place: dark below, lit above, its strands as steps of light."""
    points = np.round(path * 16).astype(np.int32)
    cv2.polylines(alpha, [points], False, 255, max(round(thick), 1), cv2.LINE_AA, 4)
    cv2.polylines(picture, [points], False, tuple(0.45 * c for c in colour), max(round(thick), 1) + 2, cv2.LINE_AA, 4)
    lit = points - np.array([0, round(2.5 * thick)], np.int32)
    for a, b in zip(lit[:-1], lit[1:], strict=True):
        tone = rng.uniform(0.8, 1.15)
        shade = tuple(min(tone * c, 255.0) for c in colour)
        cv2.line(picture, a.tolist(), b.tolist(), shade, max(round(0.65 * thick), 1), cv2.LINE_AA, 4)


_KINDS: dict[str, Callable[[np.random.Generator, _Bench], None]] = {  # from the frame upwards
    "blocks": _blocks,
    "struts": _struts,
    "knots": _knots,
    "poles": _poles,
    "floats": _floats,
}
