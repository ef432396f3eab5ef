"""What clients, photos and workers can do to the host: nothing that others notice."""

import concurrent.futures
import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from deploy.host import Host, Limits
from deploy.host import pool as pools
from deploy.host.errors import HttpError
from deploy.host.functions import discover
from deploy.host.limits import HostError
from deploy.host.metrics import HostMetrics
from deploy.host.pool import Pool
from deploy.log import LOG_FILE

from .conftest import request

FUNCTIONS = Path(__file__).parent / "functions"
NAME = "fake-red"
HANG, SLOW, HUNGRY, LEAK, NOISY, NAP = 103, 105, 106, 107, 108, 109
CONNECTIONS = 12
LIMITS = Limits(
    workers=3, queue=3, timeout_s=6, memory=400 * 10**6, idle_s=0.4, body_s=1.2, connections=CONNECTIONS, wait_s=20
)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("host") / "host.log"


@pytest.fixture(scope="module")
def host(log):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LOG_FILE, str(log))
        with Host([FUNCTIONS], port=0, limits=LIMITS) as running:
            yield running


@pytest.fixture
def whole(host):
    """The host with all its workers, before and after."""
    wait_for(host, "quadrat_workers_alive", LIMITS.workers)
    yield host
    for name in ("quadrat_queue_depth", "quadrat_in_flight", "quadrat_body_bytes_held"):
        wait_for(host, name, 0)


def metric(host, name, label=""):
    lines = httpx.get(f"{host.url}/metrics").text.splitlines()
    found = [line.rsplit(" ", 1) for line in lines if line.partition("{")[0].partition(" ")[0] == name]
    return sum(float(value) for key, value in found if label in key)


def wait_for(host, name, value, label="", limit_s=20):
    end = time.monotonic() + limit_s
    while (found := metric(host, name, label)) != value:
        assert time.monotonic() < end, f"{name} is {found}, not {value}"
        time.sleep(0.05)


def post(host, width=64, **more):
    return httpx.post(host.urls[NAME], json=request(width), timeout=60, **more)


def post_many(host, widths):
    with concurrent.futures.ThreadPoolExecutor(len(widths)) as threads:
        return [threads.submit(post, host, width) for width in widths]


def pids(host):
    return [worker.pid for worker in host.served[NAME].pool._workers]


def lines(log, request, message="request"):
    """The log's lines of a request, as soon as it has `message`: the answer may arrive before its line is written."""
    for _ in range(100):
        mine = [
            line for line in map(json.loads, log.read_text().splitlines()) if line["with"].get("request") == request
        ]
        if any(line["message"] == message for line in mine):
            return mine
        time.sleep(0.05)
    raise AssertionError(f"no line {message!r} of request {request}")


def dial(host):
    return socket.create_connection(("127.0.0.1", int(host.url.rsplit(":", 1)[1])), 10)


def read_all(connection):
    """Status and error code of what the host says before it hangs up, or 0."""
    data = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            break
        data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if length and len(body) >= int(length[1]):
            break
    status = int(data.split(b" ", 2)[1]) if data else 0
    return status, json.loads(body)["error"]["code"] if data else None


def head(length=1000, path=f"/functions/{NAME}"):
    return f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n".encode()


def test_a_sigkill_of_one_worker_costs_the_request_it_was_on_and_no_other(whole):
    for round_ in range(3):
        running = post_slowly(whole)
        os.kill(pids(whole)[round_], signal.SIGKILL)
        answers = [future.result() for future in running]
        assert sorted(answer.status_code for answer in answers) == [200, 200, 500]
        lost = next(answer for answer in answers if answer.status_code == 500)
        assert lost.json()["error"]["code"] == "worker_crashed"
        wait_for(whole, "quadrat_workers_alive", LIMITS.workers)
        assert post(whole).status_code == 200


def post_slowly(host):
    """A slow request on every worker, all of them begun."""
    threads = concurrent.futures.ThreadPoolExecutor(LIMITS.workers)
    futures = [threads.submit(post, host, NAP) for _ in range(LIMITS.workers)]
    threads.shutdown(wait=False)
    while host.served[NAME].pool.running < LIMITS.workers:  # asked directly: a request is over in 1.5 s
        assert not any(future.done() for future in futures)
        time.sleep(0.01)
    return futures


