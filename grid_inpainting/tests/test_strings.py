from __future__ import annotations

import cv2
import numpy as np
import pytest

from grid_inpainting.strands import curves
from grid_inpainting.strings import detect_lines, find_strings, score
from quadrat import template
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Keypoints

LAYOUT = template.even_lattice("small", 5, 5)
SIDE, FRAME_PX, FIRST_PX = 400, 340, 30
WHITE, RED, BLACK = (228, 228, 220), (190, 60, 50), (24, 24, 26)


def seabed(seed: int = 0, side: int = SIDE) -> np.ndarray:
    """Texture at several scales, of the colours of rubble and algae."""
    rng = np.random.default_rng(seed)
    sheet = np.zeros((side, side, 3), np.float32)
    for cells, strength in ((8, 22), (40, 16), (130, 12)):
        noise = rng.normal(0, strength, (cells, cells, 1)) + rng.normal(0, 0.3 * strength, (cells, cells, 3))
        sheet += cv2.resize(noise.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(sheet + (108, 118, 104) + rng.normal(0, 4, sheet.shape), 0, 255).astype(np.uint8)


def to_photo(uv: np.ndarray) -> np.ndarray:
    return FIRST_PX + FRAME_PX * np.asarray(uv, np.float64)


def paths(bow_px: float = 0.0, off_px: float = 0.0) -> list[np.ndarray]:
    """Each string from frame to frame, bowed, or a second strand beside it."""
    t = np.linspace(0, 1, 60)
    lines = []
    for axis, on in curves.strings_of(LAYOUT):
        uv = np.empty((60, 2))
        uv[:, axis], uv[:, 1 - axis] = t, LAYOUT.uv[on[0], 1 - axis]
        xy = to_photo(uv)
        xy[:, 1 - axis] += bow_px * np.sin(np.pi * t) + off_px
        lines.append(xy)
    return lines


def points_on(bow_px: float = 0.0) -> np.ndarray:
    xy = to_photo(LAYOUT.uv)
    return xy + bow_px * np.sin(np.pi * LAYOUT.uv[:, ::-1])


def drawn(lines: list[np.ndarray], width: int, colour=WHITE, seed: int = 0, knots_px: int = 0):
    """A photo with strings, and where they are."""
    cover = np.zeros((2 * SIDE, 2 * SIDE), np.uint8)
    for line in lines:
        cv2.polylines(cover, [np.round((2 * line - 0.5) * 16).astype(np.int32)], False, 255, 2 * width, cv2.LINE_8, 4)
    for x, y in to_photo(LAYOUT.uv) if knots_px else ():
        cv2.circle(cover, (round(2 * x), round(2 * y)), knots_px, 255, -1)
    cover = cv2.GaussianBlur(cv2.resize(cover, (SIDE, SIDE), interpolation=cv2.INTER_AREA), (0, 0), 0.6)
    weight = cover[..., None].astype(np.float32) / 255
    photo = seabed(seed) * (1 - weight) + np.array(colour, np.float32) * weight
    return photo.astype(np.uint8), cover >= 25


def keypoints(xy: np.ndarray, visibility: np.ndarray | None = None) -> Keypoints:
    return Keypoints("grid", LAYOUT.names, xy, visibility)


@pytest.mark.parametrize(("width", "colour"), [(1, WHITE), (3, RED), (6, BLACK)])
def test_strings_are_found_from_frame_to_frame(width, colour):
    photo, truth = drawn(paths(), width, colour)
    found = find_strings(photo, keypoints(points_on()), LAYOUT)
    agreement = score(found.mask, truth)
    assert agreement.recall > 0.96
    assert agreement.precision > 0.93
    assert width <= found.width_px <= width + 4
    assert found.warnings == ()


def test_a_string_that_sags_between_its_points_is_followed():
    photo, truth = drawn(paths(bow_px=9), 3)
    found = find_strings(photo, keypoints(points_on(bow_px=9)), LAYOUT)
    assert score(found.mask, truth).recall > 0.96
    assert score(found.mask, truth).precision > 0.93


def test_points_that_are_off_or_missing_are_forgiven():
    photo, truth = drawn(paths(bow_px=4), 3)
    rng = np.random.default_rng(5)
    xy = points_on(bow_px=4) + rng.normal(0, 1.5, (25, 2))
    visibility = np.where(np.arange(25) % 4 == 1, HIDDEN, VISIBLE)
    xy[12] += (25, 18)  # one is plain wrong
    found = find_strings(photo, keypoints(xy, visibility), LAYOUT)
    assert score(found.mask, truth).recall > 0.93
    assert score(found.mask, truth).precision > 0.9


def test_where_hidden_points_lie_has_no_meaning():
    photo, _ = drawn(paths(), 3)
    visibility = np.where(np.arange(25) % 4 == 1, HIDDEN, VISIBLE)
    xy = points_on()
    elsewhere = np.where((visibility == HIDDEN)[:, None], -999.0, xy)
    masks = [find_strings(photo, keypoints(places, visibility), LAYOUT).mask for places in (xy, elsewhere)]
    assert np.array_equal(*masks)


@pytest.mark.parametrize("said", [False, True])
def test_a_colony_before_the_strings_is_left_out(said):
    photo, truth = drawn(paths(), 4)
    colony = np.zeros(truth.shape, np.uint8)
    cv2.circle(colony, (170, 190), 75, 1, -1)
    photo[colony > 0] = (seabed(9)[colony > 0] * (1.0, 0.85, 0.6)).astype(np.uint8)
    truth &= colony == 0
    xy = points_on()
    under = np.hypot(*(xy - (170, 190)).T) < 75
    visibility = np.where(under & said, OCCLUDED, VISIBLE)
    found = find_strings(photo, keypoints(xy, visibility), LAYOUT)
    inner = cv2.erode(colony, np.ones((13, 13), np.uint8)) > 0
    assert found.mask[inner].mean() < 0.01
    assert score(found.mask, truth).recall > 0.95
    assert score(found.mask, truth).precision > 0.93


def test_a_second_strand_beside_the_first_is_found():
    lines = paths()
    for n, (line, turns) in enumerate(zip(lines, np.linspace(2, 9, 10), strict=True)):
        line[:, 1 if n < 5 else 0] += 2 * n - 9 + 8 * np.sin(np.linspace(n, n + turns, 60))
    photo, truth = drawn(paths() + lines, 4)
    found = find_strings(photo, keypoints(points_on()), LAYOUT)
    assert score(found.mask, truth).recall > 0.9
    assert score(found.mask, truth).precision > 0.8


def test_knots_are_included():
    photo, truth = drawn(paths(), 3, knots_px=12)
    found = find_strings(photo, keypoints(points_on()), LAYOUT)
    places = np.zeros(truth.shape, np.uint8)
    for x, y in np.round(to_photo(LAYOUT.uv)).astype(int):
        cv2.circle(places, (x, y), 8, 1, -1)
    knots = truth & (places > 0)
    assert score(found.mask, knots).recall > 0.95


def test_a_larger_width_covers_what_a_smaller_one_does():
    photo, _ = drawn(paths(), 3)
    found = [find_strings(photo, keypoints(points_on()), LAYOUT, width_px=width) for width in (2.0, 5.0, 11.0)]
    assert [strings.width_px for strings in found] == [2.0, 5.0, 11.0]
    for narrow, wide in zip(found, found[1:], strict=False):
        assert not (narrow.mask & ~wide.mask).any()
        assert wide.mask.sum() > 1.6 * narrow.mask.sum()


def test_without_strings_the_mask_is_empty_and_says_why():
    found = find_strings(seabed(3), keypoints(points_on()), LAYOUT)
    assert not found.mask.any()
    assert found.width_px == 0
    assert "no string can be told" in found.warnings[0]


def test_a_large_photo_is_masked_at_its_own_size():
    photo, truth = drawn(paths(), 3)
    large = cv2.resize(photo, None, fx=7, fy=7, interpolation=cv2.INTER_CUBIC)
    found = find_strings(large, keypoints(7 * points_on()), LAYOUT)
    assert found.mask.shape == large.shape[:2]
    wide = cv2.resize(truth.astype(np.uint8), None, fx=7, fy=7, interpolation=cv2.INTER_NEAREST) > 0
    assert score(found.mask, wide, 7).recall > 0.95
    assert score(found.mask, wide, 7).precision > 0.93
    assert 21 <= found.width_px <= 49


def test_points_outside_the_photo_are_counted():
    photo, truth = drawn(paths(), 3)
    found = find_strings(photo[:, :250], keypoints(points_on()), LAYOUT)
    outside = int((points_on()[:, 0] > 250).sum())
    assert found.warnings == (f"{outside} of 25 points lie outside the photo",)
    assert score(found.mask, truth[:, :250]).recall > 0.95


def test_too_few_points_in_the_photo_are_refused():
    visibility = np.where(np.arange(25) < 3, VISIBLE, HIDDEN)
    with pytest.raises(ValueError, match=r"3 of 25 points .* expected at least 4"):
        find_strings(seabed(), keypoints(points_on(), visibility), LAYOUT)
    with pytest.raises(ValueError, match=r"0 of 25 points .*\(25 outside it\)"):
        find_strings(seabed(), keypoints(points_on() + 1000), LAYOUT)


def test_points_on_one_line_are_refused():
    visibility = np.where(LAYOUT.lattice_rc[:, 0] == 2, VISIBLE, HIDDEN)
    with pytest.raises(ValueError, match="no homography"):
        find_strings(seabed(), keypoints(points_on(), visibility), LAYOUT)


def test_points_of_another_layout_are_refused():
    with pytest.raises(ValueError, match=r"layout 'grid9x13': 25 named '1' to '25', expected 117"):
        find_strings(seabed(), keypoints(points_on()), template.load("grid9x13"))


def test_corners_have_no_strings():
    corners = template.load("corners")
    points = Keypoints(corners.label, corners.names, to_photo(corners.uv))
    found = find_strings(seabed(), points, corners)
    assert not found.mask.any()
    assert "has no strings" in found.warnings[0]


@pytest.mark.parametrize("width_px", [0.0, -2.0, float("nan"), float("inf")])
def test_a_width_that_is_none_is_refused(width_px):
    with pytest.raises(ValueError, match="width_px"):
        find_strings(seabed(), keypoints(points_on()), LAYOUT, width_px=width_px)
    with pytest.raises(ValueError, match="width_px"):
        detect_lines(seabed(), width_px=width_px)


@pytest.mark.parametrize("photo", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)])
def test_what_is_no_photo_is_refused(photo):
    with pytest.raises(ValueError, match=r"expected uint8\[H, W, 3\]"):
        find_strings(photo, keypoints(points_on()), LAYOUT)
    with pytest.raises(ValueError, match=r"expected uint8\[H, W, 3\]"):
        detect_lines(photo)


def test_neither_photo_nor_points_are_changed():
    photo, _ = drawn(paths(), 3)
    before = photo.copy()
    photo.flags.writeable = False
    find_strings(photo, keypoints(points_on()), LAYOUT)
    assert np.array_equal(photo, before)


def test_a_rendered_quadrat():
    from data_engineering.render.scene import render
    from data_engineering.render.settings import Settings

    shot = render(4, Settings(size_px=960, layouts={"grid11x11": 1.0}, frames={"pvc": 1.0}))
    points = next(k for k in shot.annotations.keypoints if k.label == "grid")
    found = find_strings(shot.photo, points, template.load("grid11x11"))
    agreement = score(found.mask, shot.strings)
    assert agreement.recall > 0.85
    assert agreement.precision > 0.8
