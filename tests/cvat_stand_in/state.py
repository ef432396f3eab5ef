"""What the server knows: records in dictionaries under one lock, photos as files in a folder."""

from __future__ import annotations

import pickle
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.cvat_stand_in.outbox import Outbox


@dataclass
class User:
    id: int
    username: str
    password: str
    email: str
    first_name: str = ""
    last_name: str = ""
    superuser: bool = False
    joined: str = ""
    last_login: str | None = None


@dataclass
class Token:
    id: int
    value: str
    name: str
    owner: int
    read_only: bool
    created: str
    updated: str
    expiry: str | None = None
    last_used: str | None = None


@dataclass
class Project:
    id: int
    name: str
    owner: int
    created: str
    updated: str
    assignee: int | None = None
    assignee_updated: str | None = None
    bug_tracker: str = ""


@dataclass
class Label:
    id: int
    name: str
    color: str
    type: str
    attributes: list[dict[str, Any]]
    svg: str | None = None
    parent: int | None = None
    project: int | None = None
    task: int | None = None


@dataclass
class Photo:
    """One frame: its name in CVAT, the file with its bytes, its size."""

    name: str
    path: Path
    width: int
    height: int


@dataclass
class Task:
    id: int
    name: str
    project: int | None
    owner: int
    created: str
    updated: str
    subset: str = ""
    status: str = "annotation"
    segment_size: int = 0
    overlap: int | None = None
    assignee: int | None = None
    assignee_updated: str | None = None
    bug_tracker: str = ""
    data: int | None = None
    image_quality: int = 70
    sorting: str = "lexicographical"
    photos: list[Photo] = field(default_factory=list)
    received: dict[str, Path] = field(default_factory=dict)
    chunks_updated: str = ""


@dataclass
class Job:
    id: int
    task: int
    start: int
    stop: int
    created: str
    updated: str
    stage: str = "annotation"
    state: str = "new"
    status: str = "annotation"
    assignee: int | None = None
    assignee_updated: str | None = None


@dataclass
class Issue:
    id: int
    job: int
    frame: int
    position: list[float]
    owner: int
    created: str
    updated: str
    resolved: bool = False
    assignee: int | None = None


@dataclass
class Comment:
    id: int
    issue: int
    owner: int
    message: str
    created: str
    updated: str


@dataclass
class Webhook:
    id: int
    target_url: str
    project: int
    events: list[str]
    owner: int
    created: str
    updated: str
    description: str = ""
    secret: str = ""
    is_active: bool = True
    enable_ssl: bool = True
    last_status: int | None = None
    last_delivery: str | None = None


@dataclass
class Request:
    """A background request: what it is, how it ended, the file it made."""

    id: str
    type: str
    owner: int
    created: str
    finished: str
    keeps: timedelta
    task: int | None = None
    project: int | None = None
    target: str = "task"
    format: str | None = None
    status: str = "finished"
    message: str = ""
    started_message: str = ""
    polls_left: int = 0
    result_url: str | None = None
    result_id: int | None = None
    path: Path | None = None
    file_name: str = ""


@dataclass
class Annotations:
    """What was drawn in one job; shapes, tags and tracks are JSON as `shapes.clean` leaves it."""

    shapes: list[dict[str, Any]] = field(default_factory=list)
    tags: list[dict[str, Any]] = field(default_factory=list)
    tracks: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Records:
    """Everything that survives a restart."""

    counters: dict[str, int] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    tokens: dict[int, Token] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    projects: dict[int, Project] = field(default_factory=dict)
    labels: dict[int, Label] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    issues: dict[int, Issue] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    webhooks: dict[int, Webhook] = field(default_factory=dict)
    deliveries: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    annotations: dict[int, Annotations] = field(default_factory=dict)


class State(Records):
    """The records, the lock, the clock and the folder.

    With `keep` the records are written to the folder after every request that may have changed them, annotations per
    job, so that a server of its own process survives a kill as CVAT with its database does.
    """

    def __init__(self, folder: Path, *, keep: bool = False, seed: int = 0):
        super().__init__()
        self.folder, self.keep, self.seed = folder, keep, seed
        self.lock = threading.RLock()
        self.reads = 0
        self.errors: list[str] = []
        self.outbox = Outbox()
        self.delivery_timeout_s = 10.0
        self.base = ""
        self.polls = 0
        self.functions: dict[str, Any] = {}
        self.lambda_requests: dict[str, dict[str, Any]] = {}
        self.dirty: set[int] = set()
        self._index_key: tuple[int, int] | None = None
        self._index: dict[int, list[Job]] = {}
        self._last = datetime.min.replace(tzinfo=UTC)
        folder.mkdir(parents=True, exist_ok=True)
        if keep and (folder / "records.pickle").exists():
            self._load()

    def now(self) -> str:
        """The time as CVAT writes it; never the same twice, so that a move of `updated_date` is seen."""
        with self.lock:
            self._last = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
            return stamp(self._last)

    def next(self, kind: str) -> int:
        with self.lock:
            self.counters[kind] = self.counters.get(kind, 0) + 1
            return self.counters[kind]

    def jobs_of(self, task: int) -> list[Job]:
        """The jobs of a task in order; indexed, as lists of tasks ask for it task by task."""
        key = (len(self.jobs), self.counters.get("job", 0))
        if key != self._index_key:
            self._index_key, self._index = key, {}
            for job in self.jobs.values():
                self._index.setdefault(job.task, []).append(job)
        return self._index.get(task, [])

    def drawn(self, job: int) -> Annotations:
        """The annotations of a job, to be changed: they are written at the next `save`."""
        self.dirty.add(job)
        return self.annotations.setdefault(job, Annotations())

    def save(self) -> None:
        if not self.keep:
            return
        with self.lock:
            for job in sorted(self.dirty):
                path = self.folder / "annotations" / f"{job}.pickle"
                if job in self.annotations:
                    _write(path, self.annotations[job])
                else:
                    path.unlink(missing_ok=True)
            self.dirty.clear()
            records = {name: value for name, value in vars(self).items() if name in Records.__dataclass_fields__}
            _write(self.folder / "records.pickle", {**records, "annotations": {}})

    def _load(self) -> None:
        for name, value in pickle.loads((self.folder / "records.pickle").read_bytes()).items():
            setattr(self, name, value)
        for path in (self.folder / "annotations").glob("*.pickle"):
            self.annotations[int(path.stem)] = pickle.loads(path.read_bytes())


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(pickle.dumps(value))
    part.replace(path)
