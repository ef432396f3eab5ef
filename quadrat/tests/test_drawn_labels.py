from __future__ import annotations

import numpy as np
import pytest

from quadrat import cvat_labels
from quadrat.drawn import Drawn, DrawnPhoto
from quadrat.drawn_labels import Seen

SIZE = (300, 200)
RING = np.array([[10.0, 10.0], [30.0, 10.0], [30.0, 30.0]])


def skeleton(places: dict[str, tuple[float, float]], outside: str = "") -> Drawn:
    elements = (Drawn("points", name, np.array([xy]), outside=name == outside) for name, xy in places.items())
    return Drawn("skeleton", "grid", elements=tuple(elements))


def definitions(*drawn: Drawn, **first) -> dict[str, dict]:
    return {label["name"]: label for label in Seen(**first).of([DrawnPhoto("a.jpg", SIZE, drawn)])}


def test_labels_come_as_given_named_and_met():
    drawn = [Drawn("polygon", name, RING) for name in ("Porites", "Acropora", "Sand", "Porites")]
    assert [*definitions(*drawn, labels=[{"name": "Sand"}], names=["rubble", "Sand"])] == [
        "Sand",
        "rubble",
        "Porites",
        "Acropora",
    ]


def test_a_label_has_the_type_of_the_one_kind_drawn():
    drawn = [Drawn("polygon", "Porites", RING), Drawn("tag", "good"), Drawn("points", "Porites", RING)]
    types = {name: label["type"] for name, label in definitions(*drawn, names=["rubble"]).items()}
    assert types == {"rubble": "any", "Porites": "any", "good": "tag"}
    mixed = definitions(Drawn("polygon", "grid", RING), skeleton({"1": (0, 0)}))
    assert mixed["grid"]["type"] == "skeleton"


def test_attributes_are_text_and_confidence_a_number_and_those_that_are_there_stay():
    there = {"name": "health", "input_type": "select", "mutable": False, "values": ["a", "b"], "default_value": "a"}
    given = {"name": "Sand", "color": "#010203", "type": "polygon", "attributes": [there]}
    attributes = {"health": "a", "confidence": "50", "note": "x"}
    made = definitions(*(Drawn("polygon", name, RING, attributes=attributes) for name in ("Sand", "Porites")))
    assert [spec["input_type"] for spec in made["Porites"]["attributes"]] == ["text", "number", "text"]
    made = definitions(Drawn("polygon", "Sand", RING, attributes=attributes), labels=[given])
    assert made["Sand"]["attributes"][0] == there
    assert [spec["name"] for spec in made["Sand"]["attributes"]] == ["health", "confidence", "note"]


def test_colours_are_those_given_else_made_of_the_name():
    made = definitions(skeleton({"1": (0, 0)}), names=["a", "b"], colours={"a": "#010203", "grid": "#040506"})
    colours = {name: label["color"] for name, label in made.items()}
    assert colours == {"a": "#010203", "b": cvat_labels.colour("b"), "grid": "#040506"}


def test_a_skeleton_looks_like_the_first_complete_one_drawn():
    corners = {"10": (0.0, 0.0), "2": (100.0, 50.0)}
    made = definitions(skeleton({"2": (7, 7)}), skeleton(corners, "2"), skeleton(corners), skeleton({"2": (1, 1)}))
    read = cvat_labels.read_skeleton([made["grid"]])
    assert (read.names, read.xy_percent.tolist()) == (("2", "10"), [[95, 95], [5, 5]])
    flat = definitions(skeleton({"1": (3, 8), "2": (9, 8)}))
    assert cvat_labels.read_skeleton([flat["grid"]]).xy_percent.tolist() == [[5, 50], [95, 50]]


@pytest.mark.parametrize("drawn", [[], [skeleton({"tl": (3, 4)})], [skeleton({"tl": (3, 4), "x": (4, 4)})]])
def test_a_skeleton_that_nobody_drew_whole_is_a_ring_with_its_lines(drawn):
    order = ("tl", "tr", "br", "bl")
    made = definitions(*drawn, names=["grid"], points={"grid": order}, edges={"grid": [(0, 1), (1, 2)]})
    read = cvat_labels.read_skeleton([made["grid"]])
    assert (read.names, read.edges) == (order, ((0, 1), (1, 2)))
    assert read.xy_percent.tolist() == [[50, 5], [95, 50], [50, 95], [5, 50]]


def test_a_point_whose_name_cannot_stand_in_a_picture_leaves_it_empty():
    label = definitions(skeleton({"<1>": (0, 0), "2": (9, 9)}))["grid"]
    assert (label["type"], label["svg"]) == ("skeleton", "")
    assert [point["name"] for point in label["sublabels"]] == ["2", "<1>"]
