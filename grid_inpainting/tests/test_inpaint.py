"""The painter of windows: nothing outside the hole changes, at any size, and windows leave no seams."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_inpainting import backends
from grid_inpainting.inpaint import Windows, inpaint

SMALL = Windows(side_px=64, context_px=8, fade_px=8, feather_px=2, batch=3)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def gray(images, holes):
    """Paints all of a window gray, so that every pixel that is taken from it is seen."""
    return np.full_like(images, 128)


def as_it_is(images, holes):
    return images


def line_mask(height: int, width: int, thickness: int = 3) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    cv2.line(mask, (0, height // 3), (width - 1, 2 * height // 3), 1, thickness)
    return mask.astype(bool)


@st.composite
def holes(draw):
    height, width = draw(st.integers(1, 150)), draw(st.integers(1, 150))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    mask = np.zeros((height, width), np.uint8)
    for _ in range(draw(st.integers(0, 4))):
        ends = rng.integers(0, (width, height), (2, 2))
        cv2.line(mask, ends[0].tolist(), ends[1].tolist(), 1, int(rng.integers(1, 8)))
    return mask.astype(bool)


@given(holes(), st.integers(0, 4), st.integers(1, 3))
def test_nothing_changes_outside_the_mask_and_its_feather(mask, feather, shrink):
    photo = noise(*mask.shape)
    windows = Windows(64, 8, 8, feather, 2)
    painted, where = inpaint(photo, mask, gray, windows, shrink)
    off = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) if mask.any() else None
    assert np.array_equal(painted[~where], photo[~where])
    assert (where >= mask).all()
    assert off is None or (off[where] < feather + 1).all()
    assert (painted[mask] == 128).all()  # every pixel of the mask is covered by a window
    assert painted.shape == photo.shape
    assert painted.dtype == np.uint8


@given(holes())
def test_windows_of_what_is_there_give_it_back(mask):
    photo = noise(*mask.shape, seed=1)
    assert np.array_equal(inpaint(photo, mask, as_it_is, SMALL)[0], photo)


def test_the_feather_fades_into_the_photo():
    photo, mask = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), bool)
    mask[20] = True
    painted, where = inpaint(photo, mask, gray, Windows(64, 8, 8, 3, 1))
    column = painted[:, 20, 0]
    assert column[20] == 128
    assert list(column[17:24]) == [32, 64, 96, 128, 96, 64, 32]
    assert not column[:17].any()
    assert where[17:24].all()


def test_only_windows_with_a_part_of_the_hole_are_painted():
    seen = []

    def count(images, holes):
        assert holes.any(axis=(1, 2)).all()
        seen.append(len(images))
        return images

    mask = np.zeros((500, 500), bool)
    mask[232, 232] = True  # a place that one window alone is used for
    inpaint(noise(500, 500), mask, count, SMALL)
    assert sum(seen) == 1
    seen.clear()
    mask[:] = False
    inpaint(noise(500, 500), mask, count, SMALL)
    assert not seen


def test_every_window_has_the_size_that_was_asked_for():
    shapes = set()

    def note(images, holes):
        shapes.update({images.shape[1:], holes.shape[1:]})
        return images

    for size in ((1, 1), (10, 300), (65, 63), (200, 130)):
        inpaint(noise(*size), np.ones(size, bool), note, SMALL)
    assert shapes == {(64, 64, 3), (64, 64)}


def test_windows_fade_into_each_other():
    """Windows that each paint their own brightness: no step between neighbouring pixels is larger than the fade's."""
    level = iter(range(0, 256, 60))

    def paint(images, holes):
        return np.stack([np.full_like(image, next(level)) for image in images])

    mask = np.zeros((64, 200), bool)
    mask[32] = True
    row = inpaint(np.zeros((64, 200, 3), np.uint8), mask, paint, Windows(64, 8, 8, 0, 1))[0][32, :, 0].astype(int)
    assert row.max() >= 120
    assert np.abs(np.diff(row)).max() <= 60 / 8 + 1


def test_a_window_of_a_batch_gives_what_it_gives_alone():
    photo, mask = noise(150, 170), line_mask(150, 170)
    telea = backends.opencv()
    alone = inpaint(photo, mask, telea, Windows(64, 8, 8, 2, 1))[0]
    assert np.array_equal(inpaint(photo, mask, telea, Windows(64, 8, 8, 2, 5))[0], alone)


def test_shrinking_keeps_the_photo_sharp_outside_and_paints_all_of_the_hole():
    photo, mask = noise(300, 260), line_mask(300, 260, 40)
    painted, where = inpaint(photo, mask, backends.opencv(), SMALL, shrink=3)
    assert np.array_equal(painted[~where], photo[~where])
    assert not np.array_equal(painted[mask], photo[mask])


@pytest.mark.parametrize("mask", [np.ones((5, 6), bool), np.ones((6, 5), np.uint8), np.ones((6, 5, 1), bool)])
def test_a_mask_of_another_size_or_type_is_refused(mask):
    with pytest.raises(ValueError, match=r"expected bool\[6, 5\]"):
        inpaint(noise(6, 5), mask, gray)


@pytest.mark.parametrize(
    "wrong",
    [{"side_px": 60}, {"side_px": 64, "context_px": 32}, {"feather_px": -1}, {"batch": 0}],
)
def test_unfit_windows_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        Windows(**wrong)
