"""Pushing to the stand-in with the real cvat-sdk: nothing twice, and a human's never lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cvat_sdk import Client
from PIL import Image

from data_engineering import cvat_draw, cvat_pull, cvat_push, cvat_server
from data_engineering.cvat_errors import CvatError
from data_engineering.cvat_server import Account, Project
from quadrat import cvat_labels
from quadrat.drawn import Drawn, DrawnPhoto
from tests.cvat_stand_in import Server

NAMES = ("TL", "TR", "BR", "BL")
SKELETON = cvat_labels.skeleton_label("quadrat", NAMES, [[10, 10], [90, 10], [90, 90], [10, 90]], [(0, 1)])
LABELS = [*cvat_labels.segmentation_labels(["Porites", "Acropora"]), SKELETON]
SIZE = (64, 48)
RING = np.array([[1.0, 1.0], [20.5, 1.0], [20.5, 30.25]])


@pytest.fixture
def project(client: Client) -> Project:
    made = cvat_push.create_project(client, "Corals", LABELS)
    assert made is not None
    return made


@pytest.fixture
def photos(tmp_path: Path) -> list[DrawnPhoto]:
    """Three photos with a polygon, a mask and a skeleton that lacks a point."""
    made = []
    for k in range(3):
        path = tmp_path / "here" / f"{k}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", SIZE, (40 * k, 10, 90)).save(path)
        made.append(DrawnPhoto(path.name, SIZE, drawn(), path))
    return made


def drawn(source: str = "auto") -> tuple[Drawn, ...]:
    mask = np.eye(5, dtype=bool)
    points = tuple(Drawn("points", name, np.array([[5.0 * k, 7.0]]), source=source) for k, name in enumerate(NAMES[:3]))
    return (
        Drawn("polygon", "Porites", RING, attributes={"confidence": "73"}, source=source, score=0.73, group=2),
        Drawn("mask", "Acropora", np.array([[3.0, 4.0], [8.0, 9.0]]), mask=mask, source=source, occluded=True),
        Drawn("skeleton", "quadrat", elements=points, source=source),
    )


def pulled(client: Client, project: Project, store: Path) -> dict[str, DrawnPhoto]:
    result = cvat_pull.pull(client, project, store, statuses=cvat_pull.STATUSES)
    assert not result.failed
    collections = [cvat_pull.read_task(cvat_pull.folder_of(store, task_id)) for task_id in result.tasks]
    return {photo.name: photo for collection in collections for photo in collection.photos}


def shape(server: Server, project: Project, frame: int, source: str, **more: Any) -> Mapping[str, Any]:
    label = server.labels(project.id)["Porites"]
    body = {"type": "polygon", "label_id": label, "frame": frame, "points": RING.ravel().tolist(), "attributes": []}
    return {**body, "source": source, **more}


def sources(server: Server, task_id: int) -> list[str]:
    return sorted(one["source"] for one in server.drawn(task_id))


# ---------------------------------------------------------------------------------------------- projects


def test_a_project_is_made_once_with_its_skeleton(server: Server, client: Client, project: Project) -> None:
    server.requests.clear()
    again = cvat_push.create_project(client, "Corals", LABELS)
    assert again is not None
    assert again.id == project.id
    assert server.requests.count(method="POST") == 0
    there = {label["name"]: label for label in cvat_push.labels_of(client, project)}
    assert list(there) == ["Porites", "Acropora", "quadrat"]
    read = cvat_labels.read_skeleton([there["quadrat"]])
    assert read.names == NAMES
    np.testing.assert_allclose(read.xy_percent, [[10, 10], [90, 10], [90, 90], [10, 90]])
    assert read.edges == ((0, 1),)


def test_a_project_with_other_labels_is_refused_with_what_differs(client: Client, project: Project) -> None:
    other = [
        {"name": "Fungia", "type": "polygon", "attributes": []},
        {"name": "Porites", "type": "mask", "attributes": [{"name": "alive", "input_type": "checkbox", "values": []}]},
        cvat_labels.skeleton_label("quadrat", ("TL", "centre"), [[10, 10], [50, 50]]),
    ]
    with pytest.raises(CvatError) as caught:
        cvat_push.create_project(client, "Corals", other)
    for said in (
        "label 'Fungia' is not there",
        "label 'Porites' is of type polygon, not mask",
        "label 'Porites' has no attribute 'alive'",
        "label 'quadrat' lacks the points centre",
    ):
        assert said in str(caught.value)


def test_a_skeleton_without_a_picture_gets_one(client: Client) -> None:
    bare = {key: value for key, value in SKELETON.items() if key != "svg"}
    project = cvat_push.create_project(client, "Bare", [bare])
    assert project is not None
    assert cvat_labels.read_skeleton(cvat_push.labels_of(client, project)).names == NAMES


def test_a_dry_run_makes_no_project(server: Server, client: Client) -> None:
    assert cvat_push.create_project(client, "Corals", LABELS, dry_run=True) is None
    assert server.requests.count(method="POST") == 0


# ---------------------------------------------------------------------------------------------- tasks


def test_what_is_pushed_comes_back_by_a_pull(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto], tmp_path: Path
) -> None:
    pushed = cvat_push.push_task(client, project, "Moorea", photos, subset="val")
    assert (pushed.created, pushed.shapes) == (True, 9)
    back = pulled(client, project, tmp_path / "store")
    assert list(back) == ["0.jpg", "1.jpg", "2.jpg"]
    for photo in photos:
        there = back[photo.name]
        assert there.facts["cvat_subset"] == "val"
        assert there.path is not None
        assert photo.path is not None
        assert there.path.read_bytes() == photo.path.read_bytes()
        polygon, mask, skeleton = there.drawn
        np.testing.assert_array_equal(polygon.xy_px, RING)
        assert (polygon.attributes["confidence"], polygon.score, polygon.group) == ("73", 0.73, 2)
        np.testing.assert_array_equal(mask.mask, np.eye(5, dtype=bool))
        np.testing.assert_array_equal(mask.xy_px, [[3, 4], [8, 9]])
        assert mask.occluded
        assert {e.label: e.outside for e in skeleton.elements} == {"TL": False, "TR": False, "BR": False, "BL": True}
        assert {one.source for one in there.drawn} == {"auto"}


def test_a_password_session_may_write_too(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto]
) -> None:
    account = Account(server.url, ("bridge", "pass"))
    with cvat_server.connect(account, poll_s=0.01, backoff_s=0.001) as by_password:
        assert cvat_push.push_task(by_password, project, "Moorea", photos).shapes == 9
        assert cvat_push.replace_auto(by_password, 1, photos).removed == 9


def test_a_token_that_may_only_read_is_refused_with_the_fix(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto]
) -> None:
    with (
        cvat_server.connect(Account(server.url, server.read_token), poll_s=0.01, backoff_s=0.001) as reader,
        pytest.raises(CvatError, match="Tokens are read-only unless made otherwise"),
    ):
        cvat_push.push_task(reader, project, "Moorea", photos)


def test_a_push_again_does_nothing(server: Server, client: Client, project: Project, photos: list[DrawnPhoto]) -> None:
    first = cvat_push.push_task(client, project, "Moorea", photos)
    server.requests.clear()
    again = cvat_push.push_task(client, project, "Moorea", photos)
    assert (again.task_id, again.created, again.shapes) == (first.task_id, False, 0)
    assert again.left_alone == ("0.jpg", "1.jpg", "2.jpg")
    assert {asked.method for asked in server.requests.found()} == {"GET"}
    with pytest.raises(CvatError, match="has a task 'Moorea' already"):
        cvat_push.push_task(client, project, "Moorea", photos, on_existing="refuse")


@pytest.mark.parametrize(
    "fault",
    [
        {"method": "POST", "path": r"/api/tasks$"},
        {"method": "POST", "path": r"/api/tasks/\d+/data", "skip": 0},
        {"method": "POST", "path": r"/api/tasks/\d+/data", "skip": 1},
        {"method": "POST", "path": r"/api/tasks/\d+/data", "skip": 2},
        {"method": "PATCH", "path": "annotations", "skip": 0},
        {"method": "PATCH", "path": "annotations", "skip": 1},
    ],
)
def test_a_push_that_broke_off_goes_on_and_doubles_nothing(
    fault: dict[str, Any],
    server: Server,
    client: Client,
    project: Project,
    photos: list[DrawnPhoto],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server does what it was asked, and its answer is lost: the worst moment to break off."""
    monkeypatch.setattr(cvat_draw, "_MOST_NUMBERS", 100)  # a request for each photo
    server.faults.cut(0, **fault)
    with pytest.raises(CvatError, match="run the command again"):
        cvat_push.push_task(client, project, "Moorea", photos)
    pushed = cvat_push.push_task(client, project, "Moorea", photos)
    (task,) = server.state.tasks.values()
    assert task.id == pushed.task_id
    assert [photo.name for photo in task.photos] == ["0.jpg", "1.jpg", "2.jpg"]
    assert sorted(one["frame"] for one in server.drawn(task)) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_task_left_empty_by_a_failed_creation_is_made_anew(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    with pytest.raises(CvatError, match="make the task 'Moorea'"):
        cvat_push.push_task(client, project, "Moorea", [replace(photos[0], path=broken)])
    (left,) = server.state.tasks
    pushed = cvat_push.push_task(client, project, "Moorea", photos, on_existing="refuse")
    assert pushed.created
    assert pushed.task_id != left
    assert list(server.state.tasks) == [pushed.task_id]


def test_an_empty_task_that_cannot_be_removed_gets_no_second_beside_it(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto]
) -> None:
    client.tasks.create({"name": "Moorea", "project_id": project.id})
    server.faults.fail(403, method="DELETE")
    with pytest.raises(CvatError, match="may not do that"):
        cvat_push.push_task(client, project, "Moorea", photos)
    assert len(server.state.tasks) == 1
    (task,) = server.state.tasks.values()
    task.owner = server.users["admin"].id
    with pytest.raises(CvatError, match="belongs to 'admin', who may be uploading them just now"):
        cvat_push.push_task(client, project, "Moorea", photos)
    assert list(server.state.tasks.values()) == [task]


