"""One photo through the chain: asked, judged, written; the same whichever engine runs it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from deploy import chain
from deploy.asking import Answer, Told
from deploy.chain import CLEAN, COLONIES, CORNERS, GRID
from deploy.pipeline import record
from deploy.pipeline.record import DONE, REVIEW, Job, Record
from quadrat import images, mapping
from quadrat.files import write_bytes
from quadrat.formats import overlay, shapes_json
from quadrat.mapping import QuadratMapping
from quadrat.shapes import HIDDEN, Annotations, Keypoints, Shape
from quadrat.verdict import FAILED, OK, verdict_of

GUIDES = {"a": (COLONIES,), "b": (CORNERS, COLONIES), "c": (CORNERS, GRID, CLEAN, COLONIES)}
"""The functions of each guide of the workflow: colonies alone; on the rectified quadrat; and without its grid."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How photos are done.

    Attributes:
        guide: which of `GUIDES`.
        threshold: lowest score of a colony, 0..1; `None` leaves it to the function.
        size_cm: inner width and height of the frame.
        px_per_cm: scale of the quadrats; `None` keeps that of the photo.
        margin: room round the frame, over its longer side.
        carry_on: go on past a verdict below ok, as far as there are points.
        overlays: draw the colonies over each photo.
    """

    guide: str = "c"
    threshold: float | None = None
    size_cm: tuple[float, float] = chain.SIZE_CM
    px_per_cm: float | None = None
    margin: float = chain.MARGIN
    carry_on: bool = False
    overlays: bool = True

    def __post_init__(self) -> None:
        if self.guide not in GUIDES:
            raise ValueError(f"guide is {self.guide!r}: expected one of {', '.join(GUIDES)}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}: expected a number 0..1")
        if not 0 <= self.margin <= 1:
            raise ValueError(f"margin is {self.margin}: expected a share of the frame's side, 0..1")
        lengths = [*self.size_cm, *([] if self.px_per_cm is None else [self.px_per_cm])]
        if not all(0 < length < np.inf for length in lengths):
            raise ValueError(f"size_cm is {self.size_cm}, px_per_cm {self.px_per_cm}: expected numbers above 0")

    @property
    def functions(self) -> tuple[str, ...]:
        """Those that are asked, in order."""
        return GUIDES[self.guide]


@dataclass(frozen=True, slots=True)
class Plan:
    """What an engine needs to do a photo.

    Attributes:
        out: where the results lie.
        urls: of the functions, by name.
        made_by: settings and models as they stand in each record.
    """

    out: Path
    settings: Settings
    urls: Mapping[str, str]
    made_by: Mapping[str, Any]

    @classmethod
    def make(cls, out: Path, settings: Settings, urls: Mapping[str, str], models: Mapping[str, str]) -> Plan:
        """The plan for functions that run, by the models that they hold."""
        made_by = {"settings": asdict(settings), "models": dict(models)}
        return cls(out, settings, urls, json.loads(json.dumps(made_by)))  # as a record gives it back


class _Stopped(Exception):
    """A person must look before the photo can go on."""


@dataclass(slots=True)
class _Work:
    """A photo in the making."""

    job: Job
    plan: Plan
    data: bytes
    size_wh: tuple[int, int]
    request_id: str
    stage: str = ""
    reasons: list[str] = field(default_factory=list)
    verdicts: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    colonies: int = 0

    def path(self, kind: str) -> Path:
        """Where a file of that kind goes, which is noted."""
        self.files.append(kind)
        return record.path_of(self.plan.out, kind, self.job.name)

    def write_shapes(self, kind: str, size_wh: tuple[int, int], shapes: Sequence[Shape], name: str = "") -> Annotations:
        """Keep shapes; `name` is that of the picture they are of, by default the photo."""
        meta = {"functions": {function: dict(facts) for function, facts in self.facts.items()}, "note": self.note}
        made = Annotations(name or self.job.inside, size_wh, tuple(shapes), meta)
        shapes_json.write(self.path(kind), made)
        return made

    @property
    def note(self) -> str:
        """What must be known of the weights, each sentence once."""
        return " ".join(self.notes)

    def ask(self, function: str, picture: bytes, size_wh: tuple[int, int], threshold: float | None = None) -> Answer:
        """Ask a detector."""
        url = self.plan.urls[function]
        answer = chain.found(url, picture, size_wh, threshold, request_id=self.request_id)
        self.tell(function, answer.facts, answer.note)
        return answer

    def tell(self, function: str, facts: Mapping[str, Any], note: str) -> None:
        """Note what a function said."""
        self.facts[function] = dict(facts)
        if note:
            self.notes[note] = None

    def judge(self, stage: str, told: Told | None, points: Keypoints | None) -> bool:
        """Whether there are points to go on with; stops where a person must look first."""
        told = told or Told(FAILED if points is None else OK, 0.0, ("no verdict is given",) if points is None else ())
        self.verdicts[stage] = {
            "status": told.status,
            "score": told.score,
            "reasons": list(told.reasons),
            "layout": told.layout,
        }
        if told.status == OK and points is not None:
            return True
        reasons = told.reasons or ("the function found nothing, and says that this is ok",)
        self.reasons += [f"{stage}: {reason}" for reason in reasons]
        if not self.plan.settings.carry_on:
            raise _Stopped
        return points is not None

    def stop(self, reason: str) -> NoReturn:
        """Give the photo to a person.

        Raises:
            _Stopped: always.
        """
        self.reasons.append(f"{self.stage}: {reason}")
        raise _Stopped


def process(job: Job, plan: Plan) -> Record:
    """Do one photo, or find that it is done.

    Raises:
        FunctionError: a function cannot be used, for no photo.
        AnswerError: a function has no answer for this photo.
        ValueError, OSError: the photo cannot be read, or a result cannot be written.
    """
    start = time.perf_counter()
    data = _read(job.photo)
    digest = hashlib.sha256(data).hexdigest()
    done = record.known(plan.out, job, digest, plan.made_by)
    if done is not None:
        return done
    record.clear(plan.out, job.name)
    image_rgb = images.decode(data)
    work = _Work(job, plan, data, (image_rgb.shape[1], image_rgb.shape[0]), f"photo-{digest[:16]}")
    try:
        found = _on_photo(work) if plan.settings.guide == "a" else _on_quadrat(work)
    except _Stopped:
        found = None
    if plan.settings.overlays:
        _draw(work, image_rgb, found)
    made = Record(
        *(job.name, job.inside, digest, plan.made_by, REVIEW if work.reasons else DONE, work.stage),
        reasons=tuple(work.reasons),
        verdicts=work.verdicts,
        facts=work.facts,
        files=tuple(work.files),
        colonies=work.colonies,
        seconds=round(time.perf_counter() - start, 3),
        note=work.note,
    )
    record.write(plan.out, made)  # last: what has a record is done
    return made


def _read(photo: Path) -> bytes:
    with photo.open("rb") as file:
        data = file.read(images.MAX_BYTES + 1)
    if len(data) > images.MAX_BYTES:
        raise ValueError(
            f"the photo has over {images.MAX_BYTES} bytes, the most that a function takes: save it smaller"
        )
    return data


# ------------------------------------------------------------------------------------------------ the stages


def _on_photo(work: _Work) -> Annotations:
    work.stage = "colonies"
    answer = work.ask(COLONIES, work.data, work.size_wh, work.plan.settings.threshold)
    found = work.write_shapes("colonies", work.size_wh, answer.shapes)
    work.colonies = len(found.instances)
    return found


def _on_quadrat(work: _Work) -> Annotations:
    corners = _corners(work)
    quadrat, way = _rectify(work, corners)
    if GRID in work.plan.settings.functions:
        grid = _grid(work, quadrat, way)
        quadrat = _clean(work, quadrat, grid, way) if grid else quadrat
    work.stage = "colonies"
    answer = work.ask(COLONIES, quadrat, way.size_wh, work.plan.settings.threshold)
    inside = chain.inside_frame(answer.shapes, way)
    picture = record.KINDS["quadrat"].format(work.job.name)
    work.write_shapes("quadrat-colonies", way.size_wh, inside, picture)
    back = way.shapes_to_photo(inside)
    work.colonies = len(back)
    return work.write_shapes("colonies", work.size_wh, [corners, *back])


def _corners(work: _Work) -> Keypoints:
    work.stage = "corners"
    answer = work.ask(CORNERS, work.data, work.size_wh)
    work.write_shapes("corners", work.size_wh, answer.shapes)
    points = answer.points
    if not work.judge("corners", answer.told, points) or points is None:
        raise _Stopped
    hidden = [name for name, seen in zip(points.names, np.asarray(points.visibility), strict=True) if seen == HIDDEN]
    if hidden:
        work.stop(f"corner {', '.join(hidden)} lies outside the photo")
    return points


def _rectify(work: _Work, corners: Keypoints) -> tuple[bytes, QuadratMapping]:
    work.stage = "rectify"
    settings = work.plan.settings
    try:
        quadrat, way = chain.rectified(
            work.data,
            corners.xy_px,
            name=work.job.inside,
            size_cm=settings.size_cm,
            px_per_cm=settings.px_per_cm,
            margin=settings.margin,
            verdict=verdict_of(corners),
        )
    except ValueError as error:
        work.stop(str(error))
    write_bytes(work.path("quadrat"), quadrat)
    mapping.write(work.path("mapping"), way)
    return quadrat, way


def _grid(work: _Work, quadrat: bytes, way: QuadratMapping) -> Keypoints | None:
    work.stage = "grid"
    answer = work.ask(GRID, quadrat, way.size_wh)
    work.write_shapes("grid", way.size_wh, answer.shapes, record.KINDS["quadrat"].format(work.job.name))
    return answer.points if work.judge("grid", answer.told, answer.points) else None


def _clean(work: _Work, quadrat: bytes, grid: Keypoints, way: QuadratMapping) -> bytes:
    work.stage = "clean"
    clean = chain.cleaned(work.plan.urls[CLEAN], quadrat, grid, request_id=work.request_id)
    work.tell(CLEAN, clean.facts, clean.note)
    chain.check_size(clean.file, way.size_wh)
    write_bytes(work.path("clean"), clean.file)
    return clean.file


# ------------------------------------------------------------------------------------------------ the picture


def _draw(work: _Work, image_rgb: images.Rgb, found: Annotations | None) -> None:
    """The photo with its colonies, or with what was found before it stopped."""
    shapes: Sequence[Shape] = found.shapes if found else ()
    words = f"For a person to look at: {'; '.join(work.reasons)}." if work.reasons else ""
    note = " ".join(filter(None, (words, work.note)))
    if found is None and "corners" in work.files:
        shapes = shapes_json.read(record.path_of(work.plan.out, "corners", work.job.name)).shapes
    images.write(work.path("overlay"), overlay.draw(image_rgb, shapes, title=work.job.photo.name, note=note))
