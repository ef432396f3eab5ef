"""A photo in a network's input, and boxes back, against ultralytics' own functions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo import framework, letterbox

SIDES = st.integers(1, 700)


@pytest.fixture(scope="module", autouse=True)
def ultralytics() -> None:
    framework.quiet()


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), np.uint8)


@settings(deadline=None, max_examples=80)
@given(width=SIDES, height=SIDES, size_px=st.sampled_from([64, 128, 320]), rect=st.booleans())
def test_pixels_are_those_of_ultralytics(width: int, height: int, size_px: int, rect: bool) -> None:
    from ultralytics.data.augment import LetterBox

    photo = noise(width, height)
    shrinks = width > size_px and height > size_px
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR  # ultralytics never averages; see `framework`
    theirs = LetterBox((size_px, size_px), auto=rect, stride=32, interpolation=interpolation)(image=photo)
    ours = letterbox.letterbox(photo, size_px, 32, rect)
    assert ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, theirs)


@settings(deadline=None, max_examples=80)
@given(width=SIDES, height=SIDES, rect=st.booleans(), seed=st.integers(0, 99))
def test_boxes_come_back_as_in_ultralytics(width: int, height: int, rect: bool, seed: int) -> None:
    from ultralytics.utils import ops

    shape = letterbox.letterbox(noise(width, height), 128, 32, rect).shape[:2]
    boxes = np.random.default_rng(seed).uniform(-20, 150, (50, 4)).astype(np.float32)
    theirs = ops.scale_boxes(shape, torch.from_numpy(boxes.copy()), (height, width)).numpy()
    ours = letterbox.to_photo(boxes, (width, height), (shape[1], shape[0]))
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, theirs)


def test_a_box_of_the_photo_is_found_again() -> None:
    photo_wh, input_wh = (1000, 500), (640, 320)
    placing = letterbox.place(photo_wh, input_wh)
    box = np.array([[100, 50, 300, 450]], np.float32)
    inside = box * np.tile(placing.gain_xy, 2) + np.tile(placing.pad_xy, 2)
    np.testing.assert_allclose(letterbox.to_photo(inside.astype(np.float32), photo_wh, input_wh), box, atol=1e-3)