def test_a_dry_run_says_what_it_would_do(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto]
) -> None:
    server.requests.clear()
    assert cvat_push.push_task(client, project, "Moorea", photos, dry_run=True) == cvat_push.Pushed(None, True, 9)
    assert {asked.method for asked in server.requests.found()} == {"GET"}


def test_a_label_that_the_project_lacks_is_named_before_anything_is_made(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto]
) -> None:
    strange = [Drawn("polygon", "Fungia", RING), Drawn("polygon", "Porites", RING, attributes={"depth": "3"})]
    with pytest.raises(ValueError, match=r"label 'Fungia', attribute 'depth' of 'Porites'"):
        cvat_push.push_task(client, project, "Moorea", [replace(photos[0], drawn=tuple(strange))])
    assert not server.state.tasks


def test_photos_of_one_name_in_several_folders_are_told_apart(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto]
) -> None:
    named = [replace(photo, name=f"{site}/1.jpg") for photo, site in zip(photos, "abc", strict=True)]
    pushed = cvat_push.push_task(client, project, "Moorea", named)
    assert pushed.task_id is not None
    assert [photo.name for photo in server.state.tasks[pushed.task_id].photos] == ["a_1.jpg", "b_1.jpg", "c_1.jpg"]
    assert len(server.drawn(pushed.task_id)) == 9


