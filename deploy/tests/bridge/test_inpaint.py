"""Photos lose their grid on the way; one that has none goes as it is."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from deploy.bridge.actions import inpaint
from deploy.bridge.plan import Step
from quadrat import images, template
from quadrat.drawn import DrawnPhoto
from quadrat.shapes import Keypoints

from .conftest import CLEAN, GRID, SIDE, grid, photo, refusal

STEP = Step(name="clean", when="task completed", do="inpaint", function=CLEAN, into="corals")
SHRUNK = images.encode_jpeg(np.zeros((9, 9, 3), np.uint8))


@pytest.fixture
def drawn(bridge):
    """A task of two photos with their grids, completed."""
    task = bridge.task(stage=GRID)
    bridge.begin(task)
    bridge.go(task, GRID)
    bridge.complete(task)
    bridge.functions.asked.clear()
    return task


def test_photos_go_without_their_grid(bridge, drawn):
    assert bridge.go(drawn, GRID) == ["2 photos into task 2"]
    [child] = bridge.children("corals")
    assert [one.name for one in child.photos] == ["a.jpg", "b.jpg"]
    clean, before = images.read(child.photos[0].path), images.decode(photo(0))
    assert np.abs(clean.astype(int) - (255 - before)).mean() < 3
    assert [(name, request) for name, _, request in bridge.functions.asked] == [(CLEAN, "request-1")] * 2
    assert len(bridge.rows(drawn, "clean")[0].facts["takes"]["skeleton"]["elements"]) == 117


def test_a_photo_without_a_grid_goes_as_it_is_once_a_person_said_so(bridge):
    task = bridge.task(stage=GRID)
    bridge.functions.said[photo(1)] = ("failed", "no grid found")
    bridge.begin(task)
    bridge.go(task, GRID)
    bridge.complete(task)
    assert bridge.go(task, GRID) == ["1 photo into task 2, 1 for review"]
    bridge.resolve()
    assert bridge.go(task, GRID) == ["1 photo into task 3"]
    [one] = bridge.children("corals")[1].photos
    assert one.path.read_bytes() == photo(1)


def test_a_photo_whose_grid_a_person_deleted_goes_as_it_is(bridge, drawn):
    bridge.erase(drawn, 0)
    assert bridge.go(drawn, GRID) == ["2 photos into task 2"]
    assert bridge.children("corals")[0].photos[0].path.read_bytes() == photo(0)


def test_a_deleted_grid_with_an_open_issue_waits_for_the_issue(bridge):
    task = bridge.task(["a.jpg"], stage=GRID)
    bridge.functions.said[photo(0)] = ("review", "faint")
    bridge.begin(task)
    bridge.go(task, GRID)
    bridge.erase(task, 0)
    bridge.complete(task)
    assert bridge.go(task, GRID) == ["1 for review"]
    bridge.resolve()
    assert bridge.go(task, GRID) == ["1 photo into task 2"]


def test_a_png_stays_one_and_other_kinds_become_jpegs(bridge):
    pixels = images.decode(photo(0))
    given = {"a.png": images.encode_png(pixels), "b.jpeg": photo(1), "c.webp": photo(2)}
    task = bridge.server.add_task(bridge.tools.projects[GRID], "Moorea", given)
    bridge.begin(task)
    bridge.go(task, GRID)
    bridge.complete(task)
    bridge.go(task, GRID)
    assert [one.name for one in bridge.children("corals")[0].photos] == ["a.png", "b.jpeg", "c.jpg"]


def answer(file, **more):
    said = {"image": base64.b64encode(file).decode(), "painted_fraction": 0.1, "warnings": [], **more}
    return 200, json.dumps(said).encode(), {}


@pytest.mark.parametrize(
    "fault",
    [refusal(500), (200, b"<html>", {}), answer(b"no picture"), answer(SHRUNK)],
    ids=["500", "html", "no picture", "other size"],
)
def test_what_is_no_clean_photo_is_asked_for_again(bridge, drawn, fault):
    bridge.functions.faults[CLEAN] = [fault] * (5 if fault[0] == 500 else 1)
    assert bridge.go(drawn, GRID)[0].startswith("Again: a.jpg: ")
    assert bridge.children("corals") == []
    asked = len(bridge.functions.asked)
    assert bridge.do() == ["2 photos into task 2"]
    assert len(bridge.functions.asked) == asked + 1  # what was answered is not asked for again


def test_in_the_last_try_the_others_go_without_a_photo_that_never_works(bridge, drawn):
    bridge.functions.always[CLEAN] = lambda file: refusal(500, "boom") if file == photo(0) else None
    assert [said[:5] for said in [*bridge.go(drawn, GRID), *bridge.do()]] == ["Again", "Again"]
    assert bridge.do() == ["1 photo into task 2, 1 failed"]
    assert [(frame, "boom" in text) for frame, text, _ in bridge.issues()] == [(0, True)]


def test_a_function_that_never_works_sends_nothing_and_asks_nobody(bridge, drawn):
    bridge.functions.always[CLEAN] = lambda file: refusal(500)
    assert [said[:5] for said in [*bridge.go(drawn, GRID), *bridge.do(), *bridge.do()]] == ["Again"] * 3
    assert (bridge.children("corals"), bridge.issues()) == ([], [])
    bridge.functions.always.clear()
    assert bridge.do() == ["2 photos into task 2"]  # as after the retry button


def test_a_photo_that_the_function_refuses_fails_alone(bridge, drawn):
    bridge.functions.faults[CLEAN] = [refusal(400, "over half of it would be painted")]
    assert bridge.go(drawn, GRID) == ["1 photo into task 2, 1 failed"]
    assert "over half" in bridge.issues()[0][1]
    bridge.resolve()
    assert bridge.go(drawn, GRID) == ["1 photo into task 3"]


def test_a_function_that_is_away_stops_the_step(bridge, drawn):
    bridge.functions.faults[CLEAN] = [refusal(401)]
    assert bridge.go(drawn, GRID)[0].startswith("FunctionError")
    assert len(bridge.functions.asked) == 1


def test_a_grid_that_a_person_drew_is_looked_at():
    layout = template.load("grid11x11")
    xy = np.array([part["points"] for part in grid()["elements"]])
    good = Keypoints(layout.label, layout.names, xy)
    crossed = Keypoints(layout.label, layout.names, np.random.default_rng(0).permutation(xy))
    of_their_own = Keypoints("net", tuple("abcdef"), xy[:6])
    found = [
        inpaint.judge(STEP, DrawnPhoto("a.jpg", (SIDE, SIDE)), one, False) for one in (good, crossed, of_their_own)
    ]
    assert [bool(fit.doubt) for fit in found] == [False, True, False]
    assert [len(fit.takes["skeleton"]["elements"]) for fit in found] == [117, 117, 6]
