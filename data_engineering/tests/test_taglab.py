import json

import cv2
import numpy as np
import pytest
from hypothesis import given

from data_engineering.formats import taglab
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
)
from quadrat import masks
from quadrat.drawn import Drawn, DrawnPhoto, to_instance


def only(path, **more):
    (photo,) = taglab.read(path, **more).photos
    return photo


def region(**more):
    # a square of 10 x 10 px whose top-left pixel is 20, 30, as TagLab outlines it: 0.4 px around the pixels' centres
    square = "196 296 98 0 0 98 -98 0 0 -98"
    head = {"bbox": [25, 15, 20, 20], "centroid": [24.5, 34.5], "area": 100.0, "perimeter": 39.2, "contour": square}
    names = {"class name": "Porites", "instance name": "coral3", "blob name": "c-3-24.5x-34.5y", "id": 3}
    return {**head, "inner contours": [], **names, "note": "", "data": {}, **more}


def stored(folder, annotations, **more):
    photo_file(folder)
    image = {
        "map_px_to_mm_factor": "0.94",
        "width": 160,
        "height": 120,
        "annotations": annotations,
        "channels": [{"filename": "a.png", "type": "RGB"}, {"filename": "a.tif", "type": "DEM"}],
        "id": "m",
        "name": "map",
        "acquisition_date": "2021-05-04",
    }
    labels = {"Porites": {"id": "Porites", "name": "Porites", "fill": [1, 2, 255]}}
    path = folder / "project.json"
    path.write_text(json.dumps({"labels": labels, "images": [image | more]}))
    return path


def test_what_taglab_holds_comes_back(tmp_path):
    attributes = {"health": "dead", "note": "pale", "instance name": "Anna"}
    drawn = (polygon(attributes=attributes), mask(hole=True), Drawn("points", "Sand", np.array([[3.5, 4.25]])))
    facts = {"taglab_mm_per_px": "0.5", "taglab_date": "2020-02-03"}
    labels = [{"name": "Porites", "color": "#0a0b0c", "type": "polygon", "attributes": []}]
    losses = taglab.write(collection(tmp_path, *drawn, labels=labels, **facts), tmp_path / "p.json")
    assert not losses
    photo = only(tmp_path / "p.json")
    assert all(map(same, drawn, photo.drawn))
    assert dict(photo.drawn[0].attributes) == attributes
    assert photo.path == (tmp_path / "a.png").resolve()
    assert {name: photo.facts[name] for name in facts} == facts
    assert taglab.read(tmp_path / "p.json").labels[0]["color"] == "#0a0b0c"


@given(ring=rings)
def test_polygons_to_a_hundredth(tmp_path_factory, ring):
    path = tmp_path_factory.mktemp("taglab") / "p.json"
    if (ring[0] == ring[-1]).all():
        return
    one = Drawn("polygon", "p", ring)
    taglab.write(Collection([DrawnPhoto("a.png", SIZE, (one,))]), path)
    assert same(only(path).drawn[0], one)


def filled_by_taglab(raw):
    """What TagLab makes of a region when it edits it: whole-pixel outlines, their insides filled."""
    top, left, width, height = raw["bbox"]
    canvas = np.zeros((height, width), np.uint8)
    for value, ring in ((1, raw["contour"]), *((0, inner) for inner in raw["inner contours"])):
        cv2.fillPoly(canvas, [np.round(ring).astype(int) - (left, top)], value)
    full = np.zeros((SIZE[1] + 40, SIZE[0] + 40), bool)
    full[top + 20 : top + 20 + height, left + 20 : left + 20 + width] = canvas
    return full[20:-20, 20:-20]


def touch_at_a_corner(pixels):
    """Whether two pixels, or two gaps, touch at a corner alone: TagLab sees no way from one to the other."""
    around = np.pad(pixels, 1)
    a, b, c, d = around[:-1, :-1], around[:-1, 1:], around[1:, :-1], around[1:, 1:]
    return bool(((a == d) & (b == c) & (a != b)).any())


@given(pixels=bitmaps)
def test_masks_keep_their_pixels_here_and_in_taglab(tmp_path_factory, pixels):
    held = masks.instance_from_mask("m", pixels, (3, 4))
    if held is None:
        return
    path = tmp_path_factory.mktemp("taglab") / "p.json"
    one = Drawn("mask", "m", np.array(held.xyxy_px, float).reshape(2, 2), mask=held.mask)
    taglab.write(Collection([DrawnPhoto("a.png", SIZE, (one,))]), path)
    wanted = masks.to_full_mask(held, SIZE)
    back = [to_instance(each, SIZE) for each in only(path).drawn]
    assert np.array_equal(masks.to_full_mask(masks.unite([each for each in back if each]), SIZE), wanted)
    if touch_at_a_corner(pixels):
        return
    written = json.loads(path.read_text())["images"][0]["annotations"]["regions"]
    assert np.array_equal(np.logical_or.reduce([filled_by_taglab(raw) for raw in written]), wanted)


