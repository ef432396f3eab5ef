import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from pycocotools.coco import COCO

from data_engineering.formats import coco
from data_engineering.formats.collection import Collection, FormatError
from data_engineering.tests.format_examples import (
    SHARED,
    SIZE,
    SKELETON,
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
from quadrat.drawn import Drawn, DrawnPhoto, to_instance


def document(**more):
    image = {"id": 7, "file_name": "a.png", "width": 160, "height": 120}
    entry = {
        "id": 1,
        "image_id": 7,
        "category_id": 3,
        "segmentation": [[1, 2, 30, 4, 20, 25.5]],
        "bbox": [1, 2, 29, 23],
    }
    return {"images": [image], "categories": [{"id": 3, "name": "Porites"}], "annotations": [entry]} | more


def stored(folder, **more):
    path = folder / "instances_train.json"
    path.write_text(json.dumps(document(**more)))
    return path


def only(path, **more):
    (photo,) = coco.read(path, **more).photos
    return photo


@pytest.mark.parametrize("target", ["coco", "one.json"])
def test_everything_that_coco_holds_comes_back(tmp_path, target):
    attributes = {"health": "dead", "size": "12"}
    drawn = (
        polygon(attributes=attributes, occluded=True, score=0.75),
        polygon("Pavona", 40, group=3),
        polygon("Pavona", 60, group=3),
        mask(hole=True),
        box(rotation=30.0),
        skeleton(attributes=attributes),
    )
    losses = coco.write(collection(tmp_path, *drawn), tmp_path / target)
    assert set(losses.counts) <= {"photo's file"}
    photo = only(tmp_path / target)
    assert all(any(same(one, other) for other in photo.drawn) for one in drawn)
    assert len(photo.drawn) == len(drawn)
    first = next(one for one in photo.drawn if one.label == "Porites")
    assert (dict(first.attributes), first.occluded, first.score) == (attributes, True, 0.75)
    assert len({one.group for one in photo.drawn if one.label == "Pavona" and one.kind == "polygon"} - {0}) == 1
    assert next(one for one in photo.drawn if one.kind == "rectangle").rotation == 30
    assert photo.path is not None


@given(ring=rings, pixels=bitmaps)
def test_polygons_to_a_hundredth_and_masks_exactly(tmp_path_factory, ring, pixels):
    folder = tmp_path_factory.mktemp("coco")
    held = masks.instance_from_mask("m", pixels, (3, 4))
    drawn = [Drawn("polygon", "p", ring)]
    if held is not None:
        drawn.append(Drawn("mask", "m", np.array(held.xyxy_px, float).reshape(2, 2), mask=held.mask))
    coco.write(Collection([DrawnPhoto("a.png", SIZE, drawn)]), folder / "a.json")
    back = only(folder / "a.json").drawn
    assert len(back) == len(drawn)
    assert all(map(same, drawn, back))


def test_pycocotools_reads_what_was_written(tmp_path):
    ellipse = Drawn("ellipse", "Porites", np.array([[60, 50], [80, 40]], float), rotation=20)
    drawn = (polygon(), mask(hole=True), mask(pieces=True), ellipse, skeleton())
    coco.write(collection(tmp_path, *drawn), tmp_path / "all.json")
    read = COCO(str(tmp_path / "all.json"))
    entries = read.loadAnns(read.getAnnIds())
    assert len(entries) == 5
    for one, entry in zip(drawn[:4], entries, strict=False):
        ours = masks.to_full_mask(to_instance(one, SIZE), SIZE)
        theirs = read.annToMask(entry).astype(bool)
        assert np.count_nonzero(ours ^ theirs) <= (0 if one.kind == "mask" else 0.15 * ours.sum())
        if one.kind == "mask":
            assert entry["area"] == ours.sum()
    assert entries[4]["num_keypoints"] == 3
    assert read.loadCats(entries[4]["category_id"])[0]["keypoints"] == ["1", "2", "3", "4"]


def test_lines_of_a_skeleton_survive(tmp_path):
    coco.write(collection(tmp_path, skeleton(), labels=[SKELETON]), tmp_path / "all.json")
    raw = json.loads((tmp_path / "all.json").read_text())
    assert raw["categories"][0]["skeleton"] == [[1, 2], [2, 3]]
    (label,) = coco.read(tmp_path / "all.json").labels
    assert [sub["name"] for sub in label["sublabels"]] == ["1", "2", "3", "4"]
    assert label["svg"].count("<line") == 2


def test_subsets_are_files_and_photos_lie_beside_them(tmp_path):
    photos = [
        DrawnPhoto(f"site/{name}.png", SIZE, (polygon(),), photo_file(tmp_path, f"{name}.png"), {"cvat_subset": subset})
        for name, subset in (("a", "train"), ("b", "val"))
    ]
    coco.write(Collection(photos), tmp_path / "out", copy_photos=True)
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert names == [
        "annotations/instances_train.json",
        "annotations/instances_val.json",
        "images/train/site/a.png",
        "images/val/site/b.png",
    ]
    found = {photo.name: photo for photo in coco.read(tmp_path / "out").photos}
    assert {name: photo.facts["cvat_subset"] for name, photo in found.items()} == {
        "site/a.png": "train",
        "site/b.png": "val",
    }
    assert all(photo.path.is_file() for photo in found.values())


def test_what_coco_has_no_place_for_is_counted(tmp_path):
    drawn = (
        Drawn("tag", "good"),
        Drawn("polyline", "tape", np.array([[0, 0], [9, 9]], float)),
        Drawn("points", "Sand", np.array([[4, 4]], float)),
        polygon(source="auto", z_order=2, group=9),
        box(group=9),
    )
    losses = coco.write(collection(tmp_path, *drawn, cvat_task_id=3), tmp_path / "a.json")
    expected = {
        "tag": 1,
        "polyline": 1,
        "points": 1,
        "source": 1,
        "z-order": 1,
        "group": 2,
        "task": 1,
        "photo's file": 1,
    }
    assert losses.counts == expected
    assert losses.words().startswith("group x 2")


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("task_coco-1.0.zip", {"polygon": 1, "mask": 1, "rectangle": 1}),
        ("task_coco-keypoints-1.0.zip", {"skeleton": 1}),
    ],
)
def test_exports_of_a_real_cvat(name, kinds):
    path = SHARED / "cvat" / "exports" / name
    if not path.is_file():
        pytest.skip("the recorded exports are not there")
    with zipfile.ZipFile(path) as archive:
        (member,) = archive.namelist()
        raw = json.loads(archive.read(member))
    read = coco.read(path)
    found = [one for photo in read.photos for one in photo.drawn]
    assert len(read.photos) == len(raw["images"])
    assert len(found) == len(raw["annotations"])
    assert {kind: sum(one.kind == kind for one in found) for kind in {one.kind for one in found}} == kinds
    assert not any(photo.problems for photo in read.photos)
    by_label = {one.label: one for one in found}
    if "coralmask" in by_label:
        assert by_label["coralmask"].mask.sum() == raw["annotations"][1]["area"]
        assert dict(by_label["coral"].attributes) == {"health": "dead"}
        assert by_label["box"].rotation == 30
    else:
        points = {e.label: e for e in by_label["grid"].elements}
        assert (points["br"].occluded, points["bl"].outside) == (True, True)
        assert {label["name"] for label in read.labels} >= {"grid", "coral"}
        assert "tl" not in {label["name"] for label in read.labels}


