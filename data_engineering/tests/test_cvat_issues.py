"""Issues and links of tasks, with the real cvat-sdk against the stand-in."""

from __future__ import annotations

import numpy as np
import pytest
from cvat_sdk import Client

from data_engineering import cvat_issues, cvat_tasks
from data_engineering.cvat_errors import CvatError
from quadrat.drawn import Drawn, DrawnPhoto
from tests.cvat_stand_in import Server
from tests.cvat_stand_in.state import Task

LABELS = [{"name": "Porites", "type": "polygon", "attributes": []}]
BOX = (1.0, 2.0, 30.0, 40.0)


@pytest.fixture
def task(server: Server) -> Task:
    return server.add_task(server.add_project("Corals", LABELS), "Moorea", ["a.jpg", "b.jpg"], segment_size=1)


def test_an_issue_is_made_and_found_again(server: Server, client: Client, task: Task) -> None:
    second = server.jobs(task)[1]
    made = cvat_issues.make(client, second.id, 1, BOX, "corners: faint")
    assert (made.frame, made.job, made.resolved) == (1, second.id, False)
    issues = cvat_issues.of_task(client, task.id)
    assert issues == [made]
    assert cvat_issues.message_of(client, made) == "QUADRATSEG corners: faint"
    assert cvat_issues.open_one(client, issues, 1) == made
    assert cvat_issues.open_one(client, issues, 0) is None
    assert server.state.issues[made.id].position == list(BOX)


def test_issues_of_people_and_resolved_ones_are_not_ours(server: Server, client: Client, task: Task) -> None:
    job = server.jobs(task)[0]
    theirs = cvat_issues.make(client, job.id, 0, BOX, "x")
    next(iter(server.state.comments.values())).message = "look at QUADRATSEG"
    ours = cvat_issues.make(client, job.id, 0, BOX, "y")
    server.state.issues[ours.id].resolved = True
    issues = cvat_issues.of_task(client, task.id)
    assert [issue.resolved for issue in issues] == [False, True]
    assert cvat_issues.open_one(client, issues, 0) is None
    assert cvat_issues.message_of(client, theirs).startswith("look")


def test_a_message_that_is_very_long_is_cut(client: Client, server: Server, task: Task) -> None:
    made = cvat_issues.make(client, server.jobs(task)[0].id, 0, BOX, "x" * 5000)
    assert len(cvat_issues.message_of(client, made)) == 1000


def test_an_issue_lies_round_what_is_drawn_inside_the_photo() -> None:
    points = [
        Drawn("points", str(k), np.array([xy], float), outside=k == 2)
        for k, xy in enumerate([(5, 9), (70, 20), (1, 1)])
    ]
    photo = DrawnPhoto("a.jpg", (64, 48), (Drawn("skeleton", "quadrat", elements=tuple(points)),))
    assert cvat_issues.place_on(photo) == (5, 9, 64, 20)
    assert cvat_issues.place_on(DrawnPhoto("a.jpg", (64, 48))) == pytest.approx((28.8, 21.6, 35.2, 26.4))


def test_a_link_is_kept_up_to_date_and_a_persons_own_stays(server: Server, client: Client, task: Task) -> None:
    other = server.add_task(task.project, "Other", ["a.jpg"])
    cvat_tasks.link(client, {task.id})
    first = task.bug_tracker
    assert first.startswith(f"{server.url}/tasks?page=1&filter=")
    other.bug_tracker = "https://example.org/7"
    cvat_tasks.link(client, {task.id, other.id, 999})  # one that is gone does no harm
    assert task.bug_tracker != first
    assert other.bug_tracker == "https://example.org/7"
    server.requests.clear()
    cvat_tasks.link(client, {task.id, other.id, 999})
    assert server.requests.count(method="PATCH") == 0
    assert len(f"{server.url}{cvat_tasks._list_of(range(10_000_000, 10_000_100))}") < 2000


def test_a_task_is_found_by_its_name_once_it_has_photos(server: Server, client: Client, task: Task) -> None:
    assert task.project is not None
    server.add_task(task.project, "Empty", [])
    assert cvat_tasks.find(client, task.project, "Moorea") == task.id
    assert cvat_tasks.find(client, task.project, "Empty") is None
    assert cvat_tasks.find(client, task.project, "moorea") is None
    assert cvat_tasks.photo_names(client, task.id) == ["a.jpg", "b.jpg"]


def test_a_task_that_cannot_be_read_says_why(client: Client) -> None:
    with pytest.raises(CvatError, match="no such thing"):
        cvat_tasks.read(client, {"id": 99}, [])
