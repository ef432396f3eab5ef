"""What the ledger knows, for a terminal and for scripts; and failed steps let go again."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict, dataclass

from deploy.bridge import ledger as states
from deploy.bridge import plan as plans
from deploy.bridge.ledger import FILE, HEARTBEAT, STEP_STATES, Ledger, StepRow
from deploy.bridge.settings import Settings
from deploy.bridge.work_queue import WorkQueue

_SHOWN = 20


class StatusError(ValueError):
    """What was asked for is not there."""


@dataclass(frozen=True, slots=True)
class Status:
    """The bridge at a moment.

    Attributes:
        steps: number in each state, by stage and step, in the order of the pipeline.
        photos: number in each state, of all steps.
        deliveries: number that came, and of these those that nothing came of yet.
        failed: steps that need a person, the last first.
        heard_s: seconds since the worker was heard of; `None`: never.
    """

    steps: dict[str, dict[str, int]]
    photos: dict[str, int]
    deliveries: dict[str, int]
    failed: list[StepRow]
    heard_s: float | None


def look(settings: Settings) -> Status:
    """Read the ledger.

    Raises:
        StatusError: there is none.
    """
    ledger = _ledger(settings)
    rows = ledger.rows("SELECT stage, step, state, COUNT(*) AS number FROM steps GROUP BY stage, step, state")
    steps: dict[str, dict[str, int]] = {name: {} for name in _steps_of(settings)}
    for row in rows:
        steps.setdefault(f"{row['stage']}/{row['step']}", {})[row["state"]] = row["number"]
    photos = Counter(
        {r["state"]: r["number"] for r in ledger.rows("SELECT state, COUNT(*) AS number FROM photos GROUP BY state")}
    )
    came = ledger.rows("SELECT COUNT(*) AS came, COUNT(*) - COUNT(settled) AS open FROM deliveries")[0]
    failed = ledger.rows("SELECT * FROM steps WHERE state = ? ORDER BY ended DESC", (states.FAILED,))
    beat = float(ledger.fact(HEARTBEAT) or 0)
    heard = round(max(time.time() - beat, 0.0), 1) if beat else None
    return Status(steps, dict(photos), dict(came), [StepRow(**dict(row)) for row in failed], heard)


def _steps_of(settings: Settings) -> list[str]:
    try:
        return [f"{key}/{step.name}" for key, step in plans.read(settings.pipeline).steps()]
    except plans.PlanError:  # the ledger says enough; `doctor` tells of the file
        return []


def _ledger(settings: Settings) -> Ledger:
    path = settings.folder / FILE
    if not path.exists():
        raise StatusError(f"{path} is not there: no bridge ran yet, or BRIDGE_DATA names another folder")
    return Ledger(path)


def describe(status: Status) -> str:
    """As a table."""
    wide = max((len(name) for name in status.steps), default=0) + 2
    lines = [f"{'':{wide}}" + "".join(f"{state:>9}" for state in STEP_STATES)]
    for name, count in status.steps.items():
        lines.append(f"{name:{wide}}" + "".join(f"{count.get(state, 0) or '.':>9}" for state in STEP_STATES))
    photos = ", ".join(f"{number} {state}" for state, number in sorted(status.photos.items())) or "none"
    heard = "never heard of" if status.heard_s is None else f"heard of {status.heard_s:.0f} s ago"
    lines += ["", f"photos: {photos}"]
    lines += [f"deliveries: {status.deliveries['came']}, {status.deliveries['open']} open; worker: {heard}"]
    for row in status.failed[:_SHOWN]:
        lines.append(f"step {row.id} failed: {row.step} of task {row.task} ({row.task_name}): {row.reason}")
    if len(status.failed) > _SHOWN:
        lines.append(f"and {len(status.failed) - _SHOWN} more failed")
    if status.failed:
        lines.append("once mended: python -m deploy.bridge retry STEP, or --failed for all")
    return "\n".join(lines)


def as_json(status: Status) -> str:
    """One line of JSON."""
    return json.dumps(asdict(status))


def retry(settings: Settings, step: int | None) -> str:
    """Let a failed step, or all of them, be done again by the bridge that runs, or that is started next.

    Returns:
        What was done, in words.

    Raises:
        StatusError: there is no such step, or it neither failed nor waits for its next try.
    """
    ledger = _ledger(settings)
    rows = ledger.rows("SELECT id FROM steps WHERE state = ? ORDER BY id", (states.FAILED,))
    numbers = [row["id"] for row in rows] if step is None else [step]
    queue = WorkQueue(settings.folder, settings.redis_url)
    for number in numbers:
        if not ledger.retry(number):
            raise StatusError(_why_not(ledger, number))
        queue.do(number)
    return f"to be done again: {len(numbers)} step{'' if len(numbers) == 1 else 's'}"


def _why_not(ledger: Ledger, number: int) -> str:
    try:
        return f"step {number} is {ledger.step(number).state}: only a failed one, or one that waits, can be tried again"
    except KeyError:
        return f"there is no step {number}: python -m deploy.bridge status lists those that failed"
