from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from DINOv2_mmseg import inference, model, network, runners, weights
from DINOv2_mmseg.model import SegmentationPredictor
from quadrat import images
from quadrat.predictor import Card, ExplainingPredictor, write_card
from quadrat.shapes import SemanticMap

from .conftest import Trained
from .tiny_segmenter import COLOURS, LABELS, SIDE, drawn, tiny_network, write_weights

CARD = Card("colours", "semantic", LABELS, "nothing", "a note", background=LABELS[:1])


@pytest.fixture(autouse=True)
def _no_weights_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    monkeypatch.setenv("QUADRATSEG_RUNS", str(tmp_path / "runs"))


def knows_colours(images_rgb: np.ndarray) -> np.ndarray:
    """A stand-in for a network: how near a pixel is to each class's colour, cells of 2 px; Acropora half-heartedly."""
    means = np.stack([cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for image in images_rgb])
    away = np.linalg.norm(means[..., None, :].astype(np.float32) - np.array(COLOURS, np.float32), axis=-1)
    scores = -away / 30
    scores[..., 2] += 0.5 * (scores[..., 0] - scores[..., 2]) + 0.2  # between its own and the background's
    return np.ascontiguousarray(scores.transpose(0, 3, 1, 2).astype(np.float32))


def predictor(**more: object) -> SegmentationPredictor:
    return SegmentationPredictor(knows_colours, CARD, inference.Settings(0, SIDE, 16), **more)


# ------------------------------------------------------------------------------------------ what is loaded


def test_a_run_is_loaded_by_its_name_its_folder_and_its_weights(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUADRATSEG_RUNS", str(trained.runs))
    run, photo = trained.run("whole"), drawn(0)[0]
    found = [model.load(path) for path in ("whole", run, run / "weights" / "best.safetensors")]
    monkeypatch.setenv(weights.VARIABLE, "whole")
    found.append(model.load())
    maps = [one.segment(photo) for one in found]
    assert all((one.scores == maps[0].scores).all() for one in maps)
    first = found[0]
    assert (first.card.task, first.card.labels, first.card.background) == ("instances", LABELS[1:], ())
    assert (first.semantic_card.task, first.semantic_card.labels) == ("semantic", LABELS)
    assert (first.card.name, first.card.note) == ("whole", "a note")
    assert (first.settings.work_px, first.settings.window_px, first.settings.patch_px) == (SIDE, SIDE, 16)
    assert isinstance(first, ExplainingPredictor)


@pytest.mark.parametrize("name", ["dinov3", "points"])
def test_other_kinds_of_networks_are_loaded(trained: Trained, name: str) -> None:
    found = model.load(trained.run(name))
    dense = found.segment(drawn(1)[0])
    assert dense.scores.shape[0] == len(LABELS)
    assert np.isfinite(dense.scores).all()


def test_what_a_network_says_is_what_torch_computes(tmp_path: Path) -> None:
    """Colours, their order, normalisation and the way back: by hand."""
    import torch

    loaded, photo = model.load(write_weights(tmp_path / "w.safetensors"), tidy_px=0), drawn(0)[0]
    net, spec = tiny_network()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in spec.mean_std)
    assert mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    given = (torch.from_numpy(photo.transpose(2, 0, 1)[None].astype(np.float32)) - mean) / std
    with torch.no_grad():
        scores = network.logits(net, given)
        enlarged = torch.nn.functional.interpolate(scores, size=(SIDE, SIDE), mode="bilinear")[0]
    dense = loaded.segment(photo)
    np.testing.assert_allclose(dense.scores, scores.softmax(dim=1)[0].numpy(), atol=1e-5)
    assert (dense.map.index == enlarged.argmax(dim=0).numpy()).mean() > 0.999
    assert len(np.unique(dense.map.index)) > 1


def test_weights_of_16_bits_and_mixed_precision_say_nearly_the_same(tmp_path: Path) -> None:
    photo, plain = drawn(0)[0], model.load(write_weights(tmp_path / "w.safetensors"))
    net, spec = tiny_network()
    network.save(tmp_path / "half.safetensors", net, spec, half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * (tmp_path / "w.safetensors").stat().st_size
    half, mixed = model.load(tmp_path / "half.safetensors"), model.load(tmp_path / "w.safetensors", precision="bf16")
    wanted = plain.segment(photo).scores
    assert 0 < np.abs(half.segment(photo).scores - wanted).max() < 0.01
    assert 0 < np.abs(mixed.segment(photo).scores - wanted).max() < 0.1
    assert half.semantic_card == Card("half", "semantic", LABELS, background=LABELS[:1])  # without a card, its spec


def test_working_scale_and_windows_are_the_weights_own_unless_said(tmp_path: Path) -> None:
    path, photo = write_weights(tmp_path / "w.safetensors"), images_of((200, 120))
    found = model.load(path).predict_explained(photo)
    assert dict(found.facts) == {"refiner": "watershed", "scale": "0.32"}
    coarse = model.load(path, work_px=48, refiner="components")
    assert dict(coarse.predict_explained(photo).facts) == {"refiner": "components", "scale": "0.24"}
    wide = model.load(path, work_px=0, window_px=208)
    dense = wide.segment(photo)
    assert (dense.scale, dense.scores.shape[1:]) == (1.0, (16, 26))
    assert wide.settings.window_px == 208


def images_of(size_wh: tuple[int, int]) -> np.ndarray:
    return cv2.resize(drawn(0)[0], size_wh)


def test_averaging_and_tidying_reach_the_inference(tmp_path: Path) -> None:
    found = model.load(write_weights(tmp_path / "w.safetensors"), scales=(1.0, 0.5), flip=True, tidy_px=9)
    assert (found.settings.scales, found.settings.flip, found.settings.tidy_px) == ((1.0, 0.5), True, 9)
    assert found.segment(drawn(0)[0]).map.index.shape == (SIDE, SIDE)


# ------------------------------------------------------------------------------------------ what is refused


def test_missing_weights_name_the_variable_and_where_to_get_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/nowhere/w.safetensors", "w.pth"):
        with pytest.raises(FileNotFoundError, match="no such weights .SEGFORMER_WEIGHTS.*DINOv2_mmseg.train"):
            model.load(path)
    monkeypatch.setenv(weights.VARIABLE, "/nowhere/w.safetensors")
    with pytest.raises(FileNotFoundError, match="/nowhere/w.safetensors: no such weights .SEGFORMER_WEIGHTS"):
        model.load()
    with pytest.raises(FileNotFoundError, match="first: no such run of DINOv2_mmseg"):
        model.load("first")
    (tmp_path / "runs" / "DINOv2_mmseg" / "begun").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="has no weights/best.safetensors yet"):
        model.load("begun")
    monkeypatch.delenv(weights.VARIABLE)
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match="names no weights of DINOv2_mmseg.*SEGFORMER_WEIGHTS"):
        model.load()


