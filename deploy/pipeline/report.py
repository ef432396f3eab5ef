"""What is said of all photos: a table, one CVAT XML, a contact sheet, and lines on the screen."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy import cells
from deploy.cells import cell
from deploy.pipeline import record
from deploy.pipeline.record import DONE, REVIEW
from deploy.pipeline.result import FAILED, Result
from quadrat import images
from quadrat.files import atomic_write
from quadrat.formats import cvat_xml, shapes_json
from quadrat.shapes import Annotations, Instance, Shape

COLUMNS = ("photo", "state", "stage", "reasons", "colonies", "seconds")
SHEET_PHOTOS = 24


def write(out: Path, results: Sequence[Result]) -> None:
    """Write ``summary.csv``, ``annotations.xml`` and, where there are pictures, ``contact_sheet.jpg``."""
    with atomic_write(out / "summary.csv") as draft, draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(_row(result) for result in results)
    cvat_xml.write(out / "annotations.xml", _annotations(out, results))
    shown = [result for result in results if result.record][:SHEET_PHOTOS]
    sheet_path = out / "contact_sheet.jpg"
    sheet_path.unlink(missing_ok=True)
    if shown and shown[0].record and "overlay" in shown[0].record.files:
        images.write(sheet_path, sheet(out, shown, len(results)))


def tell(out: Path, results: Sequence[Result]) -> None:
    """Say how many photos came through, and why the others did not."""
    counts = {state: sum(result.state == state for result in results) for state in (DONE, REVIEW, FAILED)}
    colonies = sum(result.record.colonies for result in results if result.record)
    print(
        f"{len(results)} photographs: {', '.join(f'{n} {state}' for state, n in counts.items())}; {colonies} colonies"
    )
    for result in results:
        if result.state != DONE:
            print(f"{result.state} {result.job.photo}: {'; '.join(result.reasons)}", file=sys.stderr)
    print(f"Written to {out}/: summary.csv, annotations.xml, contact_sheet.jpg, colonies/*, quadrats/*, clean/*, …")


def _row(result: Result) -> list[object]:
    made = result.record
    if made is None:
        return [result.job.inside, FAILED, "", result.error, 0, ""]
    return [made.photo, made.state, made.stage, "; ".join(made.reasons), made.colonies, made.seconds]


def _annotations(out: Path, results: Sequence[Result]) -> Iterator[Annotations]:
    """The colonies of each photo that has some, one photo at a time in memory."""
    for result in results:
        if result.record and "colonies" in result.record.files:
            yield shapes_json.read(record.path_of(out, "colonies", result.job.name))


# ------------------------------------------------------------------------------------------------ the picture


def sheet(out: Path, results: Sequence[Result], of: int) -> images.Rgb:
    """A row a photo: with its corners, its quadrat with the grid, that without it and with colonies, and back again."""
    notes = dict.fromkeys(result.record.note for result in results if result.record and result.record.note)
    more = f" The first {len(results)} of {of} photographs." if of > len(results) else ""
    return cells.sheet([row(out, result) for result in results], f"{' '.join(notes)}{more}")


def row(out: Path, result: Result) -> list[images.Rgb]:
    """The four pictures of a photo."""
    made = result.record
    if made is None:
        raise ValueError(f"{result.job.photo} has no record: expected a photo that was done")
    photo_rgb = images.read(result.job.photo)
    blank = cells.blank((photo_rgb.shape[1], photo_rgb.shape[0]))
    quadrat = _picture(out, made, "quadrat", blank)
    clean = _picture(out, made, "clean", quadrat)
    last = f"{made.colonies} colonies" if "colonies" in made.files else f"stopped, {'; '.join(made.reasons)}"
    return [
        cell(photo_rgb, _shapes(out, made, "corners"), f"{result.job.inside}{_verdict(made, 'corners')}"),
        cell(quadrat, _shapes(out, made, "grid"), _from_above(made)),
        cell(clean, _shapes(out, made, "quadrat-colonies"), _painted(made)),
        cell(photo_rgb, _colonies(_shapes(out, made, "colonies")), last),
    ]


def _picture(out: Path, made: record.Record, kind: str, otherwise: images.Rgb) -> images.Rgb:
    return images.read(record.path_of(out, kind, made.name)) if kind in made.files else otherwise


def _shapes(out: Path, made: record.Record, kind: str) -> Sequence[Shape]:
    return shapes_json.read(record.path_of(out, kind, made.name)).shapes if kind in made.files else ()


def _colonies(shapes: Sequence[Shape]) -> list[Shape]:
    return [shape for shape in shapes if isinstance(shape, Instance)]


def _verdict(made: record.Record, stage: str) -> str:
    told = made.verdicts.get(stage)
    return f", {stage} {told['status']}" if told else ""


def _from_above(made: record.Record) -> str:
    return f"quadrat{_verdict(made, 'grid')}" if "quadrat" in made.files else "no quadrat"


def _painted(made: record.Record) -> str:
    if "quadrat-colonies" not in made.files:
        return "not looked for colonies"
    share = next((facts["painted_fraction"] for facts in made.facts.values() if "painted_fraction" in facts), None)
    return "colonies on the quadrat" if share is None else f"without its grid ({share:.1%} painted), colonies"
