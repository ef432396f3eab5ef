"""Tasks and jobs: lists, creation, states, deletion."""

from __future__ import annotations

import shutil
from typing import Any

from tests.cvat_stand_in import events, queries, views
from tests.cvat_stand_in.access import job_of, project_of, sees_job, sees_task, task_of
from tests.cvat_stand_in.http import Call, Refusal, Reply, forbidden, nothing, route
from tests.cvat_stand_in.projects import add_labels, change_labels, check_labels, forget_labels
from tests.cvat_stand_in.state import Job, State, Task

PEOPLE = {"owner": queries.person("owner"), "assignee": queries.person("assignee")}
TASK_FILTERS = PEOPLE | queries.plain(
    "id", "name", "project_id", "project_name", "status", "subset", "mode", "dimension", "created_date", "updated_date"
)
JOB_FILTERS = {"assignee": queries.person("assignee")} | queries.plain(
    "id", "task_id", "project_id", "task_name", "project_name", "status", "stage", "state", "updated_date", "type"
)
STATES = ("new", "in progress", "completed", "rejected")
STAGES = ("annotation", "validation", "acceptance")


@route("GET", "/api/tasks")
def listing(call: Call) -> Any:
    seen = [record for record in call.state.tasks.values() if sees_task(call.state, call.user, record)]
    for name in ("project_id", "name"):  # the usual filters first: a view of every task costs time
        if call.query.get(name):
            field = name.removesuffix("_id")
            seen = [record for record in seen if str(getattr(record, field)) == call.query[name]]
    rows = [views.task(call, record) for record in sorted(seen, key=lambda record: -record.id)]
    return queries.page(call, rows, TASK_FILTERS, ("name", "project_name", "status", "subset"))


@route("POST", "/api/tasks")
def create(call: Call) -> Any:
    body = call.json()
    if not body.get("name"):
        raise Refusal(400, {"name": ["This field is required."]})
    project, labels = body.get("project_id"), body.get("labels", [])
    if project is not None:
        project_of(call, project)
        if labels:
            raise Refusal(400, {"labels": ["Project is used: labels cannot be given"]})
    check_labels(labels)
    record = add_task(
        call, body["name"], project, subset=body.get("subset", ""), segment_size=body.get("segment_size", 0)
    )
    record.bug_tracker = body.get("bug_tracker", "")
    add_labels(call.state, labels, task=record.id)
    return Reply(201, views.task(call, record), headers={"Location": f"{call.base}/api/tasks/{record.id}"})


def add_task(call: Call, name: str, project: int | None, *, subset: str = "", segment_size: int = 0) -> Task:
    state, number = call.state, call.state.next("task")
    record = Task(number, name, project, call.user.id, state.now(), state.now(), subset, segment_size=segment_size)
    state.tasks[number] = record
    events.created(call, record)
    if project is not None:
        events.updated(call, state.projects[project])
    return record


@route("GET", "/api/tasks/{id}")
def one(call: Call) -> Any:
    return views.task(call, task_of(call, call.id))


@route("PATCH", "/api/tasks/{id}")
def change(call: Call) -> Any:
    record = task_of(call, call.id)
    body = call.json()
    if "labels" in body:
        change_labels(call.state, body["labels"], task=record.id)
    fields = {name: body[name] for name in ("name", "subset", "bug_tracker") if name in body}
    if "assignee_id" in body:
        fields |= {"assignee": body["assignee_id"], "assignee_updated": call.state.now()}
    # A PATCH that changes nothing moves the project alone.
    if any(getattr(record, name) != value for name, value in fields.items()):
        events.updated(call, record, **fields)
    if record.project is not None:
        events.updated(call, call.state.projects[record.project])
    return views.task(call, record)


@route("DELETE", "/api/tasks/{id}")
def delete(call: Call) -> Any:
    record = task_of(call, call.id)
    for job in call.state.jobs_of(record.id):
        events.deleted(call, job)
    tell = events.last_words(call, record)
    forget(call.state, record)
    if record.project is not None:
        events.updated(call, call.state.projects[record.project])
    tell()
    return nothing(204)


def forget(state: State, task: Task) -> None:
    """Take a task out with all that hangs on it."""
    for job in list(state.jobs_of(task.id)):
        for issue in [issue for issue in state.issues.values() if issue.job == job.id]:
            del state.issues[issue.id]
            for comment in [comment for comment in state.comments.values() if comment.issue == issue.id]:
                del state.comments[comment.id]
        state.drawn(job.id)
        del state.annotations[job.id], state.jobs[job.id]
    forget_labels(state, task=task.id)
    shutil.rmtree(state.folder / "data" / str(task.data), ignore_errors=True)
    del state.tasks[task.id]


@route("GET", "/api/jobs")
def job_listing(call: Call) -> Any:
    state, query = call.state, call.query
    jobs = (
        list(state.jobs_of(int(query["task_id"]))) if query.get("task_id", "").isdigit() else list(state.jobs.values())
    )
    seen = [job for job in jobs if sees_job(state, call.user, job)]
    rows = [views.job(call, job) for job in sorted(seen, key=lambda job: -job.id)]
    return queries.page(call, rows, JOB_FILTERS, ("task_name", "project_name", "state", "stage"))


@route("GET", "/api/jobs/{id}")
def one_job(call: Call) -> Any:
    return views.job(call, job_of(call, call.id))


@route("PATCH", "/api/jobs/{id}")
def change_job(call: Call) -> Any:
    job = job_of(call, call.id)
    body = call.json()
    fields: dict[str, Any] = {}
    if "assignee" in body:
        if not call.user.superuser and body["assignee"] != call.user.id:
            raise forbidden()  # outside an organization a plain user may not see other users
        fields |= {"assignee": body["assignee"], "assignee_updated": call.state.now()}
    if "stage" in body and not sees_task(call.state, call.user, call.state.tasks[job.task]):
        raise forbidden()
    _choice(body, "stage", STAGES)
    _choice(body, "state", STATES)
    stage = body.get("stage", job.stage)
    state = body.get("state", "new" if stage != job.stage else job.state)
    status = "annotation" if stage == "annotation" else "completed" if (stage, state) == DONE else "validation"
    changes = events.change(call, job, status=status, stage=stage, state=state, **fields)
    _follow(call, call.state.tasks[job.task], status_changed="status" in changes)
    events.told(call, job, changes)
    return views.job(call, job)


DONE = ("acceptance", "completed")


def _choice(body: dict[str, Any], name: str, choices: tuple[str, ...]) -> None:
    if name in body and body[name] not in choices:
        raise Refusal(400, {name: [f'"{body[name]}" is not a valid choice.']})


def _follow(call: Call, task: Task, *, status_changed: bool) -> None:
    """The status of a task after one of its jobs moved; told before the job's own event."""
    statuses = {job.status for job in call.state.jobs_of(task.id)}
    status = next((name for name in ("annotation", "validation") if name in statuses), "completed")
    if status_changed and status != task.status:
        events.updated(call, task, status=status)


def cut(call: Call, task: Task) -> list[Job]:
    """The jobs of a task that has its data now: one per segment."""
    state, size = call.state, task.segment_size or len(task.photos)
    jobs = []
    for start in range(0, len(task.photos), size):
        stop = min(start + size, len(task.photos)) - 1
        job = Job(state.next("job"), task.id, start, stop, state.now(), state.now())
        state.jobs[job.id] = job
        jobs.append(job)
    return jobs
