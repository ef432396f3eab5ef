"""What deliveries say: signatures, echoes, what is worth a look."""

import contextlib
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.bridge import events
from deploy.bridge.events import DeliveryError, Event, Ignored

SECRET = "a-secret-of-some-length"


def signed(body, secret=SECRET):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def job_update(changes, sender="annotator", **job):
    job = {"id": 48, "task_id": 33, "project_id": 62, "updated_date": "2026-11-20T12:04:49.134192Z", **job}
    told = {"event": "update:job", "webhook_id": 64, "job": job, "sender": {"username": sender}, "changes": changes}
    return json.dumps(told).encode()


STATE = {"state": {"from": "new", "to": "in progress"}, "updated_date": {"from": "a", "to": "b"}}


def test_a_signature_is_that_of_the_raw_body():
    body = job_update(STATE)
    assert events.is_signed(body, signed(body), [SECRET])
    assert not events.is_signed(body + b" ", signed(body), [SECRET])
    assert not events.is_signed(body, signed(body, "another-secret-of-length"), [SECRET])
    assert not events.is_signed(body, None, [SECRET])
    assert not events.is_signed(body, signed(body).removeprefix("sha256="), [SECRET])
    assert not events.is_signed(body, signed(body), [])


def test_while_a_secret_is_replaced_either_will_do():
    body = job_update(STATE)
    assert events.is_signed(body, signed(body), ["the-new-secret-of-length", SECRET])


@given(st.text())
def test_no_text_passes_for_a_signature(text):
    assert not events.is_signed(b"{}", text, [SECRET])


def test_a_job_that_someone_began_is_worth_a_look():
    event = events.read(job_update(STATE), "bridge")
    assert isinstance(event, Event)
    assert (event.project, event.task, event.job) == (62, 33, 48)
    assert event.updated == "2026-11-20T12:04:49.134192Z"


def test_what_the_bridge_did_itself_is_not():
    assert "echo" in events.read(job_update(STATE, sender="bridge"), "bridge").reason
    assert isinstance(events.read(job_update(STATE, sender="bridge"), ""), Event)


@pytest.mark.parametrize("changes", [{}, {"updated_date": {}}, {"assignee_id": {}, "updated_date": {}}, None, []])
def test_nor_is_a_save_of_annotations_or_an_assignee(changes):
    assert isinstance(events.read(job_update(changes), "bridge"), Ignored)


def test_the_same_facts_in_another_order_are_the_same_delivery():
    raw = json.loads(job_update(STATE))
    turned = json.dumps(dict(reversed(raw.items()))).encode()
    assert events.read(turned).digest == events.read(job_update(STATE)).digest
    assert events.read(job_update(STATE, id=49)).digest != events.read(job_update(STATE)).digest


def test_a_task_whose_photos_came_is_worth_a_look_and_one_that_failed_is_not():
    operation = {"type": "create:task", "project_id": 62, "task_id": 33}
    told = {"event": "completed:request[create:task]", "request": {"status": "finished", "operation": operation}}
    event = events.read(json.dumps(told).encode(), "bridge")
    assert (event.project, event.task, event.job) == (62, 33, None)
    told["request"]["status"] = "failed"
    assert isinstance(events.read(json.dumps(told).encode()), Ignored)


def test_a_resolved_issue_is_worth_a_look():
    told = {"event": "update:issue", "issue": {"job": 48, "resolved": True}, "changes": {"resolved": {}}}
    assert events.read(json.dumps(told).encode()).job == 48
    told["issue"]["resolved"] = False
    assert isinstance(events.read(json.dumps(told).encode()), Ignored)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"event": 3}',
        b"[" * 100_000,
        job_update(STATE, task_id="33; DROP TABLE"),
        job_update(STATE, task_id=-1),
        job_update(STATE, id=None),
        job_update(STATE, task_id=True),
        job_update(STATE, task_id=2**60),
        b'{"event": "completed:request[create:task]", "request": {"status": "finished", "operation": []}}',
    ],
)
def test_what_is_no_delivery_is_refused(body):
    with pytest.raises(DeliveryError):
        events.read(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.dictionaries(
            st.sampled_from(
                ["event", "job", "task", "issue", "request", "changes", "sender", "id", "task_id", "operation"]
            ),
            inner | st.sampled_from(events.EVENTS),
        ),
    )
)
def test_whatever_comes_is_read_ignored_or_refused(raw):
    with contextlib.suppress(DeliveryError):
        assert isinstance(events.read(json.dumps(raw).encode(), "bridge"), Event | Ignored)
