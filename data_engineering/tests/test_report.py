"""Figures counted by hand, a page that needs nothing else and escapes text of people, and the command on FiftyOne."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from data_engineering import report, report_page, report_scale
from data_engineering.problems import Rules
from data_engineering.report_scale import Scale
from data_engineering.report_writing import Settings, link, write
from quadrat import images
from quadrat.drawn import Drawn, DrawnPhoto
from quadrat.shapes import Annotations, Instance

SQUARE = np.array([(0, 0), (10, 0), (10, 10), (0, 10)], float)
EVIL = "<script>alert('&')</script>"


def polygon(xy, label="Porites", **more) -> Drawn:
    return Drawn("polygon", label, np.asarray(xy, float), **more)


def frame(side=100.0) -> Drawn:
    xy = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * side
    return Drawn(
        "skeleton", "quadrat_corner", elements=tuple(Drawn("points", str(k), p[None]) for k, p in enumerate(xy))
    )


@pytest.fixture
def photos(tmp_path: Path) -> list[DrawnPhoto]:
    paths = [tmp_path / f"{k}.jpg" for k in range(4)]
    for k, path in enumerate(paths):
        images.write(path, np.full((100, 200, 3), 50 * k, np.uint8))
    first = {"area": "Temae", "year": 2021, "quadrat_id": "a", "cvat_subset": "Train", "annotators": ["Maya", "Teva"]}
    second = {"area": "Temae", "year": 2023, "quadrat_id": "a", "annotators": ["Maya"], "tags": ["seen"]}
    job = {"cvat_task_id": 5, "cvat_job_id": 7, "cvat_frame": 3}
    return [
        DrawnPhoto(
            "0.jpg",
            (200, 100),
            (polygon(SQUARE * 2 + 20), polygon(SQUARE + 60, "Acropora", source="auto"), Drawn("tag", "clear")),
            paths[0],
            first | job,
        ),
        DrawnPhoto(
            "1.jpg", (200, 100), (polygon(SQUARE + 5, group=1), polygon(SQUARE + 40, group=1)), paths[1], second
        ),
        DrawnPhoto("2.jpg", (200, 100), (), paths[2], {"year": 2023}),
        DrawnPhoto("3.jpg", (200, 100), (polygon(SQUARE + 20, EVIL), frame()), paths[3], {}),
    ]


def settings(**more) -> Settings:
    return Settings(**{"title": "Reef", "rules": Rules(knows={"Porites", "Acropora"}.__contains__), **more})


def test_figures_counted_by_hand(photos, tmp_path):
    figures = write(photos, tmp_path / "out", settings())
    kept = figures["photos"]
    assert kept["count"] == 4
    assert kept["without_shapes"] == {"count": 1, "names": ["2.jpg"]}
    assert kept["sizes"] == [{"size_wh": [200, 100], "photos": 4}]
    assert (kept["sites"], kept["years"], kept["quadrats"]) == ({"Temae": 2}, {"2021": 1, "2023": 2}, 1)
    assert (kept["subsets"], kept["tags"], kept["tasks"], kept["jobs"]) == ({"Train": 1}, {"seen": 1}, 1, 1)
    assert figures["shapes"] == {"polygon": 5, "tag": 1, "skeleton": 1}
    colonies = {one["label"]: one for one in figures["colonies"]["labels"]}
    assert figures["colonies"]["count"] == 4
    assert [colonies[label]["count"] for label in ("Porites", "Acropora", EVIL)] == [2, 1, 1]
    assert colonies["Porites"]["share_of_area"] == pytest.approx(600 / 800)
    assert colonies["Porites"]["size_px2"]["median"] == 300
    assert colonies["Porites"]["size_cm2"] is None
    assert colonies["Porites"]["cover_percent"] == pytest.approx(100 * (400 + 200) / 20000 / 4)
    assert colonies[EVIL]["cover_percent"] == pytest.approx(100 * 0.01 / 4)  # of the quadrat, not of the photo
    assert figures["people"]["annotators"] == [
        {"name": "Maya", "photos": 2, "colonies": 3, "share": 0.75},
        {"name": "Teva", "photos": 1, "colonies": 2, "share": 0.5},
        {"name": "not said", "photos": 1, "colonies": 1, "share": 0.25},
    ]
    assert figures["people"]["sources"] == {"manual": 4, "auto": 1}


def test_cover_by_year_is_the_mean_of_its_photos(photos, tmp_path):
    cover = write(photos, tmp_path / "out", settings())["cover"]
    assert cover["of"] == {"quadrat": 1, "photo": 3}
    assert cover["percent"] == pytest.approx(np.mean([2.5, 1, 0, 1]), abs=1e-3)
    assert cover["standard_error"] == pytest.approx(np.std([2.5, 1, 0, 1], ddof=1) / 2, abs=1e-3)
    years = {one["name"]: one for one in cover["by_year"]}
    assert years["2021"]["labels"] == {"Porites": 2.0, "Acropora": 0.5}
    assert years["2021"]["standard_error"] is None
    assert (years["2023"]["photos"], years["2023"]["percent"]) == (2, 0.5)
    assert [(one["name"], one["percent"]) for one in cover["by_site"]] == [("Temae", 1.75)]


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (Scale(px_per_cm=2), {"said for all photos": 4}),
        (Scale(quadrat_cm=(100, 50)), {"corners on the photo": 1}),
        (Scale(quadrat_cm=(100, 50), rectified=True), {"rectified photos": 3, "corners on the photo": 1}),
        (Scale(), {}),
    ],
)
def test_how_the_scale_is_known(photos, tmp_path, scale, expected):
    figures = write(photos, tmp_path / "out", settings(scale=scale))
    assert figures["scale"]["how"] == expected
    assert figures["sizes"]["unit"] == ("cm2" if expected else "px2")
    sizes = {one["label"]: one["size_cm2"] for one in figures["colonies"]["labels"] if one["size_cm2"]}
    if scale.px_per_cm:
        assert sizes["Porites"]["median"] == 75
    if scale.quadrat_cm:
        assert sizes[EVIL]["median"] == 50  # a hundredth of 100 x 50 cm
    if scale.rectified:
        assert sizes["Porites"]["median"] == 75


def test_a_photos_own_scale_goes_first(photos, tmp_path):
    photos[0].path.with_suffix(report_scale.MAPPING_SUFFIX).write_text(json.dumps({"px_per_cm": 10}))
    photos[1].path.with_suffix(report_scale.MAPPING_SUFFIX).write_text("[]")
    photos[3] = DrawnPhoto("3.jpg", (200, 100), photos[3].drawn, photos[3].path, {"px_per_cm": 5})
    figures = write(photos, tmp_path / "out", settings(scale=Scale(px_per_cm=1)))
    how = {"said for all photos": 2, "mapping beside the photo": 1, "sample field px_per_cm": 1}
    assert figures["scale"]["how"] == how
    sizes = {one["label"]: one["size_cm2"] for one in figures["colonies"]["labels"]}
    assert (sizes["Acropora"]["median"], sizes[EVIL]["median"], sizes["Porites"]["most"]) == (1, 4, 200)


def test_scale_refuses_what_is_no_length():
    with pytest.raises(ValueError, match="px_per_cm"):
        Scale(px_per_cm=-1)
    with pytest.raises(ValueError, match="quadrat-cm"):
        Scale(rectified=True)


class _Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for key, value in attrs if key in ("src", "href", "srcset", "action", "data")]

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_needs_nothing_else_and_escapes(photos, tmp_path):
    evil = DrawnPhoto(f"{EVIL}.jpg", (200, 100), photos[0].drawn, photos[1].path, {"area": EVIL, "annotators": [EVIL]})
    write([*photos, evil], tmp_path / "out", settings(title=EVIL))
    text = (tmp_path / "out" / "report.html").read_text("utf-8")
    page = _Page(text)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in page.addresses)
    assert "http" not in re.sub(r'"data:[^"]*"', "", text)
    assert "url(" not in text
    assert "@import" not in text
    assert EVIL in "".join(page.text)
    assert "<script" not in text


def test_page_and_json_say_the_same(photos, tmp_path):
    out = tmp_path / "out"
    figures = write([*photos, photos[0]], out, settings(cvat_url="https://cvat.example.org"))
    assert json.loads((out / "report.json").read_text("utf-8")) == json.loads(json.dumps(figures))
    text = re.sub(r"\s+", " ", "".join(_Page((out / "report.html").read_text("utf-8")).text))
    assert f"{figures['colonies']['count']} colonies of 3 names on 5 photos from 1 site, 2021 to 2023" in text
    for one in figures["colonies"]["labels"]:
        assert f"{one['label']}on {one['photos']} photo" in text
        assert f"{one['count']} {report_page.percent(one['share'])}" in text
    for kind in figures["problems"]["kinds"]:
        assert not kind["count"] or f"{kind['title']} {kind['count']}" in text
        assert all(one["text"] in text for one in kind["listed"])
    rows = list(csv.DictReader((out / "problems.csv").open(encoding="utf-8")))
    assert len(rows) == figures["problems"]["count"] == sum(kind["count"] for kind in figures["problems"]["kinds"])


def test_problems_have_pictures_links_and_are_cut_at_the_number_listed(photos, tmp_path):
    twice = [polygon(SQUARE + 50 + k / 10, "Acropora") for k in range(3)]
    crowded = DrawnPhoto(
        "c.jpg", (200, 100), twice, photos[0].path, {"cvat_task_id": 5, "cvat_job_id": 7, "cvat_frame": 3}
    )
    figures = write([crowded], tmp_path / "out", settings(listed=2, cvat_url="https://cvat.example.org"))
    (kind,) = (kind for kind in figures["problems"]["kinds"] if kind["count"])
    assert (kind["kind"], kind["count"], kind["photos"], len(kind["listed"])) == ("duplicate", 3, 1, 2)
    assert "96%" in kind["listed"][0]["text"]  # the worst first
    assert kind["listed"][0]["link"] == "https://cvat.example.org/tasks/5/jobs/7?frame=3"
    text = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert 'href="https://cvat.example.org/tasks/5/jobs/7?frame=3"' in text
    assert "Shown: 2 of 3, on 1 photo in all" in re.sub(r"\s+", " ", text)
    assert text.count("data:image/jpeg") == 3  # two problems, and the photo


def test_links_need_a_server_and_a_task():
    photo = DrawnPhoto("a.jpg", (9, 9), facts={"cvat_task_id": 5})
    assert link(photo, "https://c.org") == "https://c.org/tasks/5"
    assert link(photo, "") == link(DrawnPhoto("a.jpg", (9, 9)), "https://c.org") == ""


def test_a_photo_that_cannot_be_opened_is_listed_and_the_report_goes_on(photos, tmp_path):
    photos[0].path.unlink()
    photos[1].path.write_bytes(photos[1].path.read_bytes()[:200])
    figures = write(photos, tmp_path / "out", settings())
    kinds = {kind["kind"]: kind for kind in figures["problems"]["kinds"]}
    assert {one["photo"] for one in kinds["unreadable"]["listed"]} >= {"0.jpg"}
    assert figures["colonies"]["count"] == 4
    assert "no picture" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_what_could_not_be_checked_is_said(photos, tmp_path):
    figures = write(photos, tmp_path / "out", settings(rules=Rules()))
    checked = {kind["kind"]: kind["checked_photos"] for kind in figures["problems"]["kinds"]}
    assert (checked["outside_quadrat"], checked["attribute"], checked["unknown_label"]) == (1, 0, 0)
    assert checked["self_crossing"] == 4


def test_nothing_at_all(tmp_path):
    figures = write([], tmp_path / "out", settings())
    assert figures["photos"]["count"] == figures["colonies"]["count"] == figures["problems"]["count"] == 0
    assert "None was found" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_names_at_a_level(tmp_path):
    to_name, knows = report.naming("family")
    assert (to_name("Acropora"), to_name("Stylophora")) == ("Acroporidae", "Stylophora")
    assert (knows("Acropora"), knows("coral"), knows("Stylophora")) == (True, True, False)
    with pytest.raises(ValueError, match="level"):
        report.naming("species")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.01234, "0.0123"), (1.5, "1.5"), (20, "20"), (12345.6, "12\u202f346")]
)
def test_numbers_for_people(value, text):
    assert report_page.short(value) == text


def test_the_cvat_address_must_be_one(monkeypatch):
    monkeypatch.setenv("CVAT_URL", "javascript:alert(1)")
    with pytest.raises(ValueError, match="CVAT_URL"):
        report._cvat_url()


def test_options():
    given = report._parse(["reef", "--quadrat-cm", "100x50", "--listed", "3"])
    assert (given["name"], given["scale"], given["listed"]) == ("reef", Scale((100, 50)), 3)
    for wrong in (["reef", "--quadrat-cm", "1x2x3"], ["reef", "--rectified"], ["reef", "--px-per-cm", "0"]):
        with pytest.raises(SystemExit):
            report._parse(wrong)


def test_the_command_on_a_dataset_and_its_tags(photos, tmp_path, monkeypatch):
    pytest.importorskip("fiftyone")
    from data_engineering import dataset

    monkeypatch.delenv("CVAT_URL", raising=False)
    name, mask = "test-report-command", np.ones((10, 10), bool)
    shapes = [Instance("Porites", (5, 5, 15, 15), mask), Instance("Porites", (5, 5, 15, 15), mask)]
    items = [
        (photos[0].path, Annotations("0.jpg", (200, 100), shapes)),
        (photos[1].path, Annotations("1.jpg", (200, 100), shapes[:1], {"tags": ["problem", "problem:tiny", "mine"]})),
    ]
    try:
        samples = dataset.create(name, items, overwrite=True)
        figures = report.main(name, tmp_path / "out", tag=True)
        assert (figures["colonies"]["count"], figures["problems"]["count"], figures["level"]) == (3, 1, "genus")
        samples.reload()
        tags = {Path(sample.filepath).name: set(sample.tags) for sample in samples}
        assert tags == {"0.jpg": {"problem", "problem:duplicate"}, "1.jpg": {"mine"}}
        with pytest.raises(ValueError, match="no field 'none'"):
            report.main(name, tmp_path / "out", field="none")
    finally:
        dataset.fo.delete_dataset(name)
    with pytest.raises(ValueError, match=name):
        report.main(name, tmp_path / "out")
