import csv
from collections import Counter

import numpy as np
import pytest

from data_engineering.formats import coralnet_csv
from data_engineering.formats.collection import FormatError
from data_engineering.tests.format_examples import SHARED, SIZE, collection, photo_file, polygon
from quadrat.drawn import Drawn


def point(x, y, label="Sand", **more):
    return Drawn("points", label, np.array([[x, y]], float), **more)


def stored(folder, rows, head="Name,Row,Column,Label,Annotator"):
    photo_file(folder)
    (folder / "annotations.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder / "annotations.csv"


def test_points_come_back_with_who_set_them(tmp_path):
    drawn = (point(3.5, 4.5, attributes={"annotator": "ana"}), point(159.5, 119.5, "CCA"), point(3.5, 4.5, "CCA"))
    losses = coralnet_csv.write(collection(tmp_path, *drawn), tmp_path / "table.csv")
    assert losses.counts == {"photo's file": 1}
    read = coralnet_csv.read(tmp_path / "table.csv")
    (photo,) = read.photos
    assert [(one.label, one.xy_px.tolist(), dict(one.attributes)) for one in photo.drawn] == [
        (one.label, one.xy_px.tolist(), dict(one.attributes)) for one in drawn
    ]
    assert (photo.size_wh, photo.path, photo.facts["annotators"]) == (SIZE, tmp_path / "a.png", ["ana"])
    assert [(label["name"], label["type"]) for label in read.labels] == [("Sand", "points"), ("CCA", "points")]


def test_what_a_table_has_no_place_for_is_counted(tmp_path):
    two = Drawn("points", "Sand", np.array([[3.25, 4.5], [9.5, 9.5]]), score=0.5, attributes={"depth": "3"})
    losses = coralnet_csv.write(collection(tmp_path, two, polygon(), cvat_subset="train"), tmp_path)
    assert losses.counts == {
        "polygon": 1,
        "score": 1,
        "attributes": 1,
        "subset": 1,
        "photo's file": 1,
        "points that belong together": 1,
        "place within a pixel": 1,
    }
    (photo,) = coralnet_csv.read(tmp_path).photos
    assert [one.xy_px.tolist() for one in photo.drawn] == [[[3.5, 4.5]], [[9.5, 9.5]]]


def test_points_without_a_label_or_outside_are_told(tmp_path):
    path = stored(tmp_path, ["a.png,1,2,Sand,ana", "a.png,3,4,,", "a.png,1,160,Sand,"])
    (photo,) = coralnet_csv.read(path).photos
    assert len(photo.drawn) == 1
    assert [problem.split(" were")[0] for problem in photo.problems] == ["a.png: 1 points"] * 2


def test_points_of_moorea():
    folder = SHARED / "photos" / "mcr_lter_moorea"
    if not folder.is_dir():
        pytest.skip("the real photos are not there")
    read = coralnet_csv.read(folder / "annotations.csv")
    with (folder / "annotations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    photos = list(read.photos)
    assert sum(len(photo.drawn) for photo in photos) == len(rows) == 2200
    assert Counter(one.label for photo in photos for one in photo.drawn) == Counter(row["Label"] for row in rows)
    assert not any(photo.problems for photo in photos)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a.png,x,2,Sand,"], "annotations.csv:2: Row is 'x'"),
        (["a.png,1,2,Sand"], "annotations.csv:2: 4 cells"),
        (["b.png,1,2,Sand,"], "1 of 1 photos are not there (b.png)"),
    ],
)
def test_broken_tables_name_the_file_and_the_line(tmp_path, rows, words):
    with pytest.raises(FormatError) as caught:
        coralnet_csv.read(stored(tmp_path, rows))
    assert words in str(caught.value)
    assert str(tmp_path / "annotations.csv") in str(caught.value)


def test_a_point_left_of_its_photo_cannot_be_written(tmp_path):
    with pytest.raises(FormatError, match="a.png: Sand"):
        coralnet_csv.write(collection(tmp_path, point(-1, 2)), tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()
