"""Quadrat frames: bare aluminium with tape and rulers, PVC tube, dark bars with colour patches.

Drawn on the canvas, whose axes are the quadrat's, so every bar is an upright rectangle; the camera bends it later. The
quadrat is the opening: its corners are the frame's inner corners.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render.camera import View, apply

Rgb = tuple[int, int, int]
Picture = NDArray[np.uint8]

_TAPES: tuple[Rgb, ...] = ((30, 70, 190), (176, 180, 186), (232, 196, 40), (200, 40, 40), (240, 240, 236))
_PATCHES: tuple[Rgb, ...] = (
    (40, 200, 200),
    (206, 50, 66),
    (16, 124, 104),
    (232, 200, 40),
    (236, 236, 236),
    (70, 90, 190),
)


@dataclass(frozen=True, slots=True, eq=False)
class _Sheet:
    """What a frame is drawn on: colours, where there is frame, and the opening on the canvas in whole px."""

    rgb: Picture
    alpha: Picture
    opening: tuple[int, int, int, int]
    px_per_cm: float

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: NDArray | Rgb) -> None:
        """Fill a rectangle with one colour or with an array that broadcasts to it."""
        h, w = self.alpha.shape
        xa, ya, xb, yb = (round(v) for v in (x0, y0, x1, y1))
        cx0, cy0, cx1, cy1 = max(xa, 0), max(ya, 0), min(xb, w), min(yb, h)
        if cx0 >= cx1 or cy0 >= cy1:
            return
        picture = np.broadcast_to(np.asarray(colour, np.float32), (yb - ya, xb - xa, 3))
        self.rgb[cy0:cy1, cx0:cx1] = np.clip(picture[cy0 - ya : cy1 - ya, cx0 - xa : cx1 - xa], 0, 255)
        self.alpha[cy0:cy1, cx0:cx1] = 255

    def bar(self, side: int, start: float, end: float, width: float, colour: NDArray | Rgb, rise: float = 0) -> None:
        """Fill a stretch of one bar (0 top, 1 right, 2 bottom, 3 left), `start` to `end` as shares of its length.

        `colour` is one colour, or a profile ``[n, 1, 3]`` from the opening outwards. `rise` px stick out over the bar.
        The opening itself is never covered.
        """
        x0, y0, x1, y1 = self.opening
        depth = max(round(width + rise), 1)
        span = (x1 - x0, y1 - y0)[side % 2]
        low, high = start * span, end * span
        fill = np.asarray(colour, np.float32).reshape(-1, 1, 3)
        rows = np.clip((np.arange(depth) / depth * len(fill)).astype(int), 0, len(fill) - 1)
        profile = fill[rows]
        if side == 0:
            self.box(x0 + low, y0 - depth, x0 + high, y0, profile[::-1])
        elif side == 2:
            self.box(x0 + low, y1, x0 + high, y1 + depth, profile)
        elif side == 1:
            self.box(x1, y0 + low, x1 + depth, y0 + high, profile.transpose(1, 0, 2))
        else:
            self.box(x0 - depth, y0 + low, x0, y0 + high, profile[::-1].transpose(1, 0, 2))


def draw(rng: np.random.Generator, kind: str, view: View) -> tuple[Picture, Picture]:
    """Draw a frame.

    Args:
        rng: the photo's random numbers.
        kind: a key of `KINDS`.
        view: gives canvas and opening.

    Returns:
        Colours uint8 ``[h, w, 3]`` and cover uint8 ``[h, w]`` (255: frame) on the canvas.
    """
    w, h = view.canvas_wh
    corners = apply(view.cm_to_canvas, np.array([[0, 0], view.quadrat_wh_cm], np.float64)).round().astype(int)
    opening = (int(corners[0, 0]), int(corners[0, 1]), int(corners[1, 0]), int(corners[1, 1]))
    sheet = _Sheet(np.zeros((h, w, 3), np.uint8), np.zeros((h, w), np.uint8), opening, view.px_per_cm)
    KINDS[kind](rng, sheet, min(view.quadrat_wh_cm) * view.px_per_cm)
    return sheet.rgb, sheet.alpha


def _tube(colour: Rgb, low: float, high: float) -> NDArray[np.float32]:
    """Profile of a round bar ``[24, 1, 3]``, lit from above its axis."""
    across = np.linspace(0, np.pi, 24)
    light = low + (high - low) * np.sin(across + 0.35).clip(0) ** 1.5
    return (light[:, None, None] * np.array(colour)).astype(np.float32)


def _aluminium(rng: np.random.Generator, sheet: _Sheet, side_px: float) -> None:
    width = max(side_px * rng.uniform(0.014, 0.034), 3)
    grey = rng.uniform(150, 215)
    profile = _tube((int(grey), int(grey + 3), int(grey + 6)), 0.45, 1.15)
    past = width / side_px
    if rng.random() < 0.5:
        _legs(rng, sheet, width, side_px)
    for side in range(4):
        sheet.bar(side, -past, 1 + past, width, profile)
        if rng.random() < 0.6:
            _ruler(rng, sheet, side, width)
        if rng.random() < 0.75:
            _tape(rng, sheet, side, width)


def _tape(rng: np.random.Generator, sheet: _Sheet, side: int, width: float) -> None:
    colour = _TAPES[rng.integers(len(_TAPES))]
    for start in np.sort(rng.uniform(0.0, 0.88, rng.integers(1, 5))):
        piece = _tube(colour, 0.7, 1.1) * rng.uniform(0.85, 1.1)
        sheet.bar(side, start, start + rng.uniform(0.05, 0.13), width, piece, rise=width * rng.uniform(0.05, 0.35))


def _ruler(rng: np.random.Generator, sheet: _Sheet, side: int, width: float) -> None:
    ground, ink = ((236, 232, 214), (40, 40, 40)) if rng.random() < 0.6 else ((228, 190, 60), (50, 40, 20))
    low, high = sorted(rng.uniform(0, 1, 2))
    low, high = (0.0, 1.0) if high - low < 0.3 else (float(low), float(high))
    sheet.bar(side, low, high, width * 0.7, ground)
    span = (sheet.opening[2] - sheet.opening[0], sheet.opening[3] - sheet.opening[1])[side % 2]
    mark = 1.2 / span
    for k, at in enumerate(np.arange(low, high, max(sheet.px_per_cm, 4) / span)):
        sheet.bar(side, at, at + mark, width * (0.55 if k % 5 == 0 else 0.3), ink)


def _legs(rng: np.random.Generator, sheet: _Sheet, width: float, side_px: float) -> None:
    """Poles that hold the camera: from the corners outwards, as they rise towards the lens."""
    x0, y0, x1, y1 = sheet.opening
    shade = int(rng.uniform(60, 190))
    thick = max(int(width * rng.uniform(0.8, 1.4)), 2)
    for x, y, dx, dy in ((x0, y0, -1, -1), (x1, y0, 1, -1), (x1, y1, 1, 1), (x0, y1, -1, 1)):
        start = (int(x + dx * width), int(y + dy * width))
        end = (int(x + dx * side_px * rng.uniform(0.4, 0.6)), int(y + dy * side_px * rng.uniform(0.25, 0.6)))
        for t, tone in ((thick, 0.6), (max(thick // 2, 1), 1.0)):
            cv2.line(sheet.rgb, start, end, (int(shade * tone), int(shade * tone), int(shade * tone) + 4), t)
        cv2.line(sheet.alpha, start, end, 255, thick)


def _pvc(rng: np.random.Generator, sheet: _Sheet, side_px: float) -> None:
    width = max(side_px * rng.uniform(0.022, 0.05), 4)
    colour = (238, 238, 230) if rng.random() < 0.6 else (236, 200, 46)
    past = width / side_px
    for side in range(4):
        sheet.bar(side, -past, 1 + past, width, _tube(colour, 0.55, 1.06))
    if rng.random() < 0.5:  # marks every 10 cm, as a lattice of strings is tied to them
        ink = (30, 30, 30) if rng.random() < 0.6 else (200, 30, 30)
        for side in range(4):
            for at in np.arange(0.1, 0.95, 0.1):
                sheet.bar(side, at - 0.004, at + 0.004, width, ink)
    sleeve = rng.uniform(1.6, 2.6) * past
    for side in range(4):
        for start, end in ((-past * 1.12, sleeve), (1 - sleeve, 1 + past * 1.12)):
            sheet.bar(side, start, end, width, _tube(colour, 0.5, 0.98), rise=width * 0.12)


def _dark(rng: np.random.Generator, sheet: _Sheet, side_px: float) -> None:
    width = max(side_px * rng.uniform(0.045, 0.09), 6)
    grey = rng.uniform(36, 92)
    past = width / side_px
    for side in range(4):
        flat = np.linspace(1.12, 0.85, 12)[:, None, None] * np.array([grey, grey * 1.01, grey * 1.02])
        sheet.bar(side, -past, 1 + past, width, flat)
    for side in range(4):
        if rng.random() < 0.75:
            start, share = rng.uniform(0.2, 0.5), rng.uniform(0.07, 0.14)
            for k, i in enumerate(rng.permutation(len(_PATCHES))[: rng.integers(1, 5)]):
                sheet.bar(side, start + k * share, start + (k + 1) * share, width * rng.uniform(0.7, 1.0), _PATCHES[i])
    if rng.random() < 0.6:
        side, low = int(rng.integers(4)), rng.uniform(0.05, 0.4)
        ruler = ((96, 88, 190), (236, 236, 230), (228, 196, 60))[rng.integers(3)]
        sheet.bar(side, low, low + 0.5, width * 0.6, ruler)
        for at in np.arange(low, low + 0.5, 0.02):
            sheet.bar(side, at, at + 0.003, width * 0.25, (20, 20, 40))
    if rng.random() < 0.5:
        _label(rng, sheet, width)
    if rng.random() < 0.35:
        _measure(rng, sheet, side_px)


def _measure(rng: np.random.Generator, sheet: _Sheet, side_px: float) -> None:
    """A measuring tape laid right across; it hides what is under it as a bar does."""
    x0, y0, x1, _ = sheet.opening
    left, right = y0 + side_px * (rng.uniform(0.1, 0.9) + np.array([-1, 1]) * rng.uniform(-0.03, 0.03))
    half = np.array([0, side_px * rng.uniform(0.012, 0.022)])
    start, end = np.array([x0 - 0.1 * side_px, left]), np.array([x1 + 0.1 * side_px, right])
    ribbon = np.array([start - half, end - half, end + half, start + half]).round().astype(np.int32)
    cv2.fillConvexPoly(sheet.rgb, ribbon, (238, 236, 228), cv2.LINE_AA)
    cv2.fillConvexPoly(sheet.alpha, ribbon, 255, cv2.LINE_AA)
    for k, t in enumerate(np.arange(0, 1, 0.01)):
        top = start + t * (end - start) - half
        low = top + half * (1.0 if k % 10 == 0 else 0.45)
        ends = [(int(p[0]), int(p[1])) for p in (top, low)]
        cv2.line(sheet.rgb, ends[0], ends[1], (40, 40, 40), 1, cv2.LINE_AA)


def _label(rng: np.random.Generator, sheet: _Sheet, width: float) -> None:
    x0, _, x1, y1 = sheet.opening
    left = x0 + rng.uniform(0.1, 0.55) * (x1 - x0)
    right = left + 0.38 * (x1 - x0)
    sheet.box(
        left, y1 + 0.15 * width, right, y1 + 0.85 * width, (240, 240, 236) if rng.random() < 0.5 else (60, 190, 210)
    )
    text = f"SITE {rng.integers(1, 30)} Q{rng.integers(1, 99)}"
    at, scale = (int(left + 0.1 * width), int(y1 + 0.68 * width)), width * 0.018
    cv2.putText(
        sheet.rgb, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 30), max(int(width * 0.04), 1), cv2.LINE_AA
    )


KINDS: dict[str, Callable[[np.random.Generator, _Sheet, float], None]] = {
    "aluminium": _aluminium,
    "pvc": _pvc,
    "dark": _dark,
}
