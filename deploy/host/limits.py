"""What bounds the host, a worker and a request."""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

from deploy.serving.request import MAX_BODY_BYTES

_CGROUP = Path("/sys/fs/cgroup/memory.max")
_SHARE = 0.8


class HostError(RuntimeError):
    """The host cannot start."""


def memory_for_a_worker() -> int:
    """Bytes that a worker may grow to unless told otherwise: 80 % of what this machine or container has."""
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # no cgroup, or one that says "max"
        most = min(most, int(_CGROUP.read_text()))
    return int(_SHARE * most)


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a request.

    Attributes:
        workers: worker processes a function; each holds a copy of the model.
        queue: requests a function that may wait besides those being answered; more get 503.
        timeout_s: seconds in a worker, after which it is ended and the request gets 504. CVAT waits 120 s in all.
        wait_s: seconds that a request may wait for a worker; else 503.
        max_body: bytes of a body; more get 413.
        start_s: seconds that a function may take to load its model.
        memory: bytes that a worker may occupy (Linux), above which it is replaced and its request gets 500.
        body_s: seconds in which a whole request must have come, else 408; and in which as much of an answer as the
            largest request has must have been fetched, else the host hangs up.
        idle_s: seconds a client may say nothing amid its request; else 408.
        connections: open at a time, over all ports; more get 503.
        grace_s: seconds after SIGTERM in which what runs and waits is still answered.
    """

    workers: int = 1
    queue: int = 8
    timeout_s: float = 110
    wait_s: float = 60
    max_body: int = MAX_BODY_BYTES
    start_s: float = 600
    memory: int = field(default_factory=memory_for_a_worker)
    body_s: float = 60
    idle_s: float = 15
    connections: int = 512
    grace_s: float = 30

    def __post_init__(self) -> None:
        may_be_zero = ("queue", "grace_s")
        wrong = [name for name in self.__slots__ if not (getattr(self, name) > 0 or name in may_be_zero)]
        wrong += [name for name in may_be_zero if getattr(self, name) < 0]
        if wrong:
            raise HostError(f"{', '.join(wrong)} must be above 0 (queue and grace_s: 0 or more), got {self}")

    @property
    def most_held(self) -> int:
        """Bytes that one function's requests may occupy, and that answers may which wait to be fetched."""
        return (self.workers + self.queue) * self.max_body

    def fetch_s(self, size: int) -> float:
        """Seconds that a client has for the last `size` bytes of an answer."""
        return self.body_s * max(1, math.ceil(size / self.max_body))