def test_a_card_of_other_classes_is_refused_side_by_side(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "w.safetensors")
    write_card(path, replace(CARD, labels=("background", "Porites", "Fungia")))
    with pytest.raises(
        ValueError, match=r"weights has 3, only there: \['Acropora'\]; card has 3, only there: \['Fungia'\]"
    ):
        model.load(path)


def test_files_that_are_no_weights_of_ours_are_refused(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        model.load(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="does not say which network it is of.*SEGFORMER_CONFIG"):
        model.load(tmp_path / "other.safetensors")
    net, spec = tiny_network()
    network.save(tmp_path / "w.safetensors", net, replace(spec, labels=("a", "b")))
    with pytest.raises(
        ValueError, match=r"of another network than its config says: .*conv_seg.*\[3, 16, 1, 1\] for \[2, 16"
    ):
        model.load(tmp_path / "w.safetensors")
    (tmp_path / "w.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"has no w.spec.json beside it: expected what .*export"):
        model.load(tmp_path / "w.onnx")
    with pytest.raises(ValueError, match=r"expected .safetensors, .onnx, .torchscript"):
        runners.of_export(tmp_path / "w.safetensors", "cpu", "f32")


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"min_threshold": 1.5}, "min_threshold is 1.5: expected 0..1"),
        ({"unsure_threshold": -1}, "unsure_threshold is -1"),
        ({"refiner": "magic"}, "refiner 'magic'.*watershed, components, sam"),
        ({"precision": "f8"}, "precision 'f8'"),
        ({"window_px": 50}, "window_px is 50: expected a multiple of the patch, 16 px"),
        ({"scales": ()}, "scales are"),
    ],
)
def test_unfit_arguments_are_refused(tmp_path: Path, wrong: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        model.load(write_weights(tmp_path / "w.safetensors"), **wrong)


@pytest.mark.parametrize(
    "image",
    [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8)],
)
def test_what_is_no_photo_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"image_rgb is .*: expected uint8\[H, W, 3\]"):
        predictor().predict(image)


# ------------------------------------------------------------------------------------------ colonies


def test_colonies_are_where_the_classes_are() -> None:
    photo, truth = drawn(0)
    found = predictor().predict(photo)
    assert [one.label for one in found] == ["Porites", "Acropora"]
    for one, kind in zip(found, (1, 2), strict=True):
        full = np.zeros((SIDE, SIDE), bool)
        x0, y0, x1, y1 = one.xyxy_px
        full[y0:y1, x0:x1] = one.mask
        assert (full & (truth == kind)).sum() / (full | (truth == kind)).sum() > 0.85
    assert found[0].score > found[1].score


def test_thresholds_leave_colonies_out_and_mark_the_unsure() -> None:
    photo = drawn(0)[0]
    sure, less = predictor().predict(photo)
    assert sure.score > 0.85 > less.score > 0.3
    assert [dict(one.attributes) for one in (sure, less)] == [{}, {}]
    between = (sure.score + less.score) / 2
    marked = predictor(unsure_threshold=between).predict(photo)
    assert [dict(one.attributes) for one in marked] == [{}, {"unsure": "true"}]
    assert [one.label for one in predictor(min_threshold=between).predict(photo)] == ["Porites"]
    assert [one.label for one in predictor().predict(photo, threshold=between)] == ["Porites"]
    assert len(predictor(min_threshold=between).predict(photo, threshold=0.0)) == 2
    assert list(predictor().predict(photo, threshold=1.0)) == []
    with pytest.raises(ValueError, match="threshold is 1.2: expected 0..1"):
        predictor().predict(photo, threshold=1.2)


def test_explaining_a_map_that_is_there_looks_no_second_time() -> None:
    one = predictor()
    photo = drawn(0)[0]
    dense = one.segment(photo)
    one.run = None  # type: ignore[assignment]
    explained = one.explain(photo, dense)
    assert isinstance(dense.map, SemanticMap)
    assert [shape.label for shape in explained.shapes] == ["Porites", "Acropora"]


@pytest.mark.parametrize("size_wh", [(1, 1), (7, 3), (500, 9)])
def test_photos_smaller_than_a_patch_and_gray_ones_work(tmp_path: Path, size_wh: tuple[int, int]) -> None:
    loaded = model.load(write_weights(tmp_path / "w.safetensors"))
    images.write(tmp_path / "gray.png", np.full((*size_wh[::-1], 3), 90, np.uint8))
    photo = images.read(tmp_path / "gray.png")
    assert loaded.segment(photo).map.index.shape == size_wh[::-1]
    loaded.predict(photo)
