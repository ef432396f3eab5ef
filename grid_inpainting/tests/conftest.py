"""Small rendered photos, and a remover that needs no weights."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from quadrat import images, template
from quadrat.formats import shapes_json
from quadrat.layout_choice import layout_of
from quadrat.predictor import Card, Painted
from quadrat.shapes import HIDDEN, VISIBLE, Annotations, Keypoints

os.environ.setdefault("OMP_NUM_THREADS", "1")

SIZE_WH = (320, 240)
LAYOUT = template.load("grid9x13")


def grid(layout: template.Template = LAYOUT, size_wh: tuple[int, int] = SIZE_WH) -> Keypoints:
    """The points of a layout, upright in the middle of a photo."""
    xy = (0.1 + 0.8 * layout.uv) * size_wh
    attributes = {"layout": layout.name} if layout.label == "grid" else {}
    return Keypoints(layout.label, layout.names, xy, np.full(len(xy), VISIBLE), attributes=attributes)


def draw_strings(points: Keypoints, size_wh: tuple[int, int], width_px: int = 2) -> np.ndarray:
    """Straight strings between neighbours, bool ``[H, W]``."""
    layout = layout_of(points, [template.load(name) for name in template.BUILTIN])
    assert layout is not None
    drawn = np.zeros(size_wh[::-1], np.uint8)
    places = np.rint(points.xy_px - 0.5).astype(int).tolist()
    for start, end in layout.edges:
        if points.visibility[start] != HIDDEN and points.visibility[end] != HIDDEN:
            cv2.line(drawn, places[start], places[end], 1, width_px)
    return drawn.astype(bool)


def write_scene(root: Path, name: str, seed: int = 0, layout: template.Template | None = LAYOUT) -> None:
    """A pair as `data_engineering.render` lays it out; without a layout there are no strings in it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 150, (6, 8, 3), np.uint8)
    clean = cv2.resize(coarse, SIZE_WH, interpolation=cv2.INTER_CUBIC)
    shapes = (grid(template.load("corners")), grid(layout)) if layout else ()
    strings = draw_strings(shapes[1], SIZE_WH, 3) if layout else np.zeros(SIZE_WH[::-1], bool)
    photo = clean.copy()
    photo[strings] = (235, 235, 225)
    images.write(root / "photos" / f"{name}.jpg", photo, 95)
    images.write(root / "clean" / f"{name}.jpg", clean, 95)
    images.write(root / "strings" / f"{name}.png", strings.view(np.uint8) * 255)
    meta = {"frame": "pvc", "layout": layout.name if layout else "none"}
    shapes_json.write(root / "truth" / f"{name}.json", Annotations(f"{name}.jpg", SIZE_WH, shapes, meta))


class FakeRemover:
    """Strings as they are drawn, painted by OpenCV."""

    card = Card("fake", "inpainting", (), "nothing", "A note.")

    def __init__(self) -> None:
        self.calls = 0

    def mask_of(self, image_rgb: np.ndarray, keypoints: Keypoints) -> SimpleNamespace:
        mask = draw_strings(keypoints, image_rgb.shape[1::-1], 5)
        return SimpleNamespace(mask=mask, width_px=5.0, warnings=("drawn, not seen",))

    def detect_lines(self, image_rgb: np.ndarray) -> SimpleNamespace:
        return SimpleNamespace(mask=(image_rgb.min(2) > 210), width_px=2.0, warnings=())

    def remove(self, image_rgb, *, keypoints=None, mask=None, force=False) -> Painted:
        self.calls += 1
        if mask.mean() > 0.5 and not force:
            raise ValueError(f"the mask is {mask.mean():.0%} of the photo: expected at most half, or force")
        if not mask.any():
            return Painted(image_rgb, mask, ("nothing to paint",))
        painted = cv2.inpaint(image_rgb, mask.view(np.uint8), 3, cv2.INPAINT_TELEA)
        return Painted(painted, mask)


@pytest.fixture
def remover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRemover:
    """What `model.load` gives."""
    from grid_inpainting import evaluate, model, predict

    made = FakeRemover()
    (tmp_path / "w.pt").write_bytes(b"weights")
    monkeypatch.setattr(model, "load", lambda *_, **__: made)
    for stage in (evaluate, predict):
        monkeypatch.setattr(stage, "find_weights", lambda path: tmp_path / "w.pt")
    return made


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs as they are rendered, and one photo without strings."""
    root = tmp_path_factory.mktemp("scenes")
    for number in range(6):
        write_scene(root, f"reef_2024_q{number}", number)
    write_scene(root, "reef_2024_q6", 6, None)
    return root
