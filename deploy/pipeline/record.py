"""What was made of a photo: its files, and the record that is written last and says that they are whole.

A photo is done when its record is there and names the same photo, settings and models. All files are put under their
name by renaming, so whatever is stopped or killed leaves a photo done or to be done again, never half done.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any

from quadrat.files import write_json

FORMAT, VERSION = "quadratseg-record", 1
DONE, REVIEW = "done", "review"

KINDS = {
    "corners": "corners/{}.json",
    "quadrat": "quadrats/{}.jpg",
    "mapping": "quadrats/{}.mapping.json",
    "grid": "grids/{}.json",
    "clean": "clean/{}.jpg",
    "quadrat-colonies": "quadrat-colonies/{}.json",
    "colonies": "colonies/{}.json",
    "overlay": "overlays/{}.jpg",
}
"""What may be made of a photo, and where below the results it lies; the record itself in `RECORD`."""
RECORD = "records/{}.json"

_DRAFT = re.compile(r"\..*-\w{8}\.(json|jpg)")  # as `quadrat.files.atomic_write` names them


@dataclass(frozen=True, slots=True)
class Job:
    """A photo to be done.

    Attributes:
        photo: its file.
        name: of its results: its path below the folder given, without suffix, unlike any other's.
    """

    photo: Path
    name: str

    @property
    def inside(self) -> str:
        """The photo's path below the folder given."""
        return (PurePath(self.name).parent / self.photo.name).as_posix()


@dataclass(frozen=True, slots=True)
class Record:
    """What became of a photo.

    Attributes:
        name: of its results.
        photo: path below the folder given.
        digest: SHA-256 of its file.
        made_by: settings and models, JSON-able.
        state: `DONE` or `REVIEW`: a person must look before it goes on, or, where it went on, at its result.
        stage: the last one that it reached.
        reasons: in words, why a person must look.
        verdicts: of corners and grid: status, score, reasons, layout.
        facts: of each function that was asked: model and seconds, and what else it said.
        files: what was made, of `KINDS`.
        colonies: number of those on the photo.
        seconds: that all took.
        note: what must be known of the weights.
    """

    name: str
    photo: str
    digest: str
    made_by: Mapping[str, Any]
    state: str
    stage: str
    reasons: tuple[str, ...] = ()
    verdicts: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    colonies: int = 0
    seconds: float = 0.0
    note: str = ""


def path_of(out: Path, kind: str, name: str) -> Path:
    """Where the file of a kind lies, or would."""
    return out / KINDS[kind].format(name)


def write(out: Path, record: Record) -> None:
    """Write the record: from then on the photo is done."""
    write_json(out / RECORD.format(record.name), {"format": FORMAT, "version": VERSION, **asdict(record)})


def read(out: Path, name: str) -> Record | None:
    """The record of that name; `None` where there is none, or none that can be read."""
    try:
        raw = json.loads((out / RECORD.format(name)).read_text("utf-8"))
        if (raw.pop("format"), raw.pop("version")) != (FORMAT, VERSION):
            return None
        return Record(**{**raw, "reasons": tuple(raw["reasons"]), "files": tuple(raw["files"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def known(out: Path, job: Job, digest: str, made_by: Mapping[str, Any]) -> Record | None:
    """The record of a photo that is done already, by the same functions in the same way."""
    found = read(out, job.name)
    if found is None or (found.photo, found.digest, found.made_by) != (job.inside, digest, made_by):
        return None
    return found if all(path_of(out, kind, job.name).is_file() for kind in found.files) else None


def clear(out: Path, name: str) -> None:
    """Remove what an earlier run made of a photo, its record first."""
    (out / RECORD.format(name)).unlink(missing_ok=True)
    for kind in KINDS:
        path_of(out, kind, name).unlink(missing_ok=True)


def sweep(out: Path) -> None:
    """Remove the drafts of files that killed processes left behind; for when nobody writes."""
    for folder in sorted({PurePath(each).parts[0] for each in (*KINDS.values(), RECORD)}):
        for path in (out / folder).rglob(".*"):
            if path.is_file() and _DRAFT.fullmatch(path.name):
                path.unlink(missing_ok=True)
