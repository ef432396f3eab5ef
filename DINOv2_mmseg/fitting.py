"""One training with mmengine's Runner: what the settings say, as the objects that it takes."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import init_dist
from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn, optim
from torch.utils.data import DataLoader, Sampler

from DINOv2_mmseg import batch_size, folder, network, optimizing, settings, weights
from DINOv2_mmseg.recording import LAST, Rates, Recorder
from DINOv2_mmseg.views import Pair, Views
from quadrat import experiment
from quadrat.predictor import Card


def fit(
    run: Path,
    data: Path,
    config: Any,
    card: Card,
    stop: experiment.StopFlag,
    *,
    resume: bool,
    overfit: int,
    device: str,
    seed: int,
    deterministic: bool,
) -> None:
    """Train, with everything of the run in its folder.

    Raises:
        ValueError: the folder, the network and the settings do not fit each other.
    """
    manifest = folder.read(data)
    train, val = pairs_of(data, overfit, config["val_limit"])
    with_losses = model_of(config, manifest, train)
    MMLogger.get_current_instance().setLevel("ERROR")  # else it tells of every parameter
    distributed = int(os.environ.get("WORLD_SIZE", "1")) > 1
    backend = "nccl" if device == "cuda" else "gloo"
    if distributed:
        init_dist("pytorch", backend=backend)  # before the network is built, which asks whether norms are shared
    experiment.seed_everything(seed, deterministic=deterministic)
    model = network.build(with_losses, len(manifest.labels))
    spec = network.Spec(
        with_losses,
        manifest.labels,
        manifest.background,
        int(config["work_px"]),
        int(config["crop_px"]),
        network.patch_of(model),
    )
    _check_crop(spec)
    model.init_weights()
    if config["batch_size"] < 1:
        config["batch_size"] = batch_size.find(model, config, len(manifest.labels))
        print(f"batch_size {config['batch_size']} fits")
    resume = resume and (run / "checkpoints" / LAST).is_file()  # a run may have been ended before its first
    if config["init"] and not resume:
        print(weights.start_from(model, str(config["init"]), manifest.labels))
    main = int(os.environ.get("RANK", "0")) == 0
    recorder = Recorder(run, config, spec, card, val, stop, main)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = _runner(
            run, config, model, train, recorder, manifest, seed, deterministic, distributed, device, resume
        )
        try:
            runner.train()
        finally:
            _end_workers(runner)


def _end_workers(runner: Runner) -> None:
    """Ask the workers to end: they ignore the signal by which Python would end them when it exits, and waits."""
    views = getattr(getattr(runner.train_loop, "dataloader_iterator", None), "_iterator", None)
    if hasattr(views, "_shutdown_workers"):
        views._shutdown_workers()


def pairs_of(data: Path, overfit: int, val_limit: int) -> tuple[list[Pair], list[Pair]]:
    """Photos for training and validation; with `overfit`, the same few for both.

    Raises:
        ValueError: there are fewer than `overfit` photos.
    """
    train, val = folder.pairs(data, "train"), folder.pairs(data, "val")
    if overfit:
        if len(train) < overfit:
            raise ValueError(f"--overfit {overfit}: {data} has only {len(train)} training photos")
        return train[:overfit], train[:overfit]
    return train, val[:val_limit] if val_limit else val


def model_of(config: Any, manifest: folder.Manifest, train: list[Pair]) -> dict[str, Any]:
    """The model's dict with its losses, as JSON values."""
    model: dict[str, Any] = settings.to_json(config)["model"]
    given = class_weights(config["class_weights"], manifest, train)
    model["decode_head"]["loss_decode"] = losses_of(config["losses"], given)
    model["data_preprocessor"]["size"] = [config["crop_px"], config["crop_px"]]
    return model


def losses_of(wanted: Mapping[str, float], class_weight: list[float] | None) -> list[dict[str, Any]]:
    """Losses that are added up, as mmsegmentation takes them."""
    all_of_them: dict[str, dict[str, Any]] = {
        "ce": {"type": "KnownCrossEntropyLoss", "class_weight": class_weight},
        "dice": {"type": "KnownDiceLoss"},
        "focal": {"type": "KnownFocalLoss", "class_weight": class_weight},
        "lovasz": {"type": "KnownLovaszLoss", "class_weight": class_weight},
    }
    return [
        {**all_of_them[name], "loss_weight": float(weight), "loss_name": f"loss_{name}"}
        for name, weight in wanted.items()
        if weight > 0
    ]


