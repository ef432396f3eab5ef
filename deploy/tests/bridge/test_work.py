"""The worker: what is due is done once, what fails is tried again, what died is taken up again."""

import subprocess
import sys
import time
from datetime import datetime

import pytest

from data_engineering import cvat_server
from data_engineering.cvat_errors import MissingError, OutageError, RefusedError
from data_engineering.function_url import AnswerError, FunctionError
from deploy.bridge import ledger as states
from deploy.bridge import look, work
from deploy.bridge.actions.orders import Again, Due, GiveUp
from deploy.bridge.ledger import OWN_USER, SWEPT, Delivery, Ledger
from deploy.bridge.plan import Plan
from deploy.bridge.settings import Settings
from deploy.bridge.work_queue import WorkQueue
from tests.cvat_stand_in import running

LATER = datetime(2999, 1, 1)
PLAN = Plan.model_validate(
    {
        "functions": {"base": "http://127.0.0.1:1"},
        "stages": {
            "corners": {
                "project": "Corners",
                "labels": "corners",
                "steps": [
                    {"name": "corners", "when": "job in progress", "do": "detect", "function": "f"},
                    {"name": "rectify", "when": "task completed", "do": "rectify", "into": "grid"},
                ],
            },
            "grid": {"project": "Grid", "labels": "grid11x11"},
        },
    }
)


class Acted:
    """In place of the actions."""

    def __init__(self):
        self.done, self.errors = [], []

    def due(self, tools, step, seen):
        if step.do != "detect":
            return [Due("all")]
        return [Due(f"job-{job['id']}", job["id"]) for job in seen.jobs if job["state"] == "in progress"]

    def run(self, tools, order):
        if self.errors:
            raise self.errors.pop(0)
        self.done.append((order.step.name, order.row.task, order.row.job))
        return "done"


@pytest.fixture
def acted(monkeypatch):
    acted = Acted()
    for place in (look, work):
        monkeypatch.setattr(place, "ACTIONS", dict.fromkeys(("detect", "rectify", "inpaint"), acted))
    return acted


@pytest.fixture
def cvat():
    with running() as server:
        server.add_project("Corners")
        server.add_project("Grid")
        yield server


class Bench:
    """A worker on a stand-in, its queue emptied by hand; pauses are taken as over."""

    def __init__(self, folder, cvat, plan=PLAN, retries_s=(0.0, 0.0)):
        self.cvat, self.ledger, self.queue = cvat, Ledger(folder / "ledger.db"), WorkQueue(folder)
        account = cvat_server.Account(cvat.url, cvat.token)
        self.worker = work.Worker(
            Settings(folder=folder, retries_s=retries_s),
            plan,
            self.ledger,
            self.queue,
            connect=lambda: cvat_server.connect(account, backoff_s=0.001),
        )

    def hint(self, task, job=None, updated=""):
        number, _ = self.ledger.take(f"{time.time_ns()}", "update:task", 1, task, job, updated, "request")
        self.queue.look(number)
        return number

    def run(self, rounds=20):
        huey = self.queue.huey
        for _ in range(rounds):
            for task in huey.read_schedule(LATER):
                huey.enqueue(task)
            task = huey.dequeue()
            if task is None:
                return
            huey.execute(task, LATER)


@pytest.fixture
def bench(tmp_path, cvat, acted):
    return Bench(tmp_path, cvat)


def add_task(cvat, name="T", state="in progress"):
    task = cvat.add_task(1, name, ["a.jpg"])
    for job in cvat.jobs(task):
        job.state = state
    return task


def test_what_is_due_is_done_once_however_often_it_is_told(bench, cvat, acted):
    task = add_task(cvat)
    (job,) = cvat.jobs(task)
    for job_id in (None, job.id, None):
        bench.hint(task.id, job_id)
    bench.run()
    late = bench.hint(task.id, job.id)
    bench.run()
    assert acted.done == [("corners", task.id, job.id)]
    assert bench.ledger.delivery(late).words == "nothing is due"
    cvat.complete(task)
    bench.hint(task.id)
    bench.hint(task.id)
    bench.run()
    assert acted.done[1:] == [("rectify", task.id, None)]


def test_only_the_state_of_cvat_counts_not_what_a_delivery_says(bench, cvat, acted):
    task = add_task(cvat, state="new")
    bench.hint(task.id)
    bench.run()
    assert acted.done == []


def test_a_task_without_photos_waits_for_them(bench, cvat, acted):
    task = cvat.add_task(1, "empty", {})
    bench.hint(task.id)
    bench.run()
    assert acted.done == []


def test_a_delivery_that_comes_before_its_change_is_looked_at_again(bench, cvat, acted):
    task = add_task(cvat)
    number = bench.hint(task.id, updated="2999-01-01T00:00:00.5Z")
    bench.run(rounds=3)
    assert bench.ledger.open_deliveries() == [number]
    assert "yet" in bench.ledger.delivery(number).words
    task.updated = "2999-01-01T00:00:00.500000Z"
    bench.run()
    assert len(acted.done) == 1


