"""The strings of a quadrat: where they run, where they cross, and how they look in the photo."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render.camera import Matrix, apply
from data_engineering.render.settings import Settings
from quadrat.template import Template

Points = NDArray[np.float64]

_COLOURS = {"white": (236, 236, 228), "red": (214, 62, 44), "black": (24, 24, 26), "twine": (186, 160, 112)}
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


def paths(bows: Bows, diagonals: bool) -> list[Points]:
    """The strings as lines of points ``[n, 2]``, shares of the frame's sides."""
    t = np.linspace(0, 1, _STEPS)
    lines = [np.stack([t, v + off(bow, t)], 1) for v, bow in bows.across.items()]
    lines += [np.stack([u + off(bow, t), t], 1) for u, bow in bows.down.items()]
    if diagonals:
        lines += [np.stack([t, t], 1), np.stack([t, 1 - t], 1)]
    return lines


def cover(size_wh: tuple[int, int], lines_px: list[Points], width_px: float) -> NDArray[np.uint8]:
    """How much of each photo pixel lies under a string: uint8 ``[H, W]``, drawn at twice the size."""
    big = np.zeros((size_wh[1] * 2, size_wh[0] * 2), np.uint8)
    thickness = max(round(2 * width_px), 1)
    for line in lines_px:
        fixed = np.round((line * 2 - 0.5) * 16).astype(np.int32)  # OpenCV: pixel centres at whole numbers
        cv2.polylines(big, [fixed], False, 255, thickness, cv2.LINE_8, shift=4)
    return cv2.resize(big, size_wh, interpolation=cv2.INTER_AREA)


def width_px(rng: np.random.Generator, settings: Settings) -> float:
    """Mostly thin: the odds fall with the width."""
    low, high = settings.string_px
    return float(low + (high - low) * rng.beta(1.1, 3.5)) * settings.size_px / 1280


def colour(rng: np.random.Generator) -> NDArray[np.float32]:
    """Colour of the strings, float32 ``[3]``, 0..255."""
    base = _COLOURS[str(rng.choice(list(_COLOURS), p=[0.45, 0.2, 0.12, 0.23]))]
    return (np.array(base) * rng.uniform(0.85, 1.05)).astype(np.float32)


def to_px(matrix: Matrix, size_cm: tuple[float, float], uv: Points) -> Points:
    """Shares of the frame's sides to photo pixels."""
    return apply(matrix, uv * np.array(size_cm))
