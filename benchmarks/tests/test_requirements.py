from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import requirements
from benchmarks.footprint import PARAMETER_BYTES, Clock, Kept

ROOT = Path(__file__).parents[2]
MEASURED = {"seconds": 4.0, "core_seconds": 7.0, "ready_s": 5.04, "memory_gib": 2.0, "gpu_gib": None}
STEP = {**MEASURED, "gpu_reserved_gib": None, "kept_gib": 1.0, "fixed_gib": 0.5}


def test_a_step_of_two_photos_is_told_a_photo_and_for_eight():
    page = requirements.table({"rows": [{"name": "train", "photos": 2, **STEP}]})
    assert page.splitlines()[-1] == "| train | 2.00 | 3.50 | 5.0 | 2.00 |  | 4.5 |"


def test_what_did_not_fit_is_told():
    page = requirements.table({"rows": [{"name": "train", "photos": 8, "failed": "out of memory"}]})
    assert page.splitlines()[-1].startswith("| train | out of memory |")
    assert len({line.count("|") for line in page.splitlines()}) == 1


def test_every_network_of_the_configs_is_measured(tmp_path):
    rows = list(requirements._rows(tmp_path, "cuda", 8))
    for folder in requirements.CONFIGS.values():
        files = (ROOT / "coral_seg_yolo" / "configs" / folder).glob("yolo*.yaml")
        wanted = {f"{folder}/{file.name}" for file in files}
        assert wanted
        assert wanted <= {row.job.get("config") for row in rows}


def test_the_parents_memory_is_not_counted(tmp_path):
    ballast = np.ones(110 * 2**20)
    found = requirements._measure(requirements.Row("render", {"job": "render", "count": 2, "size_px": 160}), tmp_path)
    assert 0.05 < found["memory_gib"] < ballast.nbytes / 2**30
    assert found["seconds"] > 0
    assert found["ready_s"] > 0


def test_the_first_lap_does_not_count():
    clock = Clock()
    clock.laps = [(9.0, 9.0), (2.0, 4.0), (3.0, 3.0)]
    found = clock.footprint()
    assert (found.seconds, found.core_seconds) == (2.0, 3.0)


def test_kept_counts_what_the_backward_pass_needs():
    torch = pytest.importorskip("torch")
    layer, kept = torch.nn.Linear(10, 20, bias=False), Kept()
    with kept.counting():
        for photos in (4, 2):
            kept.clear()
            torch.relu(layer(torch.ones(photos, 10))).sum().backward()
            kept.end_step(layer)
    assert kept.most == 4 * (10 + 20) * 4  # photos x (what goes in, what relu gives) x bytes
    assert kept.fixed == 200 * PARAMETER_BYTES
