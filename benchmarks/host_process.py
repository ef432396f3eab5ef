"""The real host as a subprocess, seen from outside: its address, its workers, its memory, its counters."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from urllib.request import urlopen

ROOT = Path(__file__).parents[1]
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class HostProcess:
    """``python -m deploy.host`` on a free port, ended with the block.

    Args:
        functions: folders to look for functions in.
        log: where host and workers write their lines.
        options: further ones of the command.
        env: further environment.
    """

    def __init__(self, functions: Sequence[Path], log: Path, *options: str, **env: str) -> None:
        command = [sys.executable, "-m", "deploy.host", "--port", "0", "--functions", *map(str, functions), *options]
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "QUADRAT_LOG_FILE": str(log), **env}
        self._process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if not found:
            raise RuntimeError(f"the host did not start: {line!r}; see {log}")
        self.port = int(found[1])
        self.log = log

    def __enter__(self) -> HostProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.stop()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def worker_pids(self) -> list[int]:
        """Processes that the host has started and not yet lost."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        return sorted(int(pid) for path in tasks for pid in path.read_text().split())

    def rss_mb(self) -> float:
        """Memory of host and workers together."""
        pids = [self._process.pid, *self.worker_pids()]
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
        return sum(pages) * _PAGE_BYTES / 1e6

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its name and labels."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, value in (s.rsplit(" ", 1) for s in lines if not s.startswith("#"))}

    def total(self, name: str, label: str = "") -> float:
        """The sum over all samples of a metric whose labels contain `label`."""
        samples = self.metrics().items()
        return sum(value for key, value in samples if key.partition("{")[0] == name and label in key)

    def wait_until_idle(self, workers: int, limit_s: float = 120) -> None:
        """Until all workers are there and nothing waits.

        Raises:
            TimeoutError: that did not happen in time.
        """
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            busy = sum(self.total(f"quadrat_{name}") for name in ("queue_depth", "in_flight", "body_bytes_held"))
            if not busy and self.total("quadrat_workers_alive") == workers and len(self.worker_pids()) == workers:
                return
            time.sleep(0.2)
        raise TimeoutError(f"the host is not idle after {limit_s:g} s: {self.metrics()}")
