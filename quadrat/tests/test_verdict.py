from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quadrat import homography, sharpness, template, verdict
from quadrat.geometry import tilt_deg
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Keypoints
from quadrat.verdict import FAILED, OK, REVIEW, Verdict, judge

SIZE = (1200, 1000)
FRAME = template.load("corners")
GRIDS = [template.load("grid11x11"), template.load("grid9x13")]
few = settings(max_examples=40, deadline=None)


def camera(tilt=0.0, toward=0.3, roll=0.0, focal=1.0, across=700) -> np.ndarray:
    """Unit frame to photo, by a pinhole over its middle whose axis is tilted; focal in longer sides of the photo."""
    t, a, r = np.radians([tilt, math.degrees(toward), roll])
    axis = np.array([math.cos(a), math.sin(a), 0])
    rotation = cv2.Rodrigues(axis * t)[0] @ cv2.Rodrigues(np.array([0, 0, r]))[0]
    f = focal * SIZE[0]
    pose = np.column_stack([rotation[:, :2], [0, 0, f / across]])
    lens = np.array([[f, 0, SIZE[0] / 2], [0, f, SIZE[1] / 2], [0, 0, 1]])
    return lens @ pose @ np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])


def points_of(layout, to_photo, visibility=None, scores=None) -> Keypoints:
    xy = homography.apply_homography(to_photo, layout.uv)
    return Keypoints(layout.label, layout.names, xy, visibility, scores)


def frame(xy, visibility=None) -> Keypoints:
    return Keypoints("quadrat_corner", FRAME.names, xy, visibility)


STRAIGHT = frame(np.array([[300, 200], [900, 200], [900, 800], [300, 800]], float))

# ------------------------------------------------------------------------------------------------ what is good


@few
@given(st.floats(0, 40), st.floats(0, 2 * math.pi), st.floats(-30, 30), st.floats(0.75, 4))
def test_a_quadrat_seen_by_any_usual_camera_is_ok(tilt, toward, roll, focal):
    points = points_of(FRAME, camera(tilt, toward, roll, focal, across=350))
    found = judge(points, FRAME, SIZE)
    turned = abs(tilt_deg(points.xy_px)) > 0.89 * 45
    assert found.status == (REVIEW if turned else OK), found.reasons


@pytest.mark.parametrize("layout", GRIDS, ids=lambda t: t.name)
def test_a_grid_with_corals_over_a_third_of_it_is_ok(layout):
    rng = np.random.default_rng(1)
    visibility = np.where(rng.random(117) < 1 / 3, OCCLUDED, VISIBLE).astype(np.uint8)
    found = judge(points_of(layout, camera(25), visibility), layout, SIZE, residual=0.03, refused=20, blur_px=1.0)
    assert found.status == OK
    assert found.reasons == ()
    assert 0.5 < found.score < 0.95


# ------------------------------------------------------------------------------------------------ what is not

DENTED = frame(np.array([[300, 200], [900, 200], [500, 350], [300, 800]], float))
SKEWED = frame(np.array([[300, 200], [900, 200], [1100, 800], [500, 800]], float))
LONG = frame(np.array([[100, 400], [1100, 400], [1100, 600], [100, 600]], float))


@pytest.mark.parametrize(
    ("points", "status", "words"),
    [
        (None, FAILED, "no quadrat frame found"),
        (DENTED, FAILED, "not convex"),
        (frame(STRAIGHT.xy_px[::-1]), FAILED, "not convex"),
        (SKEWED, REVIEW, "no frame looks so"),
        (LONG, FAILED, "no frame looks so"),
        (LONG, FAILED, "5.0 times the shortest"),
        (frame(STRAIGHT.xy_px, [2, 2, 1, 2]), REVIEW, "corner 3 not seen"),
        (frame(STRAIGHT.xy_px, [2, 0, 1, 2]), FAILED, "corners 2, 3 not seen"),
        (frame(STRAIGHT.xy_px - (330, 0)), REVIEW, "corners 1, 4 outside the photo, by up to 5 % of a side"),
        (frame((STRAIGHT.xy_px - 500) / 10 + 500), REVIEW, "only 5 % as wide as the photo"),
        (frame((STRAIGHT.xy_px - 500) / 10 + 500), REVIEW, "only 0.6 px a cm"),
        (frame((STRAIGHT.xy_px - 500) / 40 + 500), FAILED, "only 1 % as wide"),
        (frame(np.roll(STRAIGHT.xy_px, 1, axis=0)), REVIEW, "turned by 90 degrees"),
    ],
)
def test_corners_that_are_not_right_are_said_to_be_so(points, status, words):
    found = judge(points, FRAME, SIZE)
    assert found.status == status
    assert any(words in reason for reason in found.reasons), found.reasons
    assert found.score < 0.5 + 1e-9


