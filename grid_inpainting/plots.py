"""Pictures of an evaluation: how well each method paints, and how well strings are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quadrat import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT, LINE = "#1c2024", "#8a929a", "#e4e7ea"
REGIONS = {"hole": ("#1f6f8b", "where strings were painted over"), "band": ("#e07a5f", "within 8 px of a string")}
SOURCES = {"true": ("#1f6f8b", "o", "from true points"), "found": ("#e07a5f", "x", "from found points")}


def painting(path: Path, methods: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw PSNR and SSIM of every method, mean of photos; a line shows the figure pooled over all pixels.

    Args:
        path: of the PNG.
        methods: by name, each with ``hole`` and ``band`` of `metrics.overall`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.6 + 0.62 * len(methods)), layout="constrained", facecolor="white")
    psnr, ssim = figure.subplots(1, 2, sharey=True)
    for axes, key, unit in ((psnr, "psnr_db", "PSNR, dB"), (ssim, "ssim", "SSIM")):
        for place, (region, (colour, words)) in enumerate(REGIONS.items()):
            rows = np.arange(len(methods)) + (place - 0.5) * 0.38
            values = [one[region][key] or 0.0 for one in methods.values()]
            pooled = [one[region][f"{key}_pooled"] or 0.0 for one in methods.values()]
            axes.barh(rows, values, 0.36, color=colour, label=words)
            axes.scatter(pooled, rows, marker="|", s=110, color=INK, zorder=3, label="pooled" if place else None)
            for row, value, end in zip(rows, values, np.maximum(values, pooled), strict=True):
                axes.text(end, row, f"  {value:.4g}", va="center", fontsize=8, color=INK)
        axes.set_yticks(range(len(methods)), list(methods))
        axes.margins(x=0.12)
        _finish(axes, unit)
    psnr.invert_yaxis()
    ssim.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9)
    figure.suptitle("What was painted beside the true photo, mean of photos (more is better)", x=0.01, ha="left")
    _save(figure, path)


def strings(path: Path, figures: Mapping[str, Sequence[tuple[float, float, float, float]]]) -> None:
    """Draw each photo's recall over precision, and which share of the quadrat is painted beside what strings cover.

    Args:
        path: of the PNG.
        figures: by whose points were taken (`SOURCES`): recall, precision, painted and true share, 0..1, a row a photo.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2)
    for source, rows in figures.items():
        colour, marker, words = SOURCES[source]
        recall, precision, painted, true = 100 * np.array(rows).reshape(-1, 4).T
        style = {"c": colour, "marker": marker, "s": 22, "alpha": 0.7, "linewidths": 0.9}
        told = f"{words}: {len(rows)} photos"
        left.scatter(precision, recall, label=told, **style)
        right.scatter(true, painted, label=told, **style)
    left.set_ylabel("recall within 1 px, %")
    _finish(left, "precision within 1 px, %")
    top = right.get_xlim()[1]
    right.axline((0, 0), slope=1, color=FAINT, linewidth=0.8, linestyle=":")
    right.set(xlim=(0, top), ylim=(0, max(top, right.get_ylim()[1])), ylabel="of the quadrat painted, %")
    _finish(right, "of the quadrat covered by strings, %")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    left.set_title("Are strings found, one mark a photo", fontsize=11, loc="left")
    right.set_title("Is more painted than need be", fontsize=11, loc="left")
    _save(figure, path)


def _finish(axes: Any, x: str) -> None:
    axes.set_xlabel(x)
    axes.grid(color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    with files.atomic_write(path) as draft:
        figure.savefig(draft, dpi=120)
