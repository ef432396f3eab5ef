"""The stand-in for CVAT against the recordings of the real one."""

import http.client
import json
from pathlib import Path

import pytest

from tests.cvat_stand_in import running
from tests.cvat_stand_in.receiver import receiving
from tests.cvat_stand_in.replay import Replay
from tests.cvat_stand_in.sameness import Sameness

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "cvat" / "recordings"
SECRET = "throwaway-webhook-secret-1"

recorded = pytest.mark.skipif(not RECORDINGS.exists(), reason="the recordings lie beside the repository, not in it")


@pytest.fixture(scope="module")
def replayed():
    """The recorded life of guide C, played to a fresh server."""
    with receiving(slow_s=1.5) as receiver, running(retry_delays_s=(0.2, 1000)) as server:
        replay = Replay(RECORDINGS / "guide_c", server, receiver)
        replay.run()
        server.settle()
        yield replay
        assert server.errors == []


@recorded
def test_every_recorded_exchange_is_answered_as_cvat_answered_it(replayed):
    outcome = replayed.outcome
    print(f"{outcome.all} exchanges: {outcome.same} the same, in part {dict(outcome.in_part)}, ", end="")
    print(f"skipped {dict(outcome.skipped)}, different {len(outcome.different)}")
    assert outcome.different == []
    assert outcome.all > 500
    assert outcome.same >= 0.98 * outcome.all
    assert outcome.skipped == {"no answer in the recording": 1}


@recorded
def test_the_webhooks_told_the_same_in_the_same_order(replayed):
    there = json.loads((RECORDINGS / "guide_c" / "guide_c_webhooks.json").read_text())["deliveries"]
    # The other receivers of the recording fail, stall or redirect: theirs come when they come.
    there = [json.loads(one["raw"]) for one in there if one["path"] == "/hook"]
    here = [one for one in replayed.receiver.deliveries if one.path == "/hook"]
    assert [one["event"] for one in there] == [one.body["event"] for one in here]
    assert all(one.signed_with(SECRET) for one in here)
    different = {
        f"{place} {one['event']}": found
        for place, (one, other) in enumerate(zip(there, here, strict=True))
        if (found := replayed.same.differences(one, other.body))
    }
    assert different == {}


@recorded
@pytest.mark.parametrize("path", ["/fail", "/slow", "/redirect"])
def test_a_receiver_that_does_not_take_a_delivery_gets_it_again(replayed, path):
    came = [one for one in replayed.receiver.deliveries if one.path == path]
    assert len(came) == 2
    assert came[0].body == came[1].body


LABELS = [
    {
        "name": "coral",
        "type": "polygon",
        "attributes": [{"name": "health", "input_type": "select", "values": ["healthy", "dead"]}],
    },
    {"name": "coralmask", "type": "mask"},
    {"name": "box", "type": "rectangle"},
    {"name": "ell", "type": "ellipse"},
    {"name": "img", "type": "tag"},
    {"name": "grid", "type": "skeleton", "sublabels": [{"name": name} for name in ("tl", "tr", "br", "bl")]},
]


@pytest.fixture(scope="module")
def detecting():
    """A server with a task for the answers of detectors."""
    with running() as server:
        task = server.add_task(server.add_project("matrix", LABELS), "t", ["a.jpg"])
        yield server, task
        assert server.errors == []


def matrix():
    path = RECORDINGS / "detector_response_matrix.json"
    return json.loads(path.read_text()) if path.exists() else []


@recorded
@pytest.mark.parametrize("case", matrix(), ids=lambda case: f"{case['case']}-{case['conv_mask_to_poly']}")
def test_the_answer_of_a_detector_is_read_as_cvat_reads_it(detecting, case):
    server, task = detecting
    server.add_function("f", lambda photo: case["function_response"])
    body = {"task": task.id, "frame": 0, "conv_mask_to_poly": case["conv_mask_to_poly"]}
    status, answer = ask(server, "POST", "/api/lambda/functions/f", body)
    assert status == case["status"]
    if status == 400:
        assert answer == case["cvat"]
    if status == 200:
        assert len(answer["tags"]) == case["cvat"]["tags"]
        shapes = [{name: shape[name] for name in LISTED} | elements(shape) for shape in answer["shapes"]]
        assert shapes == [{**shape, **short(shape)} for shape in case["cvat"]["shapes"]]


LISTED = ("type", "points", "rotation", "occluded", "outside", "group", "score", "source", "z_order", "attributes")


def elements(shape):
    parts = [[part["points"], part["outside"], part["occluded"]] for part in shape["elements"]]
    return {"elements": parts} if parts else {}


def short(shape):
    return {"elements": [part[1:] for part in shape["elements"]]} if "elements" in shape else {}


def ask(server, method, path, body=None, token=None):
    """One request without the SDK."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    headers = {"Authorization": f"Bearer {token or server.token}", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    raw = answer.read()
    connection.close()
    return answer.status, json.loads(raw) if answer.headers["Content-Type"].endswith("json") else raw.decode()


JOB = {"id": 7, "task_id": 3, "state": "new", "updated_date": "2026-11-20T12:04:42.979615Z"}
HERE = {"id": 1, "task_id": 2, "state": "new", "updated_date": "2026-11-28T13:00:00.000001Z"}


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "completed"},
        {"id": 2},
        {"task_id": 9},
        {"updated_date": "2026-11-28T13:00:00.000002Z"},
        {"updated_date": None},
        {"more": 1},
    ],
    ids=str,
)
def test_a_difference_is_seen(changed):
    same = Sameness()
    assert same.differences(JOB, HERE, "job") == []
    assert len(same.differences(JOB, {**HERE, **changed}, "job")) == 1


def test_two_ids_of_the_recording_cannot_be_one_here():
    same = Sameness()
    assert same.differences([{"label_id": 5}, {"label_id": 6}], [{"label_id": 1}, {"label_id": 1}]) != []


def test_ids_in_addresses_and_requests_are_those_of_this_run():
    same = Sameness()
    recorded_url = "http://127.0.0.1:18085/api/tasks/33?rq_id=action%3Dexport%26target%3Dtask%26target_id%3D33"
    here = "http://127.0.0.1:4000/api/tasks/3?rq_id=action%3Dexport%26target%3Dtask%26target_id%3D3"
    assert same.differences({"url": recorded_url}, {"url": here}) == []
    assert same.translate_text("/api/tasks/33/data?task_id=33") == "/api/tasks/3/data?task_id=3"
    assert same.translate({"task_id": 33, "frame": 33}) == {"task_id": 3, "frame": 33}
    assert same.differences({"url": recorded_url}, {"url": here.replace("tasks/3", "tasks/4")}) != []
