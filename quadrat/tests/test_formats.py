from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from quadrat import masks, template
from quadrat.formats import coco, cvat_xml, overlay, shapes_json
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Annotations, Instance, Keypoints, SemanticMap

SIZE = (30, 20)
SHARED = Path(__file__).parents[2].parent / "shared" / "cvat"
LABELS = st.sampled_from(["Porites", "Pavona/Leptoseris", 'a "quoted" <label> & ü'])


@st.composite
def instances(draw, size_wh: tuple[int, int] = SIZE) -> Instance:
    mask = draw(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9)))
    mask[0, 0] = True
    origin = draw(st.integers(0, size_wh[0] - mask.shape[1])), draw(st.integers(0, size_wh[1] - mask.shape[0]))
    instance = masks.instance_from_mask(
        draw(LABELS), mask, origin, draw(st.integers(0, 100)) / 100, {"form": "massive"}
    )
    assert instance is not None
    return instance


@st.composite
def keypoints(draw, k: int = 4) -> Keypoints:
    xy = draw(arrays(np.float64, (k, 2), elements=st.integers(0, 80).map(lambda v: v / 4)))
    visibility = np.array(draw(st.lists(st.sampled_from([HIDDEN, OCCLUDED, VISIBLE]), min_size=k, max_size=k)))
    scores = np.array(draw(st.lists(st.integers(0, 100), min_size=k, max_size=k))) / 100
    names = tuple(str(i + 1) for i in range(k))
    return Keypoints("quadrat_corner", names, xy, visibility, scores, draw(st.integers(0, 100)) / 100)


PHOTO = st.lists(st.one_of(instances(), keypoints()), max_size=4).map(
    lambda shapes: Annotations("a photo.jpg", SIZE, tuple(shapes), {"seed": 3})
)


def same(a, b, *, point_scores: bool = True) -> bool:
    if type(a) is not type(b) or a.label != b.label or a.score != pytest.approx(b.score):
        return False
    if isinstance(a, Instance):
        return a.xyxy_px == b.xyxy_px and bool((a.mask == b.mask).all())
    seen = a.visibility > 0
    return (
        a.names == b.names
        and bool((a.visibility == b.visibility).all())
        and np.allclose(a.xy_px[seen], b.xy_px[seen])
        and (not point_scores or np.allclose(a.scores, b.scores))
    )


def assert_same(before: Annotations, after: Annotations, **options) -> None:
    assert (before.image, before.size_wh) == (after.image, after.size_wh)
    left = list(after.shapes)
    for shape in before.shapes:
        match = next((other for other in left if same(shape, other, **options)), None)
        assert match is not None, f"{shape} was lost"
        left.remove(match)
    assert not left


@given(PHOTO)
def test_shapes_json_round_trips(photo):
    back = shapes_json.from_dict(json.loads(json.dumps(shapes_json.to_dict(photo))))
    assert_same(photo, back)
    assert dict(back.meta) == {"seed": 3}
    assert all(dict(s.attributes) == {"form": "massive"} for s in back.instances)


@given(PHOTO, st.booleans())
def test_coco_round_trips(photo, polygons):
    raw = json.loads(json.dumps(coco.to_dict([photo], polygons=polygons)))
    assert_same(photo, coco.from_dict(raw)[0], point_scores=False)


def test_coco_keeps_names_and_visibility_of_keypoints():
    grid = Keypoints("grid", ("a", "c", "b"), [[1, 2], [3, 4], [5, 6]], [VISIBLE, HIDDEN, OCCLUDED], score=0.5)
    raw = coco.to_dict([Annotations("a.jpg", SIZE, (grid,))])
    assert raw["categories"][0]["keypoints"] == ["a", "c", "b"]
    entry = raw["annotations"][0]
    assert entry["keypoints"] == [1, 2, 2, 0, 0, 0, 5, 6, 1]
    assert (entry["num_keypoints"], entry["bbox"], entry["score"]) == (2, [1, 2, 4, 4], 0.5)
    (back,) = coco.from_dict(raw)[0].keypoints
    assert (back.names, back.visibility.tolist()) == (("a", "c", "b"), [VISIBLE, HIDDEN, OCCLUDED])
    other = Keypoints("grid", ("a", "b"), [[1, 2], [3, 4]])
    with pytest.raises(ValueError, match="'grid' have points of different names"):
        coco.to_dict([Annotations("a.jpg", SIZE, (grid, other))])


@given(st.lists(instances(), max_size=3))
def test_coco_is_what_pycocotools_reads(shapes):
    raw = coco.to_dict([Annotations("a.jpg", SIZE, tuple(shapes))])
    for entry, shape in zip(raw["annotations"], shapes, strict=True):
        theirs = coco_mask.decode(entry["segmentation"]).astype(bool)
        assert (theirs == masks.to_full_mask(shape, SIZE)).all()
        assert entry["area"] == theirs.sum()
        assert coco_mask.toBbox(entry["segmentation"]).tolist() == entry["bbox"]


