"""The network as mmsegmentation builds it, and its weights as one safetensors file that says what they are."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from DINOv2_mmseg.spec import Spec
from quadrat import files

with warnings.catch_warnings():  # mmcv says that its compiled operators are not there; none is used
    warnings.simplefilter("ignore")
    import torch
    from mmengine.config import Config
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import init_default_scope
    from mmseg.models import EncoderDecoder
    from mmseg.registry import MODELS
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save as to_bytes
    from torch import Tensor, nn

    from DINOv2_mmseg import backbone, losses  # noqa: F401  (they register themselves)

FORMAT = "DINOv2_mmseg/1"
FOREIGN_PATCH_PX = 32
"""Of backbones that do not say: what most of mmsegmentation's shrink an image by."""
_MANY_MAPS = ("SegformerHead", "UPerHead")


@MODELS.register_module()
class Segmenter(EncoderDecoder):
    """mmsegmentation's encoder and decoder, where the head learns from the backbone how many channels there are."""

    def _init_decode_head(self, decode_head: dict[str, Any]) -> None:
        channels = self.backbone.channels
        many = decode_head["type"] in _MANY_MAPS or decode_head.get("input_transform")
        of_all = {"in_channels": channels, "in_index": list(range(len(channels)))}
        of_last = {"in_channels": channels[-1], "in_index": len(channels) - 1}
        if not many and decode_head.get("num_convs") == 0:  # a linear head: nothing between features and classes
            of_last["channels"] = channels[-1]
        super()._init_decode_head({**decode_head, **(of_all if many else of_last)})


def build(model: Mapping[str, Any], classes: int) -> nn.Module:
    """Build a model of mmsegmentation for so many classes.

    Raises:
        ValueError: mmsegmentation or the backbone refuses a setting.
    """
    init_default_scope("mmseg")
    plain = json.loads(json.dumps(model))
    plain["decode_head"] |= {"num_classes": classes, "out_channels": classes}
    try:
        network = MODELS.build(Config(plain))
    except (TypeError, KeyError, AssertionError) as error:
        raise ValueError(f"the model in the config cannot be built: {str(error).splitlines()[0]}") from error
    return network if torch.distributed.is_initialized() else revert_sync_batchnorm(network)


def logits(network: nn.Module, images: Tensor) -> Tensor:
    """Run a network.

    Args:
        network: of `build`.
        images: float ``[N, 3, H, W]``, normalised.

    Returns:
        ``[N, C, h, w]`` at the head's own stride, not enlarged.
    """
    return network.decode_head(network.extract_feat(images))


def patch_of(network: nn.Module) -> int:
    """Side in px of the patches that a network's backbone cuts an image into."""
    return int(getattr(network.backbone, "patch_px", FOREIGN_PATCH_PX))


def for_inference(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model's dict without what only training needs: losses, downloads, checkpointing."""
    plain = json.loads(json.dumps(model))
    if plain["backbone"]["type"] == "DINOv2":
        plain["backbone"] |= {"pretrained": "", "stem_weights": "", "checkpointing": False}
    plain["decode_head"] |= {"loss_decode": {"type": "KnownCrossEntropyLoss"}}
    plain.pop("auxiliary_head", None)
    return plain


def save(path: Path, network: nn.Module, spec: Spec, *, half: bool = False) -> None:
    """Write weights: under a temporary name first.

    Args:
        path: ends in ``.safetensors``.
        network: of `build`.
        spec: what it is.
        half: store 16 bits a number, half of the size.
    """
    tensors = {
        name: (value.half() if half and value.is_floating_point() else value).cpu().contiguous().clone()
        for name, value in network.state_dict().items()
        if not name.startswith("auxiliary_head.")
    }
    said = {"format": FORMAT, "spec": json.dumps({**asdict(spec), "model": for_inference(spec.model)})}
    files.write_bytes(path, to_bytes(tensors, said))


def read_spec(path: Path) -> Spec:
    """What a weights file is.

    Raises:
        ValueError: it was not written by `save`.
    """
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error})") from error
    if said.get("format") != FORMAT:
        raise ValueError(
            f"{path} does not say which network it is of: expected weights of `DINOv2_mmseg.train` or "
            "`DINOv2_mmseg.export`, or a checkpoint of mmsegmentation with its config (SEGFORMER_CONFIG)"
        )
    return Spec.of_json(json.loads(said["spec"]))


def load(path: Path, device: str = "cpu") -> tuple[nn.Module, Spec]:
    """Read weights and build their network, ready for inference.

    Raises:
        ValueError: it is no such file, or the weights are of another network than it says.
    """
    spec = read_spec(path)
    network = build(spec.model, len(spec.labels))
    fill(network, tensors_of(path), path)
    return network.to(device).eval().requires_grad_(False), spec


def tensors_of(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, as float32 where they are floats."""
    with safe_open(path, "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    return {name: value.float() if value.is_floating_point() else value for name, value in found.items()}


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors into a network.

    Raises:
        ValueError: names or shapes differ; the message names the first of them.
    """
    own = network.state_dict()
    missing, strange = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    shapes = [
        f"{n} {list(tensors[n].shape)} for {list(own[n].shape)}"
        for n in own
        if n in tensors and tensors[n].shape != own[n].shape
    ]
    if missing or strange or shapes:
        told = f"{len(missing)} missing {missing[:2]}, {len(strange)} unknown {strange[:2]}, other shapes {shapes[:2]}"
        raise ValueError(f"{path} is of another network than its config says: {told}")
    network.load_state_dict(dict(tensors))


def normalised(image_rgb: Any, spec: Spec) -> Tensor:
    """A photo as the network takes it: float32 ``[1, 3, H, W]`` from uint8 ``[H, W, 3]``."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in spec.mean_std)
    return ((torch.from_numpy(image_rgb).permute(2, 0, 1).float() - mean) / std)[None]
