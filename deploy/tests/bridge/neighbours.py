"""What lies round the bridge, for tests: functions as `deploy.host` serves them, and a bridge that CVAT can reach."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "a-secret-of-the-webhooks"


class Neighbours:
    """One server with both faces.

    Attributes:
        labels: what each function says that it finds; one of `None` says none, as one that paints grids out.
        answers: status of each function where it is not 200.
        secret: that deliveries must be signed with.
        health: what /healthz says.
    """

    def __init__(self, labels: dict[str, list[dict[str, Any]] | None]):
        self.labels, self.answers = labels, dict[str, int]()
        self.secret, self.health = SECRET, "ok"
        self.asked: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def functions(self) -> str:
        """Where functions answer by their names."""
        return f"{self.url}/functions"

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def get(self, path: str) -> tuple[int, Any]:
        if path == "/healthz":
            return (200 if self.health == "ok" else 503), {"status": self.health}
        labels = self.labels.get(path.removeprefix("/api/functions/"))
        if labels is None:
            return 404, {"error": {"code": "not_found", "message": "no such thing"}}
        return 200, {"metadata": {"annotations": {"spec": json.dumps(labels)}}}

    def post(self, path: str, body: bytes, signature: str) -> tuple[int, Any]:
        if path == "/webhooks/cvat":
            return self._take(body, signature)
        name = path.removeprefix("/functions/")
        if name not in self.labels:
            return 404, {"error": {"code": "no_such_function", "message": f"no function {name}"}}
        if name in self.answers:
            return self.answers[name], {"error": {"code": "fault", "message": "it has a fault"}}
        self.asked.append(json.loads(body))
        return 200, [] if self.labels[name] is not None else {"image": "", "painted_fraction": 0.0, "warnings": []}

    def _take(self, body: bytes, signature: str) -> tuple[int, Any]:
        wanted = "sha256=" + hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        if not signature:
            return 401, {"error": {"code": "unsigned", "message": "no signature"}}
        return (200, {"outcome": "ignored"}) if signature == wanted else (403, {"error": {"code": "bad_signature"}})


def _handler(neighbours: Neighbours) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(*neighbours.get(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self._answer(*neighbours.post(self.path, body, self.headers.get("X-Signature-256", "")))

        def _answer(self, status: int, body: Any) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.send_header("X-Quadrat-Model", "fake")
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def neighbours(labels: dict[str, list[dict[str, Any]] | None]) -> Iterator[Neighbours]:
    """Functions and bridge for as long as they are needed."""
    made = Neighbours(labels)
    try:
        yield made
    finally:
        made.close()
