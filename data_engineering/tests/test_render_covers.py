"""What covers the corners of frames, and how their bars are made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data_engineering.render import bars, covers
from data_engineering.render.scene import Sample, render
from data_engineering.render.settings import COVERS, Settings, from_dict, to_dict
from quadrat.masks import paste
from quadrat.shapes import OCCLUDED, Keypoints

PLAIN = Settings(
    size_px=320,
    rectified_px=128,
    layouts={"none": 1.0},
    frames={"pvc": 1.0},
    clutter={},
    colonies=(10, 20),
    crop_probability=0.0,
    fill=(0.7, 0.75),
    diagonals_probability=1.0,
    frame_clearance_cm=(1000, 1000),
    string_clearance_cm=(1000, 1000),
)


def corners(sample: Sample) -> Keypoints:
    return next(k for k in sample.annotations.keypoints if k.label == "quadrat_corner")


def colonies(sample: Sample) -> np.ndarray:
    mask = np.zeros(sample.photo.shape[:2], np.bool_)
    for instance in sample.annotations.instances:
        paste(instance, mask)
    return mask


@pytest.fixture(scope="module")
def plain() -> Sample:
    return render(1, PLAIN)


def test_zero_probabilities_change_no_pixel(plain):
    same = render(1, replace(PLAIN, corner_covers=dict.fromkeys(COVERS, 0.0)))
    assert np.array_equal(same.photo, plain.photo)
    assert np.array_equal(same.strings, plain.strings)


@pytest.mark.parametrize("kind", COVERS)
def test_a_cover_moves_no_corner_and_hides_what_lies_below(kind, plain):
    sample = render(1, replace(PLAIN, corner_covers={kind: 1.0}))
    np.testing.assert_array_equal(corners(sample).xy_px, corners(plain).xy_px)
    assert (sample.photo != plain.photo).any()
    assert not (sample.strings & ~plain.strings).any()
    assert not (colonies(sample) & ~colonies(plain)).any()


def test_knots_and_floats_occlude_corners_and_cut_strings(plain):
    sample = render(1, replace(PLAIN, corner_covers={"knots": 1.0, "floats": 1.0}))
    assert (corners(plain).visibility != OCCLUDED).all()
    assert (corners(sample).visibility == OCCLUDED).sum() >= 2
    assert sample.strings.sum() < plain.strings.sum()


def test_a_covered_corner_is_painted_over(plain):
    sample = render(1, replace(PLAIN, corner_covers={"floats": 1.0}))
    assert OCCLUDED in corners(sample).visibility
    change = np.abs(sample.photo.astype(int) - plain.photo).sum(-1)
    for (x, y), seen in zip(corners(sample).xy_px.astype(int), corners(sample).visibility, strict=True):
        if seen == OCCLUDED:
            assert change[y - 1 : y + 2, x - 1 : x + 2].mean() > 30


def test_no_cover_without_a_frame():
    bare = replace(PLAIN, frames={"none": 1.0})
    assert np.array_equal(
        render(2, bare).photo, render(2, replace(bare, corner_covers=dict.fromkeys(COVERS, 1.0))).photo
    )


def test_the_width_of_bars_is_measured_through_what_is_fixed_to_them():
    cover = np.zeros((200, 200), np.uint8)
    cover[30:170, 30:170] = 255
    cover[40:160, 40:160] = 0
    cover[10:30, 90:110] = 255  # a camera
    opening = np.array([[40, 40], [160, 40], [160, 160], [40, 160]], float)
    assert covers.bar_width(cover, opening) == pytest.approx(10)


def test_bar_walls_and_stub_free_bars_leave_the_truth_alone():
    settings = replace(PLAIN, frames={"dark": 1.0})
    base = render(3, settings)
    for other in (replace(settings, bar_walls_probability=1.0), replace(settings, stub_free_probability=1.0)):
        sample = render(3, other)
        assert (sample.photo != base.photo).any()
        np.testing.assert_array_equal(corners(sample).xy_px, corners(base).xy_px)


def test_builds_are_as_often_as_asked():
    builds = [bars.build(seed, Settings(bar_walls_probability=0.3, stub_free_probability=0.7)) for seed in range(300)]
    assert np.mean([b.wall > 0 for b in builds]) == pytest.approx(0.3, abs=0.08)
    assert np.mean([b.stub_free for b in builds]) == pytest.approx(0.7, abs=0.08)
    assert bars.build(5, Settings()).wall == 0
    assert not bars.build(5, Settings()).stub_free


def test_settings_of_covers_are_checked_and_survive_a_file():
    settings = Settings(corner_covers={"knots": 0.5})
    assert from_dict(to_dict(settings)) == settings
    with pytest.raises(ValueError, match=r"corner_covers is .*probabilities 0..1 for knots, floats"):
        Settings(corner_covers={"barnacles": 0.5})
    with pytest.raises(ValueError, match="corner_covers"):
        Settings(corner_covers={"knots": 1.5})
