"""Mixed precision on a processor: ultralytics knows it on GPUs only.

Where the processor multiplies bfloat16 (AVX512-BF16, AMX), the network's forward and backward passes take it; weights,
loss and validation stay float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._pytree import tree_map
from ultralytics.nn.tasks import BaseModel


def has_bfloat16() -> bool:
    """Whether this processor computes in bfloat16 faster than in float32."""
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # not part of torch's public interface
    return bool(asked and asked())


@contextmanager
def bfloat16_training() -> Iterator[None]:
    """Within the block, networks in training mode compute in bfloat16 and give float32 to the loss.

    Pixels go in channels last, which oneDNN's bfloat16 convolutions take without reordering.

    The method is exchanged on the class, not wrapped on the network: checkpoints then hold nothing of it.
    """
    plain = BaseModel._predict_once

    def mixed(self: BaseModel, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self.training or x.device.type != "cpu":
            return plain(self, x, *args, **kwargs)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = plain(self, x.contiguous(memory_format=torch.channels_last), *args, **kwargs)
        return tree_map(lambda value: value.float() if isinstance(value, torch.Tensor) else value, outputs)

    BaseModel._predict_once = mixed
    try:
        yield
    finally:
        BaseModel._predict_once = plain
