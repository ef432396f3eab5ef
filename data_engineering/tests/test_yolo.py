import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from ultralytics.data.utils import check_det_dataset, img2label_paths, verify_image_label

from data_engineering.formats import yolo
from data_engineering.formats.collection import Collection, FormatError
from data_engineering.tests.format_examples import (
    SIZE,
    bitmaps,
    box,
    collection,
    mask,
    photo_file,
    polygon,
    rings,
    same,
    skeleton,
)
from quadrat import masks
from quadrat.drawn import Drawn, DrawnPhoto, outline, to_annotations, to_instance
from quadrat.formats import yolo_pose


def only(path, **more):
    (photo,) = yolo.read(path, **more).photos
    return photo


def stored(folder, lines, config="names: [Porites, Pavona]\ntrain: images/train\nval: images/train\n"):
    photo_file(folder / "images" / "train")
    (folder / "labels" / "train").mkdir(parents=True)
    (folder / "labels" / "train" / "a.txt").write_text(lines)
    (folder / "data.yaml").write_text(config)
    return folder


def filled(one):
    return masks.to_full_mask(to_instance(one, SIZE), SIZE)


@pytest.mark.parametrize(
    ("task", "drawn"),
    [
        ("detect", (box(), box(), Drawn("rectangle", "Porites", np.array([[0, 0], [160, 120]], float)))),
        ("segment", (polygon(), polygon("Pavona", 40, group=3), polygon("Pavona", 80, group=3))),
        ("pose", (skeleton(), skeleton(("seen", "seen", "covered", "hidden")))),
    ],
)
def test_each_task_brings_its_shapes_back_and_ultralytics_takes_them(tmp_path, task, drawn):
    losses = yolo.write(collection(tmp_path, *drawn, cvat_subset="train"), tmp_path / "out")
    assert not losses
    photo = only(tmp_path / "out")
    assert len(photo.drawn) == len(drawn)
    assert all(map(same, drawn, photo.drawn))
    assert [bool(one.group) for one in photo.drawn] == [bool(one.group) for one in drawn]
    assert (photo.facts["cvat_subset"], photo.size_wh, photo.problems) == ("train", SIZE, ())
    assert_ultralytics_takes(tmp_path / "out", task, rows=2)


def assert_ultralytics_takes(folder, task, rows):
    data = check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    (photo,) = sorted(Path(data["train"]).rglob("*.png"))
    (labels,) = img2label_paths([str(photo)])
    count, width = data.get("kpt_shape", (0, 0))
    checked = verify_image_label((str(photo), labels, "", task == "pose", len(data["names"]), count, width, False))
    assert checked[0] == str(photo), checked[-1]
    assert len(checked[1]) == rows
    assert len(checked[3]) == (rows if task == "segment" else 0)


@given(ring=rings)
def test_polygons_to_a_hundredth(tmp_path_factory, ring):
    folder = tmp_path_factory.mktemp("yolo")
    one = Drawn("polygon", "p", ring)
    yolo.write(collection(folder, one), folder / "out")
    (back,) = only(folder / "out").drawn
    assert same(one, back)


@given(pixels=bitmaps)
def test_masks_keep_their_pixels(tmp_path_factory, pixels):
    held = masks.instance_from_mask("m", pixels, (3, 4))
    if held is None:
        return
    folder = tmp_path_factory.mktemp("yolo")
    one = Drawn("mask", "m", np.array(held.xyxy_px, float).reshape(2, 2), mask=held.mask)
    losses = yolo.write(collection(folder, one), folder / "out")
    assert losses.counts["mask as polygon"] == 1
    back = only(folder / "out").drawn
    assert np.array_equal(np.logical_xor.reduce([filled(each) for each in back]), filled(one))


