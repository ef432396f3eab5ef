"""DINOv2 and DINOv3 from timm as a backbone of mmsegmentation: four maps at the stride of the patches.

Sources: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (2023); Darcet et al., "Vision
Transformers Need Registers" (2024); Hu et al., "LoRA" (2022).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
from mmseg.registry import MODELS
from torch import Tensor, nn

from DINOv2_mmseg import stems

STEMS = ("patch", "conv", "csp")
TUNE = ("full", "lora", "frozen")
WEIGHTS_VARIABLE = "DINOV2_WEIGHTS"


@MODELS.register_module()
class DINOv2(nn.Module):
    """A vision transformer whose blocks' outputs are maps.

    Any image size: the position embedding is interpolated, and an image that is no multiple of the patch is padded
    right and below with the mean colour. The maps then have ``ceil(side / patch)`` cells a side; cell ``i`` begins at
    pixel ``i * patch`` of the image.

    Args:
        name: of timm: ``vit_small_patch14_dinov2``, ``vit_base_patch14_reg4_dinov2``, ``vit_small_patch16_dinov3``, …
        out_indices: of the blocks whose output is wanted, from 0, ascending.
        tune: ``full`` trains all, ``lora`` low-rank additions to the attention's matrices (peft), ``frozen`` nothing.
        lora_rank: of the additions.
        checkpointing: recompute activations in the backward pass: about half of the memory, a third slower.
        stem: ``patch`` (one convolution of the size of a patch, as published), or a small convolutional network in its
            place, which learns from few photographs what a transformer learns from millions: ``conv``, or ``csp``,
            which starts from a trained YOLO11n, see `stems`.
        stem_widths: of ``conv``, channels of the steps, each of half the size; then comes the transformer's width.
        stem_weights: of ``csp``: TorchScript or safetensors of a YOLO11n; empty for random ones.
        stem_map: give the stem's map of half the stride as the first of the maps.
        pretrained: ``timm`` downloads its weights where ``DINOV2_WEIGHTS`` names none; a path; empty for random ones.
        arguments: of timm's network, over those of `name`: ``{embed_dim: 256, depth: 6, num_heads: 4}``.

    Raises:
        ValueError: an argument is none of those that there are.
        FileNotFoundError: there are no such weights.
    """

    def __init__(
        self,
        name: str = "vit_small_patch14_dinov2",
        out_indices: Sequence[int] = (2, 5, 8, 11),
        tune: str = "full",
        lora_rank: int = 16,
        checkpointing: bool = False,
        stem: str = "patch",
        stem_widths: Sequence[int] = (32, 64, 128),
        stem_weights: str = "",
        stem_map: bool = False,
        pretrained: str = "",
        arguments: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        if tune not in TUNE or stem not in STEMS:
            raise ValueError(f"tune {tune!r}, stem {stem!r}: expected {', '.join(TUNE)}, and {', '.join(STEMS)}")
        self.stem = stem
        self.out_indices, self.tune, self.stem_map = list(out_indices), tune, stem_map and stem != "patch"
        self.vit = _transformer(name, pretrained, dict(arguments or {}))
        depth = len(self.vit.blocks)
        if not out_indices or not all(0 <= i < depth for i in out_indices):
            raise ValueError(f"out_indices {list(out_indices)}: {name} has the blocks 0 to {depth - 1}")
        if stem == "conv":
            self.vit.patch_embed.proj = stems.ConvStem(stem_widths, self.vit.embed_dim, self.patch_px)
        if stem == "csp":
            self.vit.patch_embed.proj = stems.CspStem(self.vit.embed_dim, self.patch_px, stem_weights)
        self.vit.set_grad_checkpointing(checkpointing)
        if tune != "full":
            self.vit.requires_grad_(False)
        if tune == "lora":
            self.vit = _with_lora(self.vit, lora_rank)
        if stem != "patch":  # it is no part of what was pretrained
            self.vit.patch_embed.proj.requires_grad_(True)

    @property
    def patch_px(self) -> int:
        """Side of a patch in px of the image: the stride of the maps."""
        return int(self.vit.patch_embed.patch_size[0])

    @property
    def channels(self) -> list[int]:
        """Of each map."""
        first = [self.vit.patch_embed.proj.finer_channels] if self.stem_map else []
        return [*first, *[int(self.vit.embed_dim)] * len(self.out_indices)]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Run the network.

        Args:
            images: float ``[N, 3, H, W]``, normalised.

        Returns:
            Maps ``[N, C, ceil(H / patch), ceil(W / patch)]``, one an index of `out_indices`.
        """
        maps = self.vit.forward_intermediates(
            _padded(images, self.patch_px), indices=self.out_indices, norm=True, intermediates_only=True
        )
        return [self.vit.patch_embed.proj.take_finer(), *maps] if self.stem_map else list(maps)

    def train(self, mode: bool = True) -> DINOv2:
        """A frozen network stays as in inference: no dropped paths."""
        super().train(mode)
        if self.tune == "frozen":
            self.vit.eval()
            if self.stem != "patch":
                self.vit.patch_embed.proj.train(mode)
        return self


def _transformer(name: str, pretrained: str, arguments: dict[str, Any]) -> nn.Module:
    if not timm.is_model(name):
        near = ", ".join(timm.list_models("*dinov2*") + timm.list_models("*dinov3*"))
        raise ValueError(f"backbone {name!r}: timm has no such network; there are {near}")
    source = (os.environ.get(WEIGHTS_VARIABLE, "").strip() or pretrained) if pretrained else ""
    arguments = {"dynamic_img_size": True, "num_classes": 0, **arguments}
    if source == "timm":
        return _downloaded(name, arguments)
    network = timm.create_model(name, pretrained=False, **arguments)
    if source:
        _load(network, Path(source), name)
    return network


def _downloaded(name: str, arguments: dict[str, Any]) -> nn.Module:
    try:
        return timm.create_model(name, pretrained=True, **arguments)
    except Exception as error:  # the hub's client raises its own, many kinds
        raise FileNotFoundError(
            f"the weights of {name} could not be downloaded ({type(error).__name__}: {str(error).splitlines()[0]}): "
            f"get model.safetensors of {name} from huggingface.co/timm by hand and set {WEIGHTS_VARIABLE} to its path, "
            "unset HF_HUB_OFFLINE to let timm download it, or start from random weights with model.backbone.pretrained="
        ) from error


def _load(network: nn.Module, path: Path, name: str) -> None:
    from timm.models import load_checkpoint

    if not path.is_file():
        raise FileNotFoundError(
            f"{WEIGHTS_VARIABLE} or model.backbone.pretrained is {path}: no such file; expected weights of {name}, "
            "for example model.safetensors of huggingface.co/timm, or Meta's .pth"
        )
    try:
        # timm's own filter knows Meta's names, too, and brings the position embedding to the network's size.
        known_names = sys.modules[type(network).__module__].checkpoint_filter_fn
        load_checkpoint(network, str(path), strict=True, filter_fn=known_names, weights_only=True)
    except Exception as error:  # unpickling and timm's filters raise many kinds
        raise ValueError(f"{path} does not hold the weights of {name}: {' '.join(str(error).split())[:300]}") from error


def _with_lora(network: nn.Module, rank: int) -> nn.Module:
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["qkv", "proj"], exclude_modules=r"patch_embed.*")
    return inject_adapter_in_model(config, network)


def _padded(images: Tensor, patch_px: int) -> Tensor:
    """With zeros, which are the mean colour, right and below up to whole patches."""
    height, width = images.shape[2:]
    return nn.functional.pad(images, (0, -width % patch_px, 0, -height % patch_px))
