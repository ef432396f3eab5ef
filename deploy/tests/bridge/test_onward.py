"""Which photos of a finished task go onward, once; and that no kill, wherever it comes, makes anything twice."""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from data_engineering import cvat_server
from data_engineering.cvat_server import Account
from deploy.bridge import stage_labels
from deploy.bridge.actions import onward
from deploy.bridge.actions.orders import Tools
from deploy.bridge.ledger import Ledger
from quadrat.drawn import DrawnPhoto
from tests.cvat_stand_in import running

from .conftest import BOX, CORNERS, Bridge, Functions, KilledError, corners, photo, refusal


@pytest.fixture
def detected(bridge):
    """A task of three photos with their corners; the second is doubted, on the third there are none."""
    task = bridge.task(["a.jpg", "b.jpg", "c.jpg"], subset="Train")
    bridge.functions.said |= {photo(1): ("review", "a corner is faint"), photo(2): ("failed", "no frame")}
    bridge.begin(task)
    bridge.go(task)
    bridge.functions.asked.clear()
    return task


# ---------------------------------------------------------------------------------------------- who goes


def test_nothing_goes_before_the_task_is_completed(bridge, detected):
    assert bridge.look(detected) == []


def test_a_task_that_is_reopened_before_its_step_runs_stays(bridge, detected):
    bridge.complete(detected)
    bridge.look(detected)
    detected.status = "annotation"
    assert bridge.do() == ["nothing is left to do"]
    assert bridge.children() == []


def test_what_is_sure_goes_and_what_is_doubted_waits(bridge, detected):
    bridge.complete(detected)
    assert bridge.go(detected) == ["1 photo into task 2, 2 for review"]
    assert bridge.states(detected, "rectify") == ["ok", "review", "review"]
    [child] = bridge.children()
    assert (child.name, child.subset) == (f"Moorea (from #{detected.id})", "Train")
    assert [one.name for one in child.photos] == ["a.jpg"]
    assert len(bridge.issues()) == 2  # those of the function still serve
    assert bridge.go(detected) == []  # nothing new


def test_a_doubt_is_settled_by_resolving_its_issue(bridge, detected):
    bridge.complete(detected)
    bridge.go(detected)
    bridge.resolve()
    assert bridge.go(detected) == ["1 photo into task 3, 1 without corners"]
    assert bridge.states(detected, "rectify") == ["ok", "ok", "skipped"]
    names = [[task.name, *(one.name for one in task.photos)] for task in bridge.children()]
    assert names == [[f"Moorea (from #{detected.id})", "a.jpg"], [f"Moorea (from #{detected.id}, 2)", "b.jpg"]]
    assert bridge.go(detected) == []


def test_a_doubt_is_settled_by_mending_what_was_drawn(bridge, detected):
    bridge.move(detected, 1, BOX + [0, 5])
    bridge.draw(detected, 2, corners(BOX - 4))
    bridge.complete(detected)
    assert bridge.go(detected) == ["3 photos into task 2"]
    kept = bridge.rows(detected, "rectify")
    assert kept[1].facts["takes"]["corners_xy_px"] == (BOX + [0, 5]).tolist()
    assert [(frame, resolved) for frame, _, resolved in bridge.issues()] == [(1, True), (2, True)]


def test_a_touch_that_moves_nothing_settles_too(bridge, detected):
    bridge.move(detected, 1, BOX)  # CVAT says semi-auto
    bridge.complete(detected)
    assert bridge.go(detected) == ["2 photos into task 2, 1 for review"]


def test_a_photo_without_points_that_nobody_looked_at_waits(bridge):
    task = bridge.task(["a.jpg"])
    bridge.complete(task)
    assert bridge.go(task) == ["1 for review"]
    assert "no corners drawn" in bridge.issues()[0][1]
    bridge.resolve()
    assert bridge.go(task) == ["1 without corners"]
    assert bridge.children() == []
    assert bridge.go(task) == []


def test_a_photo_whose_points_a_person_deleted_is_left_out_and_goes_when_they_are_back(bridge, detected):
    bridge.erase(detected, 1)
    bridge.complete(detected)
    assert bridge.go(detected) == ["1 photo into task 2, 1 for review, 1 without corners"]
    bridge.draw(detected, 1, corners())
    assert bridge.go(detected) == ["1 photo into task 3"]


def test_a_photo_goes_once_and_a_later_change_is_noted(bridge, detected):
    bridge.complete(detected)
    bridge.go(detected)
    bridge.move(detected, 0, BOX + 9)
    assert bridge.go(detected) == ["1 changed after they went onward"]
    row = bridge.rows(detected, "rectify")[0]
    assert (row.state, row.reason) == ("ok", "changed after it went onward")
    assert len(bridge.children()) == 1
    assert bridge.go(detected) == []


