"""Webhooks of projects: CRUD, ping, deliveries, redelivery."""

from __future__ import annotations

import re
from typing import Any

from tests.cvat_stand_in import deliveries, queries, views
from tests.cvat_stand_in.access import project_of, sees_project, webhook_of
from tests.cvat_stand_in.deliveries import Parcel
from tests.cvat_stand_in.http import Call, Refusal, Reply, missing, nothing, route
from tests.cvat_stand_in.state import Webhook

GROUPS = {
    "Task": ("create:task", "update:task", "delete:task"),
    "Job": ("create:job", "update:job", "delete:job"),
    "Issue": ("create:issue", "update:issue", "delete:issue"),
    "Comment": ("create:comment", "update:comment", "delete:comment"),
    "Dataset export": ("completed:request[export:annotations]", "completed:request[export:dataset]"),
    "Backup export": ("completed:request[export:backup]",),
    "Task data creation": ("completed:request[create:task]",),
    "Consensus merge": ("completed:request[merge:task]", "completed:request[merge:job]"),
    "Quality report creation": ("completed:request[calculate:quality]",),
    "Project": ("update:project", "delete:project"),
}
EVENTS = {event for events in GROUPS.values() for event in events}
FILTERS = queries.plain("target_url", "type", "project_id", "updated_date") | {"owner": queries.person("owner")}


@route("GET", "/api/webhooks/events")
def known_events(call: Call) -> Any:
    rows = [{"key": e, "group": {"display_name": group}} for group, events in GROUPS.items() for e in events]
    return {"webhook_type": call.query.get("type", "project"), "events": rows}


@route("GET", "/api/webhooks")
def listing(call: Call) -> Any:
    state = call.state
    seen = [hook for hook in state.webhooks.values() if sees_project(state, call.user, state.projects[hook.project])]
    rows = [views.webhook(call, hook) for hook in sorted(seen, key=lambda hook: -hook.id)]
    return queries.page(call, rows, FILTERS, ("target_url", "owner", "type"))


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    if "target_url" in body and not re.fullmatch(r"(https?|ftp)://[^\s/]+\S*", str(body["target_url"])):
        raise Refusal(400, {"target_url": ["Enter a valid URL."]})
    if "events" in body and not (body["events"] and set(body["events"]) <= EVENTS):
        raise Refusal(400, {"non_field_errors": ["Invalid events list for project webhook"]})
    known = ("target_url", "events", "description", "secret", "is_active", "enable_ssl")
    return {name: body[name] for name in known if name in body}


@route("POST", "/api/webhooks")
def create(call: Call) -> Any:
    body = call.json()
    for name in ("target_url", "type", "events"):
        if not body.get(name):
            raise Refusal(400, {name: ["This field is required."]})
    if body["type"] != "project" or not body.get("project_id"):
        raise Refusal(400, {"project_id": ["The stand-in knows webhooks of projects only."]})
    project = project_of(call, body["project_id"])
    fields, state = _checked(body), call.state
    number = state.next("webhook")
    record = Webhook(number, project=project.id, owner=call.user.id, created=state.now(), updated=state.now(), **fields)
    state.webhooks[number] = record
    return Reply(201, views.webhook(call, record), headers={"Location": f"{call.base}/api/webhooks/{number}"})


@route("GET", "/api/webhooks/{id}")
def one(call: Call) -> Any:
    return views.webhook(call, webhook_of(call, call.id))


@route("PATCH", "/api/webhooks/{id}")
@route("PUT", "/api/webhooks/{id}")
def change(call: Call) -> Any:
    record = webhook_of(call, call.id)
    for name, value in _checked(call.json()).items():
        setattr(record, name, value)
    record.updated = call.state.now()
    return views.webhook(call, record)


@route("DELETE", "/api/webhooks/{id}")
def delete(call: Call) -> Any:
    del call.state.webhooks[webhook_of(call, call.id).id]
    return nothing(204)


@route("POST", "/api/webhooks/{id}/ping", locked=False)
def ping(call: Call) -> Any:
    record = webhook_of(call, call.id)
    payload = {"event": "ping", "webhook": views.webhook(call, record), "sender": views.brief(call, call.user.id)}
    return deliveries.send(call.state, record, Parcel(record.id, "ping", payload))


@route("GET", "/api/webhooks/{id}/deliveries")
def delivered(call: Call) -> Any:
    record = webhook_of(call, call.id)
    own = [sent for sent in call.state.deliveries.values() if sent["webhook_id"] == record.id]
    fields = queries.plain("event", "status_code", "redelivery", "attempt", "updated_date")
    return queries.page(call, sorted(own, key=lambda sent: -sent["id"]), fields, ())


def _delivery(call: Call, record: Webhook) -> dict[str, Any]:
    sent = call.state.deliveries.get(int(call.parts["delivery"]))
    if sent is None or sent["webhook_id"] != record.id:
        raise missing("WebhookDelivery")
    return sent


@route("GET", "/api/webhooks/{id}/deliveries/{delivery}")
def one_delivery(call: Call) -> Any:
    return _delivery(call, webhook_of(call, call.id))


@route("POST", "/api/webhooks/{id}/deliveries/{delivery}/redelivery")
def redeliver(call: Call) -> Any:
    """Send a body again: the same facts, signed anew over JSON whose keys stand in another order."""
    record = webhook_of(call, call.id)
    sent = _delivery(call, record)
    call.state.outbox.put(Parcel(record.id, sent["event"], _as_stored(sent["request"]), redelivery=True))
    return {}


def _as_stored(value: Any) -> Any:
    """JSON in the order in which Postgres keeps it: short names first."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: (len(name), name))
        return {name: _as_stored(value[name]) for name in names}
    return [_as_stored(inner) for inner in value] if isinstance(value, list) else value