def test_idle_workers_that_are_killed_cost_nothing(whole):
    before = metric(whole, "quadrat_worker_restarts_total", 'reason="crashed"')
    for pid in pids(whole):
        os.kill(pid, signal.SIGKILL)
    wait_for(whole, "quadrat_worker_restarts_total", before + LIMITS.workers, 'reason="crashed"')
    assert post(whole).status_code == 200


def test_a_memory_hungry_photo_is_told_so_and_costs_no_other_request(whole):
    before = metric(whole, "quadrat_worker_restarts_total", 'reason="memory"')
    hungry, slow = post_many(whole, [HUNGRY, NAP])
    assert hungry.result().status_code == 500
    error = hungry.result().json()["error"]
    assert error["code"] == "out_of_memory"
    assert "passed its 400 MB on this request" in error["message"]
    assert slow.result().status_code == 200
    assert metric(whole, "quadrat_worker_restarts_total", 'reason="memory"') == before + 1
    assert post(whole).status_code == 200


def test_a_worker_that_leaks_is_replaced_after_its_answer(monkeypatch):
    monkeypatch.setattr(pools, "_WATCH_S", 60)  # only what is looked at after an answer
    with Host([FUNCTIONS], port=0, limits=Limits(memory=LIMITS.memory)) as host:
        assert [post(host, width).status_code for width in (64, LEAK, 64)] == [200] * 3
        assert metric(host, "quadrat_worker_restarts_total", 'reason="memory"') == 1


def test_a_hanging_worker_costs_no_other_request(whole):
    hanging, slow = post_many(whole, [HANG, NAP])
    assert (hanging.result().status_code, slow.result().status_code) == (504, 200)
    assert metric(whole, "quadrat_worker_restarts_total", 'reason="timeout"') >= 1


def test_clients_that_send_slowly_are_told_so_and_keep_nobody_out(whole):
    slow = [dial(whole) for _ in range(LIMITS.workers + LIMITS.queue + 1)]
    for connection in slow:
        connection.sendall(head() + b"{")
    assert post(whole).status_code == 200
    assert [read_all(connection) for connection in slow] == [(408, "slow_body")] * len(slow)
    for connection in slow:
        connection.close()


def test_a_body_that_drips_has_an_end_too(whole):
    with dial(whole) as connection:
        connection.sendall(head())
        start = time.monotonic()
        connection.settimeout(0.1)
        while time.monotonic() - start < 5:
            connection.sendall(b" ")
            try:
                piece = connection.recv(1000)
                break
            except TimeoutError:
                continue
        assert piece.startswith(b"HTTP/1.1 408")
        assert LIMITS.body_s - 0.1 < time.monotonic() - start < 3 * LIMITS.body_s


def test_a_head_that_never_ends_is_cut_off(whole):
    with dial(whole) as silent, dial(whole) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nhost: ")
        assert read_all(slow) == (408, "slow_request")
        assert read_all(silent) == (0, None)


def test_what_follows_an_early_answer_is_read_for_a_while_only(whole):
    with dial(whole) as connection:
        connection.sendall(head(10**9, "/functions/unknown"))
        assert read_all(connection) == (404, "no_such_function")
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            drip(connection, 10)


def drip(connection, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        connection.sendall(b" ")
        time.sleep(0.1)


def test_answers_that_nobody_fetches_are_thrown_away(whole):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", int(whole.url.rsplit(":", 1)[1])))
        for _ in range(300):
            connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        wait_for(whole, "quadrat_connections", 1)


def test_connections_beyond_the_limit_are_refused(whole):
    wait_for(whole, "quadrat_connections", 1)
    held = [dial(whole) for _ in range(CONNECTIONS)]
    with dial(whole) as late:
        assert read_all(late) == (503, "busy")
    for connection in held:
        connection.close()
    wait_for(whole, "quadrat_connections", 1)
    assert metric(whole, "quadrat_connections_refused_total") == 1


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (b"hello\r\n\r\n", (400, "bad_http")),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400, "bad_http")),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx-h: " + b"h" * 20_000 + b"\r\n\r\n", (431, "head_too_large")),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", (431, "head_too_large")),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx-h: " + b"h" * 20_000, (431, "head_too_large")),
        (head()[:-2] + b"transfer-encoding: chunked\r\n\r\nno size\r\n", (400, "bad_http")),
    ],
)
def test_what_is_no_http_gets_our_json(whole, raw, answer):
    with dial(whole) as connection:
        connection.sendall(raw)
        assert read_all(connection) == answer


