"""The stages of a photo, the functions played by a stand-in; the demo itself is run in tests/test_demo.py."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from deploy import cells, cleaning, stages
from quadrat import images, metadata, template
from quadrat.shapes import HIDDEN, OCCLUDED, Keypoints

from .functions_stand_in import Said, judged, serving, skeleton

FRAME, GRID = template.load("corners"), template.load("grid9x13")
SIDE = np.array([400.0, 400.0])
TRUTH = Keypoints("quadrat_corner", FRAME.names, 50 + FRAME.uv * SIDE)
TRUE_GRID = Keypoints("grid", GRID.names, 50 + GRID.uv * SIDE, attributes={"layout": "grid9x13"})


def moved(points, k, by, seen=None):
    xy, visibility = points.xy_px.copy(), np.array(points.visibility)
    xy[k] += by
    if seen is not None:
        visibility[k] = seen
    return Keypoints(points.label, points.names, xy, visibility, attributes=points.attributes)


@pytest.mark.parametrize(
    ("found", "truth", "right"),
    [
        (None, None, True),
        (TRUTH, None, False),
        (None, TRUTH, False),
        (moved(TRUTH, 2, (19, 0)), TRUTH, True),
        (moved(TRUTH, 2, (21, 0)), TRUTH, False),  # 5 % of 400 px
        (moved(TRUTH, 2, 0, HIDDEN), TRUTH, False),
        (moved(TRUTH, 2, (99, 0)), moved(TRUTH, 2, 0, HIDDEN), True),
        (moved(TRUE_GRID, 40, (0, 12)), TRUE_GRID, True),
        (moved(TRUE_GRID, 40, (0, 30)), TRUE_GRID, False),
        (moved(TRUE_GRID, 40, (0, 30)), moved(TRUE_GRID, 40, 0, OCCLUDED), True),
        (Keypoints("grid", GRID.names, np.roll(TRUE_GRID.xy_px, 1, axis=0)), TRUE_GRID, False),
    ],
)
def test_points_are_right_where_each_seen_one_is_near_its_own_place(found, truth, right):
    assert stages.is_right(found, truth) is right


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "reef.png"
    images.write(path, np.full((500, 600, 3), 70, np.uint8))
    return path


def run(photo, answers, threshold=None):
    with serving(answers) as functions:
        staged = stages.run(functions.urls, photo, threshold)
    return staged, dict(functions.asked)


def test_a_photo_goes_through_the_functions_that_run(photo):
    polygon = {"label": "Porites", "type": "polygon", "points": [10, 10, 90, 10, 90, 80], "attributes": []}
    answers = {
        stages.COLONIES: Said([polygon]),
        stages.CORNERS: judged([skeleton(TRUTH)], "ok", layout="corners"),
        stages.GRID: judged([skeleton(TRUE_GRID)], "review", "points lie 13 % off; blurred", "grid9x13"),
    }
    staged, asked = run(photo, answers, threshold=0.4)
    assert [body.get("threshold") for body in asked.values()] == [None, None, 0.4]
    assert [shape.label for shape in staged.shapes] == ["quadrat_corner", "grid", "Porites"]
    grid = staged.answers[stages.GRID]
    assert grid.points.attributes["layout"] == "grid9x13"
    assert grid.facts["reasons"] == ["points lie 13 % off", "blurred"]
    assert (grid.verdict, grid.points.score, grid.note) == ("review", 0.88, "A note.")
    assert staged.quadrat.size_wh == (stages.QUADRAT_PX, stages.QUADRAT_PX)
    on_quadrat = staged.quadrat.from_photo([grid.points])[0]
    assert np.allclose(on_quadrat.xy_px, GRID.uv * stages.QUADRAT_PX)
    row = stages.row("reef.png", staged)
    assert len(row) == stages.COLUMNS
    assert cells.sheet([row, row], "a note").shape[1] == stages.COLUMNS * row[0].shape[1]
    assert staged.segmented is None
    assert staged.clean is None


def colony(label, points, confidence, **more):
    attributes = [{"name": "confidence", "value": str(confidence)}]
    attributes += [{"name": name, "value": value} for name, value in more.items()]
    return {"label": label, "type": "polygon", "points": points, "attributes": attributes}


def test_the_colonies_of_both_functions_are_kept_apart(photo):
    triangle, square = [10, 10, 90, 10, 90, 80], [200, 200, 400, 200, 400, 400, 200, 400]
    told = {"X-Quadrat-Refiner": "watershed", "X-Quadrat-Scale": "0.500", "X-Quadrat-Note": "Look."}
    segmented = [colony("Acropora", square, 70), colony("Porites", triangle, 12, unsure="true")]
    answers = {
        stages.COLONIES: Said([colony("Porites", triangle, 90)]),
        stages.SEGMENTER: Said(segmented, headers=told),
    }
    staged, asked = run(photo, answers, threshold=0.1)
    assert [asked[name]["threshold"] for name in answers] == [0.1, 0.1]
    assert [shape.label for shape in staged.shapes] == ["Porites"]
    found = staged.segmented
    assert [shape.label for shape in found.shapes] == ["Acropora", "Porites"]
    assert found.shapes[1].attributes["unsure"] == "true"
    assert (found.facts["refiner"], found.facts["scale"], found.note) == ("watershed", "0.500", "Look.")
    *_, one_by_one, from_map = stages.row("reef.png", staged)
    at = round(300 / 600 * 450) + 5  # the middle of the square
    assert abs(int(from_map[at, at].max()) - int(one_by_one[at, at].max())) > 20


def test_the_row_says_that_the_segmenter_does_not_run_and_how_it_worked(photo, monkeypatch):
    words = []
    monkeypatch.setattr(stages, "cell", lambda image_rgb, shapes, text: words.append(text))
    staged, _ = run(photo, {stages.COLONIES: Said([])})
    stages.row("reef.png", staged)
    assert words[-2:] == ["0 colonies", "segmenter: the function does not run"]
    segmented = [colony("Porites", [10, 10, 90, 10, 90, 80], 12, unsure="true")]
    told = {"X-Quadrat-Refiner": "watershed", "X-Quadrat-Scale": "0.500"}
    staged, _ = run(photo, {stages.SEGMENTER: Said(segmented, headers=told)})
    stages.row("reef.png", staged)
    assert words[-2:] == ["colonies: -", "segmenter: 1 colonies, 1 unsure, refiner watershed, scale 0.500"]


@pytest.mark.parametrize("corners", [[], [skeleton(moved(TRUTH, 2, 0, HIDDEN))]])
def test_without_four_corners_nothing_is_rectified_and_the_rest_goes_on(photo, corners):
    staged, _ = run(photo, {stages.CORNERS: judged(corners, "failed" if not corners else "review", "no frame")})
    assert staged.quadrat is None
    assert len(stages.row("reef.png", staged)) == stages.COLUMNS


def test_a_refused_photo_says_why(photo):
    refusal = Said({"error": {"code": "bad_image", "message": "field `image`: cut short"}}, 400)
    with pytest.raises(ValueError, match="400: field `image`: cut short"):
        run(photo, {stages.GRID: refusal})


CLEAN = np.full((500, 600, 3), 90, np.uint8)
PAINTED = np.zeros((500, 600), np.bool_)
PAINTED[100:110] = True


def cleaned(kind=".png"):
    files = {"image": metadata.encode(CLEAN, kind), "mask": images.encode_png(PAINTED * np.uint8(255))}
    told = {name: base64.b64encode(data).decode() for name, data in files.items()}
    facts = {"format": kind.lstrip("."), "painted_fraction": 0.02, "warnings": ["a string is doubtful"]}
    return Said({**told, **facts}, headers={"X-Quadrat-Model": "lama", "X-Quadrat-Note": "Look."})


def grid_answers(clean, grid=None, verdict="review"):
    found = [skeleton(moved(TRUE_GRID, 5, 0, HIDDEN))] if grid is None else grid
    return {
        stages.CORNERS: judged([skeleton(TRUTH)], "ok", layout="corners"),
        stages.GRID: judged(found, verdict, layout="grid9x13"),
        stages.CLEAN: clean,
    }


def test_the_grid_is_removed_where_one_was_found(photo):
    staged, asked = run(photo, grid_answers(cleaned()))
    body = asked[stages.CLEAN]
    assert (body["format"], body["return_mask"], body["skeleton"]["label"]) == ("png", True, "grid")
    assert body["skeleton"]["attributes"] == [{"name": "layout", "value": "grid9x13"}]
    elements = body["skeleton"]["elements"]
    assert [element["label"] for element in elements] == list(GRID.names)
    assert [element["label"] for element in elements if element["outside"]] == ["6"]
    assert np.allclose(elements[7]["points"], TRUE_GRID.xy_px[7])
    clean = staged.clean
    assert clean.words == "clean: 2.0% painted; a string is doubtful"
    assert (clean.facts["model"], clean.facts["painted_fraction"], clean.note) == ("lama", 0.02, "Look.")
    assert np.array_equal(clean.mask, PAINTED)
    assert np.array_equal(images.decode(clean.file), CLEAN)
    assert (staged.clean_quadrat.image_rgb == 90).all()
    assert np.allclose(staged.clean_quadrat.photo_to_quadrat, staged.quadrat.photo_to_quadrat)
    before, after = (stages.row("reef.png", each)[4] for each in (staged, run(photo, grid_answers(cleaned(), []))[0]))
    assert not np.array_equal(before, after)


def test_without_a_grid_there_is_none_to_remove(photo):
    staged, asked = run(photo, grid_answers(cleaned(), [], "failed"))
    assert stages.CLEAN not in asked
    assert (staged.clean.words, staged.clean.file, staged.clean_quadrat) == ("no grid to remove", b"", None)
    assert len(stages.row("reef.png", staged)) == stages.COLUMNS


def test_a_grid_that_cannot_be_removed_costs_the_clean_photo_alone(photo):
    refusal = Said({"error": {"code": "bad_points", "message": "field `skeleton`: 3 points"}}, 400)
    staged, _ = run(photo, grid_answers(refusal))
    assert staged.clean.words == "clean: refused, the function answered 400: field `skeleton`: 3 points"
    assert staged.clean.facts["error"] == "the function answered 400: field `skeleton`: 3 points"
    assert [shape.label for shape in staged.shapes] == ["quadrat_corner", "grid"]
    assert len(stages.row("reef.png", staged)) == stages.COLUMNS


def test_nearness_is_measured_where_it_was_painted():
    truth, photo_rgb = np.full((500, 600, 3), 100, np.uint8), np.full((500, 600, 3), 0, np.uint8)
    clean = cleaning.Cleaned("", {}, b"x", CLEAN, PAINTED)
    found = cleaning.nearness(clean, photo_rgb, truth)
    assert (found.before, found.after) == (100**2, 10**2)
    assert round(cleaning.psnr_db(found.after), 2) == 28.13
    assert cleaning.psnr_db(0) == 99
    assert cleaning.nearness(cleaning.Cleaned("no grid"), photo_rgb, truth) is None
