"""A ledger of the bridge as it looks after a season of guide C, with all that can go well and wrong: made up."""

from __future__ import annotations

import random
import sqlite3
import uuid
from pathlib import Path
from typing import Any

from deploy.bridge.ledger import AGAIN, DONE, FAILED, GOING, OK, REVIEW, RUNNING, SKIPPED, WAITING, Ledger

_STAGES = (("corners", "corners", "rectify"), ("grid", "grid", "clean"), ("corals", "colonies", ""))
_SITES = ("Tiahura", "Haapiti", "Maharepa", "Temae", "Vaiare", "Afareaitu", "Papetoai", "Opunohu")
_SECONDS = {"corners": 1.1, "rectify": 0.9, "grid": 2.3, "clean": 4.2, "colonies": 3.1}
_DOUBTS = {
    "corners": "the opposite sides of the frame differ by 31 %; corner 3 scores 0.22",
    "rectify": "no corners: a person finished it without a frame",
    "grid": "19 of 81 crossings not found: strings may be torn or covered",
    "clean": "the points of the grid fold over: rows 4 and 5 cross",
    "colonies": "",
}
_FAULTS = {
    "function": (
        "the function answered 503: answers of 410 MB wait to be fetched: try again in a moment",
        "the function at http://functions:8070/functions cannot be reached, asked several times: start it",
    ),
    "CVAT": ("CVAT answered 500 to PATCH /api/jobs/4711/annotations; its log has the reason",),
}
_BROKEN = "the function answered 400: field `image`: cut short: not all of the photo is there"


