"""Which colonies grow where, and the lit picture of them from straight above."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render import colony, seabed
from data_engineering.render.camera import View, apply
from data_engineering.render.genera import GENERA
from data_engineering.render.settings import Settings
from data_engineering.render.surfaces import step
from data_engineering.render.tiles import Field

MIDDLE_GREY = 128.0
"""Colour of a bare seabed: what is darker than this once lit lies in shadow."""
_TRIES = 25
_ALOFT = {"branching", "knobs", "tabular", "solitary"}
"""Growth forms whose margin stands clear of the ground."""
_SMALLEST_CM = 2.0
"""Diameter under which a colony is a recruit, which nobody outlines from such a photo."""
_DEEPEST_OVERLAP = 0.4
"""Two colonies may reach into one another by this share of the smaller one's radius."""


@dataclass(frozen=True, slots=True, eq=False)
class Reef:
    """The seabed with its colonies on the canvas.

    Attributes:
        rgb: float32 ``[h, w, 3]``, 0..255, unlit.
        height_px: float32 ``[h, w]``.
        ids: uint8 ``[h, w]``: 0 seabed, k the k-th colony where it is seen.
        genera: of the colonies 1, 2, ...
        forms: growth forms of the same.
    """

    rgb: Field
    height_px: Field
    ids: NDArray[np.uint8]
    genera: tuple[str, ...]
    forms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    genus: str
    radius_px: float
    x_px: float
    y_px: float


def grow(
    rng: np.random.Generator, settings: Settings, view: View, *, bare: bool = False, colonies: bool = True
) -> Reef:
    """Grow a reef; `bare` leaves the seabed flat and grey, for what lies over a given photograph."""
    w, h = view.canvas_wh
    if bare:
        rgb, height = np.full((h, w, 3), MIDDLE_GREY, np.float32), np.zeros((h, w), np.float32)
    else:
        rgb, height = seabed.draw(rng, view.canvas_wh, view.px_per_cm)
    ids = np.zeros((h, w), np.uint8)
    places = _places(rng, settings, view) if colonies else []
    drawn = []
    for k, place in enumerate(places, 1):
        one = colony.draw(rng, place.genus, 2 * place.radius_px, view.px_per_cm)
        _put(one, place, rgb, height, ids, k)
        drawn.append(one)
    return Reef(rgb, height, ids, tuple(c.genus for c in drawn), tuple(c.form for c in drawn))


def _put(one: colony.Colony, place: _Place, rgb: Field, height: Field, ids: NDArray[np.uint8], number: int) -> None:
    h, w = ids.shape
    n = one.mask.shape[0]
    x0, y0 = round(place.x_px) - n // 2, round(place.y_px) - n // 2
    ax0, ay0, ax1, ay1 = max(x0, 0), max(y0, 0), min(x0 + n, w), min(y0 + n, h)
    if ax0 >= ax1 or ay0 >= ay1:
        return
    here, there = np.s_[ay0:ay1, ax0:ax1], np.s_[ay0 - y0 : ay1 - y0, ax0 - x0 : ax1 - x0]
    bed, crust = height[here], one.form == "encrusting"
    mask = one.mask[there]
    if one.form not in _ALOFT:  # what juts out of the bed covers a low margin
        jut = bed - cv2.blur(bed, (15, 15))
        mask = colony.whole(mask & (jut < (1.5 if crust else 4.0) + 16 * np.maximum(0.9 - one.rel[there], 0)))
    if not mask.any():
        return
    around = _settle(one, there, mask, place.radius_px, rgb[here], bed, ids[here] == 0)
    weight = cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0.6)
    rgb[here] = cv2.blendLinear(np.ascontiguousarray(one.rgb[there]), around, weight, 1 - weight)
    bare = mask & (ids[here] == 0)
    level = np.float32(bed[bare].mean() if bare.any() else 0.6 * bed[mask].mean())
    np.copyto(bed, (bed if crust else level) + one.height_px[there], where=mask)  # a crust follows what it grows on
    ids[here][mask] = number


