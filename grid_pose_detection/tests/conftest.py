"""Small drawn photos with their truth, laid out as rendered ones are, and networks with random weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from quadrat import images, template
from quadrat.formats import shapes_json
from quadrat.predictor import Card, write_card
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Annotations, Keypoints

os.environ.setdefault("OMP_NUM_THREADS", "1")

SIZE_WH = (320, 240)
FRAMES = ("pvc", "dark")


def quadrat_in_photo(layout: template.Template, seed: int = 0, size_wh: tuple[int, int] = SIZE_WH) -> np.ndarray:
    """Homography from a layout's frame (``uv``) into a photo: a little turned, a little tilted."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0.2, 0.1], [0.8, 0.1], [0.8, 0.9], [0.2, 0.9]]) + rng.uniform(-0.05, 0.05, (4, 2))
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return cv2.getPerspectiveTransform(unit, (corners * size_wh).astype(np.float32))


def points_of(layout: template.Template, homography: np.ndarray, size_wh: tuple[int, int] = SIZE_WH) -> Keypoints:
    """The points of a layout in a photo; those outside of it hidden."""
    xy = cv2.perspectiveTransform(layout.uv[None].astype(np.float64), homography)[0]
    inside = ((xy >= 0) & (xy <= size_wh)).all(axis=1)
    attributes = {"layout": layout.name} if layout.label == "grid" else {}
    return Keypoints(layout.label, layout.names, xy, np.where(inside, VISIBLE, HIDDEN), attributes=attributes)


def drawn(layout: template.Template | None, homography: np.ndarray, size_wh: tuple[int, int] = SIZE_WH) -> np.ndarray:
    """A gray photo, uint8 ``[H, W, 3]``, with a frame and the strings of a layout."""
    image = np.full((size_wh[1], size_wh[0], 3), 96, np.uint8)
    frame = points_of(template.load("corners"), homography, size_wh).xy_px
    cv2.polylines(image, [np.rint(frame).astype(np.int32)], True, (240, 240, 235), 5, cv2.LINE_AA)
    if layout is not None:
        places = np.rint(points_of(layout, homography, size_wh).xy_px).astype(int).tolist()
        for start, end in layout.edges:
            cv2.line(image, places[start], places[end], (250, 250, 120), 1, cv2.LINE_AA)
    return image


def write_sample(folder: Path, name: str, layout: template.Template | None, seed: int, covered: Sequence[int] = ()):
    """One photo and its truth as `data_engineering.render` lays them out; `covered` are points of the layout.

    Without a layout the photo shows no quadrat at all.
    """
    photo = folder / "photos" / f"{name}.jpg"
    shapes: list[Keypoints] = []
    meta: dict[str, object] = {"frame": "none", "layout": "none"}
    if layout is None:
        images.write(photo, np.random.default_rng(seed).integers(60, 140, (SIZE_WH[1], SIZE_WH[0], 3), np.uint8))
    else:
        homography = quadrat_in_photo(layout, seed)
        images.write(photo, drawn(layout, homography))
        grid = points_of(layout, homography)
        visibility = np.array(grid.visibility)
        visibility[list(covered)] = OCCLUDED
        grid = Keypoints(grid.label, grid.names, grid.xy_px, visibility, attributes=grid.attributes)
        shapes = [points_of(template.load("corners"), homography), grid]
        meta = {"frame": FRAMES[seed % len(FRAMES)], "layout": layout.name}
    truth = Annotations(photo.name, SIZE_WH, tuple(shapes), meta)
    shapes_json.write(folder / "truth" / f"{name}.json", truth)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten photos: nine quadrats in both layouts, ten points of each covered, and one of the bare ground."""
    folder = tmp_path_factory.mktemp("rendered")
    layouts = [template.load(name) for name in ("grid11x11", "grid9x13")]
    for number in range(10):
        layout = layouts[number % 2] if number else None
        write_sample(folder, f"reef_2024_q{number}", layout, number, covered=range(40, 50))
    return folder


@pytest.fixture(scope="session")
def make_weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that writes a checkpoint with random weights and its card, and returns the checkpoint's path."""
    from yolo import framework

    framework.quiet()
    import torch
    from ultralytics.nn.tasks import DetectionModel, PoseModel

    from grid_pose_detection import folder as prepared

    place = tmp_path_factory.mktemp("weights")

    def make(formulation: str = "points", layouts: Sequence[str] = ("corners",), imgsz: int = 128) -> Path:
        path = place / f"{formulation}-{'-'.join(layouts)}-{imgsz}.pt"
        if path.exists():
            return path
        known = [template.load(name) for name in layouts]
        torch.manual_seed(0)
        if formulation == "pose":
            names = list(layouts)
            network = PoseModel(
                "yolo11n-pose.yaml", nc=len(names), data_kpt_shape=(len(known[0].names), 3), verbose=False
            )
        else:
            names = sorted({str(kind) for layout in known for kind in prepared.kinds_of(layout)})
            network = DetectionModel("yolo11n.yaml", nc=len(names), verbose=False)
        network.names = dict(enumerate(names))
        _wake(network, torch)
        task = "pose" if formulation == "pose" else "detect"
        torch.save({"model": network, "train_args": {"imgsz": imgsz, "task": task}}, path)
        card = Card(path.stem, "keypoints", (known[0].label,), "rendered quadrats", "A note.", layouts=tuple(layouts))
        write_card(path, card)
        return path

    return make


def _wake(network, torch) -> None:
    """A fresh network scores everything near 0: lift the class scores, and let batch norms see some noise."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 3, 128, 128))
        for branch in network.model[-1].cv3:
            branch[-1].weight.mul_(10)
            branch[-1].bias.fill_(-1.0)
    network.eval()
