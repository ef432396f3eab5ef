from __future__ import annotations

import numpy as np
import pytest

from quadrat.formats import annotated, coco, cvat_xml, shapes_json
from quadrat.shapes import Annotations, Keypoints

XY = np.array([[10, 12], [90, 10], [92, 70], [8, 72]], float)
CORNERS = Keypoints("quadrat_corner", ("1", "2", "3", "4"), XY, [2, 2, 1, 2])


def photos(*names: str) -> list[Annotations]:
    return [Annotations(name, (100, 80), (CORNERS,)) for name in names]


def write_all(folder, kind: str, known: list[Annotations]):
    if kind == "shapes":
        for photo in known:
            shapes_json.write(folder / "shapes" / f"{photo.image.rsplit('.', 1)[0]}.json", photo)
        return folder / "shapes"
    writer = coco if kind == "coco.json" else cvat_xml
    writer.write(folder / kind, known)
    return folder / kind


@pytest.mark.parametrize("kind", ["shapes", "coco.json", "cvat.xml"])
def test_corners_come_from_every_format(tmp_path, kind):
    found = annotated.read(write_all(tmp_path, kind, photos("2024/a.jpg", "2025/a.jpg", "2025/b.jpg")))
    assert len(found) == 3
    for name in ("2024/a.jpg", "2025/a.jpg", "b.jpg", "elsewhere/b.png"):
        (points,) = found[name].keypoints
        assert np.allclose(points.xy_px, XY, atol=0.01)
        assert list(points.visibility) == [2, 2, 1, 2]
    with pytest.raises(KeyError, match="2 annotated photos may be meant"):
        found["a.jpg"]
    with pytest.raises(KeyError, match="nothing is annotated for it"):
        found["c.jpg"]
    assert "c.jpg" not in found


def test_one_shapes_file_is_enough(tmp_path):
    shapes_json.write(tmp_path / "x.json", photos("a.jpg")[0])
    assert list(annotated.read(tmp_path / "x.json")) == ["a.jpg"]


POLYGON = '<polygon label="quadrat_corner" points="92,70;8,72;10,12;90,10"/>'
POINTS = '<points label="quadrat_corner" points="92,70;8,72;10,12;90,10"/>'
SINGLE = "".join(f'<points label="quadrat_corner" points="{x},{y}"/>' for x, y in XY[[2, 0, 3, 1]])
OTHER = '<points label="fish" points="1,1;2,2;3,1;4,4"/><polygon label="Porites" points="1,1;9,1;9,9;1,9"/>'


@pytest.mark.parametrize("drawn", [POLYGON, POINTS, SINGLE])
def test_corners_that_are_drawn_in_cvat_are_put_in_order(tmp_path, drawn):
    image = f'<image id="0" name="a.jpg" width="100" height="80">{OTHER}{drawn}</image>'
    (tmp_path / "a.xml").write_text(f"<annotations>{image}</annotations>", "utf-8")
    (points,) = annotated.read(tmp_path / "a.xml")["a.jpg"].keypoints
    assert np.allclose(points.xy_px, XY)
    assert points.names == ("1", "2", "3", "4")


@pytest.mark.parametrize(
    "drawn",
    [
        OTHER,
        POLYGON + POINTS,  # which of the two?
        '<points label="quadrat_corner" points="1,1;2,2;3,1"/>',
        '<points label="quadrat_corner" points="1,1;2,2;3,1;1,1"/>',
    ],
)
def test_what_is_not_four_corners_is_none(tmp_path, drawn):
    image = f'<image id="0" name="a.jpg" width="100" height="80">{drawn}</image>'
    (tmp_path / "a.xml").write_text(f"<annotations>{image}</annotations>", "utf-8")
    assert annotated.read(tmp_path / "a.xml")["a.jpg"].keypoints == ()


def test_a_skeleton_is_preferred_to_what_is_drawn(tmp_path):
    path = write_all(tmp_path, "cvat.xml", photos("a.jpg"))
    text = path.read_text("utf-8").replace("</image>", POLYGON.replace("92,70", "95,75") + "</image>")
    path.write_text(text, "utf-8")
    (points,) = annotated.read(path)["a.jpg"].keypoints
    assert np.allclose(points.xy_px, XY)


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text("{", "utf-8")
    (tmp_path / "bad.xml").write_text("<a>", "utf-8")
    for name, words in (
        ("none.json", "no such file"),
        ("empty", "no shapes JSON"),
        ("bad.json", "COCO"),
        ("bad.xml", "XML"),
    ):
        with pytest.raises(ValueError, match=f"{name}.*{words}"):
            annotated.read(tmp_path / name)
