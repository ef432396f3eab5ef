"""Lightning's trainer, set up for a run."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch.utils.data import DataLoader, default_collate

from grid_inpainting import folder
from grid_inpainting.pairs import Pairs, Steps
from grid_inpainting.recording import LAST, Bar, Recorder
from grid_inpainting.settings import Settings
from grid_inpainting.training import Training
from grid_inpainting.weights import read_generator
from quadrat.experiment import StopFlag
from quadrat.predictor import Card

_VALIDATION_SEED, _SETTLING_SEED = 1_000_003, 2_000_003


class Samples(lightning.LightningDataModule):
    """The samples of a run; those of training begin where the run's steps ended."""

    def __init__(self, data: Path, settings: Settings, seed: int, overfit: int) -> None:
        super().__init__()
        self.settings, self.batch_size = settings, settings.batch or 1
        train, val = (folder.pairs(data, split) for split in ("train", "val"))
        self.train = Pairs(train, settings, seed, repeat=overfit)
        seeds = seed if overfit else seed + _VALIDATION_SEED
        self.val = Pairs(train if overfit else val, settings, seeds, repeat=overfit or settings.validation_samples)

    def train_dataloader(self) -> DataLoader:
        """From the step that is next to the last."""
        done = int(self.trainer.lightning_module.steps_done)
        place = self.trainer.global_rank, self.trainer.world_size
        return self._loader(self.train, sampler=Steps(done, self.settings.steps, self.batch_size, *place))

    def val_dataloader(self) -> DataLoader:
        """Always the same samples."""
        return self._loader(self.val, shuffle=False)

    def settling_batches(self) -> Iterator[dict[str, torch.Tensor]]:
        """Samples of the training photos, always the same; overfitting, those that are trained on."""
        repeat, seed = self.train.repeat, self.train.seed
        samples = Pairs(self.train.pairs, self.settings, seed if repeat else seed + _SETTLING_SEED, repeat)
        count = min(self.settings.settle, repeat or self.settings.settle)
        for first in range(0, count, self.batch_size):
            yield default_collate([samples[k] for k in range(first, min(first + self.batch_size, count))])

    def _loader(self, samples: Pairs, **options: Any) -> DataLoader:
        workers = self.settings.workers
        kept = {"persistent_workers": True, "multiprocessing_context": "spawn"} if workers else {}
        pinned = torch.cuda.is_available()
        return DataLoader(samples, self.batch_size, num_workers=workers, pin_memory=pinned, **kept, **options)


def fit(
    run: Path,
    data: Path,
    settings: Settings,
    card: Card,
    stop: StopFlag,
    resume: bool,
    overfit: int,
    device: str | None,
    seed: int,
    deterministic: bool,
) -> None:
    """Train until the last step, or until `stop` is up.

    Args:
        run: its folder.
        data: the prepared folder.
        settings: of the training.
        card: that goes beside the weights.
        stop: looked at after every step.
        resume: go on from ``last.ckpt``, if there is one.
        overfit: train and validate on so many samples; 0: on all.
        device: as `train.main` takes it.
        seed: of weights and samples.
        deterministic: repeatable algorithms only.
    """
    _quiet()
    lightning.seed_everything(seed, verbose=False)
    module, samples = Training(settings), Samples(data, settings, seed, overfit)
    if settings.init:
        module.begin_with(read_generator(settings.init))
    recorder = Recorder(run, card, stop)
    trainer = _trainer(run, settings, recorder, device, deterministic)
    if not settings.batch:
        samples.batch_size = _largest_batch(trainer, module, samples)
    last = run / "checkpoints" / LAST
    trainer.fit(module, samples, ckpt_path=last if resume and last.is_file() else None, weights_only=True)
    if not stop and recorder.step < int(module.steps_done):  # the steps since the last validation count too
        trainer.validate(module, samples, verbose=False, weights_only=True)


def _trainer(
    run: Path, settings: Settings, recorder: Recorder, device: str | None, deterministic: bool
) -> lightning.Trainer:
    accelerator, devices = _place(device)
    several = devices != "auto" and (devices if isinstance(devices, int) else len(devices)) > 1
    mode = "min" if settings.monitor == "l1" else "max"
    kept = ModelCheckpoint(
        run / "checkpoints", "{step}", monitor=f"val/{settings.monitor}", mode=mode, save_top_k=settings.keep_best
    )
    callbacks = [recorder, kept, Bar(settings.steps)]
    if settings.patience:
        callbacks.append(EarlyStopping(f"val/{settings.monitor}", mode=mode, patience=settings.patience))
    return lightning.Trainer(
        accelerator=accelerator,
        devices=devices,
        strategy="ddp_find_unused_parameters_true" if several else "auto",  # critic and painter step by turns
        precision=_precision(settings, accelerator),
        max_epochs=1,
        val_check_interval=min(settings.validate_every, settings.steps),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        deterministic="warn" if deterministic else None,
        callbacks=callbacks,
        logger=_loggers(run),
        log_every_n_steps=20,
        enable_model_summary=False,
        plugins=[LightningEnvironment()] if not several else None,  # a lone process under Slurm is no member of a group
    )


def _place(device: str | None) -> tuple[str, Any]:
    """Lightning's accelerator and devices for ``cpu``, ``cuda``, ``cuda:1``, ``0,1``, ``mps``, or the best there is."""
    name = (device or "").removeprefix("cuda:")
    if name == "cpu":
        return "cpu", 1
    if name == "cuda":
        return "gpu", 1
    if name == "mps":
        return "mps", 1
    if name:
        return "gpu", [int(number) for number in name.split(",")]
    return ("gpu", 1) if torch.cuda.is_available() else ("cpu", 1)


def _precision(settings: Settings, accelerator: str) -> Any:
    if settings.precision != "auto":
        return settings.precision
    if accelerator == "gpu":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # not part of torch's public interface
    return "bf16-mixed" if accelerator == "cpu" and asked and asked() else "32-true"


def _loggers(run: Path) -> list[Logger]:
    loggers: list[Logger] = [TensorBoardLogger(run, name="", version="tensorboard")]
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        loggers.append(MLFlowLogger("grid_inpainting", run.name, tracking_uri=uri))
    return loggers


def _largest_batch(trainer: lightning.Trainer, module: Training, samples: Samples) -> int:
    """As many samples as fit, by Lightning's own trials; what the trials changed in the network is undone by it."""
    from pytorch_lightning.tuner import Tuner

    if not torch.cuda.is_available():
        raise ValueError("setting batch is 0, as many as fit on the GPU, and there is no GPU: give a number")
    return Tuner(trainer).scale_batch_size(module, datamodule=samples, mode="power") or 1


def _quiet() -> None:
    """Lightning's advice that does not apply here, and what it would have people try."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    for words in ("does not have many workers", "ended before the", "smaller than the logging interval", "LeafSpec"):
        warnings.filterwarnings("ignore", message=f".*{words}.*")
