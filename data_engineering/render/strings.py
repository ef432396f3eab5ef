"""The strings of a quadrat: where they run, where they cross, and how they look in the photo."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render import frame
from data_engineering.render.camera import View
from data_engineering.render.patches import Field, Picture
from data_engineering.render.settings import Settings
from quadrat.template import Template

Points = NDArray[np.float64]

_COLOURS = {
    "white": (232, 232, 222),
    "red": (216, 66, 50),
    "black": (26, 26, 28),
    "twine": (184, 158, 112),
    "yellow": (220, 190, 70),
    "blue": (60, 110, 170),
    "line": (206, 214, 210),
}
_ODDS = {  # fishing line is "line"; diagonals are tied of what is bright
    "grid": (0.36, 0.15, 0.1, 0.17, 0.06, 0.05, 0.11),
    "diagonals": (0.22, 0.5, 0.05, 0.1, 0.08, 0.05, 0.0),
}
_ALGAE = ((92, 88, 56), (116, 104, 78), (70, 76, 48))
_STEPS = 48
FAINTEST = 10
"""Of 255: fainter cover is no string."""


@dataclass(frozen=True, slots=True, eq=False)
class Bows:
    """How far the strings leave their straight places, as shares of the quadrat's side.

    A string at place ``p`` lies at ``p + end + (other - end) * t + bow * sin(pi t)``, for t = 0..1 along it.

    Attributes:
        across: ``{v: (end, other, bow)}`` of the strings that run from left to right.
        down: ``{u: (end, other, bow)}`` of those that run from top to bottom.
    """

    across: dict[float, NDArray[np.float64]]
    down: dict[float, NDArray[np.float64]]


def hang(rng: np.random.Generator, layout: Template, sag: float) -> Bows:
    """One string for each row and column of the layout that lies inside the frame."""

    def bows(places: NDArray[np.float64]) -> dict[float, NDArray[np.float64]]:
        inside = [float(p) for p in np.unique(places.round(9)) if 0 < p < 1]
        slack = sag * rng.uniform(0.2, 1.5)  # a frame is strung well or badly as a whole
        return {p: rng.standard_normal(3).clip(-2.5, 2.5) * (0.4 * sag, 0.4 * sag, slack) for p in inside}

    return Bows(bows(layout.uv[:, 1]), bows(layout.uv[:, 0]))


def off(bow: NDArray[np.float64], t: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Distance of a string from its straight place at `t`."""
    return bow[0] + (bow[1] - bow[0]) * t + bow[2] * np.sin(np.pi * np.asarray(t))


def crossings(layout: Template, bows: Bows) -> Points:
    """Where the layout's points really lie: float64 ``[K, 2]``, shares of the frame's sides.

    A crossing is where both strings meet; the end of a string lies on the frame.
    """
    still = np.zeros(3)
    across = np.stack([bows.across.get(float(v), still) for v in layout.uv[:, 1].round(9)], 1)
    down = np.stack([bows.down.get(float(u), still) for u in layout.uv[:, 0].round(9)], 1)
    uv = layout.uv.copy()
    for _ in range(4):  # each string is nearly straight: settles to 1e-6 in two rounds
        uv = np.stack([layout.uv[:, 0] + off(down, uv[:, 1]), layout.uv[:, 1] + off(across, uv[:, 0])], 1)
    return uv


def paths(bows: Bows, diagonals: bool, past: float = 0.0) -> list[Points]:
    """The strings as lines of points ``[n, 2]``, shares of the frame's sides; `past`: how far they go on over it."""
    t = np.concatenate([[-past], np.linspace(0, 1, _STEPS), [1 + past]]) if past else np.linspace(0, 1, _STEPS)
    lines = [np.stack([t, v + off(bow, t)], 1) for v, bow in bows.across.items()]
    lines += [np.stack([u + off(bow, t), t], 1) for u, bow in bows.down.items()]
    if diagonals:
        lines += [np.stack([t, t], 1), np.stack([t, 1 - t], 1)]
    return lines


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """The strings as they look in the photo.

    Attributes:
        cover: uint8 ``[H, W]``, how much of a pixel lies under a string, before colonies hide some.
        rgb: uint8 ``[H, W, 3]``, their colours where there are any.
        shadow: float32 ``[H, W]``, brightness factor on what lies below; `None` where none falls.
    """

    cover: Picture
    rgb: Picture
    shadow: Field | None


