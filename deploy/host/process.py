"""The host's end of one worker process: start it, ask it, watch its memory, end it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.host import frames
from deploy.host.functions import ROOT, Function

_BUFFER_BYTES = 2**20
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way to a worker."""

    request_id: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """A function's answer on its way back."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    body: bytes


class WorkerGone(Exception):
    """The process has ended; what it was asked will not be answered.

    Attributes:
        reason: ``crashed``, or what `WorkerProcess.kill` was told.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason} ({detail})")
        self.reason = reason


class WorkerProcess:
    """A process that serves one function, one request at a time.

    Attributes:
        ready: whether the function is set up.
        gone: done once the process has ended, with the reason.
    """

    def __init__(self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._process, self._reader, self._writer = process, reader, writer
        self._said: asyncio.Queue[tuple[dict[str, Any], bytes] | None] = asyncio.Queue()
        self._reason, self._ending = "crashed", False
        self.ready = False
        self.gone: asyncio.Task[WorkerGone] = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, function: Function) -> WorkerProcess:
        """Start a process; `failure` waits until it has loaded its model.

        Raises:
            OSError: the system has no room for another process.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = _spawn(function, theirs.fileno())
            except OSError:
                ours.close()
                raise
        reader, writer = await asyncio.open_connection(sock=ours, limit=_BUFFER_BYTES)
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return not (self._ending or self.gone.done() or self._reader.at_eof())

    @property
    def rss_bytes(self) -> int:
        """Memory that it occupies; 0 where the system has no /proc, or once it has ended."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_BYTES
        except OSError:
            return 0

    async def failure(self) -> str | None:
        """Wait until the function is set up; why it could not be, else ``None``.

        Raises:
            WorkerGone: the process ended.
        """
        head, _ = await self._next()
        failure: str | None = head["failure"]
        self.ready = failure is None
        return failure

    async def ask(self, call: Call) -> Result:
        """Answer one request; one at a time.

        Raises:
            WorkerGone: the process ended under it, or was ended since it answered something else.
        """
        head = {"id": call.request_id, "path": call.path, "headers": dict(call.headers)}
        with contextlib.suppress(ConnectionError):  # it ended while the photo was handed over: `_next` says so
            self._writer.write(frames.pack_head(head, call.body))
            self._writer.write(call.body)
            await self._writer.drain()
        answer, body = await self._next()
        if answer.get("id") != call.request_id:
            self.kill("confused")
            raise await asyncio.shield(self.gone)
        return Result(answer["status"], answer["content_type"], answer["headers"], body)

    async def _next(self) -> tuple[dict[str, Any], bytes]:
        frame = await self._said.get()
        if frame is None:
            raise await asyncio.shield(self.gone)
        return frame

    async def _listen(self) -> WorkerGone:
        """Take what the process says until its connection ends; then see to it that the process has ended too."""
        with contextlib.suppress(frames.FrameError):
            while True:
                self._said.put_nowait(await frames.read_async(self._reader))
        self._kill_group()
        self._writer.close()
        code = await asyncio.to_thread(self._process.wait)
        self._said.put_nowait(None)
        return WorkerGone(self._reason, f"pid {self.pid}, exit status {code}")

    def kill(self, reason: str) -> None:
        """End the process at once; `reason` is what its request and the metrics will say."""
        if self._process.poll() is None:
            self._reason, self._ending = reason, True
            self._kill_group()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def _spawn(function: Function, fd: int) -> subprocess.Popen[bytes]:
    what = (function.name, str(function.folder), function.module, function.entry)
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.host.worker", str(fd), *what],
        stdin=subprocess.DEVNULL,
        stdout=2,  # what a function prints is no output of the host
        pass_fds=[fd],
        start_new_session=True,  # ended with all that it may start; Ctrl-C in a terminal is the host's alone
        env=_environment(function),
    )


def _environment(function: Function) -> dict[str, str]:
    """The function's own variables, which this process's win over, and those that win over both."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**function.env, **os.environ, **function.forced_env, "PYTHONPATH": path}
