"""The fast path in numpy against ultralytics' and torchvision's own functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision  # noqa: F401  (ultralytics takes its suppression where it is imported)
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo import suppress


def made_up(seed: int, count: int, classes: int, more: int = 3, digits: int = 8) -> np.ndarray:
    """Predictions float32 ``[4 + classes + more, count]``, crowded; few digits make many scores alike."""
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.uniform(0, 200, (2, count)), rng.uniform(0, 60, (2, count)) * rng.integers(0, 3)])
    scores = np.round(rng.random((classes, count)), digits)
    return np.concatenate([np.round(boxes, digits), scores, rng.normal(size=(more, count))]).astype(np.float32)


def by_ultralytics(predictions: np.ndarray, classes: int, threshold: float, iou: float, most: int):
    from ultralytics.utils import nms

    (rows,), (places,) = nms.non_max_suppression(
        torch.from_numpy(predictions[None].copy()), threshold, iou, agnostic=True, max_det=most, nc=classes,
        return_idxs=True,
    )  # fmt: skip
    return rows.numpy(), places.flatten().long().numpy()


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, 700),
    classes=st.integers(1, 5),
    digits=st.sampled_from([0, 1, 2, 8]),
    threshold=st.sampled_from([0.0, 0.25, 0.7, 1.0]),
    iou=st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]),
    most=st.sampled_from([1, 20, 500]),
)
def test_objects_are_those_of_ultralytics_ties_included(seed, count, classes, digits, threshold, iou, most):
    predictions = made_up(seed, count, classes, digits=digits)
    rows, places = by_ultralytics(predictions, classes, threshold, iou, most)
    ours = suppress.suppress(predictions, classes, threshold, iou, most)
    np.testing.assert_array_equal(ours, places)
    found = suppress.rows(predictions, ours, classes)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, rows.reshape(-1, 9))


def test_a_crowd_larger_than_any_block_is_settled_alike():
    predictions = made_up(1, 8400, 16, more=32)
    rows, places = by_ultralytics(predictions, 16, 0.25, 0.5, 500)
    ours = suppress.suppress(predictions, 16, 0.25, 0.5, 500)
    assert len(places) == 500
    np.testing.assert_array_equal(ours, places)
    np.testing.assert_array_equal(suppress.rows(predictions, ours, 16), rows)


def test_only_the_best_candidates_are_looked_at():
    rng = np.random.default_rng(0)
    count = suppress.MOST_CANDIDATES + 5000
    scores = rng.permutation(np.linspace(0.5, 1, count))
    predictions = np.concatenate([np.full((2, count), 5), np.full((2, count), 4), scores[None]]).astype(np.float32)
    predictions[0] += 10 * np.arange(count)  # none overlaps another
    ours = suppress.suppress(predictions, 1, 0.1, 0.5, count)
    assert len(ours) == suppress.MOST_CANDIDATES
    assert scores[ours].min() >= np.sort(scores)[5000] - 1e-6


def test_boxes_without_area_are_kept_as_torchvision_keeps_them():
    from torchvision.ops import nms

    predictions = np.zeros((5, 6), np.float32)
    predictions[4] = [0.9, 0.8, 0.8, 0.7, 0.6, 0.5]
    predictions[2:4, :2] = 8
    corners = np.concatenate([predictions[:2] - predictions[2:4] / 2, predictions[:2] + predictions[2:4] / 2])
    theirs = nms(torch.from_numpy(corners.T), torch.from_numpy(predictions[4]), 0.5).numpy()
    assert 1 not in theirs
    np.testing.assert_array_equal(suppress.suppress(predictions, 1, 0.1, 0.5, 10), theirs)


@pytest.mark.parametrize("most", [2, 300])
def test_rows_of_a_network_without_doubles_are_those_above_the_threshold(most: int):
    from ultralytics.utils import nms

    rows = np.random.default_rng(4).random((300, 9)).astype(np.float32)
    (theirs,), (places,) = nms.non_max_suppression(
        torch.from_numpy(rows[None].copy()), 0.6, max_det=most, nc=2, end2end=True, return_idxs=True
    )
    ours = suppress.above(rows, 0.6, most)
    np.testing.assert_array_equal(ours, places.numpy())
    np.testing.assert_array_equal(rows[ours], theirs.numpy())
