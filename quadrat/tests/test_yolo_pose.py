from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from quadrat import images
from quadrat.formats import coco, yolo_pose
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Annotations, Keypoints

from .test_formats import SIZE, assert_same, keypoints


def put_photo(folder: Path, name: str, size_wh: tuple[int, int] = SIZE) -> None:
    images.write(folder / name, np.zeros((size_wh[1], size_wh[0], 3), np.uint8))


def quadrat(**changes) -> Keypoints:
    xy = [[1.25, 2], [20, 3.5], [29, 19], [2, 18]]
    return Keypoints(**{"label": "frame", "names": ("tl", "tr", "br", "bl"), "xy_px": xy, **changes})


def visible_inside(shape: Keypoints) -> Keypoints:
    """What YOLO-pose can say of keypoints."""
    inside = ((shape.xy_px >= 0) & (shape.xy_px <= SIZE)).all(1)
    return Keypoints(shape.label, shape.names, shape.xy_px, np.where(inside, shape.visibility, HIDDEN))


@given(st.lists(keypoints(), max_size=3))
def test_keypoints_round_trip(tmp_path_factory, shapes):
    folder = tmp_path_factory.mktemp("yolo")
    put_photo(folder / "images", "a.b.png")
    photo = Annotations("a.b.png", SIZE, tuple(shapes))
    yolo_pose.write(folder, [photo])
    (back,) = yolo_pose.read(folder)
    assert_same(Annotations("a.b.png", SIZE, tuple(visible_inside(s) for s in shapes)), back, point_scores=False)


def test_many_photos_keep_names_labels_and_what_is_hidden(tmp_path):
    hidden = quadrat(label="other", xy_px=[[-3, 2], [20, 3], [29, 40], [2, 18]], visibility=[2, 1, 1, 0])
    photos = [
        Annotations("a.jpg", SIZE, (quadrat(visibility=[2, 2, 1, 2]), hidden)),
        Annotations("a.png", (60, 40), (quadrat(),)),
        Annotations("sub/a.JPG", SIZE),
    ]
    for photo in photos:
        name = Path(photo.image)
        put_photo(tmp_path / "images", name.with_suffix(name.suffix.lower()).as_posix(), photo.size_wh)
    (tmp_path / "images/sub/a.jpg").rename(tmp_path / "images/sub/a.JPG")
    yolo_pose.write(tmp_path, photos)
    first, second, third = yolo_pose.read(tmp_path / "dataset.yaml")
    assert [(p.image, p.size_wh, len(p.shapes)) for p in (first, second, third)] == [
        ("a.png", (60, 40), 1),
        ("a.jpg", SIZE, 2),
        ("sub/a.JPG", SIZE, 0),
    ]
    assert [shape.label for shape in second.keypoints] == ["frame", "other"]
    assert second.keypoints[0].visibility.tolist() == [VISIBLE, VISIBLE, OCCLUDED, VISIBLE]
    assert second.keypoints[1].visibility.tolist() == [HIDDEN, OCCLUDED, HIDDEN, HIDDEN]
    np.testing.assert_allclose(first.keypoints[0].xy_px, quadrat().xy_px, atol=1e-5)
    assert first.keypoints[0].names == ("tl", "tr", "br", "bl")


def test_ultralytics_takes_what_is_written(tmp_path):
    pytest.importorskip("ultralytics")
    from ultralytics.data.utils import verify_image_label

    put_photo(tmp_path / "images", "a.png", (60, 40))
    outside = quadrat(xy_px=[[-3, 2], [20, 3.5], [29, 19], [2, 18]], visibility=[1, 2, 2, 0])
    yolo_pose.write(tmp_path, [Annotations("a.png", (60, 40), (outside,))])
    paths = str(tmp_path / "images/a.png"), str(tmp_path / "labels/a.txt")
    _, label, _, _, points, *_, message = verify_image_label((*paths, "", True, 1, 4, 3, False))
    assert not message
    assert label[0].tolist() == pytest.approx([0, 24.5 / 60, 11.25 / 40, 9 / 60, 15.5 / 40])
    assert points[0, :, 2].tolist() == [0, 2, 2, 0]


