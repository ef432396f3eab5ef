"""What was asked, done and found out, in one SQLite file: the memory that keeps every step from happening twice.

Deliveries are put down before they are answered. A step is a row under the key (stage, task, step, revision), which can
be there once; a photo that went through a step is a row under (task, step, frame). Whoever dies in the middle leaves
rows that say where: `recover` takes them up again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.bridge.rows import (
    AGAIN,
    DONE,
    FAILED,
    GOING,
    OK,
    REVIEW,
    RUNNING,
    SKIPPED,
    STEP_STATES,
    TABLES,
    WAITING,
    Delivery,
    PhotoRow,
    StepRow,
)

__all__ = [
    "AGAIN",
    "DONE",
    "FAILED",
    "FILE",
    "GOING",
    "HEARTBEAT",
    "OK",
    "OWN_USER",
    "REVIEW",
    "RUNNING",
    "SKIPPED",
    "STEP_STATES",
    "SWEPT",
    "WAITING",
    "Delivery",
    "Ledger",
    "PhotoRow",
    "StepRow",
]

FILE = "ledger.db"
"""Its name in the bridge's folder."""
HEARTBEAT, SWEPT, OWN_USER = "worker_heartbeat", "last_sweep", "own_user"
"""Facts: when the worker was last alive, when it last looked at all tasks, the name of the bridge's user in CVAT."""

_MAY_GO = (REVIEW, FAILED, SKIPPED)
_BUSY_S = 30.0


