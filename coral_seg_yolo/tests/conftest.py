"""A small rendered folder, the YOLO folder made of it, and networks with random weights."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from quadrat import images, masks
from quadrat.formats import shapes_json
from quadrat.shapes import Annotations, Instance

os.environ.setdefault("OMP_NUM_THREADS", "1")

SIDE = 96
COLOURS = {"Porites": (220, 60, 40), "Acropora": (40, 200, 220)}


def disc(centre: tuple[int, int], radius: int, side: int = SIDE) -> np.ndarray:
    """A filled circle, bool ``[side, side]``."""
    return cv2.circle(np.zeros((side, side), np.uint8), centre, radius, 1, -1).astype(bool)


def two_part_ring() -> np.ndarray:
    """A ring with a hole, and a second part apart from it."""
    return (disc((30, 34), 20) & ~disc((30, 34), 8)) | disc((74, 70), 12)


def write_sample(folder: Path, name: str, colonies: dict[str, np.ndarray], suffix: str = ".jpg") -> Path:
    """One photo and its truth as `data_engineering.render` lays them out."""
    image = np.full((SIDE, SIDE, 3), 120, np.uint8)
    shapes: list[Instance] = []
    for label, mask in colonies.items():
        image[mask] = COLOURS[label]
        instance = masks.instance_from_mask(label, mask)
        assert instance is not None
        shapes.append(instance)
    photo = folder / "photos" / f"{name}{suffix}"
    images.write(photo, image)
    shapes_json.write(folder / "truth" / f"{name}.json", Annotations(photo.name, (SIDE, SIDE), tuple(shapes)))
    return photo


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    for number in range(10):
        shift = 2 * number
        colonies = {"Acropora": disc((70, 20 + shift), 14), "Porites": disc((24, 70 - shift), 18)}
        write_sample(folder, f"reef_2024_q{number}", colonies if number else {"Porites": two_part_ring()})
    return folder


@pytest.fixture(scope="session")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder of the genus level."""
    from coral_seg_yolo import prepare

    out = tmp_path_factory.mktemp("prepared") / "data"
    prepare.main(out, rendered=rendered, level="genus", val=0.3, test=0.2, seed=1)
    return out


@pytest.fixture(scope="session")
def make_weights(tmp_path_factory: pytest.TempPathFactory):
    """A function that writes a checkpoint with random weights and returns its path."""
    from yolo import framework

    framework.quiet()
    import torch
    from ultralytics.nn.tasks import SegmentationModel

    folder = tmp_path_factory.mktemp("weights")

    def make(name: str, *, classes: int = 3, imgsz: int = 128, end2end: bool = False) -> Path:
        path = folder / f"{name}-{classes}-{imgsz}-{end2end}.pt"
        if not path.exists():
            torch.manual_seed(0)
            network = SegmentationModel(f"{name}.yaml", nc=classes, verbose=False)
            network.names = {index: f"coral{index}" for index in range(classes)}
            _wake(network, torch)
            if end2end:
                network.end2end = True
            torch.save({"model": network, "train_args": {"imgsz": imgsz, "task": "segment"}}, path)
        return path

    return make


def _wake(network, torch) -> None:
    """A fresh network scores everything near 0: lift the class scores, and let batch norms see some noise."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 3, 128, 128))
        head = network.model[-1]
        for branch in [*head.cv3, *getattr(head, "one2one_cv3", [])]:
            branch[-1].weight.mul_(10)
            branch[-1].bias.fill_(-1.0)
    network.eval()