def test_what_taglab_has_no_place_for_is_counted(tmp_path):
    ellipse = Drawn("ellipse", "Porites", np.array([[60, 50], [80, 40]], float), rotation=10)
    drawn = (box(rotation=30), ellipse, mask(pieces=True, group=3), Drawn("tag", "good"), polygon(score=0.5))
    losses = taglab.write(collection(tmp_path, *drawn, cvat_task_id=3), tmp_path)
    assert losses.counts == {
        "rectangle as polygon": 1,
        "ellipse as polygon": 1,
        "mask as polygon": 2,
        "mask in pieces": 1,
        "group": 1,
        "tag": 1,
        "score": 1,
        "task": 1,
    }
    assert len(only(tmp_path).drawn) == 5


@pytest.mark.parametrize("layout", ["regions", "list", "single map"])
def test_projects_as_taglab_wrote_them(tmp_path, layout):
    hole = region(**{"inner contours": ["224 325 -10 0 0 10 10 0 0 -10"], "instance name": "noname", "id": 4})
    regions = [region(note="pale", data={"alive": True}), hole]
    if layout == "single map":
        photo_file(tmp_path)
        path = tmp_path / "project.json"
        path.write_text(json.dumps({"Map File": "a.png", "Map Scale": 1.5, "Segmentation Data": regions}))
    else:
        path = stored(tmp_path, regions if layout == "list" else {"regions": regions, "points": []})
    photo = only(path)
    first, second = photo.drawn
    assert np.allclose(first.xy_px, [[20.1, 30.1], [29.9, 30.1], [29.9, 39.9], [20.1, 39.9]])
    assert masks.to_full_mask(to_instance(first, SIZE), SIZE)[30:40, 20:30].all()
    assert to_instance(first, SIZE).area_px == 100
    assert dict(first.attributes) == {"note": "pale", "alive": "True"}
    assert (second.kind, int(second.mask.sum())) == ("mask", 99)
    assert (photo.name, photo.size_wh, photo.problems) == ("a.png", SIZE, ())
    if layout != "single map":
        assert dict(photo.facts) == {"taglab_mm_per_px": "0.94", "taglab_date": "2021-05-04"}
        assert taglab.read(path).labels[0]["color"] == "#0102ff"


def test_points_lie_in_the_middle_of_their_pixel(tmp_path):
    point = {"Id": 0, "X": 5, "Y": 7, "Class": "Sand", "Note": "", "Data": {"Machine suggestion 1": "Turf"}}
    (one,) = only(stored(tmp_path, {"regions": [], "points": [point]})).drawn
    assert (one.kind, one.xy_px.tolist(), dict(one.attributes)) == (
        "points",
        [[5.5, 7.5]],
        {"Machine suggestion 1": "Turf"},
    )


def test_a_map_without_size_asks_its_photo(tmp_path):
    assert only(stored(tmp_path, [], width=0, height=0)).size_wh == SIZE
    elsewhere = stored(tmp_path, [], width=0, channels=[{"filename": "../../b.png", "type": "RGB"}])
    with pytest.raises(FormatError, match=r"images\[0\] has width 0"):
        taglab.read(elsewhere)
    photo_file(tmp_path / "photos", "b.png")
    found = only(elsewhere, photos=[tmp_path / "photos"])
    assert (found.name, found.size_wh) == ("b.png", SIZE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"contour": "10 10 5 5"}, "2 points"),
        ({"contour": "10 x"}, "invalid literal"),
        ({"contour": "10 10 5"}, "reshape"),
        ({"class name": ""}, "expected a name"),
        ({"contour": None}, "left out"),
    ],
)
def test_a_region_that_is_none_is_left_out_with_a_sentence(tmp_path, change, words):
    photo = only(stored(tmp_path, [region(), region(**change), 7]))
    assert len(photo.drawn) == 1
    assert len(photo.problems) == 2
    assert words in photo.problems[0]
    assert "images[0].regions[1]" in photo.problems[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "no list images"),
        ('{"images": [{"channels": []}]}', "images[0].channels"),
        ('{"images": [7]}', "images[0].channels"),
    ],
)
def test_broken_projects_name_the_file_and_the_place(tmp_path, content, words):
    (tmp_path / "project.json").write_text(content)
    with pytest.raises(FormatError) as caught:
        taglab.read(tmp_path / "project.json")
    assert str(tmp_path / "project.json") in str(caught.value)
    assert words in str(caught.value)
