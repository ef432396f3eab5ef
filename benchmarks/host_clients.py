"""Clients for the stress test of the host: they send bytes as they are and judge what comes back."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from threading import Condition, Thread

from benchmarks.host_requests import ABORTED, Asked, outline_of

PATIENCE_S = 900.0
_REUSE_S = 2.0
WRONG = ("unanswered", "mixed up", "server error", "wrong status", "error without our JSON")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to.

    Attributes:
        verdict: ``right``, ``worker killed``, ``aborted`` or one of `WRONG`.
        fault: why there is no answer.
    """

    asked: Asked
    verdict: str
    status: int
    body: bytes
    seconds: float
    fault: str = ""

    def describe(self) -> str:
        """One line for people."""
        return f"{self.asked.kind}: {self.verdict}, {self.status} {self.body[:200]!r} {self.fault}"


class Client:
    """One client; keeps its connection between good requests, as browsers and CVAT's sessions do."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._kept: socket.socket | None = None
        self._last = 0.0

    def ask(self, asked: Asked) -> Answer:
        """Send, wait, judge."""
        start = time.perf_counter()
        fresh = asked.status != 200
        connection = self._connect() if fresh else self._reuse()
        try:
            status, body, keep = _exchange(connection, asked)
            fault = ""
        except (OSError, HTTPException) as error:
            status, body, keep, fault = 0, b"", False, repr(error)
        if fresh or not keep:
            connection.close()
            self._kept = self._kept if fresh else None
        self._last = time.perf_counter()
        return Answer(asked, _judge(asked, status, body), status, body, self._last - start, fault)

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), PATIENCE_S)

    def _reuse(self) -> socket.socket:
        """The kept connection, unless the host may be about to close it."""
        if self._kept is None or time.perf_counter() - self._last > _REUSE_S:
            self.close()
            self._kept = self._connect()
        return self._kept

    def close(self) -> None:
        """Hang up."""
        if self._kept:
            self._kept.close()
            self._kept = None


def send(port: int, asked: Asked) -> Answer:
    """One request by a client of its own."""
    client = Client(port)
    try:
        return client.ask(asked)
    finally:
        client.close()


def _exchange(connection: socket.socket, asked: Asked) -> tuple[int, bytes, bool]:
    connection.sendall(asked.raw[: asked.pause_at])
    if asked.abort:
        return 0, b"", False
    with HTTPResponse(connection, method="POST") as response:
        response.begin()
        return response.status, response.read(), not response.will_close


def _judge(asked: Asked, status: int, body: bytes) -> str:
    if asked.kind == ABORTED:
        return "aborted"
    if status == 0:
        return "unanswered"
    if status == 200:
        right = asked.status == 200 and _is_expected(asked, body)
        return "right" if right else "mixed up" if asked.status == 200 else "wrong status"
    code = _error_code(body)
    if code is None:
        return "error without our JSON"
    if status >= 500:
        return "worker killed" if code == "worker_crashed" else "server error"
    return "right" if status == asked.status else "wrong status"


def _is_expected(asked: Asked, body: bytes) -> bool:
    if asked.answer is None:
        return True
    return asked.answer == body or (body != b"[]" and asked.answer == outline_of(body))


def _error_code(body: bytes) -> str | None:
    """The code, if this is ``{"error": {"code", "message"}}`` and nothing else."""
    try:
        error = json.loads(body)["error"]
        return str(error["code"]) if set(error) == {"code", "message"} and error["message"] else None
    except (ValueError, KeyError, TypeError):
        return None


class Fire:
    """Requests shared out among clients that run at once.

    Attributes:
        answers: in the order in which they came.
    """

    def __init__(self, port: int, plan: list[Asked], clients: int) -> None:
        self.answers: list[Answer] = []
        self._port, self._left = port, iter(plan)
        self._clients, self._total = clients, len(plan)
        self._changed = Condition()

    def run(self) -> float:
        """Send all; the seconds that it took."""
        start = time.perf_counter()
        threads = [Thread(target=self._work) for _ in range(self._clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(self.answers) == self._total, "a client gave up"
        return time.perf_counter() - start

    def wait_until(self, answered: int) -> None:
        """Block until so many requests are answered."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.answers) >= answered)

    def _work(self) -> None:
        client = Client(self._port)
        for asked in self._take():
            answer = client.ask(asked)
            with self._changed:
                self.answers.append(answer)
                self._changed.notify_all()
        client.close()

    def _take(self) -> Iterator[Asked]:
        while True:
            with self._changed:
                asked = next(self._left, None)
            if asked is None:
                return
            yield asked
