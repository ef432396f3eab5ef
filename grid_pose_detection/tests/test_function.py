"""The functions of corners and grid: request JSON -> answer JSON through the real handlers.

The network is a stand-in that sees coloured dots; matching, refinement, verdict and encoding are the real ones.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
from pathlib import Path

import cv2
import nuclio_sdk
import numpy as np
import pytest
from PIL import Image

from deploy.serving import labels, schema, settings
from quadrat import images, template
from quadrat.predictor import Card, write_card
from yolo import networks

ROOT = Path(__file__).parents[2]
FUNCTIONS = ROOT / "grid_pose_detection" / "deploy"
RECORDED = ROOT.parent / "shared" / "cvat" / "recordings" / "guide_c" / "guide_c_function_calls.json"
NAMES = {"corners": "pth-yolo-gridcorners", "grid": "pth-yolo-gridpose"}
LAYOUTS = {"corners": ("corners",), "grid": ("grid11x11", "grid9x13")}
SIZE_WH = (640, 480)
QUADRAT = np.array([[120, 40], [520, 55], [545, 440], [100, 430]], np.float64)
VARIABLES = (
    *("MODEL_PATH", "CONF_THRESHOLD", "TEMPLATE", "MAX_COST", "USE_TEMPLATE_MATCHING"),
    *("DEVICE", "PRECISION", "FUNCTION_YAML"),
)


class Dots:
    """A network that finds red dots, crossings and corners, and green ones, ends of strings."""

    def __init__(self, classes):
        self.facts = networks.Facts("detect", classes, 640, 32, rect=True, end2end=False)

    def __call__(self, batch):
        red, green, blue = batch[0]
        columns = []
        for kind, dots in ((0, (red > 0.6) & (green < 0.3)), (1, (green > 0.6) & (red < 0.3))):
            _, _, _, centres = cv2.connectedComponentsWithStats((dots & (blue < 0.3)).astype(np.uint8))
            scores = [0.9 if k == kind else 0.0 for k in range(len(self.facts.labels))]
            columns += [[x + 0.5, y + 0.5, 8, 8, *scores] for x, y in centres[1:]]
        return np.array(columns or [[0.0] * (4 + len(self.facts.labels))], np.float32).T[None], None


def places(layout, quadrat=QUADRAT):
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    homography = cv2.getPerspectiveTransform(corners, quadrat.astype(np.float32))
    return cv2.perspectiveTransform(layout.uv[None].astype(np.float64), homography)[0]


def photo_of(layout, quadrat=QUADRAT, missing=()):
    """A gray photo with a dot at every point."""
    photo = np.full((SIZE_WH[1], SIZE_WH[0], 3), 96, np.uint8)
    ends = ((layout.uv <= 0) | (layout.uv >= 1)).any(1) & (layout.lattice_shape != (2, 2))
    for k, (x, y) in enumerate(places(layout, quadrat) - 0.5):
        if k not in missing:
            cv2.circle(photo, (round(x), round(y)), 4, (0, 255, 0) if ends[k] else (255, 0, 0), -1)
    return photo


def body(photo, **more):
    data = photo if isinstance(photo, bytes) else images.encode_png(photo)
    return {"image": base64.b64encode(data).decode(), **more}


class Worker:
    """What Nuclio's wrapper does with a function, in this process."""

    def __init__(self, task):
        self.folder = FUNCTIONS / NAMES[task] / "nuclio"
        self.offered = labels.read_labels(self.folder / "function.yaml")
        self.context = nuclio_sdk.Context(nuclio_sdk.Logger("ERROR"))
        spec = importlib.util.spec_from_file_location(f"main_{task}", self.folder / "main.py")
        self.main = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.main)
        self.main.init_context(self.context)

    def ask(self, request):
        response = self.main.handler(self.context, nuclio_sdk.Event(body=json.dumps(request), method="POST"))
        if response.status_code == 200:
            size_wh = images.decode(base64.b64decode(request["image"])).shape[1::-1]
            schema.check_answer(json.loads(response.body), schema.Rules(size_wh, self.offered))
        return response