@dataclass
class Ledger:
    """The file. May be used by several threads and processes.

    Attributes:
        path: of the SQLite file; folders above are made.
    """

    path: Path
    _local: threading.local = field(default_factory=threading.local, repr=False)

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._connection().executescript(TABLES)

    def _connection(self) -> sqlite3.Connection:
        """One a thread. Commits reach the disk before they return (WAL, synchronous FULL)."""
        if not hasattr(self._local, "connection"):
            connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._local.connection = connection
        return self._local.connection  # type: ignore[no-any-return]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Read: what pages and metrics ask."""
        return self._connection().execute(sql, values).fetchall()

    # ------------------------------------------------------------------------------------------ deliveries

    def take(
        self,
        digest: str,
        event: str,
        project: int | None,
        task: int | None,
        job: int | None,
        updated: str,
        request_id: str,
    ) -> tuple[int, bool]:
        """Put a delivery down, unless it is there; returns its number, and whether it is new.

        Args:
            digest: of its facts.
            event: see `Delivery`, as the rest.
            project: number in CVAT.
            task: number in CVAT.
            job: number in CVAT.
            updated: CVAT's date.
            request_id: of a new one.
        """
        row = (digest, event, project, task, job, updated, request_id, time.time())
        with self._writing() as connection:
            made = connection.execute(
                "INSERT OR IGNORE INTO deliveries (digest, event, project, task, job, updated, request_id, received) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        found = self.rows("SELECT id FROM deliveries WHERE digest = ?", (digest,))
        return int(found[0]["id"]), bool(made.rowcount)

    def delivery(self, number: int) -> Delivery:
        """A delivery by its number."""
        return _delivery(self.rows("SELECT * FROM deliveries WHERE id = ?", (number,))[0])

    def open_deliveries(self) -> list[int]:
        """Numbers of those that nothing came of yet."""
        return [row["id"] for row in self.rows("SELECT id FROM deliveries WHERE settled IS NULL ORDER BY id")]

    def settle(self, number: int, words: str) -> None:
        """Say what came of a delivery."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE deliveries SET settled = ?, words = ? WHERE id = ?", (time.time(), words, number)
            )

    def put_off(self, number: int, words: str) -> int:
        """A look failed: it is to be tried again. Returns how often that was."""
        with self._writing() as connection:
            connection.execute("UPDATE deliveries SET tries = tries + 1, words = ? WHERE id = ?", (words, number))
        return self.delivery(number).tries

    # ------------------------------------------------------------------------------------------ steps

    def order(
        self, stage: str, task: int, step: str, revision: str, *, job: int | None, task_name: str, request_id: str
    ) -> tuple[StepRow, bool]:
        """Ask for a step, unless it is there; and whether it is new."""
        with self._writing() as connection:
            made = connection.execute(
                "INSERT OR IGNORE INTO steps (stage, task, step, revision, job, task_name, request_id, state, created) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (stage, task, step, revision, job, task_name, request_id, WAITING, time.time()),
            )
        key = (stage, task, step, revision)
        rows = self.rows("SELECT * FROM steps WHERE stage = ? AND task = ? AND step = ? AND revision = ?", key)
        return StepRow(**dict(rows[0])), bool(made.rowcount)

    def step(self, number: int) -> StepRow:
        """A step by its number.

        Raises:
            KeyError: there is none.
        """
        rows = self.rows("SELECT * FROM steps WHERE id = ?", (number,))
        if not rows:
            raise KeyError(f"no step {number}")
        return StepRow(**dict(rows[0]))

    def steps_of(self, task: int) -> list[StepRow]:
        """The steps of a task, oldest first."""
        return [StepRow(**dict(row)) for row in self.rows("SELECT * FROM steps WHERE task = ? ORDER BY id", (task,))]

    def parent_of(self, task: int) -> StepRow | None:
        """The step that made a task."""
        rows = self.rows("SELECT * FROM steps WHERE child = ?", (task,))
        return StepRow(**dict(rows[0])) if rows else None

    def open_steps(self) -> list[StepRow]:
        """Those that are to be done, oldest first."""
        sql = "SELECT * FROM steps WHERE state IN (?, ?) ORDER BY id"
        return [StepRow(**dict(row)) for row in self.rows(sql, (WAITING, AGAIN))]

    def start(self, number: int) -> StepRow | None:
        """Begin a step that is to be done; `None` if it is not, or another step of its task runs."""
        with self._writing() as connection:
            begun = connection.execute(
                "UPDATE steps SET state = ?, started = ? WHERE id = ? AND state IN (?, ?) AND NOT EXISTS "
                "(SELECT 1 FROM steps other WHERE other.task = steps.task AND other.state = ?)",
                (RUNNING, time.time(), number, WAITING, AGAIN, RUNNING),
            )
        return self.step(number) if begun.rowcount else None

    def made_child(self, number: int, child: int) -> None:
        """Note the task that a running step has made."""
        self._set(number, child=child)

    def finish(self, number: int, words: str) -> None:
        """A running step is done."""
        now = time.time()
        with self._writing() as connection:
            connection.execute(
                "UPDATE steps SET state = ?, words = ?, reason = '', ended = ?, seconds = ? - started WHERE id = ?",
                (DONE, words, now, now, number),
            )

    def try_again(self, number: int, reason: str, next_try: float) -> None:
        """A running step did not work, and is to be tried again."""
        self._set(number, state=AGAIN, reason=reason, next_try=next_try, tries=self.step(number).tries + 1)

    def fail(self, number: int, reason: str) -> None:
        """A running step did not work, and a person must look."""
        self._set(number, state=FAILED, reason=reason, ended=time.time(), tries=self.step(number).tries + 1)

    def retry(self, number: int) -> bool:
        """Let a failed step, or one that waits for its next try, be done now; whether it was one."""
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE steps SET state = ?, tries = 0, next_try = 0 WHERE id = ? AND state IN (?, ?)",
                (WAITING, number, FAILED, AGAIN),
            )
        return bool(changed.rowcount)

    def recover(self) -> int:
        """After a start: what ran when the last bridge died is to be done; returns how many steps these are."""
        with self._writing() as connection:
            return connection.execute("UPDATE steps SET state = ? WHERE state = ?", (WAITING, RUNNING)).rowcount

    def _set(self, number: int, **values: Any) -> None:
        names = ", ".join(f"{name} = ?" for name in values)
        with self._writing() as connection:
            connection.execute(f"UPDATE steps SET {names} WHERE id = ?", (*values.values(), number))

    # ------------------------------------------------------------------------------------------ photos

    def photos(self, task: int, step: str) -> dict[int, PhotoRow]:
        """The photos of a task that a step has or had, by frame."""
        rows = self.rows("SELECT * FROM photos WHERE task = ? AND step = ? ORDER BY frame", (task, step))
        return {row["frame"]: _photo(row) for row in rows}

    def set_photo(
        self,
        step: StepRow,
        frame: int,
        name: str,
        state: str,
        reason: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Say what became of a photo in a step; `facts` of `None` keeps those that are there."""
        key = (step.task, step.step, frame)
        if facts is None:
            kept = self.rows("SELECT facts FROM photos WHERE task = ? AND step = ? AND frame = ?", key)
            facts = json.loads(kept[0]["facts"]) if kept else {}
        text = json.dumps(dict(facts), allow_nan=False)
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO photos (task, step, frame, name, state, reason, facts, step_id, changed) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (step.task, step.step, frame, name, state, reason, text, step.id, time.time()),
            )

    def claim(self, step: StepRow, photos: Mapping[int, tuple[str, Mapping[str, Any]]]) -> dict[int, PhotoRow]:
        """Take photos on their way, all at once; those that another step took, or that are through, are left out.

        Args:
            step: that takes them.
            photos: name and facts by frame; the facts of a photo that this step has already stay as they were.

        Returns:
            All photos that are on their way in this step, by frame; also those of an earlier try.
        """
        now = time.time()
        with self._writing() as connection:
            for frame, (name, facts) in photos.items():
                connection.execute(
                    "INSERT INTO photos (task, step, frame, name, state, facts, step_id, changed) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (task, step, frame) DO UPDATE SET "
                    "state = excluded.state, reason = '', facts = excluded.facts, step_id = excluded.step_id, "
                    "changed = excluded.changed WHERE photos.state IN (?, ?, ?)",
                    (step.task, step.step, frame, name, GOING, json.dumps(dict(facts)), step.id, now, *_MAY_GO),
                )
        rows = self.photos(step.task, step.step)
        return {frame: row for frame, row in rows.items() if row.state == GOING and row.step_id == step.id}

    # ------------------------------------------------------------------------------------------ facts

    def fact(self, name: str) -> str:
        """Something to remember; empty where it is not there."""
        rows = self.rows("SELECT value FROM facts WHERE name = ?", (name,))
        return str(rows[0]["value"]) if rows else ""

    def remember(self, name: str, value: str) -> None:
        """Remember something."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))


def _delivery(row: sqlite3.Row) -> Delivery:
    return Delivery(**{name: row[name] for name in row.keys() if name != "digest"})  # noqa: SIM118  (a Row iterates over values)


def _photo(row: sqlite3.Row) -> PhotoRow:
    return PhotoRow(**{**dict(row), "facts": json.loads(row["facts"])})
