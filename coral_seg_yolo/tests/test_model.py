from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from coral_seg_yolo import assemble, model
from quadrat import files, images, masks
from quadrat.predictor import Card, write_card
from yolo import framework, letterbox, weights

Maker = Callable[..., Path]


def photo(width: int, height: int) -> np.ndarray:
    blocks = np.random.default_rng(width + height).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return np.ascontiguousarray(blocks.repeat(8, 0).repeat(8, 1)[:height, :width])


@pytest.mark.parametrize("size_wh", [(128, 128), (333, 250), (200, 517), (61, 40)])
@pytest.mark.parametrize(
    ("network", "end2end"), [("yolo11n-seg", False), ("yolo26n-seg", False), ("yolo26n-seg", True)]
)
def test_masks_are_those_of_ultralytics_native_path(
    make_weights: Maker, network: str, end2end: bool, size_wh: tuple[int, int]
) -> None:
    predictor = model.load(make_weights(network, end2end=end2end), confidence=0.05)
    assert predictor.network.facts.end2end == end2end
    import torch
    from ultralytics.utils import ops

    image = photo(*size_wh)
    detections, rough, input_wh = predictor.detect(image, 0.05)
    # Untrained prototypes are noise from sample to sample; a trained network's are smooth.
    prototypes = np.stack([cv2.GaussianBlur(one, (0, 0), 2) for one in rough])
    boxes, coefficients = (torch.from_numpy(detections[:, part]) for part in (slice(0, 4), slice(6, None)))
    native = ops.process_mask_native(torch.from_numpy(prototypes), coefficients, boxes, size_wh[::-1]).numpy() > 0
    placing = letterbox.place(size_wh, input_wh)
    drawn = assemble.box_masks(prototypes, detections[:, 6:], detections[:, :4], placing, input_wh)
    assert len(drawn) > 3
    shared = union = 0
    for (mask, (x, y)), theirs in zip(drawn, native, strict=True):
        ours = np.zeros_like(theirs)
        ours[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
        shared, union = shared + (ours & theirs).sum(), union + (ours | theirs).sum()
    assert shared / union >= 0.99
    assert predictor.predict(image)


@pytest.mark.skipif(not (weights.FOLDER / "index.yaml").is_file(), reason="no weights ship yet")
@pytest.mark.parametrize("size_wh", [(448, 336), (300, 421)])
def test_shipped_weights_find_what_ultralytics_finds(size_wh: tuple[int, int]) -> None:
    from data_engineering.render import scene
    from data_engineering.render.settings import Settings

    found = model.find_weights(None)
    path = found if found.suffix == ".pt" else next(found.parent.glob("*.pt"))
    predictor = model.load(path)
    from ultralytics import YOLO

    image = cv2.resize(scene.render(3, Settings()).photo, size_wh)
    [result] = YOLO(str(path)).predict(
        image[..., ::-1], retina_masks=True, conf=0.25, iou=0.5, agnostic_nms=True, verbose=False, device="cpu",
        imgsz=predictor.network.facts.size_px, max_det=model.MAX_COLONIES,
    )  # fmt: skip
    ours = predictor.predict(image)
    assert len(ours) == len(result) > 0
    for instance, full, score in zip(ours, result.masks.data.numpy() > 0, result.boxes.conf, strict=True):
        mine = masks.to_full_mask(instance, size_wh)
        assert (mine & full).sum() / (mine | full).sum() >= 0.99
        assert instance.score == pytest.approx(float(score), abs=1e-3)


def test_a_large_photo_is_averaged_not_sampled(make_weights: Maker, tmp_path: Path) -> None:
    """Lines of one pixel, black and white, are gray from afar; every fourth pixel alone would be black or white."""
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import YOLODataset

    lines = np.zeros((512, 512, 3), np.uint8)
    lines[:, ::2] = 255
    assert np.abs(model.load(make_weights("yolo11n-seg"))._letterbox(lines) - 0.5).max() < 0.01
    images.write(tmp_path / "images" / "lines.png", lines)
    files.write_text(tmp_path / "labels" / "lines.txt", "0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    framework.shrink_by_area()
    data = {"names": {0: "a"}, "channels": 3}
    loader = YOLODataset(img_path=str(tmp_path / "images"), data=data, task="segment", imgsz=128, hyp=get_cfg())
    shrunk = loader.load_image(0)[0]
    assert shrunk.shape == (128, 128, 3)
    assert np.abs(shrunk.astype(int) - 127).max() < 3


SPAWNED = """
import multiprocessing, sys
from yolo import framework, letterbox, weights

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    framework.quiet()
    framework.shrink_by_area()
    from ultralytics.cfg import get_cfg
    from ultralytics.data import build_dataloader
    from ultralytics.data.dataset import YOLODataset

    data = {"names": {0: "a"}, "channels": 3}
    loaded = YOLODataset(sys.argv[1], data=data, task="segment", imgsz=128, hyp=get_cfg(), augment=False, rect=False)
    loader = build_dataloader(loaded, batch=1, workers=1, shuffle=False)
    assert loader.num_workers == 1
    print(max(int((batch["img"].int() - 127).abs().max()) for batch in loader))
"""


def test_spawned_processes_that_load_photos_average_as_well(tmp_path: Path) -> None:
    """As on macOS and Windows, where a new process knows nothing of what was set in this one."""
    lines = np.zeros((512, 512, 3), np.uint8)
    lines[:, ::2] = 255
    for name in ("a", "b"):
        images.write(tmp_path / "images" / f"{name}.png", lines)
        files.write_text(tmp_path / "labels" / f"{name}.txt", "0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    (tmp_path / "spawned.py").write_text(SPAWNED)
    command = [sys.executable, str(tmp_path / "spawned.py"), str(tmp_path / "images")]
    there = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=there)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 3


def test_instances_are_sorted_inside_the_photo_and_above_the_threshold(make_weights: Maker) -> None:
    predictor = model.load(make_weights("yolo11n-seg"), confidence=0.05)
    found = predictor.predict(photo(150, 90))
    scores = [instance.score for instance in found]
    assert scores == sorted(scores, reverse=True)
    for instance in found:
        assert masks.clip(instance, (150, 90)).area_px == instance.area_px
    middle = scores[len(scores) // 2]
    above = predictor.predict(photo(150, 90), threshold=middle)
    assert 0 < len(above) < len(found)
    assert min(instance.score for instance in above) >= middle
    assert predictor.predict(photo(150, 90), threshold=1.0) == []


@pytest.mark.parametrize("size_wh", [(1, 1), (1, 700), (3, 2), (40, 40)])
def test_odd_photos_do_no_harm(make_weights: Maker, size_wh: tuple[int, int]) -> None:
    predictor = model.load(make_weights("yolo11n-seg"), confidence=0.0)
    for image in (np.zeros((*size_wh[::-1], 3), np.uint8), np.full((*size_wh[::-1], 3), 255, np.uint8)):
        for instance in predictor.predict(image):
            assert masks.clip(instance, size_wh).area_px == instance.area_px


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_what_is_no_photo_is_refused(make_weights: Maker, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8\[H, W, 3\]"):
        model.load(make_weights("yolo11n-seg")).predict(image)


def test_thresholds_out_of_range_are_refused(make_weights: Maker) -> None:
    path = make_weights("yolo11n-seg")
    for wrong in ({"confidence": 1.5}, {"iou": -0.1}, {"tile_px": 10}):
        with pytest.raises(ValueError, match="expected"):
            model.load(path, **wrong)
    with pytest.raises(ValueError, match="threshold is nan"):
        model.load(path).predict(photo(32, 32), threshold=float("nan"))


def test_a_large_photo_is_cut_into_windows(make_weights: Maker) -> None:
    path = make_weights("yolo11n-seg")
    image = photo(400, 300)
    tiled = model.load(path, confidence=0.05, tile_px=128).predict(image)
    assert tiled
    small = model.load(path, confidence=0.05, tile_px=512).predict(image)
    whole = model.load(path, confidence=0.05).predict(image)
    assert [i.xyxy_px for i in small] == [i.xyxy_px for i in whole]
    assert max(i.xyxy_px[2] - i.xyxy_px[0] for i in tiled) <= 400


def test_the_card_beside_the_weights_names_the_classes(make_weights: Maker, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(make_weights("yolo11n-seg").read_bytes())
    assert model.load(path).card.labels == ("coral0", "coral1", "coral2")
    write_card(path, Card("w", "instances", ("Porites", "Acropora", "Fungia"), note="mind"))
    predictor = model.load(path, confidence=0.05)
    assert {i.label for i in predictor.predict(photo(128, 128))} <= {"Porites", "Acropora", "Fungia"}
    assert predictor.card.note == "mind"
    write_card(path, Card("w", "instances", ("Porites",)))
    with pytest.raises(ValueError, match="3 classes, its card names 1"):
        model.load(path)


def test_a_run_is_found_by_name_and_by_folder(make_weights: Maker, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("QUADRATSEG_RUNS", str(tmp_path))
    run = tmp_path / "coral_seg_yolo" / "first"
    (run / "weights").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="not finished an epoch"):
        model.find_weights("first")
    (run / "weights" / "last.pt").write_bytes(make_weights("yolo11n-seg").read_bytes())
    assert model.find_weights("first") == model.find_weights(run) == run / "weights" / "last.pt"
    assert model.load("first").card.name == "last"
    with pytest.raises(FileNotFoundError, match="there are: first"):
        model.find_weights("second")


def test_files_that_are_no_weights_get_one_clear_error(tmp_path: Path) -> None:
    import pickle

    import torch

    foreign = tmp_path / "foreign.pt"
    foreign.write_bytes(b"\x00\x01 not a checkpoint")
    tensors = tmp_path / "tensors.pt"
    torch.save({"model": {"weight": torch.zeros(3)}}, tensors)
    harmful = tmp_path / "harmful.pt"
    harmful.write_bytes(pickle.dumps(_Harmful(str(tmp_path / "written"))))
    for path in (foreign, tensors, harmful):
        with pytest.raises(ValueError, match=f"{path.name} is no checkpoint"):
            model.load(path)
    assert not (tmp_path / "written").exists()
    with pytest.raises(FileNotFoundError, match="no such weights file"):
        model.load(tmp_path / "absent.pt")


class _Harmful:
    """Writes a file when it is unpickled without care."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (self.path, "w")


def test_weights_that_ship_are_those_the_index_names(make_weights: Maker, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match="MODEL_PATH"):
        model.find_weights(None)
    (tmp_path / "n.pt").write_bytes(make_weights("yolo11n-seg").read_bytes())
    (tmp_path / "index.yaml").write_text("default: {coral_seg_yolo: n.pt}\n")
    assert model.load().card.name == "n"
