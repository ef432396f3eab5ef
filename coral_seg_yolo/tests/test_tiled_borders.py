"""Known colonies across the borders of windows: none lost, none doubled, through the real tiled path of the function.

A drawn photo holds colonies, each in a colour of its own. In place of the network a reader of colours finds them in
each window, cut where the window cuts them; all else is what serves: windows, joining, the predictor, `main.py`.
"""

from __future__ import annotations

import base64
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import nuclio_sdk
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coral_seg_yolo import model
from deploy.serving import Settings, labels
from deploy.serving.detection import Detector
from quadrat import images, masks, tiling
from quadrat.predictor import Card
from quadrat.shapes import Instance

WIDTH, HEIGHT, TILE = 520, 430, 200
OVERLAP = int(TILE * model.TILE_OVERLAP)
BORDERS_X = sorted({edge for x0, _, x1, _ in tiling.windows((WIDTH, HEIGHT), TILE, OVERLAP) for edge in (x0, x1)})
BORDERS_Y = sorted({edge for _, y0, _, y1 in tiling.windows((WIDTH, HEIGHT), TILE, OVERLAP) for edge in (y0, y1)})
CARD = Card("reader", "instances", ("Porites",))
MAIN = Path(model.__file__).parent / "deploy" / "pth-yolo-coralseg" / "nuclio" / "main.py"


