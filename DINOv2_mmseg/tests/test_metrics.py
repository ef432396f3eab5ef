from __future__ import annotations

import json
from time import perf_counter

import numpy as np
import pytest

from DINOv2_mmseg import metrics

LABELS = ("background", "Porites", "Acropora", "Fungia")


def maps(seed: int, classes: int = 4, shape: tuple[int, int] = (37, 53)) -> tuple[np.ndarray, np.ndarray]:
    """A truth with pixels that are not known, and a prediction that is right for the larger part."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, shape).astype(np.uint8)
    predicted = np.where(rng.random(shape) < 0.6, truth, rng.integers(0, classes, shape)).astype(np.uint8)
    truth[rng.random(shape) < 0.1] = 255
    return truth, predicted


def test_counts_are_those_of_a_plain_loop() -> None:
    truth, predicted = maps(0)
    wanted = np.zeros((4, 4), np.int64)
    for t, p in zip(truth.ravel(), predicted.ravel(), strict=True):
        if t != 255:
            wanted[t, p] += 1
    np.testing.assert_array_equal(metrics.count(truth, predicted, LABELS), wanted)


def test_large_maps_are_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, predicted = maps(1)
    whole = metrics.count(truth, predicted, LABELS)
    monkeypatch.setattr(metrics, "_CHUNK_PX", 100)
    np.testing.assert_array_equal(metrics.count(truth, predicted, LABELS), whole)


@pytest.mark.parametrize("classes", [4, 6])  # with 6, two classes occur in neither map
def test_figures_are_those_of_mmsegmentation(classes: int) -> None:
    iou_metric = pytest.importorskip("mmseg.evaluation.metrics.iou_metric").IoUMetric
    import torch

    labels = tuple(f"class {number}" for number in range(classes))
    counted, areas = metrics.Confusion(labels), []
    for seed in range(3):
        truth, predicted = maps(seed)
        counted.add(truth, predicted)
        pair = torch.from_numpy(predicted).long(), torch.from_numpy(truth).long()
        areas.append(iou_metric.intersect_and_union(*pair, classes, 255))
    total = [sum(one) for one in zip(*areas, strict=True)]
    theirs = iou_metric.total_area_to_metrics(*total, ["mIoU", "mDice", "mFscore"])
    ours = counted.figures()
    each = ours.classes.values()
    for name, values in (
        ("IoU", [one.iou for one in each]),
        ("Acc", [one.recall for one in each]),
        ("Dice", [one.dice for one in each]),
        ("Precision", [one.precision for one in each]),
    ):
        np.testing.assert_allclose(np.array(values, float), np.asarray(theirs[name], float), rtol=1e-6)
    assert ours.overall_accuracy == pytest.approx(float(theirs["aAcc"]), rel=1e-6)
    assert ours.miou == pytest.approx(float(np.nanmean(theirs["IoU"])), rel=1e-6)
    assert ours.mean_accuracy == pytest.approx(float(np.nanmean(theirs["Acc"])), rel=1e-6)
    assert ours.dice == pytest.approx(float(np.nanmean(theirs["Dice"])), rel=1e-6)


def test_a_class_seen_where_there_is_none_costs_and_an_absent_one_does_not() -> None:
    truth = np.zeros((2, 4), np.uint8)
    truth[1] = 1
    predicted = truth.copy()
    predicted[0, 0] = 2  # Acropora where there is none; Fungia occurs nowhere
    found = metrics.figures(LABELS, metrics.count(truth, predicted, LABELS))
    assert found.classes["Acropora"] == metrics.ClassFigures(0, 1, 0.0, None, 0.0, 0.0)
    assert found.classes["Fungia"] == metrics.ClassFigures(0, 0, None, None, None, None)
    assert (found.classes_counted, found.classes_supported, found.counted) == (3, 2, 8)
    assert found.miou == pytest.approx((0.75 + 1 + 0) / 3)
    assert found.miou_supported == pytest.approx((0.75 + 1) / 2)
    assert found.mean_accuracy == pytest.approx((0.75 + 1) / 2)
    assert found.overall_accuracy == pytest.approx(7 / 8)
    assert found.frequency_weighted_iou == pytest.approx((0.75 * 4 + 1 * 4) / 8)


def test_photos_add_up() -> None:
    counted = metrics.Confusion(LABELS)
    total = np.zeros((4, 4), np.int64)
    for seed in (3, 4):
        counted.add(*maps(seed))
        total += metrics.count(*maps(seed), LABELS)
    assert counted.photos == 2
    np.testing.assert_array_equal(counted.counts, total)


def test_nothing_known_is_told_as_none_in_json() -> None:
    truth = np.full((3, 3), 255, np.uint8)
    found = metrics.figures(LABELS, metrics.count(truth, np.zeros((3, 3), np.uint8), LABELS)).to_dict()
    assert (found["miou"], found["overall_accuracy"], found["counted"]) == (None, None, 0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_maps_that_do_not_fit_are_refused() -> None:
    good = np.zeros((2, 2), np.uint8)
    for truth, predicted, message in (
        (good, np.zeros((2, 3), np.uint8), "of one size"),
        (good, np.zeros((2, 2), np.int64), "uint8"),
        (good, np.full((2, 2), 4, np.uint8), "holds class 4"),
        (good, np.full((2, 2), 255, np.uint8), "holds class 255"),
        (np.full((2, 2), 7, np.uint8), good, "holds class 7"),
    ):
        with pytest.raises(ValueError, match=message):
            metrics.count(truth, predicted, LABELS)


def test_a_photo_of_12_megapixels_is_counted_quickly() -> None:
    truth = np.random.default_rng(0).integers(0, 17, (3000, 4000)).astype(np.uint8)
    begun = perf_counter()
    metrics.count(truth, truth, tuple(map(str, range(17))))
    assert perf_counter() - begun < 3  # about 0.1 s with a core to itself
