"""The schema against what a real CVAT did with good and bad answers, and against cases of our own."""

import json
from pathlib import Path

import pytest

from deploy.serving import labels, schema

RECORDINGS = Path(__file__).parents[2].parent / "shared" / "cvat" / "recordings"
ALIVE = {"name": "health", "input_type": "select", "values": ["alive", "bleached", "dead"]}
CONFIDENCE = {"name": "confidence", "input_type": "number", "values": ["0", "100", "1"]}
POINTS = [{"name": name, "type": "points"} for name in ("tl", "tr", "br", "bl")]
OFFERED = labels.parse_spec(
    json.dumps(
        [
            {"name": "coral", "type": "polygon", "attributes": [ALIVE, CONFIDENCE]},
            {"name": "coralmask", "type": "mask"},
            {"name": "box", "type": "rectangle"},
            {"name": "ell", "type": "ellipse"},
            {"name": "img", "type": "tag"},
            {"name": "grid", "type": "skeleton", "sublabels": POINTS},
            {"name": "whatever", "type": "any"},
        ]
    )
)
SIZE_WH = (120, 100)
# What CVAT stored just as it was sent; all else it refused, dropped, changed or stored broken.
GOOD = {
    ("empty list", False),
    ("group_id", False),
    ("mask ok", False),
    ("ellipse", False),
    ("tag", False),
    ("missing attr (non-mutable default)", False),
    ("ok", False),
}


def passes(answer, masks_to_polygons=False):
    try:
        schema.check_answer(answer, schema.Rules(SIZE_WH, OFFERED, masks_to_polygons))
    except schema.SchemaError:
        return False
    return True


def recorded():
    for name in ("detector_response_matrix.json", "batch_bad_response_matrix.json"):
        path = RECORDINGS / name
        yield from json.loads(path.read_text()) if path.is_file() else ()


CASES = list(recorded())


@pytest.mark.skipif(not CASES, reason="the recordings of a CVAT server are not here")
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['case']}-{c.get('conv_mask_to_poly', False)}")
def test_what_cvat_did_not_store_as_sent_is_refused(case):
    ticked = case.get("conv_mask_to_poly", False)
    answer = case["function_response"]
    if answer == "NaN":
        answer = [{"label": "coral", "type": "polygon", "points": [1, 1, 9, float("nan"), 9, 9]}]
    good = (case["case"], ticked) in GOOD
    assert not (good and case["status"] not in (200, "finished"))
    assert passes(answer, ticked) == good


SQUARE = [1, 1, 9, 1, 9, 9, 1, 9]
MASK = [1, 0, 0, 1, 10, 10, 11, 11]
ELEMENTS = [{"label": p["name"], "type": "points", "points": [i + 1.0, 2]} for i, p in enumerate(POINTS)]


def polygon(**changes):
    return {"label": "coral", "type": "polygon", "points": SQUARE, **changes}


def mask(values=MASK, **changes):
    return {"label": "coralmask", "type": "mask", "mask": values, **changes}


def skeleton(elements):
    return {"label": "grid", "type": "skeleton", "elements": elements}


@pytest.mark.parametrize(
    "shape",
    [
        polygon(),
        polygon(points=[0, 0, 120, 0, 120, 100.0]),
        polygon(group_id=7, attributes=[{"name": "confidence", "value": "0"}, {"name": "health", "value": "dead"}]),
        mask(),
        mask([1, 119, 99, 119, 99]),
        mask(points=SQUARE),
        skeleton(ELEMENTS),
        skeleton([{**e, "outside": i > 0} for i, e in enumerate(ELEMENTS)]),
        {"label": "box", "type": "rectangle", "points": [1, 1, 9, 9], "rotation": 15.0},
        {"label": "whatever", "type": "points", "points": [1, 1]},
        {"label": "whatever", "type": "polyline", "points": [1, 1, 2, 2]},
    ],
)
def test_good_shapes_pass(shape):
    assert passes([shape])


