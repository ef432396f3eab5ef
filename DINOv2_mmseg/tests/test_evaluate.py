from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from DINOv2_mmseg import evaluate, folder, instances, model, prepare, report, truth
from DINOv2_mmseg.dense import Dense
from DINOv2_mmseg.folder import BACKGROUND
from quadrat import files, images, masks
from quadrat.formats import shapes_json
from quadrat.predictor import Card, Explained
from quadrat.shapes import Annotations, SemanticMap

GENERA = {"Acropora": (40, 200, 220), "Porites": (220, 60, 40)}
GROUND = (120, 120, 120)
SIDE = 96


def disc(centre: tuple[int, int], radius: int) -> np.ndarray:
    return cv2.circle(np.zeros((SIDE, SIDE), np.uint8), centre, radius, 1, -1).astype(bool)


def write_sample(folder_: Path, name: str, colonies: list[tuple[str, np.ndarray]]) -> Path:
    image = np.full((SIDE, SIDE, 3), GROUND, np.uint8)
    for label, mask in colonies:
        image[mask] = GENERA[label]
    photo = folder_ / "photos" / f"{name}.png"
    images.write(photo, image)
    shapes = tuple(masks.instance_from_mask(label, mask) for label, mask in colonies)
    shapes_json.write(folder_ / "truth" / f"{name}.json", Annotations(photo.name, (SIDE, SIDE), shapes))
    return photo


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In each photo two touching colonies of Porites with a neck between them, and one of Acropora."""
    made = tmp_path_factory.mktemp("rendered")
    for number in range(6):
        pair = disc((22, 30 + number), 14), disc((22, 56 + number), 14)
        colonies = [("Porites", pair[0]), ("Porites", pair[1] & ~pair[0]), ("Acropora", disc((70, 30), 12))]
        write_sample(made, f"reef_2024_q{number}", colonies)
    return made


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "data"
    prepare.main(out, rendered=rendered, level="genus", only="val")
    return out


class Fake:
    """Knows classes by their colour; takes Acropora for `instead`, if that is given."""

    def __init__(self, labels: tuple[str, ...], background: tuple[str, ...], instead: str | None = None):
        self.semantic_card = Card("fake", "semantic", labels, note="made up", background=background)
        self.card = Card("fake", "instances", tuple(label for label in labels if label not in background))
        self.refiner, self.instead, self.given = "watershed", instead, dict[str, Any]()

    def segment(self, image_rgb: np.ndarray) -> Dense:
        labels = self.semantic_card.labels
        colours = {BACKGROUND: GROUND, "Sand": GROUND, **GENERA}
        index = np.zeros(image_rgb.shape[:2], np.uint8)
        for label, colour in colours.items():
            name = self.instead if label == "Acropora" and self.instead else label
            if name in labels:
                index[(np.abs(image_rgb.astype(int) - colour).max(-1) < 40)] = labels.index(name)
        scores = np.zeros((len(labels), *index.shape), np.float32)
        np.put_along_axis(scores, index[None].astype(np.int64), 1.0, 0)
        return Dense(SemanticMap(labels, index), scores, (1.0, 1.0), 1.0)

    def explain(self, image_rgb: np.ndarray, dense: Dense, *, threshold: float | None = None) -> Explained:
        found = instances.colonies(dense, self.semantic_card.background, method=self.refiner)
        return Explained(found, {"refiner": self.refiner})


def genera() -> tuple[str, ...]:
    from data_engineering import taxonomy

    return (BACKGROUND, *taxonomy.labels("genus"))


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes `model.load` give a fake."""

    def put(fake: Fake) -> Fake:
        def load(*_: Any, **given: Any) -> Fake:
            fake.refiner, fake.given = given["refiner"], given
            return fake

        monkeypatch.setattr(model, "load", load)
        monkeypatch.setattr(model, "find_weights", lambda _: Path("fake.safetensors"))
        return fake

    return put


def rows_of(path: Path) -> Iterator[list[str]]:
    with path.open(newline="") as file:
        yield from csv.reader(file)


