"""Sunlight on a height field: slopes, crevices, soft cast shadows."""

from __future__ import annotations

import cv2
import numpy as np

from data_engineering.render.tiles import Field


def shade(rng: np.random.Generator, height_px: Field) -> Field:
    """Brightness factor, float32 ``[h, w]`` about 1, of a surface lit from a random side.

    Args:
        rng: the photo's random numbers.
        height_px: float32 ``[h, w]``.
    """
    toward, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.8)
    direction = np.array([np.cos(toward), np.sin(toward)])
    slope_x = cv2.Sobel(height_px, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(height_px, cv2.CV_32F, 0, 1, scale=1 / 8)
    lit = 1 - np.float32(strength) * (np.float32(direction[0]) * slope_x + np.float32(direction[1]) * slope_y)
    lit /= np.sqrt(1 + 0.8 * (slope_x * slope_x + slope_y * slope_y))
    np.clip(lit, 0.3, 1.45, out=lit)
    lit *= _crevices_and_shadows(height_px, direction, rng.uniform(0.25, 0.6), rng.uniform(0.5, 1.1))
    return lit


def _crevices_and_shadows(height_px: Field, direction: np.ndarray, depth: float, rise: float) -> Field:
    """At a quarter of the size: both are soft anyway. `rise` is the tangent of the light's height over the horizon."""
    h, w = height_px.shape
    small = cv2.resize(height_px, (max(w // 4, 1), max(h // 4, 1)), interpolation=cv2.INTER_AREA) / 4
    hollow = np.clip(cv2.blur(small, (15, 15)) - small, 0, 6) / 6
    shadow = np.zeros_like(small)
    for reach in (2.0, 4.0, 7.0, 11.0):
        dx, dy = direction * reach
        # the surface `reach` towards the light, lowered by the ray's rise
        move = np.array([[1, 0, -dx], [0, 1, -dy]])
        over = cv2.warpAffine(small, move, small.shape[::-1], borderMode=cv2.BORDER_REPLICATE) - reach * rise
        shadow = np.maximum(shadow, np.clip((over - small) / (1 + 0.25 * reach), 0, 1))
    factor = (1 - np.float32(depth) * cv2.GaussianBlur(shadow, (0, 0), 0.9)) * (1 - 0.45 * hollow)
    return cv2.resize(factor, (w, h), interpolation=cv2.INTER_LINEAR)


def shadow_of(rng: np.random.Generator, cover: np.ndarray, px_per_cm: float) -> Field:
    """Brightness factor float32 ``[h, w]`` of the shadow that a frame (`cover` uint8, 255: frame) throws below it."""
    h, w = cover.shape
    small = cv2.resize(cover, (max(w // 4, 1), max(h // 4, 1)), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    reach, toward = rng.uniform(1, 6) * px_per_cm / 4, rng.uniform(0, 2 * np.pi)
    move = np.array([[1, 0, reach * np.cos(toward)], [0, 1, reach * np.sin(toward)]])
    small = cv2.GaussianBlur(cv2.warpAffine(small, move, small.shape[::-1]), (0, 0), 0.5 + reach / 3)
    return cv2.resize(1 - np.float32(rng.uniform(0.2, 0.6)) * small, (w, h), interpolation=cv2.INTER_LINEAR)
