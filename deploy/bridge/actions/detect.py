"""A function draws on the photos of a job, or of a whole task; what it doubts gets an issue.

A photo with anything on it is left as it is. Photos are written a few at a time, each with what came of it in the
ledger: after a kill those that have their shapes already are known by the shapes, all of source auto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from data_engineering import cvat_draw, cvat_photos
from data_engineering.cvat_errors import CvatError, RefusedError
from data_engineering.cvat_function import RemoteFunction
from data_engineering.cvat_tasks import Read
from deploy.bridge.actions import photos
from deploy.bridge.actions.orders import Again, Due, Order, Seen, Tools
from deploy.bridge.actions.photos import Desk
from deploy.bridge.ledger import FAILED, OK, REVIEW, SKIPPED, PhotoRow
from deploy.bridge.plan import TASK_CREATED, Step
from deploy.chain import Told, verdict_of
from quadrat.drawn import DrawnPhoto

_AT_A_TIME = 8
_PERSONS = "a person has drawn on it"
_NOTHING_FITS = "nothing of what the function found has a place among the task's labels"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A photo that the function was asked about.

    Attributes:
        frame: its number.
        photo: with what is to be drawn, or is drawn already.
        told: what the function says of its result, where it judges.
        fault: why there is no result.
        is_drawn: whether it is drawn already.
    """

    frame: int
    photo: DrawnPhoto
    told: Told | None = None
    fault: str = ""
    is_drawn: bool = False


def due(tools: Tools, step: Step, seen: Seen) -> list[Due]:
    """Every job that is in progress, each once; or the task, once."""
    if step.when == TASK_CREATED:
        return [Due("task")]
    begun = [int(job["id"]) for job in seen.jobs if job.get("state") == "in progress"]
    return [Due(f"job-{number}", number) for number in begun]


def run(tools: Tools, order: Order) -> str:
    """Draw on the photos that nothing came of yet.

    Raises:
        Again: a function or CVAT could not be used; what is done is kept.
    """
    there = photos.read(tools, order.seen)
    frames = [frame for frame, job in there.jobs.items() if order.row.job in (None, job)]
    known = tools.ledger.photos(order.row.task, order.row.step)
    todo = [frame for frame in frames if frame not in known]
    work = _Work(tools, order, there)
    for start in range(0, len(todo), _AT_A_TIME):
        work.do(todo[start : start + _AT_A_TIME])
    work.end()
    rows = tools.ledger.photos(order.row.task, order.row.step)
    return words([rows[frame] for frame in frames if frame in rows])


def words(rows: Sequence[PhotoRow]) -> str:
    """What came of photos, for the status page."""
    often = {state: sum(row.state == state for row in rows) for state in (OK, REVIEW, FAILED, SKIPPED)}
    parts = [f"{photos.count(often[OK] + often[REVIEW])} drawn on"]
    parts += [f"{often[REVIEW]} of them for review"] if often[REVIEW] else []
    parts += [f"{often[FAILED]} failed"] if often[FAILED] else []
    parts += [f"{often[SKIPPED]} left as people drew them"] if often[SKIPPED] else []
    return ", ".join(parts)


