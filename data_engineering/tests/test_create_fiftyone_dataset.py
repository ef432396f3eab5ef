"""Datasets of a CVAT server and of files: the real SDK against a stand-in server, the real FiftyOne."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fiftyone")
pytest.importorskip("cvat_sdk")

from data_engineering import create_fiftyone_dataset as command
from data_engineering import dataset, drawn_fields, export_annotations, review_send
from data_engineering.labels import fo
from quadrat.drawn import DrawnPhoto
from tests.cvat_stand_in import running, tasks

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "cvat"
EXPORTS = sorted(path for path in SHARED.rglob("*.zip") if "coco" not in path.name)
PORITES = {
    "name": "Porites",
    "type": "any",
    "color": "#336699",
    "attributes": [
        {
            "name": "confidence",
            "mutable": True,
            "input_type": "number",
            "default_value": "100",
            "values": ["0", "100", "1"],
        }
    ],
}
GRID = {
    "name": "grid",
    "type": "skeleton",
    "attributes": [],
    "sublabels": [{"name": str(n + 1), "type": "points", "attributes": []} for n in range(117)],
    "svg": "".join(
        f'<circle r="0.75" cx="{5 + n % 11}" cy="{5 + n // 11}" data-type="element node" data-element-id="{n + 1}" '
        f'data-node-id="{n + 1}" data-label-name="{n + 1}"></circle>'
        for n in range(117)
    ),
}


@pytest.fixture(scope="module")
def server():
    with running() as running_server:
        yield running_server


@pytest.fixture
def signed_in(server, monkeypatch, tmp_path):
    monkeypatch.setenv("CVAT_URL", server.url)
    monkeypatch.setenv("CVAT_TOKEN", server.read_token)
    monkeypatch.chdir(tmp_path)
    server.requests.clear()
    return server


@pytest.fixture
def name(request):
    made = f"test-create-{request.node.name}"[:80]
    yield made
    for each in (made, f"{made} (unfinished)"):
        if fo.dataset_exists(each):
            fo.delete_dataset(each)


def ring(number: int) -> list[float]:
    return [1.25 + number, 2.5, 30.0, 3.0 + number, 28.5, 40.75]


def seed(server, name: str, tasks: int = 3, photos: int = 4, **more):
    project = server.add_project(name, [PORITES, GRID])
    for number in range(tasks):
        names = [f"reef_{2020 + number}_q{photo}.jpg" for photo in range(photos)]
        task = server.add_task(project, f"task {number}", names, subset="train", completed=True, **more)
        server.draw(task, [polygon(server, project, frame, frame) for frame in range(photos)])
    return project


def polygon(server, project, frame: int, number: int) -> dict:
    return shape("polygon", server.labels(project)["Porites"], frame, points=ring(number))


def shape(kind: str, label: int, frame: int, **more) -> dict:
    usual = {"occluded": False, "outside": False, "z_order": 0, "rotation": 0.0, "group": 0, "source": "manual"}
    return {"type": kind, "label_id": label, "frame": frame, "points": [], "attributes": [], **usual, **more}


def tasks_of(server, project) -> list:
    return [task for task in server.state.tasks.values() if task.project == project.id]


def key(server, task) -> str:
    made = server.state.projects[task.project].created
    return f"project {task.project} of {made} task {task.id}"


def read(name: str) -> dict[str, DrawnPhoto]:
    return {photo.name: photo for photo in drawn_fields.iter_drawn(dataset.load(name), "ground_truth")}


def test_a_project_becomes_a_dataset(signed_in, name):
    seed(signed_in, name)
    changes = command.main(name)
    assert (changes.dataset, changes.added, changes.problems) == (name, 12, [])
    made = dataset.load(name)
    sample = made.match(fo.ViewField("photo_name") == "reef_2021_q2.jpg").first()
    facts = ("cvat_task_name", "cvat_subset", "cvat_project_name", "area", "year", "quadrat_id")
    assert [sample[fact] for fact in facts] == ["task 1", "train", name, "reef", 2021, "q2"]
    assert isinstance(sample.cvat_job_id, int)
    assert Path(sample.filepath).is_file()
    assert made.default_classes == ["Porites"]
    assert len(made.skeletons["ground_truth_keypoints"].labels) == 117
    assert read(name)["reef_2021_q2.jpg"].drawn[0].xy_px.ravel().tolist() == pytest.approx(ring(2))


def test_a_second_pull_transfers_no_photo_and_only_reads(signed_in, name):
    seed(signed_in, name)
    command.main(name)
    signed_in.requests.clear()
    changes = command.main(name)
    assert (changes.sources, len(changes.unchanged), changes.added, changes.updated) == ([], 3, 0, 0)
    assert signed_in.requests.images() == 0
    assert {asked.method for asked in signed_in.requests.found()} == {"GET"}


def test_modes(signed_in, name):
    project = seed(signed_in, name, tasks=2)
    command.main(name)
    first, second = tasks_of(signed_in, project)
    signed_in.draw(first, [polygon(signed_in, project, 0, 7)])
    signed_in.complete(signed_in.add_task(project, "task 2", ["reef_2030_q9.jpg"]))

    assert command.main(name, mode="skip_if_exist").sources == []
    assert command.main(name, mode="skip_existing").added == 1
    assert len(read(name)["reef_2020_q0.jpg"].drawn) == 1
    changes = command.main(name)
    assert (changes.updated, changes.added) == (4, 0)
    assert len(read(name)["reef_2020_q0.jpg"].drawn) == 2
    signed_in.requests.clear()
    assert command.main(name, mode="force_refresh").updated == 9
    assert signed_in.requests.images() == 0
    with pytest.raises(ValueError, match="expected one of task_tracking"):
        command.main(name, mode="all")


def test_tasks_that_are_not_completed_or_of_another_subset_are_left_out(signed_in, name):
    project = seed(signed_in, name, tasks=1)
    signed_in.add_task(project, "being drawn", ["reef_2031_q0.jpg"])
    signed_in.complete(signed_in.add_task(project, "for the end", ["reef_2032_q0.jpg"], subset="test"))
    assert command.main(name, subsets=["train"]).added == 4
    assert command.main(name, tag_subsets=True).added == 1
    assert command.main(name, statuses=["annotation", "completed"]).added == 1
    assert dataset.load(name).count_sample_tags() == {"test": 1}


def test_a_task_that_was_deleted_goes(signed_in, name):
    project = seed(signed_in, name, tasks=2)
    command.main(name)
    first, _ = tasks_of(signed_in, project)
    with signed_in.state.lock:
        tasks.forget(signed_in.state, first)
    changes = command.main(name)
    assert (changes.removed, changes.removed_sources) == (4, [key(signed_in, first)])


def test_projects_that_share_a_dataset_leave_each_other_alone(signed_in, name):
    first, second = seed(signed_in, name, tasks=1), seed(signed_in, f"{name} too", tasks=2)
    command.main(str(first.id), name=name)
    assert command.main(str(second.id), name=name).removed == 0
    assert command.main(str(first.id), name=name).removed == 0
    assert len(read(name)) == 8
    assert len(dataset.load(name)) == 12


def test_a_skeleton_that_lacks_a_point_is_kept_and_told(signed_in, name):
    project = seed(signed_in, name, tasks=1, photos=1)
    (task,) = tasks_of(signed_in, project)
    ids = signed_in.labels(project)
    points = [shape("points", ids[f"grid/{n}"], 0, points=[1.0 + n % 11, 2.0 + n // 11]) for n in range(1, 118)]
    del points[56]
    signed_in.draw(task, [shape("skeleton", ids["grid"], 0, elements=points)])
    changes = command.main(name)
    (problem,) = changes.problems
    assert all(part in problem for part in ("reef_2020_q0.jpg", "grid", "57"))
    ((_, known),) = dataset.iter_annotations(name)
    (found,) = known.keypoints
    assert (len(found.names), int((found.visibility == 0).sum())) == (117, 1)


def test_a_server_that_is_lost_midway_leaves_the_dataset_as_it_was(signed_in, name):
    project = seed(signed_in, name, tasks=2)
    command.main(name)
    before = {key: len(one.drawn) for key, one in read(name).items()}
    for task in tasks_of(signed_in, project):
        signed_in.draw(task, [polygon(signed_in, project, 0, 9)])
    signed_in.faults.cut(0, path="/annotations", times=None)
    problems = command.main(name).problems
    assert len(problems) == 2
    assert all("annotations" in problem or "task" in problem for problem in problems)
    assert {key: len(one.drawn) for key, one in read(name).items()} == before
    signed_in.stop()
    try:
        with pytest.raises(ValueError, match=signed_in.url):
            command.main(name)
    finally:
        signed_in.start()
    signed_in.faults.clear()
    assert {key: len(one.drawn) for key, one in read(name).items()} == before
    assert command.main(name).updated == 8


@pytest.mark.parametrize("variable", ["CVAT_URL", "CVAT_TOKEN"])
def test_what_is_missing_in_the_environment_is_named(signed_in, name, monkeypatch, variable):
    monkeypatch.delenv(variable)
    with pytest.raises(ValueError, match=variable):
        command.main(name)


# ---------------------------------------------------------------------------------------------- corrections


def test_what_was_sent_to_be_corrected_comes_back_as_the_same_photo(signed_in, name, monkeypatch):
    monkeypatch.setenv("CVAT_TOKEN", signed_in.token)
    project = seed(signed_in, name, tasks=2)
    command.main(name)
    first, _ = tasks_of(signed_in, project)
    sample = dataset.load(name).match(fo.ViewField("photo_name") == "reef_2020_q1.jpg").first()
    sample.tags += ["fix", "mine"]
    sample["yolo"] = fo.Detections()
    sample.save()
    (sent,) = review_send.send(name, ["fix"])
    task = signed_in.state.tasks[sent.task_id]
    signed_in.draw(task, [polygon(signed_in, project, 0, 5)])
    signed_in.complete(task)

    changes = command.main(name)
    assert (changes.sources, changes.added, changes.updated) == ([key(signed_in, task)], 0, 1)
    back = dataset.load(name)[sample.id]
    assert (len(back.ground_truth.polylines), back.cvat_task_id, back.tags) == (2, task.id, ["mine"])
    assert back["yolo"] is not None
    assert len(read(name)) == 8

    signed_in.draw(first, [polygon(signed_in, project, frame, 8) for frame in (0, 1)])
    assert command.main(name).updated == 3
    shapes = {key: len(one.drawn) for key, one in read(name).items()}
    assert (shapes["reef_2020_q0.jpg"], shapes["reef_2020_q1.jpg"], len(shapes)) == (2, 2, 8)
    assert dataset.load(name)[sample.id].cvat_task_id == task.id

    fresh = f"{name}-fresh"
    try:
        command.main(name, name=fresh)
        assert {key: len(one.drawn) for key, one in read(fresh).items()} == shapes
    finally:
        fo.delete_dataset(fresh)

    with signed_in.state.lock:
        tasks.forget(signed_in.state, task)
    command.main(name)
    again = read(name)["reef_2020_q1.jpg"]
    assert (again.facts["cvat_task_id"], len(again.drawn)) == (first.id, 2)
    assert len(read(name)) == 8


# ---------------------------------------------------------------------------------------------- files


def photo(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((48, 64, 3), shade, np.uint8)).save(path)
    return path


@pytest.mark.parametrize("format", ["cvat", "backup", "coco"])
def test_a_dataset_goes_out_and_comes_back(signed_in, name, tmp_path, format):
    seed(signed_in, name, tasks=1)
    command.main(name)
    out = tmp_path / ("out" if format == "coco" else "out.zip")
    export_annotations.main(name, out, format=format)
    again = f"{name}-again"
    try:
        changes = command.main(again, source=out)
        assert changes.added == 4
        for key, known in read(name).items():
            back = read(again)[key]
            assert back.size_wh == known.size_wh
            for ours, theirs in zip(known.drawn, back.drawn, strict=True):
                assert (ours.kind, ours.label) == (theirs.kind, theirs.label)
                assert np.abs(ours.xy_px - theirs.xy_px).max() <= 0.01
        assert command.main(again, source=out).unchanged == ["file " + out.name]
    finally:
        fo.delete_dataset(again)


@pytest.mark.skipif(not EXPORTS, reason="needs the recorded exports")
@pytest.mark.parametrize("export", EXPORTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_recorded_export_loads_with_all_that_is_in_it(name, tmp_path, export):
    changes = command.main(name, source=export, media=tmp_path / "media")
    in_it = counted(export)
    told = [problem for problem in changes.problems if "photo" in problem or "file" in problem]
    if not with_photos(export):
        assert len(told) >= in_it.pop("photos") > 0
        return
    assert changes.problems == []
    found = Counter(one.kind for photo in read(name).values() for one in photo.drawn)
    assert {"photos": changes.added, **found} == in_it


def with_photos(export: Path) -> bool:
    with zipfile.ZipFile(export) as archive:
        return any(member.endswith((".jpg", ".png")) for member in archive.namelist())


def counted(export: Path) -> dict[str, int]:
    """Photos, and annotations by kind, as plain XML or JSON has them."""
    kinds: Counter[str] = Counter()
    with zipfile.ZipFile(export) as archive:
        names = archive.namelist()
        if "annotations.xml" in names:
            images = list(ElementTree.fromstring(archive.read("annotations.xml")).iter("image"))
            kinds.update("rectangle" if each.tag == "box" else each.tag for image in images for each in image)
            return {"photos": len(images), **kinds}
        for member in (member for member in names if member.endswith("annotations.json")):
            for job in json.loads(archive.read(member)):
                kinds.update(shape["type"] for shape in job["shapes"])
                kinds.update("tag" for _ in job["tags"])
        return {"photos": sum(member.endswith((".jpg", ".png")) for member in names), **kinds}


def test_photographs_alone_begin_a_dataset(name, tmp_path):
    photo(tmp_path / "photos" / "a" / "reef_2024_q1.jpg")
    photo(tmp_path / "photos" / "reef_2024_q2.jpg", 99)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no photo")
    changes = command.main(name, source=tmp_path / "photos")
    assert changes.added == 2
    (problem,) = changes.problems
    assert problem.startswith("broken.jpg: ")
    assert sorted(read(name)) == ["a/reef_2024_q1.jpg", "reef_2024_q2.jpg"]
    assert dataset.load(name).values("year") == [2024, 2024]


def test_bad_files_are_refused_and_the_dataset_stays(signed_in, name, tmp_path):
    seed(signed_in, name, tasks=1)
    command.main(name)
    good = tmp_path / "out.zip"
    export_annotations.main(name, good)
    command.main(name, source=good)
    cut = tmp_path / "cut" / "out.zip"
    cut.parent.mkdir()
    cut.write_bytes(good.read_bytes()[:-300])
    climbing = tmp_path / "climbing.zip"
    with zipfile.ZipFile(climbing, "w") as archive:
        archive.writestr("annotations.xml", "<annotations/>")
        archive.writestr("../../evil.txt", "x")
    bomb = tmp_path / "bomb.xml"
    bomb.write_text('<!DOCTYPE a [<!ENTITY x "y">]><annotations>&x;</annotations>', "utf-8")
    before = sorted(read(name))
    for bad in (cut, climbing, bomb, tmp_path / "none.zip"):
        with pytest.raises(ValueError, match=bad.name):
            command.main(name, source=bad)
    assert sorted(read(name)) == before
    assert not (tmp_path.parent / "evil.txt").exists()


# ---------------------------------------------------------------------------------------------- killed


def contents(name: str) -> list:
    """All of a dataset that does not depend on when it was made."""
    made = dataset.load(name)
    facts = made.values(
        ["photo_name", "cvat_task_id", "cvat_frame", "cvat_job_id", "area", "year", "quadrat_id", "tags"]
    )
    photos = drawn_fields.iter_drawn(made, "ground_truth")
    shapes = [
        [(d.kind, d.label, d.xy_px.tolist(), sorted(d.attributes.items()), d.source, d.id) for d in one.drawn]
        for one in photos
    ]
    pixels = [Path(path).read_bytes() for path in made.values("filepath")]
    return sorted(zip(*facts, shapes, pixels, strict=True), key=lambda each: each[:3])


@pytest.mark.slow
def test_a_pull_that_is_killed_fifty_times_ends_as_an_unbroken_one(signed_in, name, tmp_path):
    seed(signed_in, name, tasks=12, photos=8)
    whole = f"{name}-whole"
    command.main(name, name=whole, media=tmp_path / "whole")
    expected, kills, luck = contents(whole), 0, random.Random(0)
    ask = [sys.executable, "-m", "data_engineering.create_fiftyone_dataset", name, "--media", str(tmp_path / "killed")]
    span, told = 8.0, tmp_path / "told"
    try:
        while kills < 50:
            with told.open("wb") as log:
                process = subprocess.Popen(ask, cwd=ROOT, env=os.environ, stderr=log, stdout=log)
            try:
                code = process.wait(luck.uniform(0.2, span))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                continue
            assert code == 0, told.read_text()[-2000:]
            span = max(span * 0.8, 2.0)  # it ended: strike earlier
            fo.delete_dataset(name)
            shutil.rmtree(tmp_path / "killed")
        assert subprocess.run(ask, cwd=ROOT, check=False).returncode == 0
        assert contents(name) == expected
    finally:
        fo.delete_dataset(whole)
