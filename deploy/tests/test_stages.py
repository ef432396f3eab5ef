"""The stages of a photo, the functions played by a stand-in; the demo itself is run in tests/test_demo.py."""

from __future__ import annotations

import json

import httpx
import numpy as np
import pytest

from deploy import stages
from quadrat import images, template
from quadrat.shapes import HIDDEN, OCCLUDED, Keypoints

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


def skeleton(points):
    elements = [
        {"label": name, "type": "points", "points": [float(x), float(y)], "outside": bool(seen == HIDDEN)}
        for name, (x, y), seen in zip(points.names, points.xy_px, points.visibility, strict=True)
    ]
    confidence = [{"name": "confidence", "value": "88"}]
    return {"label": points.label, "type": "skeleton", "elements": elements, "attributes": confidence}


def judged(shapes, verdict, reasons="", layout=""):
    headers = {"X-Quadrat-Verdict": verdict, "X-Quadrat-Score": "0.880", "X-Quadrat-Note": "A note."}
    more = {"X-Quadrat-Reasons": reasons, "X-Quadrat-Layout": layout}
    return httpx.Response(200, json=shapes, headers={**headers, **{k: v for k, v in more.items() if v}})


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "reef.png"
    images.write(path, np.full((500, 600, 3), 70, np.uint8))
    return path


def run(photo, answers, threshold=None):
    asked = {}

    def answer(request):
        name = request.url.path.strip("/")
        asked[name] = json.loads(request.content)
        return answers[name]

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        return stages.run(client, {name: f"http://host/{name}" for name in answers}, photo, threshold), asked


def test_a_photo_goes_through_the_functions_that_run(photo):
    polygon = {"label": "Porites", "type": "polygon", "points": [10, 10, 90, 10, 90, 80], "attributes": []}
    answers = {
        stages.COLONIES: httpx.Response(200, json=[polygon]),
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
    cells = stages.row("reef.png", staged)
    assert len(cells) == 5
    assert stages.sheet([cells, cells], "a note").shape[1] == 5 * cells[0].shape[1]


@pytest.mark.parametrize("corners", [[], [skeleton(moved(TRUTH, 2, 0, HIDDEN))]])
def test_without_four_corners_nothing_is_rectified_and_the_rest_goes_on(photo, corners):
    staged, _ = run(photo, {stages.CORNERS: judged(corners, "failed" if not corners else "review", "no frame")})
    assert staged.quadrat is None
    assert len(stages.row("reef.png", staged)) == 5


def test_a_refused_photo_says_why(photo):
    refusal = httpx.Response(400, json={"error": {"code": "bad_image", "message": "field `image`: cut short"}})
    with pytest.raises(ValueError, match="400: field `image`: cut short"):
        run(photo, {stages.GRID: refusal})
