"""What lies between the seabed and the file: water, lens, sensor.

The model is the usual one of underwater images: light that comes from the scene is weakened channel by channel, and
light scattered by the water is added, both growing with the way through the water.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def draw(rng: np.random.Generator, settings: Settings, picture: NDArray[np.uint8], *, mild: bool = False) -> Water:
    """Choose water and light of a photo.

    Args:
        rng: the photo's random numbers.
        settings: how strong water and noise may be.
        picture: uint8 ``[H, W, 3]``, the scene without water: the camera exposes for it.
        mild: the picture is a photograph already, so little is added.
    """
    size_wh = (picture.shape[1], picture.shape[0])
    low, high = settings.water
    strength = 0.0 if mild else low + (high - low) * rng.beta(1.1, 2.0)
    loss, colour, scatter = _WATERS[str(rng.choice(list(_WATERS), p=[0.34, 0.26, 0.16, 0.24]))]
    y, x = np.mgrid[-1:1:24j, -1:1:32j].astype(np.float32)
    radius = x * x + y * y
    lean = rng.uniform(-0.15, 0.15, 2)
    way = 0.7 + lean[0] * x + lean[1] * y + rng.uniform(0, 0.9) ** 2 * radius  # a strobe lights the middle
    way = np.clip(way, 0.1, 2)[..., None] * strength
    through = np.exp(-way * np.array(loss))
    haze = np.array(colour) * (1 - np.exp(-way * scatter * 2))
    balance = through.mean((0, 1)) ** -rng.uniform(0.2, 0.75)  # the camera's white balance takes some of it back
    vignette = 1 - rng.uniform(0, 0.22) * radius
    gain = through * balance * vignette[..., None]
    exposure = rng.uniform(0.92, 1.08) if mild else _exposure(rng, picture, gain, haze)
    gain, haze = gain * exposure, haze * min(exposure, 1.1)
    return Water(_grow(gain, size_wh), _grow(haze * vignette[..., None], size_wh), _noise(rng, settings, size_wh, mild))


def _exposure(rng: np.random.Generator, picture: NDArray[np.uint8], gain: NDArray, haze: NDArray) -> float:
    """The factor that brings the photo to a middling brightness, as a camera's meter does, if not quite."""
    mean = float((picture[::8, ::8].mean((0, 1)) * gain.mean((0, 1)) + haze.mean((0, 1))).mean())
    return float(np.clip(rng.uniform(90, 148) / mean, 0.6, 1.7))


def _grow(field: NDArray, size_wh: tuple[int, int]) -> Field:
    return cv2.resize(field.astype(np.float32), size_wh, interpolation=cv2.INTER_LINEAR)


def _noise(rng: np.random.Generator, settings: Settings, size_wh: tuple[int, int], mild: bool) -> Field:
    w, h = size_wh
    sigma = np.float32(rng.uniform(*settings.noise) * (0.3 if mild else 1))
    light = rng.standard_normal((h, w), np.float32)
    tint = rng.standard_normal((h // 3 + 1, w // 3 + 1, 3), np.float32)
    noise = cv2.resize(tint, (w, h), interpolation=cv2.INTER_LINEAR)
    noise *= 0.5 * sigma
    light *= 0.8 * sigma
    return cv2.add(noise, cv2.merge([light] * 3))
