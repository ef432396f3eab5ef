"""One rendered photograph and everything that is true of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering.render import camera, clutter, covers, depth, frame, layouts, light, reef, strings, truth, water
from data_engineering.render.bars import build
from data_engineering.render.camera import View, for_cv2
from data_engineering.render.settings import VERSION, Settings
from quadrat.shapes import Annotations
from quadrat.template import Template

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One picture and its truth.

    Attributes:
        photo: uint8 ``[H, W, 3]``.
        clean: uint8 ``[H, W, 3]``, the same with the same noise and no strings: equal wherever `strings` is false.
        strings: bool ``[H, W]``, every pixel that a string has touched.
        annotations: colonies labelled with their genus (what is seen of them: frame and later colonies hide them,
            strings do not), ``quadrat_corner`` where there is a frame, ``grid`` where there are strings.
    """

    photo: Picture
    clean: Picture
    strings: Mask
    annotations: Annotations


@dataclass(frozen=True, slots=True, eq=False)
class Sample(Shot):
    """A photograph, and its quadrat alone as seen from straight above.

    Attributes:
        rectified: ``None`` where there is no frame.
        jpeg_quality: that the photo is to be written with.
    """

    rectified: Shot | None
    jpeg_quality: int


def render(seed: int, settings: Settings | None = None, background: Picture | None = None) -> Sample:
    """Render one photograph.

    Args:
        seed: all that is random follows from it and `settings`.
        settings: what is drawn and how often.
        background: uint8 ``[H, W, 3]``, a photograph to draw over instead of a seabed.
    """
    settings = settings or Settings()
    streams = np.random.default_rng([VERSION, seed]).spawn(8)
    choose, of_view, of_reef, of_frame, of_strings, of_water, of_clutter, of_light = streams
    layout, kind = _choose(choose, settings)
    size_cm = layout.size_cm if layout else (float(choose.choice(settings.side_cm)),) * 2
    view = camera.look(of_view, settings, size_cm)
    below = reef.grow(
        of_reef,
        settings,
        view,
        bare=background is not None,
        colonies=background is None or settings.colonies_on_backgrounds,
    )
    things = clutter.draw(of_clutter, settings, view, kind)
    seen = _photograph(of_light, of_frame, settings, view, below, things, kind, background, seed)
    clearance = of_strings.uniform(*settings.string_clearance_cm) * view.px_per_cm
    hidden = seen.covered | ((seen.height_px > clearance) & (seen.ids > 0))
    threads = _threads(of_strings, settings, view, layout, kind)
    through = water.draw(of_water, settings, seen.picture, seen.far, mild=background is not None)
    scene = seen.picture if background is not None else water.develop(of_water, seen.picture)
    sigma = float(of_water.uniform(*settings.blur_px)) * settings.size_px / 1280
    photo, clean, touched = _expose(through, scene, threads, hidden, sigma)

    meta = {
        "renderer_version": VERSION,
        "seed": seed,
        "layout": layout.name if layout else layouts.NONE,
        "frame": kind,
        "size_cm": list(size_cm),
        "cm_to_photo": view.cm_to_photo.tolist(),
        "lens": {"model": "division", "k1": view.lens.k1},
    }
    colonies = truth.colonies(seen.ids, below.genera, below.forms)
    points = truth.points(view, threads.layout, threads.bows, seen.over_frame, hidden) if kind != "none" else ()
    annotations = Annotations("photo.jpg", view.size_wh, (*colonies, *points), meta)
    shot = Shot(photo, clean, touched, annotations)
    rectified = _rectify(settings, view, shot, seen.ids, below) if kind != "none" else None
    return Sample(
        photo, clean, touched, annotations, rectified, int(choose.integers(*settings.jpeg_quality, endpoint=True))
    )


def _pick(rng: np.random.Generator, odds: Mapping[str, float]) -> str:
    names = sorted(odds)
    weights = np.array([odds[name] for name in names], np.float64)
    return str(rng.choice(names, p=weights / weights.sum()))


