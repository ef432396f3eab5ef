"""Small pictures of man-made things and how they are laid on the canvas: rods, boards, rulers, writing, wear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render import tiles

Rgb = tuple[int, int, int]
Picture = NDArray[Any]
"""uint8; OpenCV's types know no number formats, so neither can these."""
Field = NDArray[Any]
"""float32."""

_TURF: tuple[Rgb, ...] = ((84, 78, 50), (104, 88, 64), (66, 74, 44), (132, 92, 100), (58, 50, 42))


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A thing seen from above, upright.

    Attributes:
        rgb: uint8 ``[h, w, 3]``.
        alpha: uint8 ``[h, w]``, 255 where the thing is.
    """

    rgb: Picture
    alpha: Picture


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A canvas of things: colours uint8 ``[h, w, 3]``, cover uint8 ``[h, w]``."""

    rgb: Picture
    alpha: Picture

    def lay(
        self,
        patch: Patch,
        at_xy: NDArray[np.float64] | tuple[float, float],
        angle: float = 0.0,
        anchor: tuple[float, float] = (0.5, 0.5),
    ) -> tuple[slice, slice] | None:
        """Lay a patch, turned by `angle` (radians, clockwise), its `anchor` (shares of its sides) at `at_xy`.

        Returns:
            Rows and columns it may have changed; `None` when all of it lies outside.
        """
        h, w = patch.alpha.shape
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = np.asarray(at_xy, np.float64) - turn @ (np.array(anchor) * (w, h))
        corners = np.array([[0, 0], [w, 0], [w, h], [0, h]]) @ turn.T + shift
        x0, y0 = np.maximum(np.floor(corners.min(0) + 1e-6).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(corners.max(0) - 1e-6).astype(int), self.alpha.shape[::-1])
        if x0 >= x1 or y0 >= y1:
            return None
        # OpenCV's pixel centres lie at whole numbers
        offset = shift - (x0, y0) + turn @ (0.5, 0.5) - 0.5
        matrix = np.column_stack([turn, offset])
        size = (int(x1 - x0), int(y1 - y0))
        rgb = cv2.warpAffine(patch.rgb, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        where = (slice(int(y0), int(y1)), slice(int(x0), int(x1)))
        over(self.rgb[where], self.alpha[where], rgb, cv2.warpAffine(patch.alpha, matrix, size))
        return where


def over(rgb: Picture, alpha: Picture, new: Picture, cover: Picture) -> None:
    """Lay `new` where `cover` (0..255) says, in place; what lay there shows through where it is not 255."""
    full = cover == 255  # most of it: copied, the rest is blended
    cv2.copyTo(new, full.view(np.uint8), rgb)
    alpha[full] = 255
    some = (cover > 0) & ~full
    a, b = cover[some].astype(np.float32) / 255, alpha[some].astype(np.float32) / 255
    total = a + b * (1 - a)
    below = rgb[some].astype(np.float32)
    rgb[some] = (below + (a / total)[:, None] * (new[some] - below) + 0.5).astype(np.uint8)
    alpha[some] = (255 * total + 0.5).astype(np.uint8)


def empty(size_wh: tuple[int, int]) -> Layer:
    """A layer with nothing on it."""
    w, h = size_wh
    return Layer(np.zeros((h, w, 3), np.uint8), np.zeros((h, w), np.uint8))


def solid(colour: Field, alpha: Picture | None = None) -> Patch:
    """A patch of colours ``[h, w, 3]`` in any range; full unless `alpha` says otherwise."""
    rgb = np.clip(colour, 0, 255).astype(np.uint8)
    return Patch(rgb, np.full(rgb.shape[:2], 255, np.uint8) if alpha is None else alpha)


def cloud(rng: np.random.Generator, size_wh: tuple[int, int], feature_px: float, slope: float = 1.5) -> Field:
    """Noise of deviation 1, float32 ``[h, w]``, at a random place of the tile."""
    return tiles.noise(slope).spread(size_wh, max(feature_px, 1.5), rng.uniform(0, 1, 2), int(rng.integers(4)))


def streaks(rng: np.random.Generator, size_wh: tuple[int, int], length_px: float) -> Field:
    """Brushed lines along x, float32 ``[h, w]``, deviation about 1."""
    w, h = size_wh
    few = rng.standard_normal((h, max(round(w / length_px), 2)), np.float32)
    return cv2.resize(few, size_wh, interpolation=cv2.INTER_LINEAR)


def tube(colour: Rgb, width: int, low: float, high: float, gloss: float = 0.0, shift: float = 0.35) -> Field:
    """Profile of a round bar, float32 ``[width, 1, 3]``, lit from above its axis, with a line of gloss."""
    across = (np.arange(width) + 0.5) / width
    light = low + (high - low) * np.sin(np.pi * across + shift).clip(0) ** 1.3
    shine = gloss * np.exp(-(((across - 0.5 + shift / np.pi) / 0.09) ** 2))
    return (light[:, None, None] * np.array(colour) + 255 * shine[:, None, None]).astype(np.float32)


def metal(rng: np.random.Generator, length: int, width: int, grey: float, shift: float) -> Field:
    """Brushed, scratched, stained tube: float32 ``[width, length, 3]``."""
    colour = (int(grey), int(grey + 4), int(grey + 7))
    picture = np.repeat(tube(colour, width, 0.36, 1.02, rng.uniform(0.1, 0.45), shift), length, 1)
    picture *= (1 + 0.06 * streaks(rng, (length, width), 60) + 0.07 * cloud(rng, (length, width), 5 * width))[..., None]
    scratch(rng, picture, max(length // 60, 1))
    rust = np.clip(cloud(rng, (length, width), 2.5 * width, 1.2) - rng.uniform(0.6, 2.4), 0, 1)[..., None]
    return picture + 0.8 * rust * (np.array([96, 74, 50], np.float32) - picture)


def scratch(rng: np.random.Generator, picture: Field, count: int, strength: float = 0.6) -> None:
    """Short faint lines, brighter or darker than what they cross, in place."""
    h, w = picture.shape[:2]
    lines = np.zeros((h, w), np.float32)
    for x, y, dx, dy, tone in rng.uniform(0, 1, (count, 5)):
        start = (int(x * w), int(y * h))
        end = (int(x * w + (dx - 0.5) * h * 2), int(y * h + (dy - 0.5) * h * 0.8))
        cv2.line(lines, start, end, float(strength * (1 if tone > 0.5 else -0.7) * (0.3 + 0.7 * dx)), 1, cv2.LINE_AA)
    picture *= (1 + lines)[..., None]


def worn(rng: np.random.Generator, picture: Field, film: float, feature_px: float) -> Field:
    """Stains, and a film of algae that gathers in patches; `film` 0..1."""
    h, w = picture.shape[:2]
    green = np.array(_TURF[rng.integers(len(_TURF))], np.float32)
    patchy = np.clip(0.5 + 0.5 * cloud(rng, (w, h), feature_px, 1.2) - (1.1 - 1.3 * film), 0, 1)[..., None]
    picture = picture + min(0.35 + film, 0.9) * patchy * (0.8 * green + 0.15 * picture - picture)
    return picture * (1 + 0.05 * cloud(rng, (w, h), 2.2, 0.8))[..., None]


def turfed(rng: np.random.Generator, patch: Patch, amount: float, keep_ends: int) -> Patch:
    """Turf and crusts over a bar, hanging over its edges except within `keep_ends` px of its ends.

    The patch needs transparent rows for the turf to hang into.
    """
    h, w = patch.alpha.shape
    thick = cloud(rng, (w, h), 0.5 * h, 1.1) + 0.5 * cloud(rng, (w, h), 3.5, 0.6)
    far = cv2.distanceTransform((patch.alpha < 128).astype(np.uint8), cv2.DIST_L2, 3)
    inside = far == 0
    thick -= np.where(inside, 0, 0.5 + 6 * far / h)
    x = np.arange(w)
    thick -= 4 * (~inside) * (np.minimum(x, w - x) < keep_ends)
    grown = np.clip((thick - (2.4 - 2.6 * amount)) * 2, 0, 1)
    colour = (
        np.array(_TURF[rng.integers(len(_TURF))], np.float32) * (1 + 0.28 * cloud(rng, (w, h), 2.5, 0.7))[..., None]
    )
    rgb = patch.rgb + (grown * np.where(inside, 0.9, 1))[..., None] * (colour - patch.rgb)
    return solid(rgb, np.maximum(patch.alpha, (255 * grown).astype(np.uint8)))


def padded(patch: Patch, rows: int) -> Patch:
    """The patch with `rows` transparent rows above and below, its edge colours in them."""
    rgb = cv2.copyMakeBorder(patch.rgb, rows, rows, 0, 0, cv2.BORDER_REPLICATE)
    return Patch(rgb, cv2.copyMakeBorder(patch.alpha, rows, rows, 0, 0, cv2.BORDER_CONSTANT, value=0))


def bent(patch: Patch, down_px: NDArray[np.float64]) -> Patch:
    """Every column moved down by its `down_px` ``[w]``, parts of a pixel too."""
    h, w = patch.alpha.shape
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    y -= down_px.astype(np.float32)
    rgb = cv2.remap(patch.rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Patch(rgb, cv2.remap(patch.alpha, x, y, cv2.INTER_LINEAR))


def ruler(rng: np.random.Generator, length: int, width: int, px_per_cm: float, ground: Rgb, ink: Rgb) -> Field:
    """A ruler or measuring tape, float32 ``[width, length, 3]``: ticks from the top edge, numbers below them."""
    picture = np.broadcast_to(np.array(ground, np.float32), (width, length, 3)).copy()
    picture *= (1 + 0.04 * cloud(rng, (length, width), 6 * width))[..., None]
    step = px_per_cm / 10 if px_per_cm > 14 else px_per_cm / 2 if px_per_cm > 5 else px_per_cm
    per_cm = round(px_per_cm / step)
    marks = np.arange(0, length / step).astype(int)
    columns = np.minimum((marks * step).astype(int), length - 1)
    tall = np.zeros(length)
    tall[columns] = np.where(marks % per_cm, 0.22, np.where(marks // per_cm % 5, 0.36, 0.5))
    picture[(np.arange(width)[:, None] + 0.5) / width < tall] = ink
    every = max(round(2.2 * width / px_per_cm), 1 if width > 14 else 5)
    start, size = int(rng.integers(0, 70)), max(width / 42, 0.25)
    for k in range(every, int(length / px_per_cm), every):
        red = (start + k) % 10 == 0 and rng.random() < 0.7
        at = (int(k * px_per_cm - 9 * size), int(0.92 * width))
        colour = (190, 40, 40) if red else ink
        cv2.putText(
            picture, str(start + k), at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, max(width // 28, 1), cv2.LINE_AA
        )
    return picture


def write(rng: np.random.Generator, picture: Field, text: str, at: tuple[int, int], height: float, ink: Rgb) -> None:
    """Write by hand, in place, on a float32 ``[h, w, 3]``: no two letters sit alike; `at` is the lower left corner."""
    font = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)[rng.integers(3)]
    x, thick = float(at[0]), max(round(height / 8), 1)
    for letter in text:
        size = height / 22 * rng.uniform(0.88, 1.15)
        place = (int(x), int(at[1] + height * rng.uniform(-0.08, 0.08)))
        cv2.putText(picture, letter, place, font, size, ink, thick, cv2.LINE_AA)
        x += height * rng.uniform(0.72, 0.95) * (0.7 if letter in " I1" else 1)


def blob(points: NDArray[np.float64], size_wh: tuple[int, int]) -> Picture:
    """Filled outline ``[n, 2]`` (px) with smooth edges, uint8 ``[h, w]``."""
    alpha = np.zeros(size_wh[::-1], np.uint8)
    cv2.fillPoly(alpha, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return alpha
