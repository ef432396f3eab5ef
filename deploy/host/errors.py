"""The one form of every error that the host answers."""

from __future__ import annotations

import json
from collections.abc import Mapping


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
