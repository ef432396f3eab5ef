"""Exports and backups as files: what `cvat_images` and `cvat_backup` have in common, on our own and on CVAT's."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from data_engineering.formats import cvat_backup, cvat_images
from data_engineering.formats.collection import Collection, FormatError
from quadrat import images
from quadrat.drawn import Drawn, DrawnPhoto
from quadrat.tests.drawn_examples import LABELS, PHOTOS, SIZE, assert_same_photos

EXPORTS = Path(__file__).resolve().parents[3] / "shared" / "cvat" / "recordings" / "guide_c" / "exports"
HERE = pytest.mark.skipif(not EXPORTS.is_dir(), reason="the recordings are not here")
FORMATS = pytest.mark.parametrize("kind", [cvat_images, cvat_backup], ids=["images", "backup"])


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "a.png"
    images.write(path, np.full((SIZE[1], SIZE[0], 3), 90, np.uint8))
    return path


def photo(file: Path | None, name: str = "a.png", *drawn: Drawn, **facts: object) -> DrawnPhoto:
    return DrawnPhoto(name, SIZE, drawn, file, facts)


def tags_first(photos: list[DrawnPhoto]) -> list[DrawnPhoto]:
    return [replace(p, drawn=tuple(sorted(p.drawn, key=lambda one: one.kind != "tag"))) for p in photos]


@FORMATS
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(PHOTOS)
def test_what_is_written_is_read(kind, file, tmp_path_factory, photos):
    folder = tmp_path_factory.mktemp("files")
    photos = [replace(p, name=f"site/{n} ü.png", path=file) for n, p in enumerate(photos)]
    kind.write(Collection(iter(photos), LABELS, "reef"), folder / "a.zip")
    back = kind.read(folder / "a.zip", extract_to=folder / "out")
    assert (back.labels, back.name) == (LABELS, "reef")
    found = list(back.photos)
    expected = photos if kind is cvat_images else tags_first(photos)
    assert_same_photos(expected, found, 0.01 if kind is cvat_images else 0.0)
    assert all(p.path.read_bytes() == file.read_bytes() and p.path.is_relative_to(folder) for p in found)
    kind.write(Collection(found, back.labels, back.name), folder / "b.zip")
    with zipfile.ZipFile(folder / "a.zip") as first, zipfile.ZipFile(folder / "b.zip") as second:
        assert {n: first.read(n) for n in first.namelist()} == {n: second.read(n) for n in second.namelist()}


@FORMATS
def test_a_project_of_two_tasks_keeps_them_apart(kind, file, tmp_path):
    facts = {"cvat_project_name": "reef"}
    photos = [
        photo(
            file, "a.png", Drawn("tag", "Porites"), **facts, cvat_task_id=1, cvat_task_name="t1", cvat_subset="train"
        ),
        photo(file, "a.png", **facts, cvat_task_id=2, cvat_task_name="t2", cvat_subset="val"),
    ]
    kind.write(Collection(photos, LABELS, "reef"), tmp_path / "a.zip")
    back = list(kind.read(tmp_path / "a.zip", extract_to=tmp_path / "out").photos)
    kept = ("cvat_task_name", "cvat_subset", "cvat_project_name")
    assert [[p.facts[key] for key in kept] for p in back] == [[p.facts[key] for key in kept] for p in photos]
    assert [len(p.drawn) for p in back] == [1, 0]
    assert back[0].path != back[1].path


def test_photos_of_one_name_get_a_number_in_an_export_and_are_refused_in_a_backup(file, tmp_path):
    photos = [photo(file), photo(file, "a.png", Drawn("tag", "Porites"))]
    cvat_images.write(Collection(photos), tmp_path / "a.zip")
    back = list(cvat_images.read(tmp_path / "a.zip", extract_to=tmp_path / "out").photos)
    assert [(p.name, len(p.drawn), p.path.name) for p in back] == [("a.png", 0, "a.png"), ("a_1.png", 1, "a_1.png")]
    with pytest.raises(FormatError, match=r"a\.png: this name comes twice in the task"):
        cvat_backup.write(Collection(photos), tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()


@FORMATS
@pytest.mark.parametrize("path", [None, Path("nowhere.png")])
def test_a_photo_without_a_file_cannot_be_packed(kind, path, tmp_path):
    with pytest.raises(FormatError, match=r"a\.png: no file of this photo"):
        kind.write(Collection([photo(path)]), tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_an_export_without_photos_finds_them_in_folders(file, tmp_path):
    cvat_images.write(Collection([photo(None), photo(None, "gone.png")], LABELS), tmp_path / "a.zip", with_images=False)
    found, gone = cvat_images.read(tmp_path / "a.zip", photos=[file.parent]).photos
    assert (found.path, found.problems) == (file.resolve(), ())
    assert gone.path is None
    assert "gone.png: its photo was not found (no photo is called 'gone.png'" in gone.problems[0]
    assert "give the folder where the photo is" in gone.problems[0]


def test_a_photo_that_stays_in_the_zip_says_so(file, tmp_path):
    cvat_images.write(Collection([photo(file)], LABELS), tmp_path / "a.zip")
    (found,) = cvat_images.read(tmp_path / "a.zip").photos
    assert found.path is None
    assert "say where to extract the photos to" in found.problems[0]


@pytest.mark.parametrize("kind", ["folder", "xml"])
def test_an_unpacked_export_is_read_where_it_lies(kind, file, tmp_path):
    cvat_images.write(Collection([photo(file)], LABELS, "reef"), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "a")
    back = cvat_images.read(tmp_path / "a" / ("annotations.xml" if kind == "xml" else ""))
    (found,) = back.photos
    assert (found.path, found.problems, back.name) == (tmp_path / "a" / "images" / "a.png", (), "reef")


def test_the_xml_alone_is_written(file, tmp_path):
    cvat_images.write(Collection([photo(None, "a.png", Drawn("tag", "Porites"))]), tmp_path / "a.xml")
    (found,) = cvat_images.read(tmp_path / "a.xml", photos=[file.parent]).photos
    assert (found.drawn[0].label, found.path) == ("Porites", file.resolve())


@FORMATS
def test_a_photo_of_another_size_and_one_that_is_no_photo_are_said(kind, file, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no photo")
    made = [replace(photo(file), size_wh=(40, 30)), photo(tmp_path / "bad.png", "bad.png")]
    kind.write(Collection(made, LABELS), tmp_path / "a.zip")
    first, second = kind.read(tmp_path / "a.zip", extract_to=tmp_path / "out").photos
    assert "the file is 300 x 200 px, but was drawn on as 40 x 30 px" in first.problems[0]
    assert "bad.png: its file cannot be read as a photo" in second.problems[0]


def test_a_name_in_the_xml_that_leads_outside_is_not_followed(file, tmp_path):
    (tmp_path / "export").mkdir()
    images.write(tmp_path / "secret.png", np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    from quadrat.formats import cvat_xml

    cvat_xml.write_drawn(tmp_path / "export" / "annotations.xml", [photo(None, "../secret.png")])
    (found,) = cvat_images.read(tmp_path / "export").photos
    assert found.path is None


@FORMATS
@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({}, "no annotations.xml in it|neither project.json nor task.json"),
        ({"../x": "1"}, "would be written outside"),
        ({"annotations.xml": "<a", "task.json": "{"}, "not a readable CVAT XML file|is no JSON"),
        ({"annotations.xml": "<!DOCTYPE a><annotations/>", "task.json": "[]"}, "DOCTYPE|is a list, expected a dict"),
        ({"annotations.xml": "<b/>", "task.json": "{}"}, "root is <b>|labels are not what CVAT writes"),
    ],
)
def test_damaged_files_are_refused_by_name(kind, members, why, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    with pytest.raises(FormatError, match=rf"a\.zip: .*({why})"):
        list(kind.read(tmp_path / "a.zip").photos)


@pytest.mark.parametrize(
    ("member", "text", "why"),
    [
        ("annotations.json", "{}", "is a dict, expected a list"),
        ("annotations.json", "[" * 100_000, "is no JSON"),
        ("annotations.json", '[{"shapes": [{"frame": "x"}]}]', "is damaged"),
        ("annotations.json", "[3]", "is damaged"),
        ("data/manifest.jsonl", '{"version": "1.1"}\n{"type": "video"}\n', "is of a video"),
        ("data/manifest.jsonl", '{"name": "a", "extension": ".png"}', "damaged .*width"),
        ("data/manifest.jsonl", None, "manifest.jsonl is not in it"),
        ("annotations.json", None, "annotations.json is not in it"),
    ],
)
def test_damaged_parts_of_a_backup_are_named(file, member, text, why, tmp_path):
    cvat_backup.write(Collection([photo(file)], LABELS), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as old, zipfile.ZipFile(tmp_path / "b.zip", "w") as new:
        for name in old.namelist():
            if name != member:
                new.writestr(name, old.read(name))
        if text is not None:
            new.writestr(member, text)
    with pytest.raises(FormatError, match=rf"b\.zip: .*{why}"):
        list(cvat_backup.read(tmp_path / "b.zip").photos)


def test_a_task_that_took_some_of_the_photos(file, tmp_path):
    folder = tmp_path / "backup"
    photos = [photo(file, f"{n}.png", Drawn("tag", "Porites", attributes={"health": str(n)})) for n in range(3)]
    cvat_backup.write(Collection(photos, LABELS), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(folder)
    task = json.loads((folder / "task.json").read_text("utf-8"))
    lines = (folder / "data/manifest.jsonl").read_text("utf-8").splitlines()
    skipped = '{"name": "no", "extension": ".png", "width": 3, "height": 3}'
    body = [line for n, kept in enumerate(lines[2:]) for line in ([skipped] if n else [skipped, skipped]) + [kept]]
    (folder / "data/manifest.jsonl").write_text("\n".join([*lines[:2], *body, skipped]), "utf-8")
    task["data"] |= {"start_frame": 2, "stop_frame": 6, "frame_filter": "step=2", "deleted_frames": [1]}
    (folder / "task.json").write_text(json.dumps(task), "utf-8")
    back = list(cvat_backup.read(folder).photos)
    assert [(p.name, p.drawn[0].attributes["health"], p.problems) for p in back] == [
        ("0.png", "0", ()),
        ("2.png", "2", ()),
    ]


def test_backups_have_all_that_cvat_asks_for(file, tmp_path):
    photos = [photo(file, name, Drawn("polygon", "new", np.eye(3, 2) * 9)) for name in ("b.png", "a/c.png")]
    cvat_backup.write(Collection(photos, [{**LABELS[0], "color": ""}], "reef"), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        task = json.loads(archive.read("task.json"))
        manifest = archive.read("data/manifest.jsonl").decode().splitlines()
        (item,) = json.loads(archive.read("annotations.json"))
    assert [json.loads(line) for line in manifest] == [
        {"version": "1.1"},
        {"type": "images"},
        {"name": "a/c", "extension": ".png", "width": 300, "height": 200},
        {"name": "b", "extension": ".png", "width": 300, "height": 200},
    ]
    assert (task["name"], task["version"], task["data"]["sorting_method"]) == ("reef", "1.0", "lexicographical")
    assert task["jobs"] == [{"status": "annotation", "type": "annotation", "start_frame": 0, "stop_frame": 1}]
    assert [label["name"] for label in task["labels"]] == ["Porites", "new"]
    assert all(label["color"].startswith("#") for label in task["labels"])
    assert [raw["frame"] for raw in item["shapes"]] == [0, 1]


def test_what_cannot_be_a_backup_is_refused(file, tmp_path):
    with pytest.raises(FormatError, match="no photos to write"):
        cvat_backup.write(Collection([]), tmp_path / "a.zip")
    with pytest.raises(FormatError, match=r"a\.7z: CVAT restores backups from \.zip files"):
        cvat_backup.write(Collection([photo(file)]), tmp_path / "a.7z")
    points = (Drawn("points", "middle", np.zeros((1, 2))),)
    bad = photo(file, "a.png", Drawn("skeleton", "grid", elements=points))
    with pytest.raises(FormatError, match=r"a\.zip: .*point 'middle' of 'grid'"):
        cvat_backup.write(Collection([bad], LABELS), tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["files", "folder", "zip"])
def test_a_locked_7z_backup_is_read(how, file, tmp_path, monkeypatch):
    py7zr = pytest.importorskip("py7zr")
    cvat_backup.write(Collection([photo(file)], LABELS, "reef"), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(tmp_path / "a")
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w", password="right") as archive:
        for path in (tmp_path / "a").rglob("*.*") if how != "zip" else [tmp_path / "a.zip"]:
            archive.write(path, path.relative_to(tmp_path / ("a" if how == "files" else "")).as_posix())
    monkeypatch.setenv("CVAT_BACKUP_PASSWORD", "right")
    (found,) = cvat_backup.read(tmp_path / "a.7z", extract_to=tmp_path / "out").photos
    assert found.path == tmp_path / "out" / "data" / "a.png"
    assert found.path.read_bytes() == file.read_bytes()


# ---------------------------------------------------------------------------------------------- recordings


@HERE
@pytest.mark.parametrize("name", ["task1", "task2", "task3", "project1", "project2", "project3"])
def test_a_real_backup_is_what_the_export_says_and_is_written_as_cvat_does(name, tmp_path):
    with zipfile.ZipFile(EXPORTS / f"{name}_backup.zip") as archive:
        prefix = "task_0/" if name.startswith("project") else ""
        raw = json.loads(archive.read(f"{prefix}annotations.json"))
        task = json.loads(archive.read(f"{prefix}task.json"))
        originals = {n: archive.read(n) for n in archive.namelist() if n.endswith(".jpg")}
        manifest = [json.loads(line) for line in archive.read(f"{prefix}data/manifest.jsonl").splitlines()]
    backup = cvat_backup.read(EXPORTS / f"{name}_backup.zip", extract_to=tmp_path / "out")
    photos = list(backup.photos)
    assert sum(len(p.drawn) for p in photos) == sum(len(part["shapes"]) + len(part["tags"]) for part in raw)
    assert [p.path.read_bytes() for p in photos] == [originals[n] for n in sorted(originals)]
    assert all(p.problems == () for p in photos)
    exported = list(cvat_images.read(EXPORTS / f"{name}_cvat-for-images-1.1.zip").photos)
    for ours, theirs in zip(photos, exported, strict=True):
        plain = [replace(one, occluded=False) if one.kind == "skeleton" else one for one in ours.drawn]
        order = [sorted(each, key=lambda one: (one.z_order, one.xy_px.sum())) for each in (plain, theirs.drawn)]
        assert_same_photos([replace(ours, drawn=order[0])], [replace(theirs, drawn=order[1], problems=())])
    cvat_backup.write(Collection(photos, backup.labels, backup.name), tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        ours, lines = json.loads(archive.read(f"{prefix}task.json")), archive.read(f"{prefix}data/manifest.jsonl")
        (item,) = json.loads(archive.read(f"{prefix}annotations.json"))
        assert {n: archive.read(n) for n in archive.namelist() if n.endswith(".jpg")} == originals
    assert [json.loads(line) for line in lines.splitlines()] == manifest
    assert ours.keys() == task.keys()
    assert ours["data"].keys() == task["data"].keys()
    assert ours["labels"] == [{k: v for k, v in label.items() if v or k != "sublabels"} for label in task["labels"]]
    theirs = [one for part in raw for one in part["shapes"]]
    assert len(item["shapes"]) == len(theirs)
    for a, b in zip(item["shapes"], sorted(theirs, key=lambda one: one["frame"]), strict=True):
        assert named(a) == named(b)


def named(raw: dict) -> dict:
    """CVAT's own order of keys and points is not fixed."""
    elements = sorted((named(one) for one in raw.get("elements", [])), key=lambda one: one["label"])
    return {**raw, "elements": elements}


@HERE
@pytest.mark.parametrize("path", sorted(EXPORTS.glob("*with_images.zip")), ids=lambda path: path.stem)
def test_real_exports_with_photos_are_read(path, tmp_path):
    with zipfile.ZipFile(path) as archive:
        originals = {Path(n).name: archive.read(n) for n in archive.namelist() if n.endswith(".jpg")}
    photos = list(cvat_images.read(path, extract_to=tmp_path).photos)
    assert {p.name: p.path.read_bytes() for p in photos} == originals
    assert all(p.problems == () for p in photos)
    before = {p.path: p.path.stat().st_mtime_ns for p in photos}
    again = list(cvat_images.read(path, extract_to=tmp_path).photos)
    assert {p.path: p.path.stat().st_mtime_ns for p in again} == before
