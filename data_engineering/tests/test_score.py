from __future__ import annotations

import math

import numpy as np
import pytest

from data_engineering.score import score
from quadrat.shapes import Annotations, Instance


def box(label: str, x: int, y: int, side: int = 20, score: float = 0.9) -> Instance:
    return Instance(label, (x, y, x + side, y + side), np.ones((side, side), bool), score)


def photo(*shapes: Instance) -> Annotations:
    return Annotations("a.jpg", (200, 100), shapes)


TRUTH = photo(box("Porites", 0, 0, score=1.0), box("Acropora", 50, 0, score=1.0))


def test_perfect_predictions_score_one():
    result = score([TRUTH], [TRUTH])
    figures = (result.map50, result.map50_95, result.map50_any, result.mask_iou, result.recall)
    assert figures == pytest.approx((1, 1, 1, 1, 1))


def test_wrong_class_counts_only_without_classes():
    result = score([TRUTH], [photo(box("Porites", 0, 0), box("Porites", 50, 0, score=0.8))])
    assert result.map50 == pytest.approx(0.5)
    assert result.map50_any == pytest.approx(1)
    assert result.recall == 1


def test_shifted_masks_lower_the_strict_figures():
    result = score([TRUTH], [photo(box("Porites", 4, 0), box("Acropora", 54, 0))])
    assert result.map50 == pytest.approx(1)
    assert result.mask_iou == pytest.approx(16 / 24)
    assert result.map50_95 == pytest.approx(0.4)  # found at IoU 0.50, 0.55, 0.60, 0.65 of ten


def test_missed_false_and_nothing():
    missed = score([TRUTH], [photo()])
    assert (missed.map50, missed.recall, missed.predictions) == (0, 0, 0)
    assert math.isnan(missed.mask_iou)
    false = score([photo()], [TRUTH])
    assert math.isnan(false.map50)
    assert math.isnan(false.recall)
    with_false = score([TRUTH], [photo(box("Porites", 0, 0, score=0.5), box("Porites", 150, 60, score=0.9))])
    assert with_false.map50 == pytest.approx(0.25, abs=0.01)  # half of Porites' precision, none of Acropora


def test_photos_must_pair_up():
    with pytest.raises(ValueError, match="expected pairs"):
        score([TRUTH], [])
