from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given

from quadrat import cvat_labels
from quadrat.drawn import Drawn, DrawnPhoto
from quadrat.formats import cvat_xml
from quadrat.tests.drawn_examples import LABELS, PHOTOS, SIZE, assert_same_photos

SHARED = Path(__file__).resolve().parents[3] / "shared" / "cvat"
EXPORTS = sorted(SHARED.glob("**/*cvat-for-images-1.1*.zip"))


def xml_of(inner: str, meta: str = "") -> io.BytesIO:
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
    image = f'<image id="0" name="a.jpg" width="100" height="80">{inner}</image>'
    return io.BytesIO(f"{head}{meta}{image}</annotations>".encode())


@given(PHOTOS)
def test_all_kinds_round_trip(tmp_path_factory, photos):
    path = tmp_path_factory.mktemp("xml") / "annotations.xml"
    cvat_xml.write_drawn(path, iter(photos), LABELS, name="reef <1>")
    labels, back, name = cvat_xml.read_drawn(path)
    assert name == "reef <1>"
    assert labels == LABELS
    assert_same_photos(photos, back)
    cvat_xml.write_drawn(path.with_name("b.xml"), back, labels, name=name)
    assert path.read_bytes() == path.with_name("b.xml").read_bytes()


@given(PHOTOS)
def test_labels_that_nobody_defined_are_defined_by_what_was_drawn(tmp_path_factory, photos):
    path = tmp_path_factory.mktemp("xml") / "annotations.xml"
    cvat_xml.write_drawn(path, photos)
    labels, back, _ = cvat_xml.read_drawn(path)
    drawn = [one for photo in photos for one in photo.drawn]
    assert {label["name"] for label in labels} == {one.label for one in drawn}
    for label in labels:
        own = [one for one in drawn if one.label == label["name"]]
        assert {spec["name"] for spec in label["attributes"]} == {name for one in own for name in one.attributes}
        assert label["type"] in {own[0].kind, "any"}
    assert_same_photos(photos, back)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE a [<!ENTITY x "y">]>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
        "<!-- long -->" * 40000 + "<!DOCTYPE a>",
    ],
)
def test_a_doctype_is_refused(encoding, doctype):
    text = f'<?xml version="1.0" encoding="{encoding}"?>{doctype}<annotations/>'
    with pytest.raises(ValueError, match=r"annotations\.xml: not a readable CVAT XML file .*DOCTYPE"):
        cvat_xml.read_drawn(io.BytesIO(text.encode(encoding)))


def test_an_entity_without_a_doctype_is_no_xml():
    with pytest.raises(ValueError, match="undefined entity"):
        cvat_xml.read_drawn(xml_of('<tag label="&x;"/>'))


def test_utf_16_is_read():
    text = xml_of('<tag label="ü"/>').getvalue().decode().replace("utf-8", "utf-16")
    _, (photo,), _ = cvat_xml.read_drawn(io.BytesIO(text.encode("utf-16")))
    assert photo.drawn[0].label == "ü"


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ('<polygon label="Porites" points="1,1;2,2"/>', "has 2 points: expected 3 or more"),
        ('<polygon label="Porites" points=""/>', "has 0 points"),
        ('<polygon label="Porites" points="1,1;2;3,3"/>', "not all pairs"),
        ('<polygon label="Porites" points="1,1;nan,2;3,3"/>', "finite"),
        ('<polygon label="Porites" points="1,1;a,2;3,3"/>', "could not convert"),
        ('<polygon label="Porites"/>', "it has no 'points'"),
        ('<box label="Porites" xtl="1" ytl="1" xbr="2"/>', "it has no 'ybr'"),
        ('<box label="Porites" xtl="1" ytl="1" xbr="2" ybr="3" rotation="inf"/>', "'inf' stands where"),
        ('<mask label="Porites" rle="0, 5" left="0" top="0" width="2" height="2"/>', "add up to 5 px: expected 2 x 2"),
        ('<mask label="Porites" rle="-4, 8" left="0" top="0" width="2" height="2"/>', "add up to 4 px"),
        (
            '<mask label="Porites" rle="1" left="0" top="0" width="99999999" height="99999999"/>',
            "on a photo of 100 x 80",
        ),
        ('<points label="" points="1,1"/>', "expected a name"),
    ],
)
def test_what_cannot_be_kept_is_said_and_the_rest_is_kept(shape, why, tmp_path):
    _, (photo,), _ = cvat_xml.read_drawn(xml_of(shape + '<tag label="kept"/>'))
    assert [one.label for one in photo.drawn] == ["kept"]
    (problem,) = photo.problems
    assert problem.startswith("a.jpg: ")
    assert why in problem
    assert "Draw it anew" in problem
    (tmp_path / "a.xml").write_bytes(xml_of(shape).getvalue())
    assert cvat_xml.read(tmp_path / "a.xml")[0].meta["problems"] == [problem]


