"""The host over real HTTP, with a function that needs no framework."""

import concurrent.futures
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from deploy.host import Host, Limits
from deploy.host.functions import FunctionError
from deploy.host.server import HostError
from deploy.serving import labels, schema

from .conftest import request

FUNCTIONS = Path(__file__).parent / "functions"
OFFERED = labels.read_labels(FUNCTIONS / "fake" / "nuclio" / "function.yaml")
ROOT = Path(__file__).parents[2]
NAME = "fake-red"
CVAT = {"x-nuclio-project-name": "cvat", "x-nuclio-function-namespace": "nuclio", "x-nuclio-invoke-via": "domain-name"}
MAX_BODY = 2 * 2**20


@pytest.fixture(scope="module")
def host():
    limits = Limits(workers=1, queue=2, timeout_s=2, max_body=MAX_BODY)
    with Host([FUNCTIONS], port=0, limits=limits) as running:
        yield running


@pytest.fixture
def post(host):
    """POST to the function; no status is an exception."""

    def send(body, url=None, **more):
        sent = {"json": body} if isinstance(body, dict) and not _has_nan(body) else {"content": _as_bytes(body)}
        headers = {"Content-Type": "application/json", **more.pop("headers", {})}
        return httpx.post(url or host.urls[NAME], timeout=30, headers=headers, **sent, **more)

    return send


def _has_nan(body):
    return any(isinstance(v, float) and v - v != 0 for v in body.values())


def _as_bytes(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def error_of(response):
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"code", "message"}
    return error


def metric(host, line):
    text = httpx.get(f"{host.url}/metrics").text
    found = [entry.rsplit(" ", 1)[1] for entry in text.splitlines() if entry.startswith(line)]
    return float(found[0]) if found else 0.0


def test_a_photo_is_answered_as_cvat_wants_it(post):
    response = post(request(threshold=0.3))
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    schema.check_answer(response.json(), schema.Rules((64, 48), OFFERED))
    assert [shape["label"] for shape in response.json()] == ["red", "blue"]
    assert response.headers["x-quadrat-model"] == "red"


def test_the_env_of_function_yaml_is_in_force(post):
    assert [shape["label"] for shape in post(request()).json()] == ["red"]


def test_other_content_types_reach_the_function_as_bytes(post):
    for kind in ("application/json; charset=utf-8", "text/plain"):
        assert post(json.dumps(request()).encode(), headers={"Content-Type": kind}).status_code == 200


def test_cvat_finds_the_function(host):
    listed = httpx.get(f"{host.url}/api/functions", headers=CVAT).json()
    assert list(listed) == [NAME]
    found = listed[NAME]
    assert httpx.get(f"{host.url}/api/functions/{NAME}", headers=CVAT).json() == found
    assert found["spec"]["description"] == "Finds what is red"
    assert found["metadata"]["annotations"]["type"] == "detector"
    assert [label["name"] for label in json.loads(found["metadata"]["annotations"]["spec"])] == ["red", "blue"]
    assert found["status"]["state"] == "ready"
    assert httpx.get(f"{host.url}/api/functions", headers={**CVAT, "x-nuclio-project-name": "other"}).json() == {}


def test_a_listing_has_the_keys_of_the_recorded_one(host):
    path = ROOT.parent / "shared" / "cvat" / "recordings" / "nuclio" / "nuclio_004_get_functions.json"
    if not path.is_file():
        pytest.skip("the recordings of a CVAT server are not here")
    recorded = json.loads(path.read_text())["response_body"]
    found = httpx.get(f"{host.url}/api/functions/{NAME}").json()
    assert {key: set(value) for key, value in found.items()} == {key: set(value) for key, value in recorded.items()}


def test_cvat_invokes_by_either_method(host, post):
    port = httpx.get(f"{host.url}/api/functions/{NAME}").json()["status"]["httpPort"]
    direct = post(request(), f"http://127.0.0.1:{port}")
    headers = {**CVAT, "x-nuclio-function-name": NAME, "x-nuclio-path": "/", "X-Nuclio-Invoke-Timeout": "120s"}
    dashboard = post(request(), f"{host.url}/api/function_invocations", headers=headers)
    assert direct.status_code == dashboard.status_code == 200
    assert direct.json() == dashboard.json() == post(request()).json()


def test_broken_requests_get_a_json_error_and_the_host_lives(post, broken):
    body, status, word = broken
    response = post(body)
    assert response.status_code == status
    assert word in error_of(response)["message"]
    assert post(request()).status_code == 200


@pytest.mark.parametrize("size", [MAX_BODY + 1, 5 * MAX_BODY])
def test_an_oversized_body_is_413(host, post, size):
    try:
        response = post(b"x" * size)
    except httpx.TransportError:  # beyond four times the limit the host hangs up
        assert size > 4 * MAX_BODY
    else:
        assert response.status_code == 413
        assert error_of(response)["code"] == "too_large"
    assert post(request()).status_code == 200


def test_an_oversized_body_without_a_length_is_413(host):
    parts = (b"x" * 2**16 for _ in range(MAX_BODY // 2**16 + 2))
    response = httpx.post(host.urls[NAME], content=parts, timeout=30)
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", f"/functions/{NAME}", 405),
        ("DELETE", "/api/functions", 405),
        ("POST", "/functions/unknown", 404),
        ("GET", "/api/functions/unknown", 404),
        ("POST", "/api/function_invocations", 400),
    ],
)
def test_wrong_paths_and_methods_get_a_json_error(host, method, path, status):
    response = httpx.request(method, host.url + path)
    assert response.status_code == status
    assert error_of(response)["message"]


