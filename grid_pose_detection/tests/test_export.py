from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from grid_pose_detection import export, model, parity
from quadrat import images, template
from quadrat.predictor import Card, card_path, read_card, write_card

from .conftest import drawn, points_of, quadrat_in_photo

Maker = Callable[..., Path]
LAYOUT = "name: own\nlattice: {columns: 13, rows: 9}\n"


@pytest.fixture(scope="module")
def weights(make_weights: Maker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights with a layout of its own beside them."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "w.pt").write_bytes(make_weights("points", ["grid11x11"]).read_bytes())
    (folder / "own.yaml").write_text(LAYOUT)
    write_card(folder / "w.pt", Card("w", "keypoints", ("grid",), note="mind", layouts=("grid11x11", "own.yaml")))
    return folder / "w.pt"


@pytest.mark.parametrize(
    ("format", "dynamic"), [("openvino", True), ("onnx", False), ("torchscript", False), ("pt", False)]
)
def test_exports_of_every_format_find_what_torch_finds(
    weights: Path, tmp_path: Path, format: str, dynamic: bool
) -> None:
    if format == "onnx":
        pytest.importorskip("onnxruntime")
    made, compared = export.main(str(weights), format=format, dynamic=dynamic, name="given", out=tmp_path)
    assert compared.photos == 3
    assert compared.candidates > 3
    assert 0 <= compared.tensors["predictions"] < 0.001
    assert compared.px < 0.05
    assert read_card(made) == Card("given", "keypoints", ("grid",), note="mind", layouts=("grid11x11", "own.yaml"))
    assert (tmp_path / "own.yaml").read_text() == LAYOUT
    loaded = model.load(made, task="grid")
    assert {"grid11x11", "own"} <= {layout.name for layout in loaded.layouts}
    assert loaded.finder.network.facts.rect == (dynamic or format == "pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([made.name, card_path(made).name, "own.yaml"])


def test_a_network_of_the_formulation_pose_is_exported(make_weights: Maker, tmp_path: Path) -> None:
    images.write(tmp_path / "photos" / "a.png", drawn(None, quadrat_in_photo(template.load("corners"))))
    source = make_weights("pose", ["corners"])
    made, compared = export.main(str(source), format="torchscript", out=tmp_path, photos=[tmp_path / "photos"])
    assert made == tmp_path / f"{source.stem}.torchscript"
    assert compared.photos == 1
    assert compared.candidates == 4
    assert model.load(made).finder.ordered


class Fixed:
    """A network that finds crossings and ends where it is told, moved and scored a little differently on demand."""

    def __init__(self, network, layout: template.Template):
        self.facts = network.facts
        xy = points_of(layout, quadrat_in_photo(layout, 0, (128, 128)), (128, 128)).xy_px
        self.rows = np.zeros((6, len(xy)), np.float32)
        self.rows[:2], self.rows[2:4] = xy.T, 3
        ends = ((layout.uv <= 0) | (layout.uv >= 1)).any(1)
        self.rows[4:] = np.where(ends == [[False], [True]], 0.8, 0.01)

    def __call__(self, batch: np.ndarray):
        return self.rows[None].copy(), None


@pytest.fixture
def pair(weights: Path) -> tuple[model.GridPredictor, model.GridPredictor]:
    """Two predictors that find the same lattice."""
    made = []
    for _ in range(2):
        predictor = model.load(weights, task="grid", layout="grid11x11")
        predictor.finder.network = Fixed(predictor.finder.network, template.load("grid11x11"))
        made.append(predictor)
    return made[0], made[1]


PHOTO = np.zeros((118, 118, 3), np.uint8)


def test_candidates_and_matched_points_are_compared(pair) -> None:
    same = parity.compare(*pair, [PHOTO, PHOTO])
    assert same == parity.Parity({"predictions": 0.0}, 0.0, 0.0, 234, 234, 2)
    parity.check(same, parity.EXACT)
    pair[1].finder.network.rows[0, 40] += 0.25
    pair[1].finder.network.rows[4:, 41] *= 0.98
    other = parity.compare(*pair, [PHOTO])
    assert other.px == pytest.approx(0.25, abs=1e-4)
    assert other.score == pytest.approx(0.016, abs=1e-4)
    assert other.tensors["predictions"] == pytest.approx(0.02, abs=1e-4)
    with pytest.raises(RuntimeError, match="predictions differ from torch by 2"):
        parity.check(other, parity.EXACT)


def test_another_quadrat_is_a_difference(pair) -> None:
    pair[1].finder.network.rows[:2, 40] = 1.0
    with pytest.raises(RuntimeError, match="photo 1: torch finds 117 points of grid11x11 and the export 116 points"):
        parity.compare(*pair, [PHOTO])
    pair[1].finder.network.rows[:2] = 64
    with pytest.raises(RuntimeError, match="photo 1: torch finds a quadrat, the export does not"):
        parity.compare(*pair, [PHOTO])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tensors": {"predictions": float("inf")}}, "predictions differ"),
        ({"score": 0.01}, "score differs from torch by 0.0100"),
        ({"px": 0.06}, "lies 0.060 px of the input from torch's, allowed 0.05"),
        ({"px": float("nan")}, "lies nan px"),
    ],
)
def test_the_worst_figure_is_named(change: dict, message: str) -> None:
    good = {"tensors": {"predictions": 0.0}, "score": 0.0, "px": 0.0, "candidates": 3, "points": 3, "photos": 1}
    parity.check(parity.Parity(**good), parity.EXACT)
    with pytest.raises(RuntimeError, match=message):
        parity.check(parity.Parity(**{**good, **change}), parity.EXACT)


def test_an_export_that_differs_is_put_aside_and_the_old_one_stays(weights: Path, tmp_path: Path, monkeypatch) -> None:
    good, _ = export.main(str(weights), format="torchscript", out=tmp_path)
    before = good.read_bytes()
    load = model.load

    def skewed(path: Path):
        predictor = load(path)
        if path.suffix == ".torchscript":
            network = predictor.finder.network
            run = network.model
            network.model = lambda batch: run(batch) * 1.01
        return predictor

    monkeypatch.setattr(model, "load", skewed)
    with pytest.raises(RuntimeError, match=r"predictions differ from torch by 1\.0.*; it lies in .*failed"):
        export.main(str(weights), format="torchscript", out=tmp_path)
    assert good.read_bytes() == before
    assert (tmp_path / "w.torchscript.failed").stat().st_size > 1000


def test_drawn_photos_show_the_layouts_by_turns() -> None:
    photos = parity.drawn_photos([template.load("grid11x11"), template.load("grid9x13")], 2, 256)
    assert [photo.shape for photo in photos] == [(256, 256, 3)] * 2
    assert all((photo > 200).mean() > 0.05 for photo in photos)
    assert (photos[0] != photos[1]).any()


def test_the_command_says_what_it_compared(weights: Path, tmp_path: Path, capsys) -> None:
    command = ["--weights", str(weights), "--format", "torchscript", "--out", str(tmp_path)]
    assert export.run([*command, "--json"]) == 0
    told = capsys.readouterr().out
    result = json.loads(told.splitlines()[-1])
    assert result["export"] == str(tmp_path / "w.torchscript")
    assert result["candidates"] > 3
    assert "px of the input" in told
    assert export.run([*command, "--images", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("export: ")
    with pytest.raises(SystemExit):
        export.run([*command, "--task", "fish"])
