"""FiftyOne dataset -> CVAT: a project with labels, tasks with photos in their subsets, and shapes to begin with.

python -m data_engineering.push reef_2024 --project "Corals" --field yolo --dry-run
python -m data_engineering.push reef_2024 --project "Corals" --field yolo
python -m data_engineering.push reef_2024 --project "Corals" --field yolo --replace-auto

Photos tagged train, val or test become a task each, in the subset of that name. It may be broken off and run again: it
goes on where it was, makes no second task, and never touches what a human drew.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data_engineering.cvat_push import Pushed
    from quadrat.drawn import Drawn, DrawnPhoto, Labels

SPLITS = ("train", "val", "test")


def main(
    name: str,
    *,
    project: str,
    field: str = "ground_truth",
    task: str | None = None,
    view: str | None = None,
    tags: Sequence[str] = (),
    replace_auto: bool = False,
    dry_run: bool = False,
) -> dict[str, Pushed]:
    """Push photos and shapes.

    Args:
        name: of the dataset.
        project: name of the CVAT project; made with the dataset's labels if there is none.
        field: of the shapes: what people drew, or predictions.
        task: name of the task; by default the dataset's. Where there are several subsets, each has its task with the
            subset behind the name.
        view: only photos and shapes of this saved view.
        tags: only photos with one of these tags.
        replace_auto: in tasks that are there, put the shapes in the place of those with the source ``auto``.
        dry_run: only say what would be done.

    Returns:
        Name of each task -> what was done.

    Raises:
        ValueError: no such dataset, field or view; no photo; a server that does not answer or refuses.
    """
    from data_engineering import cvat_push, cvat_server, dataset

    collection = dataset.collection_of(name, field, view=view, tags=tags)
    photos = distinct([predicted(photo) if field != dataset.GROUND_TRUTH else photo for photo in collection.photos])
    if not photos:
        raise ValueError(f"dataset {name!r} has no photo to push: choose another --view or other --tags")
    parts = _by_split(photos)
    pushed: dict[str, Pushed] = {}
    with cvat_server.connect() as client:
        made = cvat_push.create_project(client, project, definitions(collection.labels, photos), dry_run=dry_run)
        for split, some in parts.items():
            title = f"{task or name} ({split})" if len(parts) > 1 and split else task or name
            if made is None:  # a dry run that would make the project
                pushed[title] = cvat_push.Pushed(None, True, sum(len(photo.drawn) for photo in some))
                continue
            pushed[title] = cvat_push.push_task(client, made, title, some, subset=split, dry_run=dry_run)
            task_id = pushed[title].task_id
            if replace_auto and not pushed[title].created and task_id is not None:
                names = cvat_push.upload_names(some)
                renamed = [replace(photo, name=names[photo.name]) for photo in some]
                pushed[title] = cvat_push.replace_auto(client, task_id, renamed, dry_run=dry_run)
    return pushed


def predicted(photo: DrawnPhoto) -> DrawnPhoto:
    """A network's answer as CVAT keeps it: source auto, the score as the attribute ``confidence`` as well."""
    return replace(photo, drawn=tuple(map(_predicted, photo.drawn)))


def _predicted(one: Drawn) -> Drawn:
    from quadrat.drawn import CONFIDENCE

    points = tuple(replace(point, source="auto") for point in one.elements)
    attributes = {CONFIDENCE: str(round(100 * one.score)), **one.attributes}
    return replace(one, source="auto", attributes=attributes, elements=points)


def distinct(photos: Sequence[DrawnPhoto]) -> list[DrawnPhoto]:
    """The photos under names that differ: those that share one get the folder of their file before it."""
    names = [photo.name for photo in photos]
    twice = {one for one in names if names.count(one) > 1}
    return [replace(one, name=_longer(one)) if one.name in twice else one for one in photos]


def _longer(photo: DrawnPhoto) -> str:
    assert photo.path is not None
    return "/".join(photo.path.parts[-2:])


def definitions(labels: Labels, photos: Iterable[DrawnPhoto]) -> list[dict[str, Any]]:
    """Label definitions for a project that shall hold what is drawn: those that there are, and what lacks.

    Args:
        labels: known definitions.
        photos: with the shapes.
    """
    from quadrat.drawn_labels import Seen

    # A network's masks are corrected with whatever tool a person likes.
    return [{**one, "type": "any"} if one.get("type") == "mask" else dict(one) for one in Seen(labels).of(photos)]


def _by_split(photos: Iterable[DrawnPhoto]) -> dict[str, list[DrawnPhoto]]:
    parts: dict[str, list[DrawnPhoto]] = defaultdict(list)
    for photo in photos:
        tagged = [split for split in SPLITS if split in photo.facts.get("tags", ())]
        parts[tagged[0] if len(tagged) == 1 else ""].append(photo)
    return dict(parts)


def describe(pushed: dict[str, Pushed], dry_run: bool) -> str:
    """What was done, a line a task."""
    verb, several = ("would be", "would be") if dry_run else ("was", "were")
    lines = []
    for title, one in pushed.items():
        task = "a new task" if one.task_id is None else f"task {one.task_id}"
        made = f"{verb} made" if one.created else "is there"
        removed = f", {one.removed} {several} taken out" if one.removed else ""
        lines.append(f"{title}: {task} {made}; shapes: {one.shapes} {several} drawn{removed}")
        if one.left_alone:
            lines.append(f"  {len(one.left_alone)} photos have annotations already and were left alone")
    return "\n".join(lines)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_engineering.push", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="FiftyOne dataset")
    parser.add_argument("--project", required=True, help="name of the CVAT project; made if it is not there")
    parser.add_argument("--field", default="ground_truth", help="of the shapes (default ground_truth)")
    parser.add_argument("--task", help="name of the task (default: the dataset's)")
    parser.add_argument("--view", help="only what this saved view shows")
    parser.add_argument("--tags", nargs="+", default=(), metavar="TAG", help="only photos with one of these tags")
    parser.add_argument(
        "--replace-auto", action="store_true", help="replace shapes that no human touched in tasks that are there"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = _parse(None)
    try:
        print(describe(main(**vars(arguments)), arguments.dry_run))
    except (ValueError, OSError) as error:
        sys.exit(f"push: {error}")
