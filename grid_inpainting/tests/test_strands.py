"""The parts that strings are followed with."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from grid_inpainting.strands import curves, strips, widths
from grid_inpainting.strands.bands import Bands
from grid_inpainting.strands.visible import chain, seen_along
from grid_inpainting.strands.yarn import best_path
from quadrat import template
from quadrat.homography import apply_homography
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Keypoints

TILTED = np.array([[420.0, -30, 60], [25, 380, 40], [6e-2, -4e-2, 1]])


def grid(
    layout: template.Template, off_px: np.ndarray | None = None, visibility: np.ndarray | None = None
) -> Keypoints:
    xy = apply_homography(TILTED, layout.uv)
    return Keypoints("grid", layout.names, xy if off_px is None else xy + off_px, visibility)


def distance_to(curve: np.ndarray, xy: np.ndarray) -> np.ndarray:
    fine = np.stack([np.interp(np.linspace(0, 1, 9000), np.linspace(0, 1, len(curve)), side) for side in curve.T], 1)
    return np.linalg.norm(fine[None] - xy[:, None], axis=2).min(1)


@pytest.mark.parametrize(("name", "across", "down"), [("grid9x13", 13, 9), ("grid11x11", 9, 9)])
def test_strings_are_rows_and_columns_off_the_frame(name, across, down):
    strings = curves.strings_of(template.load(name))
    assert [axis for axis, _ in strings] == [0] * across + [1] * down
    assert template.load("corners").edges
    assert curves.strings_of(template.load("corners")) == []


@pytest.mark.parametrize("name", ["grid9x13", "grid11x11"])
def test_curves_pass_through_their_points_and_reach_past_the_frame(name):
    layout = template.load(name)
    found = curves.through_points(grid(layout), layout, 1.0)
    for (_, on), curve in zip(curves.strings_of(layout), found.xy_px, strict=True):
        assert distance_to(curve, apply_homography(TILTED, layout.uv[on])).max() < 0.3
    rows = np.stack([[0.0, layout.uv[0, 1]], [1.0, layout.uv[0, 1]]]) if name == "grid9x13" else layout.uv[9:20:10]
    first = found.xy_px[0] if name == "grid9x13" else found.xy_px[0]
    assert distance_to(first, apply_homography(TILTED, rows)).max() < 1
    assert np.abs(found.step_px.max() - 1) < 0.05


def test_a_wrong_point_bends_no_curve():
    layout = template.load("grid9x13")
    off = np.zeros((117, 2))
    off[50] = (14, -11)
    found = curves.through_points(grid(layout, off), layout, 1.0)
    assert (
        max(
            distance_to(found.xy_px[n], apply_homography(TILTED, layout.uv[on])).max()
            for n, (_, on) in enumerate(curves.strings_of(layout))
        )
        < 1.5
    )


def test_pieces_next_to_covered_points_are_known():
    layout = template.load("grid9x13")
    visibility = np.full(117, VISIBLE)
    visibility[4], visibility[100] = OCCLUDED, HIDDEN
    found = curves.through_points(grid(layout, None, visibility), layout, 1.0)
    assert np.flatnonzero(found.covered.any(1)).tolist() == [0, 13 + 4]
    middle = np.flatnonzero(found.covered[0]).mean()
    assert middle == pytest.approx(found.knots[0, 4], abs=2)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_path_is_the_best_of_all(seed):
    gain = np.random.default_rng(seed).normal(0, 1, (1, 5, 4)).astype(np.float32)

    def worth(path):
        turns = np.abs(np.diff(path))
        return -np.inf if turns.max() > 1 else gain[0, np.arange(5), path].sum() - 0.7 * turns.sum()

    best = max(itertools.product(range(4), repeat=5), key=worth)
    assert best_path(gain, 0.7)[0].tolist() == list(best)


def test_the_chain_bridges_short_doubt_and_keeps_long_gaps():
    gain = np.ones((1, 300))
    gain[0, 40:44], gain[0, 100:180] = -1, -1
    seen = chain(gain)
    assert seen[0, 30:60].all()
    assert not seen[0, 105:175].any()
    assert seen[0, 185:].all()


def test_noise_alone_is_never_seen():
    odds = np.random.default_rng(0).normal(0.2, 1.2, (8, 500))
    inside, covered = np.ones(odds.shape, np.bool_), np.zeros(odds.shape, np.bool_)
    assert not seen_along(odds, inside, covered).any()
    odds[:, :200] += 6
    seen = seen_along(odds, inside, covered)
    assert seen[:, :200].mean() > 0.98
    assert not seen_along(odds, ~inside, covered).any()


def test_samples_across_a_line_are_what_the_photo_shows():
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[:, :, 0] = np.arange(60)
    photo[:, :, 1] = np.arange(40)[:, None]
    line = np.stack([np.linspace(10.5, 50.5, 41), np.full(41, 20.5)], 1)[None]
    got = strips.sample(photo, line, 3)
    assert got.shape == (1, 41, 7, 3)
    assert np.allclose(got[0, :, :, 0], np.arange(10, 51)[:, None])
    assert np.allclose(got[0, :, :, 1], np.arange(17, 24))  # to the right of one who walks right is down


@pytest.mark.parametrize("width", [3.0, 6.5])
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_a_band_is_as_wide_as_it_says(width, scale):
    line = np.stack([np.linspace(5, 95, 91), np.full(91, 30.0)], 1)[None]
    seen = np.ones((1, 91), np.bool_)
    seen[0, 40:50] = False
    mask = np.zeros((round(60 * scale), round(100 * scale)), np.uint8)
    Bands(line, np.zeros((1, 91)), np.zeros((1, 91)), seen).of_width(width).draw(mask, scale)
    across = mask[:, round(20 * scale)].sum()
    assert across == pytest.approx(width * scale, abs=1)
    assert not mask[:, round(50 * scale)].any()
    assert mask.any(1).argmax() == pytest.approx((30 - width / 2) * scale, abs=1)


def test_borders_lie_where_the_contrast_ends():
    profile = np.interp(np.arange(-14, 15), [-4, -3, 2, 3], [0, 1, 1, 0]).astype(np.float32)
    profiles = np.full((2, 50, 29, 3), 90, np.float32) + 60 * profile[:, None]
    left, right = widths.borders(profiles, np.ones((2, 50), np.bool_), np.full(3, 1 / 3, np.float32), False)
    assert (left, right) == pytest.approx((-4, 3), abs=0.3)


def test_lumps_widen_a_band_where_they_are():
    relief = np.zeros((1, 60, 41), np.float32)
    relief[:, :, 18:23] = 1
    relief[:, 20:30, 18:27] = 1
    left, right = widths.with_lumps(relief, np.ones((1, 60), np.bool_), -2.5, 2.5, 8)
    assert np.all(left == -2.5)
    assert np.all(right[0, [0, 15, 40, 59]] == 2.5)
    assert np.all(right[0, 22:28] >= 6.5)
