"""A task as CVAT has it now, and what of the pipeline is due in it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from data_engineering import cvat_server
from data_engineering.cvat_errors import CvatError, OutageError
from deploy.bridge.actions import ACTIONS
from deploy.bridge.actions.orders import Again, Seen, Tools
from deploy.bridge.ledger import WAITING, Delivery, StepRow
from deploy.bridge.plan import JOB_STARTED, TASK_COMPLETED, Plan, Step

_RESOLVE_AGAIN_S = 60.0


class Projects:
    """The numbers that the stages' projects have in CVAT; one that is not there is looked for again, now and then."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._known: dict[str, int] = {}
        self._looked = -_RESOLVE_AGAIN_S

    def numbers(self, client: Any) -> dict[str, int]:
        """By the stage's key; those that are not there, or not to be told apart, are left out."""
        missing = [key for key in self._plan.stages if key not in self._known]
        if missing and time.monotonic() - self._looked >= _RESOLVE_AGAIN_S:
            self._looked = time.monotonic()
            for key in missing:
                self._find(client, key)
        return dict(self._known)

    def _find(self, client: Any, key: str) -> None:
        try:
            self._known[key] = cvat_server.find_project(client, self._plan.stages[key].project).id
        except OutageError:
            self._looked = -_RESOLVE_AGAIN_S
            raise
        except CvatError:  # not there, or there twice: `doctor` says so
            return


def see(client: Any, stage: str, task_id: int) -> Seen:
    """Look at a task.

    Raises:
        CvatError: it is not there, or CVAT does not answer.
    """
    doing = f"look at task {task_id}"
    task = cvat_server.get_json(client, f"/api/tasks/{task_id}", doing)
    jobs = cvat_server.get_all(client, "/api/jobs", doing, task_id=task_id)
    return Seen(stage, task, [job for job in jobs if job.get("type", "annotation") == "annotation"])


def task_of(client: Any, delivery: Delivery) -> int | None:
    """The number of the task that a delivery is about.

    Raises:
        CvatError: as `see`.
    """
    if delivery.task is None and delivery.job is not None:
        job = cvat_server.get_json(client, f"/api/jobs/{delivery.job}", f"look at job {delivery.job}")
        return int(job["task_id"])
    return delivery.task


def is_too_early(seen: Seen, delivery: Delivery) -> bool:
    """Whether CVAT shows a state from before the delivery: a third of them come before their change is seen."""
    shown = seen.task if delivery.job is None else next((j for j in seen.jobs if j["id"] == delivery.job), {})
    date = str(shown.get("updated_date", ""))
    return bool(delivery.updated and date and _moment(date) < _moment(delivery.updated))


def _moment(date: str) -> str:
    """A date of CVAT, all with the same number of digits, so that they sort as texts."""
    head, _, fraction = date.rstrip("Z").partition(".")
    return f"{head}.{fraction:0<6}"


def ask_for(tools: Tools, seen: Seen, request_id: str) -> list[StepRow]:
    """Put down what is due in a task; returns the steps that are to be done now."""
    rows = [row for step in _held(tools.plan, seen) for row in _orders(tools, seen, step, request_id)]
    return [row for row in rows if row.state == WAITING]


def _held(plan: Plan, seen: Seen) -> Iterator[Step]:
    return (step for step in plan.stages[seen.stage].steps if _holds(step.when, seen.task, seen.jobs))


def _holds(when: str, task: Mapping[str, Any], jobs: Any) -> bool:
    if not task.get("size"):
        return False  # its photos are still on their way, or never came
    if when == TASK_COMPLETED:
        return bool(task.get("status") == "completed")
    return when != JOB_STARTED or any(job.get("state") == "in progress" for job in jobs)


def _orders(tools: Tools, seen: Seen, step: Step, request_id: str) -> Iterator[StepRow]:
    for due in ACTIONS[step.do].due(tools, step, seen):
        row, _ = tools.ledger.order(
            seen.stage,
            int(seen.task["id"]),
            step.name,
            due.revision,
            job=due.job,
            task_name=str(seen.task["name"]),
            request_id=request_id,
        )
        yield row


def check_stage(plan: Plan, row: StepRow) -> Step:
    """The step of the pipeline that a row of the ledger is for.

    Raises:
        Again: pipeline.yaml has it no more; it is done if the file has it again in time.
    """
    stage = plan.stages.get(row.stage)
    step = next((step for step in stage.steps if step.name == row.step), None) if stage else None
    if step is None:
        raise Again(
            f"pipeline.yaml has no step {row.step!r} in a stage {row.stage!r} any more: put it back, or leave this"
        )
    return step
