"""Pictures of an evaluation: confusion matrix, precision over recall, F1 over confidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_engineering.tally import CONFIDENCES, RECALLS, Curves
from quadrat import cvat_labels, files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT = "#1c2024", "#8a929a"


def confusion(
    path: Path,
    names: Sequence[str],
    counts: NDArray[np.int64],
    note: str,
    *,
    rows: str = "true (number of colonies; background: predictions of nothing)",
    last_apart: bool = True,
    number: Callable[[int], str] = str,
) -> None:
    """Draw a confusion matrix, each row as shares of its sum; the number of colonies stands beside the row.

    Args:
        path: of the PNG.
        names: of rows (true) and columns (predicted).
        counts: ``[N, N]``.
        note: stands under the title.
        rows: what the rows are.
        last_apart: the last of `names` is the background: lines set it apart.
        number: writes the sum of a row.
    """
    sums = counts.sum(1)
    shares = counts / np.maximum(sums, 1)[:, None]
    side = 2.6 + 0.46 * len(names)
    figure, axes = _figure(side + 0.4, side)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), [f"{name}  ({number(total)})" for name, total in zip(names, sums, strict=True)])
    for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
        share = shares[row, column]
        tone = "white" if share > 0.55 else INK if row == column else "#4a5056"
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=tone)
    for edge in (axes.axhline, axes.axvline) if last_apart else ():
        edge(len(names) - 1.5, color=INK, linewidth=0.8)
    axes.tick_params(length=0, labelsize=9)
    axes.set_xlabel("predicted")
    axes.set_ylabel(rows)
    axes.set_title(f"Which class is taken for which, % of each row\n{note}", fontsize=11, loc="left")
    _save(figure, path)


def precision_recall(path: Path, curves: Mapping[str, Curves]) -> None:
    """Draw precision over recall at mask IoU 0.5; the first of `curves` in bold."""
    figure, axes = _figure(9, 6)
    for label, one in _best_first(curves):
        _line(axes, RECALLS, one.precision_at_recall, label, curves, f"{label}  {one.map50:.3f}")
    _finish(axes, "recall", "precision", "Precision over recall, mask IoU 0.5 (legend: average precision)")
    _save(figure, path)


def f1_confidence(path: Path, curves: Mapping[str, Curves], best: float) -> None:
    """Draw F1 over confidence; the first of `curves` in bold, a line at `best`, where the classes' mean is best."""
    figure, axes = _figure(9, 6)
    for label, one in _best_first(curves):
        top = int(one.f1.argmax())
        _line(axes, CONFIDENCES, one.f1, label, curves, f"{label}  {one.f1[top]:.2f} at {CONFIDENCES[top]:.2f}")
    axes.axvline(best, color=INK, linewidth=0.8, linestyle=":")
    axes.text(best + 0.008, 0.985, f"{best:.2f}", fontsize=9, color=INK, va="top")
    _finish(
        axes, "confidence", "F1", "F1 over confidence (legend: best of each; dotted: best for the mean of the classes)"
    )
    _save(figure, path)


def _best_first(curves: Mapping[str, Curves]) -> list[tuple[str, Curves]]:
    (first, headline), *rest = curves.items()
    return [(first, headline), *sorted(rest, key=lambda entry: -np.nan_to_num(entry[1].map50))]


def _line(axes: Any, x: Any, y: Any, label: str, curves: Mapping[str, Curves], legend: str) -> None:
    headline = label == next(iter(curves))
    colour = INK if headline else cvat_labels.colour(label)
    axes.plot(x, y, color=colour, linewidth=2.8 if headline else 1.4, label=legend, zorder=3 if headline else 2)


def _finish(axes: Any, x: str, y: str, title: str) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel=x, ylabel=y)
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(color="#e4e7ea", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    return figure, figure.subplots()


def _save(figure: Figure, path: Path) -> None:
    with files.atomic_write(path) as draft:
        figure.savefig(draft, dpi=120, bbox_inches="tight", pad_inches=0.1)  # long names reach out of the figure
