from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from DINOv2_mmseg import fold_work, folder, human_points, kfold, model, peers
from DINOv2_mmseg.fold_work import FOREST, MAJORITY, OURS
from quadrat import images
from quadrat.shapes import SemanticMap

REEF = Path(__file__).parents[3] / "shared" / "photos" / "mcr_lter_moorea"
COLOURS = {"Porit": (220, 60, 40), "Sand": (210, 200, 150), "Turf": (60, 120, 60)}
SIDE = 60


@pytest.fixture(scope="module")
def reef(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Seven photos of three stripes, and a table with six points in each; one point of Monti in one photo."""
    made = tmp_path_factory.mktemp("reef")
    lines, rng = ["Name,Row,Column,Label"], np.random.default_rng(0)
    for number in range(7):
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        for third, colour in enumerate(COLOURS.values()):
            image[:, 20 * third : 20 * (third + 1)] = colour
        image = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
        images.write(made / "photos" / f"q{number}.png", image)
        for spot in range(6):
            label = list(COLOURS)[min(spot, 2)]  # one of Porit and Sand, four of Turf
            label = "Monti" if (number, spot) == (3, 5) else label
            lines.append(f"q{number}.png,{8 + 8 * spot},{20 * min(spot, 2) + 10},{label}")
    (made / "points.csv").write_text("\n".join(lines))
    return made / "points.csv", made / "photos"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few trees, small pictures."""
    for name, value in (("TREES", 10), ("INNER_TREES", 4), ("WORK_PX", 120), ("SETTINGS", peers.SETTINGS[:2])):
        monkeypatch.setattr(peers, name, value)


class Fake:
    """Says Turf everywhere but in the left third, where it says Porit."""

    def __init__(self, labels: tuple[str, ...]):
        self.labels = labels

    def segment(self, image_rgb: np.ndarray) -> SimpleNamespace:
        index = np.full(image_rgb.shape[:2], self.labels.index("Turf"), np.uint8)
        index[:, : SIDE // 3] = self.labels.index("Porit")
        return SimpleNamespace(map=SemanticMap(self.labels, index))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders that were trained on; `model.load` gives fakes that know their classes."""
    done: list[str] = []

    def train(out: Path, fold: int, data: Path, training: fold_work.Training) -> Path:
        assert "Monti" not in folder.read(data).labels
        done.append(f"{data.parent.name} {' '.join(training.overrides)}")
        return data

    def load(path: str, *_: Any, **__: Any) -> Fake:
        assert Path(path).name == "last.safetensors"
        return Fake(folder.read(Path(path).parents[1]).labels)

    monkeypatch.setattr(fold_work, "train", train)
    monkeypatch.setattr(model, "load", load)
    return done


def test_every_photo_is_held_out_once_as_prepare_deals_them(reef: tuple[Path, Path], tmp_path: Path) -> None:
    from DINOv2_mmseg import prepare

    table, photos = reef
    dealt = human_points.deal(table, [photos], 3, seed=5)
    assert sorted(Counter(dealt.fold_of.values()).values()) == [2, 2, 3]
    assert (len(dealt.photos), dealt.support()["Monti"], sum(dealt.support().values())) == (7, 1, 42)
    assert dealt.unlearnable() == ["Monti"]
    for fold in (1, 2, 3):
        prepare.main(tmp_path / str(fold), coralnet=table, photos=photos, fold=f"{fold}/3", seed=5)
        held = {photo.name for photo, _ in folder.pairs(tmp_path / str(fold), "val")}
        assert held == {photo.path.name for photo in dealt.held_out(fold)}
        assert not held & {photo.path.name for photo in dealt.training(fold)}
    first = dealt.photos[0]
    assert first.xy_px.tolist()[0] == [10.5, 8.5]
    assert first.labels == ["Porit", "Sand", *["Turf"] * 4]


def test_ours_beside_the_peers_at_all_points(reef: tuple[Path, Path], tmp_path: Path, trained: list[str]) -> None:
    table, photos = reef
    groups = tmp_path / "groups.csv"
    groups.write_text("photo,group\n" + "".join(f"q{n}.png,{'old' if n < 3 else 'new'}\n" for n in range(7)))
    wishes: dict[str, Any] = {"folds": 3, "config": Path("c.py"), "overrides": ["steps=3"], "groups": groups}
    result = kfold.main(table, [photos], tmp_path / "out", **wishes, jobs=1)
    assert trained == [f"fold-{fold} steps=3" for fold in (1, 2, 3)]
    assert (result["photos"], result["points"], result["unlearnable"]) == (7, 42, ["Monti"])
    ours, forest, commonest = (result["methods"][name] for name in (OURS, FOREST, MAJORITY))
    right = 7 + 7 * 4 - 1  # Porit and Turf, but not Monti
    assert ours["pooled"]["accuracy"] == pytest.approx(right / 42, abs=1e-6)
    assert ours["pooled"]["classes"]["Monti"] == {
        "support": 1, "predicted": 0, "iou": 0, "recall": 0, "precision": None, "dice": 0,
    }  # fmt: skip
    assert commonest["pooled"]["accuracy"] == pytest.approx((7 * 4 - 1) / 42, abs=1e-6)
    assert forest["pooled"]["accuracy"] > 0.9
    for one in (ours, forest, commonest):
        each = one["accuracy"]["each"]
        assert one["accuracy"]["mean"] == pytest.approx(np.mean(each), abs=1e-5)
        assert one["accuracy"]["sd"] == pytest.approx(np.std(each, ddof=1), abs=1e-5)
    assert len(ours["cover_error"]["each"]) == 7
    assert ours["pooled"]["cover_error_map"] > 0
    assert forest["pooled"]["cover_error_map"] is None
    assert {group: one["points"] for group, one in result["groups"].items()} == {"new": 24, "old": 18}
    assert result["groups"]["old"]["accuracy"][OURS] == pytest.approx(15 / 18, abs=1e-6)
    told = kfold.table(result)
    assert "Monti (not learnt)" in told
    assert "accuracy, old (3 photos)" in told
    _check_files(tmp_path / "out", result)


def _check_files(out: Path, result: dict[str, Any]) -> None:
    assert json.loads((out / "figures.json").read_text()) == result
    with (out / "cover.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 * 4
    turf = next(row for row in rows if (row["photo"], row["class"]) == ("q0.png", "Turf"))
    wanted = {"points": "6", "human %": 66.667, "ours %": 83.333, "ours whole map %": 66.667, "majority %": 100}
    for key, value in wanted.items():
        assert float(turf[key]) == pytest.approx(float(value), abs=1e-3)
    for name in ("cover.png", "confusion.png"):
        assert min(images.read(out / name).shape[:2]) > 200
    with (out / "classes.csv").open(newline="") as file:
        classes = {row["class"]: row for row in csv.DictReader(file)}
    assert (classes["Monti"]["learnt"], classes["Turf"]["recall ours"]) == ("no", "1.0")


def test_what_is_done_is_not_done_again(
    reef: tuple[Path, Path], tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table, photos = reef
    out, wishes = tmp_path / "out", {"folds": 3, "jobs": 1}
    assert list(kfold.main(table, [photos], out, peers_only=True, **wishes)["methods"]) == [FOREST, MAJORITY]
    assert trained == []
    monkeypatch.setattr(peers, "features", lambda *_: pytest.fail("features were computed again"))
    first = kfold.main(table, [photos], out, config=Path("c.py"), **wishes)
    fold_work.guesses_file(out, 2, OURS).unlink()
    assert kfold.main(table, [photos], out, config=Path("c.py"), **wishes) == first
    assert [one.split()[0] for one in trained] == ["fold-1", "fold-2", "fold-3", "fold-2"]
    with pytest.raises(ValueError, match="other settings of the training \\(config differ"):
        kfold.main(table, [photos], out, config=Path("d.py"), **wishes)
    with pytest.raises(ValueError, match="other points, photos or folds \\(folds differ"):
        kfold.main(table, [photos], out, config=Path("c.py"), folds=2)


def test_training_is_a_process_that_goes_on_and_tells_why_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[list[str], str]] = []
    status = 0

    def run(command: list[str], *, env: dict[str, str], stdout: Any, **_: Any) -> SimpleNamespace:
        calls.append((command, env["QUADRATSEG_RUNS"]))
        stdout.write("train: no such thing\n")
        return SimpleNamespace(returncode=status)

    monkeypatch.setattr(subprocess, "run", run)
    training = fold_work.Training(Path("c.py"), Path("t.csv"), (Path("p"),), ("steps=3",), seed=4, device="cpu")
    data, out = tmp_path / "fold-2" / "data", tmp_path
    data.mkdir(parents=True)
    made = fold_work.train(out, 2, data, training)
    command, runs = calls[0]
    assert made == Path(runs) / "DINOv2_mmseg" / "fold-2"
    assert command[1:] == [
        "-m", "DINOv2_mmseg.train", "--data", str(data), "--config", "c.py", "--name", "fold-2", "--seed", "4",
        "--device", "cpu", "steps=3", "patience=0",
    ]  # fmt: skip
    made.mkdir(parents=True)
    (made / "provenance.json").write_text("{}")
    status = 1
    with pytest.raises(RuntimeError, match=r"fold 2 ended with status 1; .*train.log ends with:\n.*no such thing"):
        fold_work.train(out, 2, data, training)
    assert "--resume" in calls[1][0]
    (made / "result.json").write_text("{}")
    assert fold_work.train(out, 2, data, training) == made
    assert len(calls) == 2


def test_wishes_that_do_not_fit_are_refused(reef: tuple[Path, Path], tmp_path: Path) -> None:
    table, photos = reef
    (tmp_path / "groups.csv").write_text("photo,group\nq0.png,a\n")
    (tmp_path / "header.csv").write_text("name,frame\n")
    for wishes, message in (
        ({}, "expected --config"),
        ({"peers_only": True, "folds": 8}, "too few for 8 folds"),
        ({"peers_only": True, "folds": 1}, "N >= 2"),
    ):
        with pytest.raises(ValueError, match=message):
            kfold.main(table, [photos], tmp_path / "out", **wishes)
    dealt = human_points.deal(table, [photos], 2)
    with pytest.raises(ValueError, match="no group of q1.png"):
        kfold._groups(tmp_path / "groups.csv", dealt)
    with pytest.raises(ValueError, match="expected photo,group"):
        kfold._groups(tmp_path / "header.csv", dealt)


def test_full_names_of_a_labelset(reef: tuple[Path, Path], tmp_path: Path) -> None:
    table, photos = reef
    labelset = tmp_path / "labelset.csv"
    labelset.write_text("Name,Short Code\nPorites,Porit\nSand,Sand\nTurf algae,Turf\nMontipora,Monti\n")
    dealt = human_points.deal(table, [photos], 3, labelset=labelset)
    assert set(dealt.support()) == {"Porites", "Sand", "Turf algae", "Montipora"}


def test_the_command_prints_one_json_object_last(reef: tuple[Path, Path], tmp_path: Path) -> None:
    table, photos = reef
    command = [sys.executable, "-m", "DINOv2_mmseg.kfold", "--coralnet", str(table), "--photos", str(photos)]
    bad = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert bad.stderr.splitlines()[-1].startswith("kfold: expected --config")
    arguments = vars(kfold._parse(["--coralnet", "a", "--photos", "b", "--out", "c", "--json", "steps=3", "lr=1"]))
    assert arguments.pop("json")
    assert arguments["overrides"] == ["steps=3", "lr=1"]
    assert set(arguments) == set(kfold.main.__annotations__) - {"return"}


@pytest.mark.slow
@pytest.mark.skipif(not REEF.is_dir(), reason="the real photographs are not part of the project")
def test_the_forest_is_a_fair_peer_on_real_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "WORK_PX", 960)
    monkeypatch.setattr(peers, "TREES", 100)
    monkeypatch.setattr(peers, "INNER_TREES", 20)
    result = kfold.main(REEF / "annotations.csv", [REEF], tmp_path, peers_only=True)
    assert result["points"] == 2200
    assert result["methods"][MAJORITY]["pooled"]["accuracy"] == pytest.approx(0.43, abs=0.001)
    assert result["methods"][FOREST]["pooled"]["accuracy"] > 0.7
