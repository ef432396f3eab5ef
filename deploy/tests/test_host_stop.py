"""Starting and stopping the host as a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from .conftest import request

FUNCTIONS = Path(__file__).parent / "functions"
ROOT = Path(__file__).parents[2]
NAME = "fake-red"
HANG, SLOW = 103, 105


@contextmanager
def start(folder, log, *options):
    command = [sys.executable, "-m", "deploy.host", "--port", "0", "--functions", str(folder), *options]
    variables = {**os.environ, "QUADRAT_LOG_FILE": str(log)}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=variables) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def serve(log, *options):
    with start(FUNCTIONS, log, *options) as process:
        process.url = process.stdout.readline().split()[2]
        yield process


def post(url, width=64):
    return httpx.post(f"{url}/functions/{NAME}", json=request(width), timeout=60)


def metric(url, name):
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{"))


def wait_for(condition, limit_s=60):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def workers(process):
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(pid) for path in tasks for pid in path.read_text().split()]


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def code_of(answer):
    return answer.json()["error"]["code"]


def test_a_stop_finishes_what_runs_and_waits_and_refuses_what_is_new(tmp_path):
    with serve(tmp_path / "log") as process, ThreadPoolExecutor(4) as threads:
        taken = [threads.submit(post, process.url, SLOW) for _ in range(4)]
        wait_for(lambda: metric(process.url, "quadrat_queue_depth") == 3)
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: httpx.get(f"{process.url}/healthz").status_code == 503)
        assert httpx.get(f"{process.url}/healthz").json()["status"] == "stopping"
        assert httpx.get(f"{process.url}/livez").status_code == 200
        refused = post(process.url)
        assert (refused.status_code, code_of(refused)) == (503, "stopping")
        assert [future.result().status_code for future in taken] == [200] * 4
        assert process.wait(20) == 0
    messages = [json.loads(line)["message"] for line in (tmp_path / "log").read_text().splitlines()]
    assert messages.count("answered") == 4
    assert messages.count("stopping") == 1


def test_what_is_not_done_within_the_grace_is_told_so(tmp_path):
    with serve(tmp_path / "log", "--grace", "0.5") as process, ThreadPoolExecutor(2) as threads:
        taken = [threads.submit(post, process.url, HANG) for _ in range(2)]
        wait_for(lambda: metric(process.url, "quadrat_queue_depth") == 1)
        left = workers(process)
        process.send_signal(signal.SIGTERM)
        assert [(future.result().status_code, code_of(future.result())) for future in taken] == [(503, "stopping")] * 2
        assert process.wait(20) == 0
        assert left
        assert not any(runs(pid) for pid in left)


def test_a_second_signal_cuts_the_grace_short(tmp_path):
    with serve(tmp_path / "log") as process, ThreadPoolExecutor(1) as threads:
        taken = threads.submit(post, process.url, HANG)
        wait_for(lambda: metric(process.url, "quadrat_in_flight") == 1)
        process.send_signal(signal.SIGINT)
        wait_for(lambda: httpx.get(f"{process.url}/healthz").status_code == 503)
        process.send_signal(signal.SIGINT)
        assert code_of(taken.result()) == "stopping"
        assert process.wait(10) == 0


def test_workers_leave_signals_to_the_host_and_end_with_it(tmp_path):
    with serve(tmp_path / "log", "--workers", "2") as process:
        left = workers(process)
        assert len(left) == 2
        for pid in left:
            os.kill(pid, signal.SIGTERM)  # as a service manager that signals the whole group
        assert post(process.url, SLOW).status_code == 200
        assert workers(process) == left
        with ThreadPoolExecutor(1) as threads:
            hanging = threads.submit(post, process.url, HANG)
            wait_for(lambda: metric(process.url, "quadrat_in_flight") == 1)
            process.kill()
            assert isinstance(hanging.exception(), httpx.TransportError)
        wait_for(lambda: not any(runs(pid) for pid in left))


def test_a_stop_while_models_load_ends_the_host_too(tmp_path):
    (tmp_path / "function.yaml").write_text((FUNCTIONS / "fake" / "nuclio" / "function.yaml").read_text())
    (tmp_path / "main.py").write_text("import time\ndef init_context(context):\n    time.sleep(600)\n")
    with start(tmp_path, tmp_path / "log") as process:
        wait_for(lambda: workers(process))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stdout.read() == "stopped\n"
