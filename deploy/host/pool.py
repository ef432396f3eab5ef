"""The workers of one function: each may crash, hang or swell and costs no more than the request it was on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from deploy.host.errors import HttpError
from deploy.host.functions import Function
from deploy.host.limits import Limits
from deploy.host.metrics import HostMetrics
from deploy.host.process import Call, Result, WorkerGone, WorkerProcess

_WATCH_S = 0.1
_LONGEST_PAUSE_S = 60.0
_MB = 10**6


class StartError(Exception):
    """A worker could not be started; the message says why."""


class Pool:
    """Asks a function in worker processes of its own; lives in one event loop.

    Attributes:
        failure: why the function cannot answer; ``None`` as long as it can.
        taken: requests taken and not yet answered.
        running: those of them that a worker is on.
        bytes_held: what the bodies of these and of those being read occupy.
    """

    def __init__(self, function: Function, limits: Limits, metrics: HostMetrics, logger: Any) -> None:
        self.failure: str | None = None
        self.taken = self.running = self.bytes_held = 0
        self._function, self._limits, self._metrics, self._logger = function, limits, metrics, logger
        self._workers: list[WorkerProcess | None] = [None] * limits.workers
        self._idle: asyncio.Queue[WorkerProcess] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def alive(self) -> int:
        """Workers that answer or could; not those that still load their model."""
        return sum(worker is not None and worker.ready and worker.alive for worker in self._workers)

    @property
    def rss_bytes(self) -> list[int]:
        """Memory of each worker."""
        return [worker.rss_bytes if worker else 0 for worker in self._workers]

    async def start(self) -> None:
        """Start the workers; returns once each is ready or has failed to become so."""
        tried = [asyncio.Event() for _ in self._workers]
        keepers = [self._keep(slot, event) for slot, event in enumerate(tried)]
        self._tasks = [asyncio.create_task(task) for task in (*keepers, self._watch_memory())]
        await asyncio.gather(*(event.wait() for event in tried))

    async def stop(self) -> None:
        """End the workers at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        left = [worker for worker in self._workers if worker]
        for worker in left:
            worker.kill("stopped")
        await asyncio.gather(*(worker.gone for worker in left))

    async def _keep(self, slot: int, tried: asyncio.Event) -> None:
        """Always have a worker in this slot; one that cannot start is tried again, ever later."""
        pause_s = 1.0
        while True:
            try:
                worker = await self._start_worker(slot)
            except StartError as error:
                self._say_failure(str(error))
                tried.set()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            pause_s, self.failure = 1.0, None
            self._idle.put_nowait(worker)
            tried.set()
            gone = await asyncio.shield(worker.gone)
            self._metrics.restarted(self._function.name, gone.reason)
            self._logger.warn_with("worker replaced", function=self._function.name, reason=str(gone))

    def _say_failure(self, failure: str) -> None:
        self._metrics.restarted(self._function.name, "start")
        self._logger.error_with("worker cannot start", function=self._function.name, reason=failure)
        if not any(worker and worker.alive for worker in self._workers):
            self.failure = failure

    async def _start_worker(self, slot: int) -> WorkerProcess:
        """A worker that is ready; a process that ends without a word gets a second try.

        Raises:
            StartError: it said why it cannot, took too long or ended twice.
        """
        try:
            return await self._try_to_start(slot)
        except WorkerGone:
            try:
                return await self._try_to_start(slot)
            except WorkerGone as error:
                raise StartError(f"its process ended while starting: {error}") from error

    async def _try_to_start(self, slot: int) -> WorkerProcess:
        try:
            worker = self._workers[slot] = await WorkerProcess.start(self._function)
        except OSError as error:
            raise StartError(f"no process can be started ({error})") from error
        try:
            async with asyncio.timeout(self._limits.start_s):
                failure = await worker.failure()
        except TimeoutError:
            failure = f"not ready after {self._limits.start_s:g} s"
        if failure:
            worker.kill("start")
            await asyncio.shield(worker.gone)
            raise StartError(failure)
        return worker

    async def _watch_memory(self) -> None:
        """End a worker that swells before the machine suffers."""
        while True:
            for worker in self._workers:
                if worker:
                    self._end_if_swollen(worker)
            await asyncio.sleep(_WATCH_S)

    def _end_if_swollen(self, worker: WorkerProcess) -> None:
        """On a request it fails that request; after one that leaked it is replaced before it gets another."""
        if worker.alive and worker.rss_bytes > self._limits.memory:
            worker.kill("memory")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue.

        Raises:
            HttpError: 503, all places are taken.
        """
        self.check_room()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    def check_room(self) -> None:
        """Refuse what would find no place.

        Raises:
            HttpError: 503, the function cannot answer or all places are taken.
        """
        name = self._function.name
        if self.failure:
            raise HttpError(503, "not_ready", f"{name} is not ready: {self.failure}", {"Retry-After": "30"})
        if self.taken >= self._limits.workers + self._limits.queue:
            raise _busy(f"{name} has {self.taken} requests waiting")

    def hold(self, size: int) -> None:
        """Count bytes of a body as held in memory (negative: as let go).

        Raises:
            HttpError: 503, bodies occupy as much as a full queue of the largest would.
        """
        if size > 0 and self.bytes_held + size > self._limits.most_held:
            raise _busy(f"{self._function.name} holds {self.bytes_held // _MB} MB of photos")
        self.bytes_held += size

    async def ask(self, call: Call, client_left: Callable[[], Awaitable[bool]]) -> Result:
        """Answer one request.

        Raises:
            HttpError: 500 the worker died, 503 none became free, 504 it took too long, 499 nobody waits any more.
        """
        worker = await self._take()
        self.running += 1
        try:
            if await client_left():
                raise HttpError(499, "client_left", "the client hung up before its turn came")
            async with asyncio.timeout(self._limits.timeout_s):
                result = await worker.ask(call)
            self._end_if_swollen(worker)
            return result
        except TimeoutError as error:
            worker.kill("timeout")
            message = f"{self._function.name} took longer than {self._limits.timeout_s:g} s: send a smaller photo"
            raise HttpError(504, "timeout", message) from error
        except WorkerGone as error:
            raise self._as_http(error) from error
        except asyncio.CancelledError:
            worker.kill("stopped")
            raise
        finally:
            self.running -= 1
            self._idle.put_nowait(worker)

    async def _take(self) -> WorkerProcess:
        start = time.perf_counter()
        try:
            async with asyncio.timeout(self._limits.wait_s):
                while not (worker := await self._idle.get()).alive:  # its slot brings another
                    pass
        except TimeoutError as error:
            raise _busy(f"no worker of {self._function.name} became free in {self._limits.wait_s:g} s") from error
        self._metrics.waited(self._function.name, time.perf_counter() - start)
        return worker

    def _as_http(self, gone: WorkerGone) -> HttpError:
        name = self._function.name
        if gone.reason == "memory":
            message = f"a worker of {name} passed its {self._limits.memory // _MB} MB on this request and was ended"
            return HttpError(500, "out_of_memory", f"{message}: send a smaller photo, or raise --memory")
        message = f"a worker of {name} died on this request and has been replaced; the log says how"
        return HttpError(500, "worker_crashed", message)


def _busy(why: str) -> HttpError:
    return HttpError(503, "busy", f"{why}: try again in a moment", {"Retry-After": "2"})
