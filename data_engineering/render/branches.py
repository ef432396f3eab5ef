"""Colonies of branches, each drawn from its foot up to its tip: the centre's look at the camera, the rim's lean out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render.surfaces import Ground
from data_engineering.render.tiles import Field

_Array = NDArray[np.float64]
_Spot = tuple[list[int], int, float, float, float]  # centre, radius, height, mix, tone


@dataclass(frozen=True, slots=True)
class Bush:
    """How a colony branches; lengths in spacings between two branches.

    Attributes:
        lean: how far a tip at the rim stands out from its foot.
        width: of a branch at its foot.
        taper: share of the width that is lost towards the tip.
        tall: height from the gaps between the branches to their tips.
        relief: height of the middle over the rim, in radii of the colony.
        disorder: 0 every branch points outwards, 1 any way.
        warts: a head of so many warts on each tip.
        pale: 0..1, how far down the second colour reaches.
        tip: 0..1, how much of the second colour a tip has.
    """

    lean: float
    width: float
    taper: float
    tall: float
    relief: float
    disorder: float = 0.2
    warts: int = 0
    pale: float = 0.35
    tip: float = 0.9


def draw(g: Ground, spacing_px: float, bush: Bush) -> tuple[Field, Field, Field, NDArray[np.bool_]]:
    """Height in px, mix and tone as in `surfaces.Skin`, and where branches are; all ``[n, n]``."""
    n = g.rel.shape[0]
    feet, tips, rel, rise = _grow(g, spacing_px, bush)
    picture = np.zeros((n, n, 4), np.float32)
    picture[..., 2] = 0.52
    top = bush.relief * g.radius_px * (1 - np.minimum(rel, 1.0) ** 2) + rise
    thick = spacing_px * bush.width * g.rng.uniform(0.85, 1.2, len(rel))
    shade = g.rng.uniform(0.88, 1.08, len(rel))
    up = np.linspace(0, 1, int(np.clip(spacing_px / 4, 3, 6)) + 1)
    places = np.rint(feet[:, None] + up[:, None] * (tips - feet)[:, None]).astype(int).tolist()
    widths = np.maximum(np.rint(thick[:, None] * (1 - bush.taper * up[1:])), 1).astype(int).tolist()
    heights = (top[:, None] - (1 - up[1:]) * bush.tall * spacing_px).tolist()
    mixes = (0.9 * bush.tip * np.maximum(0, (up[1:] - 1 + bush.pale) / bush.pale)).tolist()
    tones = (shade[:, None] * (0.66 + 0.36 * up[1:])).tolist()
    heads = _heads(g, tips, thick * (1 - bush.taper), top, bush, shade)
    for at, width, height, tone, head in zip(places, widths, heights, tones, heads, strict=True):
        _stroke(picture, at, width, height, mixes, tone)
        for spot in head:
            _ball(picture, *spot)
    picture = cv2.GaussianBlur(picture, (0, 0), float(np.clip(0.055 * spacing_px, 0.6, 2.0)))  # rounds off the pieces
    return picture[..., 0], picture[..., 1], picture[..., 2], picture[..., 3] > 0.5


def _ball(picture: Field, centre: list[int], radius: int, height: float, mix: float, tone: float) -> None:
    cv2.circle(picture, centre, radius, (height, mix, tone if radius < 3 else 0.88 * tone, 1.0), -1)
    if radius >= 3:
        cv2.circle(picture, centre, 2 * radius // 3, (height + 0.3 * radius, mix, tone, 1.0), -1)


def _stroke(
    picture: Field, at: list[list[int]], width: list[int], height: list[float], mix: list[float], tone: list[float]
) -> None:
    """A branch from its foot on; a brighter, higher line along its back makes it round."""
    pieces = list(zip(at, at[1:], width, height, mix, tone, strict=False))
    for p, q, w, z, m, t in pieces:
        cv2.line(picture, p, q, (z, m, 0.86 * t, 1.0), w)
    for p, q, w, z, m, t in pieces:
        if w >= 4:
            cv2.line(picture, p, q, (z + 0.2 * w, m, t, 1.0), w // 2)


def _grow(g: Ground, spacing_px: float, bush: Bush) -> tuple[_Array, _Array, _Array, _Array]:
    """Feet and tips ``[k, 2]`` px in the crop, their place between centre and rim, how far each outgrows the rest."""
    n = g.rel.shape[0]
    reach = n // 2
    axis = np.arange(-reach, reach, spacing_px)
    x, y = (a.ravel() for a in np.meshgrid(axis, axis * 0.87))
    x = x + spacing_px / 2 * (np.round(y / (0.87 * spacing_px)) % 2)
    at = np.stack([x, y], 1) + spacing_px * g.rng.normal(0, 0.2, (len(x), 2))
    column, row = np.clip(np.rint(at).astype(int) + reach, 0, n - 1).T
    rel = g.rel[row, column]
    rim = max(0.99 - 0.35 * bush.lean * spacing_px / g.radius_px, 0.6)  # as far as tips stay within the outline
    kept = (rel < rim) & (g.rng.uniform(size=len(rel)) > 0.04)
    at, rel = at[kept], rel[kept]
    order = np.argsort(-rel)  # the rim first: what stands in the middle is higher and hides it
    at, rel = at[order], rel[order]
    way = np.arctan2(at[:, 1], at[:, 0]) + np.pi * bush.disorder * g.rng.uniform(-1, 1, len(rel))
    out = (0.15 + 0.85 * rel) * bush.lean * g.rng.uniform(0.6, 1.25, len(rel)) * spacing_px
    half = 0.5 * out[:, None] * np.stack([np.cos(way), np.sin(way)], 1)
    return at - half + reach, at + half + reach, rel, spacing_px * bush.tall * g.rng.uniform(0.4, 1.0, len(rel))


def _heads(
    g: Ground,
    tips: _Array,
    thick: _Array,
    top: _Array,
    bush: Bush,
    shade: _Array,
) -> list[list[_Spot]]:
    """Of each branch the spots that end it: a head of warts, and in their middle the round tip."""
    count = bush.warts
    around = g.rng.uniform(0, 2 * np.pi, (len(tips), 1)) + 2 * np.pi * np.arange(count) / max(count, 1)
    around += g.rng.normal(0, 0.2, around.shape)
    reach = 0.46 * thick[:, None] * g.rng.uniform(0.8, 1.15, around.shape)
    warts = tips[:, None] + reach[..., None] * np.stack([np.cos(around), np.sin(around)], -1)
    spots = np.rint(np.concatenate([warts, tips[:, None]], 1)).astype(int).tolist()
    small = np.rint(np.maximum((0.2 if count < 8 else 0.17) * thick, 0.8)).astype(int).tolist()
    large = np.rint(np.maximum(0.3 * thick, 0.6)).astype(int).tolist()
    heads = []
    for at, r, big, z, w, t in zip(spots, small, large, top.tolist(), thick.tolist(), shade.tolist(), strict=True):
        head: list[_Spot] = [(p, r, z + 0.2 * w, bush.tip, t) for p in at[:-1]]
        heads.append([*head, (at[-1], big, z + 0.3 * w, bush.tip, 1.06 * t)])
    return heads
