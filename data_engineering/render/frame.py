"""Quadrat frames: bare aluminium with tape and rulers, PVC tube, dark bars with colour patches, a chain.

Drawn on the canvas, whose axes are the quadrat's; the camera bends it later. The quadrat is the opening: its corners
are the frame's inner corners, and there the drawing is exact. Between them bars bow, carry things and grow turf.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_engineering.render import fittings, patches
from data_engineering.render.bars import Build
from data_engineering.render.camera import View, apply
from data_engineering.render.patches import Field, Layer, Patch, Picture, Rgb

Surface = Callable[[int, int, float], Field]
"""Colours ``[width, length, 3]`` of a bar from its length, width and where its light falls (-0.5..0.5)."""

NARROWEST = {"aluminium": 0.016, "pvc": 0.022, "dark": 0.045, "chain": 0.018}
"""Least width of a bar, as a share of the shorter side: strings are wound round that much."""


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """What a frame is drawn on, and how one bar's places are found.

    Along a bar x runs counter-clockwise round the opening, y away from it.
    """

    rng: np.random.Generator
    layer: Layer
    opening: tuple[int, int, int, int]
    px_per_cm: float
    light: float
    build: Build

    @property
    def side_px(self) -> int:
        x0, y0, x1, y1 = self.opening
        return min(x1 - x0, y1 - y0)

    def length(self, side: int) -> int:
        """Of one side of the opening (0 top, 1 right, 2 bottom, 3 left), in px."""
        x0, y0, x1, y1 = self.opening
        return (x1 - x0, y1 - y0)[side % 2]

    def angle(self, side: int) -> float:
        return (np.pi, -np.pi / 2, 0.0, np.pi / 2)[side]

    def at(self, side: int, share: float, out_px: float) -> NDArray[np.float64]:
        """Canvas place, `share` of the way along a side and `out_px` off the opening."""
        x0, y0, x1, y1 = self.opening
        start = np.array(((x1, y0), (x1, y1), (x0, y1), (x0, y0))[side], np.float64)
        a = self.angle(side)
        along, out = np.array([np.cos(a), np.sin(a)]), np.array([-np.sin(a), np.cos(a)])
        return start + along * share * self.length(side) + out * out_px

    def fix(self, patch: Patch, side: int, share: float, out_px: float, turn: float = 0.0, flip: bool = False) -> None:
        """Put a patch's centre on a bar; `flip` turns its upper edge away from the opening."""
        self.layer.lay(patch, self.at(side, share, out_px), self.angle(side) + turn + np.pi * flip)

    def bar(self, side: int, width: float, surface: Surface, past: tuple[float, float], turf: float) -> None:
        """Draw one bar; it goes on past the opening by `past` px on either end."""
        rng, length = self.rng, self.length(side)
        if self.build.stub_free:  # the upper and lower bar fill the corners
            past = (0.0, 0.0) if side % 2 else (width, width)
        before, after = (max(round(p), 0) for p in past)
        shift = 0.45 * float(np.cos(self.light - side * np.pi / 2))
        picture = surface(length + before + after, max(round(width), 2), shift)
        if wall := round(self.build.wall * len(picture)):
            picture[:wall, before : before + length] *= self.build.tone * (1 + 0.3 * shift)
        hang = max(round(0.3 * width), 3)
        patch = patches.padded(patches.solid(picture), hang)
        if turf > 0:
            patch = patches.turfed(rng, patch, turf, max(before, after) + round(0.05 * length))
        t = np.clip((np.arange(patch.alpha.shape[1]) + 0.5 - before) / length, 0, 1)
        bow = rng.normal(0, 0.0016) * length
        patch = patches.bent(patch, bow * np.sin(np.pi * t))
        anchor = (before / patch.alpha.shape[1], hang / patch.alpha.shape[0])
        self.layer.lay(patch, self.at(side, 0, 0), self.angle(side), anchor)