@pytest.mark.parametrize("layout", GRIDS, ids=lambda t: t.name)
@pytest.mark.parametrize(
    ("known", "status", "words"),
    [
        ({"residual": 0.2}, REVIEW, "20 % of a cell off"),
        ({"residual": 0.4}, FAILED, "40 % of a cell off"),
        ({"refused": 200}, REVIEW, "200 more points"),
        ({"blur_px": 7.0}, REVIEW, "blurred by 7 px, 1.0 % of a side"),
        ({"ambiguous": ("another shift fits as well",)}, REVIEW, "another shift fits as well"),
    ],
)
def test_a_grid_is_judged_by_what_the_matching_knows(layout, known, status, words):
    found = judge(points_of(layout, camera()), layout, SIZE, **known)
    assert (found.status, len(found.reasons)) == (status, 1)
    assert words in found.reasons[0]


@pytest.mark.parametrize("layout", GRIDS, ids=lambda t: t.name)
def test_missing_points_are_counted(layout):
    def seen(count: int) -> Verdict:
        order = np.random.default_rng(0).permutation(117)
        visibility = np.where(order < count, VISIBLE, np.where(order < 113, OCCLUDED, HIDDEN)).astype(np.uint8)
        return judge(points_of(layout, camera(10), visibility), layout, SIZE)

    assert seen(75).status == OK
    assert seen(60).reasons == ("57 of 117 points are missing, 4 of them outside the photo",)
    assert seen(12).status == FAILED
    assert seen(0).status == FAILED
    scores = [seen(count).score for count in range(117, 30, -3)]
    assert scores == sorted(scores, reverse=True)
    assert judge(None, layout, SIZE).reasons == ("no grid found",)


@pytest.mark.parametrize("layout", GRIDS, ids=lambda t: t.name)
def test_an_outer_row_that_is_not_seen_leaves_the_numbering_open(layout):
    visibility = np.where(layout.lattice_rc[:, 0] == 0, OCCLUDED, VISIBLE).astype(np.uint8)
    found = judge(points_of(layout, camera(), visibility), layout, SIZE)
    assert found.status == REVIEW
    assert "nothing of the top row is seen" in found.reasons[0]
    told = judge(points_of(layout, camera(), visibility), layout, SIZE, ambiguous=("row 1 unseen",))
    assert told.reasons == ("row 1 unseen",)  # the matching knows better: not said twice


@pytest.mark.parametrize("layout", GRIDS, ids=lambda t: t.name)
def test_without_a_residual_it_is_measured(layout):
    rng = np.random.default_rng(3)
    points = points_of(layout, camera(20))
    cell = 700 * (0.1 if layout.name == "grid11x11" else 1 / 14)
    small, large = (replace(points, xy_px=points.xy_px + rng.normal(0, s * cell, (117, 2))) for s in (0.03, 0.2))
    assert judge(small, layout, SIZE).status == OK
    assert judge(large, layout, SIZE).status != OK
    shuffled = replace(points, xy_px=points.xy_px[rng.permutation(117)])
    assert judge(shuffled, layout, SIZE).status == FAILED


def test_a_grid_of_another_layout_does_not_pass():
    eleven, thirteen = GRIDS
    points = replace(points_of(eleven, camera()), label="grid")
    assert judge(points, thirteen, SIZE).status == FAILED


def test_near_45_degrees_the_first_corner_is_open():
    for roll, status in ((35, OK), (43, REVIEW), (-44, REVIEW)):
        found = judge(points_of(FRAME, camera(roll=roll, focal=2)), FRAME, SIZE)
        assert found.status == status, (roll, found)
    longish = GRIDS[1]  # 9 x 13 does not look alike after a quarter turn
    assert judge(points_of(longish, camera(roll=44)), longish, SIZE).status == OK
    assert judge(points_of(longish, camera(roll=85)), longish, SIZE).status == REVIEW


def test_faintly_seen_points_are_for_a_person():
    one = judge(replace(STRAIGHT, scores=[0.9, 0.9, 0.15, 0.9]), FRAME, SIZE)
    assert one.reasons == ("a corner is only faintly seen (score 0.15)",)
    assert judge(replace(STRAIGHT, scores=np.full(4, 0.5)), FRAME, SIZE).status == OK
    grid = points_of(GRIDS[0], camera(), scores=np.full(117, 0.1))
    assert judge(grid, GRIDS[0], SIZE).reasons == ("points are only faintly seen (mean score 0.10)",)