def class_weights(kind: str, manifest: folder.Manifest, train: list[Pair]) -> list[float] | None:
    """A factor a class from the data: the inverse of its share of the labelled pixels, or the root of that; mean 1."""
    if kind == "none":
        return None
    pixels = np.array([max(manifest.pixels[label], 1) for label in manifest.labels], np.float64)
    inverse = pixels.sum() / pixels
    factors = np.sqrt(inverse) if kind == "sqrt" else inverse
    return [round(float(f), 4) for f in np.minimum(factors / factors.mean(), 10.0)]


def _check_crop(spec: network.Spec) -> None:
    patch = spec.patch_px
    if spec.window_px % patch:
        nearest = max(round(spec.window_px / patch), 1) * patch
        raise ValueError(
            f"crop_px is {spec.window_px}: expected a multiple of the patch, {patch} px, such as {nearest}"
        )


def _runner(
    run: Path,
    config: Any,
    model: nn.Module,
    train: list[Pair],
    recorder: Recorder,
    manifest: folder.Manifest,
    seed: int,
    deterministic: bool,
    distributed: bool,
    device: str,
    resume: bool,
) -> Runner:
    last = run / "checkpoints" / LAST
    hooks: list[Any] = [Rates(config["steps"], config["warmup_steps"]), recorder]
    if config["ema"]:
        momentum = 1 - config["ema"]
        hooks.append(EMAHook("MomentumAnnealingEMA", update_buffers=True, momentum=momentum, gamma=100))
    return Runner(
        model=model,
        work_dir=str(run),
        train_dataloader=_loader(config, train, manifest.kind == "points", seed),
        train_cfg={"by_epoch": False, "max_iters": config["steps"], "val_interval": 10**9},
        optim_wrapper=_optimizer(model, config),
        default_hooks={"logger": None, "checkpoint": None, "sampler_seed": None, "param_scheduler": None},
        custom_hooks=hooks,
        load_from=str(last) if resume else None,
        resume=resume,
        launcher="pytorch" if distributed else "none",
        env_cfg={
            "dist_cfg": {"backend": "nccl" if device == "cuda" else "gloo"},
            "mp_cfg": {"mp_start_method": "fork"},
        },
        log_level="ERROR",
        visualizer={"type": "Visualizer", "vis_backends": _backends(), "save_dir": str(run)},
        default_scope="mmseg",
        randomness={"seed": seed, "deterministic": deterministic},
        experiment_name=run.name,
        cfg=config,
    )


def _backends() -> list[dict[str, Any]]:
    """TensorBoard, and MLflow where it is asked for."""
    kinds = [{"type": "TensorboardVisBackend"}]
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        kinds.append({"type": "MLflowVisBackend", "exp_name": "DINOv2_mmseg", "tracking_uri": uri})
    return kinds


def _optimizer(model: nn.Module, config: Any) -> OptimWrapper:
    groups = optimizing.parameter_groups(model, config)
    kind = optimizing.MixedPrecision if config["precision"] == "bf16" else OptimWrapper
    clip = {"max_norm": config["clip_norm"]} if config["clip_norm"] else None
    return kind(optim.AdamW(groups), accumulative_counts=config["accumulate"], clip_grad=clip)


def _loader(config: Any, train: list[Pair], sparse: bool, seed: int) -> DataLoader[Any]:
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    length = config["steps"] * config["batch_size"] * world
    views = Views(
        train, config["crop_px"], config["work_px"], seed, length, sparse, config["augment"], config["label_stride"]
    )
    workers = int(config["workers"])
    return DataLoader(
        views,
        batch_size=config["batch_size"],
        sampler=InOrder(length, world, rank),
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_leave_signals_to_the_main_process,
        generator=torch.Generator().manual_seed(seed),  # else a run that goes on draws one number more than another
        collate_fn=_collated,
        drop_last=True,
    )


def _leave_signals_to_the_main_process(_: int) -> None:
    """Schedulers and Ctrl-C signal every process: a worker that ended at once would be an error for the step."""
    for number in experiment.STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _collated(samples: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {key: [sample[key] for sample in samples] for key in samples[0]}


class InOrder(Sampler[int]):
    """Numbers 0, 1, 2, … of the samples of a run, each process every so-manyth; `skip` goes on later."""

    def __init__(self, length: int, world: int, rank: int):
        self.length, self.world, self.start = length, world, rank

    def skip(self, samples: int) -> None:
        """Leave out so many of this process."""
        self.start += samples * self.world

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.length, self.world))

    def __len__(self) -> int:
        return len(range(self.start, self.length, self.world))
