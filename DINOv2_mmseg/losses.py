"""Cross-entropy, Dice, focal and Lovász loss over the pixels whose class is known; 0 where there is none.

mmsegmentation's own Dice counts what is predicted where the class is unknown, which with labelled points is nearly
everywhere; its cross-entropy cannot both weigh classes and average over known pixels; its Lovász is no number where
no class is known.

Sources: Milletari et al., "V-Net" (2016) for Dice; Lin et al., "Focal Loss for Dense Object Detection" (2017);
Berman et al., "The Lovász-Softmax Loss" (2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.losses import LovaszLoss
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional


@MODELS.register_module()
class KnownCrossEntropyLoss(nn.Module):
    """Cross-entropy, the weighted mean over pixels whose class is known; 0 where there is none.

    Args:
        class_weight: a factor a class.
        loss_weight: factor.
        loss_name: under which mmsegmentation logs it.
    """

    def __init__(
        self, class_weight: Sequence[float] | None = None, loss_weight: float = 1.0, loss_name: str = "loss_ce"
    ):
        super().__init__()
        self.class_weight, self.loss_weight, self.loss_name = class_weight, loss_weight, loss_name

    def forward(self, logits: Tensor, target: Tensor, ignore_index: int = 255, **_: Any) -> Tensor:
        """Of logits ``[N, C, H, W]`` and classes int64 ``[N, H, W]``."""
        weight = logits.new_tensor(self.class_weight or [1.0] * logits.shape[1], dtype=torch.float32)
        total = functional.cross_entropy(logits.float(), target, weight, ignore_index=ignore_index, reduction="sum")
        return self.loss_weight * total / weight[target[target != ignore_index]].sum().clamp(min=1e-6)


@MODELS.register_module()
class KnownDiceLoss(nn.Module):
    """One minus the mean Dice of the classes that the batch holds, over pixels whose class is known.

    Args:
        loss_weight: factor.
        smooth: added to both parts of the ratio, in pixels.
        loss_name: under which mmsegmentation logs it.
    """

    def __init__(self, loss_weight: float = 1.0, smooth: float = 1.0, loss_name: str = "loss_dice"):
        super().__init__()
        self.loss_weight, self.smooth, self.loss_name = loss_weight, smooth, loss_name

    def forward(self, logits: Tensor, target: Tensor, ignore_index: int = 255, **_: Any) -> Tensor:
        """Of logits ``[N, C, H, W]`` and classes int64 ``[N, H, W]``."""
        chosen, target = _known(logits, target, ignore_index)
        truth = functional.one_hot(target, logits.shape[1]).float()
        shares = chosen.softmax(dim=1)
        both, total = (shares * truth).sum(dim=0), shares.sum(dim=0) + truth.sum(dim=0)
        dice = (2 * both + self.smooth) / (total + self.smooth)
        there = truth.sum(dim=0) > 0
        return self.loss_weight * ((1 - dice) * there).sum() / there.sum().clamp(min=1)


@MODELS.register_module()
class KnownFocalLoss(nn.Module):
    """Cross-entropy in which what is right already counts little, over pixels whose class is known.

    Args:
        gamma: how little: 0 is cross-entropy.
        class_weight: a factor a class.
        loss_weight: factor.
        loss_name: under which mmsegmentation logs it.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        class_weight: Sequence[float] | None = None,
        loss_weight: float = 1.0,
        loss_name: str = "loss_focal",
    ):
        super().__init__()
        self.gamma, self.loss_weight, self.loss_name = gamma, loss_weight, loss_name
        self.class_weight = list(class_weight) if class_weight else None

    def forward(self, logits: Tensor, target: Tensor, ignore_index: int = 255, **_: Any) -> Tensor:
        """Of logits ``[N, C, H, W]`` and classes int64 ``[N, H, W]``."""
        chosen, target = _known(logits, target, ignore_index)
        log_shares = chosen.log_softmax(dim=1).gather(1, target[:, None])[:, 0]
        weights = logits.new_tensor(self.class_weight)[target] if self.class_weight else 1.0
        loss = -((1 - log_shares.exp()) ** self.gamma) * log_shares * weights
        return self.loss_weight * loss.sum() / max(len(target), 1)


@MODELS.register_module()
class KnownLovaszLoss(nn.Module):
    """mmsegmentation's Lovász-softmax of the classes that the batch holds, over pixels whose class is known.

    Args:
        class_weight: a factor a class.
        loss_weight: factor.
        loss_name: under which mmsegmentation logs it.
    """

    def __init__(
        self, class_weight: Sequence[float] | None = None, loss_weight: float = 1.0, loss_name: str = "loss_lovasz"
    ):
        super().__init__()
        self.loss_name = loss_name
        self.theirs = LovaszLoss(reduction="none", class_weight=class_weight, loss_weight=loss_weight)

    def forward(self, logits: Tensor, target: Tensor, ignore_index: int = 255, **_: Any) -> Tensor:
        """Of logits ``[N, C, H, W]`` and classes int64 ``[N, H, W]``."""
        found: Tensor = self.theirs(logits.float(), target, ignore_index=ignore_index)
        return found.sum()  # theirs is an empty tensor where no class is known


def _known(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Float logits ``[P, C]`` and classes ``[P]`` of the pixels whose class is known."""
    known = target != ignore_index
    return logits.permute(0, 2, 3, 1)[known].float(), target[known]
