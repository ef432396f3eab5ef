"""The largest batch that fits a GPU: doubled until memory runs out, on made-up views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MOST = 256
ROOM = 0.8
"""Of the largest that fitted, for what a real step needs besides: the optimizer's state, other views' pictures."""


def largest(step: Callable[[int], None]) -> int:
    """The batch to train with.

    Args:
        step: trains on so many views; raises ``torch.cuda.OutOfMemoryError`` where they are too many.

    Raises:
        ValueError: not even one view fits.
    """
    import torch

    size, fitted = 1, 0
    while size <= MOST:
        try:
            step(size)
        except torch.cuda.OutOfMemoryError:
            break
        size, fitted = 2 * size, size
    if not fitted:
        raise ValueError("not even one view fits the GPU: a smaller crop_px, a smaller network or checkpointing=True")
    return max(int(fitted * ROOM), 1)


def find(model: Any, config: Any, classes: int) -> int:
    """The largest batch for a network on the GPU that torch sees.

    Raises:
        ValueError: there is no GPU, or not even one view fits.
    """
    import torch

    if not torch.cuda.is_available():
        raise ValueError("batch_size is 0, which finds the largest that fits a GPU, and torch sees none: give a number")
    model, side = model.cuda().train(), int(config["crop_px"])

    def step(size: int) -> None:
        from DINOv2_mmseg.views import packed

        view = packed(_noise(side), _labels(side, classes))
        data = {"inputs": [view["inputs"]] * size, "data_samples": [view["data_samples"]] * size}
        with torch.autocast("cuda", torch.bfloat16, enabled=config["precision"] == "bf16"):
            losses = model(**model.data_preprocessor(data, training=True), mode="loss")
            total, _ = model.parse_losses(losses)
        total.backward()
        model.zero_grad(set_to_none=True)

    try:
        return largest(step)
    finally:
        torch.cuda.empty_cache()


def _noise(side: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


def _labels(side: int, classes: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(0, classes, (side, side), np.uint8)