def draw(rng: np.random.Generator, kind: str, view: View, made: Build | None = None) -> tuple[Picture, Picture]:
    """Draw a frame.

    Args:
        rng: the photo's random numbers.
        kind: a key of `KINDS`.
        view: gives canvas and opening.
        made: how its bars are made.

    Returns:
        Colours uint8 ``[h, w, 3]`` and cover uint8 ``[h, w]`` (255: frame) on the canvas.
    """
    corners = apply(view.cm_to_canvas, np.array([[0, 0], view.quadrat_wh_cm], np.float64)).round().astype(int)
    opening = (int(corners[0, 0]), int(corners[0, 1]), int(corners[1, 0]), int(corners[1, 1]))
    layer = patches.empty(view.canvas_wh)
    KINDS[kind](_Frame(rng, layer, opening, view.px_per_cm, rng.uniform(0, 2 * np.pi), made or Build()))
    return layer.rgb, layer.alpha


def _width(f: _Frame, kind: str, widest: float) -> float:
    return max(f.side_px * f.rng.uniform(NARROWEST[kind], widest), 3)


def _turf(rng: np.random.Generator) -> float:
    """Most frames are clean, some have lain for months."""
    return float(rng.beta(0.8, 2.2)) if rng.random() < 0.6 else 0.0


def _aluminium(f: _Frame) -> None:
    rng, width = f.rng, _width(f, "aluminium", 0.042)
    grey, turf = rng.uniform(135, 205), 0.7 * _turf(f.rng)
    fitted = rng.random() < 0.75  # a survey team's frame, or a bare one
    if fitted and rng.random() < 0.5:
        _poles(f, width)
    foam = rng.random() < 0.6
    for side in range(4):
        past = rng.uniform(1.0, 1.8, 2) if side % 2 == 0 else rng.uniform(-0.1, 1.6, 2)

        def surface(length: int, wide: int, shift: float) -> Field:
            return patches.metal(rng, length, wide, grey * rng.uniform(0.92, 1.06), shift)

        f.bar(side, width, surface, tuple(past * width), turf)
        if fitted and rng.random() < 0.7:
            _ruler(f, side, width)
        if fitted:
            _wraps(f, side, width, foam)
    for side in range(4):
        if rng.random() < 0.5:
            f.fix(fittings.bolt(rng, max(round(width * 0.4), 4)), side, -0.4 * width / f.length(side), 0.5 * width)
    if fitted and rng.random() < 0.5:
        _camera(f, width)


def _wraps(f: _Frame, side: int, width: float, foam: bool) -> None:
    rng = f.rng
    for share in (np.arange(3) + 0.5) / 3 + rng.normal(0, 0.05, 3):
        if rng.random() < 0.25:
            continue
        length, wide = round(rng.uniform(0.06, 0.17) * f.length(side)), max(round(width * rng.uniform(1.05, 2.3)), 3)
        make = fittings.block if foam and wide > 6 else fittings.wrap
        out = max(wide / 2, width * rng.uniform(0.4, 0.9)) - (rng.random() < 0.3) * 0.12 * width
        f.fix(make(rng, max(length, 4), wide), side, float(np.clip(share, 0.1, 0.9)), out, rng.normal(0, 0.025))


def _ruler(f: _Frame, side: int, width: float) -> None:
    rng = f.rng
    share = 0.96 if rng.random() < 0.5 else rng.uniform(0.3, 0.7)
    wide = max(round(width * rng.uniform(0.55, 0.85)), 3)
    patch = fittings.ruler(rng, round(share * f.length(side)), wide, f.px_per_cm)
    at = rng.uniform(share / 2, 1 - share / 2)
    f.fix(patch, side, at, width * 0.06 + wide / 2, rng.normal(0, 0.0015), bool(rng.random() < 0.5))


def _camera(f: _Frame, width: float) -> None:
    size = max(round(f.side_px * f.rng.uniform(0.07, 0.12)), 12)
    patch = fittings.camera(f.rng, size)
    side = 0 if f.rng.random() < 0.7 else int(f.rng.integers(4))
    share = f.rng.uniform(0.42, 0.58)
    f.fix(patch, side, share, width / 2 + 0.3 * size, f.rng.normal(0, 0.05), True)


