"""Which photos of a finished task go onward, which wait for a person, and which cannot go.

A photo goes once. It goes with its points, which must make sense, and with no doubt open. A doubt is what a function
said, what the points themselves look like where no function has judged them, or a failure on the way; it is settled
as soon as a person changes what was drawn, or resolves the bridge's issue.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.bridge.actions import photos
from deploy.bridge.actions.photos import Desk
from deploy.bridge.ledger import FAILED, GOING, OK, REVIEW, SKIPPED, PhotoRow
from deploy.bridge.plan import Step
from quadrat import drawn
from quadrat.drawn import Drawn, DrawnPhoto, Labels
from quadrat.shapes import Keypoints

Takes = Mapping[str, Any]
"""All that a photo's picture in the next stage is made of, besides the photo itself: JSON-able."""

CHANGED = "changed"
_REVISION_DIGITS = 12
_WAITS = (REVIEW, FAILED)


@dataclass(frozen=True, slots=True)
class Fit:
    """What points on a photo are good for.

    Attributes:
        takes: what the next picture is made of.
        fault: why there can be none; empty where there can.
        doubt: why a person should look first, if no function has judged these points; empty where nothing is odd.
    """

    takes: Takes = field(default_factory=dict)
    fault: str = ""
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of step that sends photos onward.

    Attributes:
        what: the points that it needs, in words.
        counts: whether a skeleton of so many points is one that it needs.
        judge: what points are good for: step, photo, points, and whether they are as a function drew them.
        bare: what a photo without points goes on with; `None`: it cannot go on.
    """

    what: str
    counts: Callable[[int], bool]
    judge: Callable[[Step, DrawnPhoto, Keypoints, bool], Fit]
    bare: Takes | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to become of a photo.

    Attributes:
        state: `OK` goes onward, `REVIEW` waits for a person, `SKIPPED` cannot go; `CHANGED` after it went onward.
        drawn: digest of what is drawn on it.
        reason: in words, unless it goes.
        takes: where it goes.
    """

    state: str
    drawn: str
    reason: str = ""
    takes: Takes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sorter:
    """Sorts the photos of a task.

    Attributes:
        kind: of the step.
        step: of the pipeline.
        labels: of the task.
        rows: of the photos in this step, by frame.
        detected: of the photos in each step that drew on them, by frame.
        desk: knows the issues.
    """

    kind: Kind
    step: Step
    labels: Labels
    rows: Mapping[int, PhotoRow]
    detected: Sequence[Mapping[int, PhotoRow]]
    desk: Desk

    def news(self, there: Mapping[int, DrawnPhoto]) -> dict[int, Outcome]:
        """What is to become of each photo for which that is not in the ledger yet, by frame."""
        found = ((frame, self._outcome(frame, photo)) for frame, photo in there.items())
        return {frame: outcome for frame, outcome in found if outcome and self._is_new(frame, outcome)}

    def revision(self, news: Mapping[int, Outcome]) -> str:
        """The same for the same news; another one where the same comes up again after something else was done."""
        facts = [
            [frame, outcome.state, outcome.drawn, outcome.reason, row.step_id if (row := self.rows.get(frame)) else 0]
            for frame, outcome in sorted(news.items())
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:_REVISION_DIGITS]

    def _is_new(self, frame: int, outcome: Outcome) -> bool:
        row = self.rows.get(frame)
        if row is None or outcome.state in (OK, CHANGED):
            return True
        same_state = row.state == outcome.state or (outcome.state == REVIEW and row.state in _WAITS)
        return not (same_state and row.facts.get("drawn") == outcome.drawn and row.reason == outcome.reason)

    def _outcome(self, frame: int, photo: DrawnPhoto) -> Outcome | None:
        """`None`: it went onward, and is as it was."""
        row, now = self.rows.get(frame), photos.digest(photo.drawn)
        if row and row.state in (OK, GOING):
            known = row.state == GOING or now in (row.facts.get("drawn"), row.facts.get("changed"))
            return None if known else Outcome(CHANGED, now, "changed after it went onward")
        points = [one for one in photo.drawn if self._counts(one)]
        if not points:
            return self._without_points(frame, photo, now)
        return self._with_points(frame, photo, points, now)

    def _counts(self, one: Drawn) -> bool:
        return one.kind == "skeleton" and self.kind.counts(len(drawn.sublabels_of(self.labels).get(one.label, ())))

    def _with_points(self, frame: int, photo: DrawnPhoto, ones: Sequence[Drawn], now: str) -> Outcome:
        as_found = self._is_as_found(frame, photo, now)
        points, *more = drawn.to_shapes(ones, photo.size_wh, drawn.sublabels_of(self.labels))
        assert isinstance(points, Keypoints)
        fit = self.kind.judge(self.step, photo, points, as_found)
        if more:
            fit = Fit(fault=f"{self.kind.what} drawn {len(ones)} times: leave one of them")
        is_answered = self._is_answered(frame, now)
        if fit.fault:
            return Outcome(SKIPPED if is_answered else REVIEW, now, fit.fault)
        doubt = self._doubt(frame, photo, now) or self._failure(frame, now)
        if doubt or (fit.doubt and not as_found and not is_answered):
            return Outcome(REVIEW, now, doubt or fit.doubt)
        return Outcome(OK, now, takes=fit.takes)

    def _without_points(self, frame: int, photo: DrawnPhoto, now: str) -> Outcome:
        asked = [int(row.facts["issue"]) for row in self._rows_of(frame) if "issue" in row.facts]
        answered = [self.desk.is_settled(number) for number in asked]
        deleted = any(row.facts.get("drawn") for row in self._rows_of(frame))
        if doubt := self._doubt(frame, photo, now) or self._failure(frame, now):
            return Outcome(REVIEW, now, doubt)
        if not (deleted or any(answered)):
            return Outcome(REVIEW, now, f"no {self.kind.what} drawn")
        if self.kind.bare is None:
            return Outcome(SKIPPED, now, f"no {self.kind.what}")
        if not all(answered):
            return Outcome(REVIEW, now, f"the {self.kind.what} is deleted, and the issue is open")
        return Outcome(OK, now, takes=self.kind.bare)

    # ------------------------------------------------------------------------------------------ doubts

    def _rows_of(self, frame: int) -> Iterator[PhotoRow]:
        """What is known of a photo: of steps that drew, and of this one where it waits or was left out."""
        yield from (rows[frame] for rows in self.detected if frame in rows)
        if frame in self.rows:
            yield self.rows[frame]

    def _is_as_found(self, frame: int, photo: DrawnPhoto, now: str) -> bool:
        """Whether what is drawn is what a function found, untouched."""
        found = any(rows[frame].facts.get("drawn") == now for rows in self.detected if frame in rows)
        return found and all(photos.is_auto(one) for one in photo.drawn)

    def _doubt(self, frame: int, photo: DrawnPhoto, now: str) -> str:
        """What a function doubted, while nobody has settled it."""
        if not self._is_as_found(frame, photo, now):
            return ""
        open_ones = (
            rows[frame].reason
            for rows in self.detected
            if frame in rows and rows[frame].state in _WAITS and not self._is_resolved(rows[frame])
        )
        return next(open_ones, "")

    def _failure(self, frame: int, now: str) -> str:
        """Why it could not go when it was tried, while nobody has settled it."""
        row = self.rows.get(frame)
        failed = row and row.state == FAILED and row.facts.get("drawn") == now and not self._is_resolved(row)
        return row.reason if row and failed else ""

    def _is_answered(self, frame: int, now: str) -> bool:
        """Whether a person resolved what this step asked about just these points."""
        row = self.rows.get(frame)
        return bool(row and row.facts.get("drawn") == now and self._is_resolved(row))

    def _is_resolved(self, row: PhotoRow) -> bool:
        return "issue" in row.facts and self.desk.is_settled(int(row.facts["issue"]))
