"""What file names say, and which photos show one place."""

from __future__ import annotations

import pytest

from data_engineering import file_names
from data_engineering.file_names import PatternError, parse, place_of


@pytest.mark.parametrize(
    ("name", "area", "year", "quadrat"),
    [
        ("reef_2024_q7.jpg", "reef", 2024, "q7"),
        ("/data/2019/north_reef_2024_T1_Q5.JPG", "north_reef", 2024, "T1_Q5"),
        ("reef_2024_q7_rect.png", "reef", 2024, "q7"),
        ("reef_2024_q7_rect_clean.half.jpg", "reef", 2024, "q7"),
        ("reef_2024_q7 (1).jpg", "reef", 2024, "q7"),
        ("reef_2008-04-15_q7.jpg", "reef", 2008, "q7"),
        ("reef_20080415_q7", "reef", 2008, "q7"),
        ("trip_2019_reef_2021_q1.jpg", "trip_2019_reef", 2021, "q1"),
        ("reef_2024_2030.jpg", "reef", 2024, "2030"),
        ("render2026_2026_00003.jpg", "render2026", 2026, "00003"),
        ("C:\\photos\\reef_2024_q7.jpg", "reef", 2024, "q7"),
    ],
)
def test_names_say_area_year_and_quadrat(name, area, year, quadrat):
    assert parse(name) == {"area": area, "year": year, "quadrat_id": quadrat}


@pytest.mark.parametrize(
    "name", ["IMG_0042.jpg", "reef_2024.jpg", "reef_1899_q1", "reef_20081315_q1", "reef_120240_q1", "_2024_q1", ""]
)
def test_other_names_say_nothing(name):
    assert parse(name) == {}
    assert place_of(name) == file_names.stem_of(name)


def test_a_pattern_is_obeyed():
    moorea = "{site}_{quadrat}_{year}"
    assert parse("mcr_lter1_pole1-2_qu8_20080415.half.jpg", moorea) == {
        "area": "mcr_lter1_pole1-2",
        "year": 2008,
        "quadrat_id": "qu8",
    }
    assert parse("2021.reef-q3.jpg", "{year}.{site}-{quadrat}")["quadrat_id"] == "q3"


@pytest.mark.parametrize("pattern", ["", "{site}_{year}", "{site}_{year}_{quadrat}_{site}", "{site}_{year}_{plot}"])
def test_a_pattern_without_the_fields_is_refused(pattern):
    with pytest.raises(PatternError, match=r"expected \{site\}, \{year\} and \{quadrat\}, each once"):
        parse("reef_2024_q7.jpg", pattern)


def test_fields_that_touch_are_refused():
    with pytest.raises(PatternError, match="fields that touch"):
        parse("reef_2024_q7.jpg", "{site}{year}_{quadrat}")


def test_photos_of_one_place_share_it():
    twins = ["reef_2008_q7.jpg", "reef_20240301_q7.png", "reef_2024_q7_rect.jpg", "a/b/reef_2010_q7_inpainted.jpg"]
    assert {place_of(name) for name in twins} == {"reef_q7"}
    assert place_of("IMG_7.jpg") == place_of("x/IMG_7_rect.jpg") == "IMG_7"
    assert place_of("reef_2008_q8.jpg") != "reef_q7"
    assert place_of("rect.jpg") == "rect"
