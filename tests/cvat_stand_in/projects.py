"""Projects and labels."""

from __future__ import annotations

import re
from typing import Any

from tests.cvat_stand_in import events, queries, views
from tests.cvat_stand_in.access import job_of, project_of, sees_project, sees_task, task_of
from tests.cvat_stand_in.http import Call, Refusal, Reply, missing, nothing, route
from tests.cvat_stand_in.state import Label, Project, State

FILTERS = queries.plain("id", "name", "status", "created_date", "updated_date", "assignee_updated_date") | {
    "owner": queries.person("owner"),
    "assignee": queries.person("assignee"),
}
COLOURS = ("#fa3253", "#33ddff", "#ddff33", "#3df53d", "#ff6037", "#c06060", "#66ff66", "#b83df5", "#ff355e", "#34d1b7")


@route("GET", "/api/projects")
def listing(call: Call) -> Any:
    seen = [record for record in call.state.projects.values() if sees_project(call.state, call.user, record)]
    rows = [views.project(call, record) for record in sorted(seen, key=lambda record: -record.id)]
    return queries.page(call, rows, FILTERS, ("name", "owner", "assignee", "status"))


@route("POST", "/api/projects")
def create(call: Call) -> Any:
    body = call.json()
    if not body.get("name"):
        raise Refusal(400, {"name": ["This field is required."]})
    check_labels(body.get("labels", []))
    record = add_project(call, body["name"], body.get("labels", []), body.get("bug_tracker", ""))
    return Reply(201, views.project(call, record), headers={"Location": f"{call.base}/api/projects/{record.id}"})


def add_project(call: Call, name: str, labels: list[dict[str, Any]], bug_tracker: str = "") -> Project:
    state, number = call.state, call.state.next("project")
    record = Project(number, name, call.user.id, state.now(), state.now(), bug_tracker=bug_tracker)
    state.projects[number] = record
    add_labels(state, labels, project=number)
    return record


@route("GET", "/api/projects/{id}")
def one(call: Call) -> Any:
    return views.project(call, project_of(call, call.id))


@route("PATCH", "/api/projects/{id}")
def change(call: Call) -> Any:
    record = project_of(call, call.id)
    body = call.json()
    fields = {name: body[name] for name in ("name", "bug_tracker") if name in body}
    if "assignee_id" in body or "assignee" in body:
        fields |= {"assignee": body.get("assignee_id", body.get("assignee")), "assignee_updated": call.state.now()}
    if "labels" in body:
        change_labels(call.state, body["labels"], project=record.id)
    events.updated(call, record, **fields)
    return views.project(call, record)


@route("DELETE", "/api/projects/{id}")
def delete(call: Call) -> Any:
    record = project_of(call, call.id)
    from tests.cvat_stand_in.tasks import forget

    events.deleted(call, record)
    for task in [task for task in call.state.tasks.values() if task.project == record.id]:
        forget(call.state, task)
    for webhook in [webhook for webhook in call.state.webhooks.values() if webhook.project == record.id]:
        del call.state.webhooks[webhook.id]
    forget_labels(call.state, project=record.id)
    del call.state.projects[record.id]
    return nothing(204)


def labels_of(state: State, *, project: int | None = None, task: int | None = None) -> list[Label]:
    """The labels of a project or of a task, whose project owns them where it has one; parents and sublabels."""
    if task is not None and project is None:
        project = state.tasks[task].project
        task = None if project is not None else task
    own = [label for label in state.labels.values() if (label.project, label.task) == (project, task)]
    return sorted(own, key=lambda label: label.id)


def check_labels(labels: list[dict[str, Any]]) -> None:
    names = [label.get("name") for label in labels]
    if len(set(names)) != len(names):
        raise Refusal(400, ["All label names must be unique"])


def add_labels(
    state: State, labels: list[dict[str, Any]], *, project: int | None = None, task: int | None = None
) -> None:
    for place, body in enumerate(labels):
        label = _add(state, body, place, None, project, task)
        parts = [
            _add(state, part, place, label.id, project, task) for place, part in enumerate(body.get("sublabels", []))
        ]
        if body.get("svg") is not None:
            label.svg = _own_ids(body["svg"], parts)


