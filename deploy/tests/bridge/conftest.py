"""A CVAT to work with, functions that can fail, and a bridge in one thread whose steps a test does by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_engineering import cvat_server
from data_engineering.cvat_server import Account
from deploy.bridge import look, plan, stage_labels
from deploy.bridge.actions import ACTIONS
from deploy.bridge.actions.orders import Order, Tools
from deploy.bridge.ledger import Ledger, PhotoRow, StepRow
from deploy.bridge.plan import Plan
from deploy.bridge.settings import Settings
from deploy.serving import verdicts
from quadrat import images, template
from tests.cvat_stand_in import Server, running
from tests.cvat_stand_in.state import Task

SIDE = 360
"""Side of the photos, in px."""
CORNERS, GRID, CLEAN, COLONIES = "corners", "grid", "clean", "colonies"
"""Names of the functions."""
BOX = np.array([[60.0, 60.0], [300.0, 60.0], [300.0, 300.0], [60.0, 300.0]])
"""Where the corners are found."""

Answer = tuple[int, bytes, dict[str, str]]


class KilledError(BaseException):
    """The process is killed here: nothing catches it."""


def photo(shade: int) -> bytes:
    """A JPEG, another one for each shade."""
    image = np.full((SIDE, SIDE, 3), (shade * 40 % 256, 120, 200), np.uint8)
    image[100:120, 80:280] = 255 - shade % 200
    return images.encode_jpeg(image)


def skeleton(label: str, names: Sequence[str], xy: Any) -> dict[str, Any]:
    """One as a function answers it."""
    elements = [{"label": n, "type": "points", "points": list(map(float, p))} for n, p in zip(names, xy, strict=True)]
    return {"label": label, "type": "skeleton", "elements": elements, "attributes": []}


def corners(xy: Any = BOX) -> dict[str, Any]:
    """The four corners."""
    return skeleton("quadrat_corner", ("1", "2", "3", "4"), xy)


def grid(low: float = 20.0, high: float = SIDE - 20.0) -> dict[str, Any]:
    """The 117 points."""
    layout = template.load("grid11x11")
    return skeleton(layout.label, layout.names, low + (high - low) * layout.uv)


COLONY = {"label": "Porites", "type": "polygon", "points": [30.0, 30.0, 90.0, 30.0, 90.0, 95.0], "attributes": []}


@dataclass
class Functions:
    """Functions behind HTTP.

    Attributes:
        url: under which they are found by name.
        said: verdict and reasons for a photo, by its bytes; ``ok`` where nothing is said.
        shapes: what each draws.
        faults: by name, what the next requests get in place of an answer; each is used once.
        always: by name, the same for all requests, unless it returns `None`: gets the photo.
        asked: name, digest of the photo, and id of each request.
    """

    url: str = ""
    said: dict[bytes, tuple[str, str]] = field(default_factory=dict)
    shapes: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {CORNERS: [corners()], GRID: [grid()], COLONIES: [COLONY]}
    )
    faults: dict[str, list[Answer]] = field(default_factory=dict)
    always: dict[str, Callable[[bytes], Answer | None]] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def post(self, name: str, body: bytes, request_id: str) -> Answer:
        asked = json.loads(body)
        file = base64.b64decode(asked["image"])
        with self._lock:
            self.asked.append((name, hashlib.sha256(file).hexdigest()[:8], request_id))
            if waiting := self.faults.get(name):
                return waiting.pop(0)
        special = self.always.get(name, lambda _: None)(file)
        return special or (self._clean(file) if name == CLEAN else self._found(name, file))

    def _found(self, name: str, file: bytes) -> Answer:
        status, reasons = self.said.get(file, ("ok", ""))
        shapes = [] if status == "failed" else self.shapes[name]
        headers = {verdicts.VERDICT: status, verdicts.SCORE: "0.5"} if name != COLONIES else {}
        if reasons:
            headers[verdicts.REASONS] = reasons
        return 200, json.dumps(shapes).encode(), headers

    def _clean(self, file: bytes) -> Answer:
        clean = images.encode_jpeg(255 - images.decode(file))
        said = {"image": base64.b64encode(clean).decode(), "painted_fraction": 0.1, "warnings": []}
        return 200, json.dumps(said).encode(), {}


def refusal(status: int, words: str = "no") -> Answer:
    """What a function answers that does not."""
    return status, json.dumps({"error": {"code": "x", "message": words}}).encode(), {}


@dataclass
class Bridge:
    """What looks and does, by hand.

    Attributes:
        server: the stand-in.
        functions: those it asks.
        tools: what actions get.
    """

    server: Server
    functions: Functions
    tools: Tools

    @property
    def ledger(self) -> Ledger:
        return self.tools.ledger

    def task(self, names: Sequence[str] = ("a.jpg", "b.jpg"), stage: str = CORNERS, **more: Any) -> Task:
        """A task with photos of its own shade each."""
        given = {name: photo(shade) for shade, name in enumerate(names)}
        return self.server.add_task(self.tools.projects[stage], more.pop("name", "Moorea"), given, **more)

    def look(self, task: Task | int, stage: str = CORNERS) -> list[StepRow]:
        """Look at a task; returns the steps that are to be done."""
        number = task if isinstance(task, int) else task.id
        return look.ask_for(self.tools, look.see(self.tools.client, stage, number), "request-1")

    def do(self) -> list[str]:
        """Do all steps that are to be done, once; returns what came of them."""
        said = []
        for row in self.ledger.open_steps():
            begun = self.ledger.start(row.id)
            assert begun is not None
            step = look.check_stage(self.tools.plan, begun)
            try:
                order = Order(begun, step, look.see(self.tools.client, begun.stage, begun.task))
                words = ACTIONS[step.do].run(self.tools, order)
            except Exception as error:
                self.ledger.try_again(row.id, str(error), time.time())
                said.append(f"{type(error).__name__}: {error}")
            else:
                self.ledger.finish(row.id, words)
                said.append(words)
        return said

    def go(self, task: Task | int, stage: str = CORNERS) -> list[str]:
        """Look, and do what is due."""
        self.look(task, stage)
        return self.do()

    def begin(self, task: Task | int) -> None:
        """A person sets the jobs in progress."""
        for job in self.server.jobs(task):
            job.state, job.updated = "in progress", self.server.state.now()

    def complete(self, task: Task | int) -> None:
        """A person completes all jobs."""
        self.server.complete(self.server.state.tasks[task] if isinstance(task, int) else task)

    def rows(self, task: Task | int, step: str) -> dict[int, PhotoRow]:
        return self.ledger.photos(task if isinstance(task, int) else task.id, step)

    def states(self, task: Task | int, step: str) -> list[str]:
        return [row.state for row in self.rows(task, step).values()]

    def children(self, stage: str = GRID) -> list[Task]:
        """The tasks of a stage's project."""
        return [task for task in self.server.state.tasks.values() if task.project == self.tools.projects[stage]]

    def issues(self) -> list[tuple[int, str, bool]]:
        """Frame, message and whether it is resolved, of all issues."""
        state = self.server.state
        text = {comment.issue: comment.message for comment in reversed(state.comments.values())}
        return [(issue.frame, text.get(issue.id, ""), issue.resolved) for issue in state.issues.values()]

    def resolve(self) -> None:
        """A person resolves all issues."""
        for issue in self.server.state.issues.values():
            issue.resolved = True

    def move(self, task: Task | int, frame: int, xy: Any) -> None:
        """A person puts the points of a skeleton elsewhere: CVAT then says ``semi-auto``."""
        for one in self.server.drawn(task):
            if one["frame"] == frame:
                one["source"] = "semi-auto"
                for part, place in zip(one["elements"], xy, strict=True):
                    part["points"], part["source"] = list(map(float, place)), "semi-auto"

    def draw(self, task: Task, frame: int, shape: dict[str, Any], source: str = "manual") -> None:
        """A person draws a skeleton."""
        labels = self.server.labels(task.project)  # type: ignore[arg-type]
        common = {"frame": frame, "source": source, "attributes": []}
        parts = [
            {**part, **common, "label_id": labels[f"{shape['label']}/{part['label']}"]} for part in shape["elements"]
        ]
        for part in parts:
            del part["label"]
        self.server.draw(
            task, [{"type": "skeleton", "points": [], "label_id": labels[shape["label"]], "elements": parts, **common}]
        )

    def erase(self, task: Task | int, frame: int) -> None:
        """A person deletes what is on a photo."""
        for job in self.server.jobs(task):
            drawn = self.server.state.drawn(job.id)
            drawn.shapes = [one for one in drawn.shapes if one["frame"] != frame]


