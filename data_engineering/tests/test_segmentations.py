from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fiftyone")

from data_engineering import dataset, segmentations
from data_engineering.labels import DatasetError
from data_engineering.segmentations import Seen
from quadrat import images, masks
from quadrat.shapes import Annotations, SemanticMap

NAME = "test-segmentations"
LABELS = ("CCA", "Porites", "Sand")


@pytest.fixture
def photo(tmp_path: Path):
    path = tmp_path / "q.png"
    images.write(path, np.zeros((4, 6, 3), np.uint8))
    colony = masks.instance_from_mask("Porites", np.ones((2, 2), bool))
    dataset.create(NAME, [(path, Annotations("q.png", (6, 4), (colony,)))], overwrite=True)
    yield path
    dataset.fo.delete_dataset(NAME)


def test_classes_without_a_background_are_all_drawn_and_counted(photo: Path) -> None:
    truth = np.zeros((4, 6), np.uint8)
    truth[1], truth[2], truth[3] = 1, 2, 255
    predicted = np.zeros((4, 6), np.uint8)
    predicted[1:] = 1
    seen = Seen(photo, SemanticMap(LABELS, predicted), (), SemanticMap(LABELS, truth))
    filled = segmentations.attach(NAME, "net", [seen])
    found = segmentations.evaluate(NAME, "net", "check", filled)
    known = dataset.load(NAME)
    sample = known.first()
    np.testing.assert_array_equal(sample["net"].get_mask(), predicted + 1)
    np.testing.assert_array_equal(sample["net_truth"].get_mask()[2:], [[3] * 6, [255] * 6])
    assert known.mask_targets["net"] == {1: "CCA", 2: "Porites", 3: "Sand", 255: "not known"}
    results = known.load_evaluation_results("check")
    np.testing.assert_array_equal(results.pixel_confusion_matrix, [[6, 0, 0], [0, 6, 0], [0, 6, 0]])
    assert found["accuracy"] == pytest.approx(12 / 18)
    assert sample["check_accuracy"] == pytest.approx(12 / 18)
    colours = {entry["path"] for entry in known.app_config.color_scheme.fields}
    assert {"net", "net_truth"} <= colours
    segmentations.attach(NAME, "net", [seen], overwrite=True)
    assert dataset.load(NAME).list_evaluations() == []


def test_labels_fields_and_photos_that_do_not_fit_are_refused(photo: Path, tmp_path: Path) -> None:
    assert segmentations.labels_of(NAME) == {"Porites"}
    with pytest.raises(DatasetError, match="no field 'x'"):
        segmentations.labels_of(NAME, "x")
    wide, good = (SemanticMap(LABELS, np.zeros((4, width), np.uint8)) for width in (7, 6))
    for field, seen, message in (
        ("ground_truth", Seen(photo, good), "not for predictions"),
        ("a b", Seen(photo, good), "not for predictions"),
        ("net", Seen(photo, wide), r"is \(6, 4\) px, its map is for \(7, 4\)"),
        ("net", Seen(tmp_path / "other.png", good), "no photo is called"),
    ):
        with pytest.raises(DatasetError, match=message):
            segmentations.attach(NAME, field, [seen])
    segmentations.attach(NAME, "net", [Seen(photo, good)])
    with pytest.raises(DatasetError, match="holds something: name another"):
        segmentations.attach(NAME, "net", [Seen(photo, good)])
    with pytest.raises(DatasetError, match="came without their truth"):
        segmentations.evaluate(NAME, "net", "check", [])


def test_so_many_classes_that_one_would_be_not_known_are_refused() -> None:
    names = tuple(f"class {number}" for number in range(255))
    with pytest.raises(ValueError, match="at most 254"):
        segmentations.targets(names)
    assert segmentations.targets(("background", *names[:254]))[254] == "class 253"
