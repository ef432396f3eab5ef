"""Training: samples, losses, a whole small run, a stop in the middle and going on as if there had been none."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from grid_inpainting import folder, model, train
from grid_inpainting.critic import Critic, Perceptual, critic_loss, deceive, l1_in
from grid_inpainting.folder import Manifest
from grid_inpainting.pairs import Pairs, Steps, _crops, draw_strokes
from grid_inpainting.settings import Settings
from grid_inpainting.training import learning_rate
from quadrat import held_out, images
from quadrat.held_out import HeldOutError

ROOT = Path(__file__).parents[2]
TINY = [
    "width=4",
    "blocks=1",
    "crop_px=32",
    "batch=2",
    "steps=6",
    "validate_every=3",
    "validation_samples=4",
    "workers=0",
]
TINY += ["warmup=1", "precision=32-true", "stroke_px=[2,4]"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of four photos: two with strings for training, one without, one for validation."""
    root = tmp_path_factory.mktemp("data") / "pairs"
    rng = np.random.default_rng(0)
    for number, split in enumerate(("train", "train", "train", "val")):
        clean = cv2.GaussianBlur(rng.integers(0, 256, (90, 120, 3), np.uint8), (0, 0), 2)
        images.write(root / "clean" / split / f"p{number}.png", clean)
        if number == 2:
            continue
        strings = np.zeros((90, 120), np.uint8)
        strings[40:44] = 255
        photo = np.where(strings[..., None] > 0, np.uint8(240), clean)
        images.write(root / "photos" / split / f"p{number}.png", photo)
        images.write(root / "strings" / split / f"p{number}.png", strings)
    counts = {"train": 3, "val": 1, "test": 0}
    folder.write(root, Manifest("rendered quadrats", "a note", 0, counts, {"train": 2, "val": 1, "test": 0}))
    return root


@pytest.fixture(autouse=True)
def _runs_go_to_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUADRATSEG_RUNS", str(tmp_path / "runs"))


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


_TRAIN = """
import json, os, signal, sys
from pathlib import Path
from grid_inpainting import train
from grid_inpainting.pairs import Pairs

given = json.loads(sys.argv[1])
plain, calls = Pairs.__getitem__, []

def interrupting(self, index):
    calls.append(index)
    if len(calls) == given["interrupt_at"]:
        os.kill(os.getpid(), signal.SIGINT)  # what Ctrl-C sends
    return plain(self, index)

Pairs.__getitem__ = interrupting
run, figures = train.main(
    Path(given["data"]), name=given["name"], overrides=given["overrides"], resume=given["resume"], device="cpu"
)
print(json.dumps([str(run), figures]))
"""


def trained(
    data: Path, name: str, overrides: list[str] | tuple[()] = (), *, resume: bool = False, interrupt_at: int = 0
) -> tuple[Path, dict[str, float] | None]:
    """Train in a process of its own: one that has used OpenVINO, as other tests do, may not survive training after it.

    Args:
        data: prepared folder.
        name: of the run.
        overrides: of the settings.
        resume: go on with the run.
        interrupt_at: which sample's loading shall send the process SIGINT; 0: none.
    """
    given = {"data": str(data), "name": name, "overrides": list(overrides), "resume": resume}
    command = [sys.executable, "-W", "ignore", "-c", _TRAIN, json.dumps({**given, "interrupt_at": interrupt_at})]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run, figures = json.loads(done.stdout.splitlines()[-1])
    return Path(run), figures


