"""The adversary and the losses that a painter is trained with (Suvorov et al. 2021, section 2.3)."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  (its customary name)
from torch import Tensor, nn


class Critic(nn.Module):
    """Says of every patch of a picture whether it is a photograph (Isola et al. 2017): higher is likelier.

    Args:
        width: channels of the first layer; doubled up to eight times of it.
        layers: strided layers: more see larger patches.
    """

    def __init__(self, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        channels = [3, *(width * 2 ** min(level, 3) for level in range(layers + 1))]
        stages = [nn.Sequential(nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2))]
        for level in range(1, layers + 1):
            stride = 2 if level < layers else 1
            convolution = nn.Conv2d(channels[level], channels[level + 1], 4, stride, 1)
            stages.append(nn.Sequential(convolution, nn.BatchNorm2d(channels[level + 1]), nn.LeakyReLU(0.2)))
        self.stages = nn.ModuleList(stages)
        self.last = nn.Conv2d(channels[-1], 1, 4, 1, 1)

    def forward(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Of ``[B, 3, H, W]`` the logits ``[B, 1, h, w]`` and the features of every stage."""
        features = []
        for stage in self.stages:
            picture = stage(picture)
            features.append(picture)
        return self.last(picture), features


def critic_loss(critic: Critic, true: Tensor, painted: Tensor, mask: Tensor, r1: float) -> Tensor:
    """Non-saturating loss; a painted picture is false only in patches that hold a part of the hole.

    Args:
        critic: the critic.
        true: photographs ``[B, 3, H, W]``.
        painted: pictures of the painter, detached.
        mask: ``[B, 1, H, W]``, 1 in the hole.
        r1: weight of the gradient penalty on true pictures (Mescheder et al. 2018); 0 leaves it out.
    """
    if r1:
        true = true.detach().requires_grad_()
    on_true, _ = critic(true)
    on_painted, _ = critic(painted)
    false = F.adaptive_max_pool2d(mask, on_painted.shape[-2:])
    loss = F.softplus(-on_true).mean() + (F.softplus(on_painted) * false + F.softplus(-on_painted) * (1 - false)).mean()
    if r1:
        (slope,) = torch.autograd.grad(on_true.float().sum(), true, create_graph=True)
        loss = loss + r1 * slope.square().flatten(1).sum(1).mean()
    return loss


def deceive(logits: Tensor, mask: Tensor) -> Tensor:
    """The painter's side of `critic_loss`: patches of the hole shall pass for photographs."""
    hole = F.adaptive_max_pool2d(mask, logits.shape[-2:])
    return (F.softplus(-logits) * hole).sum() / hole.sum().clamp(min=1)


def match_features(true: list[Tensor], painted: list[Tensor]) -> Tensor:
    """Mean squared distance of the critic's features (Wang et al. 2018)."""
    return torch.stack([F.mse_loss(b, a.detach()) for a, b in zip(true, painted, strict=True)]).mean()


def l1_in(mask: Tensor, painted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference in the pixels of a mask; 0 where it is empty."""
    return (mask * (painted - target).abs()).sum() / (3 * mask.sum()).clamp(min=1)


class Perceptual(nn.Module):
    """Distance of the features of a ResNet-50 whose later stages are dilated, so that it sees far and fine.

    Suvorov et al. take one that was trained to segment; torchvision's state dict of any ResNet-50 will do.

    Raises:
        ValueError: no such file, or no state dict of a ResNet-50.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        from torchvision.models import resnet50

        net = resnet50(weights=None, replace_stride_with_dilation=[False, True, True])
        try:
            net.load_state_dict(_read(weights), strict=False)
        except (OSError, RuntimeError, pickle.UnpicklingError) as error:
            expected = "expected a state dict of torchvision's resnet50"
            raise ValueError(f"perceptual_weights {weights}: {expected}") from error
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.stages = nn.ModuleList([net.layer1, net.layer2, net.layer3, net.layer4])
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[None, :, None, None])
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225])[None, :, None, None])
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Perceptual:
        """It judges, and never learns."""
        return super().train(False)

    def forward(self, painted: Tensor, target: Tensor) -> Tensor:
        """Mean squared distance over all stages, of pictures ``[B, 3, H, W]`` 0..1."""
        ours, true = ((picture - self.mean) / self.deviation for picture in (painted, target))
        ours, true = self.stem(ours), self.stem(true)
        distances = []
        for stage in self.stages:
            ours, true = stage(ours), stage(true)
            distances.append(F.mse_loss(ours, true))
        return torch.stack(distances).sum()


def _read(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)
