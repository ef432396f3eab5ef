"""Backups of tasks and projects, and what is made of them again."""

from __future__ import annotations

import json
import uuid
import zipfile
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from tests.cvat_stand_in import tus
from tests.cvat_stand_in.annotations import KINDS, numbered, read
from tests.cvat_stand_in.data import manifest, natural, queued
from tests.cvat_stand_in.http import Call, Reply, nothing, route
from tests.cvat_stand_in.projects import add_labels, labels_of, with_names
from tests.cvat_stand_in.shapes import Labels, Shape
from tests.cvat_stand_in.state import Annotations, Job, Label, Photo, Project, Request, Task

VERSION = "1.0"


def pack(call: Call, target: Task | Project, archive: zipfile.ZipFile) -> None:
    """Write a backup: ids, users, issues and webhooks are not in it."""
    if isinstance(target, Task):
        _pack_task(call, target, archive, "")
        return
    labels = _labels_out(labels_of(call.state, project=target.id))
    head = {"name": target.name, "bug_tracker": target.bug_tracker, "status": "annotation", "labels": labels}
    archive.writestr("project.json", _json({**head, "version": VERSION}))
    own = sorted((task for task in call.state.tasks.values() if task.project == target.id), key=lambda task: task.id)
    for place, task in enumerate(own):
        _pack_task(call, task, archive, f"task_{place}/")


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _pack_task(call: Call, task: Task, archive: zipfile.ZipFile, folder: str) -> None:
    own, jobs = labels_of(call.state, task=task.id), call.state.jobs_of(task.id)
    data = {
        "chunk_size": 72,
        "image_quality": task.image_quality,
        "start_frame": 0,
        "stop_frame": len(task.photos) - 1,
        "storage_method": "cache",
        "sorting_method": task.sorting,
        "chunk_type": "imageset",
        "deleted_frames": [],
        "storage": "local",
    }
    spans = [{"status": j.status, "type": "annotation", "start_frame": j.start, "stop_frame": j.stop} for j in jobs]
    head = {"name": task.name, "bug_tracker": task.bug_tracker, "status": task.status, "subset": task.subset}
    whole = {**head, "labels": _labels_out(own), "version": VERSION, "data": data, "jobs": spans}
    archive.writestr(f"{folder}task.json", _json(whole))
    names, labels = {label.id: label for label in own}, Labels(call, task.id)
    drawn = [read(call.state, labels, job) for job in jobs]
    bodies = [
        {"version": 0, **{k: [_out(s, names) for s in body[k]] for k in KINDS}, "intervals": []} for body in drawn
    ]
    archive.writestr(f"{folder}annotations.json", _json(bodies))
    for photo in task.photos:
        archive.write(photo.path, f"{folder}data/{photo.name}", zipfile.ZIP_STORED)
    archive.writestr(f"{folder}data/manifest.jsonl", manifest(task.photos))


def _labels_out(labels: list[Label]) -> list[dict[str, Any]]:
    out = []
    for label in labels:
        if label.parent is not None:
            continue
        parts = [part for part in labels if part.parent == label.id]
        svg = {} if label.svg is None else {"svg": with_names(label.svg, parts)}
        out.append({**_label_out(label), "sublabels": [_label_out(part) for part in parts], **svg})
    return out


def _label_out(label: Label) -> dict[str, Any]:
    specs = [{name: value for name, value in spec.items() if name != "id"} for spec in label.attributes]
    return {"name": label.name, "color": label.color, "attributes": specs, "type": label.type}


def _out(shape: Shape, labels: dict[int, Label]) -> Shape:
    label = labels[shape["label_id"]]
    names = {spec["id"]: spec["name"] for spec in label.attributes}
    out = {name: value for name, value in shape.items() if name not in ("id", "label_id")}
    out["attributes"] = [{"value": given["value"], "name": names[given["spec_id"]]} for given in shape["attributes"]]
    if "elements" in shape:
        out["elements"] = [_out(part, labels) for part in shape["elements"]]
    return {**out, "label": label.name}


@route("POST", "/api/tasks/backup")
@route("POST", "/api/projects/backup")
def restore(call: Call) -> Any:
    folder = call.path
    if "upload-start" in call.headers:
        return nothing(202)
    if "upload-finish" not in call.headers:
        return tus.begin(call, folder)
    upload = tus.found(call, call.query.get("filename", ""))
    return _restore(call, upload["path"], "project" if folder.startswith("/api/projects") else "task")


