from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from coral_seg_yolo import model, predict
from quadrat import images, masks
from quadrat.formats import coco, cvat_xml, shapes_json
from quadrat.predictor import Card

from .conftest import disc, write_sample


class Fake:
    """Finds one colony, and counts how often it is asked."""

    card = Card("fake", "instances", ("Porites",), note="made up")

    def __init__(self) -> None:
        self.calls = 0

    def predict(self, image_rgb: np.ndarray, *, threshold: float | None = None) -> list:
        self.calls += 1
        return [masks.instance_from_mask("Porites", disc((40, 40), 10), score=0.5)]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(model, "load", lambda *_, **__: made)
    (tmp_path / "w.pt").write_bytes(b"weights")
    monkeypatch.setattr(model, "find_weights", lambda _: tmp_path / "w.pt")
    return made


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write_sample(tmp_path, name, {"Porites": disc((40, 40), 20)})
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff no photo")
    images.write(tmp_path / "photos" / "sub" / "a.png", np.zeros((96, 96, 3), np.uint8))
    images.write(tmp_path / "photos" / "a.png", np.zeros((96, 96, 3), np.uint8))
    return tmp_path / "photos"


def test_a_bad_photo_does_not_stop_the_others(photos: Path, fake: Fake, tmp_path: Path) -> None:
    out = tmp_path / "out"
    failed = predict.main([photos], out)
    assert list(failed) == [photos / "bad.jpg"]
    assert fake.calls == 5
    shapes = {path.relative_to(out / "shapes").as_posix() for path in (out / "shapes").rglob("*.json")}
    assert shapes == {"a.json", "a.png.json", "b.json", "c.json", "sub/a.json"}
    assert len(list((out / "overlays").rglob("*.jpg"))) == 5
    known = shapes_json.read(out / "shapes" / "sub" / "a.json")
    assert known.image == "sub/a.png"
    assert known.meta["note"] == "made up"
    assert known.instances[0].score == 0.5
    assert len(coco.read(out / "coco.json")) == 5
    assert len(cvat_xml.read(out / "cvat.xml")) == 5


def test_what_is_done_is_not_done_again_unless_settings_change(photos: Path, fake: Fake, tmp_path: Path) -> None:
    predict.main([photos], tmp_path / "out", overlays=False)
    predict.main([photos], tmp_path / "out", overlays=False)
    assert fake.calls == 5
    (tmp_path / "out" / "shapes" / "b.json").write_text("{")
    predict.main([photos], tmp_path / "out", overlays=False)
    assert fake.calls == 6
    predict.main([photos], tmp_path / "out", overlays=False, confidence=0.4)
    assert fake.calls == 11
    (tmp_path / "w.pt").write_bytes(b"other weights")
    predict.main([photos], tmp_path / "out", overlays=False, confidence=0.4)
    assert fake.calls == 16


def test_the_command_with_real_weights(photos: Path, make_weights, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "coral_seg_yolo.predict", str(photos), "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, "--weights", str(make_weights("yolo11n-seg"))], capture_output=True, text=True)
    assert done.returncode == 1
    assert "failed" in done.stderr
    assert "bad.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "out" / "shapes").rglob("*.json"))) == 5
    done = subprocess.run([*command, "--weights", str(tmp_path / "no.pt")], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("predict: ")


@pytest.mark.parametrize("module", ["predict", "prepare", "evaluate", "export", "model", "train"])
def test_importing_a_command_imports_no_framework(module: str) -> None:
    code = f"import sys, coral_seg_yolo.{module}; print([m for m in ('torch', 'ultralytics', 'openvino', 'fiftyone') if m in sys.modules])"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
