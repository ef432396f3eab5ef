"""A function draws on the photos of a job: each once, nothing of a person's is touched, doubts are asked about."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from data_engineering import cvat_tasks
from data_engineering.cvat_errors import RefusedError
from deploy.bridge.actions import ACTIONS, detect
from deploy.bridge.actions.orders import GiveUp, Order, Seen

from .conftest import BOX, COLONY, CORNERS, corners, photo, refusal, skeleton


def step_of(bridge):
    return bridge.tools.plan.stages[CORNERS].steps[0]


def test_photos_are_drawn_on_once(bridge):
    task = bridge.task()
    bridge.begin(task)
    assert bridge.go(task) == ["2 photos drawn on"]
    assert bridge.states(task, "corners") == ["ok", "ok"]
    assert [(one["frame"], one["source"]) for one in bridge.server.drawn(task)] == [(0, "auto"), (1, "auto")]
    assert {request for _, _, request in bridge.functions.asked} == {"request-1"}  # goes along to the function
    assert bridge.go(task) == []
    assert len(bridge.functions.asked) == 2


def test_only_jobs_in_progress_are_due(bridge):
    task = bridge.task(["a.jpg", "b.jpg", "c.jpg"], segment_size=2)
    assert bridge.look(task) == []
    second = bridge.server.jobs(task)[1]
    second.state = "in progress"
    assert bridge.go(task) == ["1 photo drawn on"]
    assert list(bridge.rows(task, "corners")) == [2]
    bridge.begin(task)
    assert bridge.go(task) == ["2 photos drawn on"]  # the job that is done is not done again


def test_a_whole_task_is_due_once_it_has_its_photos(bridge):
    step = step_of(bridge).model_copy(update={"when": "task created"})
    assert [one.revision for one in detect.due(bridge.tools, step, Seen(CORNERS, {"size": 2}, []))] == ["task"]


def test_a_persons_drawing_stays(bridge):
    task = bridge.task()
    bridge.draw(task, 0, corners(BOX + 7))
    bridge.begin(task)
    assert bridge.go(task) == ["1 photo drawn on, 1 left as people drew them"]
    first = next(one for one in bridge.server.drawn(task) if one["frame"] == 0)
    assert first["source"] == "manual"
    assert bridge.states(task, "corners") == ["skipped", "ok"]
    assert len(bridge.functions.asked) == 1


def test_a_person_who_draws_while_the_function_thinks_is_not_drawn_over(bridge):
    task = bridge.task()
    bridge.begin(task)

    def meanwhile(file):
        if file == photo(0):
            bridge.draw(task, 0, corners(BOX + 7))

    bridge.functions.always[CORNERS] = meanwhile
    assert bridge.go(task) == ["1 photo drawn on, 1 left as people drew them"]
    assert [one["source"] for one in bridge.server.drawn(task) if one["frame"] == 0] == ["manual"]


def test_doubts_get_an_issue_and_say_why(bridge):
    task = bridge.task(["a.jpg", "b.jpg", "c.jpg"])
    bridge.functions.said |= {
        photo(1): ("review", "a corner is faint; it is blurred"),
        photo(2): ("failed", "no frame"),
    }
    bridge.begin(task)
    assert bridge.go(task) == ["2 photos drawn on, 1 of them for review, 1 failed"]
    assert bridge.states(task, "corners") == ["ok", "review", "failed"]
    assert [row.reason for row in bridge.rows(task, "corners").values()] == [
        "",
        "a corner is faint; it is blurred",
        "no frame",
    ]
    issues = bridge.issues()
    assert [frame for frame, _, _ in issues] == [1, 2]
    assert all(text.startswith("QUADRATSEG corners: ") and "resolve this issue" in text for _, text, _ in issues)
    places = [issue.position for issue in bridge.server.state.issues.values()]
    assert places == [[60, 60, 300, 300], [162, 162, 198, 198]]  # round what is drawn, else in the middle


def test_a_photo_that_the_function_cannot_take_does_not_hold_up_the_rest(bridge):
    task = bridge.task()
    bridge.functions.faults[CORNERS] = [refusal(400, "too dark")]
    bridge.begin(task)
    assert bridge.go(task) == ["1 photo drawn on, 1 failed"]
    assert "too dark" in bridge.rows(task, "corners")[0].reason
    assert [frame for frame, _, _ in bridge.issues()] == [0]


@pytest.mark.parametrize("fault", [refusal(500), (200, b"<html>", {}), refusal(429), (200, b"{}", {})])
def test_a_function_that_stumbles_is_asked_again_and_the_others_are_kept(bridge, fault):
    task = bridge.task()
    bridge.functions.faults[CORNERS] = [fault] * (5 if fault[0] >= 429 else 1)
    bridge.begin(task)
    [said] = bridge.go(task)
    assert said.startswith("Again: a.jpg: ")
    assert list(bridge.rows(task, "corners")) == [1]
    assert bridge.do() == ["2 photos drawn on"]
    assert sorted(one["frame"] for one in bridge.server.drawn(task)) == [0, 1]


def test_a_function_that_is_away_stops_the_step_and_what_is_done_is_kept(bridge):
    task = bridge.task([f"{k}.jpg" for k in range(4)])
    bridge.begin(task)
    asked = []

    def away(file):
        asked.append(file)
        return refusal(404) if len(asked) == 3 else None

    bridge.functions.always[CORNERS] = away
    [said] = bridge.go(task)
    assert said.startswith("FunctionError: ")
    assert len(asked) == 3
    assert bridge.states(task, "corners") == ["ok", "ok"]
    assert bridge.do() == ["4 photos drawn on"]


def test_in_the_last_try_a_photo_that_never_works_is_left_to_people(bridge):
    task = bridge.task()
    bridge.functions.always[CORNERS] = lambda file: refusal(500, "boom") if file == photo(0) else None
    bridge.begin(task)
    assert bridge.go(task)[0].startswith("Again")
    assert bridge.do()[0].startswith("Again")
    assert bridge.do() == ["1 photo drawn on, 1 failed"]
    assert [frame for frame, _, _ in bridge.issues()] == [0]


def test_a_function_that_answers_nothing_at_all_leaves_no_issues(bridge):
    task = bridge.task()
    bridge.functions.always[CORNERS] = lambda file: refusal(500)
    bridge.begin(task)
    assert [said[:5] for said in [*bridge.go(task), *bridge.do(), *bridge.do()]] == ["Again"] * 3
    assert bridge.issues() == []
    assert bridge.rows(task, "corners") == {}


def test_shapes_that_have_no_place_are_said(bridge):
    bridge.functions.shapes[CORNERS] = [skeleton("frame", ("1", "2", "3", "4"), BOX)]
    task = bridge.task(["a.jpg"])
    bridge.begin(task)
    assert bridge.go(task) == ["0 photos drawn on, 1 failed"]
    assert "'frame' is not among the labels" in bridge.rows(task, "corners")[0].reason


def test_a_drawing_that_cvat_refuses_fails_alone(bridge, monkeypatch):
    task = bridge.task()
    bridge.begin(task)
    add = detect.cvat_draw.add

    def refuses(client, task_id, photos):
        if any(one.name == "a.jpg" for one in photos):
            raise RefusedError("the server refused it")
        return add(client, task_id, photos)

    monkeypatch.setattr(detect.cvat_draw, "add", refuses)
    assert bridge.go(task) == ["1 photo drawn on, 1 failed"]
    assert [one["frame"] for one in bridge.server.drawn(task)] == [1]


def test_a_broken_verdict_is_a_failure_of_that_photo(bridge):
    task = bridge.task(["a.jpg"])
    bridge.functions.faults[CORNERS] = [(200, json.dumps([corners()]).encode(), {"X-Quadrat-Verdict": "splendid"})]
    bridge.begin(task)
    assert bridge.go(task) == ["0 photos drawn on, 1 failed"]
    assert "splendid" in bridge.rows(task, "corners")[0].reason


def test_a_function_that_does_not_judge_draws_without_doubt(bridge):
    task = bridge.task(stage="corals")
    bridge.begin(task)
    assert bridge.go(task, "corals") == ["2 photos drawn on"]
    assert [one["points"] for one in bridge.server.drawn(task)] == [COLONY["points"]] * 2


def test_what_was_drawn_before_a_kill_is_known_again(bridge):
    task = bridge.task(["a.jpg"])
    bridge.functions.said[photo(0)] = ("review", "faint")
    bridge.begin(task)
    bridge.look(task)
    bridge.draw(task, 0, corners(), source="auto")  # what the last try had written
    assert bridge.do() == ["1 photo drawn on, 1 of them for review"]
    assert len(bridge.server.drawn(task)) == 1
    assert [frame for frame, _, _ in bridge.issues()] == [0]


def test_a_photo_that_cvat_cannot_give_is_failed(bridge):
    task = bridge.task()
    bridge.server.faults.fail(400, path="number=0", times=None)
    bridge.begin(task)
    assert bridge.go(task) == ["1 photo drawn on, 1 failed"]


def test_deleted_photos_and_those_of_checks_are_left_alone(bridge, monkeypatch):
    task = bridge.task(["a.jpg", "b.jpg", "c.jpg"])
    get = cvat_tasks.cvat_server.get_json

    def with_deleted(client, path, doing, **query):
        found = get(client, path, doing, **query)
        return {**found, "deleted_frames": [0]} if path.endswith("data/meta") else found

    monkeypatch.setattr(cvat_tasks.cvat_server, "get_json", with_deleted)
    seen = Seen(CORNERS, {"id": task.id, "name": "x"}, [{"id": 1, "start_frame": 0, "stop_frame": 1}])
    assert list(cvat_tasks.read(bridge.tools.client, seen.task, seen.jobs).photos) == [1]  # 2 is in no such job


def test_a_photo_that_cvat_stumbles_over_does_not_hold_up_the_rest(bridge):
    task = bridge.task()
    bridge.server.faults.fail(500, path="number=0", times=None)
    bridge.begin(task)
    assert [said[:5] for said in [*bridge.go(task), *bridge.do()]] == ["Again", "Again"]
    assert bridge.states(task, "corners") == ["ok"]
    assert bridge.do() == ["1 photo drawn on, 1 failed"]


def test_a_video_is_given_up(bridge, monkeypatch):
    task = bridge.task(["a.jpg"])
    bridge.begin(task)
    bridge.look(task)
    monkeypatch.setattr(cvat_tasks.cvat_server, "get_json", lambda *_, **__: {"frames": [{}], "size": 9})
    order = Order(bridge.ledger.open_steps()[0], step_of(bridge), Seen(CORNERS, {"id": task.id}, []))
    with pytest.raises(GiveUp, match="video"):
        ACTIONS["detect"].run(bridge.tools, order)


def test_many_photos_come_in_parts(bridge, monkeypatch):
    monkeypatch.setattr(detect, "_AT_A_TIME", 2)
    task = bridge.task([f"{k}.jpg" for k in range(5)])
    bridge.begin(task)
    assert bridge.go(task) == ["5 photos drawn on"]
    assert bridge.server.requests.count("action=create", "PATCH") == 3


def test_tools_say_which_try_is_the_last(bridge):
    task = bridge.task()
    bridge.begin(task)
    [row] = bridge.look(task)
    tools = bridge.tools  # two pauses
    assert [tools.is_last_try(replace(row, tries=tries)) for tries in (0, 1, 2)] == [False, False, True]
