"""The bridge's counters, and the dashboard that draws them."""

import json
import re
import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import bridge_example
from deploy.bridge import ledger as states
from deploy.bridge import metrics, plan
from deploy.bridge.ledger import Ledger

REPOSITORY = Path(__file__).parents[3]
DASHBOARD = REPOSITORY / "deploy" / "bridge" / "dashboard" / "grafana.json"
DOCS = REPOSITORY / "docs" / "operations.md"
GUIDE = plan.read(plan.GUIDES / "c.yaml")


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.db")


def ask(ledger, deliveries=None, queued=3):
    """Name, labels and value of all that is told."""
    app = FastAPI()
    app.include_router(metrics.routes(ledger, GUIDE, deliveries or metrics.Deliveries(), lambda: queued))
    answer = TestClient(app).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]


def value(samples, name, **labels):
    found = [s.value for s in samples if s.name == f"quadrat_bridge_{name}" and labels.items() <= s.labels.items()]
    assert found, f"{name} {labels} is not there"
    return sum(found)


def run(ledger, step, task, seconds, monkeypatch, photos=()):
    """A step that took so long."""
    row, _ = ledger.order("corners", task, step, "r", job=None, task_name="secret reef", request_id="abc")
    begin = time.time()
    with monkeypatch.context() as patched:
        patched.setattr(states.time, "time", lambda: begin)
        ledger.start(row.id)
        for frame, state in enumerate(photos):
            ledger.set_photo(row, frame, f"secret-{frame}.jpg", state)
        patched.setattr(states.time, "time", lambda: begin + seconds)
        ledger.finish(row.id, "done")
    return row


def test_deliveries_are_counted_and_timed(ledger):
    deliveries = metrics.Deliveries()
    deliveries.count("update:job", "taken", 0.003)
    deliveries.count("update:job", "known", 0.002)
    deliveries.count("<made up>", "ignored", 0.002)
    deliveries.count("", "bad_signature", 20)
    samples = ask(ledger, deliveries)
    assert value(samples, "deliveries_total", event="update:job", outcome="taken") == 1
    assert value(samples, "deliveries_total", event="other") == 2
    assert value(samples, "answer_seconds_count") == 4
    assert value(samples, "answer_seconds_bucket", le="0.0025") == 2
    assert value(samples, "answer_seconds_bucket", le="10.0") == 3


def test_steps_are_read_from_the_ledger(ledger, monkeypatch):
    for task, seconds in ((1, 0.5), (2, 1), (3, 100), (4, 9999)):
        run(ledger, "corners", task, seconds, monkeypatch)
    row, _ = ledger.order("corners", 5, "corners", "r", job=None, task_name="T", request_id="abc")
    ledger.start(row.id)
    ledger.try_again(row.id, "away", time.time())
    ledger.start(row.id)
    ledger.fail(row.id, "away")
    samples = ask(ledger)
    corners = {"stage": "corners", "step": "corners"}
    assert value(samples, "steps", **corners, state="done") == 4
    assert value(samples, "steps", **corners, state="failed") == 1
    assert value(samples, "steps", stage="corals", step="colonies", state="waiting") == 0  # there before it happens
    assert value(samples, "failed_tries", **corners) == 2
    filled = [value(samples, "step_seconds_bucket", **corners, le=le) for le in ("1.0", "60.0", "120.0", "+Inf")]
    assert filled == [2, 2, 3, 4]
    assert value(samples, "step_seconds_count", **corners) == 4
    assert value(samples, "step_seconds_sum", **corners) == pytest.approx(10_100.5, abs=0.01)


def test_photos_by_state_and_those_that_a_person_must_see(ledger, monkeypatch):
    run(ledger, "corners", 1, 1, monkeypatch, [states.OK, states.REVIEW, states.REVIEW, states.FAILED])
    run(ledger, "rectify", 1, 1, monkeypatch, [states.OK, states.OK])
    samples = ask(ledger)
    assert value(samples, "photos", step="corners", state="review") == 2
    assert value(samples, "photos", step="rectify", state="ok") == 2
    assert value(samples, "doubts", state="review") == 1
    assert value(samples, "doubts", state="failed") == 1


def test_queue_worker_and_sweep(ledger):
    samples = ask(ledger, queued=17)
    names = ("queue_length", "open_deliveries", "oldest_delivery_seconds", "worker_alive")
    names += ("worker_heartbeat_timestamp_seconds", "last_sweep_timestamp_seconds")
    assert [value(samples, name) for name in names] == [17, 0, 0, 0, 0, 0]
    now = time.time()
    ledger.take("d", "update:job", 1, 2, 3, "", "abc")
    ledger.remember("worker_heartbeat", str(now - 3))
    ledger.remember("last_sweep", str(now - 400))
    samples = ask(ledger)
    assert value(samples, "worker_alive") == value(samples, "open_deliveries") == 1
    assert value(samples, "worker_heartbeat_timestamp_seconds") == pytest.approx(now - 3, abs=0.1)
    assert value(samples, "last_sweep_timestamp_seconds") == pytest.approx(now - 400, abs=0.1)
    ledger.remember("worker_heartbeat", str(now - 300))
    assert value(ask(ledger), "worker_alive") == 0


def test_no_name_is_told(ledger, monkeypatch):
    run(ledger, "corners", 1, 1, monkeypatch, [states.REVIEW])
    assert "secret" not in str(ask(ledger))


@pytest.fixture(scope="module")
def season(tmp_path_factory):
    ledger = Ledger(tmp_path_factory.mktemp("season") / "ledger.db")
    bridge_example.fill(ledger, 60, time.time())
    deliveries = metrics.Deliveries()
    deliveries.count("update:job", "taken", 0.003)
    return ask(ledger, deliveries)


def test_the_dashboard_names_only_metrics_that_there_are(season):
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    named = set(re.findall(r"\bquadrat_\w+", expressions))
    assert len(named) > 12
    assert named <= {sample.name for sample in season}
    labels = {label for sample in season for label in sample.labels}
    assert set(re.findall(r"(\w+)[=!]~?\"", expressions)) <= labels
    assert set(re.findall(r"{{(\w+)}}", json.dumps(dashboard))) <= labels


def test_every_metric_of_ours_is_in_the_docs(season):
    ours = {re.sub("_(bucket|sum|count)$", "", s.name) for s in season if s.name.startswith("quadrat_")}
    assert ours == set(re.findall(r"^\| `(quadrat_bridge_\w+)`", DOCS.read_text(), re.MULTILINE))
