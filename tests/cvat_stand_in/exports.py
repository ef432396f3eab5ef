"""Exports and backups: made when asked for, kept until something changes, fetched by the id of the request."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.cvat_stand_in import backups
from tests.cvat_stand_in.access import project_of, task_of
from tests.cvat_stand_in.annotations import Body, poisoned, read
from tests.cvat_stand_in.data import queued
from tests.cvat_stand_in.http import Call, Refusal, Reply, missing, route
from tests.cvat_stand_in.shapes import Labels
from tests.cvat_stand_in.state import Project, Request, Task
from tests.cvat_stand_in.xml_export import document, subset_of

FORMATS = ("CVAT for images 1.1",)
Target = Task | Project
Maker = Callable[[Call, Target, zipfile.ZipFile], None]


class Unreadable(Exception):
    """A worker of CVAT fails on a poisoned job."""


@route("POST", "/api/tasks/{id}/dataset/export")
def export_task(call: Call) -> Any:
    return _dataset(call, task_of(call, call.id))


@route("POST", "/api/projects/{id}/dataset/export")
def export_project(call: Call) -> Any:
    return _dataset(call, project_of(call, call.id))


def _dataset(call: Call, target: Target) -> Any:
    name = call.query.get("format", "")
    if name not in FORMATS:
        raise Refusal(400, ["Unknown format specified for the request"])
    images = call.flag("save_images") or False
    part = "dataset" if images else "annotations"
    file_name = f"{_kind(target)}_{target.id}_{part}_{_day(target)}_{name.lower()}.zip"
    code = name.replace(" ", "_").replace(".", "~")
    return _make(call, target, part, f"&format={code}", name, file_name, _writer(images=images))


@route("POST", "/api/tasks/{id}/backup/export")
def backup_task(call: Call) -> Any:
    return _backup(call, task_of(call, call.id))


@route("POST", "/api/projects/{id}/backup/export")
def backup_project(call: Call) -> Any:
    return _backup(call, project_of(call, call.id))


def _backup(call: Call, target: Target) -> Any:
    file_name = f"{_kind(target)}_{target.name.lower()}_backup_{_day(target)}.zip"
    return _make(call, target, "backup", "", None, file_name, backups.pack)


def _kind(target: Target) -> str:
    return "task" if isinstance(target, Task) else "project"


def _day(target: Target) -> str:
    return target.updated[:19].replace("-", "_").replace("T", "_").replace(":", "_")


def _tasks(call: Call, target: Target) -> list[Task]:
    if isinstance(target, Task):
        return [target]
    own = [task for task in call.state.tasks.values() if task.project == target.id]
    return sorted(own, key=lambda task: task.id)


def _make(call: Call, target: Target, part: str, code: str, form: str | None, file_name: str, maker: Maker) -> Reply:
    kind, owner = _kind(target), call.user.id
    key = f"action=export&target={kind}&target_id={target.id}&user_id={owner}{code}&subresource={part}"
    request = Request(key, f"export:{part}", owner, call.state.now(), "", timedelta(days=1), target=kind, format=form)
    request.task = target.id if isinstance(target, Task) else None
    request.project = target.project if isinstance(target, Task) else target.id
    try:
        request.path = _file(call, target, key, maker)
        folder = "backup" if part == "backup" else "dataset"
        request.result_url = f"{call.base}/api/{kind}s/{target.id}/{folder}/download?rq_id={quote(key, safe='')}"
    except Unreadable as error:
        request.status, request.message = "failed", f"KeyError: {error}\n"
    request.file_name, request.finished = file_name, call.state.now()
    return queued(call, request)


def _file(call: Call, target: Target, key: str, maker: Maker) -> Path:
    """The file of an export; unchanged since the last one, it is the same file."""
    stamps = [target.updated, *(task.updated for task in _tasks(call, target))]
    name = hashlib.sha256("\n".join([key, *stamps]).encode()).hexdigest()[:24]
    path = call.state.folder / "exports" / f"{name}.zip"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            maker(call, target, archive)
        os.replace(part, path)
    return path


def _writer(*, images: bool) -> Maker:
    def write(call: Call, target: Target, archive: zipfile.ZipFile) -> None:
        tasks = [task for task in _tasks(call, target) if task.photos]
        drawn = [(task, _drawn(call, task)) for task in tasks]
        archive.writestr("annotations.xml", document(call, target, drawn))
        for task in tasks if images else []:
            folder = "images" if isinstance(target, Task) else f"images/{subset_of(task)}"
            for photo in task.photos:
                archive.write(photo.path, f"{folder}/{photo.name}", zipfile.ZIP_STORED)

    return write


def _drawn(call: Call, task: Task) -> Body:
    labels, merged = Labels(call, task.id), Body(shapes=[], tags=[], tracks=[])
    for job in call.state.jobs_of(task.id):
        drawn = call.state.annotations.get(job.id)
        if drawn and (bad := poisoned(drawn)):
            raise Unreadable(bad["id"])
        for name, shapes in read(call.state, labels, job).items():
            merged[name] += shapes
    return merged


@route("GET", "/api/tasks/{id}/dataset/download")
@route("GET", "/api/tasks/{id}/backup/download")
@route("GET", "/api/projects/{id}/dataset/download")
@route("GET", "/api/projects/{id}/backup/download")
def download(call: Call) -> Any:
    request = call.state.requests.get(call.query.get("rq_id", ""))
    if request is None or request.path is None or request.owner != call.user.id:
        raise missing("Request")
    headers = {"Content-Disposition": f'attachment; filename="{request.file_name}"', "Accept-Ranges": "bytes"}
    return Reply(200, request.path, "application/zip", headers)
