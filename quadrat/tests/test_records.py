from __future__ import annotations

from quadrat import records


def test_rows_after_a_resume_replace_those_that_are_done_again(tmp_path):
    path = tmp_path / "metrics.csv"
    for step, value in ((3, 1.0), (6, 2.0), (6, 3.0)):
        records.append(path, {"step": step, "a": value})
    records.append(path, {"step": 9, "b": 4.0})
    rows = records.read(path)
    assert [(row["step"], row["a"], row["b"]) for row in rows] == [("3", "1", ""), ("6", "3", ""), ("9", "", "4")]
    assert records.column(rows, "a") == ([3.0, 6.0], [1.0, 3.0])
