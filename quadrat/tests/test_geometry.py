from __future__ import annotations

import itertools
import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from quadrat import geometry, masks
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Instance, Keypoints

SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
few = settings(max_examples=60, deadline=None)


@st.composite
def quads(draw, most_turn: float = 40.0):
    """A perspective square in a photo of 800 x 600: turned, shifted, each corner moved a little; TL TR BR BL."""
    size = draw(st.floats(60, 500))
    turn = math.radians(draw(st.floats(-most_turn, most_turn)))
    shift = [draw(st.floats(-100, 500)), draw(st.floats(-100, 400))]
    wobble = np.array(draw(st.lists(st.floats(-0.1, 0.1), min_size=8, max_size=8))).reshape(4, 2)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return (SQUARE - 0.5 + wobble) @ rotation.T * size + np.array(shift) + size / 2


def blob(seed: int, size: int = 90, origin: tuple[int, int] = (0, 0)) -> Instance:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((size, size)), (0, 0), 9)
    mask = noise > np.quantile(noise, 0.6)
    mask[size // 2 - 4 : size // 2 + 4, size // 2 - 4 : size // 2 + 4] = True
    made = masks.instance_from_mask("Porites", mask, origin)
    assert made is not None
    return made


# ------------------------------------------------------------------------------------------------ homographies


@few
@given(quads(180), quads(180), st.integers(0, 2**16))
def test_a_homography_from_four_points_maps_them_and_back(src, dst, seed):
    h, good = geometry.fit_homography(src, dst)
    assert good.all()
    assert np.allclose(geometry.apply_homography(h, src), dst, atol=1e-6)
    inside = np.random.default_rng(seed).dirichlet(np.ones(4), 20) @ src
    back = geometry.apply_homography(geometry.invert(h), geometry.apply_homography(h, inside))
    assert np.allclose(back, inside, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(quads(180), st.integers(0, 2**16), st.integers(12, 117), st.floats(0, 0.35))
def test_wrong_pairs_do_not_move_the_homography(dst, seed, count, wrong_share):
    rng = np.random.default_rng(seed)
    true, _ = geometry.fit_homography(SQUARE * 100, dst)
    src = rng.uniform(0, 100, (count, 2))
    pairs = geometry.apply_homography(true, src)
    wrong = rng.permutation(count) < int(wrong_share * count)
    angle = rng.uniform(0, 2 * np.pi, count)
    pairs[wrong] += (np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(40, 300, (count, 1)))[wrong]
    h, good = geometry.fit_homography(src, pairs, threshold=2.0)
    assert np.abs(geometry.apply_homography(h, SQUARE * 100) - dst).max() < 0.05
    assert good[~wrong].all()
    assert good[wrong].sum() <= 1  # one may be moved along to where it fits by chance


@settings(max_examples=20, deadline=None)
@given(quads(), st.integers(0, 2**16))
def test_noise_averages_out(dst, seed):
    rng = np.random.default_rng(seed)
    true, _ = geometry.fit_homography(SQUARE * 100, dst)
    src = np.stack(np.meshgrid(np.arange(11) * 10.0, np.arange(11) * 10.0), -1).reshape(-1, 2)
    h, good = geometry.fit_homography(src, geometry.apply_homography(true, src) + rng.normal(0, 0.5, src.shape), 3.0)
    assert good.mean() > 0.98
    error = geometry.apply_homography(h, src) - geometry.apply_homography(true, src)
    assert np.sqrt(np.mean(error**2)) < 0.3


@few
@given(quads(), st.floats(1e-3, 1e4), st.floats(-1e4, 1e4))
def test_fitting_does_not_depend_on_the_units(dst, scale, shift):
    plain, _ = geometry.fit_homography(SQUARE, dst)
    moved, _ = geometry.fit_homography(SQUARE * scale + shift, dst)
    places = np.random.default_rng(0).uniform(0, 1, (9, 2))
    assert np.allclose(
        geometry.apply_homography(plain, places), geometry.apply_homography(moved, places * scale + shift), atol=1e-3
    )


LINE = np.array([[k, 2 * k] for k in range(8)], float)


@pytest.mark.parametrize(
    ("src", "dst", "message"),
    [
        (SQUARE[:3], SQUARE[:3], "at least 4"),
        (SQUARE, SQUARE[:3], "as many in both"),
        (LINE[:4], SQUARE, "line|fold"),
        (SQUARE, LINE[:4], "line|fold"),
        (LINE, LINE + 1, "line|fold"),
        (LINE, np.random.default_rng(0).uniform(0, 9, (8, 2)), "fix no homography"),
        (np.zeros((4, 2)), SQUARE, "are one"),
        (SQUARE, np.ones((6, 2))[:4], "are one"),
        ([[0, 0], [1, 0], [2, 0], [0, 1]], [[0, 0], [1, 0], [2, 0], [0, 1]], "line"),
        (SQUARE, SQUARE[[0, 2, 1, 3]], "fold"),
        ([[0, 0], [1, 0], [1, 1], [0, np.nan]], SQUARE, "finite"),
        (np.r_[LINE, [[9, 0]]], np.r_[LINE, [[9, 0]]], "line"),
    ],
)
def test_points_that_fix_no_homography_are_refused(src, dst, message):
    with pytest.raises(ValueError, match=message):
        geometry.fit_homography(src, dst)


def test_points_beyond_the_horizon_are_refused():
    h = np.array([[1, 0, 0], [0, 1, 0], [0.01, 0, 1]])
    assert np.isfinite(geometry.apply_homography(h, [[-99, 0], [5, 5]])).all()
    with pytest.raises(ValueError, match="horizon"):
        geometry.apply_homography(h, [[-101, 0], [5, 5]])
    with pytest.raises(ValueError, match="singular"):
        geometry.invert(np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"\[3, 3\]"):
        geometry.invert(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"expected \[..., 2\]"):
        geometry.apply_homography(h, np.ones((4, 3)))


@few
@given(quads())
def test_area_scale_is_that_of_a_small_square(corners):
    h = geometry.frame_homography(corners, (100, 100))
    for place in corners * 0.9 + corners.mean(axis=0) * 0.1:
        small = geometry.apply_homography(h, place + (SQUARE - 0.5) * 0.01)
        assert geometry.area_scale(h, place) == pytest.approx(masks.signed_area(small) / 1e-4, rel=1e-3)


# ------------------------------------------------------------------------------------------------ corners


@few
@given(quads(38))
def test_order_corners_does_not_depend_on_the_order_given(corners):
    assume(geometry.is_convex(corners) and abs(geometry.tilt_deg(corners)) < 45)
    for order in itertools.permutations(range(4)):
        assert np.array_equal(geometry.order_corners(corners[list(order)]), corners)


@few
@given(quads(180))
def test_order_corners_gives_a_convex_quad_turned_by_45_at_most(corners):
    ordered = geometry.order_corners(corners)
    assert geometry.is_convex(ordered)
    assert abs(geometry.tilt_deg(ordered)) <= 45 + 1e-9
    assert sorted(map(tuple, ordered)) == sorted(map(tuple, corners))


@pytest.mark.parametrize("turn", [-44, -30, 0, 12.5, 44])
def test_tilt_is_the_turn_of_a_square(turn):
    a = math.radians(turn)
    turned = (SQUARE - 0.5) @ np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]]) * 70 + 200
    assert geometry.tilt_deg(turned) == pytest.approx(turn)
    assert np.allclose(geometry.order_corners(turned[[2, 0, 3, 1]]), turned)


