"""Photos and what is drawn on them into CVAT: projects with labels, tasks, annotations. Nothing is done twice.

    project = cvat_push.create_project(client, "Corals", labels)
    pushed = cvat_push.push_task(client, project, "Moorea 2024", photos, subset="val")

Every command may be broken off and run again: it looks at what is there before it writes. A photo's annotations are
sent in one piece, so that one with anything on it is done, or is a human's and left alone.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import quote

from cvat_sdk import Client
from cvat_sdk.core.exceptions import BackgroundRequestException
from cvat_sdk.core.helpers import DeferredTqdmProgressReporter

from data_engineering import cvat_draw, cvat_server
from data_engineering.cvat_draw import Pushed, add, replace_auto
from data_engineering.cvat_errors import CvatError, MissingError, translated
from data_engineering.cvat_label_check import differences, for_constructor
from data_engineering.cvat_server import Project
from quadrat.drawn import DrawnPhoto, Labels

__all__ = ["Pushed", "add", "create_project", "labels_of", "push_task", "replace_auto", "upload_names"]

_QUALITY = 90  # of the smaller pictures that CVAT shows; the photos themselves stay as they are
_ON_THE_WAY = ("queued", "started")


# ---------------------------------------------------------------------------------------------- projects and tasks


def create_project(client: Client, name: str, labels: Labels, *, dry_run: bool = False) -> Project | None:
    """Make a project, or take the one of that name where it has these labels.

    Args:
        client: of `cvat_server.connect`.
        name: of the project.
        labels: definitions as CVAT's label constructor has them. The server may have further labels and attributes.
        dry_run: make nothing.

    Returns:
        The project; `None` where a dry run would make it.

    Raises:
        CvatError: several projects have this name, or the one there lacks labels; the message lists what differs.
    """
    try:
        project = cvat_server.find_project_named(client, name)
    except MissingError:
        return None if dry_run else _make_project(client, name, labels)
    if wrong := differences(labels, labels_of(client, project)):
        raise CvatError(
            f"project {name!r} (id {project.id}) has other labels: {'; '.join(wrong)}. Change them in its label "
            "constructor, or choose another name"
        )
    return project


def _make_project(client: Client, name: str, labels: Labels) -> Project:
    doing = f"make the project {name!r}"
    with translated(doing):
        made = client.projects.create({"name": name, "labels": for_constructor(labels)})
        return Project(made.id, made.name, cvat_server.get_json(client, f"/api/projects/{made.id}", doing))


def labels_of(client: Client, project: Project) -> list[dict[str, Any]]:
    """The labels of a project with the server's numbers.

    Raises:
        CvatError: they cannot be had.
    """
    doing = f"list the labels of project {project.name!r}"
    return cvat_server.get_all(client, "/api/labels", doing, project_id=project.id)


def push_task(
    client: Client,
    project: Project,
    name: str,
    photos: Sequence[DrawnPhoto],
    *,
    subset: str = "",
    on_existing: Literal["continue", "refuse"] = "continue",
    dry_run: bool = False,
) -> Pushed:
    """Make a task of photos, and put what is drawn on them into it.

    Args:
        client: of `cvat_server.connect`.
        project: that gets the task.
        name: of the task, by which it is found again.
        photos: with their files; their own names are what CVAT shows, folders joined by ``_`` where need be.
        subset: ``train`` and the like.
        on_existing: a task of this name is gone on with, or refused. One without photos, which a broken upload leaves,
            is made anew in either case.
        dry_run: write nothing.

    Raises:
        CvatError: a photo has no file or a size unlike CVAT's, the task there has other photos, or the server fails.
        ValueError: the project lacks labels that are drawn; all are named.
    """
    _check_files(photos)
    labels = labels_of(client, project)
    uploads = upload_names(photos)
    cvat_draw.check(photos, labels)  # before anything is made
    task = _find_task(client, project, name)
    if task is not None and not task.get("size") and not dry_run:
        task = _settle(client, task)
    if task is not None and task.get("size") and on_existing == "refuse":
        raise CvatError(f"project {project.name!r} has a task {name!r} already (id {task['id']}): choose another name")
    created = task is None or not task.get("size")
    if created and dry_run:
        return Pushed(None, True, sum(len(photo.drawn) for photo in photos))
    task_id = _make_task(client, project, name, subset, uploads, photos) if created else int(task["id"])
    renamed = [replace(photo, name=uploads[photo.name]) for photo in photos]
    return replace(add(client, task_id, renamed, dry_run=dry_run), created=created)


def _check_files(photos: Sequence[DrawnPhoto]) -> None:
    if not photos:
        raise CvatError("there is no photo to push")
    if missing := [photo.name for photo in photos if photo.path is None or not photo.path.is_file()]:
        raise CvatError(f"{len(missing)} photos have no file, {missing[0]} among them: put them in their place")
    names = [photo.name for photo in photos]
    if twice := sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []:
        raise CvatError(f"{len(twice)} photos are there twice, {twice[0]} among them")


def upload_names(photos: Iterable[DrawnPhoto]) -> dict[str, str]:
    """Name of a photo -> file name in CVAT, which keeps no folders: all alone where that is enough, else joined."""
    names = [photo.name for photo in photos]
    alone = {name: PurePosixPath(name.replace("\\", "/")).name for name in names}
    if len({base.casefold() for base in alone.values()}) == len(names):
        return alone
    joined = {name: "_".join(part for part in PurePosixPath(name).parts if part not in ("/", "..")) for name in names}
    if len({base.casefold() for base in joined.values()}) < len(names):
        raise CvatError("photos have names that CVAT cannot tell apart once folders are joined by _: rename some")
    return joined


def _find_task(client: Client, project: Project, name: str) -> dict[str, Any] | None:
    doing = f"find the task {name!r} of project {project.name!r}"
    found = cvat_server.get_all(client, "/api/tasks", doing, project_id=project.id, name=name)
    if len(found) > 1:
        ids = ", ".join(str(task["id"]) for task in found)
        raise CvatError(f"project {project.name!r} has {len(found)} tasks {name!r} (ids {ids}): rename all but one")
    return found[0] if found else None


def _settle(client: Client, task: Mapping[str, Any]) -> dict[str, Any] | None:
    """Wait for a task that is being made; remove one without photos that nobody is making any more."""
    task_id = int(task["id"])
    doing = f"look at the unfinished task {task['name']!r} (id {task_id})"
    request_id = f"action=create&target=task&target_id={task_id}"
    with translated(doing):
        try:
            request = cvat_server.get_json(client, f"/api/requests/{quote(request_id, safe='')}", doing)
            if request["status"] in _ON_THE_WAY:
                client.wait_for_completion(request_id)
        except (MissingError, BackgroundRequestException):
            pass  # nobody is making it any more
        now: dict[str, Any] = cvat_server.get_json(client, f"/api/tasks/{task_id}", doing)
        if now.get("size"):
            return now
        _refuse_foreign(client, now, doing)
        client.tasks.api.destroy(task_id)  # remove_by_ids would go on where the server refuses, and a second be made
    return None


def _refuse_foreign(client: Client, task: Mapping[str, Any], doing: str) -> None:
    owner = task.get("owner") or {}
    if owner.get("id") != cvat_server.get_json(client, "/api/users/self", doing)["id"]:
        raise CvatError(
            f"task {task['name']!r} (id {task['id']}) has no photos, and belongs to {owner.get('username')!r}, who may "
            "be uploading them just now: remove it in CVAT, or choose another name"
        )


def _make_task(
    client: Client,
    project: Project,
    name: str,
    subset: str,
    uploads: Mapping[str, str],
    photos: Sequence[DrawnPhoto],
) -> int:
    with translated(f"make the task {name!r}"), tempfile.TemporaryDirectory(prefix="quadratseg-push-") as folder:
        spec = {"name": name, "project_id": project.id, **({"subset": subset} if subset else {})}
        files = [_staged(photo.path, Path(folder) / uploads[photo.name]) for photo in photos]
        task = client.tasks.create(spec)
        task.upload_data(files, params={"image_quality": _QUALITY}, pbar=DeferredTqdmProgressReporter())
    return int(task.id)


def _staged(path: Path | None, target: Path) -> Path:
    """A file under the name that CVAT shall show: the SDK follows symbolic links, and sends where the file lies."""
    assert path is not None
    try:
        target.hardlink_to(path.resolve())
    except OSError:  # another disk
        shutil.copyfile(path, target)
    return target
