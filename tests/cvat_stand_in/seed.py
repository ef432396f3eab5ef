"""Projects, tasks and annotations without HTTP, for tests and benchmarks that need many quickly."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tests.cvat_stand_in import annotations, data, projects, tasks
from tests.cvat_stand_in.http import Call
from tests.cvat_stand_in.shapes import Labels, check_body, clean
from tests.cvat_stand_in.state import Job, Photo, Project, State, Task, User


def picture(width: int = 64, height: int = 48, shade: int = 0) -> bytes:
    """A small JPEG, different for each shade."""
    written = io.BytesIO()
    Image.new("RGB", (width, height), (shade % 256, 255 - shade % 256, (shade * 7) % 256)).save(written, "JPEG")
    return written.getvalue()


class Seeds:
    """What a `Server` can do besides serving."""

    state: State

    def call(self, user: User | str = "bridge") -> Call:
        raise NotImplementedError

    def add_project(self, name: str, labels: Sequence[Mapping[str, Any]] = (), *, user: str = "bridge") -> Project:
        """Make a project with labels as CVAT's constructor has them."""
        with self.state.lock:
            record = projects.add_project(self.call(user), name, [dict(label) for label in labels])
            self.state.save()
            return record

    def add_task(
        self,
        project: Project | int | None,
        name: str,
        photos: Mapping[str, bytes | Path] | Iterable[str],
        *,
        subset: str = "",
        segment_size: int = 0,
        user: str = "bridge",
        completed: bool = False,
    ) -> Task:
        """Make a task with its photos.

        Args:
            project: its project, or ``None``.
            name: of the task.
            photos: bytes or file by name (a file is used where it lies, so that 10,000 photos can share one); a list of
                names gets small pictures; without any the task has no data yet.
            subset: of the task.
            segment_size: photos per job; 0 puts all into one.
            user: who owns it.
            completed: whether its jobs are accepted and completed.
        """
        given = photos if isinstance(photos, Mapping) else {n: picture(shade=i) for i, n in enumerate(photos)}
        with self.state.lock:
            call = self.call(user)
            number = project.id if isinstance(project, Project) else project
            task = tasks.add_task(call, name, number, subset=subset, segment_size=segment_size)
            if given:
                task.data = self.state.next("data")
                data.place_photos(call, task, [self._photo(task, name, content) for name, content in given.items()])
            if completed:
                self.complete(task)
            self.state.save()
            return task

    def _photo(self, task: Task, name: str, content: bytes | Path) -> Photo:
        path = content if isinstance(content, Path) else self.state.folder / "data" / str(task.data) / name
        if isinstance(content, bytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        with Image.open(path) as image:
            return Photo(name, path, *image.size)

    def complete(self, task: Task) -> None:
        """Accept and complete all jobs of a task."""
        with self.state.lock:
            for job in self.jobs(task):
                job.stage, job.state, job.status, job.updated = "acceptance", "completed", "completed", self.state.now()
            task.status, task.updated = "completed", self.state.now()

    def jobs(self, task: Task | int) -> list[Job]:
        """The jobs of a task, by frame."""
        return list(self.state.jobs_of(task.id if isinstance(task, Task) else task))

    def labels(self, project: Project | int) -> dict[str, int]:
        """Ids of the labels of a project by name; sublabels as "skeleton/point"."""
        number = project.id if isinstance(project, Project) else project
        own = {label.id: label for label in projects.labels_of(self.state, project=number)}
        return {
            label.name if label.parent is None else f"{own[label.parent].name}/{label.name}": label.id
            for label in own.values()
        }

    def draw(
        self, task: Task, shapes: Sequence[Mapping[str, Any]] = (), tags: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Add shapes and tags to a task, checked as in a PATCH; frames count over the task."""
        body = {"shapes": [dict(shape) for shape in shapes], "tags": [dict(tag) for tag in tags], "tracks": []}
        with self.state.lock:
            call = self.call()
            check_body(body)
            labels = Labels(call, task.id)
            for shape in [*body["shapes"], *body["tags"]]:
                labels.check(shape)
            cleaned = {name: [clean(shape, name) for shape in some] for name, some in body.items()}
            for job, part in annotations.split(cleaned, self.jobs(task)):
                annotations.write(call, job, "create", part)
            self.state.save()

    def drawn(self, task: Task | int) -> list[dict[str, Any]]:
        """The shapes of a task as they are stored."""
        with self.state.lock:
            return [
                shape
                for job in self.jobs(task)
                if job.id in self.state.annotations
                for shape in self.state.annotations[job.id].shapes
            ]
