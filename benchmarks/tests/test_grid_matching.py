from __future__ import annotations

import pytest

from benchmarks import grid_matching


def test_shares_are_counted_by_layout():
    measured = grid_matching.main(count=6)
    assert measured["layouts"]["grid9x13"]["lattices"] == measured["layouts"]["grid11x11"]["lattices"] == 3
    for one in measured["layouts"].values():
        assert sum(one[outcome] for outcome in grid_matching.OUTCOMES) == pytest.approx(1)
        assert one["right"] > 0.6
        assert 0 < one["ms"] <= one["ms_p95"]
    assert len(grid_matching._table(measured).splitlines()) == 5


def test_right_is_within_half_a_cell_and_not_doubted(monkeypatch):
    monkeypatch.setattr(grid_matching, "RIGHT_CELLS", 1e-6)
    measured = grid_matching.main(count=3, best=True, kinds=True)
    assert measured["layouts"]["all"]["right"] == 0
    assert measured["layouts"]["all"]["wrong"] > 0.6


def test_a_count_of_nothing_is_refused(capsys):
    with pytest.raises(SystemExit):
        grid_matching._arguments(["--count", "0"])
    assert "expected at least 1" in capsys.readouterr().err
