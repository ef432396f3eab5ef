"""The worker: takes what the queue holds, looks, does, and notes what came of it."""

from __future__ import annotations

import fcntl
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from data_engineering import cvat_server
from data_engineering.cvat_errors import CvatError, MissingError, OutageError, RefusedError
from data_engineering.function_url import AnswerError, FunctionError
from deploy.bridge import ledger as states
from deploy.bridge import log, look, plan
from deploy.bridge.actions import ACTIONS
from deploy.bridge.actions.orders import Again, GiveUp, Order, Seen, Tools
from deploy.bridge.ledger import FILE, HEARTBEAT, OWN_USER, SWEPT, Delivery, Ledger, StepRow
from deploy.bridge.settings import PARENT, Settings
from deploy.bridge.work_queue import WorkQueue

_SWEEP_S = 600.0
_BEAT_S = 5.0
_LOOK_AGAIN_S = (0.5, 2, 5, 15, 60, 300)
_SAME_TASK_S = 1.0
_LOCK_S = 30.0


class BusyError(RuntimeError):
    """Another bridge works on the same folder."""


class Worker:
    """Looks and does. `connect` makes a client of CVAT for each thread."""

    def __init__(
        self,
        settings: Settings,
        the_plan: plan.Plan,
        ledger: Ledger,
        queue: WorkQueue,
        connect: Callable[[], Any] = cvat_server.connect,
    ):
        self.settings, self.plan, self.ledger, self.queue = settings, the_plan, ledger, queue
        self._connect, self._local = connect, threading.local()
        self._projects = look.Projects(the_plan)
        self._swept: dict[int, object] = {}
        self._log = log.make_logger("work")
        queue.serve(self.look, self.do)

    # ------------------------------------------------------------------------------------------ looking

    def look(self, number: int) -> None:
        """Look at the task that a delivery is about. What fails is tried again, for as long as it takes."""
        delivery = self.ledger.delivery(number)
        if delivery.settled is not None:
            return
        try:
            words = self._look(delivery)
        except Exception as error:  # whatever it was, the hint must not be lost
            self._drop_client(error)
            tries = self.ledger.put_off(number, str(error))
            self._log.warn_with("look failed", **_of_delivery(delivery), reason=str(error))
            self.queue.look(number, _LOOK_AGAIN_S[min(tries, len(_LOOK_AGAIN_S)) - 1])
            return
        self.ledger.settle(number, words)
        self._log.info_with("looked", **_of_delivery(delivery), came_of_it=words)

    def _look(self, delivery: Delivery) -> str:
        tools = self._tools()
        try:
            task_id = look.task_of(tools.client, delivery)
            if task_id is None:
                return "it names no task"
            task = cvat_server.get_json(tools.client, f"/api/tasks/{task_id}", f"look at task {task_id}")
            stage = _stage_of(tools.projects, task.get("project_id"))
            if stage is None and len(tools.projects) < len(self.plan.stages):
                raise Again("not every project of the pipeline is in CVAT: `python -m deploy.bridge doctor` says which")
            if stage is None:
                return f"task {task_id} is in no project of the pipeline"
            seen = look.see(tools.client, stage, task_id)
        except MissingError:
            return "the task is not there any more"
        if look.is_too_early(seen, delivery):
            raise Again("CVAT does not show the change yet")
        return self._ask_for(tools, seen, delivery.request_id)

    def _ask_for(self, tools: Tools, seen: Seen, request_id: str) -> str:
        rows = look.ask_for(tools, seen, request_id)
        for row in rows:
            self.queue.do(row.id)
        return ", ".join(f"step {row.id} {row.step}" for row in rows) or "nothing is due"

    # ------------------------------------------------------------------------------------------ doing

    def do(self, number: int) -> None:
        """Do a step, unless it is done or under way."""
        row = self.ledger.start(number)
        if row is None:
            if self.ledger.step(number).state in (states.WAITING, states.AGAIN):  # its task is being worked on
                self.queue.do(number, _SAME_TASK_S)
            return
        self._log.info_with("step begins", **_of_step(row))
        try:
            words = self._do(row)
        except Exception as error:  # whatever it was: noted, and shown to people
            self._drop_client(error)
            self._stumbled(row, error)
            return
        self.ledger.finish(number, words)
        done = self.ledger.step(number)
        self._log.info_with("step done", **_of_step(done), came_of_it=words, seconds=round(done.seconds, 3))

    def _do(self, row: StepRow) -> str:
        tools = self._tools()
        step = look.check_stage(self.plan, row)
        seen = look.see(tools.client, row.stage, row.task)
        return ACTIONS[step.do].run(tools, Order(row, step, seen))

    def _stumbled(self, row: StepRow, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        pauses = self.settings.retries_s
        if may_help(error) and row.tries < len(pauses):
            pause = pauses[row.tries]
            self.ledger.try_again(row.id, reason, time.time() + pause)
            self.queue.do(row.id, pause)
            self._log.warn_with("step failed, will be tried again", **_of_step(row), reason=reason, pause_s=pause)
            return
        self.ledger.fail(row.id, reason)
        self._log.error_with("step failed", **_of_step(row), reason=reason, kind=type(error).__name__)

    # ------------------------------------------------------------------------------------------ sweeping

    def sweep(self) -> int:
        """Look at every task of the pipeline that changed since the last sweep; returns how many steps came of it."""
        tools = self._tools()
        asked = 0
        for stage, project in tools.projects.items():
            for seen in _tasks_of(tools.client, stage, project):
                asked += self._sweep_task(tools, seen)
        self.ledger.remember(SWEPT, str(time.time()))
        return asked

    def _sweep_task(self, tools: Tools, seen: Seen) -> int:
        task_id = int(seen.task["id"])
        state = (seen.task.get("updated_date"), tuple((job["id"], job.get("updated_date")) for job in seen.jobs))
        doubts = self.ledger.rows("SELECT 1 FROM photos WHERE task = ? AND state = ? LIMIT 1", (task_id, states.REVIEW))
        if self._swept.get(task_id) == state and not doubts:
            return 0
        try:
            rows = look.ask_for(tools, seen, uuid.uuid4().hex)
        except OutageError:
            raise
        except (CvatError, FunctionError, AnswerError, Again, GiveUp) as error:
            self._log.warn_with("sweep could not look at a task", task=task_id, reason=str(error))
            return 0
        self._swept[task_id] = state
        for row in rows:
            self.queue.do(row.id)
        return len(rows)

    # ------------------------------------------------------------------------------------------ what it works with

    def _tools(self) -> Tools:
        if not hasattr(self._local, "client"):
            self._local.client = self._connect()
            if self.plan.own_account:
                user = cvat_server.get_json(self._local.client, "/api/users/self", "see who signs in")
                self.ledger.remember(OWN_USER, str(user["username"]))
        client = self._local.client
        return Tools(client, self.plan, self._projects.numbers(client), self.ledger, self.settings)

    def _drop_client(self, error: Exception) -> None:
        """A session may have ended: sign in anew."""
        if isinstance(error, OutageError) and hasattr(self._local, "client"):
            with suppress(Exception):
                self._local.client.close()
            del self._local.client

    def resume(self) -> int:
        """After a start: fill the queue with what the ledger says is to be done; returns how much that is."""
        self.ledger.recover()
        self.queue.clear()
        deliveries, steps = self.ledger.open_deliveries(), self.ledger.open_steps()
        for number in deliveries:
            self.queue.look(number)
        for row in steps:
            self.queue.do(row.id, max(0.0, row.next_try - time.time()) if row.state == states.AGAIN else 0.0)
        return len(deliveries) + len(steps)

    def beat(self) -> None:
        """Say that the worker lives, and sweep now and then; never returns."""
        threading.Thread(target=self._sweep_for_ever, name="sweep", daemon=True).start()
        while True:
            self.ledger.remember(HEARTBEAT, str(time.time()))
            time.sleep(_BEAT_S)

    def _sweep_for_ever(self) -> None:
        while True:
            try:
                self.sweep()
                pause = _SWEEP_S
            except Exception as error:  # CVAT is away: deliveries come later too
                self._drop_client(error)
                self._log.warn_with("sweep failed", reason=str(error))
                pause = 60.0
            time.sleep(pause)


def may_help(error: Exception) -> bool:
    """Whether trying again may help: a person's help is needed for the rest."""
    if isinstance(error, FunctionError | AnswerError):
        return bool(error.again)
    return not isinstance(error, GiveUp | MissingError | RefusedError)


def _of_delivery(delivery: Delivery) -> dict[str, Any]:
    """What a line of the log says of a delivery."""
    return {"request": delivery.request_id, "delivery": delivery.id, "event": delivery.event, "task": delivery.task}


def _of_step(row: StepRow) -> dict[str, Any]:
    """What a line of the log says of a step."""
    return {"request": row.request_id, "step_id": row.id, "stage": row.stage, "step": row.step, "task": row.task}


def _stage_of(projects: Mapping[str, int], project: Any) -> str | None:
    return next((stage for stage, number in projects.items() if number == project), None)


def _tasks_of(client: Any, stage: str, project: int) -> Iterator[Seen]:
    doing = f"sweep project {project}"
    tasks = cvat_server.get_all(client, "/api/tasks", doing, project_id=project)
    jobs: dict[int, list[dict[str, Any]]] = {}
    for job in cvat_server.get_all(client, "/api/jobs", doing, project_id=project):
        if job.get("type", "annotation") == "annotation":
            jobs.setdefault(int(job["task_id"]), []).append(job)
    return (Seen(stage, task, jobs.get(int(task["id"]), [])) for task in tasks)


# ---------------------------------------------------------------------------------------------- a process of its own


@contextmanager
def alone(folder: Path, wait_s: float = _LOCK_S) -> Iterator[None]:
    """Hold the folder: one worker at a time.

    Raises:
        BusyError: another holds it, and does not let go in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + wait_s
    with open(folder / "worker.lock", "a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise BusyError(f"another bridge works on {folder}: stop it, or set BRIDGE_DATA") from None
                time.sleep(0.1)
        yield


def main(settings: Settings) -> int:
    """Work until told to stop.

    Raises:
        PlanError: pipeline.yaml cannot be used.
        BusyError: another bridge works on the same folder.
    """
    the_plan = plan.read(settings.pipeline)
    _die_with_parent()
    with alone(settings.folder):
        ledger, queue = Ledger(settings.folder / FILE), WorkQueue(settings.folder, settings.redis_url)
        worker = Worker(settings, the_plan, ledger, queue)
        worker.resume()
        threading.Thread(target=worker.beat, name="heartbeat", daemon=True).start()
        queue.huey.create_consumer(workers=settings.workers, periodic=False, initial_delay=0.05, max_delay=0.5).run()
    return 0


def sweep_once(settings: Settings) -> int:
    """Sweep now, beside a bridge that runs; returns how many steps came of it."""
    ledger, queue = Ledger(settings.folder / FILE), WorkQueue(settings.folder, settings.redis_url)
    return Worker(settings, plan.read(settings.pipeline), ledger, queue).sweep()


def _die_with_parent() -> None:
    parent = os.environ.get(PARENT, "")
    if parent.isdecimal():
        threading.Thread(target=_watch, args=(int(parent),), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)  # steps are taken up again by the next worker
