from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import cases, grid_inpainting, grid_inpainting_memory


def test_the_cases_that_were_asked_for_are_there():
    found = {case.name: case.target for case in cases.load("grid_inpainting")}
    assert found["windows-forward"] == 0.95
    assert found["simple-lama-diagonals"] == found["simple-lama-grid"] == 2
    assert {"simple-lama-diagonals-openvino", "simple-lama-grid-openvino"} <= set(found)


@pytest.mark.parametrize(("kind", "strings"), [("grid", 18), ("diagonals", 2)])
def test_strings_cover_what_their_width_says(kind, strings):
    mask = grid_inpainting.mask_of(kind, (400, 300), 5)
    side = 270 * (1 if kind == "grid" else 2**0.5)
    crossings = 9 * 9 if kind == "grid" else 1
    assert mask.shape == (300, 400)
    assert np.count_nonzero(mask) == pytest.approx(strings * side * 5 - crossings * 5 * 5, rel=0.05)


def test_a_process_that_asks_for_too_much_dies_and_is_said_to(monkeypatch):
    monkeypatch.setattr(grid_inpainting_memory, "SIZES_WH", ((320, 240),))
    (row,) = grid_inpainting_memory.main(limit_gib=0.05, sides=("simple-lama",))
    assert row["megapixels"] == 0.1
    assert row["died"].startswith("above 0.05 GiB")
    assert json.dumps(row)
    assert "died" in grid_inpainting_memory._line(row)
