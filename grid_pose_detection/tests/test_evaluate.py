from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grid_pose_detection import evaluate, folder, model, prepare
from quadrat import images, template, verdict
from quadrat.formats import shapes_json
from quadrat.predictor import Card
from quadrat.shapes import VISIBLE
from quadrat.verdict import FAILED, OK, Judged, Verdict

LAYOUTS = {"corners": ["corners"], "grid": ["grid11x11", "grid9x13"]}


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same photos of the grid, prepared for either formulation."""
    place = tmp_path_factory.mktemp("prepared")
    for formulation in folder.FORMULATIONS:
        prepare.main(
            place / formulation,
            rendered=rendered,
            layouts=["grid11x11", "grid9x13"] if formulation == "points" else ["grid11x11"],
            formulation=formulation,
            only="test",
        )
    return {formulation: place / formulation for formulation in folder.FORMULATIONS}


class Perfect:
    """Finds what is true of a rendered folder, `off` px to the right, and is sure of it; photos come by name."""

    def __init__(self, rendered: Path, task: str, off: float = 0.0):
        self.layouts = tuple(template.load(name) for name in LAYOUTS[task])
        self.card = Card("perfect", "keypoints", (self.layouts[0].label,))
        self.truths = [shapes_json.read(path) for path in sorted((rendered / "truth").glob("*.json"))]
        self.off = off

    def predict_judged(self, image_rgb) -> Judged:
        known = [points for points in self.truths.pop(0).keypoints if points.label == self.card.labels[0]]
        if not known:
            return Judged((), Verdict(FAILED, 0.0, ("no grid found",)))
        every = np.full(len(known[0].names), VISIBLE)
        found = replace(known[0], xy_px=known[0].xy_px + [self.off, 0], visibility=every)
        return verdict.judged(found, self.layouts[0], Verdict(OK, 0.9))


@pytest.fixture
def perfect(rendered: Path, monkeypatch):
    """A function that has `evaluate` measure `Perfect`."""

    def take(task: str = "grid", off: float = 0.0) -> None:
        monkeypatch.setattr(model, "load", lambda *_, **__: Perfect(rendered, task, off))
        monkeypatch.setattr(model, "find_weights", lambda *_: Path("w.pt"))

    return take


def test_a_prepared_folder_keeps_the_whole_truth(data: dict[str, Path], rendered: Path) -> None:
    for path in data.values():
        for photo in folder.photos(path, "test"):
            kept = shapes_json.read(path / "truth" / "test" / f"{photo.stem}.json")
            drawn = shapes_json.read(rendered / "truth" / f"{photo.stem}.json")
            assert kept.meta["frame"] == drawn.meta["frame"]
            for ours, theirs in zip(kept.keypoints, drawn.keypoints, strict=True):
                assert ours.xy_px.tolist() == theirs.xy_px.tolist()
                assert ours.visibility.tolist() == theirs.visibility.tolist()


def test_a_perfect_result_is_right_in_every_figure(rendered: Path, perfect, tmp_path: Path) -> None:
    perfect("grid", off=0.5)
    result = evaluate.main(task="grid", rendered=rendered, out=tmp_path)
    assert result["found"] == result["ordered"] == result["refused"] == result["oks_ap50"] == 1
    assert result["false_acceptance"] == 0
    assert result["points"] == 9 * 107
    assert result["error_px"] == {"mean": 0.5, "median": 0.5, "p95": 0.5}
    assert result["verdicts"] == {"ok": 9, "review": 0, "failed": 1}
    assert result["reasons"] == {"no grid found": 1}
    assert {name: one["photos"] for name, one in result["layouts"].items()} == {
        "grid11x11": 4,
        "grid9x13": 5,
        "none": 1,
    }
    assert sum(one["quadrats"] for one in result["frames"].values()) == 9
    assert set(result["frames"]) == {"pvc", "dark", "none"}
    assert "100.0%" in evaluate.table(result)
    assert json.loads((tmp_path / "figures.json").read_text()) == result


def test_tables_and_pictures_say_the_same_as_the_figures(rendered: Path, perfect, tmp_path: Path) -> None:
    perfect("grid", off=2.0)
    (tmp_path / "worst").mkdir()
    (tmp_path / "worst" / "99-old.jpg").write_bytes(b"old")
    result = evaluate.main(task="grid", rendered=rendered, out=tmp_path)
    with (tmp_path / "photos.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == result["photos"] == 10
    assert sum(int(row["visible"]) for row in rows) == result["points"]
    assert {float(row["error_px"]) for row in rows if row["error_px"]} == {2.0}
    assert [row["verdict"] for row in rows].count("ok") == result["verdicts"]["ok"]
    with (tmp_path / "points.csv").open() as file:
        points = list(csv.DictReader(file))
    assert len(points) == 2 * 117
    assert sum(int(row["photos"]) for row in points) == result["points"]
    for name in ("errors", "scores", "acceptance", "points-grid11x11", "points-grid9x13"):
        assert min(images.read(tmp_path / f"{name}.png").shape[:2]) > 400
    worst = sorted(path.name for path in (tmp_path / "worst").iterdir())
    assert len(worst) == 10
    assert "99-old.jpg" not in worst


def test_corners_are_measured_by_the_side(rendered: Path, perfect, tmp_path: Path) -> None:
    perfect("corners", off=20.0)
    result = evaluate.main(rendered=rendered, out=tmp_path)
    assert result["found"] == 0  # 20 of about 190 px
    assert result["ordered"] == 1
    assert result["false_acceptance"] == 0.9
    assert 7 < result["error_percent"]["mean"] < 14
    assert result["pck"]["5"] == 0
    assert "%side" in evaluate.table(result)


def test_both_formulations_are_measured_by_the_same_truth(data: dict[str, Path], perfect) -> None:
    found = {}
    for formulation, path in data.items():
        perfect("grid", off=1.0)
        found[formulation] = evaluate.main(task="grid", data=path)
        groups = (group for kind in ("layouts", "frames", "statuses") for group in found[formulation][kind].values())
        for one in (found[formulation], *groups):
            del one["seconds"]
    assert found["points"] == found["pose"]
    assert found["points"]["ordered"] == 1


def test_random_weights_run_through_the_command(rendered: Path, make_weights) -> None:
    command = [sys.executable, "-m", "grid_pose_detection.evaluate", "--task", "grid", "--json", "--limit", "3"]
    weights = make_weights("points", ("grid11x11", "grid9x13"))
    wishes = ["--weights", str(weights), "--rendered", str(rendered), "--confidence", "0.3"]
    done = subprocess.run([*command, *wishes], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["photos"] == sum(result["verdicts"].values()) == 3
    assert result["label"] == "grid"
    assert result["false_acceptance"] == 0
    assert "OKS-AP" in done.stdout


def test_predictions_and_figures_lie_in_fiftyone(rendered: Path, data: dict[str, Path], perfect) -> None:
    pytest.importorskip("fiftyone")
    from data_engineering import dataset

    name = "test-grid-evaluate"
    dataset.from_rendered(rendered, name, overwrite=True)
    try:
        perfect("grid", off=1.0)
        of_folder = evaluate.main(task="grid", data=data["points"], fiftyone=name, field="yolo")
        samples = dataset.load(name)
        assert samples.count_values("yolo_verdict") == {"ok": 9, "failed": 1}
        assert samples.count_values("yolo_right") == {True: 10}
        assert samples.bounds("yolo_score") == (0.0, 0.9)
        found = samples.match({"yolo_verdict": "ok"}).first()
        assert len(found.yolo_keypoints.keypoints[0].points) == 117
        assert found.yolo_error_percent == pytest.approx(100 / 12, abs=5)
        perfect("grid", off=1.0)
        of_dataset = evaluate.main(task="grid", fiftyone=name)
        assert of_dataset["error_px"] == pytest.approx(of_folder["error_px"], abs=1e-3)
        assert {name: one["photos"] for name, one in of_dataset["layouts"].items()} == {
            "grid11x11": 4,
            "grid9x13": 5,
            "none": 1,
        }
        assert set(of_dataset["frames"]) == {"unknown"}
        with pytest.raises(ValueError, match="holds something"):
            evaluate.main(task="grid", fiftyone=name, field="yolo")
    finally:
        dataset.fo.delete_dataset(name)


def test_a_photo_that_cannot_be_measured_is_skipped_and_named(rendered: Path, perfect, tmp_path: Path) -> None:
    for kind in ("photos", "truth"):
        (tmp_path / kind).mkdir()
        for path in (rendered / kind).iterdir():
            (tmp_path / kind / path.name).write_bytes(path.read_bytes())
    (tmp_path / "photos" / "reef_2024_q9.jpg").write_bytes(b"no photo")
    images.write(tmp_path / "photos" / "reef_2024_q8.jpg", np.zeros((20, 30, 3), np.uint8))
    perfect("grid")
    result = evaluate.main(task="grid", rendered=tmp_path)
    assert [Path(path).stem for path in result["skipped"]] == ["reef_2024_q8", "reef_2024_q9"]
    assert "its truth is for (320, 240)" in list(result["skipped"].values())[0]
    assert result["photos"] == 8


def test_wishes_that_do_not_fit_are_refused(data: dict[str, Path], rendered: Path, perfect, tmp_path: Path) -> None:
    perfect("corners")
    for wishes, message in (
        ({}, "expected photos"),
        ({"rendered": rendered, "data": data["points"]}, "choose one"),
        ({"rendered": rendered, "field": "a"}, "name it"),
        ({"rendered": rendered, "fiftyone": "a"}, "needs --field"),
        ({"rendered": tmp_path}, "holds no"),
        ({"data": data["points"]}, "was prepared for 'grid'"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate.main(**wishes)
    perfect("grid")
    with pytest.raises(ValueError, match="no photo in split 'val'"):
        evaluate.main(data=data["points"], split="val")
