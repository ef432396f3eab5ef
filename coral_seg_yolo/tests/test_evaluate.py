from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from coral_seg_yolo import evaluate, folder, model, prepare
from quadrat import images, masks
from quadrat.predictor import Card, write_card
from quadrat.shapes import Instance

from .conftest import disc

KEYS = {"map50", "map50_95", "precision", "recall", "f1"}
GENERA = 16


@pytest.fixture(scope="module")
def weights(make_weights) -> str:
    return str(make_weights("yolo11n-seg", classes=GENERA, imgsz=64))


def test_figures_tables_and_pictures_of_a_prepared_folder(data: Path, weights: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "coral_seg_yolo.evaluate", "--data", str(data), "--split", "val", "--json"]
    done = subprocess.run(
        [*command, "--weights", weights, "--out", str(tmp_path / "out"), "--confidence", "0.05"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "any coral, mask" in done.stdout
    result = json.loads(done.stdout.splitlines()[-1])
    for values in (result["mask"], result["box"], result["any"]["mask"], result["any"]["box"]):
        assert set(values) == KEYS
        assert all(0 <= value <= 1 for value in values.values())
    assert result["photos"] == folder.read(data).photos["val"]
    assert result["colonies"] == sum(one["support"] for one in result["classes"].values()) > 0
    assert json.loads((tmp_path / "out" / "figures.json").read_text()) == result
    for name in ("confusion", "precision_recall", "f1_confidence"):
        assert min(images.read(tmp_path / "out" / f"{name}.png").shape[:2]) > 400
        with (tmp_path / "out" / f"{name}.csv").open() as file:
            rows = list(csv.reader(file))
        assert len({len(row) for row in rows}) == 1
        if name == "confusion":
            counts = np.array([row[1:] for row in rows[1:]], int)
            assert counts.shape == (GENERA + 1, GENERA + 1)
            assert counts[:-1].sum() == result["colonies"]
            assert counts[:, :-1].sum() == result["at_confidence"]["predictions"]


class Perfect:
    """Finds the truth of a prepared folder; of the second class it is sure only in second place."""

    def __init__(self, data: Path, labels: tuple[str, ...]):
        self.card = Card("perfect", "instances", labels)
        self.truth = [folder.read_labels(photo, labels, (96, 96)) for photo in folder.photos(data, "val")]

    def predict(self, image_rgb, *, threshold: float, every_score: bool) -> list[Instance]:
        labels, found = self.card.labels, []
        for one in self.truth.pop(0):
            scores = np.zeros(len(labels))
            scores[labels.index(one.label)] = 0.6
            if one.label == "Porites":
                scores[labels.index("Fungia")] = 0.8
            best = labels[int(scores.argmax())]
            text = " ".join(f"{score:.4f}" for score in scores)
            found.append(Instance(best, one.xyxy_px, one.mask, float(scores.max()), {"scores": text}))
        return found


def test_every_guess_counts_for_its_class_and_the_best_for_any_coral(data: Path, weights: str, monkeypatch) -> None:
    labels = folder.read(data).labels
    monkeypatch.setattr(model, "load", lambda *_, **__: Perfect(data, labels))
    result = evaluate.main(weights, data=data, split="val")
    assert result["any"]["mask"]["map50_95"] == pytest.approx(1)
    assert result["mask"]["map50_95"] == pytest.approx(1)  # Porites is every time the second guess, and right
    found = result["at_confidence"]
    assert found["found"] == 1
    assert found["right"] == result["classes"]["Acropora"]["support"] / result["colonies"]


def test_predictions_and_their_evaluation_lie_in_fiftyone(data: Path, rendered: Path, monkeypatch) -> None:
    pytest.importorskip("fiftyone")
    from data_engineering import dataset

    labels = folder.read(data).labels
    monkeypatch.setattr(model, "load", lambda *_, **__: Perfect(data, labels))
    monkeypatch.setattr(model, "find_weights", lambda _: Path("w.pt"))
    name = "test-evaluate"
    dataset.from_rendered(rendered, name, overwrite=True)
    try:
        wishes = {"data": data, "split": "val", "fiftyone": name, "field": "yolo", "eval_key": "eval"}
        result = evaluate.main(None, **wishes)
        right = result["classes"]["Acropora"]["support"]
        wrong = result["colonies"] - right
        assert result["fiftyone"] == {"tp": right, "fp": wrong, "fn": wrong}
        samples = dataset.load(name)
        assert len(samples.exists("yolo")) == result["photos"] < len(samples)
        assert samples.list_evaluations() == ["eval"]
        assert samples.first().ground_truth.detections[0].has_mask
        with pytest.raises(ValueError, match="has an evaluation 'eval'"):
            evaluate.main(None, **wishes)
        assert evaluate.main(None, **wishes, overwrite=True)["fiftyone"] == result["fiftyone"]
    finally:
        dataset.fo.delete_dataset(name)


def test_labels_of_a_fiftyone_dataset_are_brought_to_the_level_of_the_weights(tmp_path: Path, monkeypatch) -> None:
    from data_engineering import taxonomy

    labels = taxonomy.labels("family")
    to_level = evaluate._to_level_of(labels)
    assert to_level("Porites") == taxonomy.to_level("Porites", "family")
    with pytest.raises(ValueError, match="labels of a level"):
        evaluate._to_level_of(("a", "b"))


def test_a_photo_that_cannot_be_read_is_skipped_and_named(data: Path, weights: str, tmp_path: Path, rendered) -> None:
    prepare.main(tmp_path / "data", rendered=rendered, only="val")
    bad = folder.photos(tmp_path / "data", "val")[0]
    bad.unlink()
    bad.write_bytes(b"no photo")
    result = evaluate.main(weights, data=tmp_path / "data", split="val", tile=64)
    assert list(result["skipped"]) == [str(bad)]
    assert result["photos"] == 9


def test_wishes_that_do_not_fit_are_refused(rendered: Path, data: Path, make_weights, tmp_path: Path) -> None:
    weights = tmp_path / "w.pt"
    weights.write_bytes(make_weights("yolo11n-seg").read_bytes())
    prepare.main(tmp_path / "data", rendered=rendered, only="val")
    with pytest.raises(ValueError, match="no photo in split 'test'"):
        evaluate.main(str(weights), data=tmp_path / "data")
    write_card(weights, Card("w", "instances", ("a", "b", "c")))
    with pytest.raises(ValueError, match="prepare at their level"):
        evaluate.main(str(weights), data=data, split="val")
    for wishes, message in (
        ({}, "expected a dataset"),
        ({"data": data, "field": "yolo"}, "name it"),
        ({"data": data, "fiftyone": "x"}, "needs --field"),
        ({"fiftyone": "x", "eval_key": "eval"}, "name it"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate.main(str(weights), **wishes)


def test_labels_of_a_prepared_folder_come_back_as_masks(rendered: Path, data: Path) -> None:
    labels = folder.read(data).labels
    for photo in folder.photos(data, "train"):
        for one in folder.read_labels(photo, labels, (96, 96)):
            number = int(photo.stem.removeprefix("reef_2024_q"))
            centre, radius = ((70, 20 + 2 * number), 14) if one.label == "Acropora" else ((24, 70 - 2 * number), 18)
            if number:
                drawn = masks.instance_from_mask(one.label, disc(centre, radius))
                assert masks.iou(one, drawn) > 0.97
    broken = data.parent / "images" / "val" / "a.jpg"
    folder.labels_of(broken).parent.mkdir(parents=True)
    folder.labels_of(broken).write_text("16 0 0 1 1 0 1\n")
    with pytest.raises(ValueError, match="expected a class of 0..15"):
        folder.read_labels(broken, labels, (96, 96))
