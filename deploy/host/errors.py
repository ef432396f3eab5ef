"""The one form of every error that the host answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class HttpError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status.
        code: a word for programs.
        message: a sentence for people.
        headers: further response headers.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})


def error_body(code: str, message: str) -> bytes:
    """``{"error": {"code", "message"}}``, as the functions answer it too."""
    return json.dumps({"error": {"code": code, "message": message}}).encode()


async def send_error(scope: Any, send: Any, error: HttpError) -> None:
    """Answer with an error before any app was asked (ASGI)."""
    scope["record"].error = error.code
    body = error_body(error.code, error.message)
    pairs = {"content-type": "application/json", "content-length": str(len(body)), **error.headers}
    headers = [(name.lower().encode(), value.encode()) for name, value in pairs.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
