"""A task of photos as a whole: what is drawn on them, and the link that leads from its page to its relatives."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from cvat_sdk import Client

from data_engineering import cvat_draw, cvat_json, cvat_server
from data_engineering.cvat_errors import MissingError
from quadrat.drawn import DrawnPhoto, Labels

_MOST_LINKED = 25  # tasks: CVAT keeps a link of 2,000 characters
_LONGEST_NAME = 256


@dataclass(frozen=True, slots=True)
class Read:
    """What a task holds.

    Attributes:
        photos: by frame, with what is drawn on them; those that no job of annotation has, deleted ones, and second
            copies that check annotators are left out.
        labels: definitions with the server's numbers.
        jobs: number of the job of each photo, by frame.
    """

    photos: Mapping[int, DrawnPhoto]
    labels: Labels
    jobs: Mapping[int, int]


def read(client: Client, task: Mapping[str, Any], jobs: Sequence[Mapping[str, Any]]) -> Read:
    """Read a task of photos.

    Args:
        client: of `cvat_server.connect`.
        task: ``GET /api/tasks/ID``.
        jobs: its jobs of annotation, of ``GET /api/jobs``.

    Raises:
        CvatError: something cannot be had.
        ValueError: it is a video, of point clouds, or the answers do not fit together.
    """
    task_id, doing = int(task["id"]), f"read task {task['id']}"
    meta = cvat_server.get_json(client, f"/api/tasks/{task_id}/data/meta", doing)
    if len(meta["frames"]) != meta["size"]:
        raise ValueError(f"task {task_id} is a video: expected photos")
    labels = cvat_draw.labels_of(client, task_id)
    there = cvat_server.get_json(client, f"/api/tasks/{task_id}/annotations/", doing)
    photos = cvat_json.to_collection(task, jobs, meta, labels, there).photos
    by_frame = {int(photo.facts["cvat_frame"]): photo for photo in photos if "cvat_job_id" in photo.facts}
    return Read(by_frame, labels, {frame: int(photo.facts["cvat_job_id"]) for frame, photo in by_frame.items()})


def find(client: Client, project_id: int, name: str) -> int | None:
    """The number of the task of a name in a project that has photos; `None` where there is none.

    Raises:
        CvatError: it cannot be looked for.
    """
    found = cvat_server.get_all(client, "/api/tasks", f"find the task {name!r}", project_id=project_id, name=name)
    return next((int(task["id"]) for task in found if task.get("size")), None)


def photo_names(client: Client, task_id: int) -> list[str]:
    """Names of the photos of a task, by frame.

    Raises:
        CvatError: they cannot be had.
    """
    meta = cvat_server.get_json(client, f"/api/tasks/{task_id}/data/meta", f"list the photos of task {task_id}")
    return [str(frame["name"]) for frame in meta["frames"]]


def child_name(parent: str, tail: str) -> str:
    """A name with a tail, as long as CVAT keeps it.

    Args:
        parent: may be cut.
        tail: stays whole.
    """
    return f"{parent[: _LONGEST_NAME - len(tail) - 1].rstrip()} {tail}".strip()


# ---------------------------------------------------------------------------------------------- the link


def link(client: Client, task_ids: Collection[int]) -> None:
    """Have each of several tasks lead to the list of all of them: CVAT shows its bug tracker's address as a link.

    Where a person has put another address, it stays. Tasks that are gone are left out.

    Args:
        client: of `cvat_server.connect`.
        task_ids: numbers of the tasks.

    Raises:
        CvatError: a task cannot be read or changed.
    """
    head = f"{client.api_map.host.rstrip('/')}/tasks?"
    address = head + _list_of(task_ids)
    for task_id in sorted(task_ids):
        doing = f"link task {task_id}"
        try:
            there = str(cvat_server.get_json(client, f"/api/tasks/{task_id}", doing).get("bug_tracker") or "")
            if there != address and (not there or _is_list(there, head)):
                cvat_server.patch_json(client, f"/api/tasks/{task_id}", doing, {"bug_tracker": address})
        except MissingError:
            continue  # a person deleted it


def _list_of(task_ids: Collection[int]) -> str:
    """The query of CVAT's page of tasks that shows these; its filter builder knows ``==`` of numbers, and no list."""
    numbers = sorted(task_ids)[-_MOST_LINKED:]
    rule = {"or": [{"==": [{"var": "id"}, number]} for number in numbers]}
    return urlencode({"page": 1, "filter": json.dumps(rule, separators=(",", ":"))})


def _is_list(address: str, head: str) -> bool:
    return address.startswith(f"{head}page=1&filter=%7B%22or%22%3A%5B%7B%22%3D%3D%22%3A%5B%7B%22var%22%3A%22id%22%7D")
