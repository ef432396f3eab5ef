"""What a format had no place for: counted while it is written, so that nothing goes missing unsaid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from quadrat.drawn import Drawn, DrawnPhoto

PROPERTIES: Mapping[str, Callable[[Drawn], int]] = {
    "attributes": lambda one: len(one.attributes),
    "group": lambda one: int(one.group != 0),
    "occluded": lambda one: int(one.occluded),
    "source": lambda one: int(one.source != "manual"),
    "score": lambda one: int(one.score != 1.0),
    "z-order": lambda one: int(one.z_order != 0),
    "rotation": lambda one: int(one.rotation % 360 != 0),
}
"""What a shape can say beside its form, and how often one says it: nothing is lost where it is as CVAT presets it."""

FACTS = {
    "cvat_task_id": "task",
    "cvat_task_name": "task",
    "cvat_job_id": "job",
    "cvat_project_name": "project",
    "cvat_project_id": "project",
    "cvat_subset": "subset",
}
"""Facts of a photo that a format may have no place for, in the words of the count."""


@dataclass(frozen=True)
class Losses:
    """A count of what was left out or changed.

    Attributes:
        counts: thing, as people call it -> how often.
    """

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, thing: str, number: int = 1) -> None:
        """Count `thing` another `number` times; nothing for 0."""
        if number:
            self.counts[thing] += number

    def of_shape(self, one: Drawn, held: Iterable[str]) -> None:
        """Count what `one` says beside its form, except the `PROPERTIES` in `held`."""
        kept = set(held)
        for name, count in PROPERTIES.items():
            if name not in kept:
                self.add(name, count(one))

    def of_photo(self, photo: DrawnPhoto, held: Iterable[str] = ()) -> None:
        """Count the task, job, project and subset of a photo, each once, except those in `held`."""
        kept = set(held)
        for thing in {FACTS[fact] for fact in photo.facts if fact in FACTS and photo.facts[fact] not in (None, "")}:
            if thing not in kept:
                self.add(thing)

    def words(self) -> str:
        """One line for people, most frequent first; empty where nothing was lost."""
        return ", ".join(f"{thing} x {number}" for thing, number in self.counts.most_common())

    def __bool__(self) -> bool:
        return bool(self.counts)