def test_a_model_fault_is_500_without_its_traceback(post):
    response = post(request(101), headers={"X-Request-Id": "photo-7"})
    assert response.status_code == 500
    assert error_of(response)["code"] == "model_fault"
    assert "secret" not in response.text
    assert response.headers["x-quadrat-request"] == "photo-7"


def test_a_crashing_worker_costs_its_own_request_alone(host, post):
    restarts = metric(host, "quadrat_worker_restarts_total")
    with concurrent.futures.ThreadPoolExecutor() as threads:
        crash = threads.submit(post, request(102))
        time.sleep(0.05)
        fine = threads.submit(post, request())
    assert crash.result().status_code == 500
    assert error_of(crash.result())["code"] == "worker_crashed"
    assert fine.result().status_code == 200
    assert metric(host, "quadrat_worker_restarts_total") > restarts


def test_a_hanging_worker_is_ended_in_time(post):
    start = time.perf_counter()
    response = post(request(103))
    assert response.status_code == 504
    assert error_of(response)["code"] == "timeout"
    assert time.perf_counter() - start < 8
    assert post(request()).status_code == 200


def test_answers_leave_at_once(host):
    """asyncio sets TCP_NODELAY only on sockets that name their protocol; without, an answer waits 40 ms."""
    assert {listener.proto for listener in host._sockets} == {socket.IPPROTO_TCP}


def test_a_full_queue_is_503_with_retry_after(host, post):
    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        responses = list(threads.map(post, [request(105)] * 6))
    counted = sorted(response.status_code for response in responses)
    assert counted == [200, 200, 200, 503, 503, 503]
    refused = next(r for r in responses if r.status_code == 503)
    assert error_of(refused)["code"] == "busy"
    assert int(refused.headers["retry-after"]) > 0
    assert metric(host, "quadrat_queue_depth") == 0


def test_health_and_metrics(host, post):
    post(request())
    health = httpx.get(f"{host.url}/healthz")
    assert (health.status_code, health.json()) == (200, {"status": "ok", "functions": {NAME: "ready"}})
    assert metric(host, f'quadrat_requests_total{{function="{NAME}",status="200"}}') >= 1
    assert metric(host, f'quadrat_request_seconds_count{{function="{NAME}"}}') >= 1
    assert metric(host, f'quadrat_function_ready{{function="{NAME}"}}') == 1


@pytest.fixture
def two(tmp_path):
    """The function twice, one of them with weights that are missing."""
    for name in ("good", "bad"):
        folder = tmp_path / name / "nuclio"
        folder.mkdir(parents=True)
        for path in (FUNCTIONS / "fake" / "nuclio").iterdir():
            if path.is_file():
                (folder / path.name).write_bytes(path.read_bytes().replace(b"fake-red", name.encode()))
    return tmp_path


def test_a_function_that_cannot_start_is_said_and_the_others_go_on(two):
    with Host([two], port=0, model_paths={"bad": "missing.pt"}) as host:
        assert list(host.failures) == ["bad"]
        assert "MODEL_PATH is 'missing.pt'" in host.failures["bad"]
        assert httpx.get(f"{host.url}/api/functions/bad").json()["status"]["state"] == "error"
        assert httpx.get(f"{host.url}/healthz").json()["status"] == "degraded"
        refused = httpx.post(host.urls["bad"], json=request())
        assert (refused.status_code, error_of(refused)["code"]) == (503, "not_ready")
        assert httpx.post(host.urls["good"], json=request()).status_code == 200


def test_a_token_guards_every_route():
    with Host([FUNCTIONS], port=0, token="long and random") as host:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic long and random"}):
            refused = httpx.get(f"{host.url}/healthz", headers=headers)
            assert (refused.status_code, error_of(refused)["code"]) == (401, "unauthorized")
            assert httpx.post(host.urls[NAME], json=request(), headers=headers).status_code == 401
        let = {"Authorization": "Bearer long and random"}
        assert httpx.post(host.urls[NAME], json=request(), headers=let).status_code == 200


def test_a_taken_port_is_said(host):
    with pytest.raises(HostError, match="cannot listen on 127"):
        Host([FUNCTIONS], port=int(host.url.rsplit(":", 1)[1])).start()


def test_nothing_to_serve_and_names_that_no_function_has_are_said(tmp_path):
    with pytest.raises(FunctionError, match=r"no function\.yaml in"):
        Host([tmp_path])
    with pytest.raises(FunctionError, match="no function is named other: there are fake-red"):
        Host([FUNCTIONS], model_paths={"other": "a.pt"})


def test_the_command_serves_says_so_and_stops_on_sigterm():
    command = [sys.executable, "-m", "deploy.host", "--port", "0", "--functions", str(FUNCTIONS)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first, second = process.stdout.readline(), process.stdout.readline()
        url = first.split()[2]
        assert f"POST {url}/functions/{NAME}" in second
        assert httpx.post(f"{url}/functions/{NAME}", json=request()).status_code == 200
        assert "CVAT_NUCLIO_HOST" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0
    messages = [json.loads(line)["message"] for line in log.splitlines()]
    assert messages == ["ready", "answered", "request", "stopping"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--host", "0.0.0.0"], "--allow CIDR"),
        (["--host", "0.0.0.0", "--allow", "0.0.0.0/0"], "is everybody"),
        (["--allow", "here"], "expected a source range"),
        (["--token-env", "NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE: that variable is not set"),
        (["--workers", "0"], "workers must be above 0"),
        (["--functions", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_what_cannot_be_served_as_asked_is_refused(arguments, word, capsys):
    from deploy.host.cli import main

    assert main(["--functions", str(FUNCTIONS), *arguments]) == 2
    assert word in capsys.readouterr().err
