"""Times and states as people read them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from deploy.bridge.ledger import AGAIN, DONE, FAILED, GOING, OK, REVIEW, RUNNING, SKIPPED, WAITING
from deploy.bridge.plan import JOB_STARTED, TASK_COMPLETED, TASK_CREATED

STEP_WORDS = {WAITING: "waiting", RUNNING: "running", AGAIN: "tried again", DONE: "done", FAILED: "failed"}
PHOTO_WORDS = {OK: "ok", REVIEW: "for review", FAILED: "failed", SKIPPED: "left alone", GOING: "on the way"}
WHEN_WORDS = {
    JOB_STARTED: "a job is in progress",
    TASK_COMPLETED: "the task is completed",
    TASK_CREATED: "its photos are there",
}
_STEP_ORDER = (FAILED, RUNNING, WAITING, AGAIN, DONE)
_PHOTO_ORDER = (OK, REVIEW, FAILED, GOING, SKIPPED)


def took(seconds: float) -> str:
    """A stretch of time: ``0.4 s``, ``41 s``, ``12 min``, ``3 h 20 min``, ``4 days``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if round(seconds) < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    return f"{round(minutes / 1440)} days"


def away(moment: float) -> str:
    """How far off a moment is: ``3 min ago``, ``in 40 s``, ``now``."""
    seconds = moment - time.time()
    if abs(seconds) < 1.5:
        return "now"
    return f"in {_whole(seconds)}" if seconds > 0 else f"{_whole(-seconds)} ago"


def _whole(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 9.95 else took(seconds)


def utc(moment: float) -> str:
    """A moment for people: ``2026-11-28 16:05:09 UTC``."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(moment: float) -> str:
    """A moment for programs."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"


def step_states(states: Iterable[str]) -> list[str]:
    """States of steps in the order in which they are told: what needs a person comes first."""
    return _sorted(states, _STEP_ORDER)


def photo_states(states: Iterable[str]) -> list[str]:
    """States of photos, likewise."""
    return _sorted(states, _PHOTO_ORDER)


def _sorted(states: Iterable[str], order: tuple[str, ...]) -> list[str]:
    return sorted(states, key=lambda state: order.index(state) if state in order else len(order))
