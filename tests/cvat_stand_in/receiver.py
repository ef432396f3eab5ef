"""A receiver of webhooks that keeps what came."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Delivery:
    """One delivery as it came."""

    path: str
    raw: bytes
    headers: dict[str, str]

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.raw)
        return body

    def signed_with(self, secret: str) -> bool:
        """Whether the signature is that of the raw body."""
        digest = hmac.new(secret.encode(), self.raw, hashlib.sha256).hexdigest()
        return hmac.compare_digest(self.headers.get("X-Signature-256", ""), f"sha256={digest}")


class Receiver:
    """What came, in order. Paths: /fail answers 500 once, /slow too late, /redirect elsewhere, all others 200."""

    def __init__(self, slow_s: float = 1.0):
        self.deliveries: list[Delivery] = []
        self.slow_s = slow_s
        self.seen: Counter[str] = Counter()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                receiver.deliveries.append(Delivery(self.path, raw, dict(self.headers)))
                receiver.seen[self.path] += 1
                if self.path == "/slow":
                    time.sleep(receiver.slow_s)
                first = receiver.seen[self.path] == 1
                self.send_response(302 if self.path == "/redirect" else 500 if self.path == "/fail" and first else 200)
                if self.path == "/redirect":
                    self.send_header("Location", "/hook")
                self.send_header("Content-Length", "8")
                with suppress(OSError):  # the sender may have given up
                    self.end_headers()
                    self.wfile.write(b"received")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving(slow_s: float = 1.0) -> Iterator[Receiver]:
    """A receiver for as long as it is needed."""
    receiver = Receiver(slow_s)
    try:
        yield receiver
    finally:
        receiver.close()
