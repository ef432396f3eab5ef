from __future__ import annotations

import pytest

from benchmarks import coral_seg_yolo_masks


@pytest.mark.parametrize(("size", "input_px"), [(800, 320), (333, 256), (200, 640), (1001, 320)])
def test_masks_are_those_of_ultralytics_native_path(size: int, input_px: int) -> None:
    result = coral_seg_yolo_masks.main(objects=30, size=size, input_px=input_px, rounds=1)
    assert result["iou_mean"] > 0.995
    assert result["iou_min"] > 0.97
