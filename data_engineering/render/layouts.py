"""The layouts that strings are hung in: those that are built in, and any other from a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from quadrat import template
from quadrat.template import Template

NONE = "none"
LAYOUTS = (NONE, "grid11x11", "grid9x13")
LEAST_CM = 10.0


def load(name: str) -> Template | None:
    """The layout that a key of `Settings.layouts` names.

    Strings are straight before they sag: where the points of a file's row or column do not lie in one line, as some
    that were measured one by one, the string runs through their middle.

    Args:
        name: one of `LAYOUTS`, or a file for `quadrat.template.load`, from the working directory.

    Returns:
        `None` for ``none``.

    Raises:
        ValueError: no such layout or file; a frame below `LEAST_CM`, or one that no string crosses.
    """
    if name == NONE:
        return None
    layout = template.load(name)
    if name in LAYOUTS:
        return layout
    if min(layout.size_cm) < LEAST_CM:
        raise ValueError(f"layout {name} has a frame of {layout.size_cm} cm: expected sides of at least {LEAST_CM:g}")
    straight = _straightened(layout)
    if not ((straight.uv > 0) & (straight.uv < 1)).any():
        raise ValueError(f"layout {name} has no row or column inside its frame: for a frame alone, the layout is none")
    return straight


def digests(names: Iterable[str]) -> dict[str, str]:
    """Name -> sha256 of those among the names that are files."""
    return {name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in names if name not in LAYOUTS}


def _straightened(layout: Template) -> Template:
    uv = layout.uv.copy()
    for axis, line in ((0, layout.lattice_rc[:, 1]), (1, layout.lattice_rc[:, 0])):
        _, line = np.unique(line, return_inverse=True)
        uv[:, axis] = (np.bincount(line, uv[:, axis]) / np.bincount(line))[line]
    return replace(layout, uv=uv)
