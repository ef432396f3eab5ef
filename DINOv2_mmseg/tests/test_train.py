"""Whole trainings of a tiny network: what they leave, how they stop and go on, what is refused."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from DINOv2_mmseg import folder, foreign, network, train
from DINOv2_mmseg.optimizing import rate_factor
from quadrat import held_out
from quadrat.held_out import HeldOutError
from quadrat.predictor import read_card

from .conftest import OTHER_LABELS, ROOT, Trained
from .tiny_segmenter import LABELS, TINY, tiny_model, write_folder

Command = Callable[..., list[str]]


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def losses_of(run: Path) -> list[tuple[str, ...]]:
    names = ("step", "train/loss", "train/loss_ce", "train/loss_dice", "train/lr")
    return [tuple(row[name] for name in names) for row in rows_of(run)]


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Nested values that are equal, tensors to the bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}.{number}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


# ------------------------------------------------------------------------------------------ what a run leaves


def test_a_run_leaves_all_that_is_needed_to_judge_use_and_repeat_it(trained: Trained) -> None:
    assert trained.status["whole"] == 0, trained.said["whole"]
    run = trained.run("whole")
    names = ("config.json", "config.py", "curves.png", "checkpoints/last.pth", "weights/best.json")
    assert all((run / name).is_file() for name in names)
    assert list(run.rglob("events.out.tfevents*"))
    made = json.loads((run / "provenance.json").read_text())
    assert (made["seed"], made["data"]["folder"]) == (3, str(trained.data["dense"]))
    assert {"torch", "timm"} <= set(made["packages"])
    assert json.loads((run / "config.json").read_text())["accumulate"] == 2
    for kind in ("best", "last"):
        path = run / "weights" / f"{kind}.safetensors"
        assert network.read_spec(path).labels == LABELS
        card = read_card(path)
        assert card is not None
        assert (card.name, card.task, card.labels, card.background) == ("whole", "semantic", LABELS, LABELS[:1])
        assert (card.trained_on, card.note) == ("drawn discs", "a note")
    result = json.loads((run / "result.json").read_text())
    assert set(result) == {"step", *(f for f in ("miou", "overall_accuracy", "mean_accuracy", "dice"))} | {
        "frequency_weighted_iou"
    }
    assert f"miou {result['miou']:.4g}" in trained.said["whole"]


def test_metrics_hold_a_row_a_step_and_figures_where_it_was_validated(trained: Trained) -> None:
    rows = rows_of(trained.run("whole"))
    assert [row["step"] for row in rows] == [str(step) for step in range(1, 9)]
    assert [row["step"] for row in rows if row["val/miou"]] == ["4", "8"]
    for row in rows:
        parts = float(row["train/loss_ce"]) + float(row["train/loss_dice"])
        assert float(row["train/loss"]) == pytest.approx(parts, rel=1e-4)


def test_the_rate_that_is_noted_is_the_one_that_was_learnt_at(trained: Trained) -> None:
    rates = [float(row["train/lr"]) for row in rows_of(trained.run("whole"))]
    assert rates == pytest.approx([0.001 * rate_factor(step, 8, 1) for step in range(8)], rel=1e-5)
    assert {float(row["train/lr"]) for row in rows_of(trained.run("patient"))} == {0.0}


def test_averaged_weights_are_what_is_kept(trained: Trained) -> None:
    """The checkpoint holds the averaged weights and, beside them, those that go on learning."""
    run = trained.run("whole")
    kept = foreign.read_checkpoint(run / "checkpoints" / "last.pth")
    name = "backbone.vit.blocks.0.mlp.fc1.weight"
    averaged, learning = kept["state_dict"][name], kept["ema_state_dict"][f"module.{name}"]
    assert not torch.equal(averaged, learning)
    assert torch.equal(network.tensors_of(run / "weights" / "last.safetensors")[name], averaged)


# ------------------------------------------------------------------------------------------ stop and go on


@pytest.fixture(scope="module")
def gone_on(trained: Trained, command_of: Command) -> Trained:
    """The stopped run after attempts to go on with it in ways that are refused, then in the right one."""
    data, again = trained.data, lambda of, *more: {"argv": command_of(data[of], "cut", "--resume", *more)}
    shutil.copytree(trained.run("cut"), trained.run("before"))
    trained.do(
        {
            "another rate": again("dense", "lr=0.5"),
            "another number of photos": again("dense", "--overfit", "2"),
            "other data": again("other"),
            "not a new one": {"argv": command_of(data["dense"], "cut", *TINY)},
            "rest": again("dense"),
            "finished": again("dense"),
            "none": {"argv": command_of(data["dense"], "nowhere", "--resume")},
        }
    )
    return trained


def test_ctrl_c_stops_after_the_step_and_says_how_to_go_on(trained: Trained, gone_on: Trained) -> None:
    assert trained.status["cut"] == train.EXIT_STOPPED, trained.said["cut"]
    assert "stopped; go on with --resume --name cut" in trained.said["cut"]
    assert "SIGINT: stopping after this step" in trained.said["cut"]
    stopped = trained.run("before")
    assert [row["step"] for row in rows_of(stopped)] == ["1", "2", "3", "4", "5", "6"]  # 6 ends the double step
    assert not (stopped / "result.json").exists()


def test_a_stopped_run_goes_on_with_the_numbers_of_an_unbroken_one(gone_on: Trained) -> None:
    """Sampling, dropped paths, dropout, added-up gradients, rates and averaged weights: all to the last digit."""
    assert gone_on.status["rest"] == 0, gone_on.said["rest"]
    whole, cut = gone_on.run("whole"), gone_on.run("cut")
    assert losses_of(cut) == losses_of(whole)
    assert rows_of(cut) == rows_of(whole)
    wanted, got = (foreign.read_checkpoint(run / "checkpoints" / "last.pth") for run in (whole, cut))
    for part in ("state_dict", "ema_state_dict", "optimizer", "recorder"):
        assert_same(wanted[part], got[part], part)
    assert_same(*(json.loads((run / "result.json").read_text()) for run in (whole, cut)))


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ("another rate", "cannot go on with another lr"),
        ("another number of photos", "cannot go on with another overfit"),
        ("other data", "is not what"),
        ("not a new one", "go on with --resume"),
        ("finished", "is finished: start a new run, for example with init="),
        ("none", "no such run"),
    ],
)
def test_what_a_run_cannot_go_on_with_is_refused(gone_on: Trained, job: str, expected: str) -> None:
    assert gone_on.status[job] == 1
    assert expected in gone_on.said[job]
    assert "Traceback" not in gone_on.said[job]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_signals_to_the_whole_group_stop_cleanly(command_of: Command, tmp_path: Path, name: str) -> None:
    """Schedulers signal the workers, too."""
    command = [sys.executable, "-m", "DINOv2_mmseg.train", *command_of(write_folder(tmp_path / "data"), "s", *TINY)]
    command += ["workers=1", "batch_size=2", "steps=100000", "log_period=1"]
    environment = {**os.environ, "QUADRATSEG_RUNS": str(tmp_path)}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    run, until = tmp_path / "DINOv2_mmseg" / "s", time.monotonic() + 600
    while not (run / "metrics.csv").is_file() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.2)
    os.killpg(process.pid, getattr(signal, name))
    said, wrong = process.communicate(timeout=120)
    assert process.returncode == train.EXIT_STOPPED, wrong
    assert "go on with --resume --name s" in said


# ------------------------------------------------------------------------------------------ kinds of training


def test_two_photos_are_learnt_by_heart(trained: Trained) -> None:
    assert trained.status["overfit"] == 0, trained.said["overfit"]
    assert json.loads((trained.run("overfit") / "result.json").read_text())["miou"] > 0.95


def test_points_are_learnt_from_with_every_loss_and_in_16_bits(trained: Trained) -> None:
    assert trained.status["points"] == 0, trained.said["points"]
    rows = rows_of(trained.run("points"))
    terms = [f"train/loss_{name}" for name in ("ce", "dice", "focal", "lovasz")]
    for row in rows:
        assert all(0 < float(row[term]) < 10 for term in terms)
    assert 0 < float(rows[-1]["val/overall_accuracy"]) < 1


def test_a_frozen_backbone_stays_as_it_was_behind_a_stem_that_learns(trained: Trained) -> None:
    assert trained.status["frozen"] == 0, trained.said["frozen"]
    torch.manual_seed(0)
    begun = network.build(tiny_model(), len(LABELS)).state_dict()
    kept = network.tensors_of(trained.run("frozen") / "weights" / "last.safetensors")
    stem = "backbone.vit.patch_embed.proj."
    for name, value in begun.items():
        if name.startswith("backbone.") and not name.startswith(stem):
            assert torch.equal(kept[name], value.float() if value.is_floating_point() else value), name
    for learnt in ("decode_head.conv_seg.weight", f"{stem}last.weight"):
        assert not torch.equal(kept[learnt], begun[learnt])


def test_dinov3_learns_by_low_rank_additions_after_it_was_validated(trained: Trained) -> None:
    assert trained.status["dinov3"] == 0, trained.said["dinov3"]
    loaded, spec = network.load(trained.run("dinov3") / "weights" / "best.safetensors")
    assert spec.model["backbone"]["tune"] == "lora"
    added = {name: value for name, value in loaded.named_parameters() if "lora_B" in name}
    assert len(added) == 4  # the attention's two matrices in two blocks
    assert all(value.abs().max() > 0 for value in added.values())  # they begin at 0


def test_patience_ends_a_run_that_gets_no_better(trained: Trained) -> None:
    """Nothing is learnt at a rate of 0; only what batch norms have seen changes."""
    assert trained.status["patient"] == 0, trained.said["patient"]
    run = trained.run("patient")
    figures = [(float(row["val/miou"]), -int(row["step"])) for row in rows_of(run)]
    best = max(figures)  # of equal ones the first
    assert len(figures) == -best[1] + 2 < 30
    assert json.loads((run / "result.json").read_text())["step"] == -best[1]
    kept = {int(path.stem.removeprefix("step-")) for path in (run / "weights").glob("step-*.safetensors")}
    assert kept == {-step for _, step in sorted(figures, reverse=True)[:2]}
    assert {path.name.split(".")[0] for path in (run / "weights").glob("step-*.card.yaml")} == {
        f"step-{step}" for step in kept
    }


def test_fine_tuning_to_other_classes_begins_the_last_layer_anew(trained: Trained) -> None:
    assert trained.status["anew"] == 0, trained.said["anew"]
    assert "begins anew: conv_seg of the head" in trained.said["anew"]
    first = network.tensors_of(trained.run("whole") / "weights" / "best.safetensors")
    second = network.tensors_of(trained.run("anew") / "weights" / "last.safetensors")
    assert second["decode_head.conv_seg.weight"].shape[0] == len(OTHER_LABELS)
    same = [name for name in first if "running_" not in name and "num_batches" not in name and "conv_seg" not in name]
    assert all(torch.equal(first[name], second[name]) for name in same)


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ("misfit", "is of another backbone"),
        ("crop", "crop_px is 60: expected a multiple of the patch, 16 px, such as 64"),
    ],
)
def test_what_does_not_fit_is_refused(trained: Trained, job: str, expected: str) -> None:
    assert trained.status[job] == 1
    assert expected in trained.said[job]
    assert "Traceback" not in trained.said[job]


# ------------------------------------------------------------------------------------------ refused before training


@pytest.fixture
def unrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of runs, which stays empty: nothing is trained in this process."""
    monkeypatch.setenv("QUADRATSEG_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(train, "_fit", lambda *_: pytest.fail("training began"))
    return tmp_path / "runs"


def test_classes_that_differ_are_named_side_by_side(trained: Trained, unrun: Path) -> None:
    with pytest.raises(
        ValueError, match=r"config has 3, only there: \['Acropora'\]; data has 4, only there: .*'Fungia'"
    ):
        train.main(trained.data["other"], overrides=[*TINY, f"classes={list(LABELS)}"])
    turned = [*LABELS[1:], LABELS[0]]
    with pytest.raises(ValueError, match="the same names in another order: config .* data"):
        train.main(trained.data["dense"], overrides=[*TINY, f"classes={turned}"])
    assert not unrun.exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"pixels": {"background": 9, "Porites": 9, "Acropora": 0}}, "no pixel in train of the classes Acropora"),
        ({"photos": {"train": 3, "val": 0, "test": 0}}, "no photo in val"),
        ({"photos": {"train": 0, "val": 0, "test": 0}}, "no photo in train and val"),
    ],
)
def test_folders_that_cannot_be_trained_on_are_refused(
    tmp_path: Path, unrun: Path, change: dict[str, Any], expected: str
) -> None:
    from dataclasses import replace

    data = write_folder(tmp_path / "data")
    folder.write(data, replace(folder.read(data), **change))
    with pytest.raises(ValueError, match=expected):
        train.main(data, overrides=TINY)
    assert not unrun.exists()


