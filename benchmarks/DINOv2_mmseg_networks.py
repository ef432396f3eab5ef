"""What the cases of `DINOv2_mmseg` share: a network, its way from photo to class map, and mmsegmentation's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DINOv2_mmseg import inference, runners, weights
from DINOv2_mmseg import settings as configs
from DINOv2_mmseg.dense import Dense

Rgb = NDArray[np.uint8]
BACKGROUND = "background"


@dataclass(frozen=True)
class Network:
    """A network in torch, float32, on the CPU.

    Attributes:
        module: mmsegmentation's model.
        spec: what it is, a `DINOv2_mmseg.network.Spec`.
        said: its weights in words.
    """

    module: Any
    spec: Any
    said: str

    @property
    def settings(self) -> inference.Settings:
        """How photos go through it: as `model.load` sets it on a CPU, one window at a time."""
        return inference.Settings(self.spec.work_px, self.spec.window_px, self.spec.patch_px)

    def run(self, images_rgb: Rgb) -> NDArray[np.float32]:
        """Logits of windows, see `inference.Run`."""
        return runners.of_torch(self.module, self.spec)(images_rgb)

    def segment(self, photo: Rgb) -> Dense:
        """Ours: photo to class map."""
        return inference.segment(self.run, photo, self.spec.labels, self.settings)

    def at(self, **changes: int) -> Network:
        """The same weights with another ``work_px`` or ``window_px``."""
        return replace(self, spec=replace(self.spec, **changes))


def load() -> Network:
    """The network of ``SEGFORMER_WEIGHTS``, else the one that ships, else random weights of the small one.

    Raises:
        FileNotFoundError: ``SEGFORMER_WEIGHTS`` names a file that is not there.
        ValueError: it names an export, or weights of mmsegmentation.
    """
    try:
        path = weights.find()
    except FileNotFoundError:
        if os.environ.get(weights.VARIABLE, "").strip():
            raise
        return made("rendered/small.py")
    if path.suffix != ".safetensors":
        raise ValueError(f"{weights.VARIABLE} names {path.name}: expected .safetensors, which torch and mmseg both run")
    from DINOv2_mmseg import network

    module, spec = network.load(path)
    return Network(module, spec, path.name)


def made(config: str, **changes: int) -> Network:
    """A network with random weights, always the same, for the background and the 16 genera of rendered reefs.

    Args:
        config: of ``DINOv2_mmseg/configs``.
        changes: ``work_px``, ``window_px``.
    """
    import torch

    from DINOv2_mmseg import network

    config_of = configs.read(configs.CONFIGS / config, ["model.backbone.pretrained="])
    plain = configs.to_json(config_of)["model"]
    labels = labels_of_reefs()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = network.build(plain, len(labels)).eval().requires_grad_(False)
    sizes = {"work_px": config_of["work_px"], "window_px": config_of["crop_px"], **changes}
    spec = network.Spec(plain, labels, (BACKGROUND,), patch_px=network.patch_of(module), **sizes)
    made = Network(module, spec, f"random, of DINOv2_mmseg/configs/{config}")
    _balance(made)
    return made


def _balance(net: Network) -> None:
    """Shift and scale the scores of each class by what a picture of noise gives, so that every class wins somewhere.

    Random weights call nearly all of a photo one class: a map in which nothing could differ, and little is to be done.
    """
    import torch

    from benchmarks.photos import _noise

    scores = net.run(_noise(256, 256)[None])[0].reshape(len(net.spec.labels), -1)
    mean, spread = torch.from_numpy(scores.mean(axis=1)), torch.from_numpy(scores.std(axis=1) + 1e-6)
    last = net.module.decode_head.conv_seg
    last.weight.copy_(last.weight / spread[:, None, None, None])
    last.bias.copy_((last.bias - mean) / spread)


def labels_of_reefs() -> tuple[str, ...]:
    """The background and the genera that are rendered."""
    from data_engineering.render.genera import GENERA

    return (BACKGROUND, *GENERA)


# ------------------------------------------------------------------------------------------------ mmsegmentation


def slide(net: Network) -> Callable[[Rgb], NDArray[np.int64]]:
    """The test mode ``slide`` of mmsegmentation with the windows that ours has, on the same working image.

    Logits of each window are enlarged to its pixels, added up and averaged over the working image, enlarged to the
    photo and arg-maxed, all by mmsegmentation itself.

    Returns:
        A function from photo uint8 ``[H, W, 3]`` to its class map int64 ``[H, W]``.
    """
    import torch
    from mmengine.config import ConfigDict
    from mmseg.structures import SegDataSample

    from DINOv2_mmseg import network

    spec, settings = net.spec, net.settings
    stride = spec.window_px - int(spec.window_px * inference.OVERLAP / spec.patch_px) * spec.patch_px
    test_cfg = ConfigDict(mode="slide", crop_size=(spec.window_px,) * 2, stride=(stride,) * 2)

    def segment(photo: Rgb) -> NDArray[np.int64]:
        net.module.test_cfg = test_cfg
        image, (right, down) = brought(photo, settings)
        size = image.shape[:2]
        facts = {"ori_shape": photo.shape[:2], "img_shape": size, "padding_size": (0, right, 0, down)}
        with torch.inference_mode():
            batch = network.normalised(image, spec)
            (found,) = net.module.predict(batch, [SegDataSample(metainfo=facts)])
        classes: NDArray[np.int64] = found.pred_sem_seg.data[0].numpy()
        return classes

    return segment


def brought(photo: Rgb, settings: inference.Settings) -> tuple[Rgb, tuple[int, int]]:
    """The working image of a photo as ours makes it, of whole patches, and px padded on the right and below."""
    height, width = photo.shape[:2]
    scale = settings.work_px / max(height, width) if settings.work_px else 1.0
    w, h = (max(round(side * scale), 1) for side in (width, height))
    image = inference._padded(inference._resized(photo, (w, h)), settings.patch_px, 0)
    return image, (image.shape[1] - w, image.shape[0] - h)


def windows(net: Network, photo: Rgb) -> list[Rgb]:
    """What the network sees of a photo: windows uint8 ``[1, h, w, 3]`` in the order in which it sees them."""
    seen: list[Rgb] = []

    def note(images_rgb: Rgb) -> NDArray[np.float32]:
        seen.append(images_rgb.copy())
        _, height, width, _ = images_rgb.shape
        cells = height // net.spec.patch_px, width // net.spec.patch_px
        return np.zeros((len(images_rgb), len(net.spec.labels), *cells), np.float32)

    inference.segment(note, photo, net.spec.labels, net.settings)
    return seen