@pytest.mark.parametrize(
    "shape",
    [
        None,
        [],
        {},
        {"type": "polygon", "points": SQUARE},
        {"label": "coral", "points": SQUARE},
        polygon(label="unknown"),
        polygon(type="POLYGON"),
        polygon(type="rectangle", points=[1, 1, 9, 9]),
        polygon(points=[1, 1, 9, 9]),
        polygon(points=[*SQUARE, 3]),
        polygon(points=[[1, 1], [9, 1], [9, 9]]),
        polygon(points=["1", "1", "9", "1", "9", "9"]),
        polygon(points=[True, 1, 9, 1, 9, 9]),
        polygon(points=[1, 1, 9, 1, 9, float("nan")]),
        polygon(points=[1, 1, 9, 1, 9, float("inf")]),
        polygon(points=[-0.01, 1, 9, 1, 9, 9]),
        polygon(points=[1, 1, 120.5, 1, 9, 9]),
        polygon(points=[1, 1, 5, 5, 9, 9]),
        polygon(points=None),
        polygon(group_id="x"),
        polygon(group_id=0),
        polygon(group_id=1.5),
        polygon(elements=[]),
        polygon(score=0.4),
        polygon(confidence="0.4"),
        polygon(occluded=True),
        polygon(attributes={"health": "dead"}),
        polygon(attributes=[{"name": "zzz", "value": "1"}]),
        polygon(attributes=[{"name": "health", "value": "green"}]),
        polygon(attributes=[{"name": "confidence", "value": 50}]),
        polygon(attributes=[{"name": "confidence", "value": "0.5"}]),
        polygon(attributes=[{"name": "confidence", "value": "101"}]),
        polygon(attributes=[{"name": "confidence", "value": "1"}] * 2),
        mask([]),
        mask([1, 0, 0, 10, 10, 11, 11]),
        mask([0, 0, 0, 0, 10, 10, 11, 11]),
        mask([255, 0, 0, 255, 10, 10, 11, 11]),
        mask([1.0, 0.0, 0.0, 1.0, 10, 10, 11, 11]),
        mask([1, 0, 0, 1, 119, 10, 120, 11]),
        mask([1, 0, 0, 1, 11, 11, 10, 10]),
        mask([[1, 0], [0, 1]]),
        mask(points=[1, 1, 9, 9]),
        mask(label="coral"),
        skeleton([]),
        skeleton(ELEMENTS[:3]),
        skeleton([*ELEMENTS[:3], ELEMENTS[0]]),
        skeleton([*ELEMENTS, {"label": "zz", "type": "points", "points": [1, 1]}]),
        skeleton([{**e, "outside": True} for e in ELEMENTS]),
        skeleton([{**e, "points": [1, 1, 2, 2]} for e in ELEMENTS]),
        skeleton([{**e, "points": [121, 1]} for e in ELEMENTS]),
        skeleton([{k: v for k, v in e.items() if k != "type"} for e in ELEMENTS]),
        {"label": "box", "type": "rectangle", "points": [9, 9, 1, 1]},
        {"label": "box", "type": "rectangle", "points": [1, 1, 9, 9, 3, 3]},
        {"label": "box", "type": "rectangle", "points": [1, 1, 9, 9], "rotation": 400},
        {"label": "img", "type": "tag", "points": [1, 2]},
    ],
)
def test_bad_shapes_are_refused_alone_and_among_good_ones(shape):
    assert not passes([shape])
    assert not passes([polygon(), shape])


@pytest.mark.parametrize("answer", [{"shapes": []}, None, "[]", 3])
def test_an_answer_is_a_list(answer):
    assert not passes(answer)


def test_with_masks_to_polygons_a_mask_brings_its_polygon_and_may_stand_for_one():
    assert not passes([mask()], masks_to_polygons=True)
    assert passes([mask(points=SQUARE)], masks_to_polygons=True)
    assert passes([mask(points=SQUARE, label="coral")], masks_to_polygons=True)


def test_the_fault_names_shape_and_field():
    with pytest.raises(schema.SchemaError, match=r"shape 1: .*x must lie in the photo, 0\.\.120, got 1\.0\.\.300"):
        schema.check_answer([polygon(), polygon(points=[1, 1, 300, 1, 9, 9])], schema.Rules(SIZE_WH, OFFERED))
