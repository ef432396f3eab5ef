"""What a handler gets and gives: the call, the answer, the refusal, and the table of routes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.cvat_stand_in.state import State, Token, User

JSON = "application/vnd.cvat+json"
SERVER_ERROR = (
    '\n<!doctype html>\n<html lang="en">\n<head>\n  <title>Server Error (500)</title>\n</head>\n<body>\n'
    "  <h1>Server Error (500)</h1><p></p>\n</body>\n</html>\n"
)
NOT_FOUND_PAGE = (
    '\n<!doctype html>\n<html lang="en">\n<head>\n  <title>Not Found</title>\n</head>\n<body>\n  <h1>Not Found</h1>'
    "<p>The requested resource was not found on this server.</p>\n</body>\n</html>\n"
)


@dataclass(frozen=True)
class Reply:
    """An answer: JSON, bytes, a file, or nothing."""

    status: int = 200
    body: Any = None
    media: str | None = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()

    def content(self) -> bytes:
        if isinstance(self.body, Path):
            return self.body.read_bytes()
        if isinstance(self.body, bytes):
            return self.body
        if self.media is None:
            return b""
        if self.media == JSON:
            return json.dumps(self.body, separators=(",", ":"), ensure_ascii=False).encode()
        return str(self.body).encode()


def nothing(status: int, **headers: str) -> Reply:
    """An answer without a body."""
    return Reply(status, None, None, headers)


class Refusal(Exception):
    """The server says no."""

    def __init__(self, status: int, body: Any, media: str = JSON, headers: Mapping[str, str] | None = None):
        super().__init__(f"{status}: {body}")
        self.reply = Reply(status, body, media, headers or {})


def detail(status: int, text: str, **headers: str) -> Refusal:
    return Refusal(status, {"detail": text}, headers={name.replace("_", "-"): value for name, value in headers.items()})


def forbidden() -> Refusal:
    return detail(403, "You do not have permission to perform this action.")


def missing(kind: str) -> Refusal:
    return detail(404, f"No {kind} matches the given query.")


def broken() -> Refusal:
    return Refusal(500, SERVER_ERROR, "text/html; charset=utf-8")


@dataclass(frozen=True)
class Call:
    """One request as a handler sees it. `base` is how the client calls the server; "" in a worker, as in CVAT."""

    state: State
    base: str
    path: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    caller: User | None = None
    token: Token | None = None

    @property
    def user(self) -> User:
        assert self.caller is not None
        return self.caller

    @property
    def id(self) -> int:
        return int(self.parts["id"])

    def worker(self) -> Call:
        """The same user's work, done by a worker of the server."""
        return replace(self, base="")

    def json(self) -> Any:
        """The body as JSON; 415 for another content type, 400 for a body that is none."""
        media = self.headers.get("content-type", "").split(";")[0].strip()
        if not self.body:
            return {}
        if media not in ("application/json", JSON):
            raise detail(415, f'Unsupported media type "{media}" in request.')
        try:
            return json.loads(self.body, parse_constant=_no_constant)
        except ValueError as error:
            raise detail(400, f"JSON parse error - {error}") from None

    def flag(self, name: str) -> bool | None:
        text = self.query.get(name)
        return None if text is None else text.lower() in ("true", "1")


def _no_constant(text: str) -> float:
    raise ValueError(f"Out of range float values are not JSON compliant: {text!r}")


Handler = Callable[[Call], Any]


@dataclass(frozen=True)
class Route:
    """A method and a path, who may call it, and whether the state is locked meanwhile."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    locked: bool
    anonymous: bool


ROUTES: list[Route] = []


def route(method: str, path: str, *, locked: bool = True, anonymous: bool = False) -> Callable[[Handler], Handler]:
    """Put a handler into the table; `{id}` is a number, any other `{name}` a piece of the path."""
    pattern = re.sub(r"\{(\w+)\}", lambda m: rf"(?P<{m[1]}>{r'[0-9]+' if m[1] == 'id' else '[^/]+'})", path)

    def put(handler: Handler) -> Handler:
        ROUTES.append(Route(method, re.compile(pattern), handler, locked, anonymous))
        return handler

    return put


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route of a request; 405 where the path is known by other methods, the 404 page where it is not."""
    known = False
    for entry in ROUTES:
        if match := entry.pattern.fullmatch(path):
            if entry.method == method:
                return entry, match.groupdict()
            known = True
    if known:
        raise detail(405, f'Method "{method}" not allowed.')
    raise Refusal(404, NOT_FOUND_PAGE, "text/html; charset=utf-8")


def multipart(call: Call) -> list[tuple[str, str | None, bytes]]:
    """The parts of a multipart body: name of the field, name of the file (``None`` for a plain field), bytes."""
    found = re.search(r'boundary="?([^";]+)', call.headers.get("content-type", ""))
    if not found:
        raise detail(400, "Multipart form parse error - Invalid boundary in multipart: None")
    parts = []
    for piece in call.body.split(b"--" + found[1].encode())[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        text = head.decode()
        name = re.search(r'[; ]name="([^"]*)"', text)
        filename = re.search(r'filename="([^"]*)"', text)
        parts.append((name[1] if name else "", filename[1] if filename else None, content.removesuffix(b"\r\n")))
    return parts
