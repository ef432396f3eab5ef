from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from DINOv2_mmseg import folder as prepared
from DINOv2_mmseg.folder import Manifest
from quadrat import cvat_labels, images

LABELS = ("background", "Porites", "Pavona/Leptoseris")


def manifest(**changes) -> Manifest:
    made = Manifest(
        labels=LABELS,
        background=("background",),
        kind="dense",
        level="genus",
        trained_on="a test",
        note="",
        seed=3,
        photos={"train": 2, "val": 1, "test": 0},
        pixels={"background": 9, "Porites": 4, "Pavona/Leptoseris": 1},
        skipped={"bad.jpg": "damaged: really"},
        ignored={"Off": 3},
    )
    return replace(made, **changes)


def add(folder: Path, split: str, name: str, index: np.ndarray, suffix: str = ".jpg") -> None:
    images.write(folder / split / "data" / f"{name}{suffix}", np.zeros((*index.shape, 3), np.uint8))
    path = folder / split / "labels" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(prepared.encode_label(index, LABELS))


def some_index() -> np.ndarray:
    index = np.zeros((5, 7), np.uint8)
    index[1:3, 2:5], index[4, 6], index[0, 0] = 1, 2, 255
    return index


def test_a_manifest_comes_back(tmp_path):
    odd = manifest(labels=("background", "Off", "42", "Ø: no"), pixels={"Off": 1, "42": 2, "Ø: no": 0, "background": 1})
    for made in (manifest(), odd):
        prepared.write(tmp_path, made)
        assert prepared.read(tmp_path) == made
    assert (tmp_path / "classes.txt").read_text("utf-8") == "background\nOff\n42\nØ: no\n"


@pytest.mark.parametrize("text", [None, "", "labels: [a]", "- a"])
def test_no_other_folder_passes_for_a_prepared_one(tmp_path, text):
    if text is not None:
        (tmp_path / "manifest.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"DINOv2_mmseg\.prepare"):
        prepared.read(tmp_path)


def test_classes_that_differ_are_named_side_by_side(tmp_path):
    prepared.write(tmp_path, manifest())
    (tmp_path / "classes.txt").write_text("background\nAcropora\n")
    with pytest.raises(ValueError, match=r"\['background', 'Acropora'\].*\['background', 'Porites', 'Pavona"):
        prepared.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "sparse"}, "expected one of dense, points"),
        ({"labels": ("background", "a", "a")}, "distinct"),
        ({"labels": ()}, "distinct"),
        ({"background": ("Sand",)}, r"\['Sand'\] is none of the labels"),
    ],
)
def test_a_manifest_makes_sense(changes, words):
    with pytest.raises(ValueError, match=words):
        manifest(**changes)


def test_photos_are_paired_with_their_labels_by_name(tmp_path):
    for name, suffix in (("b", ".jpg"), ("a.half", ".png")):
        add(tmp_path, "train", name, some_index(), suffix)
    (tmp_path / "train" / "data" / ".hidden").write_text("")
    found = prepared.pairs(tmp_path, "train")
    assert [(photo.name, label.name) for photo, label in found] == [("a.half.png", "a.half.png"), ("b.jpg", "b.png")]
    found[1][1].unlink()
    with pytest.raises(ValueError, match=r"no label picture of b\.jpg"):
        prepared.pairs(tmp_path, "train")
    with pytest.raises(ValueError, match="no split 'training'"):
        prepared.pairs(tmp_path, "training")


def test_a_label_picture_comes_back_exactly_and_shows_cvats_colours(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(prepared.encode_label(some_index(), LABELS))
    np.testing.assert_array_equal(prepared.read_label(path), some_index())
    with Image.open(path) as picture:
        assert picture.mode == "P"
        seen = np.asarray(picture.convert("RGB"))
    assert "#" + bytes(seen[1, 2]).hex() == cvat_labels.colour("Porites")
    assert "#" + bytes(seen[4, 6]).hex() == cvat_labels.colour("Pavona/Leptoseris")
    assert seen[0, 1].max() < 60
    assert len({tuple(rgb) for rgb in seen.reshape(-1, 3).tolist()}) == 4


def test_every_class_number_comes_back(tmp_path):
    labels = tuple(f"class {number}" for number in range(255))
    index = np.arange(256, dtype=np.uint8).reshape(16, 16)
    (tmp_path / "a.png").write_bytes(prepared.encode_label(index, labels))
    np.testing.assert_array_equal(prepared.read_label(tmp_path / "a.png"), index)


def test_what_is_no_label_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match="index holds 3"):
        prepared.encode_label(np.full((2, 2), 3, np.uint8), LABELS)
    images.write(tmp_path / "rgb.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="has the mode RGB"):
        prepared.read_label(tmp_path / "rgb.png")
    (tmp_path / "cut.png").write_bytes(prepared.encode_label(some_index(), LABELS)[:-30])
    (tmp_path / "none.png").write_bytes(b"no picture")
    for name in ("cut.png", "none.png", "gone.png"):
        with pytest.raises(ValueError, match="not a readable label picture"):
            prepared.read_label(tmp_path / name)


def test_points_come_back(tmp_path):
    found = [(1.5, 2.5, 'Sand, "coarse"'), (0.1 + 0.2, 7.0, "Ø")]
    prepared.write_points(tmp_path / "val" / "points" / "a.half.csv", found)
    prepared.write_points(tmp_path / "val" / "points" / "b.csv", [])
    assert prepared.points(tmp_path, "val") == {"a.half": found, "b": []}
    assert prepared.points(tmp_path, "train") == {}


@pytest.mark.parametrize("text", ["", "x,y,label\n1,2,a\n", "x_px,y_px,label\n1,a\n", "x_px,y_px,label\n1,b,a\n"])
def test_bad_points_name_their_file(tmp_path, text):
    path = tmp_path / "val" / "points" / "a.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(ValueError, match=r"a\.csv"):
        prepared.points(tmp_path, "val")


def test_a_folder_that_cannot_be_trained_on_is_refused():
    prepared.check_can_train(manifest())
    with pytest.raises(ValueError, match="no photo in val"):
        prepared.check_can_train(manifest(photos={"train": 2, "val": 0, "test": 3}))
    with pytest.raises(ValueError, match="no photo in train and val"):
        prepared.check_can_train(manifest(photos={"test": 3}))
    with pytest.raises(ValueError, match=r"no pixel in train of the classes Porites, Pavona/Leptoseris.*--level"):
        prepared.check_can_train(manifest(pixels={"background": 4, "Porites": 0}))
    with pytest.raises(ValueError, match=r"no point in train of the classes Porites.*--min-points"):
        prepared.check_can_train(manifest(kind="points", pixels={**manifest().pixels, "Porites": 0}))
