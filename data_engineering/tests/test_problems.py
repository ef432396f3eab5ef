"""Each check finds its fault, and nothing on clean shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_engineering import problems
from data_engineering.problem_kinds import KINDS
from data_engineering.problems import Rules, SamePhotos
from quadrat import cvat_labels, images, template
from quadrat.drawn import Drawn, DrawnPhoto

SQUARE = np.array([(0, 0), (10, 0), (10, 10), (0, 10)], float)
HEALTH = {"name": "health", "input_type": "select", "values": ["well", "bleached"]}
LABELS = (
    {"name": "Porites", "attributes": [HEALTH]},
    {"name": "Acropora", "attributes": []},
    template.load("corners").cvat_label(attributes=False),
)
RULES = Rules(LABELS, {"Porites", "Acropora", "quadrat_corner"}.__contains__)


def polygon(xy, label="Acropora", **more) -> Drawn:
    return Drawn("polygon", label, np.asarray(xy, float), **more)


def frame(xy=((5, 5), (95, 5), (95, 95), (5, 95)), count=4) -> Drawn:
    points = tuple(Drawn("points", str(k + 1), np.array([p], float)) for k, p in enumerate(xy[:count]))
    return Drawn("skeleton", "quadrat_corner", elements=points)


def kinds(*drawn, rules=RULES, size_wh=(100, 100), **more) -> list[str]:
    return [one.kind for one in problems.find(DrawnPhoto("a.jpg", size_wh, drawn, **more), rules)]


CLEAN = (
    polygon(SQUARE + 10),
    polygon(SQUARE + (20, 10)),  # shares a border
    polygon(SQUARE + 40, "Porites", attributes={"health": "well"}),
    frame(),
    Drawn("tag", "anything"),
)


def test_clean_shapes_have_no_problem():
    assert kinds(*CLEAN) == []


FAULTS = {
    "unknown_label": polygon(SQUARE + 60, "Poritse"),
    "self_crossing": polygon(SQUARE[[0, 2, 1, 3]] * 2 + 60),
    "duplicate": polygon(SQUARE + 10.2),
    "overlap": polygon(SQUARE + (42, 48), "Acropora"),
    "outside_quadrat": polygon(SQUARE * 0.8 + (92, 40)),
    "outside_photo": polygon(SQUARE * (20, 10) / 10 + (82, 60)),
    "tiny": polygon(SQUARE / 5 + 70),
    "attribute": polygon(SQUARE + 60, "Porites"),
    "skeleton": frame(count=3),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_is_found_alone(kind):
    assert kinds(*CLEAN, FAULTS[kind]) == [kind]


def test_problems_say_which_shapes_they_are_about():
    photo = DrawnPhoto("a.jpg", (100, 100), (*CLEAN, FAULTS["duplicate"], FAULTS["overlap"]))
    found = {one.kind: one for one in problems.find(photo, RULES)}
    assert found["duplicate"].shapes == (0, len(CLEAN))
    assert found["overlap"].shapes == (2, len(CLEAN) + 1)
    assert "Porites and Acropora share 16%" in found["overlap"].text


def test_all_kinds_are_described_and_sorted():
    photo = DrawnPhoto("a.jpg", (100, 100), (*CLEAN, *FAULTS.values()), problems=("Lost.",))
    found = [one.kind for one in problems.find(photo, RULES)]
    assert set(found) == set(KINDS) - {"unreadable", "other_size", "same_photo"}
    assert found == sorted(found, key=list(KINDS).index)


def test_a_shape_drawn_twice_under_two_names_is_told_once():
    assert kinds(polygon(SQUARE), polygon(SQUARE, "Porites", attributes={"health": "well"})) == ["duplicate"]


@given(st.floats(0, 12), st.floats(1, 400))
def test_duplicates_are_those_of_a_greater_iou(shift, scale):
    iou = max(10 - shift, 0) / (10 + shift) if shift < 10 else 0
    found = kinds(polygon(SQUARE * scale), polygon((SQUARE + (shift, 0)) * scale), size_wh=(9000, 9000))
    if abs(iou - 0.9) > 0.02:
        assert ("duplicate" in found) == (iou > 0.9)


def test_an_overlap_below_the_rule_is_none():
    pair = polygon(SQUARE + 10), polygon(SQUARE + (19.5, 10), "Porites", attributes={"health": "well"})
    assert kinds(*pair) == []
    assert kinds(*pair, rules=Rules(overlap=0.04)) == ["overlap"]


def test_masks_are_compared_as_polygons_are():
    box, pixels = np.array([(10, 10), (20.0, 20)]), np.ones((10, 10), bool)
    assert kinds(Drawn("mask", "Acropora", box, mask=pixels), polygon(SQUARE + 10)) == ["duplicate"]


def test_a_colony_is_judged_with_all_its_parts():
    speck = polygon(SQUARE / 10 + 97, group=3)
    assert kinds(speck, polygon(SQUARE + 20, group=3), frame()) == []
    assert kinds(speck, frame()) == ["outside_quadrat", "tiny"]


def test_without_a_quadrat_nothing_is_outside_it():
    assert kinds(FAULTS["outside_quadrat"]) == []


def test_attributes_are_checked_against_the_definitions():
    rules = Rules(LABELS)
    (found,) = problems.find(
        DrawnPhoto("a.jpg", (99, 99), (polygon(SQUARE, "Porites", attributes={"health": "dead"}),)), rules
    )
    assert found.kind == "attribute"
    assert "health is 'dead', which is none of well, bleached" in found.text
    assert kinds(polygon(SQUARE, "Porites"), rules=Rules()) == []


def test_confidence_is_missed_where_the_project_has_it():
    rules = Rules(cvat_labels.segmentation_labels(["Porites"]))
    assert kinds(polygon(SQUARE, "Porites"), rules=rules) == ["attribute"]
    assert kinds(polygon(SQUARE, "Porites", attributes={"confidence": "80"}), rules=rules) == []


def test_the_grid_with_116_of_117_points():
    grid = template.load("grid11x11")
    points = tuple(Drawn("points", n, np.array([uv * 90 + 5])) for n, uv in zip(grid.names, grid.uv, strict=True))
    rules = Rules([grid.cvat_label()])
    whole = Drawn("skeleton", grid.label, elements=points, attributes={"confidence": "100"})
    assert kinds(whole, rules=rules) == []
    photo = DrawnPhoto("a.jpg", (100, 100), (Drawn("skeleton", grid.label, elements=points[:-1]),))
    found = {one.kind: one for one in problems.find(photo, rules)}
    assert "116 points; 1 point missing: 117" in found["skeleton"].text


def test_the_file_is_looked_at(tmp_path: Path):
    path = tmp_path / "a.png"
    images.write(path, np.zeros((100, 100, 3), np.uint8))
    assert kinds(path=path) == []
    assert kinds(path=path, size_wh=(90, 100)) == ["other_size"]
    assert kinds(path=tmp_path / "none.png") == ["unreadable"]
    path.write_bytes(b"no picture")
    assert kinds(path=path) == ["unreadable"]


def test_same_photos_by_bytes_and_without_files_by_name(tmp_path: Path):
    for name, data in {"a": b"one", "b": b"two", "c": b"one", "d": b"three"}.items():
        (tmp_path / name).write_bytes(data)
    same = SamePhotos()

    def found(name: str, path: Path | None = None, **facts):
        return [one.text for one in same.check(DrawnPhoto(name, (9, 9), (), path, facts))]

    assert [found(name, tmp_path / name) for name in "abcd"] == [[], [], ["a is the same file to the byte."], []]
    assert found("a", tmp_path / "gone") == []
    assert found("x.jpg", cvat_task_id=4) == []
    assert found("x.jpg", cvat_task_id=5) == ["x.jpg of task 4 has the same name."]


def test_rules_refuse_what_is_no_share():
    with pytest.raises(ValueError, match="overlap is 10"):
        Rules(overlap=10)
