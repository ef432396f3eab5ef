"""The webhooks of CVAT's projects: listed, made, changed, and tried out.

CVAT never tells a webhook's secret, and takes the same webhook twice without a word: whoever makes one looks first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cvat_sdk import Client, models

from data_engineering import cvat_server
from data_engineering.cvat_errors import CvatError, translated
from data_engineering.cvat_server import Project

_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook of a project.

    Attributes:
        id: its number.
        url: that deliveries go to.
        events: CVAT's names of those that are told.
        is_active: whether it is switched on.
        checks_certificate: whether CVAT wants a certificate that it trusts where the address is https.
        last_status: what the last delivery was answered; 502 nobody, 504 too late; `None` without a delivery yet.
    """

    id: int
    url: str
    events: frozenset[str]
    is_active: bool = True
    checks_certificate: bool = True
    last_status: int | None = None


@dataclass(frozen=True, slots=True)
class Pinged:
    """What came of a ping.

    Attributes:
        status: as `Webhook.last_status`.
        words: the beginning of the answer, or why there was none.
    """

    status: int
    words: str


def of_project(client: Client, project: Project) -> list[Webhook]:
    """The webhooks of a project, the oldest first.

    Raises:
        CvatError: they cannot be had.
    """
    doing = f"list the webhooks of project {project.name!r}"
    found = cvat_server.get_all(client, "/api/webhooks", doing, project_id=project.id)
    return sorted(map(_webhook, found), key=lambda hook: hook.id)


def create(client: Client, project: Project, url: str, events: Iterable[str], secret: str, description: str) -> None:
    """Make a webhook.

    Args:
        client: of `cvat_server.connect`.
        project: whose events are told.
        url: that deliveries go to.
        events: CVAT's names of them.
        secret: that deliveries are signed with.
        description: that people read in CVAT.

    Raises:
        CvatError: the server refused it, or it is not known whether it is there.
    """
    told = [models.EventsEnum(event) for event in sorted(events)]
    kind = models.WebhookType("project")
    request = models.WebhookWriteRequest(
        url, kind, told, project_id=project.id, secret=secret, description=description, is_active=True, enable_ssl=True
    )
    with translated(f"make a webhook of project {project.name!r}"):
        client.api_client.webhooks_api.create(request, _parse_response=False)


def update(client: Client, webhook: Webhook, *, events: Iterable[str], secret: str) -> None:
    """Switch a webhook on, with these events and this secret; the rest stays.

    Raises:
        CvatError: the server refused it.
    """
    told = [models.EventsEnum(event) for event in sorted(events)]
    request = models.PatchedWebhookWriteRequest(events=told, secret=secret, is_active=True)
    with translated(f"change webhook {webhook.id}"):
        client.api_client.webhooks_api.partial_update(
            webhook.id, patched_webhook_write_request=request, _parse_response=False
        )


def ping(client: Client, webhook: Webhook) -> Pinged:
    """Have the server send a delivery that means nothing, and see what is answered.

    Raises:
        CvatError: the server refused it.
    """
    doing = f"ping webhook {webhook.id}"
    with translated(doing):
        _, response = client.api_client.webhooks_api.create_ping(webhook.id, _parse_response=False)
        try:
            told = json.loads(response.data)
            words = " ".join(str(told["response"]).split())
            return Pinged(int(told["status_code"]), words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…")
        except (ValueError, KeyError, TypeError):
            raise CvatError(f"{doing}: the server does not say what came of it") from None


def _webhook(raw: dict[str, Any]) -> Webhook:
    return Webhook(
        int(raw["id"]),
        str(raw["target_url"]),
        frozenset(map(str, raw["events"])),
        bool(raw["is_active"]),
        bool(raw.get("enable_ssl", True)),
        raw.get("last_status"),
    )