@pytest.fixture
def start(monkeypatch, tmp_path):
    """A function that starts the function of a task on the stand-in, with variables of the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def start(task, layouts=None, **variables):
        weights = tmp_path / "dots.pt"
        weights.write_bytes(b"a stand-in")
        known = layouts or LAYOUTS[task]
        label = template.load(known[0] if known[0] in template.BUILTIN else tmp_path / known[0]).label
        write_card(weights, Card("dots", "keypoints", (label,), "drawn dots", "A note.", layouts=tuple(known)))
        classes = ("corner",) if task == "corners" else ("crossing", "end")
        monkeypatch.setattr(networks, "load", lambda *args, **more: Dots(classes))
        for name, value in {"MODEL_PATH": str(weights), **variables}.items():
            monkeypatch.setenv(name, value)
        return Worker(task)

    return start


def points_in(shape):
    return np.array([element["points"] for element in shape["elements"]])


@pytest.mark.parametrize(("task", "name"), [("corners", "corners"), ("grid", "grid11x11"), ("grid", "grid9x13")])
def test_a_photo_is_answered_with_one_skeleton_in_order(start, task, name):
    layout = template.load(name)
    response = start(task).ask(body(photo_of(layout)))
    (shape,) = json.loads(response.body)
    assert (shape["label"], shape["type"]) == (layout.label, "skeleton")
    assert [element["label"] for element in shape["elements"]] == list(layout.names)
    assert not any(element["outside"] for element in shape["elements"])
    assert np.abs(points_in(shape) - places(layout)).max() < 3
    headers = response.headers
    assert headers["X-Quadrat-Verdict"] in ("ok", "review")
    assert headers["X-Quadrat-Layout"] == name
    (confidence,) = shape["attributes"]
    assert confidence["name"] == "confidence"
    assert abs(int(confidence["value"]) - 100 * float(headers["X-Quadrat-Score"])) < 1


@pytest.mark.skipif(not RECORDED.is_file(), reason="the recordings of a CVAT server are not here")
def test_a_skeleton_has_the_form_that_cvat_stored(start):
    calls = [call for call in json.loads(RECORDED.read_text()) if call["method"] == "POST" and call["status"] == 200]
    taken = calls[0]["response"][0]
    (shape,) = json.loads(start("corners").ask(body(photo_of(template.load("corners")))).body)
    assert set(shape) == set(taken) - {"confidence"}
    assert set(shape["elements"][0]) == set(taken["elements"][0]) - {"confidence", "attributes"}
    assert [e["label"] for e in shape["elements"]] == [e["label"] for e in taken["elements"]]
    assert shape["attributes"][0].keys() == taken["attributes"][0].keys()


@pytest.mark.parametrize(("task", "word"), [("corners", "no quadrat frame found"), ("grid", "no grid found")])
def test_a_photo_without_frame_or_grid_is_an_empty_answer_with_reasons(start, task, word):
    worker = start(task)
    for photo in (
        np.full((480, 640, 3), 96, np.uint8),
        np.random.default_rng(0).integers(0, 255, (300, 200, 3), np.uint8),
    ):
        response = worker.ask(body(photo))
        assert (response.status_code, response.body) == (200, "[]")
        assert response.headers["X-Quadrat-Verdict"] == "failed"
        assert response.headers["X-Quadrat-Reasons"]
    assert worker.ask(body(np.full((480, 640, 3), 96, np.uint8))).headers["X-Quadrat-Reasons"] == word


def test_a_row_of_dots_is_no_grid_and_never_four_corners(start):
    photo = np.full((480, 640, 3), 96, np.uint8)
    for x in (100, 300):
        cv2.circle(photo, (x, 200), 4, (255, 0, 0), -1)
    for task in ("corners", "grid"):
        response = start(task).ask(body(photo))
        assert (response.body, response.headers["X-Quadrat-Verdict"]) == ("[]", "failed")


def test_missing_crossings_are_filled_in(start):
    layout = template.load("grid11x11")
    missing = tuple(range(30, 60))
    (shape,) = json.loads(start("grid").ask(body(photo_of(layout, missing=missing))).body)
    assert np.abs(points_in(shape) - places(layout))[list(missing)].max() < 4


def test_points_beyond_the_photo_are_outside(start):
    layout, quadrat = template.load("grid11x11"), QUADRAT - [128, 0]  # the left column leaves the photo, in part
    (shape,) = json.loads(start("grid").ask(body(photo_of(layout, quadrat))).body)
    outside = [element["label"] for element in shape["elements"] if element["outside"]]
    true = places(layout, quadrat)
    assert outside == [name for name, (x, _) in zip(layout.names, true, strict=True) if x < 0]
    assert outside


def test_a_high_threshold_keeps_the_answer_back(start):
    response = start("corners").ask(body(photo_of(template.load("corners")), threshold=1.0))
    assert response.body == "[]"
    assert "below the threshold 1.00" in response.headers["X-Quadrat-Reasons"]


# ------------------------------------------------------------------------------------------------ odd photos


def test_an_exif_turned_photo_is_answered_as_it_is_seen(start):
    layout = template.load("corners")
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    Image.fromarray(np.rot90(photo_of(layout))).save(buffer, "JPEG", quality=98, subsampling=0, exif=exif)
    (shape,) = json.loads(start("corners").ask(body(buffer.getvalue())).body)
    assert np.abs(points_in(shape) - places(layout)).max() < 3


@pytest.mark.parametrize("photo", [np.full((480, 640), 96, np.uint8), np.full((5000, 9000), 96, np.uint8)], ids=str)
def test_gray_and_large_photos_are_answered(start, photo):
    data = images.encode_png(photo) if photo.size < 1e6 else cv2.imencode(".jpg", photo)[1].tobytes()
    response = start("grid").ask(body(data))
    assert (response.status_code, response.headers["X-Quadrat-Verdict"]) == (200, "failed")


def test_a_photo_of_one_pixel_has_no_quadrat(start):
    response = start("grid").ask(body(np.zeros((1, 1, 3), np.uint8)))
    assert (response.status_code, json.loads(response.body)) == (200, [])
    assert response.headers["X-Quadrat-Verdict"] == "failed"


# ------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("task", "other", "has", "wants"), [("grid", "small.yaml", 20, 117), ("corners", "grid9x13", 117, 4)]
)
def test_a_template_of_another_count_is_refused_at_start_with_both_numbers(start, tmp_path, task, other, has, wants):
    (tmp_path / "small.yaml").write_text("lattice: {columns: 5, rows: 4}\n")
    name = other if other in template.BUILTIN else str(tmp_path / other)
    with pytest.raises(ValueError, match=rf"has {has} points, the weights 'dots' have {wants}.*TEMPLATE"):
        start(task, TEMPLATE=name)


def test_weights_for_another_layout_than_the_labels_are_refused_at_start_with_both_numbers(start, tmp_path):
    (tmp_path / "small.yaml").write_text("lattice: {columns: 5, rows: 4}\n")
    with pytest.raises(labels.LabelsError, match=r"skeleton of 117 points, layout 'small' has 20\."):
        start("grid", layouts=("small.yaml",))


def test_a_named_template_is_the_only_one_that_is_tried(start):
    response = start("grid", TEMPLATE="grid9x13").ask(body(photo_of(template.load("grid11x11"))))
    assert response.headers.get("X-Quadrat-Layout", "grid9x13") == "grid9x13"


def test_matching_cannot_be_switched_off_for_points_without_an_order(start):
    with pytest.raises(ValueError, match="matching cannot be switched off"):
        start("grid", USE_TEMPLATE_MATCHING="false")


def test_a_cost_out_of_range_is_refused_at_start(start):
    with pytest.raises(settings.SettingsError, match="MAX_COST is '2'"):
        start("grid", MAX_COST="2")


@pytest.mark.parametrize("task", ["corners", "grid"])
@pytest.mark.parametrize("formulation", ["points", "pose"])
def test_networks_of_either_formulation_answer_whatever_they_see(monkeypatch, make_weights, task, formulation):
    """Random weights: nothing sensible, but never anything that CVAT would not store."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODEL_PATH", str(make_weights(formulation, LAYOUTS[task])))
    monkeypatch.setenv("CONF_THRESHOLD", "0.01")
    if formulation == "pose":
        monkeypatch.setenv("USE_TEMPLATE_MATCHING", "false")
    response = Worker(task).ask(body(photo_of(template.load(LAYOUTS[task][0]))))
    assert response.status_code == 200
    assert response.headers["X-Quadrat-Verdict"] in ("ok", "review", "failed")
    assert response.headers["X-Quadrat-Note"] == "A note."
