"""Photos of a task: upload, `data/meta`, frames, chunks, previews, and the requests one polls meanwhile."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from tests.cvat_stand_in import events, tus, views
from tests.cvat_stand_in.access import job_of, task_of
from tests.cvat_stand_in.http import Call, Refusal, Reply, missing, multipart, nothing, route
from tests.cvat_stand_in.state import Job, Photo, Request, Task
from tests.cvat_stand_in.tasks import cut

EXTENSIONS = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


@route("POST", "/api/tasks/{id}/data")
def upload(call: Call) -> Any:
    task = task_of(call, call.id)
    if task.photos:
        raise Refusal(400, ["Adding more data is not supported"])
    if "upload-start" in call.headers:
        if task.data is None:
            events.updated(call, task, data=call.state.next("data"))
        return nothing(202)
    if "upload-multiple" in call.headers:
        for _, filename, content in multipart(call):
            if filename is not None:
                receive(call, task, filename, content)
        return nothing(200)
    if "tus-resumable" in call.headers:
        return tus.begin(call, f"/api/tasks/{task.id}/data")
    return _finish(call, task, _options(call))


def _options(call: Call) -> dict[str, Any]:
    """The settings of the last request; with the files in it where a client uploads all in one."""
    if not call.headers.get("content-type", "").startswith("multipart/"):
        return dict(call.json())
    options: dict[str, Any] = {}
    for name, filename, content in multipart(call):
        if filename is None:
            options[name] = content.decode()
        else:
            task = task_of(call, call.id)
            if task.data is None:
                events.updated(call, task, data=call.state.next("data"))
            receive(call, task, filename, content)
    return options


@route("HEAD", "/api/tasks/{id}/data/{file}")
def upload_offset(call: Call) -> Any:
    return tus.offset(call)


@route("PATCH", "/api/tasks/{id}/data/{file}")
def upload_piece(call: Call) -> Any:
    reply, whole = tus.piece(call)
    if whole is not None:
        receive(call, task_of(call, call.id), whole["filename"], whole["path"].read_bytes())
    return reply


def receive(call: Call, task: Task, filename: str, content: bytes) -> None:
    """Keep a file of an upload; only the base name of what the client sent counts."""
    name = PurePosixPath(filename.replace("\\", "/")).name
    path = call.state.folder / "data" / str(task.data) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    task.received[name] = path


def natural(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _order(task: Task, options: dict[str, Any]) -> list[str]:
    names = list(task.received)
    method = options.get("sorting_method", "lexicographical")
    if method == "natural":
        return sorted(names, key=natural)
    if method == "predefined":
        wanted = list(options.get("upload_file_order") or options.get("job_file_mapping") or names)
        return [name for name in wanted if name in task.received] or names
    return names if method == "random" else sorted(names)


def _finish(call: Call, task: Task, options: dict[str, Any]) -> Any:
    state = call.state
    events.updated(call, task)
    task.image_quality = int(options.get("image_quality", 70))
    task.sorting = str(options.get("sorting_method", "lexicographical"))
    created = state.now()
    message = _fill(call.worker(), task, _order(task, options))
    failed = bool(message)
    request = Request(
        f"action=create&target=task&target_id={task.id}",
        "create:task",
        call.user.id,
        created,
        state.now(),
        timedelta(days=365) if failed else timedelta(seconds=500),
        task=task.id,
        project=task.project,
        status="failed" if failed else "finished",
        message=message,
        started_message="Media files are being extracted..." if failed else "Task is being saved in database",
    )
    return queued(call, request)


def queued(call: Call, request: Request) -> Reply:
    """Keep a request that was done at once, tell of its end, and answer with its id."""
    request.polls_left = call.state.polls
    call.state.requests[request.id] = request
    if not request.type.startswith("import:"):
        events.completed(call, request)
    return Reply(202, {"rq_id": request.id})


def _fill(call: Call, task: Task, names: list[str]) -> str:
    """Make frames and jobs of the files received; the error a worker of CVAT would report, or ""."""
    photos = []
    for name in names:
        try:
            with Image.open(task.received[name]) as image:
                photos.append(Photo(name, task.received[name], *image.size))
        except (OSError, ImportError):  # ultralytics, where it is loaded, lets Pillow ask for a reader of HEIF
            shown = f"/home/django/data/data/{task.data}/raw/{name}"
            return f"PIL.UnidentifiedImageError: cannot identify image file '{shown}'\n"
    if not photos:
        return "ValueError: No media data found\n"
    place_photos(call, task, photos)
    return ""


def place_photos(call: Call, task: Task, photos: list[Photo]) -> list[Job]:
    """Give a task its frames and cut it into jobs."""
    task.chunks_updated = call.state.now()
    size = task.segment_size or len(photos)
    task.photos = photos
    jobs = cut(call, task)
    task.photos = []
    for job in jobs:  # told before the task knows of its frames: the payload lacks much, as in CVAT
        events.created(call, job)
    task.photos = photos
    changes = events.change(call, task, overlap=0, segment_size=size)
    if photos:
        new = {"dimension": "2d", "mode": "annotation", "media_type": "image"}
        changes |= {name: {"from": "", "to": value} for name, value in new.items()}
    events.told(call, task, changes)
    events.updated(call, task)
    return jobs


@route("GET", "/api/requests/{rq}")
def request_status(call: Call) -> Any:
    request = call.state.requests.get(call.parts["rq"])
    if request is None or (request.owner != call.user.id and not call.user.superuser):
        raise Refusal(404, "There is no request with specified id", "text/html; charset=utf-8")
    running = request.polls_left > 0
    request.polls_left -= running
    return views.request(call, request, running=running)


@route("GET", "/api/requests")
def request_list(call: Call) -> Any:
    own = [views.request(call, request) for request in call.state.requests.values() if request.owner == call.user.id]
    return {"count": len(own), "next": None, "previous": None, "results": own}


def _meta(task: Task, start: int, stop: int) -> dict[str, Any]:
    if not task.photos:
        raise Refusal(400, ["Data is not uploaded for the task yet"])
    frames = [
        {
            "width": photo.width,
            "height": photo.height,
            "name": photo.name,
            "related_files": 0,
            "has_related_context": False,
        }
        for photo in task.photos[start : stop + 1]
    ]
    return {
        "chapters": None,
        "chunks_updated_date": task.chunks_updated,
        "chunk_size": 72,
        "size": len(frames),
        "image_quality": task.image_quality,
        "start_frame": start,
        "stop_frame": stop,
        "frame_filter": "",
        "frames": frames,
        "deleted_frames": [],
        "included_frames": None,
        "storage": "local",
        "cloud_storage_id": None,
    }


@route("GET", "/api/tasks/{id}/data/meta")
def task_meta(call: Call) -> Any:
    task = task_of(call, call.id)
    return _meta(task, 0, len(task.photos) - 1)


@route("GET", "/api/jobs/{id}/data/meta")
def job_meta(call: Call) -> Any:
    job = job_of(call, call.id)
    return _meta(call.state.tasks[job.task], job.start, job.stop)


@route("GET", "/api/tasks/{id}/data", locked=False)
def task_data(call: Call) -> Any:
    task = task_of(call, call.id)
    return _data(call, task, 0, len(task.photos) - 1)


@route("GET", "/api/jobs/{id}/data", locked=False)
def job_data(call: Call) -> Any:
    job = job_of(call, call.id)
    return _data(call, call.state.tasks[job.task], job.start, job.stop)


@route("GET", "/api/tasks/{id}/preview", locked=False)
def task_preview(call: Call) -> Any:
    task = task_of(call, call.id)
    if not task.photos:
        raise missing("Task")
    return Reply(200, compressed(task.photos[0].path, 70, 256), "image/jpeg")


@route("GET", "/api/jobs/{id}/preview", locked=False)
def job_preview(call: Call) -> Any:
    job = job_of(call, call.id)
    return Reply(200, compressed(call.state.tasks[job.task].photos[job.start].path, 70, 256), "image/jpeg")


def _data(call: Call, task: Task, start: int, stop: int) -> Reply:
    if not task.photos:
        raise Refusal(400, ["Data is not uploaded for the task yet"])
    kind, quality = call.query.get("type", ""), call.query.get("quality", "compressed")
    number = int(call.query.get("number", call.query.get("index", "0")))
    if kind == "preview":
        return Reply(200, compressed(task.photos[start].path, 70, 256), "image/jpeg")
    if kind == "chunk":
        return _chunk(task, task.photos[start : stop + 1][number * 72 : (number + 1) * 72], quality)
    if kind != "frame":
        raise Refusal(400, "Data type not specified or not supported")
    if not start <= number <= stop:
        # The upper bound is one too high in CVAT's own words, too.
        raise Refusal(400, f"Invalid frame '{number}'. The frame number should be in the [{start}, {stop + 1}] range")
    photo = task.photos[number]
    if quality == "original":
        return Reply(200, photo.path, EXTENSIONS.get(photo.path.suffix.lower(), "application/octet-stream"))
    return Reply(200, compressed(photo.path, task.image_quality), "image/jpeg")


def _chunk(task: Task, photos: Iterable[Photo], quality: str) -> Reply:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for place, photo in enumerate(photos):
            content = photo.path.read_bytes() if quality == "original" else compressed(photo.path, task.image_quality)
            archive.writestr(f"{place:06d}{photo.path.suffix if quality == 'original' else '.jpeg'}", content)
    return Reply(200, packed.getvalue(), "application/zip", {"X-Updated-Date": task.chunks_updated})


def compressed(path: Path, quality: int, longest: int | None = None) -> bytes:
    """A photo written again as JPEG."""
    written = io.BytesIO()
    with Image.open(path) as image:
        small = image.convert("RGB")
        if longest:
            small.thumbnail((longest, longest))
        small.save(written, "JPEG", quality=quality)
    return written.getvalue()


def manifest(photos: Iterable[Photo]) -> str:
    """The list of photos as a backup has it."""
    lines: list[dict[str, Any]] = [{"version": "1.1"}, {"type": "images"}]
    for photo in photos:
        name = PurePosixPath(photo.name)
        stem = str(name.with_suffix(""))
        lines.append({"name": stem, "extension": name.suffix, "width": photo.width, "height": photo.height})
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
