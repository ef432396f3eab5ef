"""Issues in CVAT: what a program asks people to look at, on a photo of a job.

What a program writes begins with `MARK`, by which it knows its own: an issue has no other place for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cvat_sdk import Client, models

from data_engineering import cvat_server
from data_engineering.cvat_errors import MissingError, translated
from quadrat.drawn import Drawn, DrawnPhoto

MARK = "QUADRATSEG"
"""How the message of a program's issue begins."""

_LONGEST = 1000
_MIDDLE = 0.1  # of the photo's sides: the place of an issue that is about no shape


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue.

    Attributes:
        id: its number.
        frame: of the photo in the task.
        job: number of the job that it is in.
        resolved: whether a person said that it is settled.
    """

    id: int
    frame: int
    job: int
    resolved: bool


def of_task(client: Client, task_id: int) -> list[Issue]:
    """The issues of a task, the oldest first.

    Raises:
        CvatError: they cannot be had.
    """
    found = cvat_server.get_all(client, "/api/issues", f"list the issues of task {task_id}", task_id=task_id)
    return [Issue(int(one["id"]), int(one["frame"]), int(one["job"]), bool(one["resolved"])) for one in found]


def message_of(client: Client, issue: Issue) -> str:
    """The first comment of an issue; empty where there is none, or the issue is gone.

    Raises:
        CvatError: it cannot be had.
    """
    doing = f"read issue {issue.id}"
    try:
        comments = cvat_server.get_all(client, "/api/comments", doing, issue_id=issue.id)
    except MissingError:
        return ""
    return str(comments[0].get("message", "")) if comments else ""


def open_one(client: Client, issues: Iterable[Issue], frame: int) -> Issue | None:
    """The issue of a program on a photo that nobody has resolved yet.

    Args:
        client: of `cvat_server.connect`.
        issues: of the task.
        frame: of the photo.

    Raises:
        CvatError: a message cannot be had.
    """
    here = (issue for issue in issues if issue.frame == frame and not issue.resolved)
    return next((issue for issue in here if message_of(client, issue).startswith(MARK)), None)


def make(client: Client, job_id: int, frame: int, position: Sequence[float], message: str) -> Issue:
    """Make an issue.

    Args:
        client: of `cvat_server.connect`.
        job_id: number of the job that has the photo.
        frame: of the photo in the task.
        position: left, top, right and bottom in px of the photo, see `place_on`.
        message: its first comment; `MARK` is put before it.

    Raises:
        CvatError: the server refused it, or it is not known whether it arrived: look for it before it is made again.
    """
    text = f"{MARK} {message}"
    request: Any = models.IssueWriteRequest(
        frame=frame, position=list(map(float, position)), job=job_id, message=text[:_LONGEST]
    )
    with translated(f"make an issue in job {job_id}"):
        made, _ = client.api_client.issues_api.create(request)
    return Issue(int(made.id), frame, job_id, False)


def resolve(client: Client, number: int) -> None:
    """Say that an issue is settled; once more does no harm.

    Raises:
        CvatError: the server refused it.
    """
    cvat_server.patch_json(client, f"/api/issues/{number}", f"resolve issue {number}", {"resolved": True})


def place_on(photo: DrawnPhoto) -> tuple[float, float, float, float]:
    """Where an issue about a photo lies: round what is drawn there, else in the middle."""
    width, height = photo.size_wh
    xy = [place for one in photo.drawn for place in _places(one)]
    if not xy:
        x, y = width * _MIDDLE / 2, height * _MIDDLE / 2
        return width / 2 - x, height / 2 - y, width / 2 + x, height / 2 + y
    across, down = zip(*xy, strict=True)
    left, right = (min(max(x, 0.0), float(width)) for x in (min(across), max(across)))
    top, bottom = (min(max(y, 0.0), float(height)) for y in (min(down), max(down)))
    return left, top, right, bottom


def _places(one: Drawn) -> list[tuple[float, float]]:
    if one.kind == "skeleton":
        return [place for part in one.elements if not part.outside for place in _places(part)]
    return [(float(x), float(y)) for x, y in one.xy_px]
