from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_pose_detection.lattices import RandomLattice, Settings, random_lattice
from grid_pose_detection.matching import ANY, END, Candidates, Match, best_match, match, to_keypoints
from quadrat import geometry, template
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE

LAYOUTS = {name: template.load(name) for name in ("grid9x13", "grid11x11")}
FIVE_BY_SEVEN = template.even_lattice("five", columns=5, rows=7, size_cm=(50.0, 70.0))
EASY = Settings(missing=0.1, false=0.05, noise=0.02, tilt_deg=(0, 25), roll_deg=20)


def draw(layout: template.Template, seed: int, given_: Settings | None = None) -> RandomLattice:
    return random_lattice(np.random.default_rng(seed), layout, given_)


def matched(drawn: RandomLattice) -> Match:
    found = match(drawn.candidates, drawn.template)
    assert found is not None
    return found


def is_right(found: Match | None, drawn: RandomLattice) -> bool:
    return found is not None and bool((drawn.errors(found.xy_px) < 0.5).all())


def with_points(candidates: Candidates, xy_px: np.ndarray, score: float = 0.9) -> Candidates:
    return Candidates(
        np.concatenate([candidates.xy_px, xy_px]),
        np.concatenate([candidates.scores, np.full(len(xy_px), score)]),
        np.concatenate([candidates.kinds, np.full(len(xy_px), ANY)]),
    )


# ------------------------------------------------------------------------------------------------ what is right


