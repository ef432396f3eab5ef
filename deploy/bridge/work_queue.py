"""The queue between those who take deliveries and those who work: Huey, on SQLite or Redis.

What is in it are numbers of rows of the ledger, as JSON: nothing is unpickled. The ledger remembers what is to be done,
so that a queue that is lost, or holds a thing twice, does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from huey import Huey, RedisHuey, SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer

NAME = "quadratseg-bridge"
LOOK, DO = "look", "do"

_ETA = Message._fields.index("eta")


class Numbers(Serializer):
    """Huey's messages as JSON."""

    def _serialize(self, data: Message) -> bytes:
        return json.dumps([value.isoformat() if isinstance(value, datetime) else value for value in data]).encode()

    def _deserialize(self, data: bytes) -> Message:
        values = json.loads(data)
        values[_ETA] = values[_ETA] and datetime.fromisoformat(values[_ETA])
        return Message(*values)


class WorkQueue:
    """What is to be looked at and done.

    Attributes:
        huey: underneath.
    """

    def __init__(self, folder: Path, redis_url: str = ""):
        common: dict[str, Any] = {"results": False, "utc": True, "serializer": Numbers()}
        self.huey: Huey = (
            RedisHuey(NAME, url=redis_url, **common)
            if redis_url
            else SqliteHuey(NAME, filename=str(folder / "queue.db"), timeout=30, **common)
        )
        self._handlers: dict[str, Callable[[int], None]] = {}
        self._tasks = {name: self._task(name) for name in (LOOK, DO)}

    def _task(self, name: str) -> Any:
        def handle(number: int) -> None:
            self._handlers[name](number)

        return self.huey.task(name=name)(handle)

    def serve(self, look: Callable[[int], None], do: Callable[[int], None]) -> None:
        """Say what looks at a delivery and what does a step; whoever only puts in need not."""
        self._handlers = {LOOK: look, DO: do}

    def look(self, delivery: int, delay_s: float = 0.0) -> None:
        """Have a delivery looked at."""
        self._put(LOOK, delivery, delay_s)

    def do(self, step: int, delay_s: float = 0.0) -> None:
        """Have a step done."""
        self._put(DO, step, delay_s)

    def _put(self, name: str, number: int, delay_s: float) -> None:
        task = self._tasks[name]
        task.schedule(args=(number,), delay=delay_s) if delay_s > 0 else task(number)

    def clear(self) -> None:
        """Forget everything: before the ledger says it anew."""
        self.huey.flush()

    def __len__(self) -> int:
        """How many things wait, those for later included."""
        return int(self.huey.pending_count() + self.huey.scheduled_count())
