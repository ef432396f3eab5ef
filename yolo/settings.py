"""The settings that every YOLO training has; a module adds its own by a dataclass on top.

Names and meanings are ultralytics' own where it has them, so that its documentation applies.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

OURS = ("monitor", "val_period", "keep_best")
"""Settings that ultralytics does not know; `yolo.trainer` carries them out."""

ON_RESUME = ("batch", "workers", "cache", "patience", "plots", "save_period", "val_period", "keep_best")
"""Settings that may change when a run is resumed; ultralytics keeps all others from the checkpoint."""


@dataclass
class Settings:
    """One training. Defaults: a nano net from scratch, small enough for a processor."""

    # the experiment
    model: str = "yolo11n"  # yolo11 or yolo26, size n s m l x, and the task: "-seg", "-pose" or nothing for boxes
    pretrained: str = ""  # a weights file, or a name as yolo11n-seg.pt that ultralytics downloads; empty: from scratch
    imgsz: int = 640  # px, longer side of the network's input
    epochs: int = 100
    batch: int = 8  # photos a step; -1: as many as fit on the GPU
    # optimizer
    optimizer: str = "AdamW"  # SGD, MuSGD, Adam, AdamW, NAdam, RAdam, RMSProp or auto
    lr0: float = 0.001  # first learning rate
    lrf: float = 0.01  # last learning rate as a share of the first
    cos_lr: bool = True
    momentum: float = 0.9
    weight_decay: float = 0.0005
    nbs: int = 16  # photos an optimizer step: gradients are added up over nbs / batch steps
    warmup_epochs: float = 3.0
    warmup_bias_lr: float = 0.0
    freeze: int = 0  # number of first layers left as they are
    amp: bool = True  # mixed precision: on a GPU, and on a processor that has bfloat16
    # loss
    box: float = 7.5
    cls: float = 0.5
    dfl: float = 1.5
    cls_pw: float = 0.0  # 0..1: how much rare classes weigh more
    # augmentation
    mosaic: float = 0.0  # probability of four photos in one
    close_mosaic: int = 10  # last epochs without mosaic
    mixup: float = 0.0
    degrees: float = 0.0
    translate: float = 0.1
    scale: float = 0.4
    shear: float = 0.0
    perspective: float = 0.0
    fliplr: float = 0.5
    flipud: float = 0.5  # photos from above have no up
    hsv_h: float = 0.015
    hsv_s: float = 0.5
    hsv_v: float = 0.4
    multi_scale: float = 0.0
    # validation, stopping, checkpoints
    monitor: str = "fitness"  # what best.pt and patience go by: fitness, or a metric as metrics/mAP50-95(M)
    patience: int = 50  # epochs without improvement before training stops
    val_period: int = 1  # validate every so many epochs, and after the last
    save_period: int = -1  # keep a checkpoint every so many epochs; -1: only last and best
    keep_best: int = 1  # number of best checkpoints to keep; best.pt is the first of them
    max_det: int = 300  # most objects a photo
    # machine
    workers: int = 4  # processes that load photos; on a processor ultralytics loads in the training process
    cache: str = ""  # "ram" or "disk" keeps photos at network size; empty reads each time
    compile: bool = False
    plots: bool = True  # curves, label statistics and example batches as pictures


AnySettings = TypeVar("AnySettings", bound=Settings)
OVERFIT_STEPS, OVERFIT_REPEATS, OVERFIT_BATCH = 400, 10, 2


def for_overfitting(settings: AnySettings, samples: int) -> AnySettings:
    """Settings under which a sound network learns `samples` photos by heart: no augmentation, few validations.

    An epoch goes `OVERFIT_REPEATS` times through the photos, so that little time goes into what comes between epochs.
    """
    batch = min(OVERFIT_BATCH, samples)
    epochs = math.ceil(OVERFIT_STEPS / (OVERFIT_REPEATS * math.ceil(samples / batch)))
    return replace(
        settings,
        **dict.fromkeys(
            ("mosaic", "mixup", "degrees", "translate", "scale", "shear", "perspective")
            + ("fliplr", "flipud", "hsv_h", "hsv_s", "hsv_v", "multi_scale", "weight_decay"),
            0.0,
        ),
        imgsz=640,
        batch=batch,
        nbs=batch,
        epochs=epochs,
        warmup_epochs=min(2.0, epochs / 10),
        val_period=max(1, epochs // 4),
        patience=epochs,
        cache="ram",
    )


def to_ultralytics(settings: Settings, ours: tuple[str, ...] = OURS) -> dict[str, object]:
    """The keyword arguments of an ultralytics trainer, without data, device, seed and folders.

    Args:
        settings: of any module.
        ours: those that ultralytics does not know.
    """
    known = {key: value for key, value in asdict(settings).items() if key not in ours}
    known.update(model=f"{settings.model}.yaml", pretrained=settings.pretrained or False)
    known.update(cache=settings.cache or False, freeze=settings.freeze or None)
    return known
