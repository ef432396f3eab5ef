"""mmsegmentation's own checkpoints: a ``.pth`` with the config that it was trained by.

A checkpoint is opened without running anything in it. A config is a Python file, which is run: name only your own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CONFIG_VARIABLE = "SEGFORMER_CONFIG"
_WINDOW_PX = 512


def load(path: Path, config: str | Path | None, device: str = "cpu") -> tuple[Any, Any]:
    """Build the network of a config and fill it from a checkpoint.

    Returns:
        The network, ready for inference, and its `network.Spec`.

    Raises:
        ValueError: no config, none that fits the checkpoint, or a checkpoint that cannot be opened.
    """
    from DINOv2_mmseg import network

    if not config:
        raise ValueError(f"{path} does not say which network it is of: name its mmengine config ({CONFIG_VARIABLE})")
    settings, checkpoint = _read_config(Path(config)), read_checkpoint(path)
    labels = _labels(settings, checkpoint, path)
    model = network.build(settings["model"], len(labels))
    network.fill(model, checkpoint.get("state_dict", checkpoint), path)
    return model.to(device).eval().requires_grad_(False), _spec(settings, model, labels)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What lies in a checkpoint of mmengine; nothing in it is run.

    Raises:
        ValueError: it is none, or holds more than weights and figures.
    """
    import torch

    try:
        with _known_values():
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises many kinds
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path} cannot be opened as weights alone ({told}): save its state_dict by itself where you trust it, "
            "with torch.save({'state_dict': ...}, path)"
        ) from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__}: expected a checkpoint of mmengine or a state dict")
    return found


@contextmanager
def _known_values() -> Any:
    """Beside tensors, mmengine's checkpoints hold figures of the training, as these."""
    import numpy as np
    import torch
    from mmengine.logging.history_buffer import HistoryBuffer

    kinds = [type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")]
    made = [getattr(np._core.multiarray, name) for name in ("_reconstruct", "scalar")]
    as_numpy_1 = [(function, f"numpy.core.multiarray.{function.__name__}") for function in made]
    figures = [HistoryBuffer, (_figure_of, "builtins.getattr")]
    with torch.serialization.safe_globals([*figures, np.ndarray, np.dtype, *made, *as_numpy_1, *kinds]):
        yield


def _figure_of(kind: type, name: str) -> Any:
    """In place of `getattr`, by which a history of figures names its mean and the like; nothing else may be named."""
    from mmengine.logging.history_buffer import HistoryBuffer

    if kind is not HistoryBuffer or name not in ("min", "max", "current", "mean"):
        raise ValueError(f"it asks for {name} of {kind}")
    return getattr(kind, name)


def _read_config(path: Path) -> Any:
    from mmengine.config import Config

    try:
        settings = Config.fromfile(str(path))
    except Exception as error:  # a Python file can raise anything
        raise ValueError(f"{CONFIG_VARIABLE} {path}: not readable as a config ({error})") from error
    if "model" not in settings:
        raise ValueError(f"{CONFIG_VARIABLE} {path}: no `model`: expected a config of mmsegmentation")
    return settings


def _labels(settings: Any, checkpoint: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """The classes by the config, and by the checkpoint: one of both must say them, and both the same."""
    said = settings.get("classes") or (settings.get("metainfo") or {}).get("classes")
    known = ((checkpoint.get("meta") or {}).get("dataset_meta") or {}).get("classes")
    if said and known and tuple(said) != tuple(known):
        from DINOv2_mmseg.train import side_by_side

        raise ValueError(f"config and weights name other classes: {side_by_side('config', said, 'weights', known)}")
    if not said and not known:
        raise ValueError(f"neither the config nor {path} names the classes: add `classes = [...]` to the config")
    return tuple(str(name) for name in said or known)


def _spec(settings: Any, model: Any, labels: Sequence[str]) -> Any:
    from DINOv2_mmseg import folder, network
    from DINOv2_mmseg import settings as ours

    patch = network.patch_of(model)
    window = settings.get("crop_px") or _first((settings["model"].get("test_cfg") or {}).get("crop_size"))
    window = window or _first(settings.get("crop_size")) or _WINDOW_PX
    background = tuple(name for name in labels if name.lower() == folder.BACKGROUND)
    plain = ours.to_json(settings)["model"]
    work = int(settings.get("work_px") or 0)
    return network.Spec(plain, tuple(labels), background, work, max(round(window / patch), 1) * patch, patch)


def _first(size: Any) -> int:
    """Of a size that may be a number, a pair, or missing."""
    return int(size[0] if isinstance(size, (tuple, list)) else size or 0)