@dataclass(frozen=True, slots=True, eq=False)
class _Yarn:
    """What all strings of a frame are made of."""

    rng: np.random.Generator
    name: str
    colour: NDArray[np.float64]
    width_px: float
    fouled: float
    faded: float
    uneven: float


def draw(
    rng: np.random.Generator, settings: Settings, view: View, kind: str, layout: Template | None, bows: Bows
) -> Drawn | None:
    """Draw the strings of a frame, or two diagonals where `layout` is `None` and chance wills.

    Args:
        rng: the photo's random numbers.
        settings: widths and odds.
        view: of the photo.
        kind: of the frame; its bars are wound round.
        layout: of the strings.
        bows: how they run.
    """
    diagonals = layout is None and kind != "none" and rng.random() < settings.diagonals_probability
    if layout is None and not diagonals:
        return None
    yarn = _yarn(rng, settings, "diagonals" if diagonals else "grid")
    past = frame.NARROWEST[kind] * rng.uniform(0.3, 1.0)
    sides = np.array(view.quadrat_wh_cm)
    lines = [view.to_photo(uv * sides) for uv in paths(bows, diagonals, past)]
    crossed = view.to_photo(crossings(layout, bows) * sides) if layout is not None else np.zeros((0, 2))
    sheet = _Sheet.of(view.size_wh)
    if rng.random() < 0.5:
        _ends(yarn, sheet, lines)
    if rng.random() < 0.18:  # doubled: the true ones last, so they lie on top
        lines = [_beside(rng, line, yarn.width_px) for line in lines] + lines
    for line in lines:
        _strand(yarn, sheet, line)
    if yarn.width_px > 1.6:
        _twist(yarn, sheet, lines)
    _knots(yarn, sheet, crossed if rng.random() < 0.45 else crossed[rng.random(len(crossed)) < 0.04])
    cover = cv2.resize(sheet.cover, view.size_wh, interpolation=cv2.INTER_AREA)
    rgb = cv2.multiply(sheet.rgb, cv2.merge([sheet.tone] * 3), scale=1 / 128)
    shadow = _shadow(rng, cover, yarn.width_px) if rng.random() < 0.5 else None
    return Drawn(cover, rgb, shadow)


def _yarn(rng: np.random.Generator, settings: Settings, use: str) -> _Yarn:
    name = str(rng.choice(list(_COLOURS), p=_ODDS[use]))
    colour = np.array(_COLOURS[name]) * rng.uniform(0.8, 1.05)
    width = _width_px(rng, settings)
    if name == "line":
        low = settings.string_px[0] * settings.size_px / 1280
        width = max(min(width, 1.6 * settings.size_px / 1280), low)
    fouled = rng.beta(1, 3) if rng.random() < 0.45 else 0.0
    return _Yarn(rng, name, colour, width, float(fouled), float(rng.uniform(0, 0.5)), float(rng.uniform(0.04, 0.22)))


def _width_px(rng: np.random.Generator, settings: Settings) -> float:
    """Mostly thin: the odds fall with the width."""
    low, high = settings.string_px
    return float(low + (high - low) * rng.beta(1.1, 3.5)) * settings.size_px / 1280


@dataclass(frozen=True, slots=True, eq=False)
class _Sheet:
    """Cover at twice the photo's size, colours, and a brightness (128: as it is) to multiply them with."""

    cover: Picture
    rgb: Picture
    tone: Picture

    @classmethod
    def of(cls, size_wh: tuple[int, int]) -> _Sheet:
        w, h = size_wh
        return cls(np.zeros((2 * h, 2 * w), np.uint8), np.zeros((h, w, 3), np.uint8), np.full((h, w), 128, np.uint8))

    def line(self, xy: Points, width_px: float, colour: Points, opacity: NDArray[np.float64]) -> None:
        """Lay a line ``[n, 2]`` whose pieces have their own colour ``[n - 1, 3]`` and opacity ``[n - 1]``, 0..1."""
        fine, coarse = _fixed(2 * xy), _fixed(xy)
        thick, wide = max(round(2 * width_px), 1), max(round(width_px), 1) + 3
        if opacity.min() == 1:
            cv2.polylines(self.cover, [fine], False, 255, thick, cv2.LINE_8, 4)
        tones = colour.clip(0, 255).tolist()
        for k, tone in enumerate(tones):
            if opacity[k] < 1:
                cv2.polylines(self.cover, [fine[k : k + 2]], False, int(255 * opacity[k]), thick, cv2.LINE_8, 4)
            cv2.polylines(self.rgb, [coarse[k : k + 2]], False, tone, wide, cv2.LINE_8, 4)