@given(PHOTO)
def test_cvat_xml_masks_round_trip(tmp_path_factory, photo):
    path = tmp_path_factory.mktemp("xml") / "annotations.xml"
    cvat_xml.write(path, [photo], as_masks=True)
    assert_same(photo, cvat_xml.read(path)[0], point_scores=False)


@given(st.lists(instances(), max_size=3))
def test_cvat_xml_polygons_keep_parts_together_and_fill_holes(tmp_path_factory, shapes):
    path = tmp_path_factory.mktemp("xml") / "annotations.xml"
    cvat_xml.write(path, [Annotations("a.jpg", SIZE, tuple(shapes))])
    filled = []
    for shape in shapes:
        outers = [part[0] for part in masks.instance_to_parts(shape)]
        each = [masks.instance_from_rings(shape.label, [ring], SIZE, shape.score) for ring in outers]
        filled.append(masks.unite(each))
    assert_same(Annotations("a.jpg", SIZE, tuple(filled)), cvat_xml.read(path)[0])


def test_cvat_xml_turned_boxes_and_ellipses(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(
        '<annotations><image id="0" name="a.jpg" width="100" height="100">'
        '<box label="b" xtl="20" ytl="40" xbr="80" ybr="60" rotation="90"/>'
        '<ellipse label="e" cx="50" cy="50" rx="30" ry="10"/><tag label="t"/><polyline label="p" points="1,1;2,2"/>'
        "</image></annotations>"
    )
    photo = cvat_xml.read(path)[0]
    assert photo.instances[0].xyxy_px == (40, 20, 60, 80)
    assert photo.instances[1].area_px == pytest.approx(np.pi * 300, rel=0.02)
    assert photo.meta["skipped"] == {"tag": 1, "polyline": 1}


@pytest.mark.parametrize("text", ["", "<a/>", "<annotations><image/></annotations>", "{}", "nonsense"])
@pytest.mark.parametrize("reader", [shapes_json.read, coco.read, cvat_xml.read])
def test_broken_files_are_named(tmp_path, text, reader):
    path = tmp_path / "broken"
    path.write_text(text)
    with pytest.raises(ValueError, match="broken: not a readable"):
        reader(path)


@pytest.mark.parametrize(
    "change",
    [{"version": 9}, {"shapes": 3}, {"size_wh": [1]}, {"shapes": [{"type": "circle"}]}, {"shapes": [7]}]
    + [{"shapes": [{"type": "instance", "label": "a", "xyxy_px": [0, 0, 2, 2], "runs": [3]}]}]
    + [{"shapes": [{"type": "keypoints", "label": "a", "points": []}]}],
)
def test_broken_shapes_json_is_refused(tmp_path, change):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**shapes_json.to_dict(Annotations("a.jpg", SIZE)), **change}))
    with pytest.raises(ValueError, match=r"a\.json: not a readable"):
        shapes_json.read(path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not here")
def test_real_cvat_exports_are_read(tmp_path):
    import zipfile

    def photos_of(name: str) -> list[Annotations]:
        with zipfile.ZipFile(SHARED / name) as archive:
            path = Path(archive.extract("annotations.xml", tmp_path))
        return cvat_xml.read(path)

    first, second = photos_of("exports/task_cvat-for-images-1.1.zip")
    assert first.size_wh == (120, 100)
    assert [s.label for s in first.instances] == ["coral", "coralmask", "box"]
    assert first.instances[1].xyxy_px == (20, 30, 50, 40)
    assert first.meta["skipped"] == {"tag": 1}
    grid = second.keypoints[0]
    assert grid.names == ("tl", "tr", "br", "bl")
    assert grid.visibility.tolist() == [VISIBLE, VISIBLE, OCCLUDED, HIDDEN]
    corners = photos_of("recordings/guide_c/exports/task1_cvat-for-images-1.1.zip")[0].keypoints[0]
    assert corners.names == ("1", "2", "3", "4")  # the file has them as 3 4 1 2
    assert corners.xy_px[0].tolist() == [88.5, 101.0]
    assert corners.score == 0.9
    genera = photos_of("recordings/guide_c/exports/task3_cvat-for-images-1.1.zip")
    assert genera[0].instances[0].xyxy_px == (200, 100, 260, 140)
    assert genera[0].instances[0].score == 0.55
    with zipfile.ZipFile(SHARED / "exports/task_coco-keypoints-1.0.zip") as archive:
        marked = coco.read(Path(archive.extract("annotations/person_keypoints_default.json", tmp_path)))
    assert [len(photo.shapes) for photo in marked] == [0, 1]
    assert marked[1].keypoints[0].names == grid.names
    assert marked[1].keypoints[0].visibility.tolist() == grid.visibility.tolist()
    assert marked[1].keypoints[0].xy_px.tolist() == grid.xy_px.tolist()
    with zipfile.ZipFile(SHARED / "exports/task_coco-1.0.zip") as archive:
        entry = coco.read(Path(archive.extract("annotations/instances_default.json", tmp_path)))[0]
    assert [s.area_px for s in entry.instances] == [1991, 300, 875]  # 1993 px2 for the polygon: pixels by their centres


@given(PHOTO)
def test_overlay_marks_the_photo_and_not_much_else(photo):
    image = np.full((20, 30, 3), 120, np.uint8)
    drawn = overlay.draw(image, photo.shapes, title="a.jpg", note="Look twice.")
    assert drawn.dtype == np.uint8
    assert drawn.shape[0] > 20
    assert drawn.shape[1] > 30
    assert (image == 120).all()  # the photo given is left as it is
    if any((s.visibility > 0).any() if isinstance(s, Keypoints) else True for s in photo.shapes):
        assert (drawn[:20, :30] != 120).any()
    else:
        assert (drawn[:20, :30] == 120).all()


def test_overlay_shrinks_large_photos_and_keeps_places():
    image = np.zeros((400, 800, 3), np.uint8)
    coral = masks.instance_from_rings("Porites", [[[400, 100], [800, 100], [800, 400], [400, 400]]])
    drawn = overlay.draw(image, [coral], long_side=200)
    assert drawn[60, 150].any()
    assert not drawn[60, 40].any()
    sheet = overlay.contact_sheet([drawn, drawn, drawn], columns=2, cell_px=100, note="three")
    assert sheet.shape[1] == 200


def test_overlay_joins_seen_points_and_rings_those_that_were_put():
    layout = template.load("grid11x11")
    seen = np.full(117, VISIBLE)
    seen[58], seen[0] = OCCLUDED, HIDDEN
    grid = Keypoints("grid", layout.names, 100 + 800 * layout.uv, seen, attributes={"layout": "grid11x11"})
    drawn = overlay.draw(np.zeros((1000, 1000, 3), np.uint8), [grid])
    dot, ring, gone = (drawn[y, x].astype(int) for x, y in np.rint(grid.xy_px[[57, 58, 0]] - 0.5).astype(int))
    assert dot.min() < 60 < 200 < dot[:2].min()  # yellow
    assert not gone.any()
    halfway = np.rint(grid.xy_px[[20, 21]].mean(0)).astype(int)
    assert drawn[halfway[1] - 2 : halfway[1] + 2, halfway[0]].any()
    edge = drawn[495:506, 485:500].astype(int)
    assert (edge[..., 0] - edge[..., 2] > 100).any()  # the ring is red
    assert ring.tolist() != dot.tolist()
    other = Keypoints("grid", layout.names, grid.xy_px)  # the layout that fits best is found by itself
    assert np.array_equal(overlay._neighbours(other), layout.edges)


def test_overlay_of_one_point_and_of_points_far_outside_the_photo():
    image = np.zeros((50, 60, 3), np.uint8)
    one = Keypoints("a", ("1",), [[30.0, 20.0]])
    far = Keypoints("quadrat_corner", ("1", "2", "3", "4"), [[1e9, 0], [0, -1e9], [10, 10], [40, 40]])
    assert overlay.draw(image, [one])[:50, :60].any()
    assert overlay.draw(image, [far])[:50, :60].any()


MAP_LABELS = ("background", "Porites", "Acropora", "Fungia")


def map_of_halves():
    index = np.zeros((40, 60), np.uint8)
    index[:, 30:] = 1
    index[:10, :30] = SemanticMap.IGNORE
    return SemanticMap(MAP_LABELS, index)


def test_a_map_is_drawn_in_the_colours_of_its_classes():
    image = np.full((40, 60, 3), 120, np.uint8)
    drawn = overlay.draw_map(image, map_of_halves(), title="a.jpg", note="Look twice.", background=("background",))
    assert (image == 120).all()
    assert (drawn[20, 10] == 120).all()  # background
    wanted = 0.55 * 120 + 0.45 * np.array(overlay.colour_rgb("Porites"))
    assert np.abs(drawn[20, 45].astype(float) - wanted).max() <= 1
    assert np.abs(drawn[20, 30].astype(float) - wanted).max() > 5  # the border is stronger
    assert overlay.draw_map(image, map_of_halves(), long_side=20, background=("background",))[7, 12].tolist() == [
        int(value) for value in wanted
    ]


def test_several_background_classes_are_tinted_faintly():
    image = np.full((40, 60, 3), 120, np.uint8)
    one, two = (overlay.draw_map(image, map_of_halves(), background=MAP_LABELS[:n]) for n in (1, 2))
    away = np.abs(one[20, 45].astype(int) - 120).max(), np.abs(two[20, 45].astype(int) - 120).max()
    assert 0 < away[1] < away[0]
    assert (two[20, 10] != 120).any()


def test_the_legend_of_a_map_names_what_is_there_with_its_share():
    rows = overlay._cover_rows(map_of_halves(), ("background",))
    assert [tuple(row) for row in rows] == [
        ("Porites", overlay.colour_rgb("Porites"), "50.0%"),
        ("background", None, "37.5%"),
        ("not known", None, "12.5%"),
    ]


def test_a_map_of_another_size_is_refused():
    with pytest.raises(ValueError, match="the map has 60 x 40 px: expected 40 x 60 px, the photo's"):
        overlay.draw_map(np.zeros((60, 40, 3), np.uint8), map_of_halves())
