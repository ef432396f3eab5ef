"""What became of tasks, as the status page shows it: read from the ledger, where SQL does the counting.

A *family* is a task that people made and all that the bridge made of it, down the stages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.bridge.ledger import AGAIN, DONE, FAILED, REVIEW, RUNNING, WAITING, Ledger, StepRow
from deploy.bridge.photo_states import DOUBT, LATEST
from deploy.bridge.plan import Plan

ALL, WORKING, FAULTY, DOUBTFUL = "all", "working", "failed", "review"
SHOWN = (ALL, WORKING, FAULTY, DOUBTFUL)
"""Which families are shown: those with an open step; with a failed step or photo; with a photo for a person to see."""
_ROOTS = f"""
WITH RECURSIVE family (root, task) AS (
    SELECT DISTINCT task, task FROM steps
    WHERE NOT EXISTS (SELECT 1 FROM steps AS maker WHERE maker.child = steps.task)
    UNION
    SELECT family.root, steps.child FROM family JOIN steps ON steps.task = family.task WHERE steps.child IS NOT NULL),
work AS (
    SELECT task, max(coalesce(ended, started, created)) AS touched, sum(state = '{FAILED}') AS failed,
        sum(state IN ('{WAITING}', '{RUNNING}', '{AGAIN}')) AS open,
        max(instr(lower(task_name), lower(?1)) > 0) AS named
    FROM steps GROUP BY task),
doubts AS (
    SELECT task, sum(state = '{REVIEW}') AS review, sum(state = '{FAILED}') AS faulty, max(changed) AS changed
    FROM photos WHERE {DOUBT} GROUP BY task)
SELECT family.root, max(max(coalesce(work.touched, 0), coalesce(doubts.changed, 0))) AS touched,
    total(work.open) AS working, total(work.failed) + total(doubts.faulty) AS failed, total(doubts.review) AS review
FROM family LEFT JOIN work ON work.task = family.task LEFT JOIN doubts ON doubts.task = family.task
GROUP BY family.root HAVING ?1 = '' OR max(coalesce(work.named, 0)) OR max(family.task = ?2)
ORDER BY touched DESC, family.root DESC
"""
_MEMBERS = """
WITH RECURSIVE family (root, task) AS (
    VALUES {roots}
    UNION
    SELECT family.root, steps.child FROM family JOIN steps ON steps.task = family.task WHERE steps.child IS NOT NULL)
SELECT root, task FROM family
"""


@dataclass(frozen=True, slots=True)
class Work:
    """A step of a task, all its revisions together.

    Attributes:
        name: of the step.
        rows: oldest first; none where nothing has asked for it yet.
        when: what it waits for then, in the words of pipeline.yaml.
    """

    name: str
    rows: tuple[StepRow, ...]
    when: str

    @property
    def states(self) -> dict[str, int]:
        """Rows by state."""
        return dict(Counter(row.state for row in self.rows))

    @property
    def seconds(self) -> float:
        """What the successful tries took."""
        return sum(row.seconds for row in self.rows if row.state == DONE)

    @property
    def troubled(self) -> list[StepRow]:
        """Rows that did not work so far."""
        return [row for row in self.rows if row.state in (FAILED, AGAIN)]


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task.

    Attributes:
        task: its number in CVAT.
        stage: key of its stage.
        name: in CVAT; empty where nothing was done in it yet.
        work: its steps, in the order of pipeline.yaml.
        photos: how many are in which state.
    """

    task: int
    stage: str
    name: str
    work: tuple[Work, ...]
    photos: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Family:
    """A task that people made, and what came of it.

    Attributes:
        root: number of that task.
        name: its name.
        touched: seconds since 1970, when something last happened.
        tasks: by stage; the stages of pipeline.yaml first.
    """

    root: int
    name: str
    touched: float
    tasks: Mapping[str, tuple[TaskState, ...]]

    @property
    def members(self) -> list[TaskState]:
        """All its tasks, from the first stage on."""
        return [task for tasks in self.tasks.values() for task in tasks]


@dataclass(frozen=True, slots=True)
class Part:
    """A page of the list of families.

    Attributes:
        families: those of the page; what happened last comes first.
        found: how many there are on all pages.
        counts: how many there are of each kind of `SHOWN`.
    """

    families: tuple[Family, ...]
    found: int
    counts: Mapping[str, int]