def _fixed(xy: Points) -> NDArray[np.int32]:
    """OpenCV's sixteenths of a pixel; its pixel centres lie at whole numbers."""
    return np.round((xy - 0.5) * 16).astype(np.int32)


def _along(rng: np.random.Generator, n: int, knots: int) -> NDArray[np.float64]:
    """Smooth noise ``[n]`` of about deviation 1."""
    return np.interp(np.linspace(0, knots - 1, n), np.arange(knots), rng.standard_normal(knots))


def _strand(yarn: _Yarn, sheet: _Sheet, line: Points) -> None:
    """One string: uneven, faded and fouled in patches; fishing line is clear and glints."""
    rng, n = yarn.rng, len(line) - 1
    if yarn.name == "line":
        glint = np.clip(_along(rng, n, 16) - 0.4, 0, 1)
        colour = (yarn.colour * 0.75)[None] + (255 - 0.75 * yarn.colour) * glint[:, None]
        sheet.line(line, yarn.width_px, colour, 0.35 + 0.6 * glint)
        return
    faded = np.clip(yarn.faded * (0.7 + 0.6 * _along(rng, n, 7)), 0, 0.8)[:, None]
    colour = yarn.colour * (1 - faded) + faded * (0.45 * yarn.colour.mean() + 88)
    colour = colour * (1 + yarn.uneven * _along(rng, n, 12) + 0.3 * yarn.uneven * rng.standard_normal(n))[:, None]
    grown = np.clip(_along(rng, n, 14) - 1.9 + 3.0 * yarn.fouled, 0, 1) if yarn.fouled else np.zeros(n)
    algae = np.array(_ALGAE[rng.integers(len(_ALGAE))]) * rng.uniform(0.8, 1.2, (n, 1))
    colour += np.minimum(1.2 * grown, 0.9)[:, None] * (algae - colour)
    sheet.line(line, yarn.width_px * rng.uniform(0.9, 1.1), colour, np.ones(n))
    for k in np.flatnonzero(grown > 0.35):  # tufts make it thicker
        tuft = line[k : k + 2] + rng.normal(0, 0.25 * yarn.width_px, (2, 2))
        sheet.line(tuft, yarn.width_px * (1.1 + 0.9 * grown[k]) + 0.5, colour[k : k + 1], np.ones(1))


