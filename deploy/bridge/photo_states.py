"""In what state a photo is: the one that it got last, whichever step of its task gave it.

So `review` of the step that found its corners is over once the photo has gone onward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.bridge.ledger import FAILED, REVIEW, Ledger

LATEST = (
    "NOT EXISTS (SELECT 1 FROM photos AS later WHERE later.task = photos.task AND later.frame = photos.frame "
    "AND (later.changed, later.step_id) > (photos.changed, photos.step_id))"
)
"""SQL: a row of `photos` is the last of its photo."""
DOUBT = f"state IN ('{REVIEW}', '{FAILED}') AND {LATEST}"
"""SQL: a row of `photos` says that a person must see its photo."""


@dataclass(frozen=True, slots=True)
class PhotoState:
    """A photo of a task.

    Attributes:
        frame: its number.
        name: in CVAT.
        state: of the step that had it last.
        reasons: of each step that had it, those that gave one.
        steps: its state by step.
        job: number of the job that it is in; `None` where that is not known.
        changed: seconds since 1970.
    """

    frame: int
    name: str
    state: str
    reasons: Mapping[str, str]
    steps: Mapping[str, str]
    job: int | None
    changed: float


def photos_of(ledger: Ledger, task: int) -> list[PhotoState]:
    """The photos of a task, by frame."""
    sql = (
        "SELECT photos.*, steps.job FROM photos LEFT JOIN steps ON steps.id = photos.step_id WHERE photos.task = ? "
        "ORDER BY frame, changed, step_id"
    )
    frames: dict[int, list[Any]] = {}
    for row in ledger.rows(sql, (task,)):
        frames.setdefault(row["frame"], []).append(row)
    return [_photo(rows) for rows in frames.values()]


def _photo(rows: Sequence[Any]) -> PhotoState:
    last = rows[-1]
    return PhotoState(
        frame=last["frame"],
        name=last["name"],
        state=last["state"],
        reasons={str(row["step"]): str(row["reason"]) for row in rows if row["reason"]},
        steps={str(row["step"]): str(row["state"]) for row in rows},
        job=next((row["job"] for row in rows if row["job"] is not None), None),
        changed=last["changed"],
    )
