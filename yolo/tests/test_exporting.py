from __future__ import annotations

import numpy as np
import pytest

from yolo import exporting


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_a_difference(value: float) -> None:
    good = np.ones((1, 3, 4))
    bad = good.copy()
    bad[0, 1, 2] = value
    assert exporting.difference("predictions", good, good, 2) == 0
    assert exporting.difference("predictions", good, bad, 2) == float("inf")
    with pytest.raises(RuntimeError, match="predictions differ from torch by inf%"):
        exporting.check_difference("predictions", float("inf"), 0.1)
    with pytest.raises(RuntimeError, match="differ"):
        exporting.check_difference("predictions", float("nan"), 0.1)
    with pytest.raises(RuntimeError, match="torch gives"):
        exporting.difference("predictions", good, good[:, :2], 2)


def test_every_row_has_a_scale_of_its_own() -> None:
    wanted = np.array([[[100.0, 50.0], [0.5, 0.1]]])
    got = wanted + [[[0.0, 0.0], [0.0, 0.05]]]
    assert exporting.difference("predictions", wanted, got, 2) == pytest.approx(0.1)
    assert exporting.difference("predictions", wanted, got, 1) == pytest.approx(0.0005)
