from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from coral_seg_yolo import evaluate, prepare
from coral_seg_yolo.evaluate import KEYS
from quadrat.predictor import Card, write_card


def test_figures_of_a_prepared_folder(data: Path, make_weights) -> None:
    command = [sys.executable, "-m", "coral_seg_yolo.evaluate", "--data", str(data), "--split", "val", "--json"]
    done = subprocess.run(
        [*command, "--weights", str(make_weights("yolo11n-seg", classes=16, imgsz=64))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    for kind in ("mask", "box"):
        assert set(result[kind]) == set(KEYS)
        assert all(0 <= value <= 1 for value in result[kind].values())
    assert result["colonies"] == sum(one["support"] for one in result["classes"].values()) > 0
    assert set(result["classes"]) <= {f"coral{i}" for i in range(16)}


def test_an_empty_split_and_other_classes_are_refused(rendered: Path, data: Path, make_weights, tmp_path: Path) -> None:
    weights = tmp_path / "w.pt"
    weights.write_bytes(make_weights("yolo11n-seg").read_bytes())
    prepare.main(tmp_path / "data", rendered=rendered, only="val")
    with pytest.raises(ValueError, match="no photo in split 'test'"):
        evaluate.main(str(weights), data=tmp_path / "data")
    write_card(weights, Card("w", "instances", ("a", "b", "c")))
    with pytest.raises(ValueError, match="prepare at their level"):
        evaluate.main(str(weights), data=data, split="val")
    with pytest.raises(ValueError, match="expected one dataset"):
        evaluate.main(str(weights))
