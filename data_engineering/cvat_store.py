"""The local store of a pulled CVAT project: what lies where, and what tells that it is whole. No server is needed.

STORE/project.json            the project, its labels and all its tasks at the last complete look
STORE/task_<id>/task.json     what the server says of the task, written last: there means whole
STORE/task_<id>/photos/NAME   photos as they were uploaded
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from data_engineering import cvat_json
from data_engineering.formats.collection import Collection, FormatError
from quadrat import files

_LONGEST_PART = 120  # bytes are at most three times as many; file systems take 255
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')
_TASK, _WHOLE, _PROJECT, _PHOTOS = "task.json", "whole.json", "project.json", "photos"


@dataclass(frozen=True)
class Stamp:
    """What tells whether a task is as it was.

    Attributes:
        task_id: number of the task.
        name: of the task.
        subset: ``train`` and the like; empty for none.
        status: ``annotation``, ``validation`` or ``completed``; it moves with the jobs, which do not move
            `updated_date`.
        updated_date: when annotations, photos or the task itself last changed, as the server writes it.
        project: name of the project.
        labels: hash of the label definitions.
    """

    task_id: int
    name: str
    subset: str
    status: str
    updated_date: str
    project: str
    labels: str

    @classmethod
    def of(cls, task: Mapping[str, Any], project: str, labels: str) -> Stamp:
        """Read it from ``GET /api/tasks/ID``."""
        texts = [str(task.get(key) or "") for key in ("name", "subset", "status", "updated_date")]
        return cls(int(task["id"]), *texts, project, labels)


def hash_of(labels: Sequence[Mapping[str, Any]]) -> str:
    """What tells whether label definitions are as they were."""
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16]


def folder_of(store: Path, task_id: int) -> Path:
    """Where a task lies in a store."""
    return store / f"task_{int(task_id)}"


def photo_of(folder: Path, place: str) -> Path:
    """Where a photo lies in a task's folder."""
    return folder / _PHOTOS / place


def task_ids(store: Path) -> list[int]:
    """Numbers of the tasks that are whole in a store."""
    names = [path.parent.name.removeprefix("task_") for path in store.glob(f"task_*/{_TASK}")]
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def listed_ids(store: Path) -> list[int]:
    """Numbers of all tasks that the project had at the last complete look, pulled or not.

    Raises:
        FormatError: the store does not say.
    """
    try:
        return sorted(int(task_id) for task_id in json.loads((store / _PROJECT).read_bytes())["tasks"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{store / _PROJECT} cannot be read ({error}): pull the project again") from error


def read_project(store: Path) -> Mapping[str, Any] | None:
    """What the store says of its project; `None` where it does not, or not legibly: the next pull writes it anew."""
    try:
        known: Any = json.loads((store / _PROJECT).read_bytes())["project"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return known if isinstance(known, Mapping) else None


def write_project(
    store: Path, project: Mapping[str, Any], labels: Sequence[Mapping[str, Any]], stamps: Iterable[Stamp]
) -> None:
    """Write what a complete look at a project gave."""
    tasks = {str(stamp.task_id): asdict(stamp) for stamp in stamps}
    files.write_json(store / _PROJECT, {"project": dict(project), "labels": list(labels), "tasks": tasks})


def write_task(folder: Path, stamp: Stamp, places: Mapping[str, str], answers: Mapping[str, Any]) -> None:
    """Write what says that a task is whole.

    Args:
        folder: of the task.
        stamp: of the task before its annotations were read.
        places: name of each photo -> where it lies below the folder of photos.
        answers: of the server: task, jobs, meta, labels, annotations.
    """
    told = {"stamp": asdict(stamp), "photos": dict(places)}
    files.write_json(folder / _TASK, told | dict(answers), indent=None)
    files.write_json(folder / _WHOLE, told | {"bytes": (folder / _TASK).stat().st_size}, indent=None)


def is_whole(folder: Path, stamp: Stamp) -> bool:
    """Whether a task is in the store as the server has it."""
    try:
        told = json.loads((folder / _WHOLE).read_bytes())
        there = told["stamp"] == asdict(stamp) and told["bytes"] == (folder / _TASK).stat().st_size
        return there and all(photo_of(folder, place).is_file() for place in told["photos"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def read_task(folder: Path) -> Collection:
    """Read a pulled task: its photos with paths and facts.

    Raises:
        FormatError: the task is not there, or not as a pull wrote it.
    """
    path = Path(folder) / _TASK
    try:
        raw = json.loads(path.read_bytes())
        answers = (raw[key] for key in ("task", "jobs", "meta", "labels", "annotations"))
        collection = cvat_json.to_collection(*answers, project_name=raw["stamp"]["project"])
        photos = [replace(photo, path=photo_of(path.parent, raw["photos"][photo.name])) for photo in collection.photos]
    except FileNotFoundError:
        raise FormatError(f"{path} is not there: pull the project first") from None
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{path} is damaged ({error!r}): delete it and pull the project again") from error
    return replace(collection, photos=photos)


# ---------------------------------------------------------------------------------------------- file names


def safe_places(names: Iterable[str]) -> dict[str, str]:
    """A file for each photo: its name with folders, made safe; no two the same, on any disk, and none hidden.

    Args:
        names: distinct, as a server says them: they may be absolute, climb by ``..`` or hold what no disk takes.

    Returns:
        Name -> path relative to the folder of photos, with ``/``.
    """
    taken: set[str] = set()
    places: dict[str, str] = {}
    for number, name in enumerate(names):
        place = _safe(name)
        if not _is_free(place, taken):  # a folder that no name made safe can have: none begins with ~
            place = PurePosixPath(f"~{number}") / place.name
        taken |= {str(p).casefold() + ("/" if p != place else "") for p in (place, *place.parents)}
        places[name] = place.as_posix()
    return places


def _is_free(place: PurePosixPath, taken: set[str]) -> bool:
    own = str(place).casefold()
    return not {own, own + "/", *(str(p).casefold() for p in place.parents)} & taken


def _safe(name: str) -> PurePosixPath:
    parts = [_UNSAFE.sub("_", part).strip(" ") for part in name.replace("\\", "/").split("/")]
    parts = [_shorter(part.rstrip(".")) for part in parts if part.strip(".")]
    parts = [f"_{part}" if part[0] in ".~" else part for part in parts] or ["photo"]
    kind = mimetypes.guess_type(parts[-1])[0] or ""
    if not kind.startswith("image/"):  # a frame of a video, which CVAT gives as PNG
        parts[-1] += ".png"
    return PurePosixPath(*parts)


def _shorter(part: str) -> str:
    if len(part.encode()) <= _LONGEST_PART:
        return part
    suffix = PurePosixPath(part).suffix[:10]
    digest = hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{part[: _LONGEST_PART // 4]}~{digest}{suffix}"