def test_figures_tables_and_pictures_of_a_prepared_folder(data: Path, serve: Any, tmp_path: Path) -> None:
    fake = serve(Fake(genera(), (BACKGROUND,), instead="Fungia"))
    result = evaluate.main(data=data, split="val", out=tmp_path, scales=(1.0, 1.5), flip=True, tidy=3, work_px=64)
    assert {key: fake.given[key] for key in ("scales", "flip", "tidy_px", "work_px")} == {
        "scales": (1.0, 1.5),
        "flip": True,
        "tidy_px": 3,
        "work_px": 64,
    }
    known = result["semantic"]
    pixels = int(disc((70, 30), 12).sum())
    assert (result["photos"], known["counted"]) == (6, 6 * SIDE * SIDE)
    assert known["classes"]["Fungia"] == {
        "support": 0, "predicted": 6 * pixels, "iou": 0.0, "recall": None, "precision": 0.0, "dice": 0.0,
    }  # fmt: skip
    assert known["classes"]["Porites"]["iou"] == 1
    assert known["miou"] == pytest.approx(2 / 4)
    assert known["miou_supported"] == pytest.approx(2 / 3, abs=1e-6)
    assert known["overall_accuracy"] == pytest.approx(1 - pixels / SIDE**2, abs=1e-6)
    assert result["points"] is None
    assert result["panoptic"] == {}
    assert json.loads((tmp_path / "figures.json").read_text()) == json.loads(json.dumps(result))
    header, *rows = rows_of(tmp_path / "confusion.csv")
    counts = np.array([row[1:] for row in rows], int)
    assert tuple(header[1:]) == genera()
    assert counts[header.index("Acropora") - 1, header.index("Fungia") - 1] == 6 * pixels
    assert [row[0] for row in rows_of(tmp_path / "classes.csv")] == ["class", *genera()]
    assert min(images.read(tmp_path / "confusion.png").shape[:2]) > 300
    assert images.read(tmp_path / "examples.jpg").shape[1] == report.SHEET_PX
    assert not (tmp_path / "cover.csv").exists()
    assert "mIoU 0.500 over 4 classes" in report.table(result)


def test_true_colonies_give_panoptic_quality_of_both_refiners(rendered: Path, serve: Any, tmp_path: Path) -> None:
    serve(Fake(genera(), (BACKGROUND,)))
    result = evaluate.main(rendered=rendered, compare_refiners=True, out=tmp_path)
    assert result["semantic"]["miou"] == 1
    watershed, components = result["panoptic"]["watershed"], result["panoptic"]["components"]
    assert watershed["classes"]["Acropora"]["pq"] == components["classes"]["Acropora"]["pq"] == 1
    assert (watershed["classes"]["Porites"]["tp"], components["classes"]["Porites"]["fn"]) == (12, 6)
    assert watershed["pq"] > 0.9 > 0.7 > components["pq"]
    assert result["average_precision"]["watershed"]["map50"] == pytest.approx(1, abs=1e-6)
    told = report.table(result)
    assert "colonies by watershed: PQ 0." in told
    assert "colonies by components: PQ 0." in told
    header, *rows = rows_of(tmp_path / "classes.csv")
    assert {row[0]: row[header.index("pq")] for row in rows}["Acropora"] == "1.0"


def test_folders_of_points_are_evaluated_at_points(rendered: Path, serve: Any, tmp_path: Path) -> None:
    lines = ["Name,Row,Column,Label"]
    for number in range(6):
        spots = [(30 + number, 22, "Porites"), (30, 70, "Acropora"), (90, 90, "Sand"), (3, 3, "Sand")]
        lines += [f"reef_2024_q{number}.png,{row},{column},{label}" for row, column, label in spots]
    table = tmp_path / "points.csv"
    table.write_text("\n".join(lines))
    prepare.main(tmp_path / "data", coralnet=table, photos=rendered / "photos", only="test", not_colony=["Sand"])
    serve(Fake(folder.read(tmp_path / "data").labels, ("Sand",), instead="Porites"))
    result = evaluate.main(data=tmp_path / "data", out=tmp_path / "out")
    found = result["points"]
    assert (found["points"], found["accuracy"]) == (24, 0.75)
    assert found["classes"]["Acropora"]["recall"] == 0
    assert found["class_cover_error"] == {"Acropora": 25, "Porites": 25, "Sand": 0, "all colonies": 0}
    assert result["semantic"] is None
    header, *rows = rows_of(tmp_path / "out" / "cover.csv")
    assert len(rows) == 6 * 4
    assert dict(zip(header, rows[1], strict=True))["predicted at points %"] == "50.0"
    for name in ("cover.png", "confusion.png", "examples.jpg", "classes.csv", "confusion.csv"):
        assert (tmp_path / "out" / name).stat().st_size > 40
    assert "24 points: accuracy 0.750" in report.table(result)