@route("HEAD", "/api/tasks/backup/{file}")
@route("HEAD", "/api/projects/backup/{file}")
def restore_offset(call: Call) -> Any:
    return tus.offset(call)


@route("PATCH", "/api/tasks/backup/{file}")
@route("PATCH", "/api/projects/backup/{file}")
def restore_piece(call: Call) -> Any:
    return tus.piece(call)[0]


def _restore(call: Call, path: Path, kind: str) -> Reply:
    key = f"action=import&target={kind}&id={uuid.uuid4()}&subresource=backup"
    keeps = timedelta(hours=1)
    request = Request(key, "import:backup", call.user.id, call.state.now(), "", keeps, target=kind)
    try:
        with zipfile.ZipFile(path) as archive:
            request.result_id = (
                _unpack_project(call, archive) if kind == "project" else _unpack(call, archive, "", None)
            )
    except (KeyError, zipfile.BadZipFile, ValueError) as error:
        request.status, request.message = "failed", f"{type(error).__name__}: {error}\n"
        request.keeps = timedelta(days=30)
    path.unlink()
    request.finished = call.state.now()
    return queued(call, request)


def _unpack_project(call: Call, archive: zipfile.ZipFile) -> int:
    state, head = call.state, json.loads(archive.read("project.json"))
    number = state.next("project")
    record = Project(number, head["name"], call.user.id, state.now(), state.now(), bug_tracker=head["bug_tracker"])
    state.projects[number] = record
    add_labels(state, head["labels"], project=number)
    folders = {name.split("/")[0] for name in archive.namelist() if name.startswith("task_")}
    for folder in sorted(folders, key=natural):
        _unpack(call, archive, f"{folder}/", number)
    record.updated = state.now()
    return number


def _unpack(call: Call, archive: zipfile.ZipFile, folder: str, project: int | None) -> int:
    state, head = call.state, json.loads(archive.read(f"{folder}task.json"))
    bodies = json.loads(archive.read(f"{folder}annotations.json"))
    number = state.next("task")
    task = Task(number, head["name"], project, call.user.id, state.now(), state.now(), head.get("subset", ""))
    task.bug_tracker, task.status = head["bug_tracker"], head["status"]
    task.data, task.overlap, task.chunks_updated = state.next("data"), 0, state.now()
    task.image_quality, task.sorting = head["data"]["image_quality"], head["data"]["sorting_method"]
    state.tasks[number] = task
    if project is None:
        add_labels(state, head["labels"], task=number)
    task.photos = _photos(call, archive, folder, task)
    task.segment_size = head["jobs"][0]["stop_frame"] - head["jobs"][0]["start_frame"] + 1
    labels = labels_of(state, task=number)
    for span, body in zip(head["jobs"], bodies, strict=True):
        job = Job(state.next("job"), number, span["start_frame"], span["stop_frame"], state.now(), state.now())
        job.status = span["status"]
        state.jobs[job.id] = job
        drawn: Annotations = state.drawn(job.id)
        for kind in KINDS:
            shapes = [_in(shape, labels, None) for shape in body.get(kind, [])]
            setattr(drawn, kind, [numbered(state, kind, shape, keep=False) for shape in shapes])
    task.updated = state.now()
    return number


def _photos(call: Call, archive: zipfile.ZipFile, folder: str, task: Task) -> list[Photo]:
    lines = [json.loads(line) for line in archive.read(f"{folder}data/manifest.jsonl").splitlines()]
    photos = []
    for line in lines[2:]:
        name = line["name"] + line["extension"]
        path = call.state.folder / "data" / str(task.data) / PurePosixPath(name).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archive.read(f"{folder}data/{name}"))
        photos.append(Photo(name, path, line["width"], line["height"]))
    return photos


def _in(shape: Shape, labels: list[Label], parent: int | None) -> Shape:
    """A shape of a backup with ids of this server instead of names."""
    label = next(label for label in labels if label.name == shape["label"] and label.parent == parent)
    specs = {spec["name"]: spec["id"] for spec in label.attributes}
    inside = {name: value for name, value in shape.items() if name not in ("label", "attributes", "elements")}
    given = [{"spec_id": specs[one["name"]], "value": one["value"]} for one in shape["attributes"]]
    inside |= {"id": None, "label_id": label.id, "attributes": given}
    if "elements" in shape:
        inside["elements"] = [_in(part, labels, label.id) for part in shape["elements"]]
    return inside
