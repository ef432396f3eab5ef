"""Curves of a training: losses and validation figures over the steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quadrat import files, records

_COLOURS = ("#1f6f8b", "#e07a5f", "#3d9a6c", "#8d6cab", "#b08930")
_FIGURES = {"miou": "mean IoU", "overall_accuracy": "overall accuracy", "mean_accuracy": "mean accuracy"}


def draw(table: Path) -> Path:
    """Draw ``curves.png`` beside a ``metrics.csv``."""
    from matplotlib.figure import Figure

    rows = records.read(table)
    figure = Figure(figsize=(11, 3.8), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    terms = [name for name in rows[0] if name.startswith("train/loss")]
    for colour, name in zip(_COLOURS, terms, strict=False):
        left.plot(*records.column(rows, name), color=colour, linewidth=1.4, label=name.removeprefix("train/"))
    for colour, (name, words) in zip(_COLOURS, _FIGURES.items(), strict=False):
        right.plot(*records.column(rows, f"val/{name}"), color=colour, linewidth=1.6, marker=".", label=words)
    _finish(left, "Losses")
    _finish(right, f"Validation: {table.parent.name}")
    picture = table.with_name("curves.png")
    with files.atomic_write(picture) as draft:
        figure.savefig(draft, dpi=120)
    return picture


def _finish(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel("step")
    axes.set_ylim(bottom=0)
    axes.grid(color="#e4e7ea", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
