"""CoralNet's tables of points, read and written, and its labelsets.

A table of points has a line for each: ``Name,Row,Column,Label``, in newer exports ``Label code``, and perhaps more
columns, of which ``Annotator`` is kept. Row is y and column is x of a pixel of the photo, counted from 0 at the top
left; the point is that pixel's centre. A label may be empty: nobody has said yet what is there.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quadrat import files

_NAME, _ROW, _COLUMN, _LABEL, _ANNOTATOR = ("name",), ("row",), ("column",), ("label", "label code"), ("annotator",)
_FULL_NAME, _CODE, _GROUP = ("name", "label name"), ("short code", "code"), ("functional group", "group")
_DELIMITERS = (",", ";", "\t", "|")


class CoralNetError(ValueError):
    """A table that is not what CoralNet exports; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a photo and what is there.

    Attributes:
        x_px: from the photo's left border; the centre of the left-most pixel is 0.5.
        y_px: from the photo's upper border, likewise.
        label: short code as in the table; empty if nobody has said what is there.
        annotator: who has said it; empty if that is not known.

    Raises:
        ValueError: the point lies left of or above every photo.
    """

    x_px: float
    y_px: float
    label: str
    annotator: str = ""

    def __post_init__(self) -> None:
        if not (self.x_px >= 0 and self.y_px >= 0):  # false for NaN too
            raise ValueError(f"point at x {self.x_px}, y {self.y_px}: expected 0 px or more")


@dataclass(frozen=True, slots=True)
class LabelEntry:
    """What a labelset says of a short code: its full name, and its functional group (empty if not said)."""

    name: str
    group: str = ""


def read(path: str | Path) -> dict[str, tuple[Point, ...]]:
    """Read a table of points.

    Returns:
        The points of every photo by its name as in the table; photos and points in the table's order.

    Raises:
        CoralNetError: no text in UTF-8, a column is missing, a row or column is no whole number of 0 or more.
        OSError: the file cannot be read.
    """
    found: dict[str, list[Point]] = {}
    header, lines = _open(Path(path))
    name, row, column, label = (_find(header, wanted, path) for wanted in (_NAME, _ROW, _COLUMN, _LABEL))
    annotator = _find_optional(header, _ANNOTATOR)
    for number, cells in lines:
        if not cells[name]:
            raise CoralNetError(
                f"{path}:{number}: no photo is named: expected its file name in the column {header[name]}"
            )
        x, y = (_pixel(cells[at], header[at], path, number) for at in (column, row))
        who = cells[annotator] if annotator is not None else ""
        found.setdefault(cells[name], []).append(Point(x + 0.5, y + 0.5, cells[label], who))
    return {photo: tuple(points) for photo, points in found.items()}


def write(path: str | Path, points: Mapping[str, Iterable[Point]], *, label_column: str = "Label") -> None:
    """Write a table of points, whole or not at all. What `read` gave of a table comes back exactly.

    Args:
        path: of the table.
        points: of every photo by its name; a point within a pixel becomes that pixel.
        label_column: ``Label``, or ``Label code`` as in newer exports.

    Raises:
        ValueError: another name for the column of labels, or a photo without a name.
    """
    if label_column.lower() not in _LABEL:
        raise ValueError(f"label_column {label_column!r}: expected Label or Label code")
    rows = [(name, point) for name, of_photo in points.items() for point in of_photo]
    if not all(name for name, _ in rows):
        raise ValueError("the points of a photo without a name cannot be written: expected its file name")
    named = any(point.annotator for _, point in rows)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["Name", "Row", "Column", label_column, *(["Annotator"] if named else [])])
    for name, point in rows:
        who = [point.annotator] if named else []
        table.writerow([name, int(point.y_px), int(point.x_px), point.label, *who])
    files.write_text(path, text.getvalue())


def read_labelset(path: str | Path) -> dict[str, LabelEntry]:
    """Read a labelset: columns ``Name``, ``Short Code`` and perhaps ``Functional Group``.

    Returns:
        Full name and group by short code.

    Raises:
        CoralNetError: no text in UTF-8, a column is missing, a code or name is empty, a code comes twice.
        OSError: the file cannot be read.
    """
    header, lines = _open(Path(path))
    name, code = _find(header, _FULL_NAME, path), _find(header, _CODE, path)
    group = _find_optional(header, _GROUP)
    found: dict[str, LabelEntry] = {}
    for number, cells in lines:
        if not cells[code] or not cells[name]:
            raise CoralNetError(f"{path}:{number}: expected a {header[code]} and a {header[name]}")
        if cells[code] in found:
            raise CoralNetError(
                f"{path}:{number}: the {header[code]} {cells[code]!r} is there before: expected it once"
            )
        found[cells[code]] = LabelEntry(cells[name], cells[group] if group is not None else "")
    return found


def _open(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns, and the lines below with their numbers, blank ones left out."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CoralNetError(f"{path}: no text in UTF-8 ({error}): save the table as CSV UTF-8") from None
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header = [cell.strip() for cell in next(_rows(reader, path), [])]
    if not header:
        raise CoralNetError(f"{path} is empty: expected a table with names of columns in its first line")
    return header, _lines(reader, header, path)


def _lines(reader: Any, header: Sequence[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    for cells in _rows(reader, path):
        number = reader.line_num
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise CoralNetError(f"{path}:{number}: {len(cells)} cells: expected {len(header)}, as in the first line")
        yield number, [cell.strip() for cell in cells]


def _rows(reader: Any, path: Path) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise CoralNetError(f"{path}:{reader.line_num}: no line of a table ({error})") from None


def _find(header: Sequence[str], wanted: Sequence[str], path: str | Path) -> int:
    at = _find_optional(header, wanted)
    if at is None:
        raise CoralNetError(f"{path}:1: no column {wanted[0].title()!r}: expected it among the columns {list(header)}")
    return at


def _find_optional(header: Sequence[str], wanted: Sequence[str]) -> int | None:
    names = [re.sub(r"[\s_]+", " ", name).strip().lower() for name in header]
    return next((names.index(name) for name in wanted if name in names), None)


def _pixel(text: str, column: str, path: str | Path, number: int) -> int:
    if not re.fullmatch(r"\d{1,9}(\.0*)?", text, re.ASCII):
        raise CoralNetError(f"{path}:{number}: {column} is {text!r}: expected a whole number of 0 or more")
    return int(text.split(".")[0])