def test_a_skeleton_with_a_point_too_few_is_kept_and_the_point_named(tmp_path):
    names = [str(n) for n in range(1, 118)]
    labels = [cvat_labels.skeleton_label("grid", names, np.zeros((117, 2)))]
    points = tuple(Drawn("points", name, np.array([[1.0, 2.0]])) for name in names if name != "59")
    photo = DrawnPhoto("a.jpg", SIZE, (Drawn("skeleton", "grid", elements=points),))
    cvat_xml.write_drawn(tmp_path / "a.xml", [photo], labels)
    _, (back,), _ = cvat_xml.read_drawn(tmp_path / "a.xml")
    assert len(back.drawn[0].elements) == 116
    assert "has 116 of its 117 points, missing: 59." in back.problems[0]


def test_points_of_one_name_and_points_of_two_places_are_said():
    inner = '<points label="1" points="1,1"/><points label="1" points="2,2"/><points label="2" points="1,1;2,2"/>'
    _, (photo,), _ = cvat_xml.read_drawn(xml_of(f'<skeleton label="grid">{inner}</skeleton>'))
    assert [p.xy_px.tolist() for p in photo.drawn[0].elements] == [[[1.0, 1.0]]]
    assert "'1' was left out: it comes twice" in photo.problems[0]
    assert "'2' was left out: it has 2 places" in photo.problems[1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty|no element"),
        ("<html/>", "its root is <html>"),
        ("<annotations><image", "ParseError"),
        ('<annotations><image name="a" width="0" height="3"/></annotations>', "at least 1 x 1"),
        ('<annotations><image name="a" width="x" height="3"/></annotations>', "ValueError"),
        ('<annotations><image name="a"/></annotations>', "it has no 'width'"),
        ('<annotations><track label="a"/></annotations>', "CVAT for video"),
    ],
)
def test_damaged_files_are_refused(text, why):
    with pytest.raises(ValueError, match=f"annotations.xml: not a readable CVAT XML file .*({why})"):
        cvat_xml.read_drawn(io.BytesIO(text.encode()))


def test_what_was_read_before_the_damage_comes_first(tmp_path):
    path = tmp_path / "a.xml"
    cvat_xml.write_drawn(path, [DrawnPhoto(f"{n}.jpg", SIZE, (Drawn("tag", "x" * 1000),)) for n in range(1000)])
    path.write_bytes(path.read_bytes()[:-500_000])
    photos = cvat_xml.iter_drawn(path)
    assert next(photos).name == "0.jpg"
    with pytest.raises(ValueError, match=r"a\.xml: not a readable"):
        list(photos)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    def photos():
        yield DrawnPhoto("a.jpg", SIZE)
        raise RuntimeError("lost")

    (tmp_path / "a.xml").write_text("before")
    with pytest.raises(RuntimeError, match="lost"):
        cvat_xml.write_drawn(tmp_path / "a.xml", photos())
    assert (tmp_path / "a.xml").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_characters_that_xml_has_not_are_replaced(tmp_path):
    photo = DrawnPhoto("a\x00.jpg", SIZE, (Drawn("tag", "a\x0bb", attributes={"note": "\x1f\r\n\ud800"}),))
    cvat_xml.write_drawn(tmp_path / "a.xml", [photo])
    _, (back,), _ = cvat_xml.read_drawn(tmp_path / "a.xml")
    assert (back.name, back.drawn[0].label) == ("a\ufffd.jpg", "a\ufffdb")
    assert dict(back.drawn[0].attributes) == {"note": "\ufffd\r\n\ufffd"}


