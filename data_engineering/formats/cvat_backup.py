"""Backups of CVAT, of a task or a project: read from .zip, .7z or a folder, and written as CVAT restores them.

A backup knows labels, attributes and tasks by name only: it has no numbers, users or dates.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from data_engineering import cvat_json
from data_engineering.cvat_json import Frame
from data_engineering.cvat_shapes import definitions
from data_engineering.formats import zips
from data_engineering.formats.collection import Collection, FormatError
from data_engineering.formats.photo_files import PhotoFiles, format_errors
from data_engineering.formats.zips import Archive
from quadrat import cvat_labels, files
from quadrat.drawn import DrawnPhoto, Labels
from quadrat.drawn_labels import Seen

_PROJECT, _TASK, _ANNOTATIONS, _MANIFEST = "project.json", "task.json", "annotations.json", "data/manifest.jsonl"
_VERSION, _MANIFEST_VERSION = "1.0", "1.1"
_DATA: Mapping[str, Any] = {
    "chunk_size": 72,
    "image_quality": 100,
    "storage_method": "cache",
    "sorting_method": "lexicographical",
    "chunk_type": "imageset",
    "deleted_frames": [],
    "storage": "local",
}

Head = tuple[Labels, str]


def read(path: Path, *, photos: Sequence[Path] = (), extract_to: Path | None = None) -> Collection:
    """Read a backup.

    Args:
        path: ``.zip``, ``.7z`` (its password, if any, in the environment, see `zips.PASSWORD`) or a folder.
        photos: folders to look in for photos that the backup has not.
        extract_to: folder to put its photos in; one that is there with the same size is kept.

    Returns:
        Photos are extracted while one goes through them, task by task. A photo without a file, or with one of another
        size, says so in its problems.

    Raises:
        FormatError: no backup, or damaged; it may come in the midst of the photos.
    """
    parts = _parts(Path(path), photos, extract_to)
    head = next(parts)
    assert isinstance(head, tuple)
    labels, name = head
    return Collection((one for one in parts if isinstance(one, DrawnPhoto)), labels, name)


def _parts(path: Path, folders: Sequence[Path], extract_to: Path | None) -> Iterator[Head | DrawnPhoto]:
    """Labels and name, then the photos, while the archive stays open."""
    with format_errors(path), zips.opened(path, scratch=extract_to) as archive:
        found = PhotoFiles(archive, folders, extract_to, archive.sizes)
        if archive.has(_PROJECT):
            project = _json(archive, _PROJECT, dict)
            name = str(project.get("name") or "")
            yield definitions(_list(project, "labels", path)), name
            for prefix in _tasks(archive):
                yield from _task_photos(archive, prefix, found, name)
        elif archive.has(_TASK):
            task = _json(archive, _TASK, dict)
            yield definitions(_list(task, "labels", path)), str(task.get("name") or "")
            yield from _task_photos(archive, "", found, "")
        else:
            raise FormatError(f"{path}: neither {_PROJECT} nor {_TASK} in it: expected a backup made by CVAT")


def _list(raw: Mapping[str, Any], key: str, path: Path) -> Labels:
    listed = raw.get(key)
    if not isinstance(listed, list) or not all(isinstance(one, dict) and one.get("name") for one in listed):
        raise FormatError(f"{path}: its {key} are not what CVAT writes: make the backup again")
    return listed


def _tasks(archive: Archive) -> list[str]:
    prefixes = {name.split("/")[0] for name in archive.under(rf"task_\d+/{re.escape(_TASK)}$")}
    return [f"{prefix}/" for prefix in sorted(prefixes, key=lambda prefix: int(prefix.removeprefix("task_")))]


def _task_photos(archive: Archive, prefix: str, found: PhotoFiles, project: str) -> Iterator[DrawnPhoto]:
    task = _json(archive, prefix + _TASK, dict)
    annotations = _json(archive, prefix + _ANNOTATIONS, list)
    frames = _frames(archive, prefix, task)
    for photo in cvat_json.from_backup(task, annotations, frames, project_name=project).photos:
        yield found.place(photo, [f"{prefix}data/{photo.name}"])


def _json(archive: Archive, name: str, kind: type) -> Any:
    try:
        value = json.loads(archive.read(name))
    except (ValueError, RecursionError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{archive.path}: {name} in it is no JSON ({error}): make the backup again") from error
    if not isinstance(value, kind):
        raise FormatError(f"{archive.path}: {name} in it is a {type(value).__name__}, expected a {kind.__name__}")
    return value


def _frames(archive: Archive, prefix: str, task: Mapping[str, Any]) -> list[Frame]:
    """Photos in the order of the task's frames: those lines of the manifest that the task took."""
    name = prefix + _MANIFEST
    try:
        lines = [json.loads(line) for line in archive.read(name).decode("utf-8-sig").splitlines() if line.strip()]
        kind = next((str(line["type"]) for line in lines if "type" in line), "images")
        if kind != "images":
            raise FormatError(
                f"{archive.path}: {prefix or 'the task'} is of a {kind}: only tasks of photos can be read"
            )
        listed = [
            (f"{line['name']}{line['extension']}", (int(line["width"]), int(line["height"])))
            for line in lines
            if "extension" in line
        ]
        data = task.get("data") or {}
        step = re.search(r"step\s*=\s*(\d+)", data.get("frame_filter") or "")
        start, stop = int(data.get("start_frame") or 0), int(data.get("stop_frame", len(listed) - 1))
        taken = range(start, stop + 1, max(int(step[1]), 1) if step else 1)
        return listed if len(taken) == len(listed) else [listed[number] for number in taken]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{archive.path}: {name} in it is damaged ({error!r}): make the backup again") from error


