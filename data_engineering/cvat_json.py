"""CVAT's JSON, of its API and of its backups, to and from `quadrat.drawn`. Nothing here needs a server or cvat-sdk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from data_engineering import cvat_shapes
from data_engineering.cvat_shapes import Names, Raw, definitions
from data_engineering.formats.collection import Collection, FormatError
from quadrat.drawn import Drawn, DrawnPhoto, Labels
from quadrat.drawn_labels import missing_sentences

_SHAPES, _TAGS = "shapes", "tags"

Frame = tuple[str, tuple[int, int]]
"""Name of a photo in a task, and its width and height in px."""


def to_collection(
    task: Raw, jobs: Sequence[Raw], meta: Raw, labels: Labels, annotations: Raw, *, project_name: str = ""
) -> Collection:
    """What a server has of a task.

    Args:
        task: ``GET /api/tasks/N``.
        jobs: all results of ``GET /api/jobs?task_id=N``.
        meta: ``GET /api/tasks/N/data/meta``.
        labels: all results of ``GET /api/labels?task_id=N`` (or of the project), with sublabels.
        annotations: ``GET /api/tasks/N/annotations``.
        project_name: where `task` does not say it.

    Returns:
        A photo for each frame that is not deleted, with the facts ``cvat_task_id`` and so on; `path` is `None`.

    Raises:
        FormatError: a task of point clouds, or answers that do not fit together.
    """
    where = f"task {task.get('id')} {task.get('name', '')!r}"
    if task.get("dimension") == "3d":
        raise FormatError(f"{where} is of point clouds: only tasks of photos can be read")
    try:
        frames = _frames(meta)
        facts = _task_facts(task, project_name)
        deleted = {int(frame) for frame in meta.get("deleted_frames") or []}
        kept, left_out = _without_repeats(frames, deleted, jobs)
        photos = _photos(
            {number: frames[number] for number in kept},
            [annotations],
            Names.of(labels),
            lambda frame: facts | _job_facts(task, jobs, frame),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"{where}: CVAT's answers do not fit together ({error!r}): pull the task again") from error
    lost = _outside_sentences([annotations], range(len(frames)), where)
    return Collection(_said_on_first(photos, [*left_out, *lost]), definitions(labels), str(task.get("name", "")))


def from_backup(
    task: Raw, annotations: Sequence[Raw], frames: Sequence[Frame], *, project_name: str = ""
) -> Collection:
    """What a backup has of a task.

    Args:
        task: ``task.json``.
        annotations: ``annotations.json``, an item for each job.
        frames: photos in the order of the task's frames.
        project_name: of the backup of a project; empty for a task's.

    Raises:
        FormatError: the parts of the backup do not fit together.
    """
    where = f"the task {task.get('name', '')!r} of the backup"
    annotations, said = _without_checks(task.get("jobs") or [], annotations, where)
    try:
        labels = definitions(task["labels"])
        deleted = {int(frame) for frame in task.get("data", {}).get("deleted_frames") or []}
        facts = {
            "cvat_task_name": task.get("name"),
            "cvat_subset": task.get("subset"),
            "cvat_project_name": project_name,
        }
        facts = {key: value for key, value in facts.items() if value}
        kept = {number: frame for number, frame in enumerate(frames) if number not in deleted}
        photos = _photos(kept, annotations, Names.of(labels), lambda _: facts)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"{where} is damaged ({error!r}): make the backup again") from error
    lost = _outside_sentences(annotations, range(len(frames)), where)
    return Collection(_said_on_first(photos, [*said, *lost]), labels, str(task.get("name", "")))


def _without_checks(jobs: Sequence[Raw], annotations: Sequence[Raw], where: str) -> tuple[list[Raw], list[str]]:
    """Without what was drawn to check annotators: a second time on photos that a job of annotation has too."""
    checks = [job.get("type", "annotation") != "annotation" for job in jobs[: len(annotations)]]
    covered = {frame for job, check in zip(jobs, checks, strict=False) if not check for frame in _job_frames(job)}
    if not any(checks):
        return list(annotations), []
    kept: list[Raw] = []
    left_out = 0
    for number, part in enumerate(annotations):
        if number < len(checks) and checks[number]:
            fresh = {
                key: [raw for raw in part.get(key) or [] if raw["frame"] not in covered] for key in (_TAGS, _SHAPES)
            }
            left_out += sum(len(part.get(key) or []) - len(fresh[key]) for key in (_TAGS, _SHAPES))
            kept.append({**part, **fresh})
        else:
            kept.append(part)
    sentence = f"{where}: {left_out} shapes or tags that were drawn a second time to check annotators were left out."
    return kept, [sentence] if left_out else []


def _photos(
    frames: Mapping[int, Frame],
    annotations: Sequence[Raw],
    names: Names,
    facts: Callable[[int], Mapping[str, Any]],
) -> list[DrawnPhoto]:
    by_frame: dict[int, list[Raw]] = {}
    for part in annotations:
        for key in (_TAGS, _SHAPES):
            for raw in part.get(key) or []:
                by_frame.setdefault(int(raw["frame"]), []).append(raw)
    tracks = _track_sentences(annotations, names)
    made = []
    for number, (name, size_wh) in frames.items():
        drawn, problems = _drawn(by_frame.get(number, ()), names, size_wh)
        said = tuple(f"{name}: {sentence}" for sentence in (*problems, *tracks.get(number, ())))
        made.append(DrawnPhoto(name, size_wh, tuple(drawn), None, {**facts(number), "cvat_frame": number}, said))
    return made


def _drawn(raws: Iterable[Raw], names: Names, size_wh: tuple[int, int]) -> tuple[list[Drawn], list[str]]:
    drawn: list[Drawn] = []
    problems: list[str] = []
    for raw in raws:
        one, said = cvat_shapes.read(raw, names, size_wh)
        problems += said
        if one is not None:
            drawn.append(one)
            problems += missing_sentences(one, names.points)
    return drawn, problems


def _track_sentences(annotations: Sequence[Raw], names: Names) -> dict[int, list[str]]:
    said: dict[int, list[str]] = {}
    for part in annotations:
        for track in part.get("tracks") or []:
            try:
                label = f" of {names.label(track)[1]!r}"
            except ValueError:
                label = ""
            said.setdefault(int(track.get("frame", 0)), []).append(
                f"a track{label} that begins here was left out: places between its key frames are not kept on the "
                'server. Export the task as "CVAT for images 1.1", which draws it on every photo, and read that file.'
            )
    return said


def _outside_sentences(annotations: Sequence[Raw], frames: range, where: str) -> list[str]:
    lost = [
        raw["frame"]
        for part in annotations
        for key in (_TAGS, _SHAPES)
        for raw in part.get(key) or []
        if raw["frame"] not in frames
    ]
    if not lost:
        return []
    return [f"{where}: {len(lost)} shapes or tags lie on frames that the task has not ({min(lost)} and the like)."]


def _said_on_first(photos: list[DrawnPhoto], sentences: Sequence[str]) -> list[DrawnPhoto]:
    """What is wrong with the task as a whole stands with its first photo."""
    if not photos or not sentences:
        return photos
    first = photos[0]
    told = DrawnPhoto(first.name, first.size_wh, first.drawn, first.path, first.facts, (*first.problems, *sentences))
    return [told, *photos[1:]]


# ---------------------------------------------------------------------------------------------- frames and jobs


def _frames(meta: Raw) -> list[Frame]:
    """Name and size by frame number; a video has them once for all its frames."""
    given = [(str(one["name"]), (int(one["width"]), int(one["height"]))) for one in meta["frames"]]
    count = int(meta.get("size") or len(given))
    if len(given) == 1 and count > 1:
        step = re.search(r"step\s*=\s*(\d+)", meta.get("frame_filter") or "")
        start, every = int(meta.get("start_frame") or 0), int(step[1]) if step else 1
        return [(f"frame_{start + every * number:06d}", given[0][1]) for number in range(count)]
    if len(given) != count:
        raise ValueError(f"{len(given)} photos listed for {count} frames")
    return given


def _without_repeats(frames: Sequence[Frame], deleted: set[int], jobs: Sequence[Raw]) -> tuple[list[int], list[str]]:
    """Numbers of the frames to keep: of a photo that CVAT shows again to check annotators, the one with the truth."""
    truth = {frame for job in jobs if job.get("type") == "ground_truth" for frame in _job_frames(job)}
    of_name: dict[str, int] = {}
    said: list[str] = []
    for number, (name, _) in enumerate(frames):
        if number in deleted:
            continue
        if name in of_name:
            old = of_name[name]
            of_name[name] = number if number in truth and old not in truth else old
            other = old if of_name[name] == number else number
            said.append(f"{name} is there twice: what was drawn on frame {other}, a check of annotators, was left out.")
        else:
            of_name[name] = number
    return sorted(of_name.values()), said


def _job_frames(job: Raw) -> range:
    return range(int(job.get("start_frame") or 0), int(job.get("stop_frame", -1)) + 1)


def _task_facts(task: Raw, project_name: str) -> dict[str, Any]:
    facts = {
        "cvat_task_id": task.get("id"),
        "cvat_task_name": task.get("name"),
        "cvat_subset": task.get("subset"),
        "cvat_project_id": task.get("project_id"),
        "cvat_project_name": task.get("project_name") or project_name,
    }
    return {key: value for key, value in facts.items() if value not in (None, "")}


def _job_facts(task: Raw, jobs: Sequence[Raw], frame: int) -> dict[str, Any]:
    """The job that a frame belongs to, and who worked on it; a job of annotation goes before one of ground truth."""
    here = [job for job in jobs if frame in _job_frames(job)]
    own = sorted((job for job in here if job.get("parent_job_id") is None), key=_rank)
    people = [_username(job.get("assignee")) for job in here]
    people = [name for name in dict.fromkeys(people) if name] or [_username(task.get("assignee"))]
    facts: dict[str, Any] = {"cvat_job_id": own[0]["id"]} if own else {}
    return facts | ({"annotators": people} if people != [""] else {})


def _rank(job: Raw) -> tuple[bool, int]:
    return job.get("type", "annotation") != "annotation", int(job["id"])


def _username(user: Raw | None) -> str:
    return str(user.get("username") or "") if user else ""


# ---------------------------------------------------------------------------------------------- writing


def to_annotations_request(photos: Sequence[tuple[int, DrawnPhoto]], labels: Labels) -> dict[str, Any]:
    """The body that puts what was drawn into a task: ``PATCH /api/tasks/N/annotations?action=create``.

    Skeletons are complete: points that one has not are outside, at the mean of the others.

    Args:
        photos: number of the frame in the task, and what to draw there.
        labels: the server's, with numbers and sublabels.

    Raises:
        ValueError: a label, a point of a skeleton or an attribute that the server has not; all are named.
    """
    server = {str(label["name"]): label for label in labels}
    _refuse_unknown((one for _, photo in photos for one in photo.drawn), server)
    body: dict[str, Any] = {"version": 0, "tags": [], "shapes": [], "tracks": []}
    for frame, photo in photos:
        for one in photo.drawn:
            body[_TAGS if one.kind == "tag" else _SHAPES].append(_numbered(one, frame, server))
    return body


def _numbered(one: Drawn, frame: int, labels: Mapping[str, Raw]) -> dict[str, Any]:
    label = labels[one.label]
    specs = {str(spec["name"]): spec["id"] for spec in label.get("attributes") or []}
    attributes = [{"spec_id": specs[name], "value": value} for name, value in one.attributes.items()]
    raw = {**cvat_shapes.write(one, frame), "label_id": label["id"], "attributes": attributes}
    if one.kind == "skeleton":
        points = {str(sub["name"]): sub for sub in label.get("sublabels") or []}
        raw["elements"] = [_numbered(point, frame, points) for point in cvat_shapes.complete(one, points)]
    return raw


def _refuse_unknown(drawn: Iterable[Drawn], labels: Mapping[str, Raw]) -> None:
    unknown: dict[str, None] = {}
    for one in drawn:
        label = labels.get(one.label)
        if label is None:
            unknown[f"label {one.label!r}"] = None
            continue
        for what in _unknown_of(one, label):
            unknown[f"{what} of {one.label!r}"] = None
    if unknown:
        raise ValueError(
            f"the labels of CVAT lack what is to be drawn: {', '.join(unknown)}. "
            "Add it in the project's label constructor, or map the labels to those that are there."
        )


def _unknown_of(one: Drawn, label: Raw) -> list[str]:
    specs = {str(spec["name"]) for spec in label.get("attributes") or []}
    found = [f"attribute {name!r}" for name in one.attributes if name not in specs]
    points = {str(sub["name"]): sub for sub in label.get("sublabels") or []}
    for element in one.elements:
        if element.label not in points:
            found.append(f"point {element.label!r}")
        else:
            found += [f"{what} of point {element.label!r}" for what in _unknown_of(element, points[element.label])]
    return found


def to_backup(photos: Iterable[tuple[int, DrawnPhoto]], labels: Labels) -> dict[str, Any]:
    """The item of ``annotations.json`` for one job: as a request, with names instead of numbers.

    Args:
        photos: number of the frame in the task, and what was drawn there.
        labels: definitions; skeletons are made complete by them.

    Raises:
        ValueError: a label, a point of a skeleton or an attribute that has no definition; all are named.
    """
    photos = list(photos)
    _refuse_unknown((one for _, photo in photos for one in photo.drawn), {str(one["name"]): one for one in labels})
    points = Names.of(labels).points
    body: dict[str, Any] = {"version": 0, "tags": [], "shapes": [], "tracks": []}
    for frame, photo in photos:
        for one in photo.drawn:
            body[_TAGS if one.kind == "tag" else _SHAPES].append(_named(one, frame, points))
    return body


def _named(one: Drawn, frame: int, points: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    attributes = [{"name": name, "value": value} for name, value in one.attributes.items()]
    raw = {**cvat_shapes.write(one, frame), "label": one.label, "attributes": attributes}
    if one.kind == "skeleton":
        raw["elements"] = [_named(p, frame, {}) for p in cvat_shapes.complete(one, points.get(one.label, ()))]
    return raw
