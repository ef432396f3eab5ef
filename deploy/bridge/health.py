"""How the bridge does: read from the ledger, where SQL does the counting."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.bridge.ledger import DONE, FAILED, HEARTBEAT, REVIEW, SWEPT, Ledger
from deploy.bridge.photo_states import DOUBT

ALIVE_S = 60.0
"""A worker that was not heard of for so long is taken for dead."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the bridge does.

    Attributes:
        steps: how many are in which state.
        deliveries: that wait for a look.
        oldest_s: how long the oldest of them has waited.
        heartbeat_s: since the worker was last heard of; `None`: never.
        swept_s: since all tasks were last looked at; `None`: never.
        doubts: how many photos are for review, and how many failed, as they stand.
    """

    steps: Mapping[str, int]
    deliveries: int
    oldest_s: float
    heartbeat_s: float | None
    swept_s: float | None
    doubts: Mapping[str, int]

    @property
    def alive(self) -> bool:
        """Whether the worker works."""
        return self.heartbeat_s is not None and self.heartbeat_s < ALIVE_S


@dataclass(frozen=True, slots=True)
class StepSum:
    """What a step took: tasks that had it, and the mean seconds of what was done."""

    tasks: int
    mean_s: float | None


def look(ledger: Ledger) -> Health:
    """How the bridge does now."""
    now = time.time()
    waiting = ledger.rows("SELECT count(*), min(received) FROM deliveries WHERE settled IS NULL")[0]
    doubts = ledger.rows(f"SELECT state, count(*) FROM photos WHERE {DOUBT} GROUP BY state")
    return Health(
        steps=dict(map(tuple, ledger.rows("SELECT state, count(*) FROM steps GROUP BY state"))),
        deliveries=waiting[0],
        oldest_s=max(0.0, now - waiting[1]) if waiting[0] else 0.0,
        heartbeat_s=_since(ledger, HEARTBEAT, now),
        swept_s=_since(ledger, SWEPT, now),
        doubts={REVIEW: 0, FAILED: 0, **dict(map(tuple, doubts))},
    )


def _since(ledger: Ledger, fact: str, now: float) -> float | None:
    told = ledger.fact(fact)
    return max(0.0, now - float(told)) if told else None


def step_sums(ledger: Ledger) -> dict[tuple[str, str], StepSum]:
    """By stage and step."""
    sql = (
        f"SELECT stage, step, count(DISTINCT task), avg(seconds) FILTER (WHERE state = '{DONE}') FROM steps "
        "GROUP BY stage, step"
    )
    return {(row[0], row[1]): StepSum(row[2], row[3]) for row in ledger.rows(sql)}
