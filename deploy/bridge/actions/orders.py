"""What an action gets, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.bridge.ledger import Ledger, StepRow
from deploy.bridge.plan import Plan, Step
from deploy.bridge.settings import Settings


class Again(Exception):
    """It did not work now, and may later: a server or function that is away, busy or wrong for the moment."""


class GiveUp(Exception):
    """It cannot work until a person has done what the message says."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What an action works with.

    Attributes:
        client: of `data_engineering.cvat_server.connect`.
        plan: the pipeline.
        projects: number of each stage's project in CVAT, by the stage's key.
        ledger: of the bridge.
        settings: of the bridge.
        backoff_s: pause before a busy function is asked again the first time; each further one is twice as long.
    """

    client: Any
    plan: Plan
    projects: Mapping[str, int]
    ledger: Ledger
    settings: Settings
    backoff_s: float = 0.5

    def is_last_try(self, row: StepRow) -> bool:
        """Whether a step that is tried now is not tried again by itself."""
        return row.tries >= len(self.settings.retries_s)


@dataclass(frozen=True, slots=True)
class Seen:
    """A task as CVAT shows it.

    Attributes:
        stage: key of its stage.
        task: what ``GET /api/tasks/ID`` says.
        jobs: what ``GET /api/jobs`` says of its annotation jobs.
    """

    stage: str
    task: Mapping[str, Any]
    jobs: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Due:
    """Something to be done in a task.

    Attributes:
        revision: what of the task it is for; the same thing always has the same one.
        job: number of the job, where it is for one.
    """

    revision: str
    job: int | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A step that is to be done.

    Attributes:
        row: of the ledger; `row.request_id` goes along to functions.
        step: of the pipeline.
        seen: the task as it is now.
    """

    row: StepRow
    step: Step
    seen: Seen
