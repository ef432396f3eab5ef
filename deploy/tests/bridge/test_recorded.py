"""Deliveries as a real CVAT server sent them: what is taken, what is ignored, and what then happens."""

import copy
import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from deploy.bridge import app, events, look, work
from deploy.bridge.actions.orders import Due
from deploy.bridge.ledger import OWN_USER, Ledger
from deploy.bridge.plan import Plan
from deploy.bridge.settings import Settings
from deploy.bridge.work_queue import WorkQueue

RECORDINGS = Path(__file__).parents[4] / "shared" / "cvat" / "recordings"
GUIDE_C = RECORDINGS / "guide_c" / "guide_c_webhooks.json"
PLAN = Plan.model_validate(
    {
        "functions": {"base": "http://127.0.0.1:1"},
        "stages": {
            "corners": {
                "project": 62,
                "labels": "corners",
                "steps": [
                    {"name": "corners", "when": "job in progress", "do": "detect", "function": "f"},
                    {"name": "rectify", "when": "task completed", "do": "rectify", "into": "grid"},
                ],
            },
            "grid": {
                "project": 63,
                "labels": "grid11x11",
                "steps": [
                    {"name": "clean", "when": "task completed", "do": "inpaint", "function": "g", "into": "corals"}
                ],
            },
            "corals": {"project": 64, "labels": "genera"},
        },
    }
)


class Recorded:
    """CVAT as the deliveries show it: the newest state of each task and job."""

    def __init__(self):
        self.tasks, self.jobs = {}, {}

    def learn(self, raw):
        for known, one in ((self.tasks, raw.get("task")), (self.jobs, raw.get("job"))):
            if one and one.get("updated_date", "") >= known.get(one["id"], {}).get("updated_date", ""):
                known[one["id"]] = {"type": "annotation", **copy.deepcopy(one)}

    def get_json(self, client, path, doing, **query):
        kind, number = path.split("/")[2:4]
        return {"tasks": self.tasks, "jobs": self.jobs}[kind][int(number)]

    def get_all(self, client, path, doing, **query):
        return [job for job in self.jobs.values() if job["task_id"] == query["task_id"]]


class Acted:
    """In place of the actions: notes what was done."""

    def __init__(self):
        self.done = []

    def due(self, tools, step, seen):
        if step.do != "detect":
            return [Due("all")]
        return [Due(f"job-{job['id']}", job["id"]) for job in seen.jobs if job["state"] == "in progress"]

    def run(self, tools, order):
        self.done.append((order.row.stage, order.step.name, order.row.task, order.row.job))
        return "done"


@pytest.fixture
def recorded(monkeypatch):
    cvat, acted = Recorded(), Acted()
    for place in (look.cvat_server, work.cvat_server):
        monkeypatch.setattr(place, "get_json", cvat.get_json)
        monkeypatch.setattr(place, "get_all", cvat.get_all)
    monkeypatch.setattr(look, "ACTIONS", dict.fromkeys(("detect", "rectify", "inpaint"), acted))
    monkeypatch.setattr(work, "ACTIONS", dict.fromkeys(("detect", "rectify", "inpaint"), acted))
    monkeypatch.setattr(look.Projects, "numbers", lambda self, client: {"corners": 62, "grid": 63, "corals": 64})
    return cvat, acted


class Bridge:
    """Web side and worker in one process, the queue emptied by hand."""

    def __init__(self, folder, secret):
        self.ledger, self.queue = Ledger(folder / "ledger.db"), WorkQueue(folder)
        self.ledger.remember(OWN_USER, "bridge")
        settings = Settings(secrets=(secret,), folder=folder)
        self.worker = work.Worker(settings, PLAN, self.ledger, self.queue, connect=object)
        self.client = TestClient(app.make_app(settings, PLAN, self.ledger, self.queue, "http://cvat"))

    def post(self, raw, signature):
        headers = {"Content-Type": "application/json"} | ({"X-Signature-256": signature} if signature else {})
        return self.client.post(app.WEBHOOK, content=raw, headers=headers)

    def work(self):
        while len(self.queue):
            task = self.queue.huey.dequeue()
            if task is None:
                return
            self.queue.huey.execute(task)


def deliveries():
    raw = json.loads(GUIDE_C.read_text("utf-8"))
    return raw["secret"], [d for d in raw["deliveries"] if d["path"] == "/hook"]


@pytest.mark.skipif(not GUIDE_C.is_file(), reason="the recordings are not here")
def test_a_whole_guide_c_life_replayed(recorded, tmp_path):
    cvat, acted = recorded
    secret, told = deliveries()
    bridge = Bridge(tmp_path, secret)
    outcomes = {}
    for delivery in told:
        cvat.learn(json.loads(delivery["raw"]))
        answer = bridge.post(delivery["raw"].encode(), delivery["headers"]["X-Signature-256"])
        assert answer.status_code == 200
        outcomes[delivery["n"]] = answer.json()["outcome"]
        bridge.work()
    # By hand from the recording's steps: the photos that came (9 68 85 141 238; 216 failed), what the annotator and the
    # reviewer did to job 48 and task 33 (11 47-55); 60 is a redelivery; all else: saves, names, the bridge's own.
    taken = {9, 11, 47, 48, 49, 50, 51, 52, 53, 54, 55, 68, 85, 141, 238}
    assert {n for n, outcome in outcomes.items() if outcome == "taken"} == taken
    assert [n for n, outcome in outcomes.items() if outcome == "known"] == [60]
    assert acted.done == [("corners", "corners", 33, 48), ("corners", "rectify", 33, None)]

    for delivery in reversed(told):  # all of it again, the other way round
        bridge.post(delivery["raw"].encode(), delivery["headers"]["X-Signature-256"])
    bridge.work()
    assert len(acted.done) == 2
    assert bridge.ledger.open_deliveries() == []


@pytest.mark.skipif(not GUIDE_C.is_file(), reason="the recordings are not here")
def test_bad_signatures_are_refused(recorded, tmp_path):
    secret, told = deliveries()
    bridge = Bridge(tmp_path, secret + "-other")
    for delivery in told:
        assert bridge.post(delivery["raw"].encode(), delivery["headers"]["X-Signature-256"]).status_code == 403
        assert bridge.post(delivery["raw"].encode(), None).status_code == 401
    assert bridge.ledger.rows("SELECT * FROM deliveries") == []


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not here")
def test_of_other_recorded_deliveries_those_are_taken_that_tell_of_a_state():
    told = [
        json.loads(path.read_text("utf-8"))["body"] for path in sorted((RECORDINGS / "webhooks").glob("hook_*.json"))
    ]
    states = {"update:job": {"state", "stage"}, "update:task": {"status"}}
    wanted = [
        raw["event"] == "completed:request[create:task]" or bool(states.get(raw["event"], set()) & set(raw["changes"]))
        for raw in told
        if raw["event"].startswith(("update:", "completed:request[create"))
    ]
    taken = [isinstance(events.read(json.dumps(raw).encode()), events.Event) for raw in told]
    assert taken.count(True) == wanted.count(True) > 0
    assert not taken[0], "a ping"