@pytest.mark.parametrize("split", ["train", "val"])
def test_photos_of_a_test_split_are_refused(tmp_path: Path, unrun: Path, split: str) -> None:
    data = write_folder(tmp_path / "data")
    (data / "test" / "labels").mkdir()
    photo, label = folder.pairs(data, split)[0]
    for path, kind in ((photo, "data"), (label, "labels")):
        (data / "test" / kind / path.name).write_bytes(path.read_bytes())
    with pytest.raises(HeldOutError, match=f"are of the test split.*{photo.stem}"):
        train.main(data, overrides=TINY)
    assert not unrun.exists()


def test_a_folder_for_evaluation_is_refused(tmp_path: Path, unrun: Path) -> None:
    data = write_folder(tmp_path / "data")
    held_out.write(data, {"train": [], "val": [], "test": [photo for photo, _ in folder.pairs(data, "train")]})
    for overfit in (0, 2):
        with pytest.raises(HeldOutError, match="was prepared with --only test"):
            train.main(data, overrides=TINY, overfit=overfit)
    assert not unrun.exists()


def test_no_prepared_folder_and_unknown_settings_are_refused(
    tmp_path: Path, unrun: Path, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.run(["--data", str(tmp_path)]) == 1
    assert "is no prepared folder" in capsys.readouterr().err
    assert train.run(["--data", str(trained.data["dense"]), "step=3"]) == 1
    assert "unknown key 'step'; did you mean steps" in capsys.readouterr().err
    assert not unrun.exists()


def test_several_gpus_are_started_by_torchs_launcher(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[list[str], dict[str, str]]] = []

    def started(command: list[str], env: dict[str, str], check: bool) -> Any:
        calls.append((command, env))
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr(train.subprocess, "run", started)
    monkeypatch.setenv("QUADRATSEG_RUNS", str(tmp_path))
    monkeypatch.delenv("RANK", raising=False)
    data = str(trained.data["dense"])
    assert train.run(["--data", data, "--name", "two", "--device", "0,1", "steps=3"]) == 7
    command, environment = calls[0]
    assert command[1:] == [
        *("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
        *("-m", "DINOv2_mmseg.train", "--data", data, "--name", "two", "steps=3"),
    ]
    assert environment["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert train.run(["--data", data, "--device", "0,1"]) == 1
    assert "give the run a --name" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ValueError, match="--device cuda: torch sees no GPU"):
        train._choose_device("cuda")
