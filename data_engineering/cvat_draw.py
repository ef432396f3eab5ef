"""Annotations into a CVAT task that has its photos: none twice, and a human's never taken out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cvat_sdk import Client
from tqdm import tqdm

from data_engineering import cvat_json, cvat_server
from data_engineering.cvat_errors import CvatError
from quadrat.drawn import Drawn, DrawnPhoto, Labels

AUTO = "auto"
"""The source of a shape that a program made and no human has touched: CVAT changes it as soon as one does."""

_MOST_NUMBERS = 200_000  # in one request: coordinates and runs of masks, some 2 MB of JSON
_MOST_REMOVED = 500
_SHOWN = 5
_KINDS = ("tags", "shapes")

Raw = dict[str, Any]
Key = tuple[str, int]
"""``tags`` or ``shapes``, and a number."""


@dataclass(frozen=True)
class Pushed:
    """What was written, or would be.

    Attributes:
        task_id: number of the task; `None` where a dry run would make it.
        created: whether the task was made.
        shapes: shapes and tags that were put in.
        removed: shapes and tags with the source auto that were taken out.
        left_alone: names of photos that had something on them already and were left as they are.
    """

    task_id: int | None
    created: bool = False
    shapes: int = 0
    removed: int = 0
    left_alone: tuple[str, ...] = ()


def add(client: Client, task_id: int, photos: Sequence[DrawnPhoto], *, dry_run: bool = False) -> Pushed:
    """Put what is drawn into a task, on photos that have nothing on them yet; the others are left as they are.

    Args:
        client: of `cvat_server.connect`.
        task_id: number of the task.
        photos: by their names in CVAT, of the same size there.
        dry_run: write nothing.

    Raises:
        CvatError: the task has no such photo, or has it in another size; or the server fails.
        ValueError: the task lacks labels that are drawn.
    """
    frames, labels = frames_of(client, task_id, photos), labels_of(client, task_id)
    check(photos, labels)
    used = used_frames(client, task_id)
    new = [(frame, photo) for frame, photo in frames if frame not in used]
    if not dry_run:
        _send(client, task_id, new, labels)
    return Pushed(task_id, False, _count(new), 0, tuple(photo.name for frame, photo in frames if frame in used))


def replace_auto(client: Client, task_id: int, photos: Sequence[DrawnPhoto], *, dry_run: bool = False) -> Pushed:
    """Put what is drawn into a task in place of the shapes and tags there whose source is auto.

    What a human made or touched (``manual``, ``semi-auto``, ``file``; a skeleton any of whose points is) stays. The new
    ones are in before the old ones go, and each old one is looked at again: one that changed meanwhile stays too.
    Broken off in between, the next run takes both out.

    Args:
        client: of `cvat_server.connect`.
        task_id: number of the task.
        photos: by their names in CVAT; only these are touched.
        dry_run: write nothing.

    Raises:
        CvatError: as `add`.
        ValueError: as `add`.
    """
    frames, labels = frames_of(client, task_id, photos), labels_of(client, task_id)
    check(photos, labels)
    touched = {frame for frame, _ in frames}
    old = {key: raw for key, raw in _autos(_read(client, task_id)).items() if raw["frame"] in touched}
    if not dry_run:
        _send(client, task_id, frames, labels)
        old = _remove_unchanged(client, task_id, old)
    return Pushed(task_id, False, _count(frames), len(old))


def used_frames(client: Client, task_id: int) -> set[int]:
    """Numbers of the photos of a task that have anything on them.

    Raises:
        CvatError: that cannot be had.
    """
    return {raw["frame"] for kind in (*_KINDS, "tracks") for raw in _read(client, task_id).get(kind) or ()}


def check(photos: Iterable[DrawnPhoto], labels: Labels) -> None:
    """Refuse what the labels have no place for.

    Raises:
        ValueError: labels, points or attributes are missing; all are named.
    """
    kinds: dict[Any, Drawn] = {}
    for one in (one for photo in photos for one in photo.drawn):
        kinds.setdefault((one.label, *one.attributes, 0, *(part.label for part in one.elements)), one)
    cvat_json.to_annotations_request([(0, DrawnPhoto("one of each", (1, 1), tuple(kinds.values())))], labels)


def is_auto(raw: Mapping[str, Any]) -> bool:
    """Whether a program made a shape or tag of CVAT's and no human touched it."""
    return all(one.get("source") == AUTO for one in (raw, *(raw.get("elements") or ())))


def labels_of(client: Client, task_id: int) -> list[Raw]:
    """The labels of a task with the server's numbers.

    Raises:
        CvatError: they cannot be had.
    """
    return cvat_server.get_all(client, "/api/labels", f"list the labels of task {task_id}", task_id=task_id)


