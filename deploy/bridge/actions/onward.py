"""Photos of a finished task into a new task of the next project: what rectifying and painting out have in common.

First those that wait for a person are put down, each with its issue. Then the others are claimed in the ledger with
all that their pictures are made of, and with the name of the new task: from there on, whatever breaks off, the next
try makes the very same thing or finds it made. Pictures are staged in the bridge's folder, one photo at a time.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data_engineering import cvat_photos, cvat_push, cvat_server, cvat_tasks
from data_engineering.cvat_tasks import Read
from deploy.bridge.actions import photos, sorting
from deploy.bridge.actions.orders import Again, Due, GiveUp, Order, Seen, Tools
from deploy.bridge.actions.photos import Desk
from deploy.bridge.actions.sorting import CHANGED, Outcome, Sorter
from deploy.bridge.ledger import (
    AGAIN,
    FAILED,
    GOING,
    OK,
    REVIEW,
    RUNNING,
    SKIPPED,
    WAITING,
    Ledger,
    PhotoRow,
)
from deploy.bridge.plan import DETECT, Step
from quadrat import images
from quadrat.drawn import DrawnPhoto

STAGING, MAPPINGS = "staging", "mappings"
"""Folders of the bridge: pictures on their way, and where each rectified quadrat lies in its photo, by task."""

_FROM = re.compile(r"\s*\(from #\d+(, \d+)?\)$")
_SUFFIX = re.compile(r"\.[^./]*$")
_STRANGE = re.compile(r"[^\w.,()+ -]")
_LONGEST_STEM = 120  # bytes
_OPEN = (WAITING, RUNNING, AGAIN)


@dataclass(frozen=True, slots=True)
class Way:
    """How a kind of step sends photos onward.

    Attributes:
        kind: what it needs of a photo.
        suffix: of a picture's file: the photo's name in CVAT, and what the picture is made of.
        make: writes a picture: tools, order, photo as it was uploaded, its row in the ledger, path.
    """

    kind: sorting.Kind
    suffix: Callable[[str, sorting.Takes], str]
    make: Callable[[Tools, Order, bytes, PhotoRow, Path], None]


def due(way: Way, tools: Tools, step: Step, seen: Seen) -> list[Due]:
    """One step for all photos of which there is news: that go onward, or newly have to wait."""
    if seen.task.get("status") != "completed":
        return []
    sorter, there = _sorter(way, tools, step, seen)
    news = sorter.news(there.photos)
    return [Due(sorter.revision(news))] if news else []


def run(way: Way, tools: Tools, order: Order) -> str:
    """Send onward what is ready.

    Raises:
        Again: something could not be used now; nothing is lost.
        GiveUp: a person must look.
    """
    _tidy(tools)
    job = _Onward(way, tools, order)
    if not job.going() and order.seen.task.get("status") == "completed":
        job.take_news()
    if job.going():
        job.send()
    shutil.rmtree(job.folder, ignore_errors=True)
    return job.words()


def _sorter(way: Way, tools: Tools, step: Step, seen: Seen) -> tuple[Sorter, Read]:
    task, there = int(seen.task["id"]), photos.read(tools, seen)
    steps = tools.plan.stages[seen.stage].steps
    detected = [tools.ledger.photos(task, one.name) for one in steps if one.do == DETECT]
    desk = Desk(tools, task, dict(there.jobs))
    return Sorter(way.kind, step, there.labels, tools.ledger.photos(task, step.name), detected, desk), there


def _tidy(tools: Tools) -> None:
    """Remove what steps left behind that ended otherwise than well."""
    for folder in (tools.settings.folder / STAGING).glob("*"):
        try:
            is_open = tools.ledger.step(int(folder.name)).state in _OPEN
        except (KeyError, ValueError):
            is_open = False
        if not is_open:
            shutil.rmtree(folder, ignore_errors=True)


class _Onward:
    """One step."""

    def __init__(self, way: Way, tools: Tools, order: Order):
        self.way, self.tools, self.order = way, tools, order
        self.folder = tools.settings.folder / STAGING / str(order.row.id)
        self.sorter, self.there = _sorter(way, tools, order.step, order.seen)
        self.desk = self.sorter.desk

    def going(self) -> dict[int, PhotoRow]:
        """The photos that this step has on their way."""
        rows = self.tools.ledger.photos(self.order.row.task, self.order.row.step)
        return {frame: row for frame, row in rows.items() if row.state == GOING and row.step_id == self.order.row.id}

    def words(self) -> str:
        """What came of it, for the status page."""
        rows = self.tools.ledger.photos(self.order.row.task, self.order.row.step).values()
        mine = [row for row in rows if row.step_id == self.order.row.id]
        often = {state: sum(row.state == state for row in mine) for state in (OK, REVIEW, FAILED, SKIPPED)}
        changed = sum(row.state == OK and bool(row.reason) for row in mine)
        child = self.tools.ledger.step(self.order.row.id).child
        said = {
            f"{photos.count(often[OK] - changed)} into task {child}": often[OK] - changed,
            f"{often[REVIEW]} for review": often[REVIEW],
            f"{often[FAILED]} failed": often[FAILED],
            f"{often[SKIPPED]} without {self.way.kind.what}": often[SKIPPED],
            f"{changed} changed after they went onward": changed,
        }
        return ", ".join(text for text, number in said.items() if number) or "nothing is left to do"

    # ------------------------------------------------------------------------------------------ who goes

    def take_news(self) -> None:
        """Put down who waits, and claim who goes: those all at once, with what their pictures are made of."""
        news = self.sorter.news(self.there.photos)
        for frame, outcome in news.items():
            if outcome.state != OK:
                self._put_down(frame, outcome)
        ready = {frame: outcome for frame, outcome in news.items() if outcome.state == OK}
        if ready:
            self.tools.ledger.claim(self.order.row, self._claims(ready))

    def _put_down(self, frame: int, outcome: Outcome) -> None:
        photo, row = self.there.photos[frame], self.sorter.rows.get(frame)
        facts = dict(row.facts) if row else {}
        if outcome.state == CHANGED:
            facts["changed"] = outcome.drawn
        else:
            facts["drawn"] = outcome.drawn
        if outcome.state == REVIEW:
            facts["issue"] = self._ask(frame, outcome.reason)
        state = OK if outcome.state == CHANGED else outcome.state
        self.tools.ledger.set_photo(self.order.row, frame, photo.name, state, outcome.reason, facts)

    def _ask(self, frame: int, reason: str) -> int:
        fix = "The photo waits until it is put right, or this issue is resolved."
        return self.desk.ask(frame, self.there.photos[frame], f"{self.order.step.name}: {reason}. {fix}")

    def _claims(self, ready: Mapping[int, Outcome]) -> dict[int, tuple[str, Mapping[str, object]]]:
        child, project = self._child_name(), self._project()
        stems = file_stems(self.there.photos)
        claims: dict[int, tuple[str, Mapping[str, object]]] = {}
        for frame, outcome in ready.items():
            photo = self.there.photos[frame]
            file = stems[frame] + self.way.suffix(photo.name, outcome.takes)
            facts = {"drawn": outcome.drawn, "takes": dict(outcome.takes), "size_wh": photo.size_wh, "file": file}
            claims[frame] = photo.name, {**facts, "child": child, "project": project}
        return claims

    def _project(self) -> int:
        into = str(self.order.step.into)
        if into not in self.tools.projects:
            raise Again(f"the project of stage {into!r} is not in CVAT: `python -m deploy.bridge init` makes it")
        return self.tools.projects[into]

    def _child_name(self) -> str:
        """A name that no other step of this task has taken."""
        rows = self.tools.ledger.photos(self.order.row.task, self.order.row.step).values()
        taken = len({row.facts["child"] for row in rows if row.state in (OK, GOING) and "child" in row.facts})
        task = self.order.seen.task
        tail = f"(from #{task['id']}, {taken + 1})" if taken else f"(from #{task['id']})"
        return cvat_tasks.child_name(_FROM.sub("", str(task["name"])), tail)

    # ------------------------------------------------------------------------------------------ the new task

    def send(self) -> None:
        """Make the new task of the photos on their way, or find it made, and put down that they went."""
        child = self._child()
        if child is None:
            self._make_pictures()
            going = self.going()
            if not going:
                return  # none can be made
            child = self._push(going)
        self.tools.ledger.made_child(self.order.row.id, child)
        self._keep_mappings(child)
        cvat_tasks.link(self.tools.client, family(self.tools.ledger, child))
        for frame, row in self.going().items():
            self.desk.settle(frame)
            self.tools.ledger.set_photo(self.order.row, frame, row.name, OK)

    def _child(self) -> int | None:
        """The new task, where an earlier try has made it."""
        if self.order.row.child is not None:
            return self.order.row.child
        going = self.going().values()
        facts = next(iter(going)).facts
        child = cvat_tasks.find(self.tools.client, facts["project"], facts["child"])
        if child is not None:
            there = set(cvat_tasks.photo_names(self.tools.client, child))
            if there != {row.facts["file"] for row in going}:
                raise GiveUp(
                    f"task {child} is named {facts['child']!r}, and has other photos: rename it, and try again"
                )
        return child

    def _make_pictures(self) -> None:
        unanswered: dict[int, str] = {}
        for frame, row in self.going().items():
            target = self.folder / row.facts["file"]
            try:
                if not target.is_file():  # it may be there from an earlier try
                    self.way.make(self.tools, self.order, self._photo(row), row, target)
            except photos.AWAY:
                raise
            except ValueError as error:
                if photos.may_pass(error):
                    unanswered[frame] = str(error)
                else:
                    self._fail(frame, row, str(error))
        self._deal_with(unanswered)

    def _photo(self, row: PhotoRow) -> bytes:
        return cvat_photos.get(self.tools.client, row.task, row.frame, f"fetch photo {row.name} of task {row.task}")

    def _fail(self, frame: int, row: PhotoRow, reason: str) -> None:
        facts = {"drawn": row.facts["drawn"]}
        if frame in self.there.photos:  # else a person took it out of the task
            facts["issue"] = self._ask(frame, reason)
        self.tools.ledger.set_photo(self.order.row, frame, row.name, FAILED, reason, facts)

    def _deal_with(self, unanswered: Mapping[int, str]) -> None:
        """Photos that got no answer hold the others up, but for the last try: then these go without them."""
        if not unanswered:
            return
        going = self.going()
        if not self.tools.is_last_try(self.order.row) or len(unanswered) == len(going):
            raise Again(photos.told_later([(going[frame].name, reason) for frame, reason in unanswered.items()]))
        for frame, reason in unanswered.items():
            self._fail(frame, going[frame], reason)

    def _push(self, going: Mapping[int, PhotoRow]) -> int:
        facts = next(iter(going.values())).facts
        project = cvat_server.find_project(self.tools.client, facts["project"])
        paths = [self.folder / row.facts["file"] for row in going.values()]
        pictures = [DrawnPhoto(path.name, images.read_size_wh(path), path=path) for path in paths]
        subset = str(self.order.seen.task.get("subset") or "")
        pushed = cvat_push.push_task(self.tools.client, project, facts["child"], pictures, subset=subset)
        assert pushed.task_id is not None
        return pushed.task_id

    def _keep_mappings(self, child: int) -> None:
        kept = self.tools.settings.folder / MAPPINGS / str(child)
        for path in (self.folder / MAPPINGS).glob("*.json"):
            kept.mkdir(parents=True, exist_ok=True)
            path.replace(kept / path.name)


# ---------------------------------------------------------------------------------------------- names and relatives


def file_stems(there: Mapping[int, DrawnPhoto]) -> dict[int, str]:
    """Stem of the file of each photo's picture, by frame: distinct, short, and nothing that leads to another folder.

    Folders in a photo's name are joined by ``_`` where names would be the same without them.
    """
    paths = {frame: _SUFFIX.sub("", photo.name.replace("\\", "/")).split("/") for frame, photo in there.items()}
    stems = {frame: _clean(path[-1]) for frame, path in paths.items()}
    if _repeat(stems):
        stems = {frame: _clean("_".join(part for part in path if part.strip("."))) for frame, path in paths.items()}
    return {frame: f"{stem}-{frame}" for frame, stem in stems.items()} if _repeat(stems) else stems


def _repeat(stems: Mapping[int, str]) -> bool:
    return len({stem.casefold() for stem in stems.values()}) < len(stems)


def _clean(stem: str) -> str:
    short = _STRANGE.sub("_", stem).encode()[:_LONGEST_STEM].decode("utf-8", "ignore")
    return short.strip(" .") or "photo"


def family(ledger: Ledger, task: int) -> set[int]:
    """A task with all that it came from and all that came from that."""
    root, above = task, {task}
    while (maker := ledger.parent_of(root)) and maker.task not in above:
        root = maker.task
        above.add(root)
    return {root, *_below(ledger, root, {root})}


def _below(ledger: Ledger, task: int, known: set[int]) -> Iterator[int]:
    for step in ledger.steps_of(task):
        if step.child is not None and step.child not in known:
            known.add(step.child)
            yield step.child
            yield from _below(ledger, step.child, known)