def _beside(rng: np.random.Generator, line: Points, width_px: float) -> Points:
    """A second strand that winds about the first or runs beside it."""
    t = np.linspace(0, 1, len(line))
    normal = np.gradient(line, axis=0)[:, ::-1] * (1, -1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    apart = (0.7 * width_px + 1.2) * (rng.uniform(-1.6, 1.6) + 1.2 * np.sin(t * rng.uniform(4, 16) + rng.uniform(0, 6)))
    return line + normal * apart[:, None]


def _twist(yarn: _Yarn, sheet: _Sheet, lines: list[Points]) -> None:
    """One side in the light, the other in shade, and slanting dark strands where the width lets them be seen."""
    width, turn = yarn.width_px, yarn.rng.uniform(0, 2 * np.pi)
    shift = 0.28 * width * np.array([np.cos(turn), np.sin(turn)])
    half = max(round(0.5 * width), 1)
    cv2.polylines(sheet.tone, [_fixed(line - shift) for line in lines], False, 100, half, cv2.LINE_AA, 4)
    cv2.polylines(sheet.tone, [_fixed(line + shift) for line in lines], False, 148, half, cv2.LINE_AA, 4)
    if width < 2.6:
        return
    strokes = []
    for line in lines:
        step = np.linalg.norm(np.diff(line, axis=0), axis=1)
        way = np.concatenate([[0], np.cumsum(step)])
        at = np.arange(0, way[-1], max(1.1 * width, 3.0))
        centre = np.stack([np.interp(at, way, line[:, i]) for i in (0, 1)], 1)
        along = (line[-1] - line[0]) / (np.linalg.norm(line[-1] - line[0]) + 1e-9)
        slant = 0.5 * width * (along * 0.8 + along[::-1] * (-1, 1))
        strokes.append(np.stack([centre - slant, centre + slant], 1))
    dark, thick = int(128 - yarn.rng.uniform(8, 44)), max(round(0.2 * width), 1)
    cv2.polylines(sheet.tone, list(_fixed(np.concatenate(strokes))), False, dark, thick, cv2.LINE_AA, 4)


def _knots(yarn: _Yarn, sheet: _Sheet, places: Points) -> None:
    """Where strings are tied to each other: a lump, sometimes with ends that stick out."""
    rng = yarn.rng
    tailed = rng.random() < 0.3
    for xy in places:
        size = max(yarn.width_px * rng.uniform(1.2, 2.1), 1.5)
        colour = (yarn.colour * rng.uniform(0.65, 1.0))[None]
        turn = rng.uniform(0, np.pi)
        half = 0.35 * size * np.array([np.cos(turn), np.sin(turn)])
        sheet.line(np.stack([xy - half, xy + half]), size, colour, np.ones(1))
        if tailed and rng.random() < 0.5:
            _tail(yarn, sheet, xy, 3 * yarn.width_px + 4)


def _ends(yarn: _Yarn, sheet: _Sheet, lines: list[Points]) -> None:
    """Turns round the bar at a string's ends, a knot on it, now and then a slack tail."""
    rng, width = yarn.rng, yarn.width_px
    for line in lines:
        for inner, outer in ((line[1], line[0]), (line[-2], line[-1])):
            out = outer - inner
            across = out[::-1] * (1, -1) / (np.linalg.norm(out) + 1e-9)
            for _ in range(rng.integers(0, 4)):
                near, far = across * rng.uniform(-2.2, 2.2, (2, 1)) * (width + 0.5)
                colour = (yarn.colour * rng.uniform(0.6, 1.0))[None]
                sheet.line(np.stack([inner + 0.1 * out + near, outer + far]), width, colour, np.ones(1))
            if rng.random() < 0.12:
                _tail(yarn, sheet, outer, rng.uniform(4, 22) * width**0.5 + 4)


def _tail(yarn: _Yarn, sheet: _Sheet, start: NDArray[np.float64], length_px: float) -> None:
    """A loose end that curls."""
    rng, n = yarn.rng, 10
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.35, n) + rng.normal(0, 0.2))
    steps = np.stack([np.cos(heading), np.sin(heading)], 1) * length_px / n
    colour = np.repeat((yarn.colour * rng.uniform(0.7, 1.0))[None], n, 0)
    sheet.line(np.concatenate([start[None], start + np.cumsum(steps, 0)]), 0.8 * yarn.width_px, colour, np.ones(n))


def _shadow(rng: np.random.Generator, cover: Picture, width_px: float) -> Field:
    """A faint, soft shadow on what lies below, as far off as the strings are high: at half the size."""
    h, w = cover.shape
    small = cv2.resize(cover, (max(w // 2, 1), max(h // 2, 1)), interpolation=cv2.INTER_AREA)
    far, turn = (width_px + 4) * rng.uniform(0.6, 3), rng.uniform(0, 2 * np.pi)
    move = np.array([[1, 0, far * np.cos(turn)], [0, 1, far * np.sin(turn)]])
    soft = cv2.GaussianBlur(cv2.warpAffine(small, move, small.shape[::-1]), (0, 0), 0.6 + 0.25 * far)
    dark = soft.astype(np.float32) * np.float32(-rng.uniform(0.15, 0.6) / 255)
    return cv2.resize(1 + dark, (w, h), interpolation=cv2.INTER_LINEAR)
