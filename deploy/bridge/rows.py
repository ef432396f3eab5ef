"""What the ledger holds: deliveries, steps, photos and facts, as tables and as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WAITING, RUNNING, AGAIN, DONE, FAILED = "waiting", "running", "again", "done", "failed"
"""States of a step. `AGAIN` waits for its next try."""
STEP_STATES = (WAITING, RUNNING, AGAIN, DONE, FAILED)
OK, REVIEW, SKIPPED, GOING = "ok", "review", "skipped", "going"
"""States of a photo, with `FAILED`: through, kept back for a person, left alone, on its way."""

TABLES = """
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, event TEXT NOT NULL, project INTEGER, task INTEGER,
    job INTEGER, updated TEXT NOT NULL, request_id TEXT NOT NULL, received REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, settled REAL, words TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS open_deliveries ON deliveries (id) WHERE settled IS NULL;
CREATE TABLE IF NOT EXISTS steps (
    id INTEGER PRIMARY KEY, stage TEXT NOT NULL, task INTEGER NOT NULL, step TEXT NOT NULL, revision TEXT NOT NULL,
    job INTEGER, task_name TEXT NOT NULL, request_id TEXT NOT NULL, state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, next_try REAL NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
    words TEXT NOT NULL DEFAULT '', child INTEGER,
    created REAL NOT NULL, started REAL, ended REAL, seconds REAL NOT NULL DEFAULT 0,
    UNIQUE (stage, task, step, revision));
CREATE INDEX IF NOT EXISTS open_steps ON steps (state);
CREATE INDEX IF NOT EXISTS steps_of_task ON steps (task);
CREATE INDEX IF NOT EXISTS children ON steps (child) WHERE child IS NOT NULL;
CREATE TABLE IF NOT EXISTS photos (
    task INTEGER NOT NULL, step TEXT NOT NULL, frame INTEGER NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', facts TEXT NOT NULL DEFAULT '{}', step_id INTEGER NOT NULL, changed REAL NOT NULL,
    PRIMARY KEY (task, step, frame));
CREATE INDEX IF NOT EXISTS photos_by_state ON photos (state, step);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A hint that something changed.

    Attributes:
        id: number in the ledger.
        event: CVAT's name of it.
        project: number in CVAT; `None` where the event does not say it. Likewise `task` and `job`.
        updated: CVAT's date of the change; a look that sees an older state is too early. Empty: unknown.
        request_id: goes along to whatever this leads to.
        received: seconds since 1970.
        tries: looks that failed.
        settled: when it was dealt with; `None`: not yet.
        words: what came of it.
    """

    id: int
    event: str
    project: int | None
    task: int | None
    job: int | None
    updated: str
    request_id: str
    received: float
    tries: int
    settled: float | None
    words: str


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step of a task.

    Attributes:
        id: number in the ledger.
        stage: key of the stage in pipeline.yaml.
        task: number of the task in CVAT.
        step: name of the step in pipeline.yaml.
        revision: what of the task it is for: a job, or a set of photos.
        job: number of the job, where it is for one.
        task_name: in CVAT, when it was asked for.
        request_id: of the delivery that led to it.
        state: one of `STEP_STATES`.
        tries: times it was begun and failed.
        next_try: seconds since 1970, of state `AGAIN`.
        reason: of the last failure; empty where there was none.
        words: what came of it.
        child: number of the task that it made.
        created: seconds since 1970; likewise `started` and `ended`, `None` where not yet.
        seconds: that the successful try took.
    """

    id: int
    stage: str
    task: int
    step: str
    revision: str
    job: int | None
    task_name: str
    request_id: str
    state: str
    tries: int
    next_try: float
    reason: str
    words: str
    child: int | None
    created: float
    started: float | None
    ended: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class PhotoRow:
    """A photo in a step.

    Attributes:
        task: number of the task in CVAT.
        step: name of the step in pipeline.yaml.
        frame: number of the photo in the task.
        name: of the photo in CVAT.
        state: `OK`, `REVIEW`, `FAILED`, `SKIPPED` or `GOING`.
        reason: why it is not `OK`.
        facts: JSON-able; what the step wants to remember.
        step_id: the step that has it, or had it last.
        changed: seconds since 1970.
    """

    task: int
    step: str
    frame: int
    name: str
    state: str
    reason: str
    facts: Mapping[str, Any]
    step_id: int
    changed: float