def _choose(rng: np.random.Generator, settings: Settings) -> tuple[Template | None, str]:
    layout = layouts.load(_pick(rng, settings.layouts))
    frames = {k: v for k, v in settings.frames.items() if layout is None or k != "none"}
    return layout, _pick(rng, frames)


@dataclass(frozen=True, slots=True, eq=False)
class _Threads:
    layout: Template | None
    bows: strings.Bows | None
    drawn: strings.Drawn | None  # before hiding


def _threads(rng: np.random.Generator, settings: Settings, view: View, layout: Template | None, kind: str) -> _Threads:
    bows = strings.hang(rng, layout, settings.sag) if layout else strings.Bows({}, {})
    return _Threads(layout, bows if layout else None, strings.draw(rng, settings, view, kind, layout, bows))


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The lit scene without strings as the camera sees it, all ``[H, W]``.

    `covered`: under a thing that lies over all else. `over_frame`: that, or a colony higher than the frame. `far`: how
    much farther than the quadrat's plane, at a quarter of the size.
    """

    picture: Picture
    ids: NDArray[np.uint8]
    height_px: NDArray[np.float32]
    covered: Mask
    over_frame: Mask
    far: NDArray[np.float32]


def _photograph(
    of_light: np.random.Generator,
    of_frame: np.random.Generator,
    settings: Settings,
    view: View,
    below: reef.Reef,
    things: clutter.Things | None,
    kind: str,
    background: Picture | None,
    seed: int,
) -> _Seen:
    sun = light.shine(of_light, settings.sun_net_probability if background is None else 0.0)
    lit = light.shade(of_light, sun, below.height_px, view.px_per_cm)
    bars = frame.draw(of_frame, kind, view, build(seed, settings)) if kind != "none" else None
    over = covers.draw(seed, settings, view, bars[1], -sun.along) if bars is not None else None
    upper = [layer for layer in (things, over) if layer is not None]
    if bars is not None and background is None:
        lit *= light.shadow_of(sun, bars[1], of_light.uniform(1, 12) * view.px_per_cm)
    for layer in upper:
        lit *= _shadows(sun, layer, view.px_per_cm)
    picture = cv2.multiply(below.rgb, cv2.merge([lit, lit, lit]), dtype=cv2.CV_8U)
    flat, risen = view.maps(), view.maps(below.height_px)
    picture = _look(picture, risen)
    ids = _look(below.ids, risen, cv2.INTER_NEAREST)
    height = _look(below.height_px, risen)
    far = depth.of(of_light, settings, view, flat, height)
    picture = depth.soften(picture, far) if background is None else _over(of_frame, picture, ids, background)
    over_frame = (height > of_frame.uniform(*settings.frame_clearance_cm) * view.px_per_cm) & (ids > 0)
    if bars is not None:
        cover = np.where(over_frame, np.uint8(0), _look(bars[1], flat))
        _lay(picture, _look(bars[0], flat), cover)
        ids[cover >= 128] = 0
        far[cover[::4, ::4] > 0] = 0
    covered = np.zeros(ids.shape, np.bool_)
    for layer in upper:
        cover = _look(layer[1], flat)
        _lay(picture, _look(layer[0], flat), cover)
        covered |= cover >= 128
        ids[covered] = 0
        far[cover[::4, ::4] > 0] = 0
    return _Seen(picture, ids, height, covered, over_frame | covered, far)


def _look(canvas: NDArray, maps: tuple[NDArray, NDArray], how: int = cv2.INTER_LINEAR) -> NDArray:
    return cv2.remap(canvas, *maps, how, borderMode=cv2.BORDER_REFLECT_101)


def _shadows(sun: light.Sun, things: clutter.Things, px_per_cm: float) -> NDArray[np.float32]:
    """Of low and of high things apart: what stands high throws its shadow far off."""
    _, cover, height_cm = things
    lit = np.ones(cover.shape, np.float32)
    for low, high in ((0, 4), (4, 15), (15, np.inf)):
        here = (cover > 0) & (height_cm >= low) & (height_cm < high)
        if here.any():
            standing = np.where(here, cover, np.uint8(0))
            lit *= light.shadow_of(sun, standing, float(height_cm[here].mean()) * px_per_cm)
    return lit


def _lay(picture: Picture, over: Picture, cover: Picture) -> None:
    """Lay `over` on `picture` where `cover` (0..255) says, in place."""
    weight = cover.astype(np.float32) / 255
    picture[:] = cv2.blendLinear(over, picture, weight, 1 - weight)


def _over(rng: np.random.Generator, picture: Picture, ids: Picture, background: Picture) -> Picture:
    """Put the drawn colonies and their shadows over a photograph, cut at random to the same shape; halve the tint."""
    h, w = ids.shape
    scale = max(h / background.shape[0], w / background.shape[1])
    big = (max(round(background.shape[1] * scale), w), max(round(background.shape[0] * scale), h))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    placed = cv2.resize(background, big, interpolation=how)
    x0, y0 = rng.integers(0, big[0] - w + 1), rng.integers(0, big[1] - h + 1)
    placed = placed[y0 : y0 + h, x0 : x0 + w].copy()
    colonies = ids > 0
    drawn = picture[colonies].mean(0) if colonies.any() else np.zeros(3)
    tint = ((placed[::4, ::4].mean((0, 1)) + 20) / (drawn + 20)) ** 0.5
    shaded = placed * (picture[..., :1] / np.float32(reef.MIDDLE_GREY))
    return np.clip(np.where(colonies[..., None], picture * tint, shaded), 0, 255).astype(np.uint8)


def _expose(
    seen: water.Water, plain: Picture, threads: _Threads, hidden: Mask, sigma: float
) -> tuple[Picture, Picture, Mask]:
    """Photo, the same without strings (their soft shadows stay), and the mask of every pixel a string touches."""
    drawn = threads.drawn
    if drawn is not None and drawn.shadow is not None:
        plain = cv2.multiply(plain, cv2.merge([drawn.shadow] * 3), dtype=cv2.CV_8U)
    base = cv2.GaussianBlur(plain, (0, 0), sigma) if sigma > 0.2 else plain
    light_in = seen.through(base)
    clean = cv2.add(light_in, seen.noise, dtype=cv2.CV_8U)
    photo = clean.copy()
    if drawn is None:
        return photo, clean, np.zeros(hidden.shape, np.bool_)
    cover = np.where(hidden, np.uint8(0), drawn.cover)
    cover = cv2.GaussianBlur(cover, (0, 0), sigma) if sigma > 0.2 else cover
    touched = cover >= strings.FAINTEST
    weight = (cover[touched].astype(np.float32) / 255)[:, None]
    thread = drawn.rgb[touched] * seen.gain[touched] + seen.haze[touched]
    mixed = light_in[touched] * (1 - weight) + thread * weight + seen.noise[touched]
    photo[touched] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return photo, clean, touched


def _rectify(settings: Settings, view: View, shot: Shot, ids: Picture, below: reef.Reef) -> Shot:
    w_cm, h_cm = view.quadrat_wh_cm
    scale = settings.rectified_px / max(w_cm, h_cm)
    size_wh = (round(w_cm * scale), round(h_cm * scale))
    corners = view.to_photo(camera.UNIT_CORNERS * view.quadrat_wh_cm)
    photo_to_quadrat = camera.four_points(corners, camera.UNIT_CORNERS * size_wh)
    warp = for_cv2(photo_to_quadrat)
    touched = cv2.warpPerspective(shot.strings.astype(np.float32), warp, size_wh) > 0
    flat_ids = cv2.warpPerspective(ids, warp, size_wh, flags=cv2.INTER_NEAREST)
    points = tuple(truth.moved(k, photo_to_quadrat) for k in shot.annotations.keypoints)
    shapes = (*truth.colonies(flat_ids, below.genera, below.forms), *points)
    meta = {**shot.annotations.meta, "photo_to_quadrat": photo_to_quadrat.tolist()}
    return Shot(
        cv2.warpPerspective(shot.photo, warp, size_wh),
        cv2.warpPerspective(shot.clean, warp, size_wh),
        touched,
        Annotations("photo.jpg", size_wh, shapes, meta),
    )
