from __future__ import annotations

import numpy as np
import pytest

from benchmarks.coral_seg_yolo_masks import assembly
from coral_seg_yolo import assemble
from yolo import letterbox


@pytest.mark.parametrize(
    ("photo_wh", "input_px"),
    [
        ((800, 600), 320),
        ((333, 249), 256),
        ((200, 150), 640),
        ((1001, 750), 320),
        ((1920, 1920), 448),
        ((960, 1280), 640),
    ],
)
def test_masks_are_those_of_ultralytics_native_path(photo_wh: tuple[int, int], input_px: int) -> None:
    found = assembly(30, photo_wh, input_px, least_iou=0.97).check()
    assert found["IoU, mean"] > 0.995


def test_a_box_without_pixels_gives_a_mask_without_pixels() -> None:
    prototypes, coefficients = np.ones((2, 8, 8), np.float32), np.ones((2, 2), np.float32)
    boxes = np.array([[5.2, 5.2, 5.9, 9.0], [0, 0, 32, 32]], np.float32)
    (empty, _), (full, origin) = assemble.box_masks(
        prototypes, coefficients, boxes, letterbox.place((32, 32), (32, 32)), (32, 32)
    )
    assert empty.size == 0
    assert full.shape == (32, 32)
    assert full.all()
    assert origin == (0, 0)
