"""Trainings of a tiny network on drawn photos, made once for all tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .tiny_segmenter import LABELS, TINY, write_folder

os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[2]
OTHER_LABELS = ("background", "Pavona", "Fungia", "Porites")

_COMMANDS = """
import contextlib, io, json, os, signal, sys, traceback
from DINOv2_mmseg import train
from DINOv2_mmseg.views import Views

plain, now = Views.__getitem__, {}

def interrupting(self, i):
    now["samples"] += 1
    if now["samples"] == now["interrupt_at"]:
        os.kill(os.getpid(), signal.SIGINT)  # what Ctrl-C sends
    return plain(self, i)

Views.__getitem__ = interrupting
for job in json.load(sys.stdin):
    now.update(samples=0, interrupt_at=job["interrupt_at"])
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = train.run(job["argv"])
        except BaseException:
            traceback.print_exc()
            status = -1
    print(json.dumps([status, said.getvalue()]), flush=True)
"""


@dataclass
class Trained:
    """What commands of training did.

    Attributes:
        runs: folder of all runs.
        data: prepared folders by name.
        status: exit status of each command.
        said: what it wrote.
    """

    runs: Path
    data: dict[str, Path]
    status: dict[str, int] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    def run(self, name: str) -> Path:
        """A run's folder."""
        return self.runs / "DINOv2_mmseg" / name

    def do(self, jobs: dict[str, dict[str, Any]]) -> None:
        """Run commands one after another in a process of its own: one that has used OpenVINO may not train."""
        given = [{"interrupt_at": 0, **job} for job in jobs.values()]
        environment = {**os.environ, "QUADRATSEG_RUNS": str(self.runs), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-W", "ignore", "-c", _COMMANDS]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, input=json.dumps(given), capture_output=True, text=True, check=False
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
        assert len(lines) == len(jobs), done.stderr
        for name, line in zip(jobs, lines, strict=True):
            self.status[name], self.said[name] = json.loads(line)


@pytest.fixture(scope="session")
def command_of() -> Callable[..., list[str]]:
    """A function that gives the arguments of a training."""

    def command(data: Path, name: str, *more: str) -> list[str]:
        return ["--data", str(data), "--name", name, "--device", "cpu", *more]

    return command


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, command_of: Callable[..., list[str]]) -> Trained:
    """A whole run, the same one stopped by Ctrl-C, and runs of every other kind."""
    root = tmp_path_factory.mktemp("trained")
    made = Trained(
        root / "runs", {"dense": write_folder(root / "dense"), "other": write_folder(root / "other", OTHER_LABELS)}
    )
    made.data["points"] = write_folder(root / "points", points=True)
    few = [*TINY, "steps=2", "val_period=1", "batch_size=2", "warmup_steps=1", "workers=0", "log_period=1"]
    same = [*few, "steps=8", "val_period=4", "accumulate=2", "ema=0.9", "augment.tilt_deg=10", "losses.dice=0.5"]
    same += [f"classes={list(LABELS)}", "model.decode_head.dropout_ratio=0.3"]
    same += ["model.backbone.arguments.drop_path_rate=0.3", "--seed", "3"]
    dinov3 = [
        *few,
        "model.backbone.name=vit_small_patch16_dinov3",
        "model.backbone.stem=patch",
        "model.backbone.lora_rank=2",
    ]
    dense = made.data["dense"]
    all_losses = [
        "losses.focal=0.5",
        "losses.lovasz=0.5",
        "losses.dice=0.5",
        "class_weights=balanced",
        "precision=bf16",
    ]
    still = ["lr=0", "ema=0", f"init={made.run('whole')}"]
    learn = ["steps=160", "val_period=160", "lr=0.005", "warmup_steps=10", "model.decode_head.dropout_ratio=0"]
    learn += [
        "model.backbone.arguments.patch_size=8",
        "model.backbone.stem_widths=[8, 16]",
        "model.decode_head.channels=32",
    ]
    jobs: dict[str, dict[str, Any]] = {
        "whole": {"argv": command_of(dense, "whole", *same)},
        "cut": {"argv": command_of(dense, "cut", *same), "interrupt_at": 9},  # in the first half of a double step
        "points": {"argv": command_of(made.data["points"], "points", *few, *all_losses)},
        "frozen": {"argv": command_of(dense, "frozen", *few, "model.backbone.tune=frozen", "workers=1")},
        "dinov3": {"argv": command_of(dense, "dinov3", *dinov3, "model.backbone.tune=lora")},
        "patient": {"argv": command_of(dense, "patient", *few, "lr=0", "steps=30", "patience=2", "keep_best=2")},
        "anew": {"argv": command_of(made.data["other"], "anew", *few, *still)},
        "misfit": {"argv": command_of(dense, "misfit", *few, *still, "model.backbone.arguments.embed_dim=16")},
        "crop": {"argv": command_of(dense, "crop", *few, "crop_px=60")},
        "overfit": {"argv": command_of(dense, "overfit", *few, *learn, "--overfit", "2")},
    }
    made.do(jobs)
    return made
