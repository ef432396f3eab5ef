"""A CVAT project into a local store: only what changed, and nothing half written. The server is only read.

    result = cvat_pull.pull(client, cvat_server.find_project(client, "Corals"), Path("store"))
    for task_id in result.tasks:
        collection = cvat_pull.read_task(cvat_pull.folder_of(Path("store"), task_id))

`data_engineering.cvat_store` says what lies in the store.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvat_sdk import Client
from tqdm import tqdm

from data_engineering import cvat_json, cvat_photos, cvat_server, cvat_store
from data_engineering.cvat_errors import CvatError, OutageError, translated
from data_engineering.cvat_server import Project
from data_engineering.cvat_store import Stamp, folder_of, read_task
from quadrat.drawn import DrawnPhoto

__all__ = ["COMPLETED", "STATUSES", "PullResult", "Stamp", "folder_of", "pull", "read_task"]

COMPLETED = ("completed",)
STATUSES = ("annotation", "validation", "completed")
"""What a task's status may be; it follows from its jobs, completed once all are accepted and completed."""

_LEFTOVER_S = 3600


@dataclass(frozen=True)
class PullResult:
    """What a pull did.

    Attributes:
        project: as the server has it.
        tasks: id -> stamp of the tasks that were asked for and are whole in the store, in the order of ids.
        fetched: ids of those of them that were new or had changed.
        unchanged: ids of those that were whole in the store already.
        left_out: ids of tasks of another status or subset, or not wanted.
        gone: ids of tasks that are in the store and no longer on the server.
        photos: number of photos that were transferred.
        failed: a sentence for everything that could not be fetched; a task with such a photo is not whole.
    """

    project: Project
    tasks: Mapping[int, Stamp]
    fetched: tuple[int, ...] = ()
    unchanged: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()
    photos: int = 0
    failed: tuple[str, ...] = ()


def pull(
    client: Client,
    project: Project,
    store: Path,
    *,
    subsets: Sequence[str] = (),
    statuses: Sequence[str] = COMPLETED,
    wanted: Callable[[Stamp], bool] | None = None,
    workers: int = 4,
    force: bool = False,
) -> PullResult:
    """Bring a store up to date. It may be broken off at any moment: what is whole is kept, and the next pull goes on.

    A change of who a job is assigned to is not seen until something else in its task changes.

    Args:
        client: of `cvat_server.connect`.
        project: of `cvat_server.find_project`.
        store: folder of this project alone; made where it is not there.
        subsets: only tasks of these; empty for all.
        statuses: only tasks of these.
        wanted: says of each task left whether it is to be fetched.
        workers: tasks, and photos, that are fetched at the same time.
        force: fetch annotations again though nothing changed. Photos never change in CVAT and are kept.

    Raises:
        CvatError: the server or the disk stops us, or the store belongs to another project. A task or photo that
            alone cannot be had is no error but in `PullResult.failed`.
    """
    store = Path(store)
    named = f"of project {project.name!r} (id {project.id})"
    labels = cvat_server.get_all(client, "/api/labels", f"list the labels {named}", project_id=project.id)
    tasks = cvat_server.get_all(client, "/api/tasks", f"list the tasks {named}", project_id=project.id)
    digest = cvat_store.hash_of(labels)
    stamps = {int(task["id"]): Stamp.of(task, project.name, digest) for task in tasks}
    chosen = _choose(list(stamps.values()), subsets, statuses, wanted)
    with translated(f"write into {store}"):
        _check_store(store, project)
        before = cvat_store.task_ids(store)
        cvat_store.write_project(store, project.raw, labels, stamps.values())
    unchanged = [s.task_id for s in chosen if not force and cvat_store.is_whole(folder_of(store, s.task_id), s)]
    fetch = _Fetch(client, store, labels, workers)
    fetched = fetch.all([task for task in tasks if task["id"] in {s.task_id for s in chosen} - {*unchanged}], stamps)
    return PullResult(
        project,
        {task_id: stamps[task_id] for task_id in sorted([*fetched, *unchanged])},
        tuple(fetched),
        tuple(unchanged),
        tuple(sorted(set(stamps) - {stamp.task_id for stamp in chosen})),
        tuple(sorted(set(before) - set(stamps))),
        fetch.photos,
        tuple(fetch.failed),
    )


def _choose(
    stamps: Sequence[Stamp], subsets: Sequence[str], statuses: Sequence[str], wanted: Callable[[Stamp], bool] | None
) -> list[Stamp]:
    if unknown := sorted(set(statuses) - set(STATUSES)):
        raise CvatError(f"no task has the status {', '.join(unknown)}: expected {', '.join(STATUSES)}")
    there = {stamp.subset for stamp in stamps}
    if unknown := sorted(set(subsets) - there):
        named = ", ".join(repr(subset) for subset in sorted(there)) or "no task at all"
        raise CvatError(f"no task has the subset {', '.join(map(repr, unknown))}: there is {named}")
    chosen = [stamp for stamp in stamps if stamp.status in statuses and (not subsets or stamp.subset in subsets)]
    return [stamp for stamp in chosen if wanted is None or wanted(stamp)]