def test_a_project_keeps_subsets_and_tasks(tmp_path):
    facts = [{"cvat_task_id": n, "cvat_task_name": f"t{n}", "cvat_subset": s} for n, s in ((4, "train"), (9, "val"))]
    photos = [DrawnPhoto(f"{n}.jpg", SIZE, facts=each) for n, each in enumerate(facts)]
    cvat_xml.write_drawn(tmp_path / "a.xml", photos, name="reef", project=True)
    back = list(cvat_xml.iter_drawn(tmp_path / "a.xml"))
    assert [dict(p.facts) for p in back] == [{**each, "cvat_project_name": "reef"} for each in facts]


def test_frames_of_a_task_that_took_every_third_photo():
    segment = "<segment><id>{}</id><start>{}</start><stop>{}</stop></segment>"
    meta = (
        "<meta><task><id>7</id><name>t</name><start_frame>10</start_frame><frame_filter>step=3</frame_filter><segments>"
        + segment.format(1, 0, 1) + segment.format(2, 2, 3) + "</segments></task></meta>"
    )  # fmt: skip
    text = xml_of("", meta).getvalue().replace(b'id="0"', b'id="16"')
    _, (photo,), _ = cvat_xml.read_drawn(io.BytesIO(text))
    assert (photo.facts["cvat_frame"], photo.facts["cvat_job_id"]) == (2, 2)


@pytest.mark.skipif(not EXPORTS, reason="the recordings are not here")
@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.stem)
def test_real_exports_are_read_whole_and_written_again(path, tmp_path):
    with zipfile.ZipFile(path) as archive:
        data = archive.read("annotations.xml")
    root = ElementTree.fromstring(data)
    labels, photos, name = cvat_xml.read_drawn(io.BytesIO(data))
    assert name == root.findtext("meta/*/name")
    kinds = Counter({"box": "rectangle"}.get(e.tag, e.tag) for image in root.iter("image") for e in image)
    assert Counter(one.kind for photo in photos for one in photo.drawn) == kinds
    assert sum(len(one.elements) for photo in photos for one in photo.drawn) == len(
        root.findall("image/skeleton/points")
    )
    assert sum(len(one.attributes) for p in photos for one in p.drawn) == len(root.findall("image/*/attribute"))
    entries = root.findall("meta/*/labels/label")
    assert len(labels) + sum(len(label.get("sublabels", ())) for label in labels) == len(entries)
    assert [p.name for p in photos] == [image.get("name") for image in root.iter("image")]
    assert all(photo.problems == () for photo in photos)
    for element, mask in zip(root.iter("mask"), (o for p in photos for o in p.drawn if o.kind == "mask"), strict=True):
        runs = [int(run) for run in element.attrib["rle"].split(",")]
        assert mask.mask.sum() == sum(runs[1::2])
        box = [int(element.attrib[key]) for key in ("left", "top", "width", "height")]
        assert [*mask.xy_px[0], *(mask.xy_px[1] - mask.xy_px[0])] == box
    project = root.find("meta/project") is not None
    cvat_xml.write_drawn(tmp_path / "b.xml", photos, labels, name=name, project=project)
    again, back, _ = cvat_xml.read_drawn(tmp_path / "b.xml")
    assert json.dumps(again) == json.dumps(labels)
    assert_same_photos(photos, back)
