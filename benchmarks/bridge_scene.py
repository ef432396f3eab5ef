"""What `benchmarks.bridge_stress` fires at: a function that fails, a CVAT in which people work, and the bridge."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PATIENCE_S = 900.0

_CORNERS = ((40.0, 30.0), (600.0, 40.0), (590.0, 440.0), (50.0, 430.0))
_FAULTS = {"500": 0.10, "garbage": 0.05, "cut": 0.05, "late": 0.03}
_ANSWERS = (("X-Quadrat-Verdict", "ok"), ("X-Quadrat-Score", "0.970"), ("X-Quadrat-Layout", "corners"))


# ------------------------------------------------------------------------------------------------ the function


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A bridge that was killed does not listen to its answer."""


class Function:
    """A detector of corners that fails as often as it is told."""

    def __init__(self, chance: random.Random):
        self.calls: Counter[str] = Counter()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                fault = chance.choices([*_FAULTS, ""], [*_FAULTS.values(), 1 - sum(_FAULTS.values())])[0]
                outer.calls[fault or "good"] += 1
                outer.answer(self, fault)

            def do_GET(self) -> None:
                self.send_error(404)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @staticmethod
    def answer(handler: BaseHTTPRequestHandler, fault: str) -> None:
        """Answer, badly if told to."""
        if fault == "cut":
            handler.close_connection = True
            handler.connection.close()
            return
        if fault == "late":
            time.sleep(2)
        elements = [
            {"label": str(number), "type": "points", "points": list(point)} for number, point in enumerate(_CORNERS, 1)
        ]
        shape = {"label": "quadrat_corner", "type": "skeleton", "elements": elements}
        good = json.dumps([{**shape, "attributes": [{"name": "confidence", "value": "97"}]}]).encode()
        body = b'[{"label": "quadrat_cor' if fault == "garbage" else good
        handler.send_response({"500": 500, "late": 504}.get(fault, 200))
        for name, value in _ANSWERS:
            handler.send_header(name, value)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def figures(self) -> dict[str, Any]:
        """How often it was asked, and failed."""
        return {
            "function_calls": sum(self.calls.values()),
            "function_faults": sum(self.calls.values()) - self.calls["good"],
        }

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def failing_function(chance: random.Random) -> Iterator[Function]:
    """A function for as long as it is needed."""
    function = Function(random.Random(chance.random()))
    try:
        yield function
    finally:
        function.close()


# ------------------------------------------------------------------------------------------------ CVAT


class Scene:
    """Two projects of CVAT, tasks in the first, and what people do to them."""

    def __init__(self, cvat: Any, tasks: int):
        from data_engineering import cvat_server
        from deploy.serving.labels import skeleton_for
        from quadrat import template
        from tests.cvat_stand_in.receiver import Receiver

        self.cvat, self.receiver = cvat, Receiver()
        labels = [dict(skeleton_for(template.load(layout))) for layout in ("corners", "grid11x11")]
        self.projects = [
            cvat.add_project(name, [label]) for name, label in zip(("Corners", "Grid"), labels, strict=True)
        ]
        photo = _photo()
        self.tasks = [
            cvat.add_task(self.projects[0], f"Reef {n}", {f"reef{n}_2026_q1.jpg": photo}) for n in range(tasks)
        ]
        self._client = cvat_server.connect(cvat_server.Account(cvat.url, ("admin", "pass")), backoff_s=0.05)
        self._patch = cvat_server.patch_json
        self._webhook()

    def _webhook(self) -> None:
        from deploy.bridge.events import EVENTS
        from tests.cvat_stand_in.state import Webhook

        made = {"project": self.projects[0].id, "owner": self.cvat.users["bridge"].id, "events": list(EVENTS)}
        now = self.cvat.state.now()
        hook = Webhook(1, target_url=f"{self.receiver.url}/hook", created=now, updated=now, **made)
        self.cvat.state.webhooks[1] = hook

    def begin_jobs(self) -> list[bytes]:
        """Set every job in progress; returns the deliveries."""
        return self._change({"state": "in progress"})

    def complete(self) -> list[bytes]:
        """Accept and complete every job; returns the deliveries."""
        return self._change({"stage": "acceptance", "state": "completed"})

    def _change(self, body: dict[str, str]) -> list[bytes]:
        from deploy.bridge import events

        self.cvat.settle(60)
        before = len(self.receiver.deliveries)
        for task in self.tasks:
            for job in self.cvat.jobs(task):
                self._patch(self._client, f"/api/jobs/{job.id}", "change a job", body)
        self.cvat.settle(60)
        told = [delivery.raw for delivery in self.receiver.deliveries[before:]]
        return [raw for raw in told if isinstance(events.read(raw), events.Event)]

    def are_drawn(self) -> bool:
        """Whether every photo has corners."""
        return all(self.cvat.drawn(task) for task in self.tasks)

    def are_rectified(self) -> bool:
        """Whether every task has a further one."""
        return len(self._children()) >= len(self.tasks)

    def _children(self) -> list[Any]:
        with self.cvat.state.lock:
            return [t for t in self.cvat.state.tasks.values() if t.project == self.projects[1].id and t.photos]

    def wait(self, condition: Any) -> None:
        """Wait until a condition holds, for a long time at most."""
        end = time.monotonic() + PATIENCE_S
        while not condition() and time.monotonic() < end:
            time.sleep(0.2)

    def verdict(self, bridge: Bridge) -> dict[str, Any]:
        """What was lost, and what was done twice."""
        children = Counter(int(task.name.split("#")[1].split(")")[0].split(",")[0]) for task in self._children())
        drawn = {task.id: len(self.cvat.drawn(task)) for task in self.tasks}
        lost = [number for number, shapes in drawn.items() if not shapes or not children[number]]
        twice = [number for number, shapes in drawn.items() if shapes > 1 or children[number] > 1]
        photos = [task.id for task in self._children() if len(task.photos) != 1]
        empty = [t for t in self.cvat.state.tasks.values() if t.project == self.projects[1].id and not t.photos]
        steps = bridge.states()
        faults = [f"{len(photos)} further tasks do not have one photo"] if photos else []
        faults += [f"{len(empty)} further tasks are empty"] if empty else []
        faults += [f"{count} steps are {state}" for state, count in steps.items() if state != "done"]
        faults += [f"CVAT's stand-in stumbled: {error.splitlines()[-1]}" for error in self.cvat.errors[:3]]
        return {"tasks": len(self.tasks), "lost": lost, "twice": twice, "faults": faults}


