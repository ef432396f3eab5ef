"""The server in a thread of this process, with what a test needs to seed it and to look into it."""

from __future__ import annotations

import logging
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from tests.cvat_stand_in import (
    annotations,
    app,
    auth,
    backups,
    data,
    deliveries,
    exports,
    functions,
    projects,
    reviews,
    tasks,
    webhooks,
)
from tests.cvat_stand_in.faults import Asking, Faults
from tests.cvat_stand_in.http import Call
from tests.cvat_stand_in.seed import Seeds
from tests.cvat_stand_in.state import State, User

# The modules whose handlers make up the server.
HANDLERS = (annotations, auth, backups, data, exports, functions, projects, reviews, tasks, webhooks)
PASSWORD = "pass"


class Server(Seeds):
    """A running stand-in.

    Attributes:
        url: its address.
        state: all it knows; take `state.lock` to look at more than one thing.
        users: by name: "admin" (a superuser), "bridge", "annotator", "outsider"; the password of each is `PASSWORD`.
        token: a personal access token of "bridge" that may write; `read_token` one that may not.
        faults: what shall go wrong (`faults.fail(503, path="/data")`).
        requests: what was asked (`requests.count(...)`, `requests.images()`).
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        keep: bool = False,
        seed: int = 0,
        polls: int = 0,
        retry_delays_s: Sequence[float] = deliveries.RETRY_DELAYS_S,
        delivery_timeout_s: float = 10.0,
    ):
        self.state = State(folder, keep=keep, seed=seed)
        self.state.polls, self.state.delivery_timeout_s = polls, delivery_timeout_s
        self.retry_delays_s = retry_delays_s
        self.faults, self.requests = Faults(), Asking()
        self.port = port
        self._people()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def errors(self) -> list[str]:
        """Tracebacks of mistakes of the stand-in itself; to be empty at the end of a test."""
        return self.state.errors

    def _people(self) -> None:
        if not self.state.users:
            auth.add_user(self.state, "admin", PASSWORD, superuser=True)
            for name in ("bridge", "annotator", "outsider"):
                auth.add_user(self.state, name, PASSWORD, first_name=name.title(), last_name="Throwaway")
        self.users = {user.username: user for user in self.state.users.values()}
        bridge = self.users["bridge"]
        named = {token.name: token.value for token in self.state.tokens.values()}
        self.token = named.get("write") or auth.add_token(self.state, bridge, "write", read_only=False).value
        self.read_token = named.get("read") or auth.add_token(self.state, bridge, "read").value
        self.state.save()

    def start(self) -> None:
        """Listen (again): after `stop` on the same port, with all it knew."""
        listener = _listener(self.port)
        self.port = listener.getsockname()[1]
        self.state.base = self.url
        self.worker = deliveries.Worker(self.state, self.retry_delays_s)
        config = uvicorn.Config(
            app.Api(self.state, self.faults, self.requests), log_level="critical", lifespan="off", access_log=False
        )
        config.load()
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._uvicorn.run, kwargs={"sockets": [listener]}, name="cvat-stand-in", daemon=True
        )
        self._thread.start()
        wait_for(lambda: self._uvicorn.started)

    def stop(self) -> None:
        """Close the door: clients are refused until `start`."""
        self._uvicorn.should_exit = True
        self._uvicorn.force_exit = True
        self._thread.join(timeout=15)
        self.worker.stop()

    def settle(self, seconds: float = 10.0) -> None:
        """Wait until every event was delivered and every function request has ended."""
        wait_for(lambda: self.worker.idle() and not self._running(), seconds)

    def _running(self) -> bool:
        return any(request["status"] in ("queued", "started") for request in self.state.lambda_requests.values())

    def add_function(
        self, name: str, detector: functions.Detector | str, labels: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Let the server know a detector: a callable of a photo's bytes, or the address of one."""
        call = functions.by_url(detector) if isinstance(detector, str) else detector
        self.state.functions[name] = functions.Function(name, call, [dict(label) for label in labels])

    def call(self, user: User | str = "bridge") -> Call:
        """What a handler gets when this user asks; for seeding."""
        who = self.users[user] if isinstance(user, str) else user
        return Call(self.state, self.url, caller=who)


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it did not in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} s")
        time.sleep(0.005)


def _listener(port: int) -> socket.socket:
    # With the protocol named, as asyncio switches Nagle's 40 ms off for no other.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


@contextmanager
def running(folder: Path | None = None, **settings: Any) -> Iterator[Server]:
    """Start a server and stop it afterwards; without a folder its files are deleted then."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    own = folder is None
    place = Path(tempfile.mkdtemp(prefix="cvat-stand-in-")) if folder is None else folder
    server = Server(place, **settings)
    try:
        yield server
    finally:
        server.stop()
        if own:
            shutil.rmtree(place, ignore_errors=True)
