"""Outlines, crossings, overlaps and quadrats against figures known by hand, and against plain references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_engineering import rings, surfaces
from quadrat import masks, template
from quadrat.drawn import Drawn, DrawnPhoto
from quadrat.homography import apply_homography

SQUARE = np.array([(0, 0), (10, 0), (10, 10), (0, 10)], float)


def polygon(xy, label="Porites", **more) -> Drawn:
    return Drawn("polygon", label, np.asarray(xy, float), **more)


def corners(xy, label="quadrat_corner") -> Drawn:
    points = tuple(Drawn("points", str(k + 1), np.array([p], float)) for k, p in enumerate(xy))
    return Drawn("skeleton", label, elements=points)


def photo(*drawn, size_wh=(100, 80), **more) -> DrawnPhoto:
    return DrawnPhoto("a.jpg", size_wh, drawn, **more)


@st.composite
def stars(draw):
    """A polygon round a centre, its points in the order of their angles: it cannot cross itself."""
    count = draw(st.integers(3, 60))
    radii = np.array(draw(st.lists(st.floats(5, 500), min_size=count, max_size=count)))
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return 700 + radii[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def test_areas_of_all_kinds():
    disc = np.zeros((4, 6), bool)
    disc[1:3, 1:5] = True
    disc[1, 2] = False  # a bay, no hole
    shapes = (
        polygon(SQUARE),
        Drawn("rectangle", "a", np.array([(5, 5), (15.0, 9)]), rotation=30),
        Drawn("ellipse", "b", np.array([(50, 40), (60.0, 35)])),
        Drawn("mask", "c", np.array([(20, 20), (26.0, 24)]), mask=disc),
        Drawn("mask", "empty", np.array([(20, 20), (22.0, 21)]), mask=np.zeros((1, 2), bool)),
        Drawn("polyline", "line", np.array([(0, 0), (1.0, 1)])),
    )
    ground = surfaces.of(photo(*shapes))
    assert ground.at == (0, 1, 2, 3, 4)
    assert ground.areas_px[[0, 1, 3, 4]] == pytest.approx([100, 40, 7, 0])
    assert ground.areas_px[2] == pytest.approx(np.pi * 10 * 5, rel=1e-3)
    assert ground.boxes[3].tolist() == [21, 21, 25, 23]


def test_a_mask_with_a_hole_has_the_area_of_its_pixels():
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    ground = surfaces.of(photo(Drawn("mask", "a", np.array([(3, 3), (8.0, 8)]), mask=ring)))
    assert ground.areas_px.tolist() == [24]


def test_a_photo_without_surfaces():
    ground = surfaces.of(photo(Drawn("tag", "clear"), corners([(10, 10), (90, 10), (90, 70), (10, 70)])))
    assert len(ground) == 0
    assert ground.boxes.shape == (0, 4)
    assert surfaces.shares(ground).shape == (0,)
    assert rings.crossings([]) == []


def test_a_bow_tie_crosses_itself_where_its_edges_meet():
    clean, bow = SQUARE, SQUARE[[0, 2, 1, 3]]
    first, second, third = rings.crossings([clean, bow, clean + 0.5])
    assert len(first) == len(third) == 0
    assert second == pytest.approx(np.array([[5, 5]]))


def test_touching_and_running_back_is_no_crossing():
    touching = np.array([(0, 0), (10, 0), (5, 5), (10, 10), (0, 10), (5, 5)], float)
    spike = np.array([(0, 0), (10, 0), (10, 10), (20, 10), (10, 10), (0, 10)], float)
    doubled = np.repeat(SQUARE, 2, axis=0)
    assert [len(found) for found in rings.crossings([touching, spike, doubled])] == [0, 0, 0]


@given(stars())
def test_a_polygon_round_a_centre_does_not_cross_itself(ring):
    assert len(rings.crossings([ring])[0]) == 0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=4, max_size=12, unique=True))
def test_crossings_are_those_that_every_pair_of_edges_gives(points):
    ring = np.array(points, float)
    found = rings.crossings([ring + 1000, ring])[1]
    assert len(found) == _plain_crossings(points)


def _plain_crossings(points) -> int:
    def side(a, b, p):
        return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])

    edges = list(zip(points, [*points[1:], points[0]], strict=True))
    return sum(
        side(*e, f[0]) * side(*e, f[1]) < 0 and side(*f, e[0]) * side(*f, e[1]) < 0
        for k, e in enumerate(edges)
        for f in edges[k + 1 :]
    )


def test_crossings_in_many_blocks_are_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    many = [rng.uniform(0, 100, (count, 2)) for count in (5, 30, 80)]
    whole = rings.crossings(many)
    monkeypatch.setattr(rings, "_PAIRS", 7)
    for a, b in zip(whole, rings.crossings(many), strict=True):
        assert sorted(map(tuple, a)) == sorted(map(tuple, b))
    assert len(whole[2]) > 10


def test_the_outline_of_any_mask_does_not_cross_itself():
    rng = np.random.default_rng(3)
    instance = masks.instance_from_mask("a", rng.random((30, 40)) < 0.5)
    many = [ring for part in masks.instance_to_parts(instance) for ring in part]
    assert not any(len(found) for found in rings.crossings(many))


@pytest.mark.parametrize("scale", [0.02, 1, 30])
def test_shared_ground_at_any_size(scale):
    ground = surfaces.of(photo(polygon(SQUARE * scale), polygon((SQUARE + (4, 0)) * scale), polygon(SQUARE + 1e6)))
    assert surfaces.shared_px(ground, 0, 1) == pytest.approx(60 * scale**2, rel=0.02)
    assert surfaces.shared_px(ground, 0, 2) == 0


@given(stars())
def test_what_is_inside_and_what_is_outside_make_the_whole(ring):
    left = np.array([(0, 0), (700, 0), (700, 1500), (0, 1500)], float)
    right = left + (700, 0)
    parts = sum(rings.areas([[rings.clip(ring, frame)]])[0] for frame in (left, right))
    assert parts == pytest.approx(rings.areas([[ring]])[0])


def test_clip_of_what_lies_outside_is_nothing():
    assert len(rings.clip(SQUARE, SQUARE + 50)) == 0
    assert rings.clip(SQUARE + 1, SQUARE * 3) is not None


def test_the_quadrat_is_read_from_four_points_in_any_order():
    frame = [(10, 12), (90, 10), (88, 70), (9, 72)]
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        found = surfaces.quadrat_of(photo(corners([frame[k] for k in order])))
        assert found.tolist() == [list(map(float, point)) for point in frame]


@pytest.mark.parametrize("layout", ["grid11x11", "grid9x13"])
def test_the_quadrat_is_read_from_a_grid(layout):
    to_photo = np.array([[60, 5, 15], [2, 50, 12], [0.05, 0.02, 1]])
    known = template.load(layout)
    grid = corners(apply_homography(to_photo, known.uv), known.label)
    expected = apply_homography(to_photo, [(0, 0), (1, 0), (1, 1), (0, 1)])
    assert surfaces.quadrat_of(photo(grid)) == pytest.approx(expected, abs=1e-4)


def test_no_quadrat_where_the_points_are_none():
    hidden = tuple(Drawn("points", str(k), np.array([[k, k * k]], float), outside=k == 3) for k in range(4))
    assert surfaces.quadrat_of(photo(Drawn("skeleton", "quadrat_corner", elements=hidden))) is None
    assert surfaces.quadrat_of(photo(corners([(0, 0), (10, 0), (3, 2), (0, 10)]))) is None  # not convex
    assert surfaces.quadrat_of(photo(corners([(5, 5)] * 4))) is None


def test_shares_of_the_quadrat_do_not_depend_on_the_view():
    unit = [(0.1, 0.1), (0.6, 0.1), (0.6, 0.5), (0.1, 0.5)], [(0.9, 0.9), (1.4, 0.9), (1.4, 1.1), (0.9, 1.1)]
    for to_photo in (np.diag([50, 60, 1.0]), np.array([[60, 5, 15], [2, 50, 12], [0.3, 0.2, 1]])):
        frame, *shapes = (apply_homography(to_photo, xy) for xy in ([(0, 0), (1, 0), (1, 1), (0, 1)], *unit))
        ground = surfaces.of(photo(*map(polygon, shapes), corners(frame)))
        assert surfaces.shares(ground) == pytest.approx([0.2, 0.01])


def test_shares_without_a_quadrat():
    with pytest.raises(ValueError, match="corners"):
        surfaces.shares(surfaces.of(photo(polygon(SQUARE))))


def test_parts_of_one_group_and_label_are_one_colony():
    one, two = polygon(SQUARE, group=1), polygon(SQUARE + 20, group=1)
    other = polygon(SQUARE + 40, label="Acropora", group=1)
    assert surfaces.colonies(surfaces.of(photo(one, other, two, polygon(SQUARE)))).tolist() == [0, 1, 0, 3]


def test_a_bow_tie_fills_both_its_triangles():
    ground = surfaces.of(photo(polygon(SQUARE[[0, 2, 1, 3]] * 6), corners([(0, 0), (60, 0), (60, 60), (0, 60)])))
    assert ground.areas_px == pytest.approx([1800], rel=0.05)  # half the square; its lines would give 0
    assert surfaces.shares(ground) == pytest.approx([0.5], rel=0.05)
    assert ground.boxes.tolist() == [[0, 0, 60, 60]]
