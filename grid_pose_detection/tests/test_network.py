from __future__ import annotations

import cv2
import numpy as np
import pytest

from grid_pose_detection import network
from quadrat import template
from yolo.networks import Facts

FACTS = Facts("detect", ("crossing", "end"), 128, 32, rect=True, end2end=False)


class Silent:
    facts = FACTS


@pytest.mark.parametrize("confidence", [0.25, 0.6, 1.0])
def test_doubles_are_suppressed_as_ultralytics_does(confidence: float) -> None:
    import torch
    from ultralytics.utils import nms

    rng = np.random.default_rng(3)
    boxes = np.concatenate([rng.uniform(0, 100, (2, 400)), rng.uniform(8, 20, (2, 400))])
    predictions = np.concatenate([boxes, rng.random((2, 400))])[None].astype(np.float32)
    finder = network.PointFinder(Silent(), (template.load("grid11x11"),))
    ours = finder.rows(predictions, finder.kept(predictions, confidence))
    (theirs,) = nms.non_max_suppression(
        torch.from_numpy(predictions), confidence, 0.4, agnostic=True, max_det=600, nc=2
    )
    assert (len(ours) > 5) == (confidence < 1)
    np.testing.assert_array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("size_wh", [(1600, 1200), (1601, 1200), (1602, 1202), (64, 48)])
def test_photos_of_any_size_are_averaged_by_area(size_wh: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    photo = cv2.resize(rng.integers(0, 256, (30, 40, 3), np.uint8), size_wh)
    photo = np.clip(photo + rng.normal(0, 20, photo.shape), 0, 255).astype(np.uint8)
    view = network.fit(photo, FACTS)
    small = (view.photo_rgb.shape[1], view.photo_rgb.shape[0])
    how = cv2.INTER_AREA if size_wh[0] > 128 else cv2.INTER_LINEAR
    direct = cv2.resize(photo, small, interpolation=how)
    assert np.abs(direct.astype(int) - view.photo_rgb).max() <= 3  # halves round once more each
    np.testing.assert_allclose(view.to_photo(view.origin_xy + small), size_wh)