def test_convexity():
    assert geometry.is_convex(SQUARE)
    assert not geometry.is_convex(SQUARE[::-1])
    assert not geometry.is_convex(SQUARE[[0, 2, 1, 3]])
    assert not geometry.is_convex([[0, 0], [1, 0], [0.2, 0.2], [0, 1]])
    assert not geometry.is_convex([[0, 0], [1, 0], [2, 0], [0, 1]])
    with pytest.raises(ValueError, match="3 corners"):
        geometry.is_convex(SQUARE[:3])
    with pytest.raises(ValueError, match="3 distinct"):
        geometry.order_corners(SQUARE[[0, 1, 2, 2]])


@pytest.mark.parametrize("order", [[0, 2, 1, 3], [3, 2, 1, 0]])
def test_corners_out_of_order_are_refused(order):
    with pytest.raises(ValueError, match="order_corners"):
        geometry.frame_homography(SQUARE[order] * 100, (10, 10))


# ------------------------------------------------------------------------------------------------ rectified view


def test_rectifying_the_whole_photo_gives_the_photo():
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    seen = geometry.rectify(photo, SQUARE * (60, 40), (60, 40))
    assert np.array_equal(seen.image_rgb, photo)
    assert np.allclose(seen.photo_to_quadrat, np.eye(3))


