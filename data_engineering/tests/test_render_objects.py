"""Frames, strings and clutter: exact where truth hangs on them, whatever else they carry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data_engineering.render import camera, clutter, frame, patches, strings
from data_engineering.render.settings import CLUTTER, Settings
from quadrat import template

SMALL = Settings(size_px=640, crop_probability=0.0)


def view(seed: int = 0) -> camera.View:
    return camera.look(np.random.default_rng(seed), SMALL, (100.0, 100.0))


@pytest.mark.parametrize("kind", sorted(frame.KINDS))
@pytest.mark.parametrize("seed", range(4))
def test_a_frame_is_exact_at_its_four_inner_corners(kind, seed):
    seen = view(seed)
    _, cover = frame.draw(np.random.default_rng(seed), kind, seen)
    corners = camera.apply(seen.cm_to_canvas, camera.UNIT_CORNERS * 100).round().astype(int)
    for (x, y), (dx, dy) in zip(corners, ((1, 1), (-1, 1), (-1, -1), (1, -1)), strict=True):
        for k in range(1, 5):  # whole pixels right and below of a corner's place belong to its own number
            inside = (y + (k if dy > 0 else -k - 1), x + (k if dx > 0 else -k - 1))
            outside = (y + (-k if dy > 0 else k - 1), x + (-k if dx > 0 else k - 1))
            assert cover[inside] == 0
            if all(0 <= v < n for v, n in zip(outside, cover.shape, strict=True)) and k < 4:
                assert cover[outside] > 128


def test_a_frame_follows_from_its_seed_and_no_two_are_alike():
    one, again, other = (frame.draw(np.random.default_rng(s), "aluminium", view())[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize("name", CLUTTER)
def test_each_kind_of_clutter_has_colour_cover_and_height_together(name):
    settings, seen = replace(SMALL, clutter={name: 1.0}), view()
    drawn = [clutter.draw(np.random.default_rng(seed), settings, seen, "pvc") for seed in range(6)]
    shown = [one for one in drawn if one is not None]
    assert len(shown) >= 4  # a thing may fall outside the canvas
    for rgb, cover, height_cm in shown:
        assert rgb.shape == (*cover.shape, 3)
        assert cover.shape == seen.canvas_wh[::-1]
        np.testing.assert_array_equal(height_cm > 0, cover > 0)
    again = clutter.draw(np.random.default_rng(5), settings, seen, "pvc")
    assert (again is None) == (drawn[5] is None)
    if again is not None:
        np.testing.assert_array_equal(again[0], drawn[5][0])


def test_no_clutter_where_none_is_asked_for_and_no_tape_without_a_frame():
    rng = np.random.default_rng(0)
    assert clutter.draw(rng, replace(SMALL, clutter={}), view(), "pvc") is None
    assert clutter.draw(rng, replace(SMALL, clutter={"tape": 1.0}), view(), "none") is None


def test_unknown_clutter_is_named():
    with pytest.raises(ValueError, match="clutter is {'boat': 1.0}: expected probabilities 0..1 for animals"):
        Settings(clutter={"boat": 1.0})


@pytest.mark.parametrize("seed", range(12))
def test_every_crossing_lies_under_a_string_of_whatever_yarn(seed):
    rng, seen, layout = np.random.default_rng(seed), view(seed), template.load("grid11x11")
    bows = strings.hang(rng, layout, 0.006)
    drawn = strings.draw(rng, SMALL, seen, "pvc", layout, bows)
    inner = ((layout.uv > 0) & (layout.uv < 1)).all(1)
    xy = seen.to_photo(strings.crossings(layout, bows)[inner] * 100)
    x, y = np.floor(xy).astype(int).T
    assert (drawn.cover[y, x] >= strings.FAINTEST).all()
    assert drawn.rgb[drawn.cover > 0].any(1).all()  # no covered pixel is left without a colour
    if drawn.shadow is not None:
        assert 0.3 < drawn.shadow.min() < 1 == drawn.shadow.max()


def test_yarns_differ():
    layout = template.load("grid9x13")
    bows = strings.hang(np.random.default_rng(0), layout, 0.0)
    share = [
        (strings.draw(np.random.default_rng(seed), SMALL, view(), "pvc", layout, bows).cover > 0).mean()
        for seed in range(8)
    ]
    assert max(share) > 2 * min(share)


def test_a_patch_lands_where_it_is_laid():
    patch = patches.solid(np.arange(24, dtype=np.float32).reshape(2, 4, 3) + 100)
    layer = patches.empty((10, 8))
    assert layer.lay(patch, (3, 2), 0.0, (0, 0)) == (slice(2, 4), slice(3, 7))
    np.testing.assert_array_equal(layer.rgb[2:4, 3:7], patch.rgb)
    assert (layer.alpha > 0).sum() == 8
    turned = patches.empty((10, 8))
    turned.lay(patch, (5, 3), np.pi / 2, (0, 0))  # clockwise on the screen: its first row becomes the last column
    np.testing.assert_array_equal(turned.rgb[3:7, 4], patch.rgb[0])
    assert layer.lay(patch, (90, 90)) is None


def test_what_is_half_clear_lets_through_what_lies_below():
    layer = patches.empty((4, 4))
    layer.rgb[:], layer.alpha[:] = 200, 255
    patches.over(layer.rgb, layer.alpha, np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 51, np.uint8))
    np.testing.assert_array_equal(layer.rgb, 160)
    np.testing.assert_array_equal(layer.alpha, 255)


def test_a_ruler_is_true_to_scale():
    strip = patches.ruler(np.random.default_rng(0), 600, 30, 40.0, (255, 255, 255), (0, 0, 0))
    dark = strip[8, :, 0] < 100  # that deep only whole centimetres reach
    np.testing.assert_array_equal(np.flatnonzero(dark), np.arange(15) * 40)