def frames_of(client: Client, task_id: int, photos: Sequence[DrawnPhoto]) -> list[tuple[int, DrawnPhoto]]:
    """The number of each photo in a task.

    Raises:
        CvatError: the task has no such photo, or has it in another size.
    """
    meta = cvat_server.get_json(client, f"/api/tasks/{task_id}/data/meta", f"list the photos of task {task_id}")
    numbers: dict[str, int] = {}
    for number, frame in enumerate(meta["frames"]):
        numbers.setdefault(str(frame["name"]), number)
    if missing := [photo.name for photo in photos if photo.name not in numbers]:
        raise CvatError(
            f"task {task_id} has not the photos {', '.join(missing[:_SHOWN])}{' …' if len(missing) > _SHOWN else ''} "
            f"({len(missing)} of {len(photos)}): choose another name for the task, or push the photos it has"
        )
    frames = [(numbers[photo.name], photo) for photo in photos]
    for number, photo in frames:
        there = int(meta["frames"][number]["width"]), int(meta["frames"][number]["height"])
        if there != photo.size_wh:
            raise CvatError(
                f"photo {photo.name} has {there[0]} x {there[1]} px in task {task_id}, and "
                f"{photo.size_wh[0]} x {photo.size_wh[1]} px here: it is another photo, or turned otherwise"
            )
    return frames


# ---------------------------------------------------------------------------------------------- reading and writing


def _read(client: Client, task_id: int) -> Raw:
    doing = f"read what is drawn in task {task_id}"
    there: Raw = cvat_server.get_json(client, f"/api/tasks/{task_id}/annotations/", doing)
    return there


def _autos(there: Raw) -> dict[Key, Raw]:
    return {(kind, int(raw["id"])): raw for kind in _KINDS for raw in there.get(kind) or () if is_auto(raw)}


def _send(client: Client, task_id: int, frames: Sequence[tuple[int, DrawnPhoto]], labels: Labels) -> None:
    """Write what is drawn; a photo's in one request, which the server takes as a whole or not at all."""
    drawn = [(frame, photo) for frame, photo in frames if photo.drawn]
    with tqdm(total=len(drawn), desc=f"task {task_id}", unit="photo", disable=not drawn) as bar:
        for chunk in _chunks(drawn):
            body = cvat_json.to_annotations_request(chunk, labels)
            _patch(client, task_id, "create", body, f"draw on {len(chunk)} photos of task {task_id}")
            bar.update(len(chunk))


def _chunks(frames: Iterable[tuple[int, DrawnPhoto]]) -> Iterator[list[tuple[int, DrawnPhoto]]]:
    chunk: list[tuple[int, DrawnPhoto]] = []
    size = 0
    for frame, photo in frames:
        numbers = sum(_numbers(one) for one in photo.drawn)
        if chunk and size + numbers > _MOST_NUMBERS:
            yield chunk
            chunk, size = [], 0
        chunk.append((frame, photo))
        size += numbers
    if chunk:
        yield chunk


def _numbers(one: Drawn) -> int:
    """How long a shape is, roughly: its coordinates, or of a mask as many runs as it has rows twice."""
    rows = 0 if one.mask is None else 4 * len(one.mask)
    return 20 + one.xy_px.size + rows + sum(map(_numbers, one.elements))


def _remove_unchanged(client: Client, task_id: int, old: Mapping[Key, Raw]) -> dict[Key, Raw]:
    """Take out those of the old shapes that are as they were, and give these."""
    now = _autos(_read(client, task_id)) if old else {}
    same = [key for key, raw in old.items() if key in now and _fixed(now[key]) == _fixed(raw)]
    for start in range(0, len(same), _MOST_REMOVED):
        body: Raw = {"version": 0, "tags": [], "shapes": [], "tracks": []}
        for key in same[start : start + _MOST_REMOVED]:
            body[key[0]].append(old[key])
        _patch(client, task_id, "delete", body, f"take old predictions out of task {task_id}")
    return {key: old[key] for key in same}


def _fixed(raw: Raw) -> Raw:
    """A shape with its points in a fixed order, which CVAT does not keep."""
    return {**raw, "elements": sorted(raw.get("elements") or (), key=lambda element: int(element["id"]))}


def _patch(client: Client, task_id: int, action: str, body: Raw, doing: str) -> None:
    cvat_server.patch_json(client, f"/api/tasks/{task_id}/annotations/", doing, body, action=action)


def _count(frames: Iterable[tuple[int, DrawnPhoto]]) -> int:
    return sum(len(photo.drawn) for _, photo in frames)
