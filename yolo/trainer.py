"""ultralytics' trainers with what an experiment of this project needs besides.

It stops cleanly on a signal, writes checkpoints whole or not at all, validates every `val_period` epochs, judges by the
metric named `monitor`, and keeps the `keep_best` best checkpoints. Several GPUs: ultralytics' own launcher starts this
class again in each worker, which reads the settings from the run folder.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import yaml

from quadrat import files
from quadrat.experiment import StopFlag, stop_on_signals
from yolo import framework

framework.quiet()
framework.shrink_by_area()

import torch  # noqa: E402
from ultralytics.engine.trainer import BaseTrainer  # noqa: E402
from ultralytics.models.yolo.detect import DetectionTrainer  # noqa: E402
from ultralytics.models.yolo.pose import PoseTrainer  # noqa: E402
from ultralytics.models.yolo.segment import SegmentationTrainer  # noqa: E402
from ultralytics.utils import DEFAULT_CFG, LOGGER  # noqa: E402

from yolo import curves, precision  # noqa: E402
from yolo.training import RESULT_FILE  # noqa: E402


class Stopped(Exception):
    """Training was asked to stop; `last.pt` holds the last whole epoch."""


class _Trainer(BaseTrainer):
    """See the module. Takes ultralytics' arguments; the run folder (`save_dir`) holds the resolved `config.yaml`."""

    def __init__(self, cfg: Any = DEFAULT_CFG, overrides: dict | None = None, _callbacks: dict | None = None):
        super().__init__(cfg, overrides, _callbacks)
        if self.device.type == "cpu":  # ultralytics leaves one core out: half of a small machine
            torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # all, or what the user set (`framework.quiet`)
        settings = yaml.safe_load((self.save_dir / "config.yaml").read_text("utf-8"))
        if self.device.type == "cpu" and multiprocessing.get_start_method() == "fork":
            self.args.workers = settings["workers"]  # ultralytics loads in this process, a core idle meanwhile
        self.monitor, self.val_period = settings["monitor"], settings["val_period"]
        self.keep_best = settings["keep_best"]
        self.stop_flag = StopFlag()
        self.add_callback("on_train_epoch_start", _plan_validation)
        self.add_callback("on_train_batch_end", _stop_if_asked)
        self.add_callback("on_fit_epoch_end", _stop_if_asked)
        self.add_callback("on_train_end", _write_result)

    def train(self) -> None:
        """Train; raises `Stopped` if a signal ended it early."""
        if self.ddp:  # the launcher deletes save_dir before it starts the workers, who take args.save_dir
            self.save_dir = Path(tempfile.mkdtemp())
        mixed = self.args.amp and self.device.type == "cpu" and precision.has_bfloat16()
        forward = precision.bfloat16_training() if mixed else contextlib.nullcontext()
        with stop_on_signals() as self.stop_flag, forward:
            if self.ddp:
                threading.Thread(target=_pass_on, args=(self.stop_flag,), daemon=True).start()
            try:
                super().train()
            except Exception as error:
                if self.stop_flag:  # the launcher reports workers that stopped as failed
                    raise Stopped from error
                raise

    def validate(self) -> tuple[dict | None, float | None]:
        """Validate, and take `monitor` as the fitness that picks `best.pt` and stops early."""
        best = self.best_fitness
        metrics, fitness = super().validate()
        if metrics is None or self.monitor == "fitness":
            return metrics, fitness
        if self.monitor not in metrics:
            raise KeyError(f"monitor={self.monitor!r} is no metric: expected fitness or one of {sorted(metrics)}")
        fitness = float(metrics[self.monitor])
        self.best_fitness = fitness if best is None else max(best, fitness)
        return metrics, fitness

    def save_model(self) -> bool:
        """Write the checkpoints under temporary names, then rename: a kill leaves the old ones whole."""
        names = self.last, self.best
        self.last, self.best = drafts = [path.with_name(f".{path.name}") for path in names]
        try:
            super().save_model()
        finally:
            self.last, self.best = names
        for draft, name in zip(drafts, names, strict=True):
            if draft.exists():
                draft.replace(name)
        if self.fitness is not None:
            self._keep_best()
        return True

    def save_metrics(self, metrics: dict[str, float]) -> None:
        """Write the epoch's row and the curves; an epoch that was not validated has no figures, not the last ones."""
        if self.fitness is None:
            measured = {key: math.nan for key in metrics if key.startswith(("metrics/", "val/"))}
            metrics = {**metrics, **measured}
        super().save_metrics(metrics)
        try:
            curves.draw(self.csv)
        except Exception as error:  # no picture is worth the end of a training
            LOGGER.warning(f"no curves.png: {type(error).__name__}: {error}")

    def _keep_best(self) -> None:
        if self.keep_best < 2:
            return
        (self.wdir / f"epoch{self.epoch + 1:04d}-{self.fitness:.5f}.pt").write_bytes(self.last.read_bytes())
        kept = sorted(self.wdir.glob("epoch*-*.pt"), key=lambda path: float(path.stem.split("-")[1]), reverse=True)
        for worse in kept[self.keep_best :]:
            worse.unlink()


class Segment(_Trainer, SegmentationTrainer):
    """Trains instance segmentation."""


class Detect(_Trainer, DetectionTrainer):
    """Trains boxes."""


class Pose(_Trainer, PoseTrainer):
    """Trains keypoints."""


TRAINERS: dict[str, type[_Trainer]] = {"segment": Segment, "detect": Detect, "pose": Pose}
"""By ultralytics' name of the task."""


def _plan_validation(trainer: _Trainer) -> None:
    """Validate this epoch or not; without, there is no fitness, so that no unjudged weights become `best.pt`."""
    trainer.args.val = (trainer.epoch + 1) % trainer.val_period == 0
    if not trainer.args.val:
        trainer.fitness = None


def _stop_if_asked(trainer: _Trainer) -> None:
    if trainer.stop_flag:
        raise Stopped


def _write_result(trainer: _Trainer) -> None:
    metrics = {key: float(value) for key, value in trainer.metrics.items()}
    files.write_json(trainer.save_dir / RESULT_FILE, {"epochs": trainer.epoch + 1, **metrics})


def _pass_on(flag: StopFlag) -> None:
    """Wait for a stop signal, then send it to the launcher of the workers: a scheduler tells only this process."""
    import psutil

    while not flag:
        time.sleep(0.5)
    for child in psutil.Process().children():
        child.terminate()
