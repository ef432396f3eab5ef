from __future__ import annotations

import numpy as np
import pytest

from DINOv2_mmseg import superpixels

pytest.importorskip("skimage")


def halves(height: int = 120, width: int = 160) -> np.ndarray:
    """Red to the left, blue to the right, a bit of noise."""
    image = np.zeros((height, width, 3), np.int64)
    image[:, : width // 2, 0], image[:, width // 2 :, 2] = 200, 200
    return (image + np.random.default_rng(0).integers(0, 12, image.shape)).astype(np.uint8)


def grow(image: np.ndarray, points: dict[tuple[int, int], int], count: int, **options) -> np.ndarray:
    xy = np.array(list(points), np.int64).reshape(-1, 2)
    return superpixels.grow(image, xy, np.array(list(points.values()), np.uint8), count, **options)


def test_growing_stops_at_the_edge_of_what_is_seen():
    made = grow(halves(), {(70, 60): 3, (90, 60): 4}, 12)
    left, right = made[:, :80], made[:, 80:]
    assert made[60, 70] == 3
    assert made[60, 90] == 4
    assert np.count_nonzero(left == 3) > 300
    assert np.count_nonzero(right == 4) > 300
    assert np.count_nonzero(left == 4) + np.count_nonzero(right == 3) < 20
    assert set(np.unique(made)) == {3, 4, 255}


def test_a_superpixel_whose_points_contradict_each_other_has_no_class():
    alike = grow(halves(), {(30, 60): 3, (33, 62): 3}, 12)
    assert alike[60, 30] == alike[62, 33] == 3
    assert (grow(halves(), {(30, 60): 3, (33, 62): 5}, 12) == 255).all()
    assert (grow(halves(), {(30, 60): 3, (33, 62): 255}, 12) == 255).all(), "one point's class is not known"


def test_class_0_is_a_class():
    made = grow(halves(), {(30, 60): 0}, 12)
    assert made[60, 30] == 0
    assert set(np.unique(made)) == {0, 255}


def test_without_points_nothing_is_known():
    assert (grow(halves(), {}, 12) == 255).all()


@pytest.mark.parametrize("size_wh", [(160, 120), (163, 121), (20, 300), (1, 1), (3, 400)])
def test_a_large_photo_is_cut_on_a_copy_and_every_point_keeps_its_class(size_wh):
    width, height = size_wh
    image = halves(height, width)
    places = {(0, 0): 1, (width - 1, height - 1): 1, (width // 2, height // 3): 1}
    made = grow(image, places, 9, long_side_px=64)
    assert made.shape == (height, width)
    assert made.dtype == np.uint8
    assert all(made[y, x] == 1 for x, y in places)


def test_a_copy_gives_nearly_the_same():
    points = {(30, 20): 1, (130, 20): 2, (30, 100): 1}
    whole, copy = grow(halves(), points, 12), grow(halves(), points, 12, long_side_px=80)
    assert (whole == copy).mean() > 0.8
    assert not ((whole == 1) & (copy == 2)).any()


def test_more_superpixels_are_smaller():
    few, many = (np.count_nonzero(grow(halves(), {(30, 60): 3}, count) == 3) for count in (6, 60))
    assert 0 < many < few / 3


def test_no_superpixels_are_refused():
    with pytest.raises(ValueError, match="expected 1 or more"):
        grow(halves(), {(1, 1): 1}, 0)
