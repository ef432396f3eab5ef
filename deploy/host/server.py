"""The host: finds functions, starts their workers, and serves them until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any

import uvicorn

from deploy.host import app as faces
from deploy.host.access import Access, Guard
from deploy.host.connection import Connection, Doors
from deploy.host.functions import ROOT, discover, with_model_paths
from deploy.host.limits import HostError, Limits
from deploy.host.metrics import HostMetrics
from deploy.host.pool import Pool
from deploy.host.recorder import MAX_HEAD_BYTES, Recorder
from deploy.log import make_logger, take_over_library_logs

__all__ = ["Host", "HostError", "Limits"]

_CLOSE_S = 5
"""Seconds that clients have to fetch what has been answered before the host closes."""


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
        self._sockets: list[socket.socket] = []
        self._thread: Thread | None = None
        self._loop = asyncio.new_event_loop()
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()
        self._ended = Event()
        self._error: BaseException | None = None
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
        except HostError:
            self.stop()
            raise
        for function, listener in zip(self._functions, self._sockets[1:], strict=True):
            pool = Pool(function, self._limits, self._metrics, self._logger)
            self._metrics.watch(function.name, pool)
            self.served[function.name] = faces.Served(function, pool, listener.getsockname()[1])
        listening = Event()
        self._thread = Thread(target=self._run, args=(listening,), name="quadrat-host", daemon=True)
        self._thread.start()
        try:
            listening.wait()
        except BaseException:  # Ctrl-C while models load
            self.stop()
            raise
        if self._error:
            self.stop()
            raise HostError(f"the host cannot start: {self._error}") from self._error

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

    def _run(self, listening: Event) -> None:
        """The thread of the host: one event loop for workers and connections."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve(listening))
        except Exception as error:
            self._error = error
            self._logger.error_with("host fault", traceback=traceback.format_exc())
        finally:
            self._ended.set()
            listening.set()

    async def _serve(self, listening: Event) -> None:
        take_over_library_logs(self._logger, "uvicorn.error", "asyncio")
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # what clients do wrong has its line already
        pools = [served.pool for served in self.served.values()]
        doors = Doors(self._limits, self._metrics, self._logger)
        desk = faces.Desk(self.served, self._metrics, self._limits, lambda: doors.unfetched)
        servers = self._make_servers(desk, doors)
        try:
            if not await self._unless_stopped(asyncio.gather(*(pool.start() for pool in pools))):
                return
            serving: asyncio.Future[Any] = asyncio.gather(
                *(s.serve([listener]) for s, listener in zip(servers, self._sockets, strict=True))
            )
            while not all(server.started for server in servers):
                await asyncio.sleep(0.01)
                if serving.done():
                    serving.result()
            listening.set()
            await self._stop.wait()
            await self._drain(desk)
            for server in servers:
                server.should_exit = True
            await serving
        finally:
            await asyncio.gather(*(pool.stop() for pool in pools))

    async def _unless_stopped(self, starting: asyncio.Future[Any]) -> bool:
        """Whether it came to its end before the host was stopped."""
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if starting.done():
            starting.result()
            return True
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return False

    def _make_servers(self, desk: faces.Desk, doors: Doors) -> list[uvicorn.Server]:
        self._metrics.connections.set_function(lambda: len(doors.open))
        apps = [faces.make_dashboard(desk), *(faces.make_port(desk, served) for served in self.served.values())]
        recorded = [Recorder(Guard(app, self._access), self._metrics, self._logger) for app in apps]
        return [uvicorn.Server(_config(app, doors)) for app in recorded]

    async def _drain(self, desk: faces.Desk) -> None:
        """Refuse what is new, finish what runs and waits; what is not done in time is told so."""
        desk.stopping = True
        self._logger.info_with("stopping", taken=desk.taken, grace_s=self._limits.grace_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.grace_s):
                while desk.taken and not self._hurry.is_set():
                    await asyncio.sleep(0.02)
        desk.give_up()

    def wait(self) -> None:
        """Block as long as the host serves.

        Raises:
            HostError: it ended without being stopped.
        """
        self._ended.wait()  # not join(): one that a signal interrupts takes the thread for ended (Python 3.11)
        if self._error:
            raise HostError(f"the host failed: {self._error!r}") from self._error

    def stop(self) -> None:
        """Finish what runs and waits, for `Limits.grace_s` at most, then end the workers. Twice is once."""
        self._set(self._stop)
        if self._thread:
            self._ended.wait()
        for listener in self._sockets:
            listener.close()
        self._thread, self._sockets = None, []

    def hurry(self) -> None:
        """Cut the grace of a stop short."""
        self._set(self._hurry)

    def _set(self, event: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: all has ended
            self._loop.call_soon_threadsafe(event.set)


def _config(app: Any, doors: Doors) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=partial(Connection, doors),  # type: ignore[arg-type]  # uvicorn only calls it
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # X-Forwarded-For would let a client choose its address
        timeout_graceful_shutdown=_CLOSE_S,
        timeout_keep_alive=math.ceil(doors.limits.body_s),
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
    )