def listed(ledger: Ledger, plan: Plan, shown: str, text: str, page: int, size: int) -> Part:
    """A page of families.

    Args:
        ledger: of the bridge.
        plan: the pipeline.
        shown: one of `SHOWN`.
        text: part of a task's name, or its number; empty: any.
        page: from 1.
        size: families a page.
    """
    number = int(text) if text.isdecimal() and len(text) < 18 else -1
    roots = ledger.rows(_ROOTS, (text, number))
    counts = {kind: sum(row[kind] > 0 for row in roots) for kind in SHOWN if kind != ALL}
    found = [row for row in roots if shown == ALL or row[shown] > 0]
    here = {row["root"]: row["touched"] for row in found[(page - 1) * size : page * size]}
    return Part(_families(ledger, plan, here), len(found), {ALL: len(roots), **counts})


def family_of(ledger: Ledger, plan: Plan, task: int) -> Family | None:
    """The family of a task; `None` where the bridge never had to do with it."""
    root, seen = task, {task}
    while (maker := ledger.parent_of(root)) and maker.task not in seen:
        root = maker.task
        seen.add(root)
    if not ledger.steps_of(root):
        return None
    return _families(ledger, plan, {root: 0.0})[0]


def _families(ledger: Ledger, plan: Plan, touched: Mapping[int, float]) -> tuple[Family, ...]:
    """Families by the numbers of their first tasks, in this order."""
    if not touched:
        return ()
    sql = _MEMBERS.format(roots=", ".join(["(?, ?)"] * len(touched)))
    members = [(row["root"], row["task"]) for row in ledger.rows(sql, [root for root in touched for _ in "ab"])]
    states = _states(ledger, plan, [task for _, task in members])
    made = []
    for root, when in touched.items():
        own = [states[task] for parent, task in sorted(members) if parent == root]
        stages = [*plan.stages, *sorted({task.stage for task in own} - set(plan.stages))]
        tasks = {stage: tuple(task for task in own if task.stage == stage) for stage in stages}
        made.append(Family(root, states[root].name, when, tasks))
    return tuple(made)


def _states(ledger: Ledger, plan: Plan, tasks: Sequence[int]) -> dict[int, TaskState]:
    marks = ", ".join("?" * len(tasks))
    rows = [
        StepRow(**dict(row)) for row in ledger.rows(f"SELECT * FROM steps WHERE task IN ({marks}) ORDER BY id", tasks)
    ]
    steps: dict[int, list[StepRow]] = {task: [] for task in tasks}
    for row in rows:
        steps[row.task].append(row)
    photos: dict[int, dict[str, int]] = {task: {} for task in tasks}
    sql = f"SELECT task, state, count(*) FROM photos WHERE task IN ({marks}) AND {LATEST} GROUP BY task, state"
    for task, state, count in ledger.rows(sql, tasks):
        photos[task][state] = count
    stages = {row.child: _into(plan, row) for row in rows if row.child}
    return {task: _state(plan, task, steps[task], photos[task], stages.get(task, "")) for task in tasks}


def _into(plan: Plan, row: StepRow) -> str:
    """The stage that a step's new task is in; empty where pipeline.yaml has changed since."""
    steps = plan.stages[row.stage].steps if row.stage in plan.stages else ()
    return next((step.into or "" for step in steps if step.name == row.step), "")


def _state(plan: Plan, task: int, rows: Sequence[StepRow], photos: Mapping[str, int], into: str) -> TaskState:
    stage = rows[-1].stage if rows else into
    planned = {step.name: step.when for step in plan.stages[stage].steps} if stage in plan.stages else {}
    names = dict.fromkeys([*planned, *(row.step for row in rows)])
    work = (Work(name, tuple(row for row in rows if row.step == name), planned.get(name, "")) for name in names)
    return TaskState(task, stage, rows[-1].task_name if rows else "", tuple(work), photos)


def failed_steps(ledger: Ledger) -> list[int]:
    """Numbers of the steps that need a person."""
    return [row["id"] for row in ledger.rows("SELECT id FROM steps WHERE state = ? ORDER BY id", (FAILED,))]
