"""What a run writes while it trains: figures, curves, weights, checkpoints; and how it stops when asked to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback, TQDMProgressBar

from grid_inpainting.lama import save_torchscript
from grid_inpainting.training import Training
from quadrat import files, records
from quadrat.experiment import StopFlag
from quadrat.predictor import Card, write_card

LAST = "last.ckpt"
COLOURS = ("#1f6f8b", "#e07a5f", "#3d9a6c", "#8d6cab", "#b08930")


class Bar(TQDMProgressBar):
    """Lightning's progress bar, which would not know how many steps a run that goes on has."""

    def __init__(self, steps: int) -> None:
        super().__init__(refresh_rate=5)
        self.steps = steps

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Training) -> None:
        """Show the steps that are done, and count the time from there."""
        super().on_train_start(trainer, pl_module)
        self.train_progress_bar.reset(self.steps)
        self.train_progress_bar.initial = self.train_progress_bar.n = int(pl_module.steps_done)


class Recorder(Callback):
    """After every validation: a row of ``metrics.csv``, ``curves.png``, ``last.ckpt``, and the weights, best and last.

    Stops the training when the flag is up, with a checkpoint that goes on with the next step.
    """

    def __init__(self, run: Path, card: Card, stop: StopFlag) -> None:
        self.run, self.card, self.stop = run, card, stop
        self.best, self.step = -math.inf, 0
        self._terms: dict[str, list[float]] = {}

    def state_dict(self) -> dict[str, Any]:
        """The best figure so far, and the step of the last one."""
        return {"best": self.best, "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.best, self.step = state_dict["best"], state_dict.get("step", 0)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Training, *_: Any) -> None:
        """Note the losses, and stop if asked to."""
        for name, value in trainer.callback_metrics.items():
            if name.startswith("train/"):
                self._terms.setdefault(name, []).append(float(value))
        if self.stop and not trainer.should_stop:
            trainer.save_checkpoint(self.run / "checkpoints" / LAST)
            trainer.should_stop = True
            trainer.limit_val_batches = 0  # else Lightning validates before it ends

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: Training) -> None:
        """Write all of it down."""
        if trainer.sanity_checking or self.stop or not trainer.is_global_zero:
            return
        figures = {name: sum(values) / len(values) for name, values in self._terms.items()}  # since the last row
        self._terms.clear()
        figures |= {n: float(value) for n, value in trainer.callback_metrics.items() if n.startswith("val/")}
        step = self.step = int(pl_module.steps_done)
        records.append(self.run / "metrics.csv", {"step": step, **figures})
        draw_curves(self.run / "metrics.csv")
        name = pl_module.settings.monitor
        value = figures[f"val/{name}"] * (-1 if name == "l1" else 1)
        self._write_weights(pl_module, "last")
        if value > self.best:
            self.best = value
            self._write_weights(pl_module, "best")
            files.write_json(self.run / "weights" / "best.json", {"step": step, **figures})
        trainer.save_checkpoint(self.run / "checkpoints" / LAST)

    def _write_weights(self, module: Training, name: str) -> None:
        path = self.run / "weights" / f"{name}.pt"
        save_torchscript(module.averaged.module, path)
        write_card(path, self.card)


def draw_curves(path: Path) -> Path:
    """Draw ``curves.png`` beside a ``metrics.csv``: losses, and figures on the validation samples, over the steps."""
    from matplotlib.figure import Figure

    rows = records.read(path)
    figure = Figure(figsize=(12, 3.8), layout="constrained", facecolor="white")
    losses, psnr, ssim = figure.subplots(1, 3)
    terms = [name for name in rows[0] if name.startswith("train/") and name != "train/lr"]
    for colour, name in zip(COLOURS, terms, strict=False):
        _line(losses, rows, name, color=colour, label=name.removeprefix("train/").replace("_", " "))
    losses.set_yscale("log")
    losses.set_title("Losses", fontsize=11, loc="left")
    _line(psnr, rows, "val/psnr", color=COLOURS[0], marker=".")
    psnr.set_title("PSNR in the hole, dB (validation)", fontsize=11, loc="left")
    _line(ssim, rows, "val/ssim", color=COLOURS[2], marker=".")
    ssim.set_title(f"SSIM in the hole: {path.parent.name}", fontsize=11, loc="left")
    for axes in (losses, psnr, ssim):
        axes.set_xlabel("step")
        axes.grid(color="#e4e7ea", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
    if losses.lines:
        losses.legend(frameon=False, fontsize=9)
    picture = path.with_name("curves.png")
    with files.atomic_write(picture) as draft:
        figure.savefig(draft, dpi=120)
    return picture


def _line(axes: Any, rows: list[dict[str, str]], name: str, **style: Any) -> None:
    steps, values = records.column(rows, name)
    if steps:
        axes.plot(steps, values, linewidth=1.6, **style)
