from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coral_seg_yolo import export, model
from quadrat import masks
from quadrat.predictor import Card, write_card

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
    return export.main(str(weights), out=tmp_path_factory.mktemp("exported"), dynamic=True)


@pytest.mark.parametrize("dynamic", [True, False])
def test_openvino_gives_the_numbers_and_masks_of_torch(
    weights: Path, exported: Path, tmp_path: Path, dynamic: bool
) -> None:
    folder = exported if dynamic else export.main(str(weights), out=tmp_path, half=True)
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


def test_an_export_that_differs_is_not_kept(weights: Path, tmp_path: Path, monkeypatch) -> None:
    run = export._run
    monkeypatch.setattr(export, "_run", lambda *a: (run(*a)[0] * np.float32(1.01), run(*a)[1]))
    with pytest.raises(RuntimeError, match="predictions differ from torch"):
        export.main(str(weights), format="torchscript", out=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_a_difference(value: float) -> None:
    good = np.ones((1, 3, 4)), np.ones((2, 4, 4))
    bad = good[0].copy()
    bad[0, 1, 2] = value
    export._check_parity(good, good, "x", 0.001)
    with pytest.raises(RuntimeError, match="differ from torch"):
        export._check_parity(good, (bad, good[1]), "x", 0.001)


@pytest.mark.skipif(importlib.util.find_spec("onnx") is not None, reason="onnx is installed")
def test_a_missing_package_is_named_with_the_command_that_installs_it(weights: Path) -> None:
    with pytest.raises(ValueError, match="pip install onnx"):
        export.main(str(weights), format="onnx")


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
    given = export.main(str(source), format="pt", name="coral-reef", out=tmp_path / "given")
    assert given == tmp_path / "given" / "coral-reef.pt"
    assert model.load(given).card == Card("coral-reef", "instances", ("a", "b", "c"), note="mind")
    with zipfile.ZipFile(given) as archive:
        pickled = b"".join(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
    assert b"someone" not in pickled
    assert b"optimizer" not in pickled
    with pytest.raises(ValueError, match="needs a --name"):
        export.main(str(source), format="pt")