@pytest.mark.parametrize("layout", ["labels/train/a.txt", "train/labels/a.txt"])
def test_folders_of_others_are_read(tmp_path, layout):
    label = tmp_path / layout
    label.parent.mkdir(parents=True)
    label.write_text("1 0.5 0.5 1 1 0.5 0.25 0 0\n\n")
    raw = {"names": ["a", "b"], "kpt_shape": [2, 2]}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(raw))
    put_photo(Path(str(label.parent).replace("labels", "images")), "a.png")
    (found,) = yolo_pose.read(tmp_path)
    (shape,) = found.keypoints
    assert (shape.label, shape.names, found.image) == ("b", ("1", "2"), "train/a.png"[-len(found.image) :])
    assert shape.xy_px[0].tolist() == [15, 5]
    assert shape.visibility.tolist() == [VISIBLE, HIDDEN]


def test_photos_may_lie_elsewhere(tmp_path):
    put_photo(tmp_path / "reef", "sub/a.png")
    yolo_pose.write(tmp_path / "yolo", [Annotations("sub/a.png", SIZE, (quadrat(),))])
    assert yolo_pose.read(tmp_path / "yolo", tmp_path / "reef")[0].image == "sub/a.png"
    with pytest.raises(ValueError, match=r"a\.txt: .*no photo .*images.sub.a\.\*"):
        yolo_pose.read(tmp_path / "yolo")


@pytest.mark.parametrize(
    ("line", "message"),
    [("0 0.5 0.5 1 1 0.5", "has 6 numbers: expected 17"), ("1 0.5", "class 1 has no name"), ("x", "could not|invalid")]
    + [(" ".join(["0", *["0.5"] * 15, "7"]), "visibility is"), (" ".join(["0", *["nan"] * 16]), "visibility is")],
)
def test_broken_labels_are_named(tmp_path, line, message):
    put_photo(tmp_path / "images", "a.png")
    yolo_pose.write(tmp_path, [Annotations("a.png", SIZE, (quadrat(),))])
    (tmp_path / "labels" / "a.txt").write_text(line)
    with pytest.raises(ValueError, match=rf"a\.txt: not a readable .*({message})"):
        yolo_pose.read(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "names: 3", "names: [a]", "{", "names: [a]\nkpt_shape: [x, 3]"])
def test_broken_datasets_are_named(tmp_path, text):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"data\.yaml: not of a readable YOLO-pose dataset"):
        yolo_pose.read(tmp_path)
    with pytest.raises(ValueError, match="neither dataset.yaml nor data.yaml"):
        yolo_pose.read(tmp_path / "..")


def test_points_of_different_numbers_or_names_are_refused(tmp_path):
    one = quadrat(label="one", names=("1",), xy_px=[[1, 1]])
    with pytest.raises(ValueError, match=r"'frame': 4, 'one': 1.*its own folder"):
        yolo_pose.write(tmp_path, [Annotations("a.png", SIZE, (quadrat(), one))])
    with pytest.raises(ValueError, match="'frame' have points of different names"):
        yolo_pose.write(tmp_path, [Annotations("a.png", SIZE, (quadrat(), quadrat(names=("1", "2", "3", "4"))))])
    assert not (tmp_path / "labels").exists()


def test_coco_goes_through_yolo_pose_and_back(tmp_path):
    """From COCO keypoints to YOLO-pose and again: places, names and visibility stay."""
    put_photo(tmp_path / "images", "a.png")
    before = Annotations("a.png", SIZE, (quadrat(visibility=[2, 1, 2, 0]),))
    yolo_pose.write(tmp_path, coco.from_dict(coco.to_dict([before])))
    after = coco.from_dict(coco.to_dict(yolo_pose.read(tmp_path)))
    assert_same(before, after[0], point_scores=False)