def test_points_drawn_twice_are_asked_about(bridge):
    task = bridge.task(["a.jpg"])
    for shift in (0, 10):
        bridge.draw(task, 0, corners(BOX + shift))
    bridge.complete(task)
    assert bridge.go(task) == ["1 for review"]
    assert "drawn 2 times" in bridge.issues()[0][1]
    bridge.resolve()
    assert bridge.go(task) == ["1 without corners"]


def test_the_same_doubt_that_comes_back_is_asked_again(bridge):
    """Impossible corners A, other impossible ones B, A again: each time there is an open issue, and none goes."""
    task = bridge.task(["a.jpg"])
    bridge.draw(task, 0, corners(BOX[[0, 2, 1, 3]]))
    bridge.complete(task)
    assert bridge.go(task) == ["1 for review"]
    bridge.move(task, 0, BOX[[1, 0, 2, 3]])
    assert bridge.go(task) == ["1 for review"]
    bridge.move(task, 0, BOX[[0, 2, 1, 3]])
    assert bridge.go(task) == ["1 for review"]
    assert len(bridge.issues()) == 1
    bridge.resolve()
    assert bridge.go(task) == ["1 without corners"]


def test_the_next_photos_of_a_failed_step_do_not_join_it(bridge, detected):
    """What a step has claimed stays together; what is ready later goes by a step of its own, under another name."""
    bridge.complete(detected)
    bridge.look(detected)
    bridge.server.faults.fail(500, method="POST", path="/api/tasks$", times=None)
    assert bridge.do()[0].startswith("CvatError")
    bridge.server.faults.clear()
    bridge.resolve()
    bridge.look(detected)
    assert bridge.do() == ["1 photo into task 2, 2 for review", "1 photo into task 3, 1 without corners"]
    assert [task.name[-9:] for task in bridge.children()] == ["(from #1)", "om #1, 2)"]


def test_a_task_of_that_name_with_other_photos_is_not_touched(bridge, detected):
    other = bridge.server.add_task(bridge.tools.projects["grid"], f"Moorea (from #{detected.id})", ["x.jpg"])
    bridge.complete(detected)
    [said] = bridge.go(detected)
    assert said.startswith("GiveUp: ")
    assert "has other photos" in said
    assert [one.name for one in other.photos] == ["x.jpg"]


def test_a_photo_that_cannot_be_made_waits_and_the_rest_goes(bridge, detected, monkeypatch):
    bridge.resolve()
    bridge.complete(detected)
    way = replace(onward_way(), make=_fails_for("a.jpg", ValueError("it cannot be read")))
    monkeypatch.setattr("deploy.bridge.actions.rectify.WAY", way)
    assert bridge.go(detected) == ["1 photo into task 2, 1 failed, 1 without corners"]
    assert "it cannot be read" in bridge.issues()[-1][1]
    assert bridge.go(detected) == []
    bridge.resolve()
    monkeypatch.undo()
    assert bridge.go(detected) == ["1 photo into task 3"]


def onward_way():
    from deploy.bridge.actions import rectify

    return rectify.WAY


def _fails_for(name, error):
    make = onward_way().make

    def fails(tools, order, file, row, target):
        if row.name == name:
            raise error
        make(tools, order, file, row, target)

    return fails


def test_a_project_that_is_not_there_yet_is_waited_for(bridge, detected):
    bridge.complete(detected)
    bridge.look(detected)
    bridge.tools = replace(bridge.tools, projects={CORNERS: bridge.tools.projects[CORNERS]})
    assert "the project of stage 'grid' is not in CVAT" in bridge.do()[0]


# ---------------------------------------------------------------------------------------------- links and names


def family_in(address):
    rule = json.loads(parse_qs(urlsplit(address).query)["filter"][0])
    return [term["=="][1] for term in rule["or"]]


def test_all_of_a_family_lead_to_its_list_also_when_grandchildren_come(bridge, detected):
    bridge.complete(detected)
    bridge.go(detected)
    [child] = bridge.children()
    assert [family_in(task.bug_tracker) for task in (detected, child)] == [[1, 2], [1, 2]]
    found = cvat_server.get_json(
        bridge.tools.client, "/api/tasks?" + urlsplit(child.bug_tracker).query, "follow the link"
    )
    assert sorted(task["id"] for task in found["results"]) == [1, 2]
    bridge.begin(child)
    bridge.go(child, "grid")
    bridge.complete(child)
    bridge.go(child, "grid")
    [grandchild] = bridge.children("corals")
    assert [family_in(task.bug_tracker) for task in (detected, child, grandchild)] == [[1, 2, 3]] * 3


def test_a_link_that_a_person_put_there_stays(bridge, detected):
    detected.bug_tracker = "https://example.org/tickets/7"
    bridge.complete(detected)
    bridge.go(detected)
    assert detected.bug_tracker == "https://example.org/tickets/7"


