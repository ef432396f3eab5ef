"""Light on a height field: slopes, hollows, cast shadows, and the bright net that waves throw."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render import tiles
from data_engineering.render.tiles import Field

_SHRINK = 4
"""Shadows and hollows are worked out at a quarter of the size: they are soft."""


@dataclass(frozen=True, slots=True)
class Sun:
    """Where the light comes from.

    Attributes:
        toward: direction of the light along the ground, radians.
        rise: tangent of its height over the horizon.
        direct: share of the light that comes from there; the rest comes from all over the sky.
        soft: how fast shadows blur with their length: 0.05 sun, 0.5 clouds or deep water.
        net: strength of the waves' bright net, 0 none.
    """

    toward: float
    rise: float
    direct: float
    soft: float
    net: float

    @property
    def along(self) -> NDArray[np.float64]:
        """Unit vector ``[2]`` on the ground towards the light."""
        return np.array([np.cos(self.toward), np.sin(self.toward)])


def shine(rng: np.random.Generator, net_probability: float) -> Sun:
    """Choose the light of a photo: bright sun in shallow water with probability `net_probability`."""
    toward = rng.uniform(0, 2 * np.pi)
    if rng.random() < net_probability:
        rise, direct, soft, net = (rng.uniform(*pair) for pair in ((1.1, 2.5), (0.55, 0.75), (0.05, 0.15), (0.1, 0.5)))
        return Sun(toward, rise, direct, soft, net)
    return Sun(toward, rng.uniform(1.0, 2.6), rng.uniform(0.3, 0.7), rng.uniform(0.12, 0.5), 0.0)


def shade(rng: np.random.Generator, sun: Sun, height_px: Field, px_per_cm: float) -> Field:
    """Brightness factor, float32 ``[h, w]`` about 1.

    Args:
        rng: the photo's random numbers.
        sun: the light.
        height_px: float32 ``[h, w]``.
        px_per_cm: scale of the canvas.
    """
    h, w = height_px.shape
    slope_x = cv2.Sobel(height_px, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(height_px, cv2.CV_32F, 0, 1, scale=1 / 8)
    x, y = (np.float32(v / sun.rise) for v in sun.along)
    up = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    facing = np.clip((1 - x * slope_x - y * slope_y) * up, 0, 1.7)  # 1 on level ground

    small = cv2.resize(height_px, (-(-w // _SHRINK), -(-h // _SHRINK)), interpolation=cv2.INTER_AREA) / _SHRINK
    open_sky = _open_sky(small, rng.uniform(0.3, 0.95))
    direct = np.float32(sun.direct) * (1 - _shadow(small, sun)) * np.sqrt(open_sky)
    if sun.net > 0:
        direct *= _net(rng, sun, small, px_per_cm / _SHRINK)
    direct = cv2.resize(direct, (w, h), interpolation=cv2.INTER_LINEAR)
    sky = cv2.resize(np.float32(1 - sun.direct) * open_sky, (w, h), interpolation=cv2.INTER_LINEAR)
    return direct * facing + sky * (0.35 + 0.65 * up)


def _open_sky(height: Field, depth: float) -> Field:
    """How much of the sky a place sees, 0..1: less in clefts, in holes and beside what stands high."""
    closed = np.zeros_like(height)
    for reach in (3, 9, 27):
        closed += np.clip((cv2.blur(height, (reach, reach)) - height) * np.float32(4.0 / reach), -0.25, 2)
    return np.clip(np.exp(np.float32(-depth) * closed), 0.14, 1.2)


def _shadow(height: Field, sun: Sun) -> Field:
    """0 in the light .. 1 in shadow; a long shadow is a soft one."""
    shadow = np.zeros_like(height)
    for reach in (1.0, 2.0, 3.5, 6.0, 10.0, 16.0):
        over = _moved(height, -sun.along * reach) - np.float32(reach * sun.rise)
        np.maximum(shadow, np.clip((over - height) / np.float32(0.6 + sun.soft * 2 * reach), 0, 1), out=shadow)
    return cv2.GaussianBlur(shadow, (0, 0), 0.5 + 2 * sun.soft)


def _moved(field: Field, by: NDArray[np.float64]) -> Field:
    move = np.array([[1, 0, by[0]], [0, 1, by[1]]])
    return cv2.warpAffine(field, move, field.shape[::-1], borderMode=cv2.BORDER_REPLICATE)


def _net(rng: np.random.Generator, sun: Sun, height: Field, px_per_cm: float) -> Field:
    """Caustics: where two fields of waves fold, bright lines that bend over the relief; 1 on the average."""
    h, w = height.shape
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    x, y = (axis + np.float32(a / sun.rise) * height for axis, a in zip((x, y), sun.along, strict=True))
    net, size = np.zeros_like(height), rng.uniform(7, 16) * px_per_cm
    for scale in (1.0, 0.6):
        wave = tiles.noise(2.4).sample(x, y, size * scale, rng.uniform(0, 1, 2))
        net += np.exp(-np.abs(wave) * np.float32(rng.uniform(3, 7)))
    net /= net.mean()
    return 1 + np.float32(sun.net) * (np.minimum(net, 2.8) - 1)


def shadow_of(sun: Sun, cover: NDArray[np.uint8], height_px: float) -> Field:
    """Brightness factor float32 ``[h, w]`` of the shadow below what stands `height_px` over the ground.

    `cover` is uint8 ``[h, w]``, 255 where it stands.
    """
    h, w = cover.shape
    size = (-(-w // _SHRINK), -(-h // _SHRINK))
    small = cv2.resize(cover, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    reach = height_px / sun.rise / _SHRINK
    small = cv2.GaussianBlur(_moved(small, -sun.along * reach), (0, 0), 0.6 + sun.soft * reach)
    return cv2.resize(1 - np.float32(0.95 * sun.direct) * small, (w, h), interpolation=cv2.INTER_LINEAR)