def _photo() -> bytes:
    import cv2
    import numpy as np

    noise = np.random.default_rng(0).integers(60, 200, (48, 64, 3), np.uint8)
    return bytes(cv2.imencode(".jpg", cv2.resize(noise, (640, 480)))[1])


# ------------------------------------------------------------------------------------------------ the bridge


class Bridge:
    """The command, which may be killed and started again."""

    def __init__(self, folder: Path, cvat: Any, function: str, secret: str):
        folder.mkdir(parents=True, exist_ok=True)
        steps = [
            {"name": "corners", "when": "job in progress", "do": "detect", "function": "corners"},
            {"name": "rectify", "when": "task completed", "do": "rectify", "into": "grid"},
        ]
        stages = {
            "corners": {"project": "Corners", "labels": "corners", "steps": steps},
            "grid": {"project": "Grid", "labels": "grid11x11"},
        }
        pipeline = folder / "pipeline.yaml"
        pipeline.write_text(json.dumps({"functions": {"base": function}, "stages": stages}))
        self.folder, self.log = folder, folder / "bridge.log"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("CVAT_", "BRIDGE_"))},
            "CVAT_URL": cvat.url,
            "CVAT_TOKEN": cvat.token,
            "BRIDGE_SECRET": secret,
            "BRIDGE_DATA": str(folder / "data"),
            "BRIDGE_PIPELINE": str(pipeline),
            "BRIDGE_WORKERS": "4",
            "BRIDGE_RETRY_SECONDS": ",".join(["1"] * 40),
            "QUADRAT_LOG_FILE": str(self.log),
            "OMP_NUM_THREADS": "1",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Bridge:
        self.start()
        self.wait_until_up()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)

    def start(self) -> None:
        """Start the command; it takes a moment until it listens."""
        command = [sys.executable, "-m", "deploy.bridge", "serve", "--port", str(self.port)]
        with open(self.folder / "bridge.out", "ab") as out:
            self._process = subprocess.Popen(command, env=self._environment, stdout=out, stderr=out)

    def kill(self) -> None:
        """SIGKILL, and start anew."""
        assert self._process
        self._process.kill()
        self._process.wait()
        self.start()

    def wait_until_up(self) -> None:
        """Wait until it answers."""
        import httpx

        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if httpx.get(f"{self.url}/livez", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise RuntimeError(f"the bridge does not start: see {self.folder / 'bridge.out'}")

    def states(self) -> dict[str, int]:
        """How many steps there are in each state."""
        from deploy.bridge.ledger import FILE, Ledger

        rows = Ledger(self.folder / "data" / FILE).rows("SELECT state, count(*) FROM steps GROUP BY state")
        return {row[0]: row[1] for row in rows}

    def is_idle(self) -> bool:
        """Whether nothing is left to do."""
        return set(self.states()) <= {"done", "failed"}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
