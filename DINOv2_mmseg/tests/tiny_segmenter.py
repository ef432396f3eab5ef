"""A segmenter of a few thousand weights with random values, and drawn photos for it, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from DINOv2_mmseg import folder, settings
from quadrat import images
from quadrat.predictor import Card, write_card

LABELS = ("background", "Porites", "Acropora")
COLOURS = ((90, 110, 130), (220, 60, 40), (40, 200, 90))
SIDE = 64
TINY = [
    "model.backbone.arguments.embed_dim=32",
    "model.backbone.arguments.depth=2",
    "model.backbone.arguments.num_heads=2",
    "model.backbone.arguments.img_size=64",
    "model.backbone.out_indices=[0, 1]",
    "model.backbone.stem_widths=[4, 8, 8]",
    "model.decode_head.channels=16",
    f"crop_px={SIDE}",
    f"work_px={SIDE}",
    "label_stride=1",
]


def tiny_model(*overrides: str, config: Path | None = None) -> dict[str, Any]:
    """A model's dict as a training makes it."""
    return settings.to_json(settings.read(config, [*TINY, *overrides]))["model"]


def tiny_network(labels: Sequence[str] = LABELS, seed: int = 0, *overrides: str) -> tuple[Any, Any]:
    """A network with random weights that are not next to nothing, and its spec."""
    import torch

    from DINOv2_mmseg import network

    torch.manual_seed(seed)
    model = tiny_model(*overrides)
    built = network.build(model, len(labels))
    for name, weight in built.named_parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.3 if name.startswith("decode_head") else 0.1)
    for name, figure in built.named_buffers():
        if name.endswith("running_var"):
            figure.uniform_(0.5, 2)
    spec = network.Spec(model, tuple(labels), tuple(labels[:1]), SIDE, SIDE, network.patch_of(built))
    return built.eval(), spec


def write_weights(path: Path, labels: Sequence[str] = LABELS, seed: int = 0) -> Path:
    """Weights with their card."""
    from DINOv2_mmseg import network

    path.parent.mkdir(parents=True, exist_ok=True)
    network.save(path, *tiny_network(labels, seed))
    write_card(path, Card("tiny", "semantic", tuple(labels), "nothing", background=tuple(labels[:1])))
    return path


def drawn(number: int, size_wh: tuple[int, int] = (SIDE, SIDE)) -> tuple[np.ndarray, np.ndarray]:
    """A photo uint8 ``[H, W, 3]`` of a red disc and a green bar on gray, and its classes uint8 ``[H, W]``."""
    width, height = size_wh
    index = np.zeros((height, width), np.uint8)
    cv2.circle(index, (20 + 3 * number, 22 + 5 * (number % 3)), 15, 1, -1)
    index[height - 20 : height - 6, 6 : width - 8 - 4 * number] = 2
    noise = np.random.default_rng(number).normal(0, 6, (height, width, 3))
    return np.clip(np.array(COLOURS)[index] + noise, 0, 255).astype(np.uint8), index


def write_folder(out: Path, labels: Sequence[str] = LABELS, *, points: bool = False, train: int = 3) -> Path:
    """A prepared folder of drawn photos: `train` for training, two for validation."""
    counts = {"train": train, "val": 2, "test": 0}
    for split, count in counts.items():
        (out / split / "data").mkdir(parents=True)
        for number in range(count):
            photo, index = drawn(number + (split == "val"))
            if points:
                known = np.zeros(index.shape, bool)
                known[3::9, 4::9] = True
                index = np.where(known, index, np.uint8(folder.IGNORE))
            images.write(out / split / "data" / f"{split}{number}.png", photo)
            label = out / split / "labels" / f"{split}{number}.png"
            label.parent.mkdir(exist_ok=True)
            label.write_bytes(folder.encode_label(index, labels))
    pixels = dict.fromkeys(labels, 1000)
    kind, level = ("points", "") if points else ("dense", "genus")
    said = ("drawn discs", "a note", 0, counts, pixels)
    folder.write(out, folder.Manifest(tuple(labels), tuple(labels[:1]), kind, level, *said))
    return out
