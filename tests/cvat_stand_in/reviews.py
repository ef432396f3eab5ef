"""Issues and comments."""

from __future__ import annotations

from typing import Any

from tests.cvat_stand_in import events, queries, views
from tests.cvat_stand_in.access import issue_of, job_of, sees_job
from tests.cvat_stand_in.http import Call, Refusal, Reply, forbidden, missing, nothing, route
from tests.cvat_stand_in.state import Comment, Issue

ISSUE_FILTERS = queries.plain("id", "frame", "resolved", "updated_date") | {
    "job_id": lambda view: view["job"],
    "owner": queries.person("owner"),
    "assignee": queries.person("assignee"),
    "task_id": lambda view: view["task"],
}
COMMENT_FILTERS = queries.plain("id", "updated_date") | {
    "issue_id": lambda view: view["issue"],
    "job_id": lambda view: view["job"],
    "owner": queries.person("owner"),
}


@route("GET", "/api/issues")
def listing(call: Call) -> Any:
    state = call.state
    seen = [issue for issue in state.issues.values() if sees_job(state, call.user, state.jobs[issue.job])]
    rows = [{**views.issue(call, issue), "task": state.jobs[issue.job].task} for issue in reversed(seen)]
    found = queries.page(call, rows, ISSUE_FILTERS, ("owner", "assignee"))
    return {**found, "results": [_without(row, "task") for row in found["results"]]}


def _without(row: Any, name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


@route("POST", "/api/issues")
def create(call: Call) -> Any:
    body = call.json()
    for name in ("frame", "position", "job", "message"):
        if body.get(name) is None:
            raise Refusal(400, {name: ["This field is required."]})
    job = job_of(call, body["job"])
    state = call.state
    position = [float(value) for value in body["position"]]
    issue = Issue(state.next("issue"), job.id, body["frame"], position, call.user.id, state.now(), state.now())
    issue.assignee = body.get("assignee")
    state.issues[issue.id] = issue
    events.created(call, issue)
    _say(call, issue, body["message"])
    return Reply(201, views.issue(call, issue))


def _say(call: Call, issue: Issue, message: str) -> Comment:
    state = call.state
    comment = Comment(state.next("comment"), issue.id, call.user.id, message, state.now(), state.now())
    state.comments[comment.id] = comment
    events.created(call, comment)
    return comment


@route("GET", "/api/issues/{id}")
def one(call: Call) -> Any:
    return views.issue(call, issue_of(call, call.id))


@route("PATCH", "/api/issues/{id}")
def change(call: Call) -> Any:
    issue = issue_of(call, call.id)
    body = call.json()
    fields = {name: body[name] for name in ("resolved", "assignee", "position") if name in body}
    events.updated(call, issue, **fields)
    return views.issue(call, issue)


@route("DELETE", "/api/issues/{id}")
def delete(call: Call) -> Any:
    issue = issue_of(call, call.id)
    events.deleted(call, issue)
    for comment in [comment for comment in call.state.comments.values() if comment.issue == issue.id]:
        del call.state.comments[comment.id]
    del call.state.issues[issue.id]
    return nothing(204)


@route("GET", "/api/comments")
def comments(call: Call) -> Any:
    state = call.state
    rows = []
    for comment in reversed(state.comments.values()):
        job = state.jobs[state.issues[comment.issue].job]
        if sees_job(state, call.user, job):
            rows.append({**views.comment(call, comment), "job": job.id})
    found = queries.page(call, rows, COMMENT_FILTERS, ("owner",))
    return {**found, "results": [_without(row, "job") for row in found["results"]]}


@route("POST", "/api/comments")
def add_comment(call: Call) -> Any:
    body = call.json()
    issue = issue_of(call, body["issue"])
    return Reply(201, views.comment(call, _say(call, issue, body["message"])))


def _comment_of(call: Call) -> Comment:
    comment = call.state.comments.get(call.id)
    if comment is None:
        raise missing("Comment")
    issue_of(call, comment.issue)
    return comment


@route("GET", "/api/comments/{id}")
def one_comment(call: Call) -> Any:
    return views.comment(call, _comment_of(call))


@route("PATCH", "/api/comments/{id}")
def change_comment(call: Call) -> Any:
    comment = _comment_of(call)
    if call.user.id != comment.owner and not call.user.superuser:
        raise forbidden()
    events.updated(call, comment, message=call.json()["message"])
    return views.comment(call, comment)


@route("DELETE", "/api/comments/{id}")
def delete_comment(call: Call) -> Any:
    comment = _comment_of(call)
    events.deleted(call, comment)
    del call.state.comments[comment.id]
    return nothing(204)