def test_the_folder_of_a_photo_is_not_sent(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    post = type(client.api_client.rest_client).POST
    monkeypatch.setattr(
        type(client.api_client.rest_client),
        "POST",
        lambda self, *args, **kwargs: sent.append(str(kwargs.get("post_params"))) or post(self, *args, **kwargs),
    )
    cvat_push.push_task(client, project, "Moorea", photos)
    assert photos[0].path is not None
    assert any("0.jpg" in one for one in sent)
    assert not any(str(photos[0].path.parent) in one for one in sent)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda photo: replace(photo, path=None), "1 photos have no file, 0.jpg among them"),
        (lambda photo: replace(photo, path=Path("nowhere.jpg")), "1 photos have no file"),
        (lambda photo: replace(photo, name="1.jpg"), "1 photos are there twice, 1.jpg among them"),
        (lambda photo: replace(photo, size_wh=(48, 64)), "has 64 x 48 px in task"),
    ],
)
def test_photos_that_cannot_be_pushed(
    change: Any, said: str, client: Client, project: Project, photos: list[DrawnPhoto]
) -> None:
    with pytest.raises(CvatError, match=said):
        cvat_push.push_task(client, project, "Moorea", [change(photos[0]), *photos[1:]])


def test_a_task_of_other_photos_is_refused(client: Client, project: Project, photos: list[DrawnPhoto]) -> None:
    cvat_push.push_task(client, project, "Moorea", photos[:1])
    with pytest.raises(CvatError, match=r"has not the photos 1.jpg, 2.jpg \(2 of 3\)"):
        cvat_push.push_task(client, project, "Moorea", photos)


