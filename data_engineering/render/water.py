"""What lies between the seabed and the file: water, lens, sensor.

The model is the usual one of underwater images: light that comes from the scene is weakened channel by channel, and
light scattered by the water is added, both growing with the way through the water.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render.settings import Settings
from data_engineering.render.tiles import Field

# name: (loss of red, green, blue at strength 1; colour of the water; scattering)
_WATERS = {
    "blue": ((1.5, 0.42, 0.22), (14, 88, 140), 0.38),
    "cyan": ((1.3, 0.22, 0.2), (36, 150, 156), 0.42),
    "green": ((0.9, 0.2, 0.6), (74, 124, 84), 0.4),
    "milky": ((0.42, 0.14, 0.3), (176, 194, 168), 0.6),
}


@dataclass(frozen=True, slots=True, eq=False)
class Water:
    """A photo's light: ``seen = colour * gain + haze``, float32 ``[H, W, 3]`` each, and the noise of its sensor."""

    gain: Field
    haze: Field
    noise: Field

    def through(self, rgb: NDArray) -> Field:
        """Colours ``[H, W, 3]`` as the camera records them, noise left out."""
        return cv2.add(cv2.multiply(rgb, self.gain, dtype=cv2.CV_32F), self.haze)


def draw(
    rng: np.random.Generator,
    settings: Settings,
    picture: NDArray[np.uint8],
    depth: Field | None = None,
    *,
    mild: bool = False,
) -> Water:
    """Choose water and light of a photo.

    Args:
        rng: the photo's random numbers.
        settings: how strong water and noise may be.
        picture: uint8 ``[H, W, 3]``, the scene without water: the camera exposes for it.
        depth: float32 ``[h, w]``, any size: how much farther than the quadrat's plane each place is, as a share of the
            camera's distance. What is far is seen through more water and gets less of the strobe.
        mild: the picture is a photograph already, so little is added.
    """
    size_wh = (picture.shape[1], picture.shape[0])
    if depth is None:
        depth = np.zeros((24, 32), np.float32)
    low, high = settings.water
    strength = 0.0 if mild else low + (high - low) * rng.beta(1.1, 2.0)
    loss, colour, scatter = _WATERS[str(rng.choice(list(_WATERS), p=[0.34, 0.26, 0.16, 0.24]))]
    x, y = (np.linspace(-1, 1, n, dtype=np.float32) for n in depth.shape[::-1])
    x, y = x[None, :] - np.float32(rng.uniform(-0.15, 0.15)), y[:, None] - np.float32(rng.uniform(-0.15, 0.15))
    radius = x * x + y * y
    lit = _strobe(rng, radius, depth) if strength > 0.25 and rng.random() < settings.strobe_probability else 0.0
    way = 0.75 + np.float32(rng.uniform(0, 0.9) ** 2) * radius + np.float32(rng.uniform(0.8, 2.2)) * depth
    way = np.clip(way, 0.1, 2.6) * np.float32(strength)
    down = (1 - lit) * way + lit * 0.25 * way  # the strobe's light comes a short way, the sun's a long one
    through = np.stack([np.exp(-np.float32(k) * down) for k in loss], -1)
    balance = through[:: max(depth.shape[0] // 16, 1)].mean((0, 1)) ** -rng.uniform(0.2, 0.75)  # undone by the camera
    tint = (balance * np.exp(rng.normal(0, 0.035, 3))).astype(np.float32)
    vignette = (1 - np.float32(rng.uniform(0, 0.25)) * radius)[..., None]
    bright = np.exp(-np.float32(0.5 * scatter) * way)[..., None] if mild else 1.0
    if not np.isscalar(lit):
        bright = bright * (0.65 + 0.5 * lit)[..., None]
    gain = through * bright * tint * vignette
    haze = (1 - np.exp(np.float32(-2 * scatter) * way))[..., None] * np.array(colour, np.float32) * vignette
    exposure = rng.uniform(0.92, 1.08) if mild else _exposure(rng, picture, gain, haze)
    gain, haze = gain * np.float32(exposure), _grow(haze * np.float32(min(exposure, 1.1)), size_wh)
    if not mild:
        _specks(rng, haze, strength)
    return Water(_grow(gain, size_wh), haze, _noise(rng, settings, picture, mild))


def _strobe(rng: np.random.Generator, radius: Field, depth: Field) -> Field:
    """Share of a strobe's white light, 0..1: the middle of the photo has it, the far and the outer parts do not."""
    reach = np.float32(rng.uniform(0.5, 1.3))
    return np.float32(rng.uniform(0.5, 1.0)) * np.exp(-((radius / reach) ** 1.5) - 3 * np.maximum(depth, 0))


def develop(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a camera makes of the scene: contrast, saturation, and sharpening that leaves a faint halo."""
    level = np.linspace(0, 1, 256)
    bend, gamma = rng.uniform(0, 0.4), rng.uniform(0.8, 1.1)
    curve = (1 - bend) * level + bend * level * level * (3 - 2 * level)
    toned = cv2.LUT(picture, (255 * curve**gamma + 0.5).astype(np.uint8))
    saturation = rng.uniform(0.65, 1.0)
    grey = np.array([0.3, 0.59, 0.11])
    toned = cv2.transform(toned, saturation * np.eye(3) + (1 - saturation) * grey)
    amount, sigma = rng.uniform(0, 0.5), rng.uniform(0.8, 1.8)
    return cv2.addWeighted(toned, 1 + amount, cv2.GaussianBlur(toned, (0, 0), sigma), -amount, 0)


def _specks(rng: np.random.Generator, haze: Field, strength: float) -> None:
    """Backscatter, in place: bright grains in the water, the nearest large and out of focus."""
    h, w = haze.shape[:2]
    unit = max(h, w) / 1280
    for _ in range(int(rng.exponential(90 * strength)) if rng.random() < 0.5 else 0):
        radius = float(np.clip(0.7 * (1 + rng.pareto(2.2)), 0.7, 14)) * unit
        n = int(np.ceil(radius * 1.6)) + 1
        x, y = int(rng.integers(n, w - n)), int(rng.integers(n, h - n))
        axis = np.arange(-n, n + 1, dtype=np.float32)
        disc = np.clip((radius - np.hypot(axis[:, None], axis[None, :])) / (0.4 * radius) + 0.5, 0, 1)
        light = np.float32(rng.uniform(30, 120) / (1 + 0.35 * radius / unit))
        haze[y - n : y + n + 1, x - n : x + n + 1] += (light * disc)[..., None]


def _exposure(rng: np.random.Generator, picture: NDArray[np.uint8], gain: NDArray, haze: NDArray) -> float:
    """The factor that brings the photo to a middling brightness, as a camera's meter does, if not quite."""
    mean = float((picture[::8, ::8].mean((0, 1)) * gain[::4, ::4].mean((0, 1)) + haze[::4, ::4].mean((0, 1))).mean())
    return float(np.clip(rng.uniform(84, 136) / mean, 0.6, 1.7))


def _grow(field: NDArray, size_wh: tuple[int, int]) -> Field:
    return cv2.resize(field.astype(np.float32), size_wh, interpolation=cv2.INTER_LINEAR)


def _noise(rng: np.random.Generator, settings: Settings, picture: NDArray[np.uint8], mild: bool) -> Field:
    """Of the sensor: it grows with the root of the light."""
    h, w = picture.shape[:2]
    sigma = np.float32(rng.uniform(*settings.noise) * (0.3 if mild else 1))
    shrunk = cv2.resize(picture, (w // 4 + 1, h // 4 + 1), interpolation=cv2.INTER_AREA)[..., 1].astype(np.float32)
    bright = cv2.resize(sigma * np.sqrt(0.25 + shrunk / 150), (w, h), interpolation=cv2.INTER_LINEAR)
    light = _normal(rng, (h, w)) * (np.float32(0.8) * bright)
    tint = cv2.merge([_normal(rng, (h // 3 + 1, w // 3 + 1)) for _ in range(3)]) * (0.5 * sigma)
    return cv2.add(cv2.resize(tint, (w, h), interpolation=cv2.INTER_LINEAR), cv2.merge([light] * 3))


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Normal random numbers ``[h, w]``: a part, chosen at random, of a field drawn once a process."""
    h, w = shape
    field = _field(-(-max(h, w) // 512) * 512 + 512)
    y, x = rng.integers(0, field.shape[0] - h + 1), rng.integers(0, field.shape[1] - w + 1)
    return field[y : y + h, x : x + w]


@cache
def _field(side: int) -> Field:
    return np.random.default_rng([7, side]).standard_normal((side, side), np.float32)