def test_what_becomes_something_else_is_counted(tmp_path):
    ellipse = Drawn("ellipse", "Porites", np.array([[60, 50], [80, 40]], float))
    tag = Drawn("tag", "good", attributes={"by": "me"})
    drawn = (polygon(source="auto", z_order=3, attributes={"a": "b"}), box(rotation=10), ellipse, skeleton(), tag)
    losses = yolo.write(collection(tmp_path, *drawn, cvat_job_id=4), tmp_path / "segments")
    assert losses.counts == {
        "rectangle as polygon": 1,
        "ellipse as polygon": 1,
        "skeleton": 1,
        "tag": 1,
        "source": 1,
        "z-order": 1,
        "attributes": 1,
        "job": 1,
    }
    photo = only(tmp_path / "segments")
    assert np.abs(photo.drawn[1].xy_px - outline(box(rotation=10))).max() < 0.01
    losses = yolo.write(collection(tmp_path, *drawn), tmp_path / "boxes", task="detect")
    assert (losses.counts["polygon as box"], losses.counts["rotation"]) == (1, 1)
    assert {one.kind for one in only(tmp_path / "boxes").drawn} == {"rectangle"}


@pytest.mark.parametrize(("task", "kind"), [("segment", "polygon"), ("pose", "skeleton")])
def test_a_label_of_outlines_and_skeletons_is_a_class_of_both_tasks(tmp_path, task, kind):
    yolo.write(collection(tmp_path, polygon("grid"), skeleton()), tmp_path / "out", task=task)
    (photo,) = yolo.read(tmp_path / "out").photos
    assert [(one.kind, one.label) for one in photo.drawn] == [(kind, "grid")]


def test_points_outside_the_photo_move_or_hide(tmp_path):
    outside = Drawn("polygon", "p", np.array([[-5, 10], [50, 130], [60, 20]], float))
    losses = yolo.write(collection(tmp_path, outside), tmp_path / "out")
    assert losses.counts["point outside the photo, moved to its border"] == 2
    assert np.allclose(only(tmp_path / "out").drawn[0].xy_px, [[0, 10], [50, 120], [60, 20]])
    assert_ultralytics_takes(tmp_path / "out", "segment", rows=1)


def test_a_hole_stays_one_ring_with_the_same_pixels(tmp_path):
    yolo.write(collection(tmp_path, mask(hole=True), mask(pieces=True)), tmp_path / "out")
    hole, *pieces = only(tmp_path / "out").drawn
    assert np.array_equal(filled(hole), filled(mask(hole=True)))
    assert len(pieces) == 2
    assert len({one.group for one in pieces}) == 1
    assert_ultralytics_takes(tmp_path / "out", "segment", rows=2)


def test_subsets_are_splits_and_ultralytics_gets_a_val(tmp_path):
    photos = [
        DrawnPhoto(f"{name}.png", SIZE, (polygon(),), photo_file(tmp_path, f"{name}.png"), {"cvat_subset": subset})
        for name, subset in (("a", "Train"), ("b", "Validation"), ("c", "extra"))
    ]
    yolo.write(Collection(photos), tmp_path / "out")
    config = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert (config["train"], config["val"], config["extra"]) == ("images/Train", "images/Validation", "images/extra")
    found = {photo.name: photo.facts["cvat_subset"] for photo in yolo.read(tmp_path / "out").photos}
    assert found == {"a.png": "Train", "b.png": "Validation", "c.png": "extra"}


def test_two_photos_that_would_share_a_label_file_are_told_apart(tmp_path):
    photos = [
        DrawnPhoto(name, SIZE, (polygon(label),), photo_file(tmp_path, name))
        for name, label in (("a.png", "Porites"), ("a.jpg", "Pavona"))
    ]
    losses = yolo.write(Collection(photos), tmp_path / "out")
    assert losses.counts["photo's name"] == 1
    found = {photo.name: photo.drawn[0].label for photo in yolo.read(tmp_path / "out").photos}
    assert found == {"a.png": "Porites", "a-2.jpg": "Pavona"}


def test_what_yolo_pose_wrote_is_read(tmp_path):
    photo_file(tmp_path / "images")
    yolo_pose.write(tmp_path, [to_annotations(DrawnPhoto("a.png", SIZE, (skeleton(),)))])
    photo = only(tmp_path)
    assert same(photo.drawn[0], skeleton()) or photo.drawn[0].elements[2].xy_px.tolist() == [[0, 0]]
    assert dict(photo.facts) == {}


