from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_pose_detection.lattices import RandomLattice, Settings, random_lattice
from grid_pose_detection.matching import Candidates, match, to_keypoints
from quadrat import geometry, template
from quadrat.shapes import HIDDEN, VISIBLE

CORNERS = template.load("corners")
SQUARE = np.array([[100.0, 80], [520, 100], [500, 510], [90, 490]])
FRAME = Settings(missing=0, false=0, noise=0.003, sag=0, roll_deg=25, turned_deg=35)


def corners(xy, scores=0.8):
    xy = np.array(xy, np.float64).reshape(-1, 2)
    return Candidates(xy, np.broadcast_to(np.asarray(scores, np.float64), len(xy)))


def draw(seed: int, **other) -> RandomLattice:
    return random_lattice(
        np.random.default_rng(seed), CORNERS, Settings(**{**{f: getattr(FRAME, f) for f in FRAME.__slots__}, **other})
    )


def test_corners_are_ordered_whatever_the_order_they_come_in():
    for k in range(4):
        found = match(corners(np.roll(SQUARE, k, axis=0)), CORNERS)
        assert np.allclose(found.xy_px, SQUARE)
        assert found.found.all()
        assert not found.ambiguous
        assert found.refused == 0


def test_the_homography_maps_the_frame_onto_the_corners():
    found = match(corners(SQUARE), CORNERS)
    assert np.allclose(geometry.apply_homography(found.homography, CORNERS.uv), SQUARE)


def test_frames_seen_by_a_tilted_camera_among_distractors():
    right = 0
    for seed in range(40):
        drawn = draw(seed)
        rng = np.random.default_rng(seed)
        false = rng.uniform(0, 1, (3, 2)) * drawn.size_wh
        xy = np.concatenate([drawn.candidates.xy_px, false])
        scores = np.concatenate([rng.uniform(0.6, 0.95, 4), rng.uniform(0.05, 0.4, 3)])
        found = match(Candidates(xy, scores), CORNERS)
        right += found is not None and drawn.errors(found.xy_px).max() < 0.05
    assert right >= 39


def test_a_distractor_inside_of_the_same_score_is_left_out():
    found = match(corners([*SQUARE, (300, 290)]), CORNERS)
    assert np.allclose(found.xy_px, SQUARE)
    assert found.refused == 1


def test_two_candidates_on_one_corner_are_no_doubt():
    found = match(corners([*SQUARE, SQUARE[0] + 1], [0.9, 0.9, 0.9, 0.9, 0.8]), CORNERS)
    assert np.allclose(found.xy_px, SQUARE)
    assert not found.ambiguous


@pytest.mark.parametrize("missing", range(4))
def test_three_corners_are_completed_to_a_parallelogram(missing):
    drawn = np.delete(SQUARE, missing, axis=0)
    found = match(corners(drawn), CORNERS)
    assert list(np.flatnonzero(~found.found)) == [missing]
    assert np.linalg.norm(found.xy_px[missing] - SQUARE[missing]) < 60
    assert found.scores[missing] == pytest.approx(0.4)


def test_a_corner_outside_the_photo_is_hidden_where_it_was_completed():
    found = match(corners(SQUARE[:3]), CORNERS)
    points = to_keypoints(found, (600, 400), 0.5)
    assert list(points.visibility) == [VISIBLE, VISIBLE, VISIBLE, HIDDEN]
    assert np.allclose(match(corners(SQUARE - [150, 0]), CORNERS).xy_px, SQUARE - [150, 0])


def test_three_good_ones_win_over_a_fourth_out_of_shape():
    found = match(corners([*SQUARE[:3], (430, 150)], [0.9, 0.9, 0.9, 0.15]), CORNERS)
    assert list(found.found) == [True, True, True, False]


@pytest.mark.parametrize("count", range(3))
def test_fewer_than_three_are_none(count):
    assert match(corners(SQUARE[:count]), CORNERS) is None


@pytest.mark.parametrize(
    "xy",
    [
        np.zeros((4, 2)),
        np.stack([np.arange(6.0) * 50, np.arange(6.0) * 20], axis=1),
        [(0, 0), (0, 0), (100, 0), (100, 0)],
    ],
    ids=["spot", "line", "two spots"],
)
def test_what_spans_no_quadrilateral_is_none(xy):
    assert match(corners(xy), CORNERS) is None


def test_candidates_nobody_believes_in_are_none():
    assert match(corners(SQUARE, 0.02), CORNERS) is None


def test_two_frames_are_ambiguous():
    found = match(corners([*SQUARE, *(SQUARE + [700, 0])]), CORNERS)
    assert "other corners fit as well" in found.ambiguous


def test_near_45_degrees_is_ambiguous():
    middle, c = SQUARE.mean(axis=0), np.sqrt(0.5)
    found = match(corners((SQUARE - middle) @ np.array([[c, c], [-c, c]]) + middle), CORNERS)
    assert any("degrees" in doubt for doubt in found.ambiguous)


def test_a_template_in_rows_gets_its_own_order():
    rows = template.even_lattice("rows", 2, 2, on_frame=True)
    assert np.allclose(match(corners(SQUARE), rows).xy_px, SQUARE[[0, 1, 3, 2]])


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 40))
def test_whatever_comes_in_what_comes_out_is_whole(seed, count):
    rng = np.random.default_rng(seed)
    given_ = Candidates(rng.integers(0, 30, (count, 2)).astype(np.float64), rng.uniform(0, 1, count))
    found = match(given_, CORNERS)
    if found is None:
        return
    assert geometry.is_convex(found.xy_px)
    assert np.isfinite(found.homography).all()
    assert found.found.sum() >= 3
    assert found.refused == count - found.found.sum()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