def test_a_quarter_is_where_it_should_be_to_the_pixel():
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    assert np.array_equal(
        geometry.rectify(photo, SQUARE * (30, 20) + (20, 10), (30, 20)).image_rgb, photo[10:30, 20:50]
    )


@pytest.mark.parametrize("size", [(40, 30), (170, 160), (700, 900)])
def test_every_pixel_shows_the_place_of_its_centre(size):
    x, y = np.meshgrid(np.arange(300) + 0.5, np.arange(250) + 0.5)
    photo = np.stack([x * 0.8, y, 0 * x], -1).round().astype(np.uint8)
    seen = geometry.rectify(photo, [[40, 30], [270, 45], [250, 220], [25, 200]], size)
    centres = np.stack(np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5), -1)
    places = geometry.apply_homography(geometry.invert(seen.photo_to_quadrat), centres)
    error = seen.image_rgb[..., :2] - places * (0.8, 1)
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.3  # rounding to uint8; half a pixel is 0.4 to 3
    assert np.abs(error).max() < 1.2


@pytest.mark.parametrize("factor", [2, 3, 5, 8])
def test_shrinking_takes_means_as_area_interpolation_does(factor):
    photo = np.random.default_rng(0).integers(0, 256, (40 * factor, 60 * factor, 3), np.uint8)
    seen = geometry.rectify(photo, SQUARE * (60 * factor, 40 * factor), (60, 40)).image_rgb
    area = cv2.resize(photo, (60, 40), interpolation=cv2.INTER_AREA)
    assert np.abs(seen.astype(int) - area).max() <= 1


def test_a_fine_pattern_does_not_alias():
    photo = (np.indices((900, 900)).sum(0) % 2 * 255).astype(np.uint8)
    corners = np.array([[100, 90], [830, 140], [790, 810], [60, 770]])
    seen = geometry.rectify(photo, corners, (200, 200)).image_rgb[4:-4, 4:-4]
    assert seen.shape == (192, 192)
    assert np.abs(seen.astype(int) - 127).max() < 26


def test_bands_leave_no_seam(monkeypatch):
    photo = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8), (0, 0), 2)
    corners = np.array([[50, 40], [380, 20], [330, 280], [20, 250]])
    whole = geometry.rectify(photo, corners, (120, 100)).image_rgb
    monkeypatch.setattr(geometry, "_BAND_PX", 120 * 9 * 7)
    assert np.abs(geometry.rectify(photo, corners, (120, 100)).image_rgb.astype(int) - whole).max() <= 2


def test_outside_the_photo_is_black():
    seen = geometry.rectify(np.full((50, 50, 3), 200, np.uint8), SQUARE * 100, (100, 100)).image_rgb
    assert (seen[:49, :49] == 200).all()
    assert (seen[52:] == 0).all()
    with pytest.raises(ValueError, match="outside the photo"):
        geometry.rectify(np.zeros((50, 50, 3), np.uint8), SQUARE * 20 + 100, (10, 10))
    with pytest.raises(ValueError, match="at least 1 x 1"):
        geometry.rectify(np.zeros((50, 50, 3), np.uint8), SQUARE * 20, (0, 10))


def test_size_for():
    assert geometry.size_for((100, 50), 7.68) == (768, 384)
    assert geometry.size_for((1, 1), 0.01) == (1, 1)


# ------------------------------------------------------------------------------------------------ shapes


@settings(max_examples=25, deadline=None)
@given(quads(), st.integers(0, 500))
def test_an_instance_comes_back_from_a_finer_view(corners, seed):
    corners = corners * 0.5 + 60
    photo = np.zeros((500, 600, 3), np.uint8)
    seen = geometry.rectify(photo, corners, (900, 900))
    middle = tuple((corners.mean(axis=0) - 10).astype(int))
    colony = masks.clip(blob(seed, 20, middle), (600, 500))
    assume(colony is not None)
    (there,) = seen.from_photo([colony])
    (back,) = seen.to_photo([there], (600, 500))
    assert isinstance(there, Instance)
    assert isinstance(back, Instance)
    assert (there.label, there.score) == (colony.label, colony.score)
    inside = masks.instance_from_rings("frame", [corners], (600, 500))
    assert inside is not None
    if masks.overlap_px(colony, inside) == colony.area_px:
        assert masks.iou(colony, back) > 0.97