def test_confidences_boxes_and_padded_skeletons(tmp_path):
    config = "names: {0: grid, 1: corners}\nkpt_shape: [3, 3]\nkpt_names: {1: [p, q]}\ntrain: images/train\n"
    lines = "0 .5 .5 .2 .2 .1 .1 2 .2 .2 1 .3 .3 0\n1 .5 .5 .2 .2 .1 .1 2 .2 .2 1 0 0 0\n1 .5 .5 .25 .5 0.5\n"
    drawn = only(stored(tmp_path, lines, config)).drawn
    assert [[e.label for e in one.elements] for one in drawn] == [["1", "2", "3"], ["p", "q"], []]
    assert (drawn[2].score, drawn[2].xy_px.tolist()) == (0.5, [[60, 30], [100, 90]])


def test_exports_of_cvat_without_images_need_the_photos(tmp_path):
    photo = photo_file(tmp_path / "photos" / "site", "a.png")
    for name, files in {
        "ultralytics": {
            "data.yaml": "names: {0: Porites}\npath: .\ntrain: train.txt\n",
            "train.txt": "images/train/site/a.png\n",
            "labels/train/site/a.txt": "0 0.5 0.5 0.5 0.5\n",
        },
        "darknet": {
            "obj.names": "Porites\n",
            "obj.data": "classes = 1\nnames = data/obj.names\ntrain = data/train.txt\nbackup = backup/\n",
            "train.txt": "data/obj_train_data/site/a.png\n",
            "obj_train_data/site/a.txt": "0 0.5 0.5 0.5 0.5\n",
        },
    }.items():
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for member, text in files.items():
                archive.writestr(member, text)
        read = only(tmp_path / f"{name}.zip", photos=[tmp_path / "photos"])
        assert (read.name, read.path) == ("site/a.png", photo.resolve())
        assert read.drawn[0].xy_px.tolist() == [[40, 30], [120, 90]]
        with pytest.raises(FormatError, match="1 of 1 photos are not there"):
            yolo.read(tmp_path / f"{name}.zip")


def test_a_zip_with_photos_is_put_where_wanted(tmp_path):
    yolo.write(collection(tmp_path, polygon(), cvat_subset="train"), tmp_path / "out", copy_photos=True)
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        for path in sorted((tmp_path / "out").rglob("*.*")):
            archive.write(path, path.relative_to(tmp_path / "out"))
    inside = only(tmp_path / "out.zip")
    assert (inside.path, inside.size_wh) == (None, SIZE)
    assert only(tmp_path / "out.zip", extract_to=tmp_path / "to").path == tmp_path / "to" / "images" / "train" / "a.png"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("7 .1 .1 .2 .2", "class 7 has no name"),
        ("0.5 .1 .1 .2 .2", "class 0.5"),
        ("0 .1 .1 .2", "3 numbers after the class"),
        ("0 .1 .1 .2 x", "could not convert"),
        ("0 .1 .1 .2 nan", "finite"),
        ("0 .1 .1 .2 .2 7", "0..1"),
    ],
)
def test_a_line_that_is_none_is_left_out_with_a_sentence(tmp_path, line, words):
    read = only(stored(tmp_path, f"0 .5 .5 .1 .1\n{line}\n"))
    assert len(read.drawn) == 1
    assert len(read.problems) == 1
    assert words in read.problems[0]
    assert "a.png: line 2 of a.txt" in read.problems[0]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("names: [a\n", "data.yaml"),
        ("train: images\n", "names"),
        ("names: [a]\ntrain: nowhere\n", "train: no folder or list 'nowhere'"),
        ("names: {0: a, 2: b}\ntrain: images/train\n", "names"),
        ("names: [a]\n", "no photo and no label file"),
    ],
)
def test_broken_configurations_are_named(tmp_path, config, words):
    folder = stored(tmp_path, "", config)
    with pytest.raises(FormatError) as caught:
        yolo.read(folder)
    assert str(folder) in str(caught.value)
    assert words in str(caught.value)


def test_a_label_file_of_bytes_is_damaged(tmp_path):
    folder = stored(tmp_path, "")
    (folder / "labels" / "train" / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match=r"a\.txt"):
        yolo.read(folder)
    with pytest.raises(FormatError, match=r"obj\.names"):
        yolo.read(folder / "labels")
