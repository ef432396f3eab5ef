from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_engineering import coralnet
from data_engineering.coralnet import CoralNetError, LabelEntry, Point

REAL = Path(__file__).parents[3] / "shared" / "photos" / "mcr_lter_moorea"
real = pytest.mark.skipif(not (REAL / "annotations.csv").is_file(), reason="the real photographs are not here")

TABLE = """Name,Row,Column,Label,Annotator
a.jpg,671,217,Sand,Imported
b.jpg,0,0,Porit,
a.jpg,12,9,,anna
"""


def write(folder: Path, data: bytes | str) -> Path:
    path = folder / "table.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_row_is_y_and_column_is_x_of_a_pixels_centre(tmp_path):
    assert coralnet.read(write(tmp_path, TABLE)) == {
        "a.jpg": (Point(217.5, 671.5, "Sand", "Imported"), Point(9.5, 12.5, "", "anna")),
        "b.jpg": (Point(0.5, 0.5, "Porit"),),
    }


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + TABLE.encode(),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode(),
        TABLE.replace("Label", "Label code").encode(),
        TABLE.replace("Label", " LABEL_CODE ").encode(),
        TABLE.replace("\n", "\n\n").replace("671", " 671.0 ").encode(),
    ],
    ids=["BOM", "CRLF", "semicolons", "tabs", "newer", "spelling", "blanks"],
)
def test_the_same_table_as_programs_write_it(tmp_path, data):
    expected = coralnet.read(write(tmp_path, TABLE))
    assert coralnet.read(write(tmp_path, data)) == expected


def test_columns_in_another_order_and_more_of_them(tmp_path):
    text = 'Label code,Machine suggestion 1,Column,Row,Name\nPorit,Sand,3,4,"reef, north/""a"".jpg"\n'
    assert coralnet.read(write(tmp_path, text)) == {'reef, north/"a".jpg': (Point(3.5, 4.5, "Porit"),)}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"Name,Row,Label\na.jpg,1,Sand\n", r":1: no column 'Column'"),
        (b"Name,Row,Column\na.jpg,1,2\n", r":1: no column 'Label'"),
        (TABLE.replace("671", "six").encode(), r":2: Row is 'six': expected a whole number"),
        (TABLE.replace("217", "217.5").encode(), r":2: Column is '217.5'"),
        (TABLE.replace("217", "").encode(), r":2: Column is ''"),
        (TABLE.replace("12,9", "12,-9").encode(), r":4: Column is '-9'.*0 or more"),
        (TABLE.replace("b.jpg", "").encode(), r":3: no photo is named"),
        (TABLE.replace(",Porit", "").encode(), r":3: 4 cells: expected 5"),
        (TABLE.encode() + b'a.jpg,1,"2"x,Sand,\n', r":5: no line of a table"),
        ("Name,Row,Column,Label\nf\u00e9.jpg,1,2,x\n".encode("latin-1"), "UTF-8"),
    ],
)
def test_errors_name_the_file_and_the_line(tmp_path, data, words):
    path = write(tmp_path, data)
    with pytest.raises(CoralNetError, match=words) as caught:
        coralnet.read(path)
    assert str(caught.value).startswith(str(path))


def test_a_point_has_a_place():
    with pytest.raises(ValueError, match="0 px or more"):
        Point(-0.1, 3, "Sand")
    with pytest.raises(ValueError, match="0 px or more"):
        Point(1, float("nan"), "Sand")


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8).map(str.strip)
PIXEL = st.integers(0, 20_000).map(lambda pixel: pixel + 0.5)
POINT = st.builds(Point, PIXEL, PIXEL, TEXT, TEXT)


@given(st.dictionaries(TEXT.filter(bool), st.lists(POINT, min_size=1, max_size=4).map(tuple), min_size=1, max_size=3))
def test_what_is_written_is_read_again(tmp_path_factory, points):
    path = tmp_path_factory.getbasetemp() / "round.csv"
    coralnet.write(path, points)
    assert coralnet.read(path) == points


def test_a_table_comes_back_byte_for_byte(tmp_path):
    text = TABLE.replace("b.jpg,0,0,Porit,\n", "") + "b.jpg,0,0,Porit,\n"
    coralnet.write(tmp_path / "back.csv", coralnet.read(write(tmp_path, text)))
    assert (tmp_path / "back.csv").read_text() == text
    coralnet.write(tmp_path / "new.csv", {"a.jpg": [Point(2.9, 3.0, "Sand")]}, label_column="Label code")
    assert (tmp_path / "new.csv").read_text() == "Name,Row,Column,Label code\na.jpg,3,2,Sand\n"


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="label_column"):
        coralnet.write(tmp_path / "a.csv", {}, label_column="Class")
    with pytest.raises(ValueError, match="without a name"):
        coralnet.write(tmp_path / "a.csv", {"": [Point(1, 1, "Sand")]})
    assert not list(tmp_path.iterdir())


def test_a_labelset(tmp_path):
    path = write(tmp_path, "Name,Short Code,Functional Group\nTurf algae,Turf,Algae\nSand,Sand,\n")
    assert coralnet.read_labelset(path) == {"Turf": LabelEntry("Turf algae", "Algae"), "Sand": LabelEntry("Sand")}
    path = write(tmp_path, "Short code;Label name\nTurf;Turf algae\n")
    assert coralnet.read_labelset(path) == {"Turf": LabelEntry("Turf algae")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Label ID,Short Code\n7,Turf\n", r":1: no column 'Name'"),
        ("Name,Short Code\nTurf algae,Turf\nTurf,Turf\n", r":3: the Short Code 'Turf' is there before"),
        ("Name,Short Code\n,Turf\n", r":2: expected a Short Code and a Name"),
    ],
)
def test_bad_labelsets(tmp_path, text, words):
    with pytest.raises(CoralNetError, match=words):
        coralnet.read_labelset(write(tmp_path, text))


@real
def test_a_real_table_comes_back_byte_for_byte(tmp_path):
    points = coralnet.read(REAL / "annotations.csv")
    assert [len(of_photo) for of_photo in points.values()] == [200] * 11
    labelset = coralnet.read_labelset(REAL / "labelset.csv")
    assert {point.label for of_photo in points.values() for point in of_photo} <= set(labelset)
    coralnet.write(tmp_path / "back.csv", points)
    assert (tmp_path / "back.csv").read_bytes() == (REAL / "annotations.csv").read_bytes()