def _check_store(store: Path, project: Project) -> None:
    known = cvat_store.read_project(store)
    if known and any(known.get(key) != project.raw.get(key) for key in ("id", "created_date")):
        raise CvatError(
            f"{store} holds the project {known.get('name')!r} (id {known.get('id')}), not {project.name!r} "
            f"(id {project.id}): give each project a folder of its own"
        )


# ---------------------------------------------------------------------------------------------- fetching


@dataclass
class _Fetch:
    """Fetches tasks, several at a time, and of each the photos, several at a time.

    Attributes:
        photos: transferred so far.
        failed: a sentence for each task or photo that could not be had.
    """

    client: Client
    store: Path
    labels: Sequence[Mapping[str, Any]]
    workers: int
    photos: int = 0
    failed: list[str] = field(default_factory=list)

    def all(self, tasks: Sequence[Mapping[str, Any]], stamps: Mapping[int, Stamp]) -> list[int]:
        """Fetch tasks; the ids of those that are whole then."""
        self._lock, whole = threading.Lock(), []
        with (
            tqdm(total=len(tasks), desc="tasks", unit="task", disable=not tasks) as bar,
            tqdm(total=0, desc="photos", unit="photo", disable=not tasks) as self._bar,
            ThreadPoolExecutor(self.workers) as self._pool,
            ThreadPoolExecutor(self.workers) as pool,
        ):
            waiting = {pool.submit(self._task, task, stamps[task["id"]]): int(task["id"]) for task in tasks}
            try:
                for done in as_completed(waiting):
                    whole += [waiting[done]] if done.result() else []
                    bar.update()
            finally:  # what stops one stops all, and nothing more is begun
                pool.shutdown(wait=False, cancel_futures=True)
                self._pool.shutdown(wait=False, cancel_futures=True)
        return sorted(whole)

    def _task(self, task: Mapping[str, Any], stamp: Stamp) -> bool:
        """Whether the task is whole in the store now."""
        try:
            with translated(f"fetch task {stamp.task_id} {stamp.name!r}"):
                answers = self._answers(task)
                photos = list(cvat_json.to_collection(*answers.values(), project_name=stamp.project).photos)
                places = cvat_store.safe_places(photo.name for photo in photos)
                folder = folder_of(self.store, stamp.task_id)
                _sweep(folder)
                if not self._fetch_photos(stamp.task_id, photos, folder, places):
                    return False
                cvat_store.write_task(folder, stamp, places, answers)
        except OutageError:
            raise
        except ValueError as error:  # this task alone; FormatError is one
            self.failed.append(f"task {stamp.task_id} {stamp.name!r}: {error}")
            return False
        return True

    def _answers(self, task: Mapping[str, Any]) -> dict[str, Any]:
        task_id = int(task["id"])
        doing = f"read task {task_id}"
        ask = cvat_server.get_json
        return {
            "task": task,
            "jobs": cvat_server.get_all(self.client, "/api/jobs", doing, task_id=task_id),
            "meta": ask(self.client, f"/api/tasks/{task_id}/data/meta", doing),
            "labels": self.labels,
            "annotations": ask(self.client, f"/api/tasks/{task_id}/annotations/", doing),
        }

    def _fetch_photos(
        self, task_id: int, photos: Sequence[DrawnPhoto], folder: Path, places: Mapping[str, str]
    ) -> bool:
        self._count(total=len(photos))
        waiting = [self._pool.submit(self._photo, task_id, photo, folder, places[photo.name]) for photo in photos]
        try:
            return all([done.result() for done in waiting])
        finally:
            for one in waiting:
                one.cancel()

    def _photo(self, task_id: int, photo: DrawnPhoto, folder: Path, place: str) -> bool:
        path, frame = cvat_store.photo_of(folder, place), int(photo.facts["cvat_frame"])
        try:
            with translated(f"fetch photo {photo.name} of task {task_id}"):
                new = cvat_photos.fetch(self.client, task_id, frame, photo.size_wh, path, name=photo.name)
        except OutageError:
            raise
        except CvatError as error:
            self.failed.append(str(error))
            return False
        self._count(done=1, new=int(new))
        return True

    def _count(self, total: int = 0, done: int = 0, new: int = 0) -> None:
        with self._lock:
            self.photos += new
            self._bar.total += total
            self._bar.update(done)


def _sweep(folder: Path) -> None:
    """Remove what a pull that was killed an hour ago or earlier left of a file: another may be at work just now."""
    for left in folder.rglob(".*"):
        if left.is_file() and time.time() - left.stat().st_mtime > _LEFTOVER_S:
            left.unlink(missing_ok=True)