def test_a_former_suffix_is_not_carried_along(bridge):
    task = bridge.task(["a.jpg"], name="Moorea (from #9, 3)")
    bridge.draw(task, 0, corners())
    bridge.complete(task)
    bridge.go(task)
    assert [one.name for one in bridge.children()] == [f"Moorea (from #{task.id})"]


def test_a_name_of_256_letters_keeps_its_tail(bridge):
    task = bridge.task(["a.jpg"], name="M" * 256)
    bridge.draw(task, 0, corners())
    bridge.complete(task)
    bridge.go(task)
    [child] = bridge.children()
    assert len(child.name) == 256
    assert child.name.endswith(f"M (from #{task.id})")


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        (["site/a.jpg", "b.png"], ["a", "b"]),
        (["x/a.jpg", "y/a.jpg"], ["x_a", "y_a"]),
        (["../../etc/passwd", "..", "/abs/c.jpg", "a\\b.jpg"], ["passwd", "photo", "c", "b"]),
        (["a.jpg", "A.png", "a-1.jpg"], ["a-0", "A-1", "a-1-2"]),
        (["a\x00b\nc.jpg", "é" * 300 + ".jpg"], ["a_b_c", "é" * 60]),
        ([".hidden", "..jpg"], ["photo-0", "photo-1"]),
    ],
)
def test_files_have_safe_distinct_names(names, stems):
    there = {frame: DrawnPhoto(name, (4, 4)) for frame, name in enumerate(names)}
    assert list(onward.file_stems(there).values()) == stems


def test_names_that_lead_elsewhere_do_no_harm(bridge):
    task = bridge.task(["a.jpg"])
    task.photos[0].name = "../../../tmp/evil.jpg"
    bridge.draw(task, 0, corners())
    bridge.complete(task)
    assert bridge.go(task) == ["1 photo into task 2"]
    [child] = bridge.children()
    assert [one.name for one in child.photos] == ["evil.jpg"]
    kept = bridge.tools.settings.folder / "mappings" / str(child.id) / "evil.json"
    assert json.loads(kept.read_text())["photo"] == "../../../tmp/evil.jpg"


def test_leftovers_of_steps_that_ended_are_removed(bridge, detected):
    left = bridge.tools.settings.folder / "staging" / "99" / "x.jpg"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    bridge.complete(detected)
    bridge.go(detected)
    assert list((bridge.tools.settings.folder / "staging").iterdir()) == []


# ---------------------------------------------------------------------------------------------- kills


class Kill:
    """Kills at the n-th thing that lasts: a request to CVAT, or a write to the ledger; before or after it."""

    def __init__(self, monkeypatch, client):
        self.left, self.after, self.calls = -1, False, 0
        pool, writing = client.api_client.rest_client.pool_manager, Ledger._writing
        urlopen = pool.urlopen

        def send(*args, **kwargs):
            with self.here():
                return urlopen(*args, **kwargs)

        @contextmanager
        def write(ledger):
            with self.here(), writing(ledger) as connection:
                yield connection

        monkeypatch.setattr(pool, "urlopen", send)
        monkeypatch.setattr(Ledger, "_writing", write)

    @contextmanager
    def here(self):
        self.calls += 1
        dies = self.calls == self.left
        if dies and not self.after:
            raise KilledError
        yield
        if dies:
            raise KilledError


def _bridge_in(folder, server, client, functions, plan):
    projects = {
        key: server.add_project(str(stage.project), stage_labels.labels_of(stage, folder)).id
        for key, stage in plan.stages.items()
    }
    from deploy.bridge.settings import Settings

    settings = Settings(folder=folder / "bridge", retries_s=(0.0,))
    ledger = Ledger(settings.folder / "ledger.db")
    return Bridge(server, functions, Tools(client, plan, projects, ledger, settings, backoff_s=0.001))


def _finish(bridge, task, stage):
    """What a worker does, begun anew after a kill, until nothing is due any more."""
    for _ in range(6):
        try:
            bridge.ledger.recover()
            if not bridge.look(task, stage) and not bridge.ledger.open_steps():
                return
            bridge.do()
        except KilledError:
            continue
    raise AssertionError("it never ends")


def _life(bridge):
    """Corners to corals."""
    bridge.functions.said |= {photo(1): ("review", "faint"), photo(2): ("failed", "no frame")}
    bridge.task(["a.jpg", "b.jpg", "c.jpg"])
    for stage in (CORNERS, "grid", "corals"):
        for task in bridge.children(stage):
            for person in (bridge.begin, bridge.complete):
                person(task)
                _finish(bridge, task, stage)


