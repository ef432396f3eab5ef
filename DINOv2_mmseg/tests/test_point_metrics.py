from __future__ import annotations

import json

import numpy as np
import pytest

from DINOv2_mmseg import point_metrics
from DINOv2_mmseg.point_metrics import COLONIES, PointTally
from quadrat.shapes import SemanticMap

LABELS = ("Porites", "Sand", "Turf")


def test_a_point_is_the_pixel_that_it_lies_in() -> None:
    index = np.array([[0, 1], [2, 1]], np.uint8)
    known = SemanticMap(LABELS, index)
    xy = [(0.5, 0.5), (1.5, 0.5), (0.99, 1.0), (2.0, 2.0), (0.0, 0.999)]
    assert point_metrics.labels_at(known, xy) == ["Porites", "Sand", "Turf", "Sand", "Porites"]
    assert point_metrics.labels_at(known, []) == []
    with pytest.raises(ValueError, match="outside the photo of 2 x 2"):
        point_metrics.labels_at(known, [(0.5, 2.1)])
    with pytest.raises(ValueError, match="outside"):
        point_metrics.labels_at(known, [(np.nan, 0.5)])
    index = index.copy()
    index[0, 0] = 255
    with pytest.raises(ValueError, match="knows no class"):
        point_metrics.labels_at(SemanticMap(LABELS, index), [(0.5, 0.5)])


def test_shares_of_a_map_leave_out_what_is_not_known() -> None:
    index = np.array([[0, 0, 1, 255]], np.uint8)
    assert point_metrics.map_shares(SemanticMap(LABELS, index)) == pytest.approx(
        {"Porites": 2 / 3, "Sand": 1 / 3, "Turf": 0}
    )


def two_photos() -> PointTally:
    counted = PointTally(LABELS, background=("Sand", "Turf"))
    human = ["Porites", "Porites", "Sand", "Monti"]
    counted.add("a.jpg", human, ["Porites", "Sand", "Sand", "Porites"], {"Porites": 0.25, "Sand": 0.5, "Turf": 0.25})
    counted.add("b.jpg", ["Sand", "Sand"], ["Sand", "Turf"], {"Porites": 0.0, "Sand": 0.5, "Turf": 0.5})
    return counted


def test_a_label_that_the_model_does_not_know_counts_as_wrong() -> None:
    counted = two_photos()
    assert counted.labels == (*LABELS, "Monti")
    np.testing.assert_array_equal(counted.confusion(), [[1, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    found = counted.figures()
    assert (found.photos, found.points, found.accuracy) == (2, 6, 0.5)
    assert found.macro_recall == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)  # nobody called a point Turf
    assert found.classes["Monti"].support == 1
    assert found.classes["Turf"].recall is None


def test_cover_is_a_share_of_the_points_of_each_photo() -> None:
    found = two_photos().figures()
    cover = {(one.photo, one.label): (one.human, one.predicted, one.whole_map) for one in found.cover}
    assert cover["a.jpg", "Porites"] == (50, 50, 25)
    assert cover["a.jpg", "Sand"] == (25, 50, 50)
    assert cover["a.jpg", "Monti"] == (25, 0, 0)
    assert cover["b.jpg", "Turf"] == (0, 50, 50)
    assert cover["a.jpg", COLONIES] == (75, 50, 25)  # all that is neither sand nor turf
    assert cover["b.jpg", COLONIES] == (0, 0, 0)
    errors = {"Porites": (0 + 0) / 2, "Sand": (25 + 50) / 2, "Turf": (0 + 50) / 2, "Monti": (25 + 0) / 2}
    assert {label: found.class_cover_error[label] for label in errors} == errors
    assert found.class_cover_error[COLONIES] == 12.5
    assert found.cover_error == pytest.approx(np.mean(list(errors.values())))
    assert found.cover_error_map == pytest.approx((25 + 25 + 25 + 25 + 0 + 50 + 50 + 0) / 8)


def test_cover_without_a_map_and_without_background() -> None:
    counted = PointTally(LABELS)
    counted.add("a.jpg", ["Sand"], ["Sand"])
    found = counted.figures()
    assert [one.label for one in found.cover] == ["Sand"]
    assert (found.cover[0].whole_map, found.cover_error_map, found.cover_error) == (None, None, 0)


def test_figures_are_json() -> None:
    found = two_photos().figures().to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["cover"][0]["photo"] == "a.jpg"


def test_points_that_do_not_fit_are_refused() -> None:
    counted = PointTally(LABELS)
    for human, predicted, message in (
        (["Sand"], [], "1 human and 0 predicted"),
        ([], [], "N >= 1"),
        (["Sand"], ["Monti"], "predicted \\['Monti'\\]"),
    ):
        with pytest.raises(ValueError, match=message):
            counted.add("a.jpg", human, predicted)
    assert len(counted) == 0
    with pytest.raises(ValueError, match="no photo"):
        counted.figures()