def test_a_request_whose_client_left_is_not_worked_on(whole):
    before = metric(whole, "quadrat_requests_total", 'status="499"')
    running = post_slowly(whole)
    body = json.dumps(request()).encode()
    with dial(whole) as connection:
        connection.sendall(head(len(body)) + body)
        wait_for(whole, "quadrat_queue_depth", 1)
    assert [future.result().status_code for future in running] == [200] * LIMITS.workers
    wait_for(whole, "quadrat_requests_total", before + 1, 'status="499"')


def test_every_line_of_a_request_has_its_id(whole, log):
    answer = post(whole, NOISY, headers={"X-Request-ID": "photo-7.a_b"})
    assert answer.headers["x-quadrat-request"] == "photo-7.a_b"
    mine = lines(log, "photo-7.a_b")
    assert {line["message"] for line in mine} >= {"logged by a library", "answered", "request"}
    assert any("warned" in line["message"] for line in mine)
    access = next(line["with"] for line in mine if line["message"] == "request")
    assert (access["method"], access["path"]) == ("POST", f"/functions/{NAME}")
    assert (access["status"], access["function"], access["client"]) == (200, NAME, "127.0.0.1")
    assert access["bytes_in"] > access["bytes_out"] > 0
    assert access["ms"] > 0


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, 'say "hi"', "é"])
def test_an_id_that_is_not_sane_is_replaced(whole, given):
    answer = httpx.get(f"{whole.url}/livez", headers={"X-Request-ID": given.encode()})
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-quadrat-request"])


def test_other_routes_have_their_line_too(whole, log):
    httpx.get(f"{whole.url}/nothing", headers={"X-Request-ID": "lost"})
    (line,) = (line["with"] for line in lines(log, "lost"))
    assert (line["path"], line["status"], line["error"]) == ("/nothing", 404, "not_found")


def test_a_request_waits_for_a_worker_no_longer_than_it_may(tmp_path):
    with Host([FUNCTIONS], port=0, limits=Limits(workers=1, wait_s=0.1)) as host:
        answers = [future.result() for future in post_many(host, [SLOW, SLOW])]
    assert sorted(answer.status_code for answer in answers) == [200, 503]
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.json()["error"]["message"].startswith(f"no worker of {NAME} became free in 0.1 s")


def test_bodies_together_occupy_no_more_than_a_full_queue_of_the_largest():
    pool = Pool(discover([FUNCTIONS])[0], Limits(workers=1, queue=2, max_body=100), HostMetrics(), None)
    pool.hold(300)
    with pytest.raises(HttpError, match="holds"):
        pool.hold(1)
    pool.hold(-300)
    assert pool.bytes_held == 0


CONFUSED = """
from deploy.host import frames
write = frames.write
def handler(context, event):
    frames.write = lambda stream, head, body: write(stream, {**head, "id": "another"}, body)
    return "[]"
"""
LATE = """
from pathlib import Path
def init_context(context):
    if not Path(__file__).with_name("weights").exists():
        raise FileNotFoundError("no weights yet")
def handler(context, event):
    return "[]"
"""


def function(folder, code):
    text = (FUNCTIONS / "fake" / "nuclio" / "function.yaml").read_text()
    (folder / "function.yaml").write_text(text)
    (folder / "main.py").write_text(code)
    return folder


def test_an_answer_to_another_request_is_not_passed_on(tmp_path):
    with Host([function(tmp_path, CONFUSED)], port=0) as host:
        assert httpx.post(host.urls[NAME], json={}, timeout=30).json() == []
        answer = httpx.post(host.urls[NAME], json={}, timeout=30)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "worker_crashed")
        assert metric(host, "quadrat_worker_restarts_total", 'reason="confused"') == 1


def test_a_function_that_could_not_start_is_tried_again(tmp_path):
    with Host([function(tmp_path, LATE)], port=0) as host:
        assert host.failures == {NAME: "FileNotFoundError: no weights yet"}
        assert httpx.get(f"{host.url}/healthz").status_code == 503
        assert httpx.get(f"{host.url}/livez").status_code == 200
        (tmp_path / "weights").touch()
        wait_for(host, "quadrat_function_ready", 1)
        assert httpx.post(host.urls[NAME], json={}).status_code == 200


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"queue": -1}, {"memory": 0}, {"idle_s": float("nan")}])
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(HostError, match=next(iter(wrong))):
        Limits(**wrong)
