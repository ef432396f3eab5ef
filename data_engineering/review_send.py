"""What was tagged in the app as a task in CVAT, with its shapes, to be corrected there and come back by the next pull.

A photo is sent once: it gets the tag ``sent``, and ``sent_task_id`` and ``sent_photo_name`` say where it went. Who
takes the tag away sends it again. A sending that was cut short is gone on with, in the same task, by the same command.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from data_engineering import dataset as datasets
from data_engineering import push
from data_engineering.corrections import CORRECTION, PHOTO_NAME, TASK_ID
from data_engineering.drawn_fields import iter_drawn, there
from data_engineering.labels import DatasetError, fo
from data_engineering.review_fields import SENT, fields_of
from data_engineering.review_views import tagged
from quadrat.drawn import DrawnPhoto

_SENDING = "review_sending"


@dataclass(frozen=True, slots=True)
class SentTask:
    """A task that was made, or would be.

    Attributes:
        name: of the task.
        project: name or id of its project.
        subset: of the task; empty for none.
        photos: their number.
        shapes: their number.
        task_id: in CVAT; `None` in a dry run.
    """

    name: str
    project: str
    subset: str
    photos: int
    shapes: int
    task_id: int | None = None


def send(
    name: str,
    tags: Sequence[str],
    *,
    project: str | None = None,
    task: str | None = None,
    field: str = datasets.GROUND_TRUTH,
    dry_run: bool = False,
) -> list[SentTask]:
    """Make a task of the photos that have one of the tags, or a shape that has.

    Args:
        name: of the dataset.
        tags: any of them counts; photos tagged ``sent`` are left out.
        project: name or id; by default the one that all photos come from, else one named after the dataset, which is
            made if it is not there.
        task: its name; by default "correction of", the dataset and the time. Where photos come from several subsets,
            each gets a task of its own, with the subset behind the name.
        field: of the shapes to send: what people drew, or a prediction.
        dry_run: only say what would be sent.

    Returns:
        One for each subset; empty if nothing is tagged.

    Raises:
        ValueError: no such dataset or field, none of the photos has shapes in it, photos of several projects and no
            project named; CVAT cannot be reached, refuses, or lacks a label.
    """
    samples = datasets.load(name)
    task, ids = _begin(samples, tags, task or f"{CORRECTION} {name} {time.strftime('%Y-%m-%d %H:%M:%S')}")
    if not ids:
        return []
    photos = _photos(samples.select(ids, ordered=True), field)
    project = project or _project_of(photos, name)
    parts = _by_subset(photos)
    several = len(parts) > 1 or samples.info.get(_SENDING, {}).get("several", False)
    plan = [
        _planned(f"{task} ({subset or 'no subset'})" if several else task, project, subset, some)
        for subset, some in parts.items()
    ]
    if dry_run:
        return plan
    samples.info[_SENDING] = {"task": task, "several": several, "ids": ids}
    samples.save()
    sent = _send(samples, plan, list(parts.values()))
    del samples.info[_SENDING]
    samples.save()
    return sent


def _begin(samples: fo.Dataset, tags: Sequence[str], task: str) -> tuple[str, list[str]]:
    """Name of the task and ids of the photos: those of a sending that was cut short before all others."""
    unsent = samples.match(~fo.ViewField("tags").contains(SENT))
    begun = samples.info.get(_SENDING)
    if begun and (left := unsent.select(begun["ids"]).values("id")):
        return str(begun["task"]), left
    samples.info.pop(_SENDING, None)
    return task, unsent.match(tagged(samples, fields_of(samples), tuple(tags))).values("id")


def _photos(view: fo.DatasetView, field: str) -> list[DrawnPhoto]:
    """The photos with the shapes of a field, under names that are distinct."""
    photos = list(iter_drawn(view, field))
    if not any(photo.drawn for photo in photos):
        has = [f for f in view.get_field_schema(embedded_doc_type=fo.Label) if f not in there(view, field)]
        raise DatasetError(
            f"none of the {len(photos)} photos has shapes in {field!r}: choose the field to send "
            f"(there are: {', '.join(has) or 'none'})"
        )
    if not field.startswith(datasets.GROUND_TRUTH):
        photos = [push.predicted(photo) for photo in photos]
    return push.distinct(photos)


def _project_of(photos: Sequence[DrawnPhoto], name: str) -> str:
    """Id of the project that all photos come from, else the name of the dataset."""
    known = {str(photo.facts.get("cvat_project_id") or photo.facts.get("cvat_project_name") or "") for photo in photos}
    if len(known) > 1:
        listed = ", ".join(sorted(one or "no project" for one in known))
        raise DatasetError(f"the photos come from several projects ({listed}): say by --project where to send them")
    return known.pop() or name


def _by_subset(photos: Iterable[DrawnPhoto]) -> dict[str, list[DrawnPhoto]]:
    parts: dict[str, list[DrawnPhoto]] = {}
    for photo in photos:
        parts.setdefault(str(photo.facts.get("cvat_subset") or ""), []).append(photo)
    return parts


def _planned(task: str, project: str, subset: str, photos: Sequence[DrawnPhoto]) -> SentTask:
    return SentTask(task, project, subset, len(photos), sum(len(photo.drawn) for photo in photos))


def _send(samples: fo.Dataset, plan: Sequence[SentTask], parts: Sequence[Sequence[DrawnPhoto]]) -> list[SentTask]:
    from data_engineering import cvat_push, cvat_server
    from data_engineering.cvat_errors import MissingError

    sent = []
    with cvat_server.connect() as client:
        try:
            project = cvat_server.find_project(client, plan[0].project)
        except MissingError:
            known = samples.info.get(datasets.CVAT_LABELS, ())
            labels = push.definitions(known, [photo for part in parts for photo in part])
            project = cvat_push.create_project(client, plan[0].project, labels)
        for one, photos in zip(plan, parts, strict=True):
            pushed = cvat_push.push_task(client, project, one.name, photos, subset=one.subset)
            uploaded = cvat_push.upload_names(photos)
            _mark(samples, {str(photo.facts["sample_id"]): uploaded[photo.name] for photo in photos}, pushed.task_id)
            sent.append(replace(one, project=project.name, task_id=pushed.task_id))
    return sent


def _mark(samples: fo.Dataset, names: dict[str, str], task_id: int | None) -> None:
    """Say where photos went; the tag comes last, so that all is said of who has it."""
    samples.add_sample_field(TASK_ID, fo.IntField)
    samples.add_sample_field(PHOTO_NAME, fo.StringField)
    samples.set_values(TASK_ID, dict.fromkeys(names, task_id), key_field="id")
    samples.set_values(PHOTO_NAME, names, key_field="id")
    samples.select(list(names)).tag_samples(SENT)
