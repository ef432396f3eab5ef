from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coral_seg_yolo import export, model, parity
from quadrat import images, masks
from quadrat.predictor import Card, write_card
from yolo import exporting

from .test_model import photo

Maker = Callable[..., Path]


@pytest.fixture(scope="module")
def weights(make_weights: Maker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "w.pt"
    path.write_bytes(make_weights("yolo11n-seg").read_bytes())
    write_card(path, Card("w", "instances", ("a", "b", "c"), note="mind"))
    return path


@pytest.fixture(scope="module")
def exported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export.main(str(weights), out=tmp_path_factory.mktemp("exported"), dynamic=True)[0]


@pytest.mark.parametrize("dynamic", [True, False])
def test_openvino_gives_the_numbers_and_masks_of_torch(
    weights: Path, exported: Path, tmp_path: Path, dynamic: bool
) -> None:
    folder = exported if dynamic else export.main(str(weights), out=tmp_path, half=True)[0]
    theirs, ours = model.load(weights, confidence=0.05), model.load(folder, confidence=0.05)
    assert ours.network.facts.rect == dynamic
    assert ours.card == theirs.card == Card("w", "instances", ("a", "b", "c"), note="mind")
    batch = np.random.default_rng(0).random((1, 3, 96, 128) if dynamic else (1, 3, 128, 128), np.float32)
    for expected, got in zip(theirs.network(batch), ours.network(batch), strict=True):
        expected, got = np.asarray(expected), np.asarray(got)
        assert np.abs(got - expected).max() <= (0.001 if dynamic else 0.02) * np.abs(expected).max()
    image = photo(220, 170)
    found = ours.predict(image)
    assert found
    for instance in found:
        assert masks.clip(instance, (220, 170)).area_px == instance.area_px
    if not dynamic:
        assert sum(path.stat().st_size for path in folder.iterdir()) < 0.7 * weights.stat().st_size


WITHOUT_TORCH = """
import sys

for name in ("torch", "torchvision", "ultralytics"):
    sys.modules[name] = None  # importing it fails
from coral_seg_yolo import model
from quadrat import images

found = model.load(sys.argv[1], confidence=0.05).predict(images.read(sys.argv[2]))
print(*(f"{one.label}:{one.score:.6f}:{one.area_px}" for one in found))
"""


@pytest.mark.parametrize("format", ["openvino", "onnx"])
def test_runtimes_do_without_torch(weights: Path, exported: Path, tmp_path: Path, format: str) -> None:
    made = exported if format == "openvino" else export.main(str(weights), format="onnx", out=tmp_path, dynamic=True)[0]
    images.write(tmp_path / "photo.png", photo(220, 170))
    command = [sys.executable, "-c", WITHOUT_TORCH, str(made), str(tmp_path / "photo.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = model.load(made, confidence=0.05).predict(photo(220, 170))
    assert found
    assert done.stdout.split() == [f"{one.label}:{one.score:.6f}:{one.area_px}" for one in found]


@pytest.mark.parametrize("format", ["pt", "torchscript"])
def test_the_input_can_be_given_another_size(weights: Path, tmp_path: Path, format: str) -> None:
    before = model.load(weights).network.facts.size_px
    written, compared = export.main(str(weights), format=format, name="wide", out=tmp_path, imgsz=before + 64)
    assert model.load(written).network.facts.size_px == before + 64
    assert compared.photos
    with pytest.raises(ValueError, match="imgsz is 100: expected a multiple of 32"):
        export.main(str(weights), format=format, name="wide", out=tmp_path, imgsz=100)


@pytest.mark.parametrize(("format", "dynamic"), [("onnx", True), ("onnx", False), ("torchscript", False)])
def test_other_formats_find_what_torch_finds(weights: Path, tmp_path: Path, format: str, dynamic: bool) -> None:
    if format == "onnx":
        pytest.importorskip("onnxruntime")
    for number in range(2):
        images.write(tmp_path / "photos" / f"{number}.png", photo(150 + 40 * number, 120))
    made, compared = export.main(
        str(weights), format=format, dynamic=dynamic, out=tmp_path, photos=[tmp_path / "photos"]
    )
    assert made == tmp_path / f"w.{format}"
    assert compared.photos == 2
    assert max(compared.tensors.values()) < 0.0005
    assert compared.colonies > 1
    assert compared.iou > 0.99
    loaded = model.load(made, confidence=0.05)
    assert loaded.network.facts.rect == dynamic
    assert loaded.card.note == "mind"
    assert loaded.predict(photo(220, 170))


class Skewed:
    """A network whose class scores are a little too high."""

    def __init__(self, network, share: float):
        self.network, self.share, self.facts = network, share, network.facts

    def __call__(self, batch):
        predictions, prototypes = self.network(batch)
        skewed = predictions.copy()
        skewed[:, 4:7] *= 1 + self.share
        return skewed, prototypes


def test_an_export_that_differs_is_put_aside_and_the_old_one_stays(weights: Path, tmp_path: Path, monkeypatch) -> None:
    good, _ = export.main(str(weights), format="torchscript", out=tmp_path)
    before = good.read_bytes()
    load = model.load

    def skewed(path: Path):
        predictor = load(path)
        if path.suffix == ".torchscript":
            predictor.network = Skewed(predictor.network, 0.01)
        return predictor

    monkeypatch.setattr(model, "load", skewed)
    with pytest.raises(RuntimeError, match=r"predictions differ from torch by 1\.0.*; it lies in .*failed"):
        export.main(str(weights), format="torchscript", out=tmp_path)
    assert good.read_bytes() == before
    assert (tmp_path / "w.torchscript.failed").stat().st_size > 1000


def test_the_command_says_what_it_compared_and_fails_loudly(weights: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "coral_seg_yolo.export", "--weights", str(weights), "--format", "torchscript"]
    done = subprocess.run([*command, "--out", str(tmp_path), "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["export"] == str(tmp_path / "w.torchscript")
    assert set(result["tensors"]) == {"predictions", "prototypes"}
    done = subprocess.run([*command, "--images", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(".webp)")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tensors": {"prototypes": float("inf")}}, "prototypes differ"),
        ({"score": 0.01}, "score differs from torch by 0.0100"),
        ({"iou": 0.9}, "an IoU of 0.9000"),
    ],
)
def test_the_worst_figure_is_named(change: dict, message: str) -> None:
    good = {"tensors": {"predictions": 0.0}, "score": 0.0, "iou": 1.0, "colonies": 3, "photos": 1}
    parity.check(parity.Parity(**good), parity.EXACT)
    with pytest.raises(RuntimeError, match=message):
        parity.check(parity.Parity(**{**good, **change}), parity.EXACT)


class Renamed(Skewed):
    """A network that takes one class for another."""

    def __call__(self, batch):
        predictions, prototypes = self.network(batch)
        return predictions[:, [0, 1, 2, 3, 5, 6, 4, *range(7, predictions.shape[1])]], prototypes


def test_a_colony_that_the_export_does_not_find_is_a_difference(weights: Path) -> None:
    one, other = model.load(weights), model.load(weights)
    image = photo(220, 170)
    assert len(parity._pairs(one, other, image, 1)) > 1
    other.network = Renamed(other.network, 0)
    with pytest.raises(RuntimeError, match="photo 1: torch finds .*, the export does not"):
        parity._pairs(one, other, image, 1)


def test_a_missing_package_is_named_with_the_command_that_installs_it(weights: Path, monkeypatch) -> None:
    monkeypatch.setitem(exporting.NEEDS, "onnx", ("onnx", "no_such_package"))
    with pytest.raises(ValueError, match="pip install no_such_package"):
        export.main(str(weights), format="onnx")


@pytest.mark.parametrize("name", ["w.onnx", "w.torchscript"])
def test_files_that_only_look_like_exports_get_one_clear_error(tmp_path: Path, name: str) -> None:
    if name.endswith("onnx"):
        pytest.importorskip("onnxruntime")
    (tmp_path / name).write_bytes(b"not a network")
    with pytest.raises(ValueError, match=f"{name} is no "):
        model.load(tmp_path / name)


def test_what_is_exported_already_is_refused(exported: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a \.pt file"):
        export.main(str(exported))


def test_a_folder_that_is_no_export_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text("<net/>")
    with pytest.raises(ValueError, match="metadata.yaml"):
        model.load(tmp_path)


def test_weights_to_give_away_hold_the_network_alone(weights: Path, tmp_path: Path) -> None:
    import zipfile

    import torch

    source = tmp_path / "source.pt"
    full = torch.load(weights, weights_only=False)
    arguments = {**full["train_args"], "project": "/home/someone/reef", "data": "/home/someone/d.yaml"}
    torch.save({**full, "train_args": arguments, "optimizer": {"state": [0] * 1000}}, source)
    write_card(source, Card("source", "instances", ("a", "b", "c"), note="mind"))
    given = export.main(str(source), format="pt", name="coral-reef", out=tmp_path / "given")[0]
    assert given == tmp_path / "given" / "coral-reef.pt"
    assert model.load(given).card == Card("coral-reef", "instances", ("a", "b", "c"), note="mind")
    with zipfile.ZipFile(given) as archive:
        pickled = b"".join(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
    assert b"someone" not in pickled
    assert b"optimizer" not in pickled
    with pytest.raises(ValueError, match="needs a --name"):
        export.main(str(source), format="pt")
