"""The lens, the lean of the relief, and what stands or lies over frame and strings."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from data_engineering.render import camera, clutter, depth, heaps, light
from data_engineering.render.scene import render
from data_engineering.render.settings import Settings
from quadrat.shapes import OCCLUDED

SMALL = Settings(size_px=320, rectified_px=200, colonies=(6, 14), crop_probability=0.0)
GRID = replace(SMALL, layouts={"grid11x11": 1.0})


def view(seed: int = 0, **settings) -> camera.View:
    return camera.look(np.random.default_rng(seed), replace(SMALL, **settings), (100.0, 100.0))


@pytest.mark.parametrize("k1", [-0.12, 0.0, 0.03])
def test_a_lens_bends_back_what_it_straightens(k1):
    lens = camera.Lens((640, 480), k1)
    points = np.random.default_rng(0).uniform(-50, 690, (200, 2))
    np.testing.assert_allclose(lens.straighten(lens.bend(points)), points, atol=1e-9)
    np.testing.assert_allclose(lens.bend(np.array([[320.0, 240.0]])), [[320, 240]])


def test_barrel_draws_in_and_pincushion_pushes_out():
    corner = np.array([[640.0, 480.0]])
    assert (camera.Lens((640, 480), -0.1).bend(corner) < corner).all()
    assert (camera.Lens((640, 480), 0.03).bend(corner) > corner).all()


@pytest.mark.parametrize("k1", [-0.12, 0.03])
def test_the_photo_shows_points_of_the_plane_where_to_photo_says(k1):
    seen = view(tilt_deg=(10, 10), lens_k1=(k1, k1))
    columns, rows = (axis + 0.5 for axis in seen.maps())
    inside = np.random.default_rng(1).integers(0, np.array(seen.size_wh), (300, 2))
    on_canvas = np.stack([columns[inside[:, 1], inside[:, 0]], rows[inside[:, 1], inside[:, 0]]], 1)
    cm = camera.apply(np.linalg.inv(seen.cm_to_canvas), on_canvas.astype(np.float64))
    np.testing.assert_allclose(seen.to_photo(cm), inside + 0.5, atol=0.02)


def test_the_canvas_covers_the_photo():
    for seed in range(6):
        seen = view(seed, lens_k1=(-0.12, 0.03))
        for axis, side in zip(seen.maps(), seen.canvas_wh, strict=True):
            assert axis.min() >= 0
            assert axis.max() <= side - 1


def test_what_stands_high_leans_away_from_the_foot_as_perspective_has_it():
    seen = view(tilt_deg=(0, 0), roll_deg=0.0, lens_k1=(0.0, 0.0))
    h, w = seen.canvas_wh[::-1]
    rise_cm = 10.0
    flat, risen = seen.maps(), seen.maps(np.full((h, w), rise_cm * seen.px_per_cm, np.float32))
    shrink = 1 - rise_cm / seen.eye_cm[2]
    foot = camera.apply(seen.cm_to_canvas, seen.eye_cm[None, :2])[0] - 0.5
    for low, high, middle in zip(flat, risen, foot, strict=True):
        np.testing.assert_allclose(high - middle, (low - middle) * shrink, atol=0.02)


def test_a_corner_under_a_tall_colony_is_occluded_and_keeps_the_colony():
    low = {"frame_clearance_cm": (0.5, 0.5), "colonies": (40, 40), "lens_k1": (-0.1, -0.1)}
    hidden = 0
    for seed in range(6):
        sample = render(seed, replace(GRID, **low))
        corners = next(k for k in sample.annotations.keypoints if k.label == "quadrat_corner")
        hidden += int((corners.visibility == OCCLUDED).sum())
    assert hidden >= 1


def test_clutter_hides_strings_colonies_and_points(monkeypatch):
    def plate(rng, settings, view, kind):
        w, h = view.canvas_wh
        return np.full((h, w, 3), 200, np.uint8), np.full((h, w), 255, np.uint8), np.full((h, w), 5, np.float32)

    monkeypatch.setattr(clutter, "draw", plate)
    sample = render(3, GRID)
    assert not sample.annotations.instances
    assert not sample.strings.any()
    assert all((k.visibility == OCCLUDED).all() for k in sample.annotations.keypoints)


def test_outside_the_quadrat_the_bottom_falls_off():
    seen = view(3, fill=(0.5, 0.5))
    far = depth.of(
        np.random.default_rng(0),
        replace(SMALL, drop_probability=1.0),
        seen,
        seen.maps(),
        np.zeros((seen.size_wh[1], seen.size_wh[0]), np.float32),
    )
    middle = far[far.shape[0] // 2, far.shape[1] // 2]
    assert middle == 0
    assert far[0, 0] > 0.15


def test_a_post_throws_its_shadow_away_from_the_light():
    height = np.zeros((400, 400), np.float32)
    cv2.circle(height, (200, 200), 12, 60.0, -1)
    sun = light.Sun(toward=0.0, rise=1.0, direct=0.7, soft=0.1, net=0.0)
    lit = light.shade(np.random.default_rng(0), sun, height, 10.0)
    assert lit[200, 170] < 0.7 * lit[200, 230]
    assert lit[20, 20] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("heap", [heaps.rubble, heaps.stones, heaps.thicket])
def test_heaps_repeat_without_a_seam(heap):
    height = heap().levels[0][..., 0]
    across = np.abs(height[:, 0] - height[:, -1]).mean()
    assert across < 1.5 * np.abs(np.diff(height, axis=1)).mean(0).max()
