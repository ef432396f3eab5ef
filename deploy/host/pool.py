"""The worker processes of one function: they may crash or hang and cost no more than their own request."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from threading import Thread
from typing import Any

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from deploy.host import worker
from deploy.host.errors import HttpError
from deploy.host.functions import Function


class Pool:
    """Asks a function in worker processes of its own.

    Attributes:
        failure: why the function cannot answer; ``None`` as long as it can.
        waiting: requests taken and not yet answered.
    """

    def __init__(
        self, function: Function, workers: int, queue: int, timeout_s: float, on_restart: Callable[[], None]
    ) -> None:
        self.failure: str | None = None
        self.waiting = 0
        self._function, self._workers, self._room, self._timeout_s = function, workers, workers + queue, timeout_s
        self._on_restart = on_restart
        self._pool = self._new_pool()
        self._probe: ProcessFuture[Any] | None = None

    def _new_pool(self) -> ProcessPool:
        context = multiprocessing.get_context("spawn")  # forks of a threaded process deadlock
        return ProcessPool(self._workers, initializer=worker.start, initargs=(self._function,), context=context)

    def start(self) -> None:
        """Begin to start the workers."""
        self._probe = self._pool.schedule(worker.failure)

    def wait_until_started(self, timeout_s: float) -> None:
        """Wait for the first worker; afterwards `failure` says how it went."""
        assert self._probe is not None, "start() comes first"
        try:
            self.failure = self._probe.result(timeout=timeout_s)
        except TimeoutError:
            self.failure = f"not ready after {timeout_s:g} s"
        except (BrokenProcessPool, ProcessExpired, CancelledError) as error:
            self.failure = f"its process ended while starting ({error})"

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue.

        Raises:
            HttpError: 503, all places are taken.
        """
        if self.waiting >= self._room:
            message = f"{self._function.name} has {self.waiting} requests waiting: try again in a moment"
            raise HttpError(503, "busy", message, {"Retry-After": "2"})
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    async def ask(self, call: worker.Call) -> worker.Result:
        """Answer one request.

        Raises:
            HttpError: 500 the worker died, 503 the function is not ready, 504 it took too long.
        """
        try:
            result = await self._ask(call)
        except TimeoutError as error:
            self._on_restart()
            message = f"{self._function.name} took longer than {self._timeout_s:g} s: send a smaller photo"
            raise HttpError(504, "timeout", message) from error
        except (ProcessExpired, BrokenProcessPool) as error:
            self._on_restart()
            message = f"a worker of {self._function.name} died on this request; it has been started again"
            raise HttpError(500, "worker_crashed", message) from error
        self.failure = result if isinstance(result, str) else None
        if isinstance(result, str):
            raise HttpError(503, "not_ready", f"{self._function.name} is not ready: {result}", {"Retry-After": "30"})
        return result

    async def _ask(self, call: worker.Call) -> worker.Result | str:
        """A pool whose idle worker died is broken for good (pebble): make another and ask once more."""
        try:
            return await self._schedule(call)
        except BrokenProcessPool:
            self._on_restart()
            self._replace()
            return await self._schedule(call)

    async def _schedule(self, call: worker.Call) -> worker.Result | str:
        """The time in the worker is bounded by the pool, that in the queue and for loading a model here."""
        if not self._pool.active:
            raise BrokenProcessPool("no pool")
        future = self._pool.schedule(worker.ask, args=(call,), timeout=self._timeout_s)
        result: worker.Result | str = await asyncio.wait_for(asyncio.wrap_future(future), 2 * self._timeout_s)
        return result

    def _replace(self) -> None:
        """Once, however many requests saw the pool break."""
        if not self._pool.active:
            broken, self._pool = self._pool, self._new_pool()
            Thread(target=_end, args=(broken,), daemon=True).start()

    def stop(self) -> None:
        """End the workers."""
        _end(self._pool)


def _end(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()
