"""Pictures of an evaluation: how far off points are, where in the quadrat, and what the verdict's score is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quadrat import files
from quadrat.template import Template
from quadrat.verdict import FAILED, OK, REVIEW

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT, LINE = "#1c2024", "#8a929a", "#e4e7ea"
TONES = {OK: "#2b8a5a", REVIEW: "#d08a1d", FAILED: "#b23a48"}

Floats = NDArray[np.float64]


def errors(path: Path, groups: Mapping[str, Floats], cell: str, marks: Sequence[float]) -> None:
    """Draw which share of the visible points lies within which error; the first group in bold.

    Args:
        path: of the PNG.
        groups: errors in cells ``[N]`` of each group; NaN for points that were not found, which no line ever reaches.
        cell: what errors are measured by: ``cell`` or ``side``.
        marks: errors in cells that are marked.
    """
    figure, axes = _figure(9, 5.4)
    for place, (name, values) in enumerate(groups.items()):
        reached = np.sort(values[np.isfinite(values)])
        shares = np.arange(1, len(reached) + 1) / max(len(values), 1)
        style = {"color": INK, "linewidth": 2.6, "zorder": 3} if place == 0 else {"linewidth": 1.3}
        middle = f"median {100 * np.median(reached):.2g} %" if len(reached) else "nothing found"
        axes.plot(100 * np.maximum(reached, 1e-4), 100 * shares, label=f"{name}  ({len(values)}, {middle})", **style)
    for mark in marks:
        axes.axvline(100 * mark, color=FAINT, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set(xlim=(0.05, 200), ylim=(0, 101), xlabel=f"error, % of a {cell}", ylabel="visible points within, %")
    _legend_beside(axes, title="group (visible points)", alignment="left")
    _finish(figure, axes, path, "How far found points are from the true ones (points that were not found count)")


def lattice(path: Path, layout: Template, typical: Floats, counts: NDArray[np.int64], cell: str) -> None:
    """Draw the median error of every point where it lies in the frame.

    Args:
        path: of the PNG.
        layout: of the points.
        typical: median errors in cells ``[K]``; NaN for points that were never found.
        counts: ``[K]``, visible points that were found.
        cell: what errors are measured by.
    """
    figure, axes = _figure(7.6, 7)
    known = np.isfinite(typical)
    for start, end in layout.edges:
        axes.plot(*layout.uv[[start, end]].T, color=LINE, linewidth=1.2, zorder=1)
    top = max(100 * float(np.nanmax(typical, initial=0.0)), 1e-3)
    drawn = axes.scatter(*layout.uv[known].T, c=100 * typical[known], cmap="YlOrRd", vmin=0, vmax=top, s=560, zorder=2)
    axes.scatter(*layout.uv[~known].T, s=560, facecolor="white", edgecolor=FAINT, zorder=2)
    for k, (x, y) in enumerate(layout.uv):
        tone = "white" if known[k] and 100 * typical[k] > 0.6 * top else INK
        text = f"{100 * typical[k]:.2g}" if known[k] else "-"
        axes.text(x, y, text, ha="center", va="center", fontsize=8, color=tone, zorder=3)
    figure.colorbar(drawn, ax=axes, shrink=0.7, label=f"median error, % of a {cell}")
    axes.set(xlim=(-0.07, 1.07), ylim=(1.07, -0.07), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(
        f"{layout.name}: median error of each point, % of a {cell} ({counts.min()} to {counts.max()} photos a point)",
        fontsize=11,
        loc="left",
    )
    _save(figure, path)


def scores(path: Path, rows: Sequence[tuple[float, float, str, bool]], cell: str) -> None:
    """Draw each photo's mean error over the score of its verdict.

    Args:
        path: of the PNG.
        rows: score, mean error in cells (NaN: nothing to measure), verdict, and whether the result is right.
        cell: what errors are measured by.
    """
    figure, axes = _figure(9, 5.4)
    for status, tone in TONES.items():
        for right, marker in ((True, "o"), (False, "X")):
            chosen = [(s, e) for s, e, verdict, good in rows if (verdict, good) == (status, right)]
            if not chosen:
                continue
            x, y = np.array(chosen).T
            y = np.clip(np.nan_to_num(100 * y, nan=NOTHING), 0.1, NOTHING)
            label = f"{status}, {'right' if right else 'wrong'}: {len(chosen)}"
            axes.scatter(x, y, c=tone, marker=marker, s=22 if right else 60, alpha=0.8, label=label, linewidths=0.3)
    axes.set_yscale("log")
    axes.set_yticks([0.1, 1, 10, 100, NOTHING], ["0.1", "1", "10", "100", "none"])
    axes.set(xlim=(-0.02, 1.02), ylim=(0.08, 1.5 * NOTHING), xlabel="score of the verdict")
    axes.set_ylabel(f"mean error of a photo's visible points, % of a {cell}")
    _legend_beside(axes)
    _finish(figure, axes, path, "What the verdict says and what is true, one mark a photo")


NOTHING = 300.0
"""Where in `scores` photos lie in which there is nothing to measure."""


def acceptance(path: Path, curve: tuple[Floats, Floats, Floats], accepted: float, false: float) -> None:
    """Draw how many of the accepted photos are wrong, the more of them are accepted.

    Args:
        path: of the PNG.
        curve: of `metrics.acceptance`.
        accepted: share of the photos that the verdicts accept.
        false: share of these that are wrong.
    """
    figure, axes = _figure(9, 5)
    _, shares, wrong = curve
    axes.plot(100 * shares, 100 * wrong, color=INK, linewidth=2, label="by falling score")
    axes.plot(
        100 * accepted,
        100 * false,
        "o",
        color=TONES[OK],
        label=f"verdict ok: {accepted:.1%} of the photos, {false:.2%} of these wrong",
    )
    top = max(5.0, 110 * float(wrong.max(initial=0.0)))
    axes.set(xlim=(0, 101), ylim=(-0.02 * top, top), xlabel="accepted photos, %", ylabel="wrong among them, %")
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    _finish(figure, axes, path, "What accepting photos without a look would let through")


def _legend_beside(axes: Any, **options: str) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9, **options)


def _finish(figure: Figure, axes: Any, path: Path, title: str) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    return figure, figure.subplots()


def _save(figure: Figure, path: Path) -> None:
    with files.atomic_write(path) as draft:
        figure.savefig(draft, dpi=120)
