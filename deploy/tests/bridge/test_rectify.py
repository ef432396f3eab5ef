"""Photos with corners become quadrats: the right part of the photo, with its way back."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.bridge.actions import rectify
from deploy.bridge.plan import Step
from quadrat import images, mapping
from quadrat.drawn import DrawnPhoto
from quadrat.shapes import HIDDEN, OCCLUDED, Keypoints

from .conftest import BOX, CORNERS, SIDE, corners, photo

STEP = Step(name="rectify", when="task completed", do="rectify", into="grid")
PHOTO = DrawnPhoto("a.jpg", (SIDE, SIDE))
NAMES = ("1", "2", "3", "4")


def judge(xy=BOX, names=NAMES, visibility=None, as_found=False, step=STEP):
    points = Keypoints("quadrat_corner", names, xy, None if visibility is None else np.array(visibility, np.uint8))
    return rectify.judge(step, PHOTO, points, as_found)


def test_good_corners_are_fit():
    fit = judge()
    assert (fit.fault, fit.doubt) == ("", "")
    wanted = {"corners_xy_px": BOX.tolist(), "size_cm": [100, 100], "px_per_cm": None, "margin": 0.05}
    assert fit.takes == wanted


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("3", "1", "4", "2"), [2, 0, 3, 1]),
        (("BL", "TR", "TL", "BR"), [3, 1, 0, 2]),
        (("p", "q", "r", "s"), [0, 1, 2, 3]),
    ],
)
def test_corners_are_known_by_their_names(names, order):
    assert judge(BOX[order], names).takes["corners_xy_px"] == BOX.tolist()


@pytest.mark.parametrize(
    ("xy", "visibility", "words"),
    [
        (BOX, [HIDDEN, 2, HIDDEN, 2], "corner 1, 3 is not in the photo"),
        (BOX[[0, 2, 1, 3]], None, "clockwise"),
        (BOX[[1, 0, 3, 2]], None, "clockwise"),
    ],
)
def test_corners_that_cannot_be_used_are_a_fault(xy, visibility, words):
    assert words in judge(xy, visibility=visibility).fault


def test_corners_that_look_odd_are_a_doubt():
    assert "turned by 90 degrees" in judge(np.roll(BOX, 1, axis=0)).doubt
    assert "times the shortest" in judge(BOX * [1, 0.2]).doubt


def test_a_guess_of_a_function_is_a_doubt_and_a_corner_that_a_person_placed_is_none():
    visibility = [2, 2, OCCLUDED, 2]
    assert "guessed" in judge(visibility=visibility, as_found=True).doubt
    assert judge(visibility=visibility).doubt == ""


def test_the_frame_may_be_longer_than_wide():
    wide = STEP.model_copy(update={"size_cm": (100.0, 50.0)})
    assert judge(BOX * [1, 0.5], step=wide).doubt == ""
    assert "no frame looks so" in judge(BOX * [1, 0.5]).doubt


def test_the_quadrat_is_the_part_of_the_photo_and_leads_back(bridge):
    given = np.zeros((SIDE, SIDE, 3), np.uint8)
    given[60:300, 60:300] = [10, 200, 90]
    task = bridge.server.add_task(bridge.tools.projects[CORNERS], "Moorea", {"a.png": images.encode_png(given)})
    bridge.draw(task, 0, corners())
    bridge.complete(task)
    assert bridge.go(task) == ["1 photo into task 2"]
    [child] = bridge.children()
    [made] = child.photos
    assert (made.name, made.width, made.height) == ("a.jpg", 264, 264)  # 240 px, and 5 % on each side
    quadrat = images.read(made.path)
    assert np.abs(quadrat[20:-20, 20:-20].astype(int) - [10, 200, 90]).max() < 8
    assert quadrat[:8].max() < 30
    kept = mapping.read(bridge.tools.settings.folder / "mappings" / str(child.id) / "a.json")
    assert (kept.photo, kept.size_wh, kept.margin_px) == ("a.png", (264, 264), 12)
    assert kept.to_photo([[12, 12], [252, 252]]) == pytest.approx(BOX[[0, 2]], abs=1e-6)
    assert kept.maker == {"cvat_task": task.id, "cvat_frame": 0, "stage": CORNERS}


def test_the_settings_of_the_first_try_hold(bridge):
    """What the picture is made of stands in the ledger: a change of pipeline.yaml between tries does not come in."""
    task = bridge.task(["a.jpg"])
    bridge.draw(task, 0, corners())
    bridge.complete(task)
    bridge.look(task)
    bridge.server.faults.fail(500, method="POST", path="/api/tasks", times=None)
    assert bridge.do()[0].startswith("CvatError")
    bridge.server.faults.clear()
    stage = bridge.tools.plan.stages[CORNERS]
    changed = stage.steps[1].model_copy(update={"margin": 0.5})
    bridge.tools.plan.stages[CORNERS] = stage.model_copy(update={"steps": (stage.steps[0], changed)})
    bridge.do()
    assert bridge.children()[0].photos[0].width == 264


def test_a_scale_that_is_too_large_is_said(bridge):
    stage = bridge.tools.plan.stages[CORNERS]
    fine = stage.steps[1].model_copy(update={"px_per_cm": 200.0})
    bridge.tools.plan.stages[CORNERS] = stage.model_copy(update={"steps": (stage.steps[0], fine)})
    task = bridge.task(["a.jpg"])
    bridge.draw(task, 0, corners())
    bridge.complete(task)
    assert bridge.go(task) == ["1 failed"]
    assert "choose a smaller px_per_cm" in bridge.issues()[0][1]


def test_a_photo_that_cannot_be_read_fails_alone(bridge):
    task = bridge.task()
    for frame in (0, 1):
        bridge.draw(task, frame, corners())
    task.photos[0].path.write_bytes(photo(0)[:2000])
    bridge.complete(task)
    assert bridge.go(task) == ["1 photo into task 2, 1 failed"]
    assert [one.name for one in bridge.children()[0].photos] == ["b.jpg"]
