"""The table of a training's figures, a row a step that was noted."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from quadrat import files


def append(path: Path, row: Mapping[str, float]) -> None:
    """Add a row to a CSV whose first column is ``step``; columns that are new widen it.

    Rows of later steps go: a resumed run goes over its last steps again. A row of the same step gets what it lacks.
    """
    rows = [old for old in read(path) if float(old["step"]) <= row["step"]] if path.is_file() else []
    same = rows.pop() if rows and float(rows[-1]["step"]) == row["step"] else {}
    rows.append({**same, **{name: f"{value:.6g}" for name, value in row.items()}})
    names = list(dict.fromkeys(name for each in rows for name in each))
    with files.atomic_write(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[dict[str, str]]:
    """The rows as text; a figure that a row lacks is empty."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(rows: list[dict[str, str]], name: str) -> tuple[list[float], list[float]]:
    """Steps and values of the rows that have a figure."""
    known = [(float(row["step"]), float(row[name])) for row in rows if row.get(name)]
    return [step for step, _ in known], [value for _, value in known]
