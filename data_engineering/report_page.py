"""The page of a report: its figures and pictures as one HTML file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from quadrat import cvat_labels

TEMPLATES = Path(__file__).parent / "templates"
UNITS = {"cm2": "cm²", "px2": "px²"}


def render(figures: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The page.

    Args:
        figures: as `data_engineering.report.Report.figures`.
        pictures: by the keys of their `Wish`, as ``data:`` addresses; those that are not there are left out.
    """
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"whole": whole, "short": short, "percent": percent, "place": place}
    environment.filters["colour"] = cvat_labels.colour
    sizes = figures["sizes"]
    page = environment.get_template("report.html.j2")
    return page.render(f=figures, pictures=pictures, ridges=ridges(sizes), unit=UNITS[sizes["unit"]])


def whole(value: float) -> str:
    """A number without decimals, thousands set apart."""
    return f"{value:,.0f}".replace(",", "\u202f")


def short(value: float) -> str:
    """A number with three digits that count."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}".replace(",", "\u202f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: float) -> str:
    """A share, 0..1, in percent."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def ridges(sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Outlines of the distributions of size, and marks on their axis.

    Args:
        sizes: ``edges`` and the counts in between of each label.

    Returns:
        ``paths``: label -> SVG path in a box of 100 x 100, upwards from the bottom; ``ticks``: text and place, 0..100.
    """
    edges = np.array(sizes["edges"])
    if not len(edges):
        return {"paths": {}, "ticks": []}
    middles = np.linspace(0, 100, 2 * (len(edges) - 1) + 1)[1::2]
    paths = {label: _path(middles, counts) for label, counts in sizes["labels"].items()}
    low, high = np.log10(edges[[0, -1]])
    decades = range(math.ceil(low), math.floor(high) + 1)
    return {"paths": paths, "ticks": [(short(10.0**d), round(100 * (d - low) / (high - low), 2)) for d in decades]}


def place(value: float, edges: Sequence[float]) -> float:
    """Where a size lies on the axis, 0..100."""
    low, high = math.log10(edges[0]), math.log10(edges[-1])
    return round(100 * (math.log10(max(value, edges[0])) - low) / (high - low), 2)


def _path(middles: np.ndarray, counts: Sequence[int]) -> str:
    smooth = np.convolve(np.pad(np.array(counts, float), 2), [1, 2, 3, 2, 1], mode="same")[2:-2]
    heights = 100 - 94 * smooth / max(smooth.max(), 1e-9)
    points = " L".join(f"{x:.1f},{y:.1f}" for x, y in zip(middles, heights, strict=True))
    return f"M0,100 L{points} L100,100 Z"
