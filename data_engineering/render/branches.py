"""Colonies of branches, each drawn from its foot up to its tip: the centre's look at the camera, the rim's lean out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render.surfaces import Ground
from data_engineering.render.tiles import Field


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
    picture[..., 2] = 0.6
    top = bush.relief * g.radius_px * (1 - np.minimum(rel, 1.0) ** 2) + rise
    thick = spacing_px * bush.width * g.rng.uniform(0.85, 1.2, len(rel))
    shade = g.rng.uniform(0.88, 1.08, len(rel))
    levels = int(np.clip(spacing_px / 3.5, 3, 8))
    for level in range(levels):
        t0, t1 = level / levels, (level + 1) / levels
        here, there = feet + t0 * (tips - feet), feet + t1 * (tips - feet)
        height = top + (t1 - 1) * bush.tall * spacing_px
        mix = max(0.0, (t1 - 1 + bush.pale) / bush.pale)
        _strokes(
            picture,
            here,
            there,
            thick * (1 - bush.taper * t1),
            height,
            0.85 * bush.tip * mix,
            shade * (0.66 + 0.36 * t1),
        )
    _heads(g, picture, tips, thick * (1 - bush.taper), top, bush, shade)
    picture = cv2.GaussianBlur(picture, (3, 3), 0.7)
    return picture[..., 0], picture[..., 1], picture[..., 2], picture[..., 3] > 0.5


def _grow(g: Ground, spacing_px: float, bush: Bush) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Feet and tips ``[k, 2]`` px in the crop, their place between centre and rim, how far each outgrows the rest."""
    n = g.rel.shape[0]
    reach = n // 2
    axis = np.arange(-reach, reach, spacing_px)
    x, y = (a.ravel() for a in np.meshgrid(axis, axis * 0.87))
    x = x + spacing_px / 2 * (np.round(y / (0.87 * spacing_px)) % 2)
    at = np.stack([x, y], 1) + spacing_px * g.rng.normal(0, 0.2, (len(x), 2))
    column, row = np.clip(np.rint(at).astype(int) + reach, 0, n - 1).T
    rel = g.rel[row, column]
    kept = (rel < 0.99) & (g.rng.uniform(size=len(rel)) > 0.04)
    at, rel = at[kept], rel[kept]
    order = np.argsort(-rel)  # the rim first: what stands in the middle is higher and hides it
    at, rel = at[order], rel[order]
    way = np.arctan2(at[:, 1], at[:, 0]) + np.pi * bush.disorder * g.rng.uniform(-1, 1, len(rel))
    out = (0.15 + 0.85 * rel) * bush.lean * g.rng.uniform(0.6, 1.25, len(rel)) * spacing_px
    half = 0.5 * out[:, None] * np.stack([np.cos(way), np.sin(way)], 1)
    return at - half + reach, at + half + reach, rel, spacing_px * bush.tall * g.rng.uniform(0.4, 1.0, len(rel))


def _strokes(
    picture: Field, here: NDArray, there: NDArray, thick: NDArray, height: NDArray, mix: float, tone: NDArray
) -> None:
    """One piece of every branch; a brighter, higher line along its back makes it round."""
    back = here - 0.8 * (there - here)  # so far down that it leaves no ring where two pieces meet
    a, b, c = (np.rint(place).astype(int).tolist() for place in (here, there, back))
    width = np.maximum(np.rint(thick), 1).astype(int).tolist()
    for p, q, r, w, z, t in zip(a, b, c, width, height.tolist(), tone.tolist(), strict=True):
        cv2.line(picture, p, q, (z, mix, 0.86 * t, 1.0), w)
        if w >= 4:
            cv2.line(picture, r, q, (z + 0.2 * w, mix, t, 1.0), w // 2)


def _heads(g: Ground, picture: Field, tips: NDArray, thick: NDArray, top: NDArray, bush: Bush, shade: NDArray) -> None:
    """A pale round end, or a head of warts about it."""
    spots, sizes, heights = [tips], [np.maximum(0.3 * thick, 0.6)], [top + 0.3 * thick]
    turn = g.rng.uniform(0, 2 * np.pi, len(tips))
    for k in range(bush.warts):
        angle = turn + 2 * np.pi * k / bush.warts + g.rng.normal(0, 0.2, len(tips))
        reach = (0.46 * thick * g.rng.uniform(0.8, 1.15, len(tips)))[:, None]
        spots.append(tips + reach * np.stack([np.cos(angle), np.sin(angle)], 1))
        sizes.append(np.maximum(0.2 * thick, 0.8))
        heights.append(top + 0.2 * thick)
    light = [1.06 * shade] + [shade] * bush.warts
    for place, size, z, t in zip(spots[::-1], sizes[::-1], heights[::-1], light[::-1], strict=True):
        centres, radii = np.rint(place).astype(int).tolist(), np.rint(size).astype(int).tolist()
        for c, r, height, tone in zip(centres, radii, z.tolist(), t.tolist(), strict=True):
            cv2.circle(picture, c, r, (height, bush.tip, tone, 1.0), -1)