class Season:
    """Rows as they come; write them with `write`."""

    def __init__(self, now: float, seed: int) -> None:
        self.luck = random.Random(seed)
        self.now = now
        self.steps: list[tuple[Any, ...]] = []
        self.photos: list[tuple[Any, ...]] = []
        self.deliveries: list[tuple[Any, ...]] = []
        self.last_task, self.last_job = 100, 400

    def family(self, name: str, age_s: float, far: int) -> None:
        """A task that people made, gone through `far` of the five steps.

        Args:
            name: of the task.
            age_s: since its first step.
            far: 0: its first step waits, …, 5: all are done.
        """
        task, moment, count = self._task(), self.now - age_s, self.luck.randint(8, 24)
        frames = [(frame, f"{name.replace(' ', '_')}_q{frame + 1:02d}.jpg") for frame in range(count)]
        for number, (stage, detect, onward) in enumerate(_STAGES):
            if far < 2 * number:
                return
            ended = self._detect(stage, task, name, detect, frames, moment, far == 2 * number)
            if not onward or far <= 2 * number:
                return
            moment = ended + self.luck.uniform(600, 7200)
            kept, child = self._onward(stage, task, name, onward, frames, moment, far == 2 * number + 1)
            if child is None:
                return
            name = f"{name.split(' (from')[0]} (from #{task})"
            task, frames, moment = child, [(new, photo) for new, (_, photo) in enumerate(kept)], moment + 3600

    def _task(self) -> int:
        self.last_task += self.luck.randint(1, 3)
        return self.last_task

    def _detect(
        self, stage: str, task: int, name: str, step: str, frames: list[Any], moment: float, newest: bool
    ) -> float:
        """A step a job; where the task has come no further, the last job may be at work or have gone wrong."""
        size = self.luck.choice((6, 12, 50))
        for begin in range(0, len(frames), size):
            mine = frames[begin : begin + size]
            self.last_job += 1
            last = newest and begin + size >= len(frames)
            state = self.luck.choice((RUNNING, WAITING, AGAIN, FAILED, DONE, DONE, DONE)) if last else DONE
            moment = self._step(stage, task, step, f"job-{self.last_job}", self.last_job, name, state, moment, mine)
            done = mine if state == DONE else mine[: len(mine) // 2] if state != WAITING else []
            for frame, photo in done:
                word = self.luck.choices((OK, REVIEW, SKIPPED, FAILED), (93.9, 4 if _DOUBTS[step] else 0, 2, 0.1))[0]
                reason = {REVIEW: _DOUBTS[step], FAILED: _BROKEN, SKIPPED: "a person has drawn on it"}.get(word, "")
                self._photo(task, step, frame, photo, word, reason, moment)
        return moment

    def _onward(
        self, stage: str, task: int, name: str, step: str, frames: list[Any], moment: float, newest: bool
    ) -> tuple[list[Any], int | None]:
        state = self.luck.choice((RUNNING, FAILED, AGAIN, DONE, DONE)) if newest else DONE
        revision = f"{self.luck.getrandbits(48):012x}"
        child = self._task() if state == DONE else None
        end = self._step(stage, task, step, revision, None, name, state, moment, frames, child)
        kept = [pair for pair in frames if self.luck.random() > (0.03 if newest else 0.003)]
        for frame, photo in frames:
            there = (frame, photo) in kept
            word = OK if there and state == DONE else GOING if there else REVIEW
            self._photo(task, step, frame, photo, word, "" if there else _DOUBTS[step], end)
        return kept, child

    def _step(
        self,
        stage: str,
        task: int,
        step: str,
        revision: str,
        job: int | None,
        name: str,
        state: str,
        moment: float,
        frames: list[Any],
        child: int | None = None,
    ) -> float:
        seconds = len(frames) * _SECONDS[step] * self.luck.uniform(0.7, 1.6)
        if state in (RUNNING, WAITING, AGAIN):
            moment = self.now - self.luck.uniform(2, 25)
        tries = {AGAIN: self.luck.randint(1, 3), FAILED: 6}.get(state, int(self.luck.random() < 0.05))
        faults = _FAULTS["CVAT" if step == "rectify" else "function"]
        fault = self.luck.choice(faults) if state in (AGAIN, FAILED) else ""
        ended = moment + seconds if state in (DONE, FAILED) else None
        words = f"{len(frames)} photos" if state == DONE else ""
        request, created = uuid.UUID(int=self.luck.getrandbits(128)).hex, moment - 1.5
        next_try = self.now + self.luck.uniform(5, 900) if state == AGAIN else 0
        self.steps.append(
            (stage, task, step, revision, job, name, request, state, tries, next_try, fault, words, child, created)
            + (None if state == WAITING else moment, ended, seconds if state == DONE else 0)
        )
        number, event = len(self.steps), "update:job" if job else "update:task"
        settled = None if state == WAITING and self.luck.random() < 0.3 else created
        told = f"step {number} {step}" if settled else ""
        received = created - self.luck.uniform(0.1, 2)
        self.deliveries.append((uuid.UUID(int=self.luck.getrandbits(128)).hex, event, 7, task, job, "", request))
        self.deliveries[-1] += (received, 0, settled, told)
        return moment + seconds

    def _photo(self, task: int, step: str, frame: int, name: str, state: str, reason: str, changed: float) -> None:
        self.photos.append((task, step, frame, name, state, reason, "{}", len(self.steps), min(changed, self.now - 1)))

    def write(self, path: Path) -> None:
        """Into the tables of a ledger that is there."""
        self.deliveries.sort(key=lambda row: row[7])
        with sqlite3.connect(path) as connection:
            for table, rows in (("steps", self.steps), ("photos", self.photos), ("deliveries", self.deliveries)):
                columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                columns = columns if table == "photos" else columns[1:]  # the others number themselves
                marks = ", ".join("?" * len(columns))
                connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


def fill(ledger: Ledger, tasks: int, now: float, *, seed: int = 8) -> None:
    """Put a season of about so many tasks, all stages together, into an empty ledger; it ends at `now`."""
    season, number = Season(now, seed), 0
    while len({row[1] for row in season.steps}) < tasks:
        site, transect = _SITES[number % len(_SITES)], number // len(_SITES) + 1
        season.family(f"{site} 2026 T{transect:02d}", 60_000 + 5400 * number, _far(season.luck, number))
        number += 1
    season.write(ledger.path)
    ledger.remember("worker_heartbeat", str(now - 2))
    ledger.remember("last_sweep", str(now - 214))


def _far(luck: random.Random, number: int) -> int:
    """The newest are under way; of the older ones nearly all are through."""
    return luck.randint(0, 4) if number < 12 or luck.random() < 0.03 else 5