@pytest.fixture
def functions() -> Iterator[Functions]:
    """Functions on loopback."""
    own = Functions()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            name = self.path.rsplit("/", 1)[-1]
            status, answer, headers = own.post(name, body, self.headers.get("X-Request-Id", ""))
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    own.url = f"http://127.0.0.1:{served.server_port}"
    yield own
    served.shutdown()
    served.server_close()


@pytest.fixture
def the_plan(functions: Functions) -> Plan:
    """Guide C, with the functions of the test."""
    detect = {"when": plan.JOB_STARTED, "do": "detect"}
    onward = {"when": plan.TASK_COMPLETED}
    return Plan.model_validate(
        {
            "functions": {"base": functions.url},
            "stages": {
                CORNERS: {
                    "project": "Corners",
                    "labels": "corners",
                    "steps": [
                        {"name": "corners", "function": CORNERS, **detect},
                        {"name": "rectify", "do": "rectify", "into": GRID, "margin": 0.05, **onward},
                    ],
                },
                GRID: {
                    "project": "Grid",
                    "labels": "grid11x11",
                    "steps": [
                        {"name": "grid", "function": GRID, **detect},
                        {"name": "clean", "do": "inpaint", "function": CLEAN, "into": "corals", **onward},
                    ],
                },
                "corals": {
                    "project": "Corals",
                    "labels": "genera",
                    "steps": [{"name": "colonies", "function": COLONIES, **detect}],
                },
            },
        }
    )


@pytest.fixture
def server() -> Iterator[Server]:
    """A stand-in for this test alone."""
    with running() as server:
        yield server
        assert not server.errors


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    """Signed in with a token that may write; nothing waits long."""
    with cvat_server.connect(Account(server.url, server.token), poll_s=0.01, backoff_s=0.001) as client:
        yield client


@pytest.fixture
def tools(server: Server, client: Any, the_plan: Plan, tmp_path: Path) -> Tools:
    """What actions get, with the projects made."""
    projects = {
        key: server.add_project(str(stage.project), stage_labels.labels_of(stage, tmp_path)).id
        for key, stage in the_plan.stages.items()
    }
    settings = Settings(folder=tmp_path / "bridge", retries_s=(0.0, 0.0))
    return Tools(client, the_plan, projects, Ledger(settings.folder / "ledger.db"), settings, backoff_s=0.001)


@pytest.fixture
def bridge(server: Server, functions: Functions, tools: Tools) -> Bridge:
    """All of it together."""
    return Bridge(server, functions, tools)
