from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from grid_pose_detection import model, predict
from quadrat import batch, images, template, verdict
from quadrat.formats import coco, cvat_xml, shapes_json, yolo_pose
from quadrat.predictor import Card
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Keypoints
from quadrat.verdict import FAILED, OK, REVIEW, Judged, Verdict

from .conftest import SIZE_WH, points_of, quadrat_in_photo, write_sample

LAYOUT = template.load("grid11x11")


class Fake:
    """Finds the grid of a photo; doubtful where it is dark, none where it is black."""

    card = Card("fake", "keypoints", ("grid",), note="made up", layouts=("grid11x11",))
    layouts = (LAYOUT,)
    confidence = 0.25

    def __init__(self) -> None:
        self.calls = 0

    def predict(self, image_rgb: np.ndarray, *, threshold: float | None = None) -> tuple:
        return self.predict_judged(image_rgb).shapes

    def predict_judged(self, image_rgb: np.ndarray, *, threshold: float | None = None) -> Judged:
        self.calls += 1
        light = int(image_rgb.mean())
        if light < 10:
            return Judged((), Verdict(FAILED, 0.0, ("no grid found",)))
        found = points_of(LAYOUT, quadrat_in_photo(LAYOUT), SIZE_WH)
        visibility = np.full(117, VISIBLE)
        visibility[[3, 4, 116]] = OCCLUDED, OCCLUDED, HIDDEN
        found = Keypoints(found.label, found.names, found.xy_px, visibility, attributes=found.attributes)
        doubt = Verdict(REVIEW, 0.4, ("points are missing", "too dark")) if light < 60 else Verdict(OK, 0.9)
        return verdict.judged(found, LAYOUT, doubt)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(model, "load", lambda *_, **__: made)
    (tmp_path / "w.pt").write_bytes(b"weights")
    monkeypatch.setattr(model, "find_weights", lambda *_: tmp_path / "w.pt")
    return made


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, light in (("light.jpg", 120), ("dark.png", 30), ("sub/black.png", 0)):
        images.write(tmp_path / "photos" / name, np.full((SIZE_WH[1], SIZE_WH[0], 3), light, np.uint8))
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff no photo")
    return tmp_path / "photos"


def test_points_and_verdicts_are_written_in_every_format(photos: Path, fake: Fake, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = predict.main([photos], out, task="grid")
    assert list(outcome.failed) == [photos / "bad.jpg"]
    dark = shapes_json.read(out / "shapes" / "dark.json")
    (grid,) = dark.keypoints
    assert (dark.meta["verdict"], dark.meta["reasons"]) == (REVIEW, ["points are missing", "too dark"])
    assert grid.attributes == {"verdict": REVIEW, "reasons": "points are missing; too dark", "layout": "grid11x11"}
    assert grid.score == 0.4
    black = shapes_json.read(out / "shapes" / "sub" / "black.json")
    assert (black.shapes, black.meta["verdict"]) == ((), FAILED)
    assert len(list((out / "overlays").rglob("*.jpg"))) == 3
    photos_of = {
        "coco": coco.read(out / "coco.json"),
        "cvat": cvat_xml.read(out / "cvat.xml"),
        "yolo": yolo_pose.read(out / "yolo_pose", photos),
    }
    for found in photos_of.values():
        by_name = {photo.image: photo.keypoints for photo in found}
        assert {name: len(each) for name, each in by_name.items()} == {
            "light.jpg": 1, "dark.png": 1, "sub/black.png": 0
        }  # fmt: skip
        (again,) = by_name["dark.png"]
        seen = np.asarray(grid.visibility) != HIDDEN
        assert again.names == grid.names
        assert again.visibility.tolist() == grid.visibility.tolist()
        np.testing.assert_allclose(again.xy_px[seen], grid.xy_px[seen], atol=0.01)


def test_the_summary_counts_and_gives_reasons(photos: Path, fake: Fake, tmp_path: Path) -> None:
    lines = predict.summary(predict.main([photos], tmp_path / "out", task="grid")).splitlines()
    assert lines == [
        "3 photos: 1 ok, 1 review, 1 failed",
        f"review {photos / 'dark.png'}: points are missing; too dark",
        f"failed {photos / 'sub' / 'black.png'}: no grid found",
    ]


def test_what_is_done_is_not_done_again_unless_settings_change(photos: Path, fake: Fake, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("lattice: {columns: 9, rows: 13}\n")

    def calls(**settings) -> int:
        before = fake.calls
        done = predict.main([photos], tmp_path / "out", task="grid", overlays=False, **settings).done
        assert set(batch.verdicts(done)) == {OK, REVIEW, FAILED}
        return fake.calls - before

    assert [calls(), calls(), calls(max_cost=0.2), calls(layout=own), calls(layout=own)] == [3, 0, 3, 3, 0]
    own.write_text("lattice: {columns: 9, rows: 13, on_frame: true}\n")
    assert calls(layout=own) == 3
    (tmp_path / "w.pt").write_bytes(b"other weights")
    assert calls(layout=own) == 3


def test_the_command_with_real_weights(make_weights: Callable[..., Path], tmp_path: Path, capsys) -> None:
    write_sample(tmp_path, "a", template.load("grid11x11"), 1)
    write_sample(tmp_path, "b", None, 2)
    command = [str(tmp_path / "photos"), "--task", "grid", "--out", str(tmp_path / "out")]
    command += ["--weights", str(make_weights("points", ["grid11x11"]))]
    assert predict.run(command) == 0
    assert capsys.readouterr().out.startswith("2 photos: ")
    assert len(list((tmp_path / "out" / "shapes").glob("*.json"))) == 2
    assert predict.run([*command, "--no-matching"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("predict: ")
    assert "matching cannot be switched off" in told
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff no photo")
    assert predict.run(command) == 1
    told = capsys.readouterr()
    assert "bad.jpg: ImageError" in told.err
    assert "2 photos: " in told.out


def test_importing_the_commands_imports_no_framework() -> None:
    modules = "grid_pose_detection.predict, grid_pose_detection.export, grid_pose_detection.model"
    code = f"import sys, {modules}; print([m for m in ('torch', 'ultralytics', 'openvino') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
