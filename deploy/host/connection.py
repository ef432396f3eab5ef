"""One client's connection: bounded in number, in time and in what is kept of it, whatever the client does.

uvicorn's HTTP/1.1 protocol waits for ever for a head, for the rest of a body that nobody reads any more, and for a
client that does not fetch its answer; and it answers what is no HTTP with a text. Here each has its time, and every
error is our JSON.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from deploy.host.errors import error_body
from deploy.host.limits import Limits
from deploy.host.metrics import HOST, HostMetrics
from deploy.host.recorder import HEAD_TOO_LARGE, new_id

_LINGER_S = 2.0
"""A connection closed at once while its client still sends is reset, and the answer lost with it."""


@dataclass(slots=True)
class Doors:
    """What all connections of a host share.

    Attributes:
        open: how many there are.
    """

    limits: Limits
    metrics: HostMetrics
    logger: Any
    open: set[Connection] = field(default_factory=set)

    @property
    def unfetched(self) -> int:
        """Bytes of answers that clients have yet to fetch."""
        return sum(connection.transport.get_write_buffer_size() for connection in self.open)


class Connection(H11Protocol):
    """uvicorn's protocol with bounds; `doors` comes first (`functools.partial`), the rest is uvicorn's."""

    def __init__(self, doors: Doors, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._doors = doors
        self._late: asyncio.TimerHandle | None = None
        self._closing = False
        self._answers = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let in, or answer 503."""
        super().connection_made(transport)
        self._doors.open.add(self)
        self._wait_for_request()
        if len(self._doors.open) > self._doors.limits.connections:
            self._doors.metrics.turned_away()
            self._refuse(503, "busy", f"{self._doors.limits.connections} connections are open: try again in a moment")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._doors.open.discard(self)
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; the clock runs from the first of a request to its last."""
        if self._closing:
            return
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._wait_for_request()
        else:
            self._stop_clock()

    def _wait_for_request(self) -> None:
        if self._late is None:
            limits = self._doors.limits
            self._late = self.loop.call_later(limits.body_s + limits.idle_s, self._too_late)

    def _stop_clock(self) -> None:
        if self._late:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        """No whole head, or (an app's own clock runs out first) no whole body; or what follows an early answer."""
        self._late = None
        if self.conn.our_state is h11.SEND_RESPONSE or self.conn.trailing_data[0]:
            self._refuse(408, "slow_request", f"no whole request came within {self._doors.limits.body_s:g} s")
        else:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; called by uvicorn while it handles h11's error."""
        fault = sys.exception()
        status = getattr(fault, "error_status_hint", 400)
        if status == 431:
            self._refuse(431, *HEAD_TOO_LARGE)
        else:
            self._refuse(400, "bad_http", f"this is not HTTP/1.1: {fault or msg}")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer without the app, then close once the client has had time to read."""
        body, request_id = error_body(code, message), new_id()
        if self._closing or self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()  # amid another answer: there is no way to say anything
            return
        if self.cycle:  # the app reads a body that turned out to be none
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        head = f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(f"{head}x-quadrat-request: {request_id}\r\nconnection: close\r\n\r\n".encode() + body)
        self._close_softly()
        self._doors.metrics.answered(HOST, status, 0.0, 0, len(body))
        client = self.client[0] if self.client else None
        facts = {"request": request_id, "status": status, "client": client, "bytes_out": len(body)}
        self._doors.logger.info_with(
            "request", method=None, path=None, function=None, ms=0, bytes_in=0, error=code, **facts
        )

    def _close_softly(self) -> None:
        self._closing = True
        self._stop_clock()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.abort)

    def on_response_complete(self) -> None:
        """Give the client its time to fetch the answer."""
        super().on_response_complete()
        self._answers += 1
        if size := self.transport.get_write_buffer_size():
            self.loop.call_later(self._doors.limits.fetch_s(size), self._abort_if_unfetched, self._answers)

    def _abort_if_unfetched(self, answer: int) -> None:
        if answer == self._answers and self.transport.get_write_buffer_size():
            self.transport.abort()
