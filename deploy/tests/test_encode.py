"""Whatever comes in, what goes out is what CVAT stores unchanged."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deploy.serving import encode, labels, schema
from quadrat import masks
from quadrat.shapes import HIDDEN, Instance, Keypoints

CONFIDENCE = {"name": "confidence", "input_type": "number", "values": ["0", "100", "1"]}
FORM = {"name": "growth_form", "input_type": "select", "values": ["massive"]}
OFFERED = labels.parse_spec(
    json.dumps(
        [
            {"name": "Porites", "type": "polygon", "attributes": [CONFIDENCE, FORM]},
            {"name": "Holey", "type": "mask"},
            {"name": "grid", "type": "skeleton", "sublabels": [{"name": str(i)} for i in range(1, 5)]},
        ]
    )
)
SIZE_WH = (24, 20)
RULES = schema.Rules(SIZE_WH, OFFERED, masks_to_polygons=True)


@st.composite
def instances(draw):
    """Specks, lines, holes, many parts; anywhere in, across or out of the photo."""
    shape = (draw(st.integers(1, 12)), draw(st.integers(1, 12)))
    mask = draw(arrays(np.bool_, shape))
    x0, y0 = draw(st.integers(-14, 26)), draw(st.integers(-14, 22))
    label = draw(st.sampled_from(["Porites", "Holey"]))
    extra = draw(st.sampled_from([{}, {"growth_form": "massive"}, {"growth_form": "odd", "confidence": "x"}]))
    return Instance(label, (x0, y0, x0 + shape[1], y0 + shape[0]), mask, draw(st.floats(0, 1)), extra)


@st.composite
def keypoints(draw):
    names = draw(st.lists(st.sampled_from("1234"), min_size=1, max_size=4, unique=True))
    xy = draw(arrays(np.float64, (len(names), 2), elements=st.floats(-40, 40)))
    return Keypoints("grid", tuple(names), xy, draw(arrays(np.uint8, len(names), elements=st.integers(0, 2))))


@settings(max_examples=120, deadline=None)
@given(st.lists(instances() | keypoints(), max_size=5), st.booleans(), st.none() | st.floats(0, 1))
def test_every_answer_passes_the_schema_and_obeys_the_threshold(shapes, polygons, threshold):
    answer = encode.encode(shapes, SIZE_WH, OFFERED, polygons=polygons, threshold=threshold)
    assert answer.refused == []
    assert json.loads(answer.to_json()) == answer.shapes
    schema.check_answer(answer.shapes, RULES)
    kept = {s.label for s in shapes if threshold is None or s.score >= threshold}
    assert {shape["label"] for shape in answer.shapes} <= kept


@settings(max_examples=60, deadline=None)
@given(instances().filter(lambda i: i.label == "Porites"))
def test_polygons_fill_the_colony_without_its_holes(instance):
    answer = encode.encode([instance], SIZE_WH, OFFERED)
    inside = masks.clip(instance, SIZE_WH)
    if inside is None:
        assert answer.shapes == []
        return
    parts = masks.instance_to_parts(inside)
    assert len(answer.shapes) == len(parts)
    groups = {shape.get("group_id") for shape in answer.shapes}
    assert groups == ({None} if len(parts) == 1 else {1})
    frame = (0, 0, *SIZE_WH)
    for shape, part in zip(answer.shapes, parts, strict=True):
        drawn, wanted = masks.rings_to_mask([_ring(shape)], frame), masks.rings_to_mask([part[0]], frame)
        assert (drawn & wanted).sum() >= 0.99 * (drawn | wanted).sum()


@settings(max_examples=60, deadline=None)
@given(instances())
def test_a_mask_answer_holds_every_pixel(instance):
    inside = masks.clip(instance, SIZE_WH)
    found = encode.encode([instance], SIZE_WH, OFFERED, polygons=False).shapes
    assert len(found) == (inside is not None)
    if inside is not None:
        back = masks.mask_from_cvat(found[0]["mask"], instance.label)
        assert masks.iou(back, inside) == 1


def _ring(shape):
    return np.array(shape["points"]).reshape(-1, 2)


def test_a_label_that_looks_like_json_does_not_break_the_answer():
    name = '"mask":null'
    offered = labels.parse_spec(json.dumps([{"name": name, "type": "mask"}]))
    answer = encode.encode([square(name)], SIZE_WH, offered)
    assert json.loads(answer.to_json()) == answer.shapes
    assert answer.shapes[0]["label"] == name


def square(label="Porites", score=0.876, **attributes):
    return Instance(label, (2, 3, 8, 9), np.ones((6, 6), np.bool_), score, attributes)


def test_the_score_is_a_string_of_digits_and_only_defined_attributes_go_out():
    shape = encode.encode([square(growth_form="massive", diver="Ann")], SIZE_WH, OFFERED).shapes[0]
    assert shape["attributes"] == [
        {"name": "confidence", "value": "88"},
        {"name": "growth_form", "value": "massive"},
    ]
    assert {"score", "confidence", "group_id"}.isdisjoint(shape)


@pytest.mark.parametrize(("score", "text"), [(0.0, "0"), (1.0, "100"), (0.004, "0"), (0.996, "100")])
def test_scores_at_the_ends(score, text):
    shape = encode.encode([square(score=score)], SIZE_WH, OFFERED).shapes[0]
    assert shape["attributes"][0]["value"] == text


def test_groups_differ_between_colonies():
    two_parts = np.zeros((3, 9), np.bool_)
    two_parts[:, :3] = two_parts[:, 6:] = True
    colony = [Instance("Porites", (0, y, 9, y + 3), two_parts) for y in (0, 10)]
    assert [s.get("group_id") for s in encode.encode(colony, SIZE_WH, OFFERED).shapes] == [1, 1, 2, 2]


def test_a_hole_survives_where_the_label_is_a_mask():
    ring = np.ones((6, 6), np.bool_)
    ring[2:4, 2:4] = False
    shape = encode.encode([Instance("Holey", (2, 3, 8, 9), ring)], SIZE_WH, OFFERED).shapes[0]
    assert shape["type"] == "mask"
    assert sum(shape["mask"][:-4]) == 32
    assert masks.rings_to_mask([_ring(shape)], (0, 0, *SIZE_WH)).sum() == 32


def test_hidden_points_go_out_as_outside_in_the_order_of_the_label():
    points = Keypoints("grid", ("4", "2", "1", "3"), np.array([[4, 4], [2, 2], [30, 1], [3, 3]]), [2, 1, 2, HIDDEN])
    shape = encode.encode([points], SIZE_WH, OFFERED).shapes[0]
    assert [(e["label"], e["outside"]) for e in shape["elements"]] == [
        ("1", True),
        ("2", False),
        ("3", True),
        ("4", False),
    ]
    assert shape["elements"][0]["points"] == [3, 3]  # the mean of those seen


def test_what_the_labels_do_not_offer_is_left_out_and_said():
    answer = encode.encode([square("Alien"), square(), square("grid")], SIZE_WH, OFFERED)
    assert [shape["label"] for shape in answer.shapes] == ["Porites"]
    assert len(answer.refused) == 2
    assert "Alien" in answer.refused[0]