class _Work:
    """The photos of one step."""

    def __init__(self, tools: Tools, order: Order, there: Read):
        url = tools.plan.url_of(order.step)
        assert url is not None
        self.tools, self.order, self.there = tools, order, there
        self.function = RemoteFunction(url, there.labels, backoff_s=tools.backoff_s)
        self.desk = Desk(tools, order.row.task, dict(there.jobs))
        self.unanswered: list[_Asked] = []
        self._done: set[int] = set()
        self._away: ValueError | None = None

    def do(self, frames: Sequence[int]) -> None:
        """Ask about some photos, and write what came of them.

        Raises:
            FunctionError: the function is away; what it had answered is written.
            CvatError: CVAT is away.
        """
        asked = list(self._ask_all(frames))
        faults = self._draw([one for one in asked if not one.fault and not one.is_drawn])
        for one in asked:
            self._note(faults.get(one.frame, one))
        if self._away:
            raise self._away

    def end(self) -> None:
        """Deal with the photos that got no answer: in the last try they are failed, if the function can do others.

        Raises:
            Again: they are to be asked about again.
        """
        if not self.unanswered:
            return
        rows = self.tools.ledger.photos(self.order.row.task, self.order.row.step).values()
        if self.tools.is_last_try(self.order.row) and any(row.state in (OK, REVIEW) for row in rows):
            for one in self.unanswered:
                self._note(one)
            return
        raise Again(photos.told_later([(one.photo.name, one.fault) for one in self.unanswered]))

    # ------------------------------------------------------------------------------------------ asking

    def _ask_all(self, frames: Sequence[int]) -> Iterator[_Asked]:
        for frame in frames:
            photo = self.there.photos[frame]
            if any(not photos.is_auto(one) for one in photo.drawn):
                self._row(frame, SKIPPED, _PERSONS, {"drawn": photos.digest(photo.drawn)})
                continue
            try:
                yield self._ask(frame, photo)
            except photos.AWAY as error:
                self._away = error
                return
            except ValueError as error:
                one = _Asked(frame, photo, fault=str(error))
                if photos.may_pass(error):
                    self.unanswered.append(one)
                else:
                    yield one

    def _ask(self, frame: int, photo: DrawnPhoto) -> _Asked:
        task = self.order.row.task
        file = cvat_photos.get(self.tools.client, task, frame, f"fetch photo {photo.name} of task {task}")
        found = self.function.find(file, self.order.step.threshold, request_id=self.order.row.request_id)
        told = verdict_of(found.headers)
        if found.notes and not found.drawn:
            return _Asked(frame, photo, fault=f"{_NOTHING_FITS}: {found.notes[0]}")
        if photo.drawn:
            return _Asked(frame, photo, told, is_drawn=True)
        return _Asked(frame, replace(photo, drawn=found.drawn), told)

    # ------------------------------------------------------------------------------------------ writing

    def _draw(self, asked: Sequence[_Asked]) -> Mapping[int, _Asked]:
        """Draw; where CVAT refuses it, photo by photo. Returns those that it refuses."""
        if not any(one.photo.drawn for one in asked):
            return {}
        try:
            pushed = cvat_draw.add(self.tools.client, self.order.row.task, [one.photo for one in asked])
        except ValueError as error:
            if isinstance(error, CvatError) and not isinstance(error, RefusedError):
                raise
            if len(asked) == 1:
                bare = replace(asked[0].photo, drawn=())
                return {asked[0].frame: replace(asked[0], photo=bare, fault=str(error))}
            return {frame: fault for one in asked for frame, fault in self._draw([one]).items()}
        for one in asked:
            if one.photo.name in pushed.left_alone:
                self._row(one.frame, SKIPPED, _PERSONS)
        return {}

    def _note(self, asked: _Asked) -> None:
        """Put down what came of a photo; the issue first, since the row says that all is done."""
        if asked.frame in self._done:
            return  # a person drew on it meanwhile
        state, reason = _judged(asked)
        facts: dict[str, object] = {"drawn": photos.digest(asked.photo.drawn)}
        if state != OK:
            message = f"{self.order.step.name}: {reason}. Put it right, then resolve this issue."
            facts["issue"] = self.desk.ask(asked.frame, asked.photo, message)
        if asked.told:
            facts |= {"verdict": asked.told.status, "score": asked.told.score}
        self._row(asked.frame, state, reason, facts)

    def _row(self, frame: int, state: str, reason: str, facts: Mapping[str, object] | None = None) -> None:
        self._done.add(frame)
        self.tools.ledger.set_photo(self.order.row, frame, self.there.photos[frame].name, state, reason, facts)


def _judged(asked: _Asked) -> tuple[str, str]:
    """The state of a photo, and why it is not `OK`."""
    if asked.fault:
        return FAILED, asked.fault
    if asked.told is None:
        return OK, ""
    return asked.told.status, "; ".join(asked.told.reasons)
