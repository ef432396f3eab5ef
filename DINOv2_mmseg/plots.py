"""Pictures of an evaluation: confusion of classes, cover beside human points, photo beside truth and prediction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quadrat import cvat_labels, files
from quadrat.formats import overlay
from quadrat.shapes import SemanticMap

INK, FAINT = "#1c2024", "#8a929a"
_UNKNOWN_RGB = (150, 150, 150)
_CELL_PX = 480
_MARKERS = "os^DvPX*<>"

Rgb = NDArray[np.uint8]


def confusion(path: Path, labels: Sequence[str], counts: NDArray[np.int64], unit: str, note: str) -> None:
    """Draw a confusion matrix, each row as shares of its sum, which stands beside it.

    Args:
        path: of the PNG.
        labels: of rows (true) and columns (predicted); those that occur in neither are left out.
        counts: ``[C, C]``.
        unit: what is counted, for example ``pixels``.
        note: stands under the title.
    """
    from data_engineering import plots

    there = np.flatnonzero(counts.sum(0) + counts.sum(1))
    kept = [labels[place] for place in there]
    plots.confusion(
        path,
        kept,
        counts[np.ix_(there, there)],
        note,
        rows=f"true (number of {unit})",
        last_apart=False,
        number=short_number,
    )


def short_number(value: int) -> str:
    """A count in at most five characters: ``950``, ``12.3k``, ``4.56M``."""
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if value >= size:
            return f"{value / (1000 if letter == 'k' else size):.3g}{letter}"
    return str(int(value))


def cover(path: Path, panels: Mapping[str, Sequence[tuple[str, float, float]]], note: str, *, columns: int = 3) -> None:
    """Draw predicted over human cover, a dot a photo and class, the same colour for a class everywhere.

    Args:
        path: of the PNG.
        panels: by title: class, human cover and predicted cover in % of each photo.
        note: stands under the pictures.
        columns: most panels in a row.
    """
    from matplotlib.figure import Figure

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.4 * columns + 2.2, 4.5 * rows + 0.4), layout="constrained", facecolor="white")
    every = figure.subplots(rows, columns, squeeze=False).ravel()
    labels = sorted({label for dots in panels.values() for label, _, _ in dots})
    for axes, (title, dots) in zip(every, panels.items(), strict=False):
        _cover_panel(axes, title, dots, labels)
    for axes in every[len(panels) :]:
        axes.set_axis_off()
    handles, names = every[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=9)
    figure.supxlabel(note, fontsize=9, color=FAINT)
    with files.atomic_write(path) as draft:
        figure.savefig(draft, dpi=120)


def _cover_panel(axes: Any, title: str, dots: Sequence[tuple[str, float, float]], labels: Sequence[str]) -> None:
    most = 5 + max((max(human, predicted) for _, human, predicted in dots), default=95)
    axes.plot([0, most], [0, most], color=FAINT, linewidth=0.8, zorder=1)
    for number, label in enumerate(labels):
        own = np.array([(human, predicted) for name, human, predicted in dots if name == label]).reshape(-1, 2)
        look = {"color": cvat_labels.colour(label), "marker": _MARKERS[number % len(_MARKERS)]}
        axes.scatter(*own.T, s=30, edgecolors=INK, linewidths=0.4, label=label, zorder=2, **look)
    error = np.mean([abs(human - predicted) for _, human, predicted in dots]) if dots else np.nan
    axes.set_title(f"{title}\nmean absolute error {error:.1f} percentage points", fontsize=10, loc="left")
    axes.set(xlim=(-1, most), ylim=(-1, most), xlabel="cover of the human points, %", ylabel="predicted, %")
    axes.set_aspect("equal")
    axes.grid(color="#e4e7ea", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)


# ---------------------------------------------------------------------------------------------- photos


def side_by_side(
    image_rgb: Rgb,
    truth: SemanticMap | Sequence[tuple[float, float, str]],
    predicted: SemanticMap,
    background: Collection[str],
) -> Rgb:
    """A photo, its truth (a map, or points) and its prediction next to each other, with a legend.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        truth: of the photo.
        predicted: of the photo.
        background: classes whose pixels stay as they are in the photo.

    Returns:
        uint8 ``[h, w, 3]``.
    """
    small = _shrunk(image_rgb)
    if isinstance(truth, SemanticMap):
        middle, named = _tinted(small, truth, background), _labels_in(truth)
    else:
        middle, named = _dotted(small, truth, image_rgb.shape[1]), [label for _, _, label in truth]
    right = _tinted(small, predicted, background)
    gap = np.full((small.shape[0], 6, 3), 255, np.uint8)
    row = np.hstack([small, gap, middle, gap, right])
    names = [label for label in dict.fromkeys([*named, *_labels_in(predicted)]) if label not in background]
    return np.vstack([row, _legend(row.shape[1], sorted(names))])


def _shrunk(image_rgb: Rgb) -> Rgb:
    scale = min(1.0, _CELL_PX / max(image_rgb.shape[:2]))
    size_wh = tuple(max(1, round(side * scale)) for side in image_rgb.shape[1::-1])
    return np.asarray(cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _tinted(small: Rgb, known: SemanticMap, background: Collection[str]) -> Rgb:
    index = cv2.resize(known.index, small.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    colours = np.zeros((256, 3), np.float32)
    strength = np.full((256, 1), 0.6, np.float32)
    colours[: len(known.labels)] = [overlay.colour_rgb(label) for label in known.labels]
    colours[SemanticMap.IGNORE] = _UNKNOWN_RGB
    strength[[number for number, label in enumerate(known.labels) if label in background]] = 0
    mixed = small * (1 - strength[index]) + colours[index] * strength[index]
    return np.rint(mixed).astype(np.uint8)


def _dotted(small: Rgb, points: Sequence[tuple[float, float, str]], width: int) -> Rgb:
    canvas, scale = small.copy(), small.shape[1] / width
    for x, y, label in points:
        at = round(x * scale - 0.5), round(y * scale - 0.5)
        cv2.circle(canvas, at, 5, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(canvas, at, 4, overlay.colour_rgb(label), -1, cv2.LINE_AA)
    return canvas


def _labels_in(known: SemanticMap) -> list[str]:
    return [known.labels[number] for number in np.unique(known.index) if number != SemanticMap.IGNORE]


def _legend(width: int, names: Sequence[str]) -> Rgb:
    """Names of classes beside their colours, in as many lines as it takes."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(15)
    places, x, y = [], 6.0, 4
    for name in names:
        room = 30 + font.getlength(name)
        if x + room > width and x > 6:
            x, y = 6.0, y + 22
        places.append((name, x, y))
        x += room
    sheet = Image.new("RGB", (width, y + 24), "white")
    pen = ImageDraw.Draw(sheet)
    for name, left, top in places:
        pen.rectangle((left, top + 2, left + 13, top + 15), overlay.colour_rgb(name))
        pen.text((left + 18, top), name, INK, font)
    return np.asarray(sheet)
