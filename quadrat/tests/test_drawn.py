from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from quadrat import drawn, masks
from quadrat.drawn import Drawn, DrawnPhoto
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Annotations, Instance, Keypoints
from quadrat.tests.drawn_examples import CORNERS, LABELS, PHOTOS, SIZE

SQUARE = np.array([[10.0, 10.0], [30.0, 10.0], [30.0, 30.0], [10.0, 30.0]])


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"kind": "circle"}, "kind is 'circle'"),
        ({"label": ""}, "label of a polygon is ''"),
        ({"xy_px": SQUARE[:2]}, "has 2 points: expected 3 or more"),
        ({"xy_px": SQUARE * np.nan}, "finite"),
        ({"xy_px": SQUARE.ravel()}, "finite float64"),
        ({"score": 1.5}, "expected 0..1"),
        ({"score": float("nan")}, "expected 0..1"),
        ({"kind": "rectangle"}, "has 4 points: expected 2"),
        ({"mask": np.ones((20, 20), bool)}, "belong to the kind mask"),
        ({"kind": "mask", "xy_px": SQUARE[[0, 2]]}, "belong to the kind mask"),
        ({"kind": "mask", "xy_px": SQUARE[[0, 2]], "mask": np.ones((20, 19), bool)}, "expected bool"),
    ],
)
def test_what_is_no_shape_is_refused(made, why):
    with pytest.raises(ValueError, match=why):
        Drawn(**{"kind": "polygon", "label": "Porites", "xy_px": SQUARE, **made})


@pytest.mark.parametrize(("name", "size"), [("", (1, 1)), ("a.jpg", (0, 5)), ("a.jpg", (5, -1))])
def test_what_is_no_photo_is_refused(name, size):
    with pytest.raises(ValueError, match="expected a name and at least 1 x 1"):
        DrawnPhoto(name, size)


@pytest.mark.parametrize(("value", "expected"), [("55", 0.55), ("250", 1.0), ("-3", 0.0), ("high", 0.9), (None, 0.9)])
def test_the_attribute_confidence_goes_before_the_score(value, expected):
    one = Drawn("polygon", "a", SQUARE, attributes={} if value is None else {"confidence": value}, score=0.9)
    assert one.confidence == expected


def test_polygons_of_a_group_are_one_instance_and_other_kinds_are_counted():
    apart = SQUARE + 50
    shapes = [
        Drawn("polygon", "a", SQUARE, group=3, attributes={"form": "massive"}),
        Drawn("polygon", "a", apart, group=3),
        Drawn("polygon", "b", SQUARE, group=3),
        Drawn("polygon", "a", SQUARE - 1000),
        Drawn("tag", "t"),
        Drawn("points", "p", SQUARE),
    ]
    made = drawn.to_annotations(DrawnPhoto("a.jpg", SIZE, tuple(shapes)))
    areas = {one.label: (one.area_px, dict(one.attributes)) for one in made.instances}
    assert areas == {"a": (800, {"form": "massive"}), "b": (400, {})}
    assert made.meta["skipped"] == {"tag": 1, "points": 1}


def test_a_turned_box_is_what_cvat_shows():
    one = Drawn("rectangle", "a", np.array([[20.0, 40.0], [80.0, 60.0]]), rotation=90)
    ring = drawn.outline(one)
    assert np.allclose(ring[0], [60, 20])  # the corner at the top left goes clockwise to the top right
    assert drawn.to_instance(one, SIZE).xyxy_px == (40, 20, 60, 80)


def test_an_ellipse_has_its_area():
    one = Drawn("ellipse", "a", np.array([[100.0, 100.0], [160.0, 70.0]]), rotation=45)
    assert drawn.to_instance(one, SIZE).area_px == pytest.approx(np.pi * 60 * 30, rel=0.01)


def test_points_of_a_skeleton_come_in_the_order_of_the_label_and_the_missing_are_hidden():
    there = {"br": (VISIBLE, {}), "tl": (HIDDEN, {"outside": True}), "tr": (OCCLUDED, {"occluded": True})}
    elements = tuple(
        Drawn("points", n, np.array([[k, 5.0]]), **flags) for k, (n, (_, flags)) in enumerate(there.items())
    )
    skeleton = Drawn("skeleton", "grid", elements=elements)
    sublabels = drawn.sublabels_of(LABELS)
    assert sublabels == {"grid": list(CORNERS)}
    assert drawn.missing_points(skeleton, sublabels) == ["bl"]
    (points,) = drawn.to_shapes([skeleton], SIZE, sublabels)
    assert points.names == CORNERS
    assert points.visibility.tolist() == [HIDDEN, OCCLUDED, VISIBLE, HIDDEN]
    assert points.xy_px[2].tolist() == [0.0, 5.0]
    (bare,) = drawn.to_shapes([skeleton], SIZE)
    assert bare.names == ("br", "tl", "tr")


@given(PHOTOS)
def test_whatever_is_drawn_becomes_shapes_within_the_photo(photos):
    for photo in photos:
        for shape in drawn.to_annotations(photo, drawn.sublabels_of(LABELS)).shapes:
            if isinstance(shape, Instance):
                x0, y0, x1, y1 = shape.xyxy_px
                assert 0 <= x0 < x1 <= SIZE[0]
                assert 0 <= y0 < y1 <= SIZE[1]
                assert shape.mask.any()


@pytest.mark.parametrize("as_masks", [False, True])
def test_answers_come_back_as_they_were(as_masks):
    mask = np.zeros((200, 300), bool)
    mask[5:30, 7:40] = True
    mask[100, 200] = True
    if as_masks:
        mask[10:15, 12:20] = False
    colony = masks.instance_from_mask("Porites", mask, score=0.75, attributes={"form": "massive"})
    corners = Keypoints("grid", CORNERS, SQUARE, [VISIBLE, OCCLUDED, VISIBLE, HIDDEN])
    before = Annotations("a.jpg", SIZE, (colony, corners))
    made = drawn.from_annotations(before, as_masks=as_masks)
    assert {one.source for one in made.drawn} == {"auto"}
    back = drawn.to_annotations(made, {"grid": CORNERS})
    (instance,), (points,) = back.instances, back.keypoints
    assert (masks.to_full_mask(instance, SIZE) == mask).all()
    assert (instance.score, dict(instance.attributes)) == (0.75, {"form": "massive"})
    assert points.visibility.tolist() == corners.visibility.tolist()
    assert (points.xy_px == SQUARE).all()
