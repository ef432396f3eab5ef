"""What a delivery says: whether it is CVAT's, and whether it is worth a look.

CVAT signs the raw body (``X-Signature-256``), with no date and no id of a delivery: a body that comes again is known by
its facts. Every save of annotations is told three times with nothing but a new date: such deliveries, and those of the
bridge's own user, lead nowhere.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

EVENTS = ("update:task", "update:job", "update:issue", "completed:request[create:task]")
"""What the webhooks ask CVAT for."""
WEBHOOK = "/webhooks/cvat"
"""Path to which CVAT delivers."""
MAX_BYTES = 1_000_000
"""Of a body: a delivery names one thing, and has some 2 kB."""

_TELLING = {"update:task": {"status", "project_id", "subset"}, "update:job": {"state", "stage", "type"}}
_CREATED = "completed:request[create:task]"


class DeliveryError(ValueError):
    """A body that is no delivery of CVAT."""


@dataclass(frozen=True, slots=True)
class Event:
    """A delivery that is worth a look.

    Attributes:
        event: CVAT's name of it.
        digest: of its facts, the same however often they are told.
        project: number in CVAT; `None` where it does not say. Likewise `task` and `job`.
        updated: CVAT's date of the change; empty where it does not say.
    """

    event: str
    digest: str
    project: int | None
    task: int | None
    job: int | None
    updated: str = ""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A delivery that leads nowhere.

    Attributes:
        event: CVAT's name of it.
        reason: in words.
    """

    event: str
    reason: str


def is_signed(body: bytes, signature: str | None, secrets: Iterable[str]) -> bool:
    """Whether one of the secrets made the signature of a raw body; compared in constant time.

    Args:
        body: as it came.
        signature: of the header ``X-Signature-256``: ``sha256=`` and 64 hex digits.
        secrets: of the webhooks.
    """
    given = (signature or "").encode("utf-8", "replace")
    wanted = [b"sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode() for secret in secrets]
    return any([hmac.compare_digest(given, one) for one in wanted])  # a list: all are compared, whichever fits


def read(body: bytes, own_user: str = "") -> Event | Ignored:
    """Read a delivery.

    Args:
        body: as it came.
        own_user: name of the user as which the bridge signs in, if it has one of its own.

    Raises:
        DeliveryError: it is no delivery; the message says what was expected.
    """
    raw = _object(body)
    event = raw.get("event")
    if not isinstance(event, str):
        raise DeliveryError("a delivery has a text `event`")
    sender = _map(raw, "sender").get("username")
    if event not in EVENTS:
        return Ignored(event, "not an event that matters here")
    if own_user and sender == own_user:
        return Ignored(event, f"an echo of the bridge's own user {own_user}")
    if event in _TELLING and not _TELLING[event] & set(_map(raw, "changes")):
        return Ignored(event, "nothing changed that matters here")
    return _event(event, raw, _digest(raw))


def _event(event: str, raw: Mapping[str, Any], digest: str) -> Event | Ignored:
    if event == _CREATED:
        request = _map(raw, "request")
        if request.get("status") != "finished":
            return Ignored(event, "the task could not be made")
        operation = _map(request, "operation")
        return Event(event, digest, _number(operation, "project_id"), _number(operation, "task_id", needed=True), None)
    if event == "update:issue":
        issue = _map(raw, "issue")
        if not issue.get("resolved") or "resolved" not in _map(raw, "changes"):
            return Ignored(event, "no issue was resolved")
        return Event(event, digest, None, _number(issue, "task_id"), _number(issue, "job", needed=True))
    if event == "update:job":
        job = _map(raw, "job")
        project, task = _number(job, "project_id"), _number(job, "task_id", needed=True)
        return Event(event, digest, project, task, _number(job, "id", needed=True), _date(job))
    task = _map(raw, "task")
    return Event(event, digest, _number(task, "project_id"), _number(task, "id", needed=True), None, _date(task))


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raise DeliveryError("a delivery is JSON") from None
    if not isinstance(raw, dict):
        raise DeliveryError("a delivery is a JSON object")
    return raw


def _digest(raw: Mapping[str, Any]) -> str:
    """Of the facts: a delivery that CVAT sends again has its keys in another order."""
    return hashlib.sha256(json.dumps(raw, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _map(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _number(raw: Mapping[str, Any], name: str, *, needed: bool = False) -> int | None:
    value = raw.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53:
        return value
    if needed:
        raise DeliveryError(f"expected a whole number as `{name}`, got {str(value)[:40]!r}")
    return None


def _date(raw: Mapping[str, Any]) -> str:
    value = raw.get("updated_date")
    return value if isinstance(value, str) and len(value) <= 40 else ""
