from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_engineering import coralnet
from data_engineering.coralnet import Point
from data_engineering.point_labels import PointSource, to_annotations
from quadrat import images


def photo(path: Path) -> Path:
    images.write(path, np.zeros((20, 30, 3), np.uint8))
    return path


def failures(source: PointSource) -> dict[str, str]:
    found = {}
    for path, load in source.samples():
        try:
            load()
        except ValueError as error:
            found[path.name] = str(error)
    return found


def test_one_keypoints_a_label_and_none_without_a_label():
    points = [Point(1.5, 2.5, "Sand"), Point(3.5, 4.5, "Porit"), Point(5.5, 6.5, "Sand"), Point(7.5, 8.5, "")]
    made = to_annotations("a.jpg", (30, 20), points, tags=["val"])
    assert {shape.label: shape.xy_px.tolist() for shape in made.keypoints} == {
        "Sand": [[1.5, 2.5], [5.5, 6.5]],
        "Porit": [[3.5, 4.5]],
    }
    assert made.meta["tags"] == ["val"]


@pytest.mark.parametrize("at", [(30.0, 2.5), (2.5, 20.0), (500.5, 2.5)])
def test_a_point_outside_of_the_photo_is_refused(at):
    with pytest.raises(ValueError, match="outside of the photo of 30 x 20 px"):
        to_annotations("a.jpg", (30, 20), [Point(*at, "Sand")])
    to_annotations("a.jpg", (30, 20), [Point(29.5, 19.5, "Sand")])


def test_photos_are_found_and_what_is_wrong_is_said(tmp_path):
    photo(tmp_path / "photos" / "site" / "a.jpg")
    photo(tmp_path / "photos" / "b.png")
    photo(tmp_path / "photos" / "no points.jpg")
    points = {
        "site/a.jpg": [Point(1.5, 1.5, "Sand")],
        "b.jpg": [Point(2.5, 2.5, "Porit"), Point(3.5, 3.5, "Porit")],
        "b.png": [Point(2.5, 2.5, "Porit")],
        "gone.jpg": [Point(2.5, 2.5, "Porit")],
    }
    coralnet.write(tmp_path / "t.csv", points)
    source = PointSource(tmp_path / "t.csv", [tmp_path / "photos"])
    failed = failures(source)
    assert set(failed) == {"b.png", "gone.jpg", "no points.jpg"}
    assert "'b.jpg' in the table already" in failed["b.png"]
    assert "no photo is called 'gone.jpg'" in failed["gone.jpg"]
    assert source.counts() == {"Sand": 1, "Porit": 2}
    assert sorted(source.names()) == ["a.jpg", "b.png"]
    assert source.words.startswith("CoralNet points of ")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"table": Path("t.csv")},
        {"photos": [Path("p")]},
        {"fiftyone": "reef"},
        {"field": "points"},
        {"table": Path("t.csv"), "photos": [Path("p")], "fiftyone": "reef"},
        {"table": Path("t.csv"), "photos": [Path("p")], "fiftyone": "reef", "field": "points"},
    ],
)
def test_exactly_one_whole_source(given):
    with pytest.raises(ValueError, match="expected one source of points"):
        PointSource(**given)


def test_an_empty_table_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("Name,Row,Column,Label\n")
    with pytest.raises(ValueError, match="has no points"):
        PointSource(tmp_path / "t.csv", [tmp_path]).counts()
