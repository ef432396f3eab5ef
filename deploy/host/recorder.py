"""What every request leaves behind: an id, a line in the log, and its share of the counters."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from deploy.host.errors import HttpError, send_error
from deploy.host.metrics import HOST, HostMetrics

REQUEST_ID = b"x-quadrat-request"
MAX_HEAD_BYTES = 16 * 1024
"""h11 bounds a head that is not yet whole by this; a whole one, however large, passes there and is refused here."""
HEAD_TOO_LARGE = ("head_too_large", "address and headers are too large: at most 16 KiB are taken")
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class Record:
    """One request; the app finds it in ``request.scope["record"]``.

    Attributes:
        request_id: the caller's ``X-Request-ID`` where it is sane, else made.
        function: the function that it asked.
        error: the code of the error that it was answered with.
    """

    request_id: str
    start: float
    function: str = HOST
    status: int = 0
    error: str | None = None
    bytes_in: int = 0
    bytes_out: int = 0


def new_id() -> str:
    """An id for a request whose caller gave none."""
    return uuid.uuid4().hex[:16]


def _request_id(headers: list[tuple[bytes, bytes]]) -> str:
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    return given.decode() if _SANE.fullmatch(given) else new_id()


def _head_size(scope: Any) -> int:
    return len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(n) + len(v) for n, v in scope["headers"])


class Recorder:
    """ASGI middleware, outermost: strangers and wrong paths are recorded too."""

    def __init__(self, app: Any, metrics: HostMetrics, logger: Any) -> None:
        self._app, self._metrics, self._logger = app, metrics, logger

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand the request on; note what comes and goes."""
        record = scope["record"] = Record(_request_id(scope["headers"]), time.perf_counter())

        async def counted_receive() -> Any:
            message = await receive()
            record.bytes_in += len(message.get("body", b""))
            return message

        async def counted_send(message: Any) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                headers = [pair for pair in message["headers"] if pair[0].lower() != REQUEST_ID]
                message = {**message, "headers": [*headers, (REQUEST_ID, record.request_id.encode())]}
            record.bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            if _head_size(scope) > MAX_HEAD_BYTES:
                await send_error(scope, counted_send, HttpError(431, *HEAD_TOO_LARGE))
            else:
                await self._app(scope, counted_receive, counted_send)
        finally:
            self._note(scope, record)

    def _note(self, scope: Any, record: Record) -> None:
        seconds = time.perf_counter() - record.start
        self._metrics.answered(record.function, record.status, seconds, record.bytes_in, record.bytes_out)
        self._logger.info_with(
            "request",
            request=record.request_id,
            method=scope["method"],
            path=scope["path"],
            function=None if record.function == HOST else record.function,
            status=record.status,
            error=record.error,
            ms=round(1000 * seconds, 1),
            bytes_in=record.bytes_in,
            bytes_out=record.bytes_out,
            client=(scope.get("client") or (None,))[0],
        )
