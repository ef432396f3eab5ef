"""Functions: what CVAT's lambda manager does with the answers of a detector."""

from __future__ import annotations

import base64
import json
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.cvat_stand_in import annotations, events
from tests.cvat_stand_in.access import job_of, sees_task, task_of
from tests.cvat_stand_in.answers import Mapping, shapes_of
from tests.cvat_stand_in.http import Call, Refusal, forbidden, missing, nothing, route
from tests.cvat_stand_in.shapes import check_body
from tests.cvat_stand_in.state import Job, Task

Detector = Callable[[bytes], Any]


@dataclass
class Function:
    """A detector that the server knows.

    Attributes:
        id: its name in Nuclio.
        call: takes the bytes of a photo, gives what the function would answer.
        labels: its labels as `labels_v2` shows them.
        name: for people.
        description: for people.
        version: counts its changes.
    """

    id: str
    call: Detector
    labels: list[dict[str, Any]] = field(default_factory=list)
    name: str = ""
    description: str = ""
    version: int = 1

    def view(self) -> dict[str, Any]:
        shown = {"id": self.id, "kind": "detector", "labels_v2": self.labels, "description": self.description}
        return {**shown, "name": self.name or self.id, "version": self.version}


def by_url(url: str, timeout_s: float = 120.0) -> Detector:
    """A detector that is served over HTTP, as Nuclio serves it."""

    def call(photo: bytes) -> Any:
        body = json.dumps({"image": base64.b64encode(photo).decode()}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return json.load(answer)

    return call


def _function(call: Call, name: str) -> Function:
    function = call.state.functions.get(name)
    if function is None:
        raise Refusal(404, f"404 Client Error: Not Found for url: http://127.0.0.1:18070/api/functions/{name}")
    return function  # type: ignore[no-any-return]


@route("GET", "/api/lambda/functions")
def listing(call: Call) -> Any:
    return [function.view() for function in call.state.functions.values()]


@route("GET", "/api/lambda/functions/{name}")
def one(call: Call) -> Any:
    return _function(call, call.parts["name"]).view()


@route("POST", "/api/lambda/functions/{name}", locked=False)
def online(call: Call) -> Any:
    """One photo, at once; nothing is stored."""
    body = call.json()
    function = _function(call, call.parts["name"])
    with call.state.lock:
        task = task_of(call, call.state.jobs[body["job"]].task if "job" in body else body["task"])
        mapping = Mapping(call, task.id, body.get("mapping"))
    frame = body.get("frame", 0)
    answer = function.call(task.photos[frame].path.read_bytes())
    drawn = shapes_of(answer, frame, mapping, to_polygon=_polygons(body))
    check_body(drawn)
    return annotations.answer(drawn)


def _polygons(body: dict[str, Any]) -> bool:
    return bool(body.get("convMaskToPoly", body.get("conv_mask_to_poly")))


@route("GET", "/api/lambda/requests")
def requests(call: Call) -> Any:
    return [_shown(call, key) for key in call.state.lambda_requests]


def _shown(call: Call, key: str) -> dict[str, Any]:
    request = call.state.lambda_requests.get(key)
    if request is None:
        raise missing("Request")
    return {name: value for name, value in request.items() if not name.startswith("_")}


@route("GET", "/api/lambda/requests/{key}")
def request_view(call: Call) -> Any:
    return _shown(call, call.parts["key"])


@route("DELETE", "/api/lambda/requests/{key}")
def cancel(call: Call) -> Any:
    _shown(call, call.parts["key"])
    call.state.lambda_requests.pop(call.parts["key"])["_cancelled"] = True
    return nothing(204)


@route("POST", "/api/lambda/requests")
def start(call: Call) -> Any:
    body = call.json()
    if body.get("task") is None:
        raise Refusal(400, {"task": ["This field is required."]})
    task = call.state.tasks.get(body["task"])
    if task is not None and not sees_task(call.state, call.user, task):
        raise forbidden()
    function = _function(call, body.get("function", ""))
    if task is None:
        raise Refusal(400, ["Task matching query does not exist."])
    key = f"action=autoannotate&target=task&target_id={task.id}"
    running = call.state.lambda_requests.get(key)
    if running and running["status"] in ("queued", "started"):
        raise Refusal(409, f"Only one running request is allowed for the same task #{task.id}")
    jobs = [job_of(call, body["job"])] if body.get("job") else call.state.jobs_of(task.id)
    asked = {"id": function.id, "task": task.id, **({"job": body["job"]} if body.get("job") else {})}
    request = {
        "id": key,
        "function": {**asked, "threshold": body.get("threshold")},
        "status": "queued",
        "progress": None,
        "enqueued": call.state.now(),
        "started": None,
        "ended": None,
        "exc_info": None,
    }
    call.state.lambda_requests[key] = request
    mapping = Mapping(call, task.id, body.get("mapping"))
    batch = Batch(
        call.worker(), function, task, list(jobs), mapping, request, bool(body.get("cleanup")), _polygons(body)
    )
    threading.Thread(target=batch.run, name=f"cvat-lambda-{task.id}", daemon=True).start()
    return dict(request)


@dataclass
class Batch:
    """One function over the photos of some jobs of a task."""

    call: Call
    function: Function
    task: Task
    jobs: list[Job]
    mapping: Mapping
    request: dict[str, Any]
    cleanup: bool
    to_polygon: bool

    def run(self) -> None:
        state = self.call.state
        with state.lock:
            self.request |= {"status": "started", "started": state.now()}
        try:
            self._annotate()
            outcome: dict[str, Any] = {"status": "finished", "progress": 100}
        except Exception as error:  # whatever a function does must end as the request's failure
            outcome = {"status": "failed", "exc_info": f"{type(error).__name__}: {error}"}
        with state.lock:
            self.request |= {**outcome, "ended": state.now()}
            state.save()

    def _annotate(self) -> None:
        if self.cleanup:  # a human's shapes, too
            with self.call.state.lock:
                for job in self.jobs:
                    if annotations.clear(self.call, job):
                        events.drawn(self.call, job)
        found: dict[str, list[Any]] = {name: [] for name in annotations.KINDS}
        frames = [frame for job in self.jobs for frame in range(job.start, job.stop + 1)]
        for done, frame in enumerate(frames):
            if self.request.get("_cancelled"):
                return
            if done:
                self.request["progress"] = done * 100 // len(frames)
            answer = self.function.call(self.task.photos[frame].path.read_bytes())
            drawn = shapes_of(answer, frame, self.mapping, to_polygon=self.to_polygon)
            check_body(drawn)
            for name, shapes in drawn.items():
                found[name] += shapes
        with self.call.state.lock:
            for job, part in annotations.split(found, self.jobs):
                annotations.write(self.call, job, "create", part)
