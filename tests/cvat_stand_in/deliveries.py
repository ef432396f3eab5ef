"""The worker that carries events to the webhooks: signed bodies, one after another, retried later."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import threading
import time
import traceback
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.cvat_stand_in.state import State, Webhook

RETRY_DELAYS_S = (5.0, 300.0, 1800.0, 10800.0, 86400.0, 86400.0, 86400.0, 86400.0)
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass
class Parcel:
    """One body on its way to one webhook."""

    webhook: int
    event: str
    payload: dict[str, Any]
    redelivery: bool = False
    attempt: int = 1
    due: float = 0.0


def queue(state: State, event: str, project: int | None, payload: dict[str, Any]) -> None:
    """Put an event before the webhooks of a project that asked for it."""
    for webhook in sorted(state.webhooks.values(), key=lambda record: record.id):
        if webhook.is_active and webhook.project == project and event in webhook.events:
            body = {"event": event, "webhook_id": webhook.id, **payload}
            state.outbox.put(Parcel(webhook.id, event, body))


def send(state: State, webhook: Webhook, parcel: Parcel) -> dict[str, Any]:
    """Send one body and keep what came of it: 502 where nobody listens, 504 where the answer takes too long."""
    raw = json.dumps(parcel.payload).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "CVAT/2.73.0 stand-in"}
    if webhook.secret:
        digest = hmac.new(webhook.secret.encode(), raw, hashlib.sha256).hexdigest()
        headers["X-Signature-256"] = f"sha256={digest}"
    began = time.monotonic()
    status, text = _post(webhook.target_url, raw, headers, state.delivery_timeout_s)
    took = round((time.monotonic() - began) * 1000)
    with state.lock:
        return _keep(state, webhook, parcel, {"status_code": status, "response": text, "request_duration": took})


def _keep(state: State, webhook: Webhook, parcel: Parcel, outcome: dict[str, Any]) -> dict[str, Any]:
    now = state.now()
    record = {
        "id": state.next("delivery"),
        "webhook_id": webhook.id,
        "event": parcel.event,
        "status_code": outcome["status_code"],
        "redelivery": parcel.redelivery,
        "attempt": parcel.attempt,
        "request_duration": outcome["request_duration"],
        "created_date": now,
        "updated_date": state.now(),
        "changed_fields": ",".join(parcel.payload.get("changes", {})),
        "request": parcel.payload,
        "response": outcome["response"],
    }
    webhook.last_status, webhook.last_delivery = outcome["status_code"], record["updated_date"]
    state.deliveries[record["id"]] = record
    return record


def _post(url: str, raw: bytes, headers: dict[str, str], timeout: float) -> tuple[int, str]:
    try:
        status, text, location = _request("POST", url, raw, headers, timeout)
        if status in REDIRECTS and location:  # followed, and as a GET: the body is lost
            status, text, _ = _request("GET", urllib.parse.urljoin(url, location), None, {}, timeout)
    except TimeoutError:
        return 504, f"{_pool(url)}: Read timed out. (read timeout={timeout:g})"
    except (OSError, http.client.HTTPException) as error:
        new = f"{_pool(url).replace('Pool', '')}: Failed to establish a new connection: {error}"
        path = urllib.parse.urlsplit(url).path
        return 502, f'{_pool(url)}: Max retries exceeded with url: {path} (Caused by NewConnectionError("{new}"))'
    return status, text


def _pool(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"HTTPConnectionPool(host={parts.hostname!r}, port={parts.port or 80})"


def _request(
    method: str, url: str, raw: bytes | None, headers: dict[str, str], timeout: float
) -> tuple[int, str, str | None]:
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=timeout)
    try:
        connection.request(method, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), raw, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(2**20).decode(errors="replace"), answer.getheader("Location")
    finally:
        connection.close()


class Worker:
    """One thread for all deliveries, as CVAT has: a slow receiver holds up the others."""

    def __init__(self, state: State, retry_delays_s: Sequence[float] = RETRY_DELAYS_S):
        self.state, self.retry_delays_s = state, tuple(retry_delays_s)
        self.later: list[Parcel] = []
        self.busy = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cvat-deliveries", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self.state.outbox.put(None)
        self._thread.join(timeout=15)

    def idle(self) -> bool:
        """Whether everything was delivered, retries that wait apart."""
        return self.state.outbox.unfinished_tasks == 0

    def _run(self) -> None:
        while not self._stop.is_set():
            parcel = self.state.outbox.take(self._next_due())
            if parcel is not None:
                try:
                    self._deliver(parcel)
                except Exception:  # a mistake of the stand-in: shown by `Server.errors`
                    self.state.errors.append(traceback.format_exc())
                self.state.outbox.task_done()
            for late in [late for late in self.later if late.due <= time.monotonic()]:
                self.later.remove(late)
                self._deliver(late)

    def _next_due(self) -> float | None:
        return min((late.due - time.monotonic() for late in self.later), default=None)

    def _deliver(self, parcel: Parcel) -> None:
        webhook = self.state.webhooks.get(parcel.webhook)
        if webhook is None:
            return
        record = send(self.state, webhook, parcel)
        if record["status_code"] >= 400 and parcel.attempt <= len(self.retry_delays_s):
            parcel.due = time.monotonic() + self.retry_delays_s[parcel.attempt - 1]
            parcel.attempt += 1
            self.later.append(parcel)
