"""A rendered sample: its pixels, its truth and how the two agree."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from data_engineering import taxonomy
from data_engineering.render import camera, colony, light
from data_engineering.render.scene import Sample, render
from data_engineering.render.settings import Settings
from quadrat import template
from quadrat.masks import paste
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Keypoints

SMALL = Settings(size_px=320, rectified_px=200, colonies=(6, 14), crop_probability=0.0)
HIGH = {"string_clearance_cm": (1000.0, 1000.0), "frame_clearance_cm": (1000.0, 1000.0)}
STRAIGHT = {"lens_k1": (0.0, 0.0)}
GRID = replace(SMALL, layouts={"grid11x11": 1.0})


def points(sample, label: str) -> Keypoints:
    return next(k for k in sample.annotations.keypoints if k.label == label)


def union(shot) -> np.ndarray:
    mask = np.zeros(shot.photo.shape[:2], np.bool_)
    for instance in shot.annotations.instances:
        paste(instance, mask)
    return mask


def same(a: Sample, b: Sample) -> bool:
    return np.array_equal(a.photo, b.photo) and np.array_equal(a.strings, b.strings)


def test_a_seed_fixes_every_pixel_and_another_changes_them():
    assert same(render(3, SMALL), render(3, SMALL))
    assert not np.array_equal(render(3, GRID).photo, render(4, GRID).photo)


@pytest.mark.parametrize("layout", ["grid11x11", "grid9x13"])
@pytest.mark.parametrize("seed", range(3))
def test_photo_and_clean_differ_only_under_the_string_mask(layout, seed):
    sample = render(seed, replace(SMALL, layouts={layout: 1.0}))
    for shot in (sample, sample.rectified):
        differs = (shot.photo != shot.clean).any(-1)
        assert not differs[~shot.strings].any()
        assert differs.sum() > 0.5 * shot.strings.sum() > 0


def test_without_strings_photo_and_clean_are_one():
    sample = render(1, replace(SMALL, layouts={"none": 1.0}, diagonals_probability=0.0))
    assert not sample.strings.any()
    assert np.array_equal(sample.photo, sample.clean)


def test_diagonals_are_in_the_string_mask():
    settings = replace(SMALL, layouts={"none": 1.0}, frames={"pvc": 1.0}, diagonals_probability=1.0)
    sample = render(2, replace(settings, string_clearance_cm=(1000, 1000)))
    x, y = (int(v) for v in points(sample, "quadrat_corner").xy_px[[0, 2]].mean(0))
    assert sample.strings[y - 8 : y + 9, x - 8 : x + 9].any()
    assert [k.label for k in sample.annotations.keypoints] == ["quadrat_corner"]


def test_masks_agree_with_the_pixels(monkeypatch):
    """Colonies painted in one colour that nothing else has: the masks find exactly the pixels of that colour."""
    drawn = colony.draw

    def magenta(*arguments):
        one = drawn(*arguments)
        return replace(one, rgb=np.broadcast_to(np.float32([255, 0, 255]), one.rgb.shape))

    monkeypatch.setattr(colony, "draw", magenta)
    monkeypatch.setattr(light, "shade", lambda rng, sun, height, scale: np.ones_like(height))
    monkeypatch.setattr(light, "shadow_of", lambda sun, cover, height: np.ones(cover.shape, np.float32))
    monkeypatch.setattr("data_engineering.render.water._exposure", lambda *_: 1.0)
    monkeypatch.setattr("data_engineering.render.water.develop", lambda rng, picture: picture)
    plain = {"water": (0.0, 0.0), "noise": (0.0, 0.0), "blur_px": (0.0, 0.0), "layouts": {"none": 1.0}}
    sample = render(5, replace(SMALL, **plain, frames={"pvc": 1.0}, diagonals_probability=0.0))
    pixels = sample.clean.astype(int)
    coloured = (pixels[..., 0] > 100) & (pixels[..., 1] < 0.35 * pixels[..., 0]) & (pixels[..., 2] > 100)
    mask = union(sample)
    assert mask.sum() > 2000
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) > 0
    core = cv2.erode(mask.astype(np.uint8), np.ones((3, 3)), borderValue=1) > 0
    assert not coloured[~near].any()
    assert coloured[core].all()


def test_masks_are_disjoint_and_named_by_genus():
    sample = render(6, SMALL)
    count = np.zeros(sample.photo.shape[:2], int)
    for instance in sample.annotations.instances:
        x0, y0, x1, y1 = instance.xyxy_px
        count[y0:y1, x0:x1] += instance.mask
    assert count.max() == 1
    assert {i.label for i in sample.annotations.instances} <= set(taxonomy.labels("genus"))


def test_strings_do_not_cut_masks_but_the_frame_does():
    settings = replace(GRID, frames={"dark": 1.0}, **HIGH, **STRAIGHT, colonies=(40, 40))
    sample = render(8, settings)
    mask = union(sample)
    assert (mask & sample.strings).sum() > 100
    matrix = np.array(sample.annotations.meta["cm_to_photo"])
    t = np.linspace(0, 100, 60)
    for outside in ((t, -1.5 + 0 * t), (t, 101.5 + 0 * t), (-1.5 + 0 * t, t), (101.5 + 0 * t, t)):
        x, y = np.floor(camera.apply(matrix, np.stack(outside, 1))).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
        assert not mask[y[inside], x[inside]].any()


@pytest.mark.parametrize("count", [0, 1])
def test_few_colonies(count):
    sample = render(9, replace(GRID, colonies=(count, count)))
    assert len(sample.annotations.instances) <= count
    assert len(points(sample, "grid").names) == 117
    if count:
        assert any(render(seed, replace(GRID, colonies=(1, 1))).annotations.instances for seed in range(3))


def test_corners_run_clockwise_from_the_top_left_and_fit_the_homography():
    for seed in range(6):
        sample = render(seed, replace(GRID, **STRAIGHT))
        corners = points(sample, "quadrat_corner")
        assert corners.names == ("1", "2", "3", "4")
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners.xy_px
        assert ax < bx
        assert dx < cx
        assert ay < dy
        assert by < cy
        matrix = np.array(sample.annotations.meta["cm_to_photo"])
        expected = camera.apply(matrix, np.array([[0, 0], [100, 0], [100, 100], [0, 100.0]]))
        np.testing.assert_allclose(corners.xy_px, expected)
        flat = points(sample.rectified, "quadrat_corner")
        np.testing.assert_allclose(flat.xy_px, [[0, 0], [200, 0], [200, 200], [0, 200]], atol=1e-6)


@pytest.mark.parametrize("layout", ["grid11x11", "grid9x13"])
def test_grid_points_are_the_template_seen_by_the_camera(layout):
    tight = render(11, replace(SMALL, layouts={layout: 1.0}, sag=0.0, **STRAIGHT))
    shape = template.load(layout)
    matrix = np.array(tight.annotations.meta["cm_to_photo"])
    np.testing.assert_allclose(points(tight, "grid").xy_px, camera.apply(matrix, shape.xy_cm), atol=1e-6)
    assert points(tight, "grid").names == shape.names

    slack = render(11, replace(SMALL, layouts={layout: 1.0}, sag=0.006, **STRAIGHT))
    off = points(slack.rectified, "grid").xy_px / 200 - shape.uv
    assert 0.0005 < np.abs(off).max() < 0.04


@pytest.mark.parametrize("seed", range(3))
def test_visible_points_lie_on_strings_and_occluded_ones_do_not(seed):
    sample = render(seed, replace(GRID, string_clearance_cm=(1, 1), string_px=(4, 4), colonies=(20, 20)))
    grid = points(sample, "grid")
    inner = ((template.load("grid11x11").uv > 0.01) & (template.load("grid11x11").uv < 0.99)).all(1)
    x, y = np.floor(grid.xy_px).astype(int).T
    on = sample.strings[y, x]
    assert on[inner & (grid.visibility == VISIBLE)].all()
    occluded = inner & (grid.visibility == OCCLUDED)
    assert occluded.sum() >= 3
    assert on[occluded].mean() < 0.5  # the blur of a string beside it may reach a point
    assert (render(seed, replace(GRID, string_clearance_cm=(1000, 1000))).strings.sum()) > sample.strings.sum() * 0.5


def test_points_outside_the_photo_are_hidden_and_only_those():
    seen = set()
    for seed in range(8):
        sample = render(seed, replace(GRID, crop_probability=1.0))
        for k in sample.annotations.keypoints:
            outside = ((k.xy_px < 0) | (k.xy_px > sample.annotations.size_wh)).any(1)
            np.testing.assert_array_equal(k.visibility == HIDDEN, outside)
            seen |= set(k.visibility.tolist())
    assert {HIDDEN, VISIBLE} <= seen


def test_high_strings_are_never_covered():
    grid = points(render(12, replace(GRID, string_clearance_cm=(1000, 1000), clutter={})), "grid")
    assert (grid.visibility == VISIBLE).all()


def test_rectified_shapes_are_those_of_the_photo_moved():
    sample = render(13, replace(SMALL, layouts={"grid11x11": 1.0}, tilt_deg=(8, 8)))
    flat = sample.rectified
    matrix = np.array(flat.annotations.meta["photo_to_quadrat"])
    moved = cv2.warpPerspective(
        union(sample).astype(np.uint8), camera.for_cv2(matrix), flat.annotations.size_wh, flags=cv2.INTER_NEAREST
    )
    drawn = union(flat)
    assert (moved.astype(bool) & drawn).sum() / (moved.astype(bool) | drawn).sum() > 0.98
    np.testing.assert_allclose(
        points(flat, "grid").xy_px, camera.apply(matrix, points(sample, "grid").xy_px), atol=1e-9
    )


def test_without_a_frame_there_is_no_quadrat():
    sample = render(14, replace(SMALL, layouts={"none": 1.0}, frames={"none": 1.0}))
    assert sample.rectified is None
    assert sample.annotations.keypoints == ()
    assert not sample.strings.any()


def test_a_background_shows_wherever_nothing_is_drawn():
    background = np.zeros((300, 500, 3), np.uint8) + np.array([10, 120, 200], np.uint8)
    settings = replace(SMALL, layouts={"none": 1.0}, frames={"none": 1.0}, noise=(0, 0), colonies=(4, 4))
    sample = render(15, settings, background)
    away = cv2.dilate(union(sample).astype(np.uint8), np.ones((9, 9))) == 0
    assert 0 < away.mean() < 1
    spread = sample.photo[away].astype(float)
    assert spread[:, 2].mean() > spread[:, 1].mean() > spread[:, 0].mean()
    bare = render(15, replace(settings, colonies_on_backgrounds=False), background)
    assert bare.annotations.instances == ()