# ---------------------------------------------------------------------------------------------- writing


def write(collection: Collection, out: Path) -> None:
    """Write a backup that CVAT restores, whole or not at all.

    It is of a project where photos are of several tasks or the first has the fact ``cvat_project_name``, else of a
    task. Every task becomes one job, its frames in the order of their names; labels that were drawn and have no
    definition get one.

    Args:
        collection: what to write; every photo needs its file.
        out: a ``.zip`` file.

    Raises:
        FormatError: no photo at all, a photo without a file, two photos of one name in a task, a skeleton with points
            that its label has not, or the disk is full.
    """
    if out.suffix.lower() != ".zip":
        raise FormatError(f"{out}: CVAT restores backups from .zip files: expected such a name")
    seen = Seen(collection.labels)
    tasks: dict[str, list[DrawnPhoto]] = {}
    for photo in collection.photos:
        seen.add(photo.drawn)
        tasks.setdefault(_task_key(photo), []).append(photo)
    if not tasks:
        raise FormatError(f"{out}: there are no photos to write: CVAT has no task without any")
    labels = [_coloured(label) for label in definitions(seen.definitions())]
    first = next(iter(tasks.values()))[0]
    project = len(tasks) > 1 or bool(first.facts.get("cvat_project_name"))
    with (
        format_errors(out),
        zips.disk_full(out),
        files.atomic_write(out) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        if project:
            name = collection.name or str(first.facts.get("cvat_project_name", ""))
            head = {"name": name, "bug_tracker": "", "status": "annotation", "labels": labels, "version": _VERSION}
            _write_json(archive, _PROJECT, head)
        for number, photos in enumerate(tasks.values()):
            name = str(photos[0].facts.get("cvat_task_name") or collection.name or out.stem)
            _write_task(archive, f"task_{number}/" if project else "", name, photos, labels)


def _task_key(photo: DrawnPhoto) -> str:
    """What tells tasks apart: their number, else their name and subset."""
    facts = photo.facts
    number = facts.get("cvat_task_id")
    return str(number) if number is not None else f"{facts.get('cvat_task_name', '')}\n{facts.get('cvat_subset', '')}"


def _coloured(label: dict[str, Any]) -> dict[str, Any]:
    sublabels = [_coloured(sub) for sub in label.get("sublabels", ())]
    colour = label["color"] or cvat_labels.colour(label["name"])
    return {**label, "color": colour} | ({"sublabels": sublabels} if sublabels else {})


def _write_task(archive: zipfile.ZipFile, prefix: str, name: str, photos: Sequence[DrawnPhoto], labels: Labels) -> None:
    photos = sorted(photos, key=lambda photo: photo.name)
    _refuse(photos, name)
    last = len(photos) - 1
    task = {
        "name": name,
        "bug_tracker": "",
        "status": "annotation",
        "subset": str(photos[0].facts.get("cvat_subset") or ""),
        "labels": labels,
        "version": _VERSION,
        "data": {**_DATA, "start_frame": 0, "stop_frame": last},
        "jobs": [{"status": "annotation", "type": "annotation", "start_frame": 0, "stop_frame": last}],
    }
    lines = [{"version": _MANIFEST_VERSION}, {"type": "images"}, *map(_manifest_line, photos)]
    for photo in photos:
        assert photo.path is not None
        archive.write(photo.path, f"{prefix}data/{photo.name}")
    archive.writestr(prefix + _MANIFEST, "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in lines))
    _write_json(archive, prefix + _TASK, task)
    _write_json(archive, prefix + _ANNOTATIONS, [cvat_json.to_backup(enumerate(photos), labels)])


def _refuse(photos: Iterable[DrawnPhoto], task: str) -> None:
    taken: set[str] = set()
    for photo in photos:
        if photo.path is None or not photo.path.is_file():
            raise FormatError(f"{photo.name}: no file of this photo ({photo.path}): a backup needs every one, add it")
        if not zips.safe(photo.name) or photo.name in taken:
            why = "comes twice in" if photo.name in taken else "leads out of the folder of"
            raise FormatError(f"{photo.name}: this name {why} the task {task!r}: rename the photo")
        taken.add(photo.name)


def _manifest_line(photo: DrawnPhoto) -> dict[str, Any]:
    path = PurePosixPath(photo.name)
    stem = path.with_suffix("").as_posix()
    return {"name": stem, "extension": path.suffix, "width": photo.size_wh[0], "height": photo.size_wh[1]}


def _write_json(archive: zipfile.ZipFile, name: str, value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    archive.writestr(name, text.encode("utf-8"), zipfile.ZIP_DEFLATED)
