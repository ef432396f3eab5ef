"""The host: finds functions, starts their workers, and serves them until it is stopped."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any

import uvicorn

from deploy.host import app as faces
from deploy.host.access import Access, Guard
from deploy.host.functions import ROOT, Function, discover, with_model_paths
from deploy.host.log import make_logger
from deploy.host.metrics import HostMetrics
from deploy.host.pool import Pool
from deploy.serving.request import MAX_BODY_BYTES

_GRACE_S = 10


class HostError(RuntimeError):
    """The host cannot start."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a request.

    Attributes:
        workers: worker processes a function; each holds a copy of the model.
        queue: requests a function that may wait besides those being answered; more get 503.
        timeout_s: seconds in a worker, after which it is killed and the request gets 504. CVAT waits 120 s.
        max_body: bytes of a body; more get 413.
        start_s: seconds that a function may take to load its model.
    """

    workers: int = 1
    queue: int = 8
    timeout_s: float = 110
    max_body: int = MAX_BODY_BYTES
    start_s: float = 600

    def __post_init__(self) -> None:
        wrong = [name for name in ("workers", "timeout_s", "max_body", "start_s") if getattr(self, name) <= 0]
        if wrong or self.queue < 0:
            raise HostError(f"{', '.join(wrong) or 'queue'} must be above 0 (queue: 0 or more), got {self}")


class Host:
    """Serves functions in a background thread: ``with Host(port=0) as host: httpx.post(host.urls["NAME"], ...)``.

    Args:
        sources: folders to look for functions in; by default the project's own.
        host: address to listen on; anything but loopback needs `token` or `allow`.
        port: the main port, functions get the ones after it; 0 takes any that are free.
        token: what ``Authorization: Bearer`` must hold.
        allow: source ranges that need no token.
        model_paths: weights of one's own, by function name.
        limits: see `Limits`.

    Raises:
        FunctionError, AccessError, HostError: it cannot start as asked; the message says what to change.
    """

    def __init__(
        self,
        sources: Sequence[str | Path] = (ROOT,),
        *,
        host: str = "127.0.0.1",
        port: int = 8070,
        token: str | None = None,
        allow: Sequence[str] = (),
        model_paths: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._access = Access.make(host, token, allow)
        self._limits = limits or Limits()
        self._functions = with_model_paths(discover([Path(s) for s in sources]), model_paths or {})
        self._address, self._port = host, port
        self._logger = make_logger(host=True)
        self._metrics = HostMetrics()
        self._servers: list[uvicorn.Server] = []
        self._sockets: list[socket.socket] = []
        self._thread: Thread | None = None
        self.served: dict[str, faces.Served] = {}

    @property
    def url(self) -> str:
        """Where the main port is, without a slash at the end."""
        return self._url(self._port)

    @property
    def urls(self) -> dict[str, str]:
        """Where to POST to, by function name."""
        return {name: f"{self.url}/functions/{name}" for name in self.served}

    @property
    def failures(self) -> dict[str, str]:
        """Why functions cannot answer, by name; empty if all can."""
        return {name: served.pool.failure for name, served in self.served.items() if served.pool.failure}

    def _url(self, port: int) -> str:
        shown = f"[{self._address}]" if ":" in self._address else self._address
        return f"http://{shown}:{port}"

    def __enter__(self) -> Host:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the workers, wait until each has loaded its model or failed to, then listen.

        Raises:
            HostError: a port is taken.
        """
        try:
            self._open_ports()
            self._start_workers()
            self._listen()
        except BaseException:
            self.stop()
            raise

    def _open_ports(self) -> None:
        first = self._port
        self._sockets.append(self._bind(first))
        self._port = self._sockets[0].getsockname()[1]
        for index, function in enumerate(self._functions, 1):
            self._sockets.append(self._bind(first and (function.port or first + index)))

    def _bind(self, port: int) -> socket.socket:
        family = socket.getaddrinfo(self._address, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio sets no TCP_NODELAY
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._address, port))
        except OSError as error:
            listener.close()
            raise HostError(
                f"cannot listen on {self._address}:{port} ({error.strerror}): stop what listens there or use --port"
            ) from error
        return listener

    def _start_workers(self) -> None:
        for function, listener in zip(self._functions, self._sockets[1:], strict=True):
            self.served[function.name] = self._serve_function(function, listener.getsockname()[1])
        for served in self.served.values():
            served.pool.start()
        for name, served in self.served.items():
            served.pool.wait_until_started(self._limits.start_s)
            if served.pool.failure:
                self._logger.error_with("function cannot start", function=name, reason=served.pool.failure)

    def _serve_function(self, function: Function, port: int) -> faces.Served:
        limits, name = self._limits, function.name
        pool = Pool(function, limits.workers, limits.queue, limits.timeout_s, lambda: self._metrics.restarted(name))
        self._metrics.watch(name, lambda: pool.waiting, lambda: float(pool.failure is None))
        return faces.Served(function, pool, port)

    def _listen(self) -> None:
        desk = faces.Desk(self.served, self._metrics, self._logger, self._limits.max_body)
        apps = [faces.make_dashboard(desk), *(faces.make_port(desk, served) for served in self.served.values())]
        self._servers = [uvicorn.Server(self._config(Guard(app, self._access))) for app in apps]
        listening = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._serve(listening)), name="quadrat-host", daemon=True)
        self._thread.start()
        if not listening.wait(30):
            raise HostError("the web server did not start within 30 s")

    def _config(self, app: Any) -> uvicorn.Config:
        return uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # X-Forwarded-For would let a client choose its address
            timeout_graceful_shutdown=_GRACE_S,
        )

    async def _serve(self, listening: Event) -> None:
        tasks = [
            asyncio.create_task(server.serve(sockets=[listener]))
            for server, listener in zip(self._servers, self._sockets, strict=True)
        ]
        while not all(server.started for server in self._servers):
            await asyncio.sleep(0.01)
        listening.set()
        await asyncio.gather(*tasks)

    def stop(self) -> None:
        """Let running requests finish for a few seconds, then end the workers. Twice is once."""
        for server in self._servers:
            server.should_exit = True
        if self._thread:
            self._thread.join(_GRACE_S + 5)
        for served in self.served.values():
            served.pool.stop()
        for listener in self._sockets:
            listener.close()
        self._thread, self._servers, self._sockets = None, [], []
