"""How near the chain came to the truth, inside the true frame; the demo itself is run in tests/test_demo.py."""

from __future__ import annotations

import numpy as np
import pytest

from deploy import demo_chain
from deploy.pipeline import record
from deploy.pipeline.record import DONE, REVIEW, Job, Record
from deploy.pipeline.result import Result
from quadrat import masks
from quadrat.formats import shapes_json
from quadrat.shapes import HIDDEN, Annotations, Keypoints

SIZE = (100, 80)
FRAME = Keypoints("quadrat_corner", ("1", "2", "3", "4"), np.array([[20, 10], [80, 10], [80, 70], [20, 70]], float))


def square(x0, y0, x1, y1, label="Porites"):
    return masks.instance_from_rings(label, [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]], SIZE)


def photo(*shapes) -> Annotations:
    return Annotations("a.jpg", SIZE, shapes)


def done(name="a", state=DONE):
    return Result(Job(demo_chain.Path(f"{name}.jpg"), name), Record(name, f"{name}.jpg", "", {}, state, "colonies"))


def test_what_lies_outside_the_frame_does_not_count(tmp_path):
    truth = photo(FRAME, square(0, 20, 40, 40), square(90, 10, 99, 20))
    found = photo(FRAME, square(20, 20, 40, 40, "Fungia"), square(0, 0, 15, 15))
    shapes_json.write(tmp_path / "truth" / "a.json", truth)
    shapes_json.write(record.path_of(tmp_path / demo_chain.FOLDER, "colonies", "a"), found)
    back = demo_chain.came_back(tmp_path, [done(), done("b", REVIEW)])
    near = demo_chain.nearness(back, tmp_path)
    assert near == demo_chain.Nearness(photos=1, coral_iou=1.0, truths=1, recall=1.0, mask_iou=1.0)


def test_coral_of_any_kind_counts_as_one():
    truth = photo(square(0, 0, 10, 10), square(10, 0, 20, 10, "Fungia"))
    assert demo_chain.coral_iou(truth, photo(square(0, 0, 20, 10, "Acropora"))) == 1
    assert demo_chain.coral_iou(truth, photo(square(0, 0, 10, 10))) == 0.5
    assert demo_chain.coral_iou(truth, photo(square(50, 50, 60, 60))) == 0
    assert demo_chain.coral_iou(photo(), photo()) == 1


@pytest.mark.parametrize("frame", [None, Keypoints(FRAME.label, FRAME.names, FRAME.xy_px, np.array([2, 2, 2, HIDDEN]))])
def test_without_a_frame_that_is_known_nothing_is_measured(tmp_path, capsys, frame):
    shapes_json.write(tmp_path / "truth" / "a.json", photo(*([frame] if frame else [])))
    near = demo_chain.nearness({demo_chain.Path("a.jpg"): photo()}, tmp_path)
    assert near.photos == 0
    demo_chain.tell_nearness(near, near)
    assert capsys.readouterr().out == ""


def test_a_chain_that_lacks_a_function_is_left_out(tmp_path, capsys):
    old = tmp_path / demo_chain.FOLDER / "summary.csv"
    old.parent.mkdir()
    old.write_text("of an earlier demo")
    assert demo_chain.run([], tmp_path, "http://127.0.0.1:9", {"pth-lama": ""}, None) == ()
    assert "the chain needs pth-yolo-gridcorners, pth-yolo-gridpose, pth-yolo-coralseg" in capsys.readouterr().out
    assert not old.exists()
