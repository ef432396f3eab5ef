from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import cases, machine, measure, report, run
from benchmarks.cases import CheckError, Sides

ROOT = Path(__file__).parents[2]
FACTS = {"photo": "8 x 8 px", "objects": 1, "encoding": "none", "precision": "float32"}


@pytest.fixture
def register(monkeypatch):
    """A register of the test's own, and a function that puts a case on it."""
    monkeypatch.setattr(cases, "CASES", {})
    monkeypatch.setattr(cases, "_files", list)

    def put(name: str, sides: Sides, **more) -> cases.Case:
        cases.case("toy", name, measures="ours", **{**FACTS, **more})(lambda: sides)
        return cases.CASES["toy", name]

    return put


def test_sides_run_by_turns_after_one_unmeasured_run_each():
    calls: list[str] = []
    timing = measure.by_turns(lambda: calls.append("ours"), lambda: calls.append("peer"), 3)
    assert calls == ["ours", "peer"] * 4
    assert timing.rounds == 3


def test_the_ratio_is_of_pairs_and_has_a_spread(monkeypatch):
    seconds = iter([0.01, 0.02, 0.01, 0.04, 0.02, 0.16])  # ours, peer, ours, …
    monkeypatch.setattr(measure, "_milliseconds", lambda side: 1000 * next(seconds))
    timing = measure.by_turns(lambda: None, lambda: None, 3)
    assert (timing.ours_ms, timing.peer_ms, timing.ratio) == (10, 40, 4)
    assert timing.ratio_quartiles == (3, 6)


def test_a_slower_peer_gives_a_ratio_above_one(register):
    case = register("sleepy", Sides(lambda: time.sleep(0.001), lambda: time.sleep(0.02)), peer="a sleeper", target=3)
    result = measure.run(case, 3)
    assert result["ratio"] > 3
    assert result["reached"] is True
    assert measure.run(register("never", Sides(lambda: None, lambda: None), target=1e9), 1)["reached"] is False


def test_a_case_without_a_peer_is_timed_alone(register):
    result = measure.run(register("alone", Sides(lambda: None, facts=lambda: {"peak": 3})), 2)
    assert result["ratio"] is None
    assert result["peer_ms"] is None
    assert result["facts"] == {"peak": 3}
    assert "| alone |" in report.table([result])


def test_a_missing_peer_is_skipped_with_the_command_that_installs_it(register):
    case = register("lonely", Sides(lambda: None), needs={"no_such_package": "no-such", "json": "json"})
    result = measure.run(case)
    assert result["skipped"] == "pip install no-such"
    assert "`pip install no-such`" in report.page("toy", [result], machine.describe())


def test_sides_that_disagree_are_not_timed_and_are_closed(register):
    closed, timed = [], []

    def disagree():
        raise CheckError("IoU 0.5")

    sides = Sides(lambda: timed.append(1), check=disagree, close=lambda: closed.append(1))
    with pytest.raises(CheckError, match="IoU"):
        measure.run(register("wrong", sides))
    assert (timed, closed) == ([], [1])


def test_main_writes_both_files_and_returns_what_they_hold(register, tmp_path):
    register("a", Sides(lambda: None, lambda: None, lambda: {"iou": 1.0}), peer="nothing")
    register("b", Sides(lambda: None))
    result = run.main("toy", repeat=1, out=tmp_path)
    assert json.loads((tmp_path / "toy.json").read_text()) == json.loads(json.dumps(result))
    assert [case["name"] for case in result["cases"]] == ["a", "b"]
    page = (tmp_path / "toy.md").read_text()
    assert "8 x 8 px; objects: 1; none; float32" in page
    assert run.main("toy", names=["b"], repeat=1, out=tmp_path)["cases"][0]["name"] == "b"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy-b.json", "toy-b.md", "toy.json", "toy.md"]


def test_wrong_requests_say_what_would_do(register, tmp_path):
    register("a", Sides(lambda: None))
    with pytest.raises(ValueError, match="two cases named 'a'"):
        register("a", Sides(lambda: None))
    with pytest.raises(ValueError, match="'x' is not known: expected some of a"):
        run.main("toy", names=["x"], out=tmp_path)
    with pytest.raises(ValueError, match="expected benchmarks/none"):
        run.main("none", out=tmp_path)
    with pytest.raises(ValueError, match="repeat is 0"):
        run.main("toy", repeat=0, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_machine_is_described_without_its_name():
    import socket

    described = machine.describe()
    assert described["cores"] >= 1
    assert described["packages"]["numpy"]
    assert socket.gethostname() not in json.dumps(described)


def test_the_command_prints_one_json_object_as_its_last_line(tmp_path):
    command = [sys.executable, "-m", "benchmarks.run", "quadrat", "--case", "jpeg-pillow", "--repeat", "1", "--json"]
    done = subprocess.run([*command, "--out", tmp_path], cwd=ROOT, capture_output=True, text=True, check=True)
    (case,) = json.loads(done.stdout.splitlines()[-1])["cases"]
    assert case["ratio"] > 0
    assert done.stdout.startswith("# quadrat")


def test_an_unknown_module_ends_with_a_sentence():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "x"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("benchmarks: module 'x' has no cases")
