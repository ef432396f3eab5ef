"""ultralytics as this project uses it: no downloads, no installs, no telemetry, no change of the user's settings.

Import it before ultralytics, and after the command line is parsed.
"""

from __future__ import annotations

import os
import random
from typing import Any

import cv2
import numpy as np


def quiet(*, online: bool = False) -> None:
    """Set the environment that ultralytics reads when it is imported. What the user has set stays."""
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))  # ultralytics would take 1, slow on a processor
    if not online:
        os.environ.setdefault("YOLO_OFFLINE", "true")
    from ultralytics.nn import tasks
    from ultralytics.utils import SETTINGS

    tasks.SAFE_LOAD = True  # checkpoints are opened with weights_only=True, whoever imported ultralytics first
    loggers = {"tensorboard": True, "mlflow": bool(os.environ.get("MLFLOW_TRACKING_URI")), "sync": False}
    for key in ("clearml", "comet", "dvc", "raytune", "wandb"):
        loggers[key] = False
    dict.update(SETTINGS, loggers)  # not SETTINGS.update: that would write the user's settings file


def shrink_by_area() -> None:
    """Let ultralytics' data loader average pixels when it shrinks a photo, as `model.load` does.

    It interpolates between the nearest pixels, whatever the factor: of a large photo most are then never looked at, and
    corallites turn into moire. Holds for this process and those that its data loaders start, forked or spawned.
    """
    from ultralytics.data import base, build

    if not isinstance(base.cv2, _ShrinkingByArea):
        base.cv2 = _ShrinkingByArea()
    build.seed_worker = start_loader


def start_loader(_number: int) -> None:
    """Begin a process that loads photos: a spawned one (macOS, Windows) knows nothing of what was set here."""
    import torch

    quiet()
    shrink_by_area()
    seed = torch.initial_seed() % 2**32  # as ultralytics' own `seed_worker`
    np.random.seed(seed)  # noqa: NPY002  # what ultralytics' augmentation draws from
    random.seed(seed)


class _ShrinkingByArea:
    """OpenCV with another default for shrinking."""

    def __getattr__(self, name: str) -> Any:
        return getattr(cv2, name)

    @staticmethod
    def resize(image: Any, size_wh: tuple[int, int], interpolation: int = cv2.INTER_LINEAR) -> Any:
        return cv2.resize(image, size_wh, interpolation=interpolation_for(image.shape, size_wh, interpolation))


def interpolation_for(shape: tuple[int, ...], size_wh: tuple[int, int], otherwise: int = cv2.INTER_LINEAR) -> int:
    """OpenCV's interpolation for a picture ``[h, w, ...]`` brought to `size_wh`: by area where it shrinks."""
    return cv2.INTER_AREA if size_wh[0] < shape[1] and size_wh[1] < shape[0] else otherwise


def fetch_weights(name: str) -> str:
    """A weights file by path, or by a name that ultralytics downloads.

    Raises:
        FileNotFoundError: it is neither here nor to be had; the message says what to do.
    """
    if os.path.isfile(name):
        return name
    quiet(online=True)
    from ultralytics.utils.downloads import attempt_download_asset

    try:
        path = attempt_download_asset(name)
    except Exception as error:  # whatever a network can do wrong
        raise _not_found(name, error) from error
    if not os.path.isfile(path):
        raise _not_found(name, "no such file")
    return str(path)


def _not_found(name: str, reason: Any) -> FileNotFoundError:
    return FileNotFoundError(
        f"pretrained={name!r} is not a file here and could not be downloaded ({reason}): download it where there is a "
        "network, then give pretrained=PATH; or give pretrained= to train from scratch"
    )