def test_a_second_file_repeats_nothing(tmp_path):
    person = {"id": 1, "name": "grid", "keypoints": ["1"], "skeleton": []}
    entry = {"id": 5, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 4, 2, 4, 6]]}
    (tmp_path / "annotations").mkdir()
    for name, more in (
        ("instances_train", {}),
        ("person_keypoints_train", {"keypoints": [2, 3, 2], "num_keypoints": 1}),
    ):
        raw = document(categories=[person], annotations=[entry | more])
        (tmp_path / "annotations" / f"{name}.json").write_text(json.dumps(raw))
    assert [one.kind for one in only(tmp_path).drawn] == ["polygon", "skeleton"]


def test_crowds_compressed_and_plain_run_lengths_are_masks(tmp_path):
    plain = {"size": [120, 160], "counts": [5, 3, 120 * 160 - 8]}
    read = only(stored(tmp_path, annotations=[document()["annotations"][0] | {"segmentation": plain, "iscrowd": 1}]))
    assert read.drawn[0].xy_px.tolist() == [[0, 5], [1, 8]]
    assert read.drawn[0].mask.all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"segmentation": [[1, 2, 3, 4]]}, "2 points"),
        ({"segmentation": [[1, 2, 3]]}, "x and y"),
        ({"segmentation": {"size": [120, 160], "counts": [1, 2]}}, "add up to 3"),
        ({"segmentation": {"size": [10, 10], "counts": [1, 99]}}, "the photo of"),
        ({"segmentation": [], "bbox": [1, 2, 0, 4]}, "above 0"),
        ({"segmentation": [], "bbox": None}, "neither"),
        ({"segmentation": "polygon"}, "no list"),
        ({"category_id": 99}, "category_id 99"),
        ({"image_id": 99}, "image_id 99"),
        ({"score": 95}, "0..1"),
    ],
)
def test_what_is_no_shape_is_left_out_with_a_sentence(tmp_path, change, words):
    good = document()["annotations"][0] | {"id": 2}
    read = only(stored(tmp_path, annotations=[document()["annotations"][0] | change, good]))
    assert len(read.drawn) == 1
    assert len(read.problems) == 1
    assert words in read.problems[0]
    assert "annotation 1 of" in read.problems[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "cannot be read as JSON"),
        (b"\xff\x00", "cannot be read as JSON"),
        (b"[]", "'images'"),
        (json.dumps(document(categories=None)).encode(), "'categories'"),
        (json.dumps(document(images=[{"id": 7}])).encode(), "images[0]"),
        (json.dumps(document(categories=[{"id": 3, "name": "a"}, {"id": 3, "name": "b"}])).encode(), "categories[1]"),
        (
            json.dumps(document(images=[{"id": 7, "file_name": "../a.png", "width": 1, "height": 1}])).encode(),
            "../a.png",
        ),
        (json.dumps(document(images=[{"id": 7, "file_name": "a.png"}])).encode(), "--photos"),
        (json.dumps(document(images=[])).encode(), "no images"),
    ],
)
def test_broken_files_name_themselves_and_the_place(tmp_path, content, words):
    path = tmp_path / "instances_train.json"
    path.write_bytes(content)
    with pytest.raises(FormatError) as caught:
        coco.read(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


def test_photos_are_found_elsewhere(tmp_path):
    photo = photo_file(tmp_path / "photos", "a.png")
    raw = document(images=[{"id": 7, "file_name": "a.png"}])
    path = tmp_path / "x.json"
    path.write_text(json.dumps(raw))
    read = only(path, photos=[tmp_path / "photos"])
    assert (read.path, read.size_wh, dict(read.facts)) == (photo.resolve(), SIZE, {})
    with pytest.raises(FormatError, match="no such file"):
        coco.read(path, photos=[tmp_path / "nowhere"])


def test_a_folder_with_something_in_it_is_not_written_over(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(FormatError, match="not an empty folder"):
        coco.write(collection(tmp_path, polygon()), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_nothing_stays_where_writing_fails(tmp_path):
    broken = Collection([DrawnPhoto("a.png", SIZE, (polygon(),), Path(tmp_path / "gone.png"))])
    with pytest.raises(OSError, match="gone"):
        coco.write(broken, tmp_path / "out", copy_photos=True)
    assert list(tmp_path.iterdir()) == []