def _settle(
    one: colony.Colony,
    there: tuple[slice, slice],
    mask: NDArray[np.bool_],
    radius_px: float,
    colour: Field,
    bed: Field,
    free: NDArray[np.bool_],
) -> Field:
    """Seat a colony: dead coral of its own about it, raised a little (in `bed`), and the gloom under its sides.

    Returns:
        Colour float32 ``[h, w, 3]`` of what surrounds it.
    """
    foot = step(colony.MARGIN, 0.85, one.rel[there]) * free
    bed += foot * np.float32(min(0.14 * radius_px, 12.0))
    grey = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)
    turf = cv2.merge([grey * np.float32(c / 128) for c in one.turf_rgb])
    side = 2 * int(np.clip(0.12 * radius_px, 2, 14)) + 1
    gloom = 1 - np.float32(0.05 if one.form == "encrusting" else 0.15) * cv2.blur(mask.astype(np.float32), (side, side))
    foot *= np.float32(0.6)
    return cv2.multiply(cv2.blendLinear(turf, colour, foot, 1 - foot), cv2.merge([gloom] * 3))


def _places(rng: np.random.Generator, settings: Settings, view: View) -> list[_Place]:
    low, high = settings.colonies
    count = int(rng.integers(low, high + 1))
    names = list(GENERA)
    odds = np.array([GENERA[name].odds for name in names])
    kinds = rng.choice(len(names), size=min(int(rng.integers(3, 11)), len(names)), replace=False, p=odds / odds.sum())
    share = rng.dirichlet(np.full(len(kinds), 1.2))
    if rng.random() < GENERA[names[kinds[0]]].gathers:  # one genus covers the ground
        share = 0.4 * share + 0.6 * (np.arange(len(kinds)) == 0)
    chosen = [names[kinds[i]] for i in rng.choice(len(kinds), size=count, p=share)]
    radii = [_radius_cm(rng, name, min(view.quadrat_wh_cm)) * view.px_per_cm for name in chosen]
    placed: list[_Place] = []
    for i in np.argsort(radii)[::-1]:  # the large ones first: the small ones find room between them
        if (place := _find(rng, settings, view, chosen[i], radii[i], placed)) is not None:
            placed.append(place)
    order = rng.permutation(len(placed))
    return [placed[i] for i in order]


def _radius_cm(rng: np.random.Generator, genus: str, side_cm: float) -> float:
    look = GENERA[genus]
    diameter = look.median_cm * np.exp(0.55 * rng.standard_normal())
    return float(np.clip(diameter, _SMALLEST_CM, min(look.largest_cm, 0.62 * side_cm))) / 2


def _find(
    rng: np.random.Generator, settings: Settings, view: View, genus: str, radius: float, placed: list[_Place]
) -> _Place | None:
    to_canvas = np.linalg.inv(view.canvas_to_photo)
    for _ in range(_TRIES):
        if placed and rng.random() < settings.touching_probability:
            kin = [p for p in placed if p.genus == genus] or placed
            host, turn = kin[rng.integers(len(kin))], rng.uniform(0, 2 * np.pi)
            reach = (host.radius_px + radius) * rng.uniform(0.78, 0.97)
            x, y = host.x_px + reach * np.cos(turn), host.y_px + reach * np.sin(turn)
        elif rng.random() < 0.8:
            x, y = apply(view.cm_to_canvas, rng.uniform(0, 1, (1, 2)) * view.quadrat_wh_cm)[0]
        else:
            x, y = apply(to_canvas, rng.uniform(0, 1, (1, 2)) * view.size_wh)[0]
        photo = apply(view.canvas_to_photo, np.array([[x, y]]))[0]
        inside = (photo >= 0).all() and (photo < view.size_wh).all()
        if inside and all(_apart(p, x, y, radius) for p in placed):
            return _Place(genus, radius, float(x), float(y))
    return None


def _apart(other: _Place, x: float, y: float, radius: float) -> bool:
    gap = np.hypot(x - other.x_px, y - other.y_px) - other.radius_px - radius
    return bool(gap > -_DEEPEST_OVERLAP * min(radius, other.radius_px))
