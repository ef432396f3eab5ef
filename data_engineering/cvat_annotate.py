"""Predictions of a function into a CVAT task, photo by photo.

`cvat_sdk.auto_annotation.annotate_task` sends everything at the end, in one request: a photo that the function cannot
take loses all the others, and its ``clear_existing`` takes out what humans drew. Here a few photos at a time are asked
for and written, a bad one is named at the end, and only shapes whose source is auto are ever replaced. The photo's file
goes to the function as it is, where annotate_task's has been decoded. `cvat_function.RemoteFunction` still serves both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cvat_sdk import Client
from tqdm import tqdm

from data_engineering import cvat_draw, cvat_function, cvat_photos, cvat_server
from data_engineering.cvat_draw import Pushed
from data_engineering.cvat_errors import CvatError, OutageError
from data_engineering.cvat_function import RemoteFunction
from data_engineering.function_url import AnswerError, FunctionError
from quadrat.drawn import DrawnPhoto, Labels

_AT_A_TIME = 16
_SHOWN = 20


@dataclass(frozen=True)
class Annotated:
    """What was written, or would be.

    Attributes:
        photos: number of photos that were drawn on, also where the function found nothing.
        shapes: shapes and tags that were put in.
        removed: shapes and tags with the source auto that were taken out.
        left_alone: names of photos that had something on them already and were left as they are.
        failed: a sentence for each photo that there is nothing for.
        notes: a sentence for each thing that has no place in the task, with how often.
    """

    photos: int
    shapes: int
    removed: int
    left_alone: tuple[str, ...]
    failed: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class _Tally:
    left_alone: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    photos: int = 0
    shapes: int = 0
    removed: int = 0

    def note(self, sentence: str, name: str) -> None:
        """Count a sentence; the first photo it is said of is named."""
        known = next((key for key in self.notes if key.startswith(f"{sentence} (")), f"{sentence} ({name})")
        self.notes[known] = self.notes.get(known, 0) + 1


def annotate(
    client: Client,
    task_id: int,
    url: str,
    *,
    threshold: float | None = None,
    replace_auto: bool = False,
    masks: bool = False,
    dry_run: bool = False,
    backoff_s: float = 0.5,
) -> Annotated:
    """Ask a function for every photo of a task, and draw what it answers.

    Args:
        client: of `cvat_server.connect`.
        task_id: number of the task.
        url: of the function, see `cvat_function.at`.
        threshold: lowest score, 0..1; `None` for the function's own.
        replace_auto: put it in place of shapes whose source is auto, on all photos. Otherwise photos with anything on
            them are left alone.
        masks: keep masks as masks on labels for polygons too.
        dry_run: ask, and write nothing.
        backoff_s: pause before a request to the function is repeated the first time.

    Raises:
        CvatError: the server stops us, or the task has none of the function's labels.
        FunctionError: the function cannot be used.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise CvatError(f"threshold is {threshold}: expected 0..1")
    doing = f"list the photos of task {task_id}"
    meta = cvat_server.get_json(client, f"/api/tasks/{task_id}/data/meta", doing)
    labels = cvat_draw.labels_of(client, task_id)
    function = cvat_function.at(url, labels, as_masks=masks, backoff_s=backoff_s)
    tally = _Tally()
    function = _shared(function, labels, task_id, tally)
    used = set() if replace_auto else cvat_draw.used_frames(client, task_id)
    write = cvat_draw.replace_auto if replace_auto else cvat_draw.add
    frames = list(_frames(meta, used, tally))
    with tqdm(total=len(frames), desc="annotate", unit="photo") as bar:
        for start in range(0, len(frames), _AT_A_TIME):
            photos: list[DrawnPhoto] = []
            for frame in frames[start : start + _AT_A_TIME]:
                photos += _ask(client, task_id, frame, function, threshold, tally)
                bar.update()
            _write(partial(write, client, task_id, dry_run=dry_run), photos, tally)
    notes = [sentence if often == 1 else f"{sentence}, {often} times" for sentence, often in tally.notes.items()]
    return Annotated(
        tally.photos, tally.shapes, tally.removed, tuple(tally.left_alone), tuple(tally.failed), tuple(notes)
    )


Frame = tuple[int, str, tuple[int, int]]


def _frames(meta: dict[str, Any], used: set[int], tally: _Tally) -> Iterator[Frame]:
    if len(meta["frames"]) != meta["size"]:
        raise CvatError("the task is a video: only tasks of photos can be annotated")
    gone = set(meta.get("deleted_frames") or ())
    for number, frame in enumerate(meta["frames"]):
        if number in used:
            tally.left_alone.append(frame["name"])
        elif number not in gone:
            yield number, str(frame["name"]), (int(frame["width"]), int(frame["height"]))


def _shared(function: RemoteFunction, labels: Labels, task_id: int, tally: _Tally) -> RemoteFunction:
    """The function with the labels of the task; those that the task lacks are noted."""
    there = {str(label["name"]) for label in labels}
    own = [str(label["name"]) for label in function.labels]
    if function.says_labels and not there & {*own}:
        raise CvatError(
            f"task {task_id} has none of the function's labels ({', '.join(own[:_SHOWN])}): add them to its project"
        )
    for name in own:
        if name not in there:
            tally.note(f"the function may answer {name!r}, a label that task {task_id} lacks", "all photos")
    return RemoteFunction(function.url, labels, False, function.as_masks, function.backoff_s)


def _write(write: Callable[[list[DrawnPhoto]], Pushed], photos: list[DrawnPhoto], tally: _Tally) -> None:
    """Write what is drawn; where the server refuses it, photo by photo, so that the bad one is known."""
    try:
        pushed = write(photos)
    except OutageError:
        raise
    except CvatError as error:
        if len(photos) == 1:
            tally.failed.append(f"{photos[0].name}: {error}")
            return
        for photo in photos:
            _write(write, [photo], tally)
        return
    tally.photos += len(photos) - len(pushed.left_alone)
    tally.shapes, tally.removed = tally.shapes + pushed.shapes, tally.removed + pushed.removed
    tally.left_alone += pushed.left_alone


def _ask(
    client: Client, task_id: int, frame: Frame, function: RemoteFunction, threshold: float | None, tally: _Tally
) -> list[DrawnPhoto]:
    number, name, size_wh = frame
    try:
        photo = cvat_photos.get(client, task_id, number, f"fetch photo {name} of task {task_id}")
        drawn, notes = function.draw(photo, threshold)
    except (OutageError, FunctionError):
        raise
    except (CvatError, AnswerError) as error:
        tally.failed.append(f"{name}: {error}")
        return []
    for note in notes:
        tally.note(note, name)
    return [DrawnPhoto(name, size_wh, tuple(drawn))]
