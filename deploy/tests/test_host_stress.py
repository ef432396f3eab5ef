"""The stress test of the host, small in every run and whole on demand."""

import json

import pytest

from benchmarks import host_clients, host_requests, host_stress

PATH = "/functions/stress-red"


def test_the_host_answers_everything_while_its_workers_are_killed():
    found = host_stress.main(requests=300, kills=3, real=0, rounds=0)
    assert found["faults"] == [], found["wrong"]
    assert (found["good"], found["broken"], found["kills"], found["exit_status"]) == (270, 30, 3, 0)
    assert sum(found["verdicts"].values()) == 300
    assert found["verdicts"]["right"] >= 300 - 3 - found["verdicts"].get("aborted", 0)
    assert "p50" in host_stress.describe(found)


@pytest.mark.slow
def test_ten_thousand_requests_and_twenty_kills():
    found = host_stress.main()
    assert found["ok"], host_stress.describe(found)
    assert found["requests"] == 10_000
    assert found["broken"] == 1000


def answer(points, kind="polygon"):
    return json.dumps([{"type": kind, "points": points}]).encode()


def test_judges_see_what_is_wrong():
    asked = host_requests.good(PATH, (10, 20, 30, 40))
    refused = host_requests.Asked("cut JSON", b"", 400)
    ours = json.dumps({"error": {"code": "worker_crashed", "message": "m"}}).encode()
    right, other = answer([30, 20, 30, 40, 10, 40, 10, 20]), answer([31, 20, 31, 40, 10, 40, 10, 20])
    for request, status, body, verdict in [
        (asked, 200, right, "right"),
        (asked, 200, other, "mixed up"),
        (asked, 200, b"[]", "mixed up"),
        (asked, 0, b"", "unanswered"),
        (asked, 500, ours, "worker killed"),
        (asked, 503, ours.replace(b"worker_crashed", b"busy"), "server error"),
        (asked, 500, b"Internal Server Error", "error without our JSON"),
        (asked, 400, ours, "wrong status"),
        (refused, 400, ours, "right"),
        (refused, 404, ours, "wrong status"),
        (refused, 200, right, "wrong status"),
        (refused, 400, b"Bad Request", "error without our JSON"),
    ]:
        assert host_clients._judge(request, status, body) == verdict, (status, body)


def test_good_requests_are_all_different():
    boxes = host_requests.rectangles()
    first = [next(boxes) for _ in range(20_000)]
    assert len(set(first)) == len(first)
    assert all(x1 <= host_requests.WIDTH and y1 <= host_requests.HEIGHT for _, _, x1, y1 in first)


def test_broken_requests_are_the_same_for_the_same_seed():
    first, second = (host_requests.broken(PATH, 60, 5) for _ in range(2))
    assert first == second
    assert len(first) == 60
    assert first != host_requests.broken(PATH, 60, 6)
    assert len({asked.kind for asked in first}) > 8


def faults(**changed):
    figures = {"verdicts": {"right": 9}, "kills": 3, "restarts_counted": 3, "memory_ratio": 1.0, "exit_status": 0}
    return host_stress._faults({**figures, "memory_before_mb": 100, "memory_after_mb": 120, **changed}, 3)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"verdicts": {"mixed up": 1}}, "1 x mixed up"),
        ({"verdicts": {"unanswered": 2}}, "2 x unanswered"),
        ({"verdicts": {"worker killed": 4}}, "4 requests lost to 3 kills"),
        ({"memory_ratio": 1.2}, "100 MB became 120 MB"),
        ({"kills": 2}, "2 workers killed"),
        ({"exit_status": -9}, "ended with -9"),
    ],
)
def test_faults_are_said(changed, word):
    assert faults() == []
    assert word in faults(**changed)[0]