@few
@given(quads(180), st.integers(0, 500))
def test_warped_masks_are_the_pixels_whose_centres_come_from_inside(corners, seed):
    colony = blob(seed, 40, (int(corners[:, 0].mean()) - 20, int(corners[:, 1].mean()) - 20))
    h = geometry.frame_homography(corners, (70, 60))
    warped = geometry.warp_shapes([colony], h, (70, 60))
    centres = np.stack(np.meshgrid(np.arange(70) + 0.5, np.arange(60) + 0.5), -1)
    x, y = np.floor(geometry.apply_homography(geometry.invert(h), centres)).astype(int).transpose(2, 0, 1)
    x0, y0, x1, y1 = colony.xyxy_px
    there = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    expected = there & colony.mask[np.clip(y - y0, 0, y1 - y0 - 1), np.clip(x - x0, 0, x1 - x0 - 1)]
    found = np.zeros((60, 70), bool)
    for shape in warped:
        assert isinstance(shape, Instance)
        masks.paste(shape, found)
    assert np.count_nonzero(found != expected) <= 1  # a centre that falls on an outline


def test_keypoints_are_mapped_and_hidden_ones_stay_hidden():
    h = geometry.frame_homography(SQUARE * 100 + 50, (10, 10))
    points = Keypoints(
        "grid", ("a", "b", "c"), [[60, 70], [0, 0], [150, 160]], [VISIBLE, HIDDEN, OCCLUDED], [1, 0, 0.5]
    )
    (mapped,) = geometry.warp_shapes([points], h, (10, 10))
    assert isinstance(mapped, Keypoints)
    assert np.allclose(mapped.xy_px[[0, 2]], [[1, 2], [10, 11]])
    assert mapped.visibility.tolist() == [VISIBLE, HIDDEN, OCCLUDED]
    assert mapped.scores.tolist() == [1, 0, 0.5]


def test_beyond_the_horizon():
    h = np.array([[1, 0, 0], [0, 1, 0], [0.01, 0, 1]])
    across = Instance("coral", (-120, 5, 40, 15), np.ones((10, 160), bool))
    (cut,) = geometry.warp_shapes([across], h, (50, 50))
    expected = geometry.warp_shapes([Instance("coral", (-99, 5, 40, 15), np.ones((10, 139), bool))], h, (50, 50))[0]
    assert masks.iou(cut, expected) == 1
    behind = Instance("coral", (-130, 5, -120, 15), np.ones((10, 10), bool))
    assert geometry.warp_shapes([behind], h, (50, 50)) == []
    (points,) = geometry.warp_shapes([Keypoints("p", ("a", "b"), [[-120, 0], [10, 0]])], h, (50, 50))
    assert points.visibility.tolist() == [HIDDEN, VISIBLE]
    with pytest.raises(ValueError, match="horizon"):
        geometry.area_cm2(across, h)


# ------------------------------------------------------------------------------------------------ centimetres


@few
@given(quads())
def test_corners_are_at_the_corners_in_cm(corners):
    assert np.allclose(geometry.px_to_cm(corners, corners, (100, 50)), SQUARE * (100, 50), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(quads(), st.integers(0, 500))
def test_area_in_cm2_is_the_sum_over_the_pixels(corners, seed):
    colony = blob(seed, 60, (int(corners[:, 0].mean()) - 30, int(corners[:, 1].mean()) - 30))
    h = geometry.frame_homography(corners, (100, 100))
    y, x = np.nonzero(colony.mask)
    try:
        pixels = geometry.apply_homography(h, (np.stack([x, y], 1) + colony.xyxy_px[:2])[:, None] + SQUARE)
    except ValueError:
        assume(False)
    following = np.roll(pixels, -1, axis=1)
    areas = (pixels[..., 0] * following[..., 1] - following[..., 0] * pixels[..., 1]).sum(1) / 2
    assert geometry.area_cm2(colony, h) == pytest.approx(areas.sum(), rel=1e-6)


def test_area_of_a_colony_with_a_hole():
    mask = np.ones((50, 50), bool)
    mask[10:20, 10:30] = False
    ring = Instance("coral", (100, 100, 150, 150), mask)
    h = geometry.frame_homography(SQUARE * 500, (100, 100))
    assert geometry.area_cm2(ring, h) == pytest.approx((2500 - 200) / 25)