def test_a_run_leaves_all_that_is_needed_to_judge_use_and_repeat_it(data: Path) -> None:
    run, figures = trained(data, "a", TINY)
    assert figures is not None
    assert set(figures) >= {"val/psnr", "val/ssim", "val/l1", "step"}
    names = ("config.yaml", "provenance.json", "result.json", "curves.png", "checkpoints/last.ckpt", "weights/last.pt")
    for name in names:
        assert (run / name).is_file(), name
    assert list((run / "tensorboard").glob("events*"))
    with (run / "metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["3", "6"]
    remover = model.load("a")
    assert (remover.card.trained_on, remover.card.note) == ("rendered quadrats", "a note")
    mask = np.zeros((40, 40), bool)
    mask[20] = True
    assert remover.remove(np.full((40, 40, 3), 90, np.uint8), mask=mask).painted_fraction > 0


def test_a_stopped_run_goes_on_as_if_nothing_had_been(data: Path) -> None:
    adversary = [*TINY, "adversarial=0.1", "feature_matching=1", "r1=0.001", "l1_known=1"]
    whole, _ = trained(data, "whole", adversary)
    cut, figures = trained(data, "cut", adversary, interrupt_at=7)
    assert figures is None
    assert 0 < int(weights_of(cut)["steps_done"]) < 6
    _, figures = trained(data, "cut", resume=True)
    assert figures is not None
    wanted, got = weights_of(whole), weights_of(cut)
    assert wanted.keys() == got.keys()
    for name, value in wanted.items():
        assert torch.allclose(value.double(), got[name].double(), atol=1e-6), name
    with pytest.raises(ValueError, match="is finished"):
        train.main(data, name="cut", resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_the_command_stops_on_signals_and_says_how_to_go_on(data: Path, tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-m", "grid_inpainting.train", "--data", str(data), "--name", "s", "--device", "cpu"]
    environment = {**os.environ, "QUADRATSEG_RUNS": str(tmp_path / "runs")}
    process = subprocess.Popen(
        [*command, *TINY, "steps=100000"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    run = tmp_path / "runs" / "grid_inpainting" / "s"
    until = time.monotonic() + 120
    while not (run / "metrics.csv").is_file() and time.monotonic() < until:
        time.sleep(0.2)
    process.send_signal(getattr(signal, name))
    said, _ = process.communicate(timeout=60)
    assert process.returncode == train.EXIT_STOPPED
    assert "go on with --resume --name s" in said
    done = int(weights_of(run)["steps_done"])
    more = subprocess.run(
        [*command, "--resume", f"steps={done + 2}"], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    assert b"psnr" in more.stdout


@pytest.mark.slow
def test_a_sound_network_learns_two_samples_by_heart(data: Path) -> None:
    few = ["width=16", "blocks=2", "crop_px=64", "precision=32-true", "lr=0.003"]
    _, figures = train.main(data, name="o", overrides=few, overfit=2, device="cpu")
    assert figures["val/psnr"] > 30


def test_what_cannot_change_on_resuming_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid_inpainting.train._fit", lambda *_: None)
    train.main(data, name="a", overrides=TINY)
    with pytest.raises(ValueError, match="another width"):
        train.main(data, name="a", resume=True, overrides=["width=8"])
    train.main(data, name="a", resume=True, overrides=["steps=9"])
    with pytest.raises(FileExistsError, match="--resume"):
        train.main(data, name="a", overrides=TINY)


def test_fine_tuning_begins_with_given_weights_and_refuses_others(data: Path) -> None:
    first, _ = trained(data, "first", TINY)
    none = [*TINY, "steps=1", "validate_every=1", "lr=0", f"init={first}"]
    second, _ = trained(data, "second", none)
    begun, kept = weights_of(second), torch.jit.load(first / "weights" / "best.pt").state_dict()
    name = "generator.model.1.ffc.convl2l.weight"
    assert torch.equal(begun[f"painter.{name}"], kept[name])
    with pytest.raises(ValueError, match="init is of another network"):
        train.main(data, name="third", overrides=[*TINY, "width=8", f"init={first}"], device="cpu")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("crop_px=30", "crop_px"),
        ("hole=gray", "black or diffused"),
        ("zoom=[2,1]", "low <= high"),
        ("perceptual=1", "perceptual_weights"),
        ("wdth=3", "did you mean width"),
        ("batch=0", "no GPU"),
    ],
)
def test_unfit_settings_are_refused(data: Path, override: str, expected: str) -> None:
    if override == "batch=0" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=expected):
        train.main(data, overrides=[*TINY, override], device="cpu")


@pytest.mark.parametrize("split", ["train", "val"])
def test_photos_of_a_test_split_are_refused(data: Path, tmp_path: Path, split: str) -> None:
    own = Path(shutil.copytree(data, tmp_path / "own"))
    photos = {each: sorted((own / "clean" / each).iterdir()) for each in ("train", "val")}
    held_out.write(own, {**photos, split: photos[split][1:], "test": photos[split][:1]})
    with pytest.raises(HeldOutError, match=f"photos for {split} are of the test split.*{photos[split][0].name}"):
        train.main(own, overrides=TINY, device="cpu")
    assert not (tmp_path / "runs").exists()


def test_a_folder_for_evaluation_is_refused(data: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(data, tmp_path / "own"))
    held_out.write(own, {"train": [], "val": [], "test": sorted((own / "clean" / "train").iterdir())})
    assert train.run(["--data", str(own), *TINY]) == 1
    with pytest.raises(HeldOutError, match="was prepared with --only test"):
        train.main(own, overrides=TINY, overfit=2, device="cpu")
    assert not (tmp_path / "runs").exists()


def test_samples_are_the_same_whoever_draws_them(data: Path) -> None:
    settings = Settings(crop_px=32, drawn=0.5)
    one, other = (Pairs(folder.pairs(data, "train"), settings, seed=3) for _ in range(2))
    for index in (5, 0, 41):
        first, second = one[index], other[index]
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(one[1]["image"], one[2]["image"])


def test_samples_hide_strings_and_keep_what_belongs_there(data: Path) -> None:
    samples = Pairs(folder.pairs(data, "train")[:1], Settings(crop_px=32, drawn=0, colour=0, zoom=[1, 1]), seed=0)
    for index in range(10):
        sample = samples[index]
        differ = (sample["image"] - sample["target"]).abs().amax(0, keepdim=True) > 0.01
        assert differ.any()
        assert (sample["mask"][differ] == 1).all()  # nothing of a string is left to see
        assert sample["mask"].mean() < 0.5
        assert sample["image"].shape == (3, 32, 32)


def test_photos_smaller_than_a_sample_do() -> None:
    rng = np.random.default_rng(0)
    for size in ((20, 200), (3, 3), (40, 40)):
        photo = rng.integers(0, 256, (*size, 3), np.uint8)
        (part,) = _crops(rng, (photo,), (1.0, 1.0), Settings(crop_px=64))
        assert part.shape == (64, 64, 3)


def test_strokes_are_thin_and_somewhere() -> None:
    shares = [draw_strokes(np.random.default_rng(k), 128, [3, 12]).mean() for k in range(40)]
    assert 0.02 < np.mean(shares) < 0.5
    assert np.count_nonzero(np.array(shares) == 0) < 5


def test_steps_of_several_processes_share_the_samples_and_go_on_where_they_were() -> None:
    every = list(Steps(0, 6, 4))
    assert sorted(n for rank in (0, 1) for n in Steps(0, 6, 2, rank, 2)) == every
    assert list(Steps(4, 6, 4)) == every[16:]


def test_the_learning_rate_rises_and_falls() -> None:
    settings = Settings(steps=100, warmup=10, last_lr=0.1)
    rates = [learning_rate(step, settings) for step in range(100)]
    assert rates[9] == 1
    assert np.argmax(rates) in (9, 10)
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_losses_look_at_the_hole() -> None:
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 10:14, :] = 1
    target = torch.rand(1, 3, 32, 32)
    assert l1_in(mask, target + (1 - mask), target) == 0
    assert l1_in(mask, target + 0.5 * mask, target) == pytest.approx(0.5)
    assert l1_in(mask * 0, target + 1, target) == 0
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    deceive(logits, mask).backward()
    assert (logits.grad[0, 0, 2:4] < 0).all()
    assert (logits.grad[0, 0, 5:] == 0).all()


def test_the_critics_penalty_is_the_slope_on_true_pictures() -> None:
    torch.manual_seed(0)
    critic = Critic(width=4, layers=2).eval()
    true, painted, mask = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    with_it = critic_loss(critic, true, painted, mask, r1=0.7)
    without = critic_loss(critic, true, painted, mask, r1=0.0)
    probe = true.clone().requires_grad_()
    critic(probe)[0].sum().backward()
    assert float(with_it - without) == pytest.approx(
        0.7 * float(probe.grad.square().flatten(1).sum(1).mean()), rel=1e-4
    )


def test_perceptual_weights_are_a_state_dict_of_a_resnet50(tmp_path: Path) -> None:
    from torchvision.models import resnet50

    torch.manual_seed(0)
    torch.save(resnet50(weights=None).state_dict(), tmp_path / "resnet50.pth")
    distance = Perceptual(tmp_path / "resnet50.pth")
    picture = torch.rand(1, 3, 64, 64)
    assert distance(picture, picture) == 0
    assert distance(picture, 1 - picture) > 0
    assert not any(parameter.requires_grad for parameter in distance.parameters())
    (tmp_path / "other.pth").write_text("no weights")
    with pytest.raises(ValueError, match="expected a state dict of torchvision's resnet50"):
        Perceptual(tmp_path / "other.pth")


def test_the_run_says_what_it_was_made_of(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid_inpainting.train._fit", lambda *_: None)
    run, _ = train.main(data, name="a", overrides=TINY)
    made = json.loads((run / "provenance.json").read_text("utf-8"))
    assert made["data"]["folder"] == str(data)
    assert "pytorch-lightning" in made["packages"]