def _poles(f: _Frame, width: float) -> None:
    """Poles to the camera: from the corners outwards, as they rise towards the lens."""
    rng = f.rng
    floats = rng.random() < 0.6
    for side, across in enumerate((-np.pi / 4, np.pi / 4, 3 * np.pi / 4, -3 * np.pi / 4)):
        corner = f.at(side, 0, 0)  # top right first, then clockwise
        turn = across + rng.normal(0, 0.12)
        length = round(f.side_px * rng.uniform(0.9, 1.2))
        out = np.array([np.cos(turn), np.sin(turn)])
        pole = fittings.pole(rng, length, width * rng.uniform(0.8, 1.0), width * rng.uniform(1.2, 1.9))
        f.layer.lay(pole, corner + 0.5 * width * out, turn, (0, 0.5))
        if floats and side in (0, 3):
            long, wide = max(round(0.13 * f.side_px), 8), max(round(1.6 * width), 5)
            f.layer.lay(
                fittings.floater(rng, long, wide), corner + (0.08 * f.side_px + width) * out, turn + np.pi + 0.3
            )


def _pvc(f: _Frame) -> None:
    rng, width = f.rng, _width(f, "pvc", 0.052)
    colour: Rgb = (232, 232, 222) if rng.random() < 0.6 else (212, 180, 76) if rng.random() < 0.6 else (160, 164, 166)
    turf, film = _turf(rng), rng.beta(1.0, 1.6)
    marked = rng.random() < 0.5

    def surface(length: int, wide: int, shift: float) -> Field:
        picture = np.repeat(patches.tube(colour, wide, 0.5, 1.02, 0.1, shift), length, 1)
        picture *= (1 + 0.05 * patches.cloud(rng, (length, wide), 8 * wide))[..., None]
        patches.scratch(rng, picture, length // 80)
        return patches.worn(rng, picture, film, 1.5 * wide)

    for side in range(4):
        f.bar(side, width, surface, (0, 0), turf)
        if marked:
            _marks(f, side, width)
        if rng.random() < 0.4:
            _wraps(f, side, width, foam=False)
        if rng.random() < 0.15:
            _ruler(f, side, width)
    sleeve = max(round(width * rng.uniform(0.8, 1.5)), 3)
    for side in range(4):
        elbow = fittings.elbow(rng, round(width), colour)
        wide = max(round(width * 1.14), 3)
        for at in (sleeve / 2, f.length(side) - sleeve / 2):
            bit = np.repeat(patches.tube(colour, wide, 0.48, 0.98, 0.08), sleeve, 1)
            patch = patches.solid(patches.worn(rng, bit, film, width))
            patch.rgb[:, [0, -1]] = patch.rgb[:, [0, -1]] // 2
            f.fix(patch, side, at / f.length(side), wide / 2)
        f.layer.lay(elbow, f.at(side, 0, 0), f.angle(side) - np.pi / 2, (1, 1))
    if rng.random() < 0.12:
        _camera(f, width)


def _marks(f: _Frame, side: int, width: float) -> None:
    """Bands every 10 cm or so, of ink or tape, where strings are tied."""
    rng = f.rng
    ink: Rgb = ((34, 34, 38), (186, 40, 40), (40, 60, 150))[rng.integers(3)]
    thick = max(rng.uniform(0.003, 0.008) * f.length(side), 1.5)
    for share in np.arange(0.1, 0.95, 0.1) + rng.normal(0, 0.002, 9):
        band = np.repeat(patches.tube(ink, round(width), 0.6, 1.1), max(round(thick * rng.uniform(0.7, 1.4)), 1), 1)
        f.fix(patches.solid(band * rng.uniform(0.8, 1.4)), side, share, width / 2, rng.normal(0, 0.05))


def _dark(f: _Frame) -> None:
    rng, width = f.rng, _width(f, "dark", 0.095)
    grey, turf = rng.uniform(34, 88), 0.6 * _turf(f.rng)
    chips, film = rng.uniform(1.6, 3.2), rng.beta(1, 4)

    def surface(length: int, wide: int, shift: float) -> Field:
        tone = np.linspace(1.1 + 0.2 * shift, 0.9 - 0.2 * shift, wide)[:, None]
        tone = tone * (1 + 0.09 * patches.cloud(rng, (length, wide), 3 * wide))
        picture = tone[..., None] * np.array([grey, grey * 1.02, grey * 1.05], np.float32)
        lip = max(wide // 12, 1)
        picture[:lip] *= 0.55
        picture[-lip:] *= 1.35
        patches.scratch(rng, picture, length // 30)
        white = np.clip(patches.cloud(rng, (length, wide), 6, 0.8) - chips, 0, 1)
        picture += 150 * white[..., None]
        return patches.worn(rng, picture, film, wide)

    if rng.random() < 0.4:
        _poles(f, 0.6 * width)
    for side in range(4):
        past = rng.uniform(0.9, 1.2, 2) if side % 2 == 0 else rng.uniform(0, 1.0, 2)
        f.bar(side, width, surface, tuple(past * width), turf)
    labelled = int(rng.integers(4)) if rng.random() < 0.6 else -1
    for side in range(4):
        _dress(f, side, width, side == labelled)


def _dress(f: _Frame, side: int, width: float, labelled: bool) -> None:
    """Colour patches, ruler, label and bolts of one dark bar."""
    rng = f.rng
    length = f.length(side)
    for share in rng.uniform(0.05, 0.95, rng.integers(0, 4)):
        bolt = fittings.bolt(rng, max(round(width * rng.uniform(0.16, 0.26)), 4))
        f.fix(bolt, side, share, width * rng.uniform(0.35, 0.65), rng.uniform(-3, 3))
    if rng.random() < 0.7:
        wide = max(round(width * rng.uniform(0.75, 1.04)), 3)
        patch = fittings.colours(rng, round(rng.uniform(0.15, 0.42) * length), wide)
        f.fix(
            patch, side, rng.uniform(0.3, 0.5), wide / 2 + 0.02 * width, rng.normal(0, 0.006), bool(rng.random() < 0.5)
        )
    elif rng.random() < 0.5:
        _ruler(f, side, 0.9 * width)
    if labelled:
        wide = max(round(width * rng.uniform(0.5, 0.8)), 5)
        patch = fittings.label(rng, round(rng.uniform(0.3, 0.42) * length), wide)
        f.fix(patch, side, rng.uniform(0.24, 0.76), width / 2, rng.normal(0, 0.012), side == 0)


def _chain(f: _Frame) -> None:
    """Links laid along the border, lying flat and standing in turn; a shackle at each corner."""
    rng, wide = f.rng, _width(f, "chain", 0.034)
    link_px, grey = max(round(wide / 0.62), 5), rng.uniform(70, 165)
    flat, standing = (
        [fittings.link(rng, link_px, lies, grey * rng.uniform(0.8, 1.2)) for _ in range(4)] for lies in (True, False)
    )
    for side in range(4):
        length = f.length(side)
        count = int(np.ceil(length / (0.72 * link_px)))
        t = (np.arange(count) + 0.5) / count
        bow = np.abs(rng.normal(0, 0.003)) * length * np.sin(np.pi * t)
        slope = np.gradient(bow, length / count) if count > 1 else np.zeros(1)
        for k in range(count - 1, -1, -1):
            patch = (flat, standing)[k % 2][rng.integers(4)]
            out = wide / 2 + bow[k] + abs(rng.normal(0, 0.06)) * wide * np.sin(np.pi * t[k])
            f.fix(patch, side, t[k], out, float(np.arctan(slope[k])) + rng.normal(0, 0.05))
        shackle = fittings.elbow(rng, round(wide * 1.1), (int(grey), int(grey), int(grey)))
        f.layer.lay(shackle, f.at(side, 0, 0), f.angle(side) - np.pi / 2, (1, 1))


KINDS: dict[str, Callable[[_Frame], None]] = {
    "aluminium": _aluminium,
    "pvc": _pvc,
    "dark": _dark,
    "chain": _chain,
}
