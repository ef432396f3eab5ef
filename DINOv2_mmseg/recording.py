"""What a run does beside learning: rates, figures, validation, weights, checkpoints; and how it stops when asked to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tqdm import tqdm

from DINOv2_mmseg import curves, folder, inference, metrics, network, optimizing, runners
from DINOv2_mmseg.views import Pair
from quadrat import files, images, records
from quadrat.experiment import StopFlag
from quadrat.predictor import Card, write_card

LAST = "last.pth"


class Rates(Hook):
    """Sets the learning rates before each step."""

    def __init__(self, steps: int, warmup: int):
        self.steps, self.warmup = steps, warmup

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """See `optimizing.rate_factor`."""
        factor = optimizing.rate_factor(runner.iter, self.steps, self.warmup)
        for group in runner.optim_wrapper.optimizer.param_groups:  # the wrapper's own list has one more, of nothing
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = group["initial_lr"] * factor


class Recorder(Hook):
    """Notes losses, validates, keeps the best weights and what resuming needs, and stops when the flag is up.

    Runs after all other hooks of a step, so that averaged weights have this step in them.
    """

    priority = "LOWEST"

    def __init__(
        self, run: Path, config: Any, spec: network.Spec, card: Card, val: Sequence[Pair], stop: StopFlag, main: bool
    ):
        self.run, self.config, self.spec, self.card, self.val = run, config, spec, card, list(val)
        self.stop, self.main = stop, main
        self.losses: dict[str, list[float]] = {}
        self.best: list[tuple[float, int]] = []  # figure and step, best first, of equal ones the first
        self.owed = False  # a validation that a stop left out
        self.bar: tqdm[Any] | None = None

    # -------------------------------------------------------------------------------------- what resuming needs

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """The random numbers that come next, and the best figures so far."""
        gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        checkpoint["recorder"] = {"rng": torch.get_rng_state(), "gpus": gpus, "best": self.best, "owed": self.owed}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Go on with them."""
        kept = checkpoint["recorder"]
        self.best = [tuple(one) for one in kept["best"]]
        self.owed = bool(kept.get("owed"))
        self.kept_rng = kept["rng"], kept["gpus"]

    def before_train(self, runner: Runner) -> None:
        """Begin or go on."""
        if hasattr(self, "kept_rng"):
            torch.set_rng_state(self.kept_rng[0].cpu())
            if self.kept_rng[1]:
                torch.cuda.set_rng_state_all([state.cpu() for state in self.kept_rng[1]])
        steps = self.config["steps"]
        self.bar = tqdm(total=steps, initial=runner.iter, desc="train", unit="step", disable=not self.main)
        if self.owed:
            self.owed = False
            self._validate(runner, runner.iter)

    # -------------------------------------------------------------------------------------- a step

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Note, validate, save, stop: what is due."""
        step = runner.iter + 1
        for name, value in (outputs or {}).items():
            self.losses.setdefault(name.removeprefix("decode."), []).append(float(value))
        assert self.bar is not None
        self.bar.update()
        last = step >= self.config["steps"]
        if step % self.config["log_period"] == 0 or last:
            self._note(runner, step)
        due = last or step % self.config["val_period"] == 0
        if self.stop and (last or step % self.config["accumulate"] == 0):  # gradients added up so far are not saved
            self.owed = due
            runner.train_loop.stop_training = True
            self._save(runner)
        elif due:
            self._validate(runner, step)
            self._save(runner)

    def after_train(self, runner: Runner) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()

    def _note(self, runner: Runner, step: int) -> None:
        figures = {f"train/{name}": sum(values) / len(values) for name, values in self.losses.items()}
        figures["train/lr"] = max(group["lr"] for group in runner.optim_wrapper.optimizer.param_groups)
        self.losses.clear()
        assert self.bar is not None
        self.bar.set_postfix(loss=f"{figures.get('train/loss', 0):.3f}")
        self._write(runner, step, figures)

    def _write(self, runner: Runner, step: int, figures: Mapping[str, float]) -> None:
        if self.main:
            runner.visualizer.add_scalars(dict(figures), step=step)
            records.append(self.run / "metrics.csv", {"step": step, **figures})

    # -------------------------------------------------------------------------------------- validation and weights

    def _validate(self, runner: Runner, step: int) -> None:
        runner.call_hook("before_val_epoch")  # averaged weights go in
        model = runner.model.module if hasattr(runner.model, "module") else runner.model
        model.eval()
        if self.main:
            figures = validate(model, self.spec, self.val)
            self._write(runner, step, {f"val/{name}": value for name, value in figures.items()})
            curves.draw(self.run / "metrics.csv")
            self._keep(model, step, figures)
        runner.call_hook("after_val_epoch", metrics={})  # and out again
        if self.config["patience"] and self.best:
            waited = (step - self.best[0][1]) // self.config["val_period"]
            runner.train_loop.stop_training = waited >= self.config["patience"]
        said = [runner.train_loop.stop_training]
        dist.broadcast_object_list(said)  # the first process alone knows the figures
        runner.train_loop.stop_training = said[0]

    def _keep(self, model: torch.nn.Module, step: int, figures: Mapping[str, float]) -> None:
        weights = self.run / "weights"
        self._write_weights(model, weights / "last.safetensors")
        value = figures[self.config["monitor"]]
        is_best = not self.best or value > self.best[0][0]
        self.best = sorted([*self.best, (value, step)], key=lambda one: (-one[0], one[1]))
        kept, dropped = self.best[: self.config["keep_best"]], self.best[self.config["keep_best"] :]
        if self.config["keep_best"] > 1 and (value, step) in kept:
            self._write_weights(model, weights / f"step-{step}.safetensors")
        for _, old in dropped:
            for path in weights.glob(f"step-{old}.*"):
                path.unlink()
        self.best = kept
        if is_best:
            self._write_weights(model, weights / "best.safetensors")
            files.write_json(weights / "best.json", {"step": step, **figures})

    def _write_weights(self, model: torch.nn.Module, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        network.save(path, model, self.spec)
        write_card(path, self.card)

    def _save(self, runner: Runner) -> None:
        checkpoints = self.run / "checkpoints"
        checkpoints.mkdir(exist_ok=True)
        runner.save_checkpoint(str(checkpoints), f"draft-{LAST}", by_epoch=False)
        if self.main:
            os.replace(checkpoints / f"draft-{LAST}", checkpoints / LAST)


def validate(model: torch.nn.Module, spec: network.Spec, pairs: Sequence[Pair]) -> dict[str, float]:
    """Figures on whole photos, as they are served: the same scale, windows and blending."""
    counts = metrics.Confusion(spec.labels)
    run = runners.of_torch(model, spec)
    settings = inference.Settings(spec.work_px, spec.window_px, spec.patch_px)
    for photo, label in tqdm(pairs, desc="validate", unit="photo", leave=False):
        found = inference.segment(run, images.read(photo), spec.labels, settings)
        counts.add(folder.read_label(label), found.map.index)
    figures = counts.figures()
    names = ("miou", "overall_accuracy", "mean_accuracy", "frequency_weighted_iou", "dice")
    return {name: getattr(figures, name) or 0.0 for name in names}