@pytest.mark.parametrize("kinds", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_hard_lattices_are_right_or_said_to_be_ambiguous(layout, kinds):
    drawn = [draw(layout, seed, Settings(kinds=kinds)) for seed in range(20)]
    found = [match(one.candidates, layout) for one in drawn]
    right = [is_right(f, d) for f, d in zip(found, drawn, strict=True)]
    assert sum(right) >= 19
    assert all(r or f is None or f.ambiguous for f, r in zip(found, right, strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_a_layout_of_another_design(seed):
    drawn = draw(FIVE_BY_SEVEN, seed, Settings(missing=0.2, false=0.15))
    assert is_right(match(drawn.candidates, drawn.template), drawn)


def test_a_layout_with_uneven_steps():
    columns, rows = np.array([5.0, 16, 30, 43, 57, 70, 82, 95]), np.array([8.0, 21, 36, 50, 63, 78, 92])
    uv = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2) / 100
    rc = np.stack(np.meshgrid(range(7), range(8), indexing="ij"), axis=-1).reshape(-1, 2)
    layout = template.Template("uneven", "grid", tuple(map(str, range(56))), rc, uv)
    drawn = draw(layout, 3, replace(EASY, missing=0.3))
    assert is_right(match(drawn.candidates, layout), drawn)


@pytest.mark.parametrize("kinds", [False, True])
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layout_that_fits_best_is_chosen(name, kinds):
    for seed in range(8):
        drawn = draw(LAYOUTS[name], seed, Settings(kinds=kinds, missing=0.3))
        found = best_match(drawn.candidates, list(LAYOUTS.values()))
        assert found is not None
        assert found.template is LAYOUTS[name]
        assert not any("layout" in doubt for doubt in found.ambiguous)


def test_found_points_are_candidates_and_filled_ones_lie_near_their_truth():
    drawn = draw(LAYOUTS["grid11x11"], 5, replace(EASY, missing=0.4))
    found = matched(drawn)
    errors = drawn.errors(found.xy_px)
    assert 0.5 < found.found.mean() < 0.7
    assert np.median(errors[~found.found]) < 0.06
    assert found.residual < 0.06
    assert found.scores[~found.found].max() < 0.5 < found.scores[found.found].max()


def test_the_homography_maps_the_frame():
    drawn = draw(LAYOUTS["grid9x13"], 2, replace(EASY, lens_k1=(0, 0), sag=0, missing=0, false=0, noise=0))
    mapped = geometry.apply_homography(matched(drawn).homography, drawn.template.uv)
    assert drawn.errors(mapped).max() < 0.02


# ------------------------------------------------------------------------------------------------ what is false


def test_the_nearer_of_two_is_taken_and_two_on_one_place_are_one():
    drawn = draw(LAYOUTS["grid11x11"], 1, replace(EASY, false=0))
    point = int(drawn.origin[0])
    beside = drawn.truth_px[[point]] + 0.3 * drawn.cell_px[point]
    twice = with_points(drawn.candidates, np.concatenate([beside, drawn.candidates.xy_px[[0]]]))
    found = match(twice, drawn.template)
    assert is_right(found, drawn)
    assert np.allclose(found.xy_px[point], drawn.candidates.xy_px[0])
    assert found.refused == 2


def test_a_candidate_past_the_gate_is_refused_and_its_point_filled():
    drawn = draw(LAYOUTS["grid9x13"], 4, replace(EASY, missing=0, false=0, sag=0))
    xy = drawn.candidates.xy_px.copy()
    point = int(drawn.origin[0])
    xy[0] = drawn.truth_px[point] + [0.5 * drawn.cell_px[point], 0]
    moved = Candidates(xy, drawn.candidates.scores, drawn.candidates.kinds)
    found = match(moved, drawn.template, max_cost=0.3)
    assert not found.found[point]
    assert found.refused == 1
    assert drawn.errors(found.xy_px)[point] < 0.15
    assert match(moved, drawn.template, max_cost=0.05).found.sum() < found.found.sum()


@pytest.mark.parametrize("count", [5, 20, 90, 150])
def test_points_without_a_lattice_are_no_lattice_or_are_doubted(count):
    for seed in range(10):
        xy = np.random.default_rng(seed).uniform(0, 1000, (count, 2))
        found = best_match(Candidates(xy, np.ones(count)), list(LAYOUTS.values()))
        assert found is None or found.ambiguous
        assert found is None or found.found.mean() < 0.5


def test_two_thousand_candidates_take_bounded_time():
    drawn = draw(LAYOUTS["grid9x13"], 6, replace(EASY, missing=0.1))
    noise = np.random.default_rng(0).uniform(0, 1, (1900, 2)) * drawn.size_wh
    many = with_points(drawn.candidates, noise, score=0.05)
    started = time.process_time()
    found = match(many, drawn.template)
    assert time.process_time() - started < 3
    assert is_right(found, drawn)


# ------------------------------------------------------------------------------------------------ what is not sure


@pytest.mark.parametrize(("axis", "line"), [(0, 0), (0, 12), (1, 0), (1, 8)])
def test_a_whole_outer_line_unseen_is_ambiguous(axis, line):
    layout = LAYOUTS["grid9x13"]
    drawn = draw(layout, 3, replace(EASY, false=0)).without(layout.lattice_rc[:, axis] == line)
    assert matched(drawn).ambiguous


def test_an_outer_row_of_ends_unseen_is_ambiguous_unless_the_other_ends_are_known():
    layout = LAYOUTS["grid11x11"]
    top = layout.lattice_rc[:, 0] == 0
    told = draw(layout, 3, replace(EASY, false=0, kinds=True, confused=0)).without(top)
    assert is_right(match(told.candidates, layout), told)
    assert not matched(told).ambiguous
    untold = Candidates(told.candidates.xy_px, told.candidates.scores)
    assert any("top row" in doubt for doubt in match(untold, layout).ambiguous)


def test_ends_on_the_frame_settle_a_layout_of_crossings():
    layout = LAYOUTS["grid9x13"]
    told = draw(layout, 3, replace(EASY, false=0, kinds=True, confused=0)).without(layout.lattice_rc[:, 0] == 0)
    found = matched(told)
    assert is_right(found, told)
    assert not found.ambiguous
    assert found.refused == (told.origin < 0).sum() > 20
    crossings = told.candidates.kinds != END
    untold = Candidates(told.candidates.xy_px[crossings], told.candidates.scores[crossings])
    assert match(untold, layout).ambiguous


def test_near_45_degrees_is_ambiguous_and_20_is_not():
    drawn = draw(LAYOUTS["grid11x11"], 0, replace(EASY, tilt_deg=(0, 1), roll_deg=1))
    middle = np.array(drawn.size_wh) / 2
    for degrees, ambiguous in ((20, False), (44.5, True)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turned = (drawn.candidates.xy_px - middle) @ np.array([[c, s], [-s, c]]) + middle
        found = match(Candidates(turned, drawn.candidates.scores), drawn.template)
        assert any("degrees" in doubt for doubt in found.ambiguous) is ambiguous


def test_rows_are_those_that_run_across_the_photo():
    drawn = draw(LAYOUTS["grid11x11"], 0, EASY)
    w, h = drawn.size_wh
    quarter = np.stack([h - drawn.candidates.xy_px[:, 1], drawn.candidates.xy_px[:, 0]], axis=1)
    found = match(Candidates(quarter, drawn.candidates.scores), drawn.template)
    first, last = found.xy_px[:9].mean(axis=0), found.xy_px[-9:].mean(axis=0)
    assert last[1] - first[1] > 2 * abs(last[0] - first[0])


def test_a_part_that_fits_both_layouts_is_ambiguous():
    layout = LAYOUTS["grid11x11"]
    rc = layout.lattice_rc
    drawn = draw(layout, 1, replace(EASY, false=0)).without((np.abs(rc - 5) > 3).any(axis=1))
    found = best_match(drawn.candidates, list(LAYOUTS.values()))
    assert found is None or found.ambiguous


# ------------------------------------------------------------------------------------------------ any input


@pytest.mark.parametrize("count", range(4))
def test_fewer_than_four_candidates_are_none(count):
    xy = np.array([[0.0, 0], [10, 0], [0, 10]])[:count]
    assert match(Candidates(xy, np.ones(count)), LAYOUTS["grid9x13"]) is None


@pytest.mark.parametrize(
    "xy", [np.zeros((50, 2)), np.stack([np.arange(40.0) * 20, np.full(40, 7.0)], axis=1)], ids=["spot", "row"]
)
def test_one_spot_or_one_row_is_none(xy):
    assert match(Candidates(xy, np.ones(len(xy))), LAYOUTS["grid9x13"]) is None


def test_a_layout_of_one_row_is_refused():
    with pytest.raises(ValueError, match="1 x 9"):
        match(Candidates(np.zeros((9, 2)), np.ones(9)), template.even_lattice("line", 9, 1))


@pytest.mark.parametrize("max_cost", [0.0, 0.6, np.nan])
def test_a_gate_out_of_range_is_refused(max_cost):
    with pytest.raises(ValueError, match="max_cost"):
        match(Candidates(np.zeros((0, 2)), np.zeros(0)), LAYOUTS["grid9x13"], max_cost=max_cost)


def test_no_template_is_refused():
    with pytest.raises(ValueError, match="no template"):
        best_match(Candidates(np.zeros((0, 2)), np.zeros(0)), [])


@pytest.mark.parametrize(
    ("xy", "scores", "kinds", "says"),
    [
        ([[0.0, np.nan]], [1.0], [ANY], "finite"),
        ([[0.0, 1.0]], [np.nan], [ANY], "scores"),
        ([[0.0, 1.0]], [1.5], [ANY], "scores"),
        ([[0.0, 1.0]], [1.0], [7], "kinds"),
        ([[0.0, 1.0, 2.0]], [1.0], [ANY], "xy_px"),
        ([[0.0, 1.0]], [1.0, 1.0], [ANY], "scores"),
    ],
)
def test_bad_candidates_are_refused(xy, scores, kinds, says):
    with pytest.raises(ValueError, match=says):
        Candidates(np.array(xy), np.array(scores), np.array(kinds))


@settings(max_examples=25)
@given(
    st.integers(0, 10**6),
    st.floats(0, 1),
    st.floats(0, 0.95) | st.just(1.0),  # near 1, the false ones are too many for any memory
    st.floats(0, 0.3),
    st.sampled_from([*LAYOUTS.values(), FIVE_BY_SEVEN, template.even_lattice("small", 3, 2)]),
)
def test_whatever_comes_in_what_comes_out_is_whole(seed, missing, false, noise, layout):
    drawn = draw(layout, seed, Settings(missing=missing, false=false, noise=noise, kinds=bool(seed % 2)))
    found = match(drawn.candidates, layout)
    if found is None:
        return
    assert np.isfinite(found.xy_px).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    taken = [tuple(xy) for xy in found.xy_px[found.found]]
    assert len(set(taken)) == len(taken)
    assert set(taken) <= {tuple(xy) for xy in drawn.candidates.xy_px}
    assert found.refused == len(drawn.candidates) - len(taken)
    assert to_keypoints(found, drawn.size_wh, 0.5).names == layout.names


@given(st.integers(0, 10**6), st.floats(0.05, 20), st.floats(-5000, 5000))
@settings(max_examples=15)
def test_order_scale_and_place_of_candidates_do_not_matter(seed, scale, shift):
    drawn = draw(LAYOUTS["grid9x13"], seed % 50, EASY)
    found, c = matched(drawn), drawn.candidates
    order = np.random.default_rng(seed).permutation(len(c))
    other = match(Candidates(c.xy_px[order] * scale + shift, c.scores[order]), drawn.template)
    assert (other.found == found.found).mean() > 0.97
    assert np.abs((other.xy_px - shift) / scale - found.xy_px).max() < 0.3 * drawn.cell_px.max()


def test_keypoints_are_visible_occluded_or_hidden():
    drawn = draw(LAYOUTS["grid9x13"], 8, replace(EASY, missing=0.3))
    found = matched(drawn)
    w, h = drawn.size_wh
    points = to_keypoints(found, (w // 2, h), 0.7)
    outside = found.xy_px[:, 0] > w // 2
    assert (points.visibility[found.found] == VISIBLE).all()
    assert (points.visibility[~found.found & outside] == HIDDEN).all()
    assert (points.visibility[~found.found & ~outside] == OCCLUDED).all()
    assert points.score == 0.7
    assert points.attributes["layout"] == "grid9x13"