def test_no_photos_and_two_tasks_of_the_name(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto]
) -> None:
    with pytest.raises(CvatError, match="no photo to push"):
        cvat_push.push_task(client, project, "Moorea", [])
    for _ in range(2):
        server.add_task(project.id, "Moorea", ["0.jpg"])
    with pytest.raises(CvatError, match="has 2 tasks 'Moorea'"):
        cvat_push.push_task(client, project, "Moorea", photos)


# ---------------------------------------------------------------------------------------------- a human's work


def test_a_photo_with_a_humans_shape_is_left_alone(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto]
) -> None:
    task = server.add_task(project.id, "Moorea", [photo.name for photo in photos])
    server.draw(task, [shape(server, project, 1, "manual")])
    pushed = cvat_push.push_task(client, project, "Moorea", photos)
    assert pushed.left_alone == ("1.jpg",)
    assert sorted(one["frame"] for one in server.drawn(task)) == [0, 0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize("human", ["manual", "semi-auto", "file"])
def test_replace_auto_replaces_only_what_is_auto(
    human: str, server: Server, client: Client, project: Project, photos: list[DrawnPhoto]
) -> None:
    task = server.add_task(project.id, "Moorea", [photo.name for photo in photos])
    server.draw(task, [shape(server, project, 0, human), *(shape(server, project, k, "auto") for k in (0, 0, 2))])
    ids = {one["id"]: one["source"] for one in server.drawn(task)}
    dry = cvat_push.replace_auto(client, task.id, photos[:1], dry_run=True)
    assert {one["id"]: one["source"] for one in server.drawn(task)} == ids
    done = cvat_push.replace_auto(client, task.id, photos[:1])
    assert (done.shapes, done.removed) == (dry.shapes, dry.removed) == (3, 2)
    left = {one["id"] for one in server.drawn(task)} & set(ids)
    assert {ids[number] for number in left} == {human, "auto"}  # the auto one is on a photo that was not asked for
    assert sources(server, task.id) == sorted([human, *["auto"] * 4])
    again = cvat_push.replace_auto(client, task.id, photos[:1])
    assert (again.shapes, again.removed) == (3, 3)
    assert sources(server, task.id) == sorted([human, *["auto"] * 4])


def test_a_skeleton_whose_point_a_human_moved_is_a_humans() -> None:
    points = [{"source": "auto"}, {"source": "semi-auto"}]
    assert not cvat_draw.is_auto({"source": "auto", "elements": points})
    assert cvat_draw.is_auto({"source": "auto", "elements": points[:1]})


def test_a_shape_that_a_human_takes_over_meanwhile_stays(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = server.add_task(project.id, "Moorea", [photo.name for photo in photos])
    server.draw(task, [shape(server, project, 0, "auto")])
    (own,) = server.drawn(task)
    send = cvat_draw._send

    def human_edits_then_send(*args: Any) -> None:
        edited = {**shape(server, project, 0, "semi-auto"), "id": own["id"]}
        cvat_server.patch_json(
            client,
            f"/api/tasks/{task.id}/annotations/",
            "edit",
            {"shapes": [edited], "tags": [], "tracks": []},
            action="update",
        )
        send(*args)

    monkeypatch.setattr(cvat_draw, "_send", human_edits_then_send)
    assert cvat_push.replace_auto(client, task.id, photos[:1]).removed == 0
    assert sources(server, task.id) == ["auto", "auto", "auto", "semi-auto"]


def test_a_replacement_that_broke_off_is_whole_after_the_next(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto]
) -> None:
    cvat_push.push_task(client, project, "Moorea", photos)
    (task,) = server.state.tasks.values()
    server.draw(task, [shape(server, project, 0, "manual")])
    server.faults.fail(500, method="PATCH", path="action=delete")
    with pytest.raises(CvatError, match="take old predictions out"):
        cvat_push.replace_auto(client, task.id, photos)
    cvat_push.replace_auto(client, task.id, photos)
    assert sources(server, task.id) == [*["auto"] * 9, "manual"]


def _rings(photos: Sequence[DrawnPhoto]) -> int:
    return sum(len(photo.drawn) for photo in photos)


def test_many_shapes_go_in_several_requests_and_none_is_split_over_two(
    server: Server, client: Client, project: Project, photos: list[DrawnPhoto], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cvat_draw, "_MOST_NUMBERS", 250)
    many = [replace(photo, drawn=photo.drawn * 4) for photo in photos]
    server.requests.clear()
    pushed = cvat_push.push_task(client, project, "Moorea", many)
    assert pushed.shapes == _rings(many)
    assert server.requests.count("action=create", "PATCH") == 3
