"""What a function that paints refuses, and how."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.serving import request as requests
from quadrat import images

from .conftest import b64, broken_requests, header_bomb, photo
from .painter import FAULT_WIDTH, MASK, XY, Worker, answer, error_of, flat, mask_of, picture, png, request, skeleton


def change(index, value):
    rows = [list(row) for row in XY.tolist()]
    rows[index] = value
    return rows


def elements(index, **changes):
    made = skeleton()
    made["elements"][index] |= changes
    return made


HIDDEN_ELEMENTS = [{**element, "outside": True} for element in skeleton()["elements"]]
REFUSED = [
    ("nothing to remove", {"mask": None}, "bad_field", "exactly one of the fields `keypoints`, `skeleton` and `mask`"),
    ("two", {"mask": mask_of(MASK), "keypoints": XY.tolist()}, "bad_field", "got `keypoints` and `mask`"),
    ("nan", {"keypoints": change(3, [1, float("nan")])}, "bad_field", "`keypoints`[3][1] is nan: expected the points"),
    ("infinite", {"keypoints": change(3, [float("inf"), 1])}, "bad_field", "`keypoints`[3][0] is inf"),
    ("far", {"keypoints": change(3, [1e9, 1])}, "bad_field", "`keypoints`[3][0] is 1000000000.0"),
    ("huge", {"keypoints": change(3, [10**400, 1])}, "bad_field", "`keypoints`[3][0] is 1000000"),
    ("text", {"keypoints": change(3, ["1", 1])}, "bad_field", "`keypoints`[3][0] is '1'"),
    ("truth", {"keypoints": change(3, [True, 1])}, "bad_field", "`keypoints`[3][0] is True"),
    ("one number", {"keypoints": change(3, [1])}, "bad_field", "`keypoints`[3] is [1]"),
    ("four numbers", {"keypoints": change(3, [1, 2, 2, 2])}, "bad_field", "`keypoints`[3] is [1, 2, 2, 2]"),
    ("visibility", {"keypoints": change(3, [1, 2, 3])}, "bad_field", "point 4 is [1.0, 2.0, 3.0]"),
    ("half visibility", {"keypoints": change(3, [1, 2, 0.5])}, "bad_field", "point 4 is [1.0, 2.0, 0.5]"),
    ("no points", {"keypoints": []}, "bad_field", "`keypoints` is []"),
    ("an object", {"keypoints": {}}, "bad_field", "`keypoints` is {}"),
    ("mixed", {"keypoints": [*XY.tolist()[:5], 7]}, "bad_field", "`keypoints`[5] is 7"),
    ("flat and half", {"keypoints": flat()[:-1]}, "bad_field", "flat list of 350 numbers"),
    ("too few", {"keypoints": XY[:116].tolist()}, "bad_points", "116 points: expected all of a layout, 117 (grid9x13,"),
    ("corners", {"keypoints": XY[:4].tolist()}, "bad_points", "`keypoints` has 4 points"),
    ("very many", {"keypoints": [[1, 1]] * 10_001}, "bad_field", "`keypoints` is [[1, 1]"),
    ("outside", {"keypoints": (XY + 500).tolist()}, "bad_points", "`keypoints`: 0 points lie in the photo"),
    ("hidden", {"keypoints": flat(0)}, "bad_points", "`keypoints`: 0 points lie in the photo"),
    ("skeleton outside", {"skeleton": {"elements": HIDDEN_ELEMENTS}}, "bad_points", "`skeleton`: 0 points lie"),
    ("skeleton twice", {"skeleton": elements(0, label="1")}, "bad_points", "holds a point twice"),
    ("skeleton names", {"skeleton": elements(0, label="x")}, "bad_points", "has 117 points (1, 10, 100, 101, …)"),
    ("skeleton short", {"skeleton": {"elements": skeleton()["elements"][:50]}}, "bad_points", "has 50 points"),
    (
        "skeleton nan",
        {"skeleton": elements(2, points=[float("nan"), 1])},
        "bad_field",
        "`skeleton`[2][0] is nan: expected",
    ),
    ("skeleton list", {"skeleton": [skeleton()]}, "bad_field", "`skeleton` is ["),
    ("skeleton empty", {"skeleton": {"elements": []}}, "bad_field", "`skeleton` is []"),
    ("skeleton of nothing", {"skeleton": {}}, "bad_field", "`skeleton` is"),
    ("mask of text", {"mask": "§"}, "bad_base64", "field `mask` is not base64"),
    ("mask empty", {"mask": ""}, "bad_field", "`mask` is ''"),
    ("mask number", {"mask": 7}, "bad_field", "`mask` is 7"),
    ("mask of another size", {"mask": mask_of(MASK.T)}, "bad_mask", "the mask is 48 x 64 px: expected 64 x 48 px"),
    ("mask bomb", {"mask": b64(header_bomb())}, "bad_mask", "field `mask`: "),
    ("mask jpeg", {"mask": b64(images.encode_jpeg(photo()))}, "bad_mask", "JPEG file: expected a PNG"),
    ("mask cut", {"mask": b64(images.encode_png(photo())[:90])}, "bad_mask", "cut short"),
    ("format", {"format": "gif"}, "bad_field", "`format` is 'gif': expected png or jpeg"),
    ("force", {"force": 1}, "bad_field", "`force` is 1: expected true or false"),
    ("return_mask", {"return_mask": "yes"}, "bad_field", "`return_mask` is 'yes'"),
]


@pytest.mark.parametrize(("more", "code", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_cannot_be_painted_is_refused_with_its_reason(worker, more, code, words):
    for body in (request(**more), json.dumps(request(**more)).encode()):
        error = error_of(worker.ask(body))
        assert error["code"] == code, error
        assert words in error["message"]
        assert len(error["message"]) < 400
    assert worker.ask(request()).status_code == 200


@pytest.mark.parametrize("case", broken_requests(), ids=lambda case: case[0])
def test_broken_photos_are_refused_as_by_every_function(worker, case):
    name, body, status, words = case
    if isinstance(body, dict):
        if "threshold" in body:
            pytest.skip("another function's field: let pass")
        body = {"mask": mask_of(MASK), **body}
    assert words in error_of(worker.ask(body), status)["message"]


def test_unknown_keys_are_let_pass(worker):
    assert worker.ask(request(threshold="x", future={"a": 1})).status_code == 200


def test_too_large_a_mask_is_413(worker):
    assert error_of(worker.ask(request(mask="A" * (requests.MAX_BODY_BYTES + 8))), 413)["code"] == "too_large"


def test_a_photo_too_long_for_jpeg_names_png(worker):
    long = np.zeros((1, 65_501, 3), np.uint8)
    body = {"image": png(long), "mask": png(np.zeros((1, 65_501), np.uint8)), "format": "jpeg"}
    message = error_of(worker.ask(body))["message"]
    assert "field `format` is 'jpeg'" in message
    assert "write a PNG" in message
    assert worker.ask({**body, "format": "png"}).status_code == 200


def test_a_fault_is_500_with_the_traceback_in_the_log_alone(worker):
    response = worker.ask(request(FAULT_WIDTH, mask=mask_of(np.zeros((48, FAULT_WIDTH), np.bool_))), _id="photo-7")
    assert error_of(response, 500)["code"] == "model_fault"
    assert "secret" not in response.body
    assert "X-Quadrat-Painted-Fraction" not in response.headers
    assert any("secret" in line["with"].get("traceback", "") for line in worker.lines)


def test_a_model_that_cannot_be_loaded_refuses_to_start(painter_environment):
    painter_environment.setenv("LAMA_MODEL", "text.pt")
    with pytest.raises(ValueError, match=r"text\.pt is no TorchScript file"):
        Worker()


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
numbers = st.floats(-100, 200) | st.integers(-10, 100)
keypoints = st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=117, max_size=117)
fields = {
    "keypoints": anything | keypoints | st.just(flat()),
    "skeleton": anything | st.just(skeleton()) | st.fixed_dictionaries({"elements": st.lists(anything, max_size=4)}),
    "mask": anything | st.just(mask_of(MASK)) | st.binary(max_size=60).map(b64),
    "format": anything | st.sampled_from(["png", "jpeg"]),
    "force": anything,
    "return_mask": anything,
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({}, optional=fields))
def test_whatever_is_asked_is_painted_or_refused(worker, more):
    response = worker.ask(json.dumps({"image": png(photo()), **more}).encode())
    found = answer(response, response.status_code)
    if response.status_code == 200:
        assert picture(found["image"]).shape == (48, 64, 3)
        assert 0 <= found["painted_fraction"] <= 1
    else:
        assert response.status_code == 400, found
        assert set(found["error"]) == {"code", "message"}