@st.composite
def reefs(draw) -> np.ndarray:
    """A map of colony numbers (0: none): colonies of 5 to 400 px on the borders of windows and their corners."""
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number in range(1, draw(st.integers(1, 14)) + 1):
        centre = (
            draw(st.sampled_from(BORDERS_X)) + draw(st.integers(-25, 25)),
            draw(st.sampled_from(BORDERS_Y)) + draw(st.integers(-25, 25)),
        )
        size = draw(st.sampled_from([3, 8, 20, 45, 90, 200]))
        radii = (max(2, size + draw(st.integers(-size // 3, 0))), size)
        turned = draw(st.integers(0, 179))
        if draw(st.booleans()):
            cv2.ellipse(truth, centre, radii, turned, 0, 360, number, -1)
        else:  # a crescent, which a window may see as two
            cv2.ellipse(truth, centre, radii, turned, 0, 290, number, max(2, size // 4))
    return truth


def whole(truth: np.ndarray) -> list[Instance]:
    """The colonies of a map: what a later one has cut in two are two."""
    found = []
    for number in np.unique(truth[truth > 0]):
        _, parts = cv2.connectedComponents((truth == number).astype(np.uint8), connectivity=8)
        for part in range(1, parts.max() + 1):
            found.append(masks.instance_from_mask("Porites", parts == part, score=0.9))
    return found


def photo_of(truth: np.ndarray) -> np.ndarray:
    return np.stack([truth, 255 - truth, truth // 2], axis=2)


def read(window_rgb: np.ndarray, *_: object) -> list[Instance]:
    """The colonies in a window, of each what lies inside."""
    return whole(window_rgb[..., 0])


def predictor_that(reads, tile_px: int = TILE) -> model.YoloPredictor:
    """The real predictor; only what it finds in one window is read off its colours."""
    predictor = model.YoloPredictor(SimpleNamespace(), CARD, 0.25, 0.5, tile_px)
    assert callable(predictor._predict_view)
    predictor._predict_view = reads
    return predictor


def same(found, expected) -> bool:
    def keys(instances):
        return sorted((i.xyxy_px, i.mask.tobytes()) for i in instances)

    return keys(found) == keys(expected)


@settings(max_examples=50)
@given(reefs())
def test_colonies_across_borders_come_back_whole_none_lost_or_doubled(truth):
    found = predictor_that(read).predict(photo_of(truth))
    assert same(found, whole(truth))
    assert all(instance.score == pytest.approx(0.9) for instance in found)


@settings(max_examples=15)
@given(reefs())
def test_the_function_answers_each_colony_once(truth):
    expected = whole(truth)
    shapes = answer(predictor_that(read), truth)
    assert len(shapes) == len(expected)
    drawn = [masks.instance_from_rings("Porites", [np.reshape(shape["points"], (-1, 2))]) for shape in shapes]
    outers = [masks.instance_from_rings("Porites", [masks.instance_to_parts(colony)[0][0]]) for colony in expected]
    best = [max(range(len(drawn)), key=lambda i, o=outer: masks.iou(o, drawn[i])) for outer in outers]
    assert sorted(best) == list(range(len(drawn)))
    assert all(masks.iou(outer, drawn[i]) >= 0.99 for outer, i in zip(outers, best, strict=True))


@settings(max_examples=25)
@given(st.integers(0, 2**20), st.integers(1, 60))
def test_slivers_that_a_window_overlooks_are_found_by_its_neighbour(seed, least_px):
    """A network does not see the few pixels of a colony that reach into a window."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, (row, column) in enumerate(np.ndindex(4, 5), 1):  # apart from each other, anywhere on the borders
        centre = (60 + 100 * column + int(rng.integers(-15, 16)), 60 + 100 * row + int(rng.integers(-15, 16)))
        cv2.circle(truth, centre, int(rng.integers(6, 34)), number, -1)

    def overlooks(window_rgb, *_):
        return [i for i in read(window_rgb) if i.area_px >= least_px]

    found = predictor_that(overlooks).predict(photo_of(truth))
    expected = whole(truth)
    assert len(found) == len(expected) == 20
    for colony in expected:
        assert max(masks.iou(colony, other) for other in found) == 1


def answer(predictor: model.YoloPredictor, truth: np.ndarray) -> list[dict]:
    """What the real `main.py` answers on the photo of `truth`."""
    spec = importlib.util.spec_from_file_location("borders_main", MAIN)
    main = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)
    silent = SimpleNamespace(info_with=lambda *a, **k: None, error_with=lambda *a, **k: None)
    function = Detector(predictor, Settings(), labels.parse_spec(labels.spec_for(CARD)))
    context = SimpleNamespace(logger=silent, Response=nuclio_sdk.Response, user_data=SimpleNamespace(function=function))
    body = json.dumps({"image": base64.b64encode(images.encode_png(photo_of(truth))).decode()})
    event = nuclio_sdk.Event(body=body.encode(), content_type="application/json", method="POST", path="/")
    response = main.handler(context, event)
    assert response.status_code == 200
    return json.loads(response.body)


def test_a_colony_over_all_windows_is_one():
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(truth, (WIDTH // 2, HEIGHT // 2), (WIDTH // 2 - 4, HEIGHT // 2 - 4), 0, 0, 360, 9, -1)
    assert len(tiling.windows((WIDTH, HEIGHT), TILE, OVERLAP)) >= 9
    (found,) = predictor_that(read).predict(photo_of(truth))
    assert same([found], whole(truth))


@pytest.mark.parametrize("side", [23, 40, 65, 110, 170])
def test_touching_neighbours_of_one_genus_stay_apart(side):
    """The whole photo is paved with colonies that touch; none melts into another, at whatever border."""
    rows, columns = np.arange(HEIGHT) // side, np.arange(WIDTH) // side
    truth = (1 + (rows[:, None] * (columns[-1] + 1) + columns) % 251).astype(np.uint8)
    expected = whole(truth)
    assert len(expected) >= (rows[-1] + 1) * (columns[-1] + 1) > 8
    assert same(predictor_that(read).predict(photo_of(truth)), expected)


def test_without_joining_colonies_would_be_doubled():
    """What is tested here is the joining: windows alone give more pieces than there are colonies."""
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(truth, (BORDERS_X[1], BORDERS_Y[1]), 60, 5, -1)
    photo = photo_of(truth)
    pieces = [i for x0, y0, x1, y1 in tiling.windows((WIDTH, HEIGHT), TILE, OVERLAP) for i in read(photo[y0:y1, x0:x1])]
    assert len(pieces) > 1
    assert len(predictor_that(read).predict(photo)) == 1
