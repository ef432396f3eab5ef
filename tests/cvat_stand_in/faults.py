"""Faults on demand, and a record of what was asked."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Fault:
    """What goes wrong with the next requests that match.

    Attributes:
        method: of the request; "" for any.
        path: a regular expression searched for in the path with its query.
        times: how many requests it meets; ``None`` for all until it is cleared.
        skip: how many matching requests pass before.
        status: answer with this status instead of serving the request.
        headers: sent with that status, as ``{"Retry-After": "1"}``.
        after: serve the request first, then fail: the client does not learn that its write was done.
        drop: close the connection without an answer.
        cut: send only this many bytes of the body, then close the connection, though more were promised.
        shorten: send only this many bytes of the body, and promise no more: a damaged photo.
        stall_s: wait so long before the answer.
    """

    method: str = ""
    path: str = ""
    times: int | None = 1
    skip: int = 0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after: bool = False
    drop: bool = False
    cut: int | None = None
    shorten: int | None = None
    stall_s: float = 0.0
    met: int = 0

    def matches(self, method: str, target: str) -> bool:
        return self.method in ("", method) and re.search(self.path, target) is not None


class Faults:
    """The faults in wait; each request meets the first that matches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self.refusing = False

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._waiting.append(fault)
        return fault

    def fail(
        self,
        status: int = 503,
        *,
        method: str = "",
        path: str = "",
        times: int | None = 1,
        skip: int = 0,
        retry_after: float | None = None,
        after: bool = False,
    ) -> Fault:
        """Answer the next `times` matching requests with a status."""
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        return self.add(Fault(method, path, times, skip, status, headers, after))

    def drop(
        self, *, method: str = "", path: str = "", times: int | None = 1, skip: int = 0, after: bool = False
    ) -> Fault:
        """Close the connection instead of an answer; with `after` once the request was served."""
        return self.add(Fault(method, path, times, skip, drop=True, after=after))

    def cut(self, size: int, *, method: str = "GET", path: str = "", times: int | None = 1, skip: int = 0) -> Fault:
        """Break the connection after `size` bytes of the body."""
        return self.add(Fault(method, path, times, skip, cut=size))

    def shorten(self, size: int, *, path: str = "type=frame", times: int | None = 1, skip: int = 0) -> Fault:
        """Send a photo that ends after `size` bytes, as if that were all of it."""
        return self.add(Fault("GET", path, times, skip, shorten=size))

    def stall(self, seconds: float, *, method: str = "", path: str = "", times: int | None = 1, skip: int = 0) -> Fault:
        """Wait before the answer."""
        return self.add(Fault(method, path, times, skip, stall_s=seconds))

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()
            self.refusing = False

    def meet(self, method: str, target: str) -> Fault | None:
        """The fault of this request, if one waits for it."""
        with self._lock:
            for fault in self._waiting:
                if not fault.matches(method, target):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.met += 1
                if fault.times is not None and fault.met >= fault.times:
                    self._waiting.remove(fault)
                return fault
        return None


@dataclass(frozen=True)
class Asked:
    """One request that came, and how it was answered (``None``: not at all)."""

    method: str
    target: str
    status: int | None
    size: int


class Asking:
    """All requests that came."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[Asked] = []

    def add(self, asked: Asked) -> None:
        with self._lock:
            self._all.append(asked)

    def clear(self) -> None:
        with self._lock:
            self._all.clear()

    def found(self, path: str = "", method: str = "", status: int | None = None) -> list[Asked]:
        """Those whose path with query matches the expression."""
        with self._lock:
            return [
                asked
                for asked in self._all
                if re.search(path, asked.target) and method in ("", asked.method) and status in (None, asked.status)
            ]

    def count(self, path: str = "", method: str = "", status: int | None = None) -> int:
        return len(self.found(path, method, status))

    def images(self) -> int:
        """How many photos or chunks of photos were sent."""
        return self.count(r"/data/?\?.*type=(frame|chunk)", "GET", 200)