@pytest.mark.parametrize(("early", "late"), [("2026-11-20T12:04:49Z", "2026-11-20T12:04:49.000001Z")])
def test_dates_are_compared_to_the_microsecond(early, late):
    def delivery(updated):
        return Delivery(1, "update:task", 1, 2, None, updated, "r", 0.0, 0, None, "")

    seen = look.Seen("corners", {"updated_date": early}, [])
    assert look.is_too_early(seen, delivery(late))
    assert not look.is_too_early(seen, delivery(early))
    assert not look.is_too_early(seen, delivery(""))


def test_what_is_gone_or_elsewhere_is_settled(bench, cvat, acted):
    other = cvat.add_project("Other")
    elsewhere = cvat.add_task(other, "X", ["a.jpg"])
    gone, foreign = bench.hint(9999), bench.hint(elsewhere.id)
    bench.run()
    assert "not there" in bench.ledger.delivery(gone).words
    assert "no project" in bench.ledger.delivery(foreign).words
    assert acted.done == []


def test_while_cvat_is_away_nothing_is_lost(bench, cvat, acted):
    task = add_task(cvat)
    cvat.stop()
    number = bench.hint(task.id)
    bench.run(rounds=2)
    assert bench.ledger.delivery(number).tries == 2
    cvat.start()
    bench.run()
    assert len(acted.done) == 1


@pytest.mark.parametrize(
    "error",
    [
        Again("busy"),
        OutageError("away"),
        FunctionError("away", again=True),
        AnswerError("500", status=500, again=True),
        OSError("x"),
    ],
)
def test_what_may_help_is_tried_again_and_then_given_up(error, bench, cvat, acted):
    task = add_task(cvat)
    acted.errors = [error]
    bench.hint(task.id)
    bench.run()
    assert len(acted.done) == 1
    other = add_task(cvat, "U")
    acted.errors = [error] * 3
    bench.hint(other.id)
    bench.run()
    (row,) = bench.ledger.steps_of(other.id)
    assert (row.state, row.tries, row.reason) == (states.FAILED, 3, str(error))
    bench.ledger.retry(row.id)
    bench.queue.do(row.id)
    bench.run()
    assert bench.ledger.step(row.id).state == states.DONE


@pytest.mark.parametrize(
    "error", [GiveUp("no such label"), MissingError("gone"), RefusedError("400"), AnswerError("400", status=400)]
)
def test_what_needs_a_person_fails_at_once(error, bench, cvat, acted):
    task = add_task(cvat)
    acted.errors = [error]
    bench.hint(task.id)
    bench.run()
    (row,) = bench.ledger.steps_of(task.id)
    assert (row.state, row.tries) == (states.FAILED, 1)


def test_a_step_that_ran_when_the_worker_died_is_done_by_the_next(bench, cvat, acted, tmp_path):
    task = add_task(cvat)
    bench.hint(task.id)
    number = bench.hint(task.id)
    row, _ = bench.ledger.order("corners", task.id, "corners", "job-1", job=1, task_name="T", request_id="r")
    bench.ledger.start(row.id)
    bench.queue.clear()  # a queue that is lost does no harm
    after = Bench(tmp_path, cvat)
    assert after.worker.resume() == 3
    after.run()
    assert acted.done == [("corners", task.id, 1)]
    assert after.ledger.delivery(number).settled


def test_a_sweep_finds_what_no_delivery_told(bench, cvat, acted):
    begun, done = add_task(cvat, "begun"), add_task(cvat, "done")
    cvat.complete(done)
    assert bench.worker.sweep() == 2
    bench.run()
    assert sorted(acted.done) == [("corners", begun.id, 1), ("rectify", done.id, None)]
    cvat.requests.clear()
    assert bench.worker.sweep() == 0
    assert float(bench.ledger.fact(SWEPT)) > 0


def test_the_bridge_learns_its_own_name(bench, cvat, acted):
    bench.hint(add_task(cvat).id)
    bench.run()
    assert bench.ledger.fact(OWN_USER) == "bridge"


def test_a_step_that_the_pipeline_has_no_more_says_so(bench, cvat, acted, tmp_path):
    task = add_task(cvat)
    row, _ = bench.ledger.order("corners", task.id, "older", "r", job=None, task_name="T", request_id="r")
    bench.queue.do(row.id)
    bench.run()
    assert "'older'" in bench.ledger.step(row.id).reason


def test_one_worker_at_a_time(tmp_path):
    with work.alone(tmp_path), pytest.raises(work.BusyError, match="another bridge"), work.alone(tmp_path, wait_s=0.2):
        pass
    with work.alone(tmp_path, wait_s=0.2):
        pass


def test_a_worker_dies_with_the_bridge(tmp_path):
    script = (
        "import os, subprocess, sys, time\n"
        "os.environ['QUADRAT_BRIDGE_PARENT'] = str(os.getpid())\n"
        "child = subprocess.Popen([sys.executable, '-c', "
        "'from deploy.bridge import work; import time; work._die_with_parent(); print(1, flush=True); time.sleep(60)'],"
        " stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    end = time.monotonic() + 20
    while _lives(child):
        assert time.monotonic() < end, "the worker outlived the bridge"
        time.sleep(0.05)


def _lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
