"""AdamW with a learning rate a layer, mixed precision on any device, and a rate that warms up and falls to zero."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class MixedPrecision(OptimWrapper):
    """mmengine's wrapper with bfloat16 where a device computes it; it needs no scaling of the loss."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Within it, what may be computed in 16 bits is."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield


def parameter_groups(network: nn.Module, config: Any) -> list[dict[str, Any]]:
    """What is trained, in groups of one rate and one decay.

    A block's rate is ``lr * backbone_lr * layer_decay ** n``, n blocks below the last; what comes before the first
    block counts as one more, and a stem that starts from weights has ``stem_lr`` besides. Biases, norms and embeddings
    do not decay.

    Raises:
        ValueError: nothing is trained.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    depth = 1 + max(
        [int(m) for name, _ in network.named_parameters() for m in re.findall(r"\.blocks\.(\d+)\.", name)] or [0]
    )
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decays = parameter.ndim > 1 and not name.endswith(("pos_embed", "cls_token", "reg_token"))
            key = (_rate(name, depth, config), config["weight_decay"] if decays else 0.0)
            groups.setdefault(key, []).append(parameter)
    if not groups:
        raise ValueError("nothing is trained: all of the network is frozen")
    return [{"params": p, "lr": rate, "weight_decay": decay} for (rate, decay), p in groups.items()]


def _rate(name: str, depth: int, config: Any) -> float:
    if not name.startswith("backbone."):
        return float(config["lr"])
    block = re.search(r"\.blocks\.(\d+)\.", name)
    above = 0 if ".norm" in name and not block else depth - int(block[1]) - 1 if block else depth
    stem = config["stem_lr"] if ".patch_embed.proj.model." in name else 1.0
    return float(config["lr"] * config["backbone_lr"] * config["layer_decay"] ** above * stem)


def rate_factor(step: int, steps: int, warmup: int) -> float:
    """Of the rates at a step from 0: rises evenly through the warm-up, then falls as a cosine to a hundredth."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