def test_maps_colonies_and_their_evaluation_lie_in_fiftyone(rendered: Path, serve: Any) -> None:
    pytest.importorskip("fiftyone")
    from data_engineering import dataset

    serve(Fake(genera(), (BACKGROUND,), instead="Fungia"))
    name = "test-mmseg-evaluate"
    dataset.from_rendered(rendered, name, overwrite=True)
    try:
        wishes: dict[str, Any] = {"fiftyone": name, "level": "genus", "field": "net", "eval_key": "net_eval"}
        result = evaluate.main(**wishes)
        known = dataset.load(name)
        assert (len(known.exists("net")), known.list_evaluations()) == (6, ["net_eval"])
        assert known.mask_targets["net"][1] == "Acanthastrea"
        results = known.load_evaluation_results("net_eval")
        labels = genera()
        assert list(results.classes) == list(labels)
        pixels = 6 * int(disc((70, 30), 12).sum())
        assert results.pixel_confusion_matrix[labels.index("Acropora"), labels.index("Fungia")] == pixels
        assert results.pixel_confusion_matrix.sum() == result["semantic"]["counted"]
        assert {one.label for one in known.first()["net_colonies"].detections} == {"Porites", "Fungia"}
        assert 0 < result["fiftyone"]["accuracy"] < 1
        for again, message in (({"field": "net", "eval_key": None}, "holds something"), ({}, "has an evaluation")):
            with pytest.raises(ValueError, match=message):
                evaluate.main(**{**wishes, **again})
        again = evaluate.main(**wishes, overwrite=True)
        assert again["fiftyone"] == result["fiftyone"]
        assert evaluate.main(fiftyone=name)["panoptic"]["watershed"]["classes"]["Porites"]["tp"] == 12
    finally:
        dataset.fo.delete_dataset(name)


def test_a_bad_photo_is_named_and_the_others_are_measured(rendered: Path, serve: Any, tmp_path: Path) -> None:
    prepare.main(tmp_path / "data", rendered=rendered, only="test")
    serve(Fake(genera(), (BACKGROUND,)))
    (no_photo, _), (other_size, label), *_ = folder.pairs(tmp_path / "data", "test")
    no_photo.unlink()
    no_photo.write_bytes(b"no photo")
    files.write_bytes(label, folder.encode_label(np.zeros((4, 5), np.uint8), genera()))
    result = evaluate.main(data=tmp_path / "data")
    assert list(result["skipped"]) == [str(no_photo), str(other_size)]
    assert "its label picture (5, 4)" in result["skipped"][str(other_size)]
    assert result["photos"] == 4
    assert evaluate.main(data=tmp_path / "data", limit=2)["photos"] == 1  # the first and the last; the first is bad


def test_classes_that_differ_are_named_side_by_side_before_anything_runs(
    data: Path, rendered: Path, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = serve(Fake((BACKGROUND, "Porites", "Sand"), (BACKGROUND,)))
    monkeypatch.setattr(fake, "segment", lambda _: pytest.fail("ran"))
    with pytest.raises(ValueError, match=r"  1  Porites +Acanthastrea   <- differs\n") as told:
        evaluate.main(data=data, split="val")
    assert "<- differs" not in next(line for line in str(told.value).splitlines() if "background" in line)
    for wishes in ({"rendered": rendered}, {"rendered": rendered, "level": "family"}):
        with pytest.raises(ValueError, match="<- differs"):
            evaluate.main(**wishes)
    serve(Fake((BACKGROUND, "Porites", "Fungia"), (BACKGROUND,)))  # some of the genera, but not all that are there
    with pytest.raises(ValueError, match="'Acropora' are none of the classes"):
        evaluate.main(rendered=rendered)
    assert evaluate.main(rendered=rendered, unknown="ignore")["semantic"]["miou"] == 1
    assert "Acropora" not in evaluate.main(rendered=rendered, ignore=["Acropora"])["panoptic"]["watershed"]["classes"]


def test_the_level_is_the_one_of_the_weights() -> None:
    from data_engineering import taxonomy

    for level in taxonomy.load().levels:
        classes = truth.classes_at_level((BACKGROUND, *taxonomy.labels(level)))
        assert classes.labels[classes.index_of("Porites")] == taxonomy.to_level("Porites", level)
    assert truth.classes_at_level((BACKGROUND, "Poritidae"), ignore=["Other"]).index_of("Porites") == 1


def test_wishes_that_do_not_fit_are_refused(data: Path, rendered: Path, serve: Any, tmp_path: Path) -> None:
    serve(Fake(genera(), (BACKGROUND,)))
    for wishes, message in (
        ({}, "expected one source"),
        ({"data": data, "rendered": rendered}, "expected one source"),
        ({"data": data, "field": "x"}, "name it"),
        ({"fiftyone": "x", "eval_key": "x"}, "name it"),
        ({"data": data, "compare_refiners": True}, "give --rendered"),
        ({"data": data, "split": "test"}, "no photo in split 'test'"),
        ({"data": tmp_path}, "no prepared folder"),
        ({"rendered": tmp_path}, "holds no"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate.main(**wishes)


def test_the_command_line_reads_all_options() -> None:
    arguments = vars(evaluate._parse(["--data", "d", "--scales", "0.5", "1", "--flip", "--tidy", "4", "--json"]))
    assert arguments.pop("json")
    assert (arguments["scales"], arguments["tidy"], arguments["split"]) == ([0.5, 1.0], 4, "test")
    assert set(arguments) == set(evaluate.main.__annotations__) - {"return"}
