"""Go through photos once and write the report on them: page, JSON, and a table of all problems."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tqdm import tqdm

from data_engineering import problems, report_page, report_pictures, surfaces
from data_engineering.problem_kinds import KINDS
from data_engineering.problems import Problem, Rules, SamePhotos
from data_engineering.report_figures import Figures, Tally
from data_engineering.report_pictures import Choice, Wish
from data_engineering.report_scale import Scale
from quadrat import files
from quadrat.drawn import DrawnPhoto

LISTED = 12
"""Problems of each kind that are shown with a picture."""

FORMAT = 1
"""Version of what ``report.json`` holds."""


@dataclass(frozen=True)
class Settings:
    """How a report is made.

    Attributes:
        title: of the report.
        rules: what is a problem.
        scale: how px become cm.
        to_name: what a label is called in the figures.
        listed: problems of each kind that are shown with a picture.
        cvat_url: of the CVAT server that the tasks are on; empty for no links.
        facts: what else the JSON says at the top, such as the field.
    """

    title: str
    rules: Rules = field(default_factory=Rules)
    scale: Scale = field(default_factory=Scale)
    to_name: Callable[[str], str] = str
    listed: int = LISTED
    cvat_url: str = ""
    facts: Figures = field(default_factory=dict)


def write(
    photos: Iterable[DrawnPhoto],
    out: Path,
    settings: Settings,
    *,
    total: int | None = None,
    faulty: dict[str, set[str]] | None = None,
) -> Figures:
    """Report on photos from anywhere; memory holds one at a time, and those that are shown.

    Args:
        photos: with what was drawn on them.
        out: folder that gets ``report.html``, ``report.json`` and ``problems.csv``.
        settings: how.
        total: number of photos, for the progress bar.
        faulty: gets, by ``sample_id``, the kinds of problem of each photo that has one.

    Returns:
        The figures, as in ``report.json``.
    """
    out.mkdir(parents=True, exist_ok=True)
    tally, choice, counts = Tally(settings.to_name, settings.scale), Choice(settings.listed), _Counts()
    same = SamePhotos()
    with files.atomic_write(out / "problems.csv") as draft, draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["kind", "photo", "labels", "problem", "link"])
        for photo in tqdm(photos, desc="report", unit="photo", total=total):
            ground = surfaces.of(photo)
            found = [*same.check(photo), *problems.find(photo, settings.rules, ground)]
            tally.add(photo, ground)
            choice.add(photo, ground, found, settings.to_name)
            counts.add(photo, found, frame_known=ground.frame is not None)
            table.writerows(_row(photo, problem, settings.cvat_url) for problem in found)
            if found and faulty is not None:
                faulty[str(photo.facts.get("sample_id", photo.name))] = {problem.kind for problem in found}
    figures = {
        "format": FORMAT,
        "title": settings.title,
        **settings.facts,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        **tally.figures(),
        "looks": [photo.name for photo in choice.photos()],
        "problems": counts.figures(choice, settings),
    }
    _write_page(out, figures, choice)
    files.write_json(out / "report.json", figures)
    return figures


class _Counts:
    """How many problems of each kind, on how many photos, among how many that could be checked."""

    def __init__(self) -> None:
        self._problems: Counter[str] = Counter()
        self._photos: Counter[str] = Counter()
        self._all = self._faulty = self._framed = 0

    def add(self, photo: DrawnPhoto, found: Collection[Problem], *, frame_known: bool) -> None:
        self._problems.update(problem.kind for problem in found)
        self._photos.update({problem.kind for problem in found})
        self._all, self._faulty = self._all + 1, self._faulty + bool(found)
        self._framed += frame_known

    def figures(self, choice: Choice, settings: Settings) -> Figures:
        return {
            "count": self._problems.total(),
            "photos": self._faulty,
            "kinds": [self._kind(kind, choice, settings) for kind in KINDS],
        }

    def _kind(self, kind: str, choice: Choice, settings: Settings) -> Figures:
        return {
            "kind": kind,
            "title": KINDS[kind].title,
            "advice": KINDS[kind].advice,
            "count": self._problems[kind],
            "photos": self._photos[kind],
            "checked_photos": self._checked(kind, settings.rules),
            "listed": [
                {
                    "photo": photo.name,
                    "text": problem.text,
                    "labels": sorted({photo.drawn[index].label for index in problem.shapes}),
                    "shapes": [photo.drawn[index].id for index in problem.shapes],
                    "link": link(photo, settings.cvat_url),
                }
                for photo, problem in choice.problems(kind)
            ],
        }

    def _checked(self, kind: str, rules: Rules) -> int:
        if kind == "outside_quadrat":
            return self._framed
        without = {"unknown_label": rules.knows is None, "attribute": not rules.labels, "skeleton": not rules.labels}
        return 0 if without.get(kind) else self._all


def link(photo: DrawnPhoto, cvat_url: str) -> str:
    """Where a photo is seen in CVAT; empty where that is not known."""
    task, job, frame = (photo.facts.get(key) for key in ("cvat_task_id", "cvat_job_id", "cvat_frame"))
    if not cvat_url or task is None:
        return ""
    at = "" if frame is None else f"?frame={int(frame)}"
    return f"{cvat_url}/tasks/{int(task)}" + ("" if job is None else f"/jobs/{int(job)}{at}")


def _row(photo: DrawnPhoto, problem: Problem, cvat_url: str) -> list[str]:
    labels = ", ".join(sorted({photo.drawn[index].label for index in problem.shapes}))
    return [problem.kind, photo.name, labels, problem.text, link(photo, cvat_url)]


def _write_page(out: Path, figures: Figures, choice: Choice) -> None:
    colonies = [report_pictures.colony_wish(name, *where) for name, where in choice.colonies().items()]
    photos = [Wish(f"photo {place}", photo) for place, photo in enumerate(choice.photos())]
    chosen = {kind: choice.problems(kind) for kind in KINDS}
    wishes = [*colonies, *photos, *report_pictures.problem_wishes(chosen)]
    bar = tqdm(report_pictures.draw(wishes), desc="pictures", unit="picture", total=len(wishes))
    pictures = {key: picture for key, picture in bar if picture}
    files.write_text(out / "report.html", report_page.render(figures, pictures))
