"""What the actions share of a photo: what is drawn on it, in few words, and asking a person about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from data_engineering import cvat_issues, cvat_tasks
from data_engineering.cvat_draw import AUTO
from data_engineering.cvat_errors import CvatError, MissingError, OutageError, RefusedError
from data_engineering.cvat_issues import Issue
from data_engineering.function_url import AnswerError, FunctionError
from deploy.bridge.actions.orders import GiveUp, Seen, Tools
from quadrat.drawn import Drawn, DrawnPhoto

AWAY = (FunctionError, OutageError)
"""What stops a step: a function or CVAT cannot be used at all."""

_DIGITS = 16


def read(tools: Tools, seen: Seen) -> cvat_tasks.Read:
    """Read a task.

    Raises:
        CvatError: something cannot be had.
        GiveUp: it is no task of photos.
    """
    try:
        return cvat_tasks.read(tools.client, seen.task, seen.jobs)
    except CvatError:  # a ValueError too
        raise
    except ValueError as error:
        raise GiveUp(str(error)) from None


def may_pass(error: ValueError) -> bool:
    """Whether what went wrong with a photo may go well when it is tried again."""
    if isinstance(error, AnswerError):
        return error.again
    return isinstance(error, CvatError) and not isinstance(error, RefusedError | MissingError)


def count(number: int) -> str:
    """How many photos, in words."""
    return f"{number} photo{'' if number == 1 else 's'}"


def told_later(unanswered: Sequence[tuple[str, str]]) -> str:
    """What holds a step up: name and fault of each photo."""
    (name, fault), more = unanswered[0], len(unanswered) - 1
    return f"{name}: {fault}{f', and {count(more)} more' if more else ''}"


def digest(drawn: Iterable[Drawn]) -> str:
    """Of what is drawn on a photo: another one as soon as a point moves by a tenth of a px; empty where nothing is.

    Points that lie outside count as not there: CVAT puts them where it likes.
    """
    facts = sorted(json.dumps(_fact(one)) for one in drawn)
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:_DIGITS] if facts else ""


def _fact(one: Drawn) -> list[object]:
    parts = sorted((part for part in one.elements if not part.outside), key=lambda part: part.label)
    return [one.kind, one.label, one.xy_px.round(1).ravel().tolist(), [_fact(part) for part in parts]]


def is_auto(one: Drawn) -> bool:
    """Whether a program drew it, and no person has touched it."""
    return all(part.source == AUTO for part in (one, *one.elements))


@dataclass
class Desk:
    """Asks people about photos of a task: one open issue a photo, whoever asked first.

    Attributes:
        tools: of the bridge.
        task: number of the task.
        jobs: number of the job of each photo, by frame.
    """

    tools: Tools
    task: int
    jobs: dict[int, int]
    _issues: list[Issue] | None = field(default=None, repr=False)

    @property
    def issues(self) -> list[Issue]:
        """Those of the task, read when they are first needed."""
        if self._issues is None:
            self._issues = cvat_issues.of_task(self.tools.client, self.task)
        return self._issues

    def is_settled(self, number: int) -> bool:
        """Whether a person resolved an issue, or deleted it."""
        return all(issue.resolved for issue in self.issues if issue.id == number)

    def open_issue(self, frame: int) -> int | None:
        """The number of the bridge's issue on a photo that nobody has resolved."""
        found = cvat_issues.open_one(self.tools.client, self.issues, frame)
        return found.id if found else None

    def ask(self, frame: int, photo: DrawnPhoto, message: str) -> int:
        """Have an issue on a photo; the one that is open there already serves. Returns its number."""
        known = self.open_issue(frame)
        if known is not None:
            return known
        place = cvat_issues.place_on(photo)
        made = cvat_issues.make(self.tools.client, self.jobs[frame], frame, place, message)
        self.issues.append(made)
        return made.id

    def settle(self, frame: int) -> None:
        """Resolve the bridge's issue on a photo that a person has put right, where it is still open."""
        known = self.open_issue(frame)
        if known is not None:
            cvat_issues.resolve(self.tools.client, known)