def _spec(state: State, given: dict[str, Any]) -> dict[str, Any]:
    """An attribute of a label with an id of its own."""
    return {
        "id": state.next("attribute"),
        "name": given["name"],
        "mutable": given.get("mutable", False),
        "input_type": given.get("input_type", "text"),
        "default_value": given.get("default_value", ""),
        "values": given.get("values", []),
    }


def _add(
    state: State, body: dict[str, Any], place: int, parent: int | None, project: int | None, task: int | None
) -> Label:
    attributes = [_spec(state, given) for given in body.get("attributes", [])]
    kind = body.get("type") or ("points" if parent else "any")
    colour = body.get("color") or COLOURS[place % len(COLOURS)]
    label = Label(state.next("label"), body["name"], colour, kind, attributes, None, parent, project, task)
    state.labels[label.id] = label
    return label


def _own_ids(svg: str, parts: list[Label]) -> str:
    """The picture of a skeleton as the server stores it: names of the points become its own ids."""
    ids = {part.name: part.id for part in parts}
    return re.sub(
        r'data-label-name="([^"]*)"',
        lambda match: f'data-label-id="{ids[match[1]]}"' if match[1] in ids else match[0],
        svg,
    )


def with_names(svg: str, parts: list[Label]) -> str:
    """The picture as exports and backups have it: ids become names again."""
    names = {str(part.id): part.name for part in parts}
    return re.sub(
        r'data-label-id="([^"]*)"',
        lambda match: f'data-label-name="{names[match[1]]}"' if match[1] in names else match[0],
        svg,
    )


def change_labels(
    state: State, labels: list[dict[str, Any]], *, project: int | None = None, task: int | None = None
) -> None:
    """Labels of a PATCH: with an id renamed, recoloured, deleted or given attributes; without one added."""
    for body in labels:
        if not body.get("id"):
            add_labels(state, [body], project=project, task=task)
            continue
        label = state.labels.get(body["id"])
        if label is None:
            raise Refusal(400, [f"Not found label with id #{body['id']} to change"])
        if body.get("deleted"):
            _forget_label(state, label)
            continue
        label.name, label.color = body.get("name", label.name), body.get("color", label.color)
        label.attributes += [_spec(state, given) for given in body.get("attributes", []) if not given.get("id")]


def forget_labels(state: State, *, project: int | None = None, task: int | None = None) -> None:
    for number in [label.id for label in state.labels.values() if (label.project, label.task) == (project, task)]:
        del state.labels[number]


def _forget_label(state: State, label: Label) -> None:
    for number in [part.id for part in state.labels.values() if part.parent == label.id] + [label.id]:
        del state.labels[number]


@route("GET", "/api/labels")
def labels(call: Call) -> Any:
    query = call.query
    if query.get("project_id"):
        own = labels_of(call.state, project=project_of(call, int(query["project_id"])).id)
    elif query.get("task_id"):
        own = labels_of(call.state, task=task_of(call, int(query["task_id"])).id)
    elif query.get("job_id"):
        own = labels_of(call.state, task=job_of(call, int(query["job_id"])).task)
    else:
        own = [label for label in call.state.labels.values() if _sees(call, label)]
    rows = [views.label(call, label) for label in own if label.parent is None]
    return queries.page(call, rows, queries.plain("name", "type", "color"), ("name",))


def _sees(call: Call, label: Label) -> bool:
    if label.project is not None:
        return sees_project(call.state, call.user, call.state.projects[label.project])
    return label.task is not None and sees_task(call.state, call.user, call.state.tasks[label.task])


@route("GET", "/api/labels/{id}")
def one_label(call: Call) -> Any:
    label = call.state.labels.get(call.id)
    if label is None or not _sees(call, label):
        raise missing("Label")
    return views.label(call, label)
