"""What lives on and over a quadrat and is no coral: urchins, sponges, sea cucumbers, stars, snails, fish.

Every function gives a `Patch` about `size` px long.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render.patches import Field, Patch, Picture, Rgb, blob, cloud, solid


def _pick(rng: np.random.Generator, colours: tuple[Rgb, ...]) -> NDArray[np.float32]:
    return (np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.8, 1.15)).astype(np.float32)


def _swell(alpha: Picture, colour: NDArray[np.float32], depth_px: float) -> Field:
    """Colours ``[h, w, 3]`` of a rounded body: bright on its back, dark at its edge."""
    inside = cv2.distanceTransform((alpha > 127).astype(np.uint8), cv2.DIST_L2, 3)
    rise = np.clip(inside / max(depth_px, 1), 0, 1)
    lit = 0.4 + 0.65 * np.sqrt(rise * (2 - rise))
    slope = cv2.GaussianBlur(rise, (0, 0), max(depth_px / 4, 0.8))
    lit += 0.35 * cv2.Sobel(slope, cv2.CV_32F, 1, 1, ksize=3)
    return lit[..., None] * colour


def urchin(rng: np.random.Generator, size: int) -> Patch:
    """A long-spined urchin: a dark ball in a star of spines."""
    picture, alpha = np.full((size, size, 3), 16, np.float32), np.zeros((size, size), np.uint8)
    c, count = size / 2, int(rng.integers(70, 140))
    turn = rng.uniform(0, 2 * np.pi, count)
    reach = c * rng.uniform(0.5, 0.98, count)
    tips = np.stack([c + reach * np.cos(turn), c + reach * np.sin(turn)], 1)
    light = rng.random() < 0.25
    for k, tip in enumerate(np.round(tips * 16).astype(int)):
        thick = max(round(size * (0.011 if k % 2 else 0.007)), 1)
        tone = rng.uniform(90, 190) if light and k % 3 else rng.uniform(8, 58)
        ends = (int(c * 16), int(c * 16)), (int(tip[0]), int(tip[1]))
        cv2.line(alpha, *ends, 255, thick, cv2.LINE_AA, 4)
        cv2.line(picture, *ends, (tone, tone * 0.94, tone * 1.04), thick, cv2.LINE_AA, 4)
    body = int(0.2 * size)
    cv2.circle(alpha, (int(c), int(c)), body, 255, -1, cv2.LINE_AA)
    near = np.hypot(*(np.mgrid[0:size, 0:size] - c))
    picture *= (0.35 + 0.65 * np.clip(near / (1.6 * body), 0, 1))[..., None]
    cv2.circle(picture, (int(c + 0.04 * size), int(c)), max(size // 40, 1), (150, 96, 40), -1, cv2.LINE_AA)
    return solid(picture, alpha)


def sponge(rng: np.random.Generator, size: int) -> Patch:
    """An encrusting or lumpy sponge with a few oscula."""
    colour = _pick(rng, ((138, 68, 48), (166, 120, 62), (84, 72, 104), (60, 58, 60), (150, 140, 90), (70, 100, 150)))
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = 0.33 * size * np.ones(60)
    for k in range(2, 8):
        radius += 0.33 * size * rng.normal(0, 0.42 / k) * np.cos(k * t + rng.uniform(0, 6))
    radius = radius.clip(0.1 * size, 0.49 * size)
    alpha = blob(size / 2 + np.stack([radius * np.cos(t), radius * np.sin(t)], 1), (size, size))
    rough = cloud(rng, (size, size), size / 5, 1.2)
    picture = _swell(alpha, colour, size / 9) * (1 + 0.16 * rough + 0.1 * cloud(rng, (size, size), 2.5, 0.6))[..., None]
    for _ in range(rng.integers(2, 9)):
        at = tuple(int(v) for v in size / 2 + rng.normal(0, 0.14 * size, 2))
        hole = max(round(size * rng.uniform(0.015, 0.04)), 1)
        cv2.circle(picture, at, hole + 1, tuple(float(c) for c in 1.2 * colour), -1, cv2.LINE_AA)
        cv2.circle(picture, at, hole, tuple(float(c) for c in 0.25 * colour), -1, cv2.LINE_AA)
    ragged = np.where(alpha > 0, np.clip(255 * (1.3 + 0.6 * rough), 0, 255), 0)
    return solid(picture, np.minimum(alpha, ragged.astype(np.uint8)))


def cucumber(rng: np.random.Generator, size: int) -> Patch:
    """A sea cucumber: a bent, warty sausage, often dusted with sand."""
    h = round(0.5 * size)
    t = np.linspace(0, 1, 30)
    x = size * (0.12 + 0.76 * t)
    y = h / 2 + 0.16 * h * rng.uniform(-1, 1) * np.sin(np.pi * t) + 0.07 * h * np.sin(6 * t + rng.uniform(0, 6))
    alpha = np.zeros((h, size), np.uint8)
    path = np.round(np.stack([x, y], 1) * 16).astype(np.int32)
    cv2.polylines(alpha, [path], False, 255, max(round(0.17 * size), 2), cv2.LINE_AA, 4)
    colour = _pick(rng, ((34, 30, 30), (86, 62, 44), (120, 96, 66), (60, 52, 48), (150, 120, 84)))
    picture = _swell(alpha, colour, 0.07 * size)
    warts = np.clip(cloud(rng, (size, h), size / 26, 0.9) - 0.8, 0, 1)
    sand = np.clip(cloud(rng, (size, h), size / 6, 1.0) - rng.uniform(0.2, 2), 0, 0.7)[..., None]
    picture += 50 * warts[..., None]
    return solid(picture + sand * (np.array([186, 176, 150], np.float32) - picture), alpha)


def star(rng: np.random.Generator, size: int) -> Patch:
    """A sea star of five slender arms."""
    alpha, c = np.zeros((size, size), np.uint8), size / 2
    for k in range(5):
        turn = 2 * np.pi * (k / 5) + rng.normal(0, 0.16) + np.array([0, rng.normal(0, 0.2), rng.normal(0, 0.4)])
        reach = np.array([0.05, 0.26, rng.uniform(0.4, 0.46)]) * size
        arm = np.stack([c + reach * np.cos(turn), c + reach * np.sin(turn)], 1)
        path = np.round(arm * 16).astype(np.int32)
        cv2.polylines(alpha, [path], False, 255, max(round(0.085 * size), 2), cv2.LINE_AA, 4)
        cv2.polylines(alpha, [path[:2]], False, 255, max(round(0.13 * size), 2), cv2.LINE_AA, 4)
    colour = _pick(rng, ((58, 82, 142), (98, 62, 52), (160, 126, 92), (104, 76, 104)))
    dots = np.clip(cloud(rng, (size, size), 3.5, 0.7) - 0.9, 0, 1)[..., None]
    return solid(_swell(alpha, colour, 0.05 * size) + 40 * dots, alpha)


def snail(rng: np.random.Generator, size: int) -> Patch:
    """A cone or turban shell, crusted."""
    outline = np.array(
        [[0.03, 0.5], [0.3, 0.24], [0.62, 0.14], [0.88, 0.26], [0.97, 0.5], [0.85, 0.74], [0.5, 0.8], [0.25, 0.68]]
    )
    h = max(round(0.8 * size), 3)
    alpha = blob(outline * (size, h), (size, h))
    colour = _pick(rng, ((176, 152, 118), (128, 92, 70), (150, 110, 116), (206, 196, 172)))
    x = np.arange(size, dtype=np.float32)[None] / size
    bands = 1 + 0.16 * np.sin(2 * np.pi * 5 * x**0.7 + np.linspace(-0.6, 0.6, h, dtype=np.float32)[:, None])
    crust = 0.2 * cloud(rng, (size, h), size / 4, 1.0)
    return solid(_swell(alpha, colour, 0.28 * h) * (bands + crust)[..., None], alpha)


def fish(rng: np.random.Generator, size: int) -> Patch:
    """A fish from above: slender back, fins spread, tail mid-stroke; a little moved."""
    h, t = max(round(0.5 * size), 6), np.linspace(0, 1, 40)
    fat = rng.uniform(0.14, 0.2) * size
    half = fat * np.sqrt(t).clip(0, 0.75) / 0.75 * np.clip(1.12 - t**1.6, 0.1, 1) * 0.5
    x, wave = size * (0.04 + 0.72 * t), 0.1 * h * rng.uniform(-1, 1) * np.sin(2.6 * t - 0.4) * t * 2
    y = h / 2 + wave
    alpha = blob(np.concatenate([np.stack([x, y - half], 1), np.stack([x, y + half], 1)[::-1]]), (size, h))
    colour = _pick(rng, ((54, 56, 60), (96, 100, 86), (190, 160, 60), (60, 90, 130), (126, 116, 104), (170, 176, 170)))
    picture = _swell(alpha, colour, 0.5 * fat)
    stripes = np.sin(2 * np.pi * rng.uniform(4, 9) * np.arange(size) / size + rng.uniform(0, 6)) > 0.4
    picture *= np.where(stripes, rng.uniform(0.5, 1.0), 1.0)[None, :, None]
    fins = np.zeros_like(alpha)
    tail = np.array(
        [
            [x[-1], y[-1]],
            [0.97 * size, y[-1] - rng.uniform(-0.04, 0.2) * h],
            [0.95 * size, y[-1] + rng.uniform(0, 0.2) * h],
        ]
    )
    fins |= blob(tail, (size, h))
    for sign in (-1, 1):
        root = np.array([x[13], y[13] + sign * half[13] * 0.8])
        spread = np.array([[0, 0], [0.16 * size, sign * 0.16 * h], [0.13 * size, 0]])
        fins |= blob(root + spread, (size, h))
    only = (alpha == 0) & (fins > 0)
    picture[only] = 0.75 * colour
    alpha = np.maximum(alpha, fins // 2)
    for sign in (-1, 1):
        eye = (int(x[4]), int(y[4] + sign * half[4] * 0.75))
        cv2.circle(picture, eye, max(size // 70, 1), (12, 12, 14), -1, cv2.LINE_AA)
    picture *= (1 + 0.07 * cloud(rng, (size, h), 3, 0.8))[..., None]
    blur = max(size / 130, 0.5)
    return Patch(cv2.GaussianBlur(solid(picture).rgb, (0, 0), blur), cv2.GaussianBlur(alpha, (0, 0), blur))