def _end(bridge):
    """All that people can see at the end; tasks are numbered anew, since an upload that broke off took a number."""
    tasks = list(bridge.server.state.tasks.values())
    number = {task.id: place for place, task in enumerate(tasks, 1)}

    def named(text):
        return re.sub(r"(#|mappings/)(\d+)", lambda found: f"{found[1]}{number[int(found[2])]}", text)

    seen = [
        (
            named(task.name),
            task.project,
            [one.name for one in task.photos],
            [number[k] for k in family_in(task.bug_tracker)],
        )
        for task in tasks
    ]
    drawn = [
        sorted((one["frame"], one["type"], len(one.get("elements", ()))) for one in bridge.server.drawn(task))
        for task in tasks
    ]
    rows = [
        (number[row["task"]], row["step"], row["frame"], row["state"], row["reason"])
        for row in bridge.ledger.rows("SELECT * FROM photos ORDER BY task, step, frame")
    ]
    folder = bridge.tools.settings.folder
    files = sorted(named(path.relative_to(folder).as_posix()) for path in folder.rglob("*.j*"))
    return seen, drawn, sorted(bridge.issues()), rows, files


def _run(functions, plan, monkeypatch, at=-1, after=False):
    functions.said.clear()
    with (
        tempfile.TemporaryDirectory() as folder,
        running() as server,
        cvat_server.connect(Account(server.url, server.token), poll_s=0.01, backoff_s=0.001) as client,
        monkeypatch.context() as patch,
    ):
        bridge = _bridge_in(Path(folder), server, client, functions, plan)
        kill = Kill(patch, client)
        kill.left, kill.after = at, after
        _life(bridge)
        assert not server.errors
        return _end(bridge), kill.calls


def _sweep(functions: Functions, plan, monkeypatch, stride: int) -> int:
    """Kill at every `stride`-th call, before and after it; returns how many kills there were."""
    wanted, calls = _run(functions, plan, monkeypatch)
    assert [state for _, step, _, state, _ in wanted[3] if step == "rectify"] == ["ok", "review", "review"]
    assert len(wanted[0]) == 3
    kills = 0
    for at in range(1, calls + 1, stride):
        for after in (False, True):
            found, _ = _run(functions, plan, monkeypatch, at, after)
            assert found == wanted, f"killed {'after' if after else 'before'} call {at} of {calls}"
            kills += 1
    return kills


def test_a_kill_anywhere_changes_nothing_of_the_end(functions, the_plan, monkeypatch):
    assert _sweep(functions, the_plan, monkeypatch, stride=11) > 20


@pytest.mark.slow
def test_a_kill_at_every_single_call_changes_nothing_of_the_end(functions, the_plan, monkeypatch):
    print(_sweep(functions, the_plan, monkeypatch, stride=1), "kills")


def test_a_step_that_was_killed_makes_the_very_same_picture(bridge, detected, monkeypatch):
    """Corners that a person moves after the claim do not come into it."""
    bridge.complete(detected)
    bridge.look(detected)
    monkeypatch.setattr(onward._Onward, "send", lambda self: (_ for _ in ()).throw(KilledError()))
    with pytest.raises(KilledError):
        bridge.do()
    monkeypatch.undo()
    bridge.move(detected, 0, BOX + 30)
    bridge.ledger.recover()
    bridge.do()
    [child] = bridge.children()
    mapping = bridge.tools.settings.folder / "mappings" / str(child.id) / "a.json"
    assert json.loads(mapping.read_text())["corners_xy_px"] == pytest.approx(BOX, abs=1e-6)


def test_an_upload_that_broke_off_is_begun_anew(bridge, detected):
    bridge.complete(detected)
    bridge.server.faults.drop(method="POST", path="/data/")
    assert bridge.go(detected)[0].startswith("CvatError")
    assert [len(task.photos) for task in bridge.children()] == [0]
    assert bridge.do() == ["1 photo into task 3, 2 for review"]
    assert [len(task.photos) for task in bridge.children()] == [1]


def test_a_child_that_a_person_deleted_meanwhile_is_not_made_again(bridge, detected, monkeypatch):
    bridge.complete(detected)
    bridge.look(detected)
    monkeypatch.setattr(onward._Onward, "_keep_mappings", lambda *_: (_ for _ in ()).throw(KilledError()))
    with pytest.raises(KilledError):
        bridge.do()
    monkeypatch.undo()
    [child] = bridge.children()
    del bridge.server.state.tasks[child.id]
    bridge.ledger.recover()
    assert bridge.do() == ["1 photo into task 2, 2 for review"]
    assert bridge.children() == []


@pytest.mark.parametrize("fault", [refusal(500)])
def test_cvat_in_trouble_loses_nothing(bridge, detected, fault):
    bridge.complete(detected)
    bridge.look(detected)
    bridge.server.faults.fail(500, path="/api/projects", times=None)
    assert bridge.do()[0].startswith("CvatError")
    bridge.server.faults.clear()
    assert bridge.do() == ["1 photo into task 2, 2 for review"]
