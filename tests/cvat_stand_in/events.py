"""Events: what changed, told to the webhooks of the project. The order is the one recorded."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tests.cvat_stand_in import deliveries, views
from tests.cvat_stand_in.http import Call
from tests.cvat_stand_in.state import Comment, Issue, Job, Project, Request, Task

Record = Project | Task | Job | Issue | Comment

# What CVAT calls a changed field in `changes`, where it differs from the name here.
FIELDS = {
    "updated": "updated_date",
    "data": "data_id",
    "assignee": "assignee_id",
    "assignee_updated": "assignee_updated_date",
}


def change(call: Call, record: Record, **fields: Any) -> dict[str, dict[str, Any]]:
    """Set fields of a record and move its `updated`; returns what changed, as `changes` of an event has it."""
    assert not isinstance(record, Request)
    fields = {"updated": call.state.now(), **fields}
    changes = {}
    for name, value in fields.items():
        if (before := getattr(record, name)) != value:
            changes[FIELDS.get(name, name)] = {"from": before, "to": value}
            setattr(record, name, value)
    return changes


def updated(call: Call, record: Record, **fields: Any) -> None:
    """Change a record and tell of it."""
    told(call, record, change(call, record, **fields))


def told(call: Call, record: Record, changes: dict[str, dict[str, Any]]) -> None:
    kind = _kind(record)
    before = {"before_update": {name: pair["from"] for name, pair in changes.items()}}
    _send(call, f"update:{kind}", project_of(call, record), {kind: _view(call, record), **before, "changes": changes})


def created(call: Call, record: Record) -> None:
    kind = _kind(record)
    _send(call, f"create:{kind}", project_of(call, record), {kind: _view(call, record)})


def deleted(call: Call, record: Record) -> None:
    """Tell of a deletion; to be called while the record is still there."""
    last_words(call, record)()


def last_words(call: Call, record: Record) -> Callable[[], None]:
    """What tells of a deletion once the record is gone; to be made while it is still there."""
    kind = _kind(record)
    return functools.partial(_send, call, f"delete:{kind}", project_of(call, record), {kind: _view(call, record)})


def completed(call: Call, request: Request) -> None:
    """A background request ended; this event has no sender."""
    view = views.request(call, request)
    deliveries.queue(call.state, f"completed:request[{request.type}]", request.project, {"request": view})


def drawn(call: Call, job: Job, since: str | None = None) -> None:
    """Annotations of a job were written: the job, its task and its project moved, in this order.

    A write to a task tells of it per job, and each time says that the task moved `since` before the whole write.
    """
    task = call.state.tasks[job.task]
    updated(call, job)
    changes = change(call, task)
    if since is not None:
        changes["updated_date"]["from"] = since
    told(call, task, changes)
    if task.project is not None:
        updated(call, call.state.projects[task.project])


def project_of(call: Call, record: Record) -> int | None:
    """The project whose webhooks hear of a record."""
    state = call.state
    if isinstance(record, Comment):
        record = state.issues[record.issue]
    if isinstance(record, Issue):
        record = state.jobs[record.job]
    if isinstance(record, Job):
        record = state.tasks[record.task]
    return record.project if isinstance(record, Task) else record.id


def _send(call: Call, event: str, project: int | None, payload: dict[str, Any]) -> None:
    # A worker of the server knows less of the sender, and no address of the server.
    sender = views.brief(call, call.user.id) if call.base else _worker_sender(call)
    deliveries.queue(call.state, event, project, {**payload, "sender": sender})


def _worker_sender(call: Call) -> dict[str, Any]:
    return {"id": call.user.id, "username": call.user.username, "email": call.user.email}


def _kind(record: Record) -> str:
    return type(record).__name__.lower()


def _view(call: Call, record: Record) -> dict[str, Any]:
    view: dict[str, Any] = getattr(views, _kind(record))(call, record)
    return view
