"""Photos that were sent into a CVAT task again to be corrected: known when they come back as the photos they are.

A sample remembers where it was sent (`TASK_ID`, `PHOTO_NAME`). When that photo is pulled, the sample becomes that
task's, and remembers which photo of which task it was before (`CORRECTS`), which is passed over from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_engineering.labels import fo

CORRECTION = "correction of"
"""How the names of tasks begin that hold photos of other tasks again (`data_engineering.review_send`)."""
TASK_ID, PHOTO_NAME, CORRECTS = "sent_task_id", "sent_photo_name", "corrects"
"""Sample fields: in which task a photo is being corrected, under which name; and of which tasks it was before."""
DONE_TAGS = ("review", "fix", "sent")
"""Sample tags that go when a correction comes back."""

Key = tuple[str, int | None, str]
"""Source, task and name of a photo, which no two photos of a dataset share."""


def named(key: Key) -> str:
    """A photo as `CORRECTS` names it."""
    return "|".join(map(str, key))


def source_of(corrected: str) -> str:
    """The source that a photo of `CORRECTS` is of."""
    return corrected.split("|")[0]


def corrected(dataset: fo.Dataset) -> set[str]:
    """Photos whose correction the dataset has, as `CORRECTS` names them."""
    return set(dataset.distinct(CORRECTS)) if dataset.has_field(CORRECTS) else set()


def take(dataset: fo.Dataset, photos: Mapping[Key, Mapping[str, Any]]) -> dict[Key, str]:
    """Let the samples that these photos (with their facts) correct be theirs; returns them by the photo.

    A photo corrects the sample that was sent as it. Where nobody remembers the sending, as in a dataset that is made
    anew, a photo of a task "correction of" corrects the one of the same name in another task of its project.
    """
    found = {key: sample_id for key, facts in photos.items() if (sample_id := _sent_as(dataset, key, facts))}
    for key, sample_id in found.items():
        sample = dataset[sample_id]
        earlier = named((sample["pulled_from"], sample["cvat_task_id"], sample["photo_name"]))
        sample[CORRECTS] = [*(sample[CORRECTS] or ()), earlier]
        sample["pulled_from"], sample["cvat_task_id"], sample["photo_name"] = key
        for path in (TASK_ID, PHOTO_NAME):
            if dataset.has_field(path):
                sample[path] = None
        sample.tags = [tag for tag in sample.tags if tag not in DONE_TAGS]
        sample.save()  # in one go: cut short here or after, the next run finds it the one or the other
    return found


def _sent_as(dataset: fo.Dataset, key: Key, facts: Mapping[str, Any]) -> str | None:
    (_, task, name), field = key, fo.ViewField
    sent: list[str] = []
    if task is not None and dataset.has_field(TASK_ID):
        sent = dataset.match((field(TASK_ID) == task) & (field(PHOTO_NAME) == name)).values("id")
    if not sent and str(facts.get("cvat_task_name", "")).startswith(CORRECTION):
        same = (field("photo_name") == name) & (field("cvat_project_id") == facts.get("cvat_project_id"))
        sent = dataset.match(same & (field("cvat_task_id") != task)).values("id")
    return sent[0] if len(sent) == 1 else None