def test_a_side_without_an_edge_is_for_a_person_unless_its_corners_are_clear():
    def judged_with(seen: float, score: float) -> Verdict:
        points = replace(STRAIGHT, scores=[0.9, 0.9, score, 0.9])
        return judge(points, FRAME, SIZE, sides_seen=np.array([0.9, seen, 0.9, 0.9]))

    assert judged_with(0.0, 0.4).reasons == ("no edge of a frame is seen along the side from corner 2 to 3",)
    assert judged_with(np.nan, 0.4).reasons == judged_with(0.0, 0.4).reasons
    assert judged_with(0.2, 0.4).reasons == (
        "an edge of a frame is seen along only 20 % of the side from corner 2 to 3",
    )
    assert judged_with(0.0, 0.9).status == judged_with(0.9, 0.4).status == OK
    assert judged_with(0.5, 0.4).score < judged_with(0.9, 0.4).score
    assert judge(STRAIGHT, FRAME, SIZE, sides_seen=np.full(4, np.nan)).status == OK


@few
@given(st.floats(0, 0.5), st.integers(0, 3))
def test_the_score_falls_smoothly_as_a_corner_strays(off, which):
    def moved(share: float) -> Verdict:
        xy = STRAIGHT.xy_px.copy()
        xy[which] += np.sign(xy[which] - xy.mean(axis=0)) * share * 150
        return judge(frame(xy), FRAME, SIZE)

    assert abs(moved(off).score - moved(off + 1e-4).score) < 1e-2
    assert moved(0).status == OK


def test_points_of_another_layout_are_refused():
    with pytest.raises(ValueError, match="4 points to judge, layout 'grid9x13' has 117"):
        judge(STRAIGHT, GRIDS[1], SIZE)


# ------------------------------------------------------------------------------------------------ values


def test_a_verdict_says_why_unless_it_is_ok():
    for wrong in ((OK, 1.0, ("why",)), (REVIEW, 0.5, ()), ("good", 1.0, ()), (OK, 1.5, ())):
        with pytest.raises(ValueError, match="expected"):
            Verdict(*wrong)


def test_a_judged_result_carries_its_verdict_and_a_failed_one_has_no_shapes():
    found = judge(frame(STRAIGHT.xy_px, [2, 2, 1, 2]), FRAME, SIZE, blur_px=10)
    shapes = verdict.judged(STRAIGHT, FRAME, found).shapes
    assert shapes[0].attributes["layout"] == "corners"
    assert verdict.verdict_of(shapes[0]) == found
    assert len(found.reasons) == 2
    good = judge(STRAIGHT, FRAME, SIZE)
    assert verdict.verdict_of(verdict.judged(STRAIGHT, FRAME, good).shapes[0]) == good
    assert verdict.judged(STRAIGHT, FRAME, judge(DENTED, FRAME, SIZE)).shapes == ()
    assert verdict.verdict_of(STRAIGHT) is None


def test_reasons_can_go_into_a_header():
    for points in (None, DENTED, SKEWED, LONG, frame(STRAIGHT.xy_px / 50, [0, 1, 1, 2])):
        for reason in judge(points, FRAME, SIZE, refused=90, blur_px=99).reasons:
            assert reason.isascii()
            assert ";" not in reason
            assert "\n" not in reason


# ------------------------------------------------------------------------------------------------ blur


@pytest.mark.parametrize("sigma", [1.5, 4.0, 10.0])
@pytest.mark.parametrize("scale", [1, 3])
def test_blur_is_measured(sigma, scale):
    rng = np.random.default_rng(0)
    blocks = cv2.resize(rng.integers(0, 256, (8, 10, 3), np.uint8), None, fx=80, fy=80, interpolation=cv2.INTER_NEAREST)
    blurred = cv2.GaussianBlur(blocks.astype(np.float32), (0, 0), sigma) + rng.normal(0, 2, blocks.shape)
    photo = np.clip(blurred, 0, 255).astype(np.uint8)
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    assert sharpness.blur_px(photo) == pytest.approx(sigma * scale, rel=0.35)


def test_blur_of_next_to_nothing_is_none():
    assert sharpness.blur_px(np.zeros((1, 1, 3), np.uint8)) == 0
    assert sharpness.blur_px(np.full((300, 300, 3), 90, np.uint8)) == 0
    half = np.full((300, 300, 3), 90, np.uint8)
    half[:, :150] = np.random.default_rng(0).integers(0, 256, (300, 150, 3))
    half[:, :150] = cv2.GaussianBlur(half[:, :150], (0, 0), 2)
    assert sharpness.blur_px(half, (200, 0, 500, 300)) == 0
    assert sharpness.blur_px(half, (-5, 0, 100, 300)) > 0
    assert sharpness.blur_px(half, (400, 0, 500, 300)) == 0
