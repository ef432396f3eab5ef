"""The web side: who may deliver, what is answered, what is put down."""

import hashlib
import hmac
import json

import pytest
from fastapi.testclient import TestClient

from deploy.bridge import app, events
from deploy.bridge.ledger import HEARTBEAT, OWN_USER, Ledger
from deploy.bridge.plan import GUIDES, read
from deploy.bridge.settings import Settings
from deploy.bridge.work_queue import WorkQueue

SECRET = "a-secret-of-some-length"
JOB = {"id": 48, "task_id": 33, "project_id": 62, "updated_date": "2026-11-20T12:04:49.134192Z"}
BODY = json.dumps(
    {"event": "update:job", "job": JOB, "sender": {"username": "annotator"}, "changes": {"state": {}}}
).encode()


class Web:
    def __init__(self, folder, **settings):
        self.ledger, self.queue = Ledger(folder / "ledger.db"), WorkQueue(folder)
        made = Settings(**{"secrets": (SECRET,), "folder": folder, **settings})
        self.client = TestClient(app.make_app(made, read(GUIDES / "c.yaml"), self.ledger, self.queue, "http://cvat"))

    def deliver(self, body=BODY, *, secret=SECRET, **headers):
        if secret:
            digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            headers = {"X-Signature-256": f"sha256={digest}", **headers}
        return self.client.post(events.WEBHOOK, content=body, headers={"Content-Type": "application/json", **headers})


@pytest.fixture
def web(tmp_path):
    return Web(tmp_path)


def test_a_delivery_is_put_down_and_queued_and_then_answered(web):
    answer = web.deliver()
    assert (answer.status_code, answer.json()["outcome"]) == (200, "taken")
    (number,) = web.ledger.open_deliveries()
    kept = web.ledger.delivery(number)
    assert (kept.event, kept.project, kept.task, kept.job) == ("update:job", 62, 33, 48)
    assert answer.headers["X-Quadrat-Request"] == kept.request_id
    assert len(web.queue) == 1
    web.ledger.settle(number, "nothing is due")
    assert web.deliver().json()["outcome"] == "known"
    assert len(web.queue) == 1


def test_a_delivery_that_the_queue_cannot_take_is_not_lost(web, monkeypatch):
    def broken(number):
        raise OSError("no space left")

    monkeypatch.setattr(web.queue, "look", broken)
    with pytest.raises(OSError, match="no space"):
        web.deliver()
    assert len(web.ledger.open_deliveries()) == 1
    monkeypatch.undo()
    assert web.deliver().json()["outcome"] == "known", "CVAT sends it again"
    assert len(web.queue) == 1


@pytest.mark.parametrize(
    ("secret", "headers", "status", "code"),
    [
        (None, {}, 401, "unsigned"),
        ("another-secret-of-length", {}, 403, "bad_signature"),
        (None, {"X-Signature-256": "sha256="}, 403, "bad_signature"),
        (SECRET, {"Content-Type": "text/plain"}, 415, "bad_type"),
    ],
)
def test_who_may_not_deliver(secret, headers, status, code, web):
    answer = web.deliver(secret=secret, **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert web.ledger.open_deliveries() == []


def test_what_is_too_large_is_not_read_to_its_end(web):
    answer = web.deliver(b" " * (events.MAX_BYTES + 1))
    assert answer.status_code == 413


def test_a_body_that_is_no_delivery_is_said_to_be_none(web):
    answer = web.deliver(b"[]")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_delivery")


def test_unsigned_ones_are_taken_only_if_told_to(tmp_path):
    web = Web(tmp_path, secrets=(), unsigned=True)
    assert web.deliver(secret=None).status_code == 200
    assert web.deliver(secret="another-secret-of-length").status_code == 403


def test_echoes_are_known_by_the_user_that_the_worker_found_out(web, tmp_path):
    web.ledger.remember(OWN_USER, "annotator")
    assert web.deliver().json()["outcome"] == "ignored"


def test_health_is_that_of_the_worker(web):
    import time

    assert web.client.get("/livez").status_code == 200
    assert web.client.get("/healthz").status_code == 503
    web.ledger.remember(HEARTBEAT, str(time.time()))
    assert web.client.get("/healthz").status_code == 200


def test_what_is_refused_is_counted(web):
    web.deliver()
    web.deliver(secret=None)
    text = web.client.get("/metrics").text
    assert 'outcome="taken"} 1.0' in text
    assert 'outcome="unsigned"} 1.0' in text


def test_metrics_are_told_while_the_queue_is_away(web, monkeypatch):
    def broken(self):
        raise OSError("no Redis")

    monkeypatch.setattr(type(web.queue), "__len__", broken)
    assert "quadrat_bridge_queue_length NaN" in web.client.get("/metrics").text


def test_there_is_no_page_of_the_interface(web):
    for path in ("/docs", "/openapi.json", "/redoc"):
        assert web.client.get(path).status_code == 404
