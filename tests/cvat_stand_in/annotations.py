"""Annotations of jobs and tasks: GET, PATCH create/update/delete, PUT, DELETE."""

from __future__ import annotations

import copy
import random
from typing import Any

from tests.cvat_stand_in import events
from tests.cvat_stand_in.access import job_of, task_of
from tests.cvat_stand_in.http import Call, Refusal, broken, nothing, route
from tests.cvat_stand_in.shapes import Labels, Shape, check_body, clean
from tests.cvat_stand_in.state import Annotations, Job, State

KINDS = ("tags", "shapes", "tracks")
Body = dict[str, list[Shape]]


def answer(body: Body) -> dict[str, Any]:
    return {"version": 0, **{name: body.get(name, []) for name in KINDS}, "intervals": []}


def poisoned(drawn: Annotations) -> Shape | None:
    """A skeleton with an element of another frame: accepted, and from then on no read of the job works."""
    return next((s for s in drawn.shapes if any(part["frame"] != s["frame"] for part in s.get("elements", ()))), None)


def read(state: State, labels: Labels, job: Job) -> Body:
    """What was drawn in a job, as a GET shows it: by frame, defaults filled, elements of skeletons in any order."""
    drawn = state.annotations.get(job.id, Annotations())
    if poisoned(drawn):
        raise broken()
    state.reads += 1
    chance = random.Random(f"{state.seed} {state.reads}")
    shapes = [_shown(shape, labels, chance) for shape in drawn.shapes]
    tags = [{**tag, "attributes": labels.filled(tag)} for tag in drawn.tags]
    tracks = copy.deepcopy(drawn.tracks)
    by_frame = {"key": lambda shape: shape["frame"]}
    return {"shapes": sorted(shapes, **by_frame), "tags": sorted(tags, **by_frame), "tracks": tracks}


def _shown(shape: Shape, labels: Labels, chance: random.Random) -> Shape:
    shown = {
        **shape,
        "points": [float(value) for value in shape["points"]],
        "rotation": float(shape["rotation"]),
        "score": float(shape["score"]),
        "attributes": labels.filled(shape),
    }
    if shape.get("elements"):
        parts = [_shown(part, labels, chance) for part in shape["elements"]]
        chance.shuffle(parts)
        shown["elements"] = parts
    return shown


def merged(bodies: list[Body]) -> dict[str, Any]:
    return answer({name: [shape for body in bodies for shape in body[name]] for name in KINDS})


@route("GET", "/api/jobs/{id}/annotations")
def job_read(call: Call) -> Any:
    job = job_of(call, call.id)
    return answer(read(call.state, Labels(call, job.task), job))


@route("GET", "/api/tasks/{id}/annotations")
def task_read(call: Call) -> Any:
    task = task_of(call, call.id)
    labels = Labels(call, task.id)
    return merged([read(call.state, labels, job) for job in call.state.jobs_of(task.id)])


def _body(call: Call, action: str, task: int) -> Body:
    body = call.json()
    check_body(body, ids=action == "delete")
    labels = Labels(call, task)
    cleaned: Body = {}
    for name in KINDS:
        given = body.get(name) or []
        if action != "delete":
            for shape in given:
                labels.check(shape)
        cleaned[name] = [clean(shape, name) for shape in given]
    return cleaned


def write(call: Call, job: Job, action: str, body: Body, since: str | None = None) -> Body:
    """Do one write to one job and tell of it; a body with nothing in it does nothing."""
    if not any(body.values()):
        return body
    drawn = call.state.drawn(job.id)
    if action in ("delete", "update"):
        _take_out(drawn, body)
    if action in ("create", "update"):
        for name in KINDS:
            body[name] = [numbered(call.state, name, shape, keep=action == "update") for shape in body[name]]
            getattr(drawn, name).extend(copy.deepcopy(body[name]))
    events.drawn(call, job, since)
    return body


def numbered(state: State, name: str, shape: Shape, *, keep: bool) -> Shape:
    """A shape with an id of the server; with `keep` an id that it has stays, also one that was deleted."""
    kind = name.removesuffix("s")
    number = shape["id"] if keep and shape["id"] is not None else state.next(kind)
    state.counters[kind] = max(state.counters.get(kind, 0), number)
    whole = {**shape, "id": number}
    if "elements" in shape:
        whole["elements"] = [numbered(state, name, part, keep=keep) for part in shape["elements"]]
    return whole


def _take_out(drawn: Annotations, body: Body) -> None:
    for name in KINDS:
        gone = {shape["id"] for shape in body[name]}
        setattr(drawn, name, [shape for shape in getattr(drawn, name) if shape["id"] not in gone])


def clear(call: Call, job: Job) -> bool:
    """Delete all of a job; whether there was anything. A poisoned job cannot be cleared."""
    drawn = call.state.annotations.get(job.id)
    if drawn is None or not any((drawn.shapes, drawn.tags, drawn.tracks)):
        return False
    if poisoned(drawn):
        raise broken()
    call.state.drawn(job.id)
    call.state.annotations[job.id] = Annotations()
    return True


def _action(call: Call) -> str:
    action = call.query.get("action", "")
    if action not in ("create", "update", "delete"):
        raise Refusal(400, ["Please specify a correct 'action' for the request"])
    return action


def split(body: Body, jobs: list[Job]) -> list[tuple[Job, Body]]:
    """The part of a body that belongs to each job, by frame; what lies in no job is dropped."""
    return [
        (job, {name: [shape for shape in body[name] if job.start <= shape["frame"] <= job.stop] for name in KINDS})
        for job in jobs
    ]


@route("PATCH", "/api/jobs/{id}/annotations")
def job_patch(call: Call) -> Any:
    job = job_of(call, call.id)
    call.json()
    action = _action(call)
    return answer(write(call, job, action, _body(call, action, job.task)))


@route("PATCH", "/api/tasks/{id}/annotations")
def task_patch(call: Call) -> Any:
    task = task_of(call, call.id)
    action = _action(call)
    body = _body(call, action, task.id)
    since = task.updated
    return merged([write(call, job, action, part, since) for job, part in split(body, call.state.jobs_of(task.id))])


def _replace(call: Call, job: Job, body: Body, since: str | None = None) -> Body:
    cleared = clear(call, job)
    if cleared and not any(body.values()):
        events.drawn(call, job, since)
    return write(call, job, "create", body, since)


@route("PUT", "/api/jobs/{id}/annotations")
def job_put(call: Call) -> Any:
    job = job_of(call, call.id)
    return answer(_replace(call, job, _body(call, "create", job.task)))


@route("PUT", "/api/tasks/{id}/annotations")
def task_put(call: Call) -> Any:
    task = task_of(call, call.id)
    body = _body(call, "create", task.id)
    since = task.updated
    return merged([_replace(call, job, part, since) for job, part in split(body, call.state.jobs_of(task.id))])


@route("DELETE", "/api/jobs/{id}/annotations")
def job_delete(call: Call) -> Any:
    job = job_of(call, call.id)
    if clear(call, job):
        events.drawn(call, job)
    return nothing(204)


@route("DELETE", "/api/tasks/{id}/annotations")
def task_delete(call: Call) -> Any:
    task = task_of(call, call.id)
    since = task.updated
    for job in call.state.jobs_of(task.id):
        if clear(call, job):
            events.drawn(call, job, since)
    return nothing(204)
