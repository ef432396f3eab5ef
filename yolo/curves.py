"""The curves of a training as a picture: losses and validation figures over the epochs, from ``results.csv``."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from quadrat import files

KINDS = {"M": "mask", "P": "keypoint", "B": "box"}
"""ultralytics' letters in the names of its figures, the ones that matter most first."""
COLOURS = ("#1f6f8b", "#e07a5f", "#3d9a6c", "#8d6cab", "#b08930")


def draw(results: Path) -> Path:
    """Draw ``curves.png`` beside a ``results.csv``.

    Args:
        results: a row an epoch; values that were not measured in an epoch are ``nan``.

    Returns:
        The picture.
    """
    from matplotlib.figure import Figure

    columns = _read(results)
    figure = Figure(figsize=(11, 4.2), layout="constrained", facecolor="white")
    losses, figures = figure.subplots(1, 2)
    kinds = [name.removeprefix("train/") for name in columns if name.startswith("train/") and max(columns[name]) > 0]
    for colour, kind in zip(COLOURS, kinds, strict=False):
        _line(losses, columns, f"train/{kind}", color=colour, label=kind.replace("_", " "))
        _line(losses, columns, f"val/{kind}", color=colour, linestyle="--", marker=".")
    shown = [(letter, figure) for letter in KINDS for figure in ("mAP50", "mAP50-95")]
    names = [(f"metrics/{figure}({letter})", f"{KINDS[letter]} {figure}") for letter, figure in shown]
    known = [(name, label) for name, label in names if name in columns][:3]
    for (name, label), colour, style in zip(known, COLOURS, ("-", "-", ":"), strict=False):
        _line(figures, columns, name, color=colour, label=label, marker=".", linestyle=style)
    losses.set_title("Losses (dashed: on the validation photos)", fontsize=11, loc="left")
    figures.set_title(f"On the validation photos: {results.parent.name}", fontsize=11, loc="left")
    figures.set_ylim(0, 1)
    for axes in (losses, figures):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color="#e4e7ea", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False, fontsize=9)
    picture = results.with_name("curves.png")
    with files.atomic_write(picture) as draft:
        figure.savefig(draft, dpi=120)
    return picture


def _read(results: Path) -> dict[str, list[float]]:
    with results.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    return {name.strip(): [float(row[name]) for row in rows] for name in (rows[0] if rows else {})}


def _line(axes: Any, columns: dict[str, list[float]], name: str, **style: Any) -> None:
    """What was measured, over the epochs in which it was."""
    known = [(x, y) for x, y in zip(columns["epoch"], columns.get(name, ()), strict=False) if math.isfinite(y)]
    if known:
        axes.plot(*zip(*known, strict=True), linewidth=1.6, **style)
