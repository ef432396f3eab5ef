"""Tables as CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadrat import files


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table, whole or not at all; `None` becomes an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    files.write_text(path, text.getvalue())


def beside(names: Sequence[str], counts: NDArray[np.int64]) -> list[list[Any]]:
    """The rows of a matrix, each with its name before it."""
    return [[name, *row] for name, row in zip(names, counts.tolist(), strict=True)]
