"""Layouts of a quadrat: its named points, where they lie in the frame, and which are neighbours.

Built in:

- ``corners``: the frame itself, points ``1`` to ``4``: top left, top right, bottom right, bottom left.
- ``grid11x11``: the layout of the real CVAT projects: 117 points, an 11 x 11 lattice without its four corners, row by
  row from the top left: 9 points, nine rows of 11, 9 points. Frame 1 m, cells 10 cm: 81 crossings and 36 string ends
  on the frame.
- ``grid9x13``: what the written guides say: 117 crossings of 9 strings that run down (columns) and 13 that run across
  (rows), evenly inside a 1 m frame: 10 cm between columns, 100 / 14 = 7.14 cm between rows. Which of the two numbers is
  the rows the guides leave open; for 13 columns and 9 rows load a YAML file.

Any other layout comes from a file (`load`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from quadrat import cvat_labels, lattice

BUILTIN = ("corners", "grid9x13", "grid11x11")
SVG_MARGIN_PERCENT = 5.0
"""Distance of the frame from the border of the picture in a CVAT label."""

_YAML_KEYS = {"name", "label", "size_cm", "lattice", "points_cm", "lattice_rc", "names", "edges"}
_LATTICE_KEYS = {"columns", "rows", "without_corners", "on_frame"}


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A layout of K points in a frame.

    Attributes:
        name: of the layout.
        label: class name in CVAT, ``quadrat_corner`` or ``grid`` for what is built in.
        names: K distinct point names.
        lattice_rc: int64 ``[K, 2]``, row and column of each point, from 0; distinct.
        uv: float64 ``[K, 2]``, place in the frame: 0..1, x right, y down.
        size_cm: width and height of the frame.
        edges: pairs of indices of points that are neighbours.

    Raises:
        ValueError: names or cells repeat, an array has another shape, a value is out of range, an edge names no point.
    """

    name: str
    label: str
    names: tuple[str, ...]
    lattice_rc: NDArray[np.int64]
    uv: NDArray[np.float64]
    size_cm: tuple[float, float] = (100.0, 100.0)
    edges: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        names = tuple(str(name) for name in self.names)
        k = len(names)
        if not self.name or not self.label:
            raise ValueError(f"layout needs a name and a label, got {self.name!r} and {self.label!r}")
        if k == 0 or "" in names or len(set(names)) != k:
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"layout {self.name!r}: {k} point names, expected distinct names; twice: {twice}")
        uv = np.array(self.uv, np.float64)
        if uv.shape != (k, 2) or not ((uv >= 0) & (uv <= 1)).all():
            raise ValueError(f"layout {self.name!r}: uv is {list(uv.shape)}, expected {[k, 2]} of 0..1")
        rc = np.array(self.lattice_rc, np.int64)
        if rc.shape != (k, 2) or (rc < 0).any() or len(np.unique(rc, axis=0)) != k:
            raise ValueError(
                f"layout {self.name!r}: lattice_rc is {list(rc.shape)}, expected {[k, 2]} distinct cells >= 0"
            )
        width, height = (float(side) for side in self.size_cm)
        if not (0 < width < np.inf and 0 < height < np.inf):
            raise ValueError(f"layout {self.name!r}: size_cm is {self.size_cm}, expected two lengths above 0")
        edges = tuple((int(i), int(j)) for i, j in self.edges)
        if any(i == j or not (0 <= i < k and 0 <= j < k) for i, j in edges):
            raise ValueError(f"layout {self.name!r}: an edge does not join two of its {k} points")
        for array in (uv, rc):
            array.flags.writeable = False
        for key, value in {
            "names": names,
            "uv": uv,
            "lattice_rc": rc,
            "size_cm": (width, height),
            "edges": edges,
        }.items():
            object.__setattr__(self, key, value)

    @property
    def xy_cm(self) -> NDArray[np.float64]:
        """float64 ``[K, 2]``, place in cm from the top left corner of the frame."""
        return self.uv * self.size_cm

    @property
    def lattice_shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        rows, columns = self.lattice_rc.max(axis=0) + 1
        return int(rows), int(columns)

    def cvat_label(self, attributes: bool = True, edges: bool = True) -> dict[str, Any]:
        """The skeleton label for CVAT's raw label constructor.

        Args:
            attributes: whether it carries the number attribute ``confidence``.
            edges: whether CVAT shall draw the lines between neighbours.
        """
        scale = 100 - 2 * SVG_MARGIN_PERCENT
        drawn = self.edges if edges else ()
        return cvat_labels.skeleton_label(
            self.label, self.names, SVG_MARGIN_PERCENT + scale * self.uv, drawn, attributes
        )


def load(name_or_path: str | Path, label: str | None = None) -> Template:
    """A built-in layout by name, or any other from a file.

    - ``.yaml``: ``size_cm: [w, h]`` with ``lattice: {columns, rows, without_corners, on_frame}`` (see `even_lattice`),
      or with ``points_cm: [[x, y], ...]``, to which ``lattice_rc`` may be added; ``name``, ``label``, ``names`` and
      ``edges`` (pairs of names) are optional.
    - ``.npy``: ``[K, 2]`` places x, y in point order. All within 0..1: the places in the frame. Otherwise, as from a
      drawing: see below.
    - ``.json``: CVAT's raw label JSON with one skeleton. Its picture is a drawing: what counts is the lattice. Where
      names and lattice are those of a built-in layout, its places are taken; else every row and every column is made
      straight and the outermost ones lie on a frame of 1 m.

    Args:
        name_or_path: one of `BUILTIN`, or a file.
        label: class name instead of the file's; in a JSON file with several skeletons, which.

    Raises:
        ValueError: unknown layout, unreadable file, or one that does not describe a layout.
    """
    if str(name_or_path) in BUILTIN:
        return _builtin(str(name_or_path), label)
    path = Path(name_or_path)
    readers = {".yaml": _from_yaml, ".yml": _from_yaml, ".npy": _from_npy, ".json": _from_cvat}
    if path.suffix.lower() not in readers:
        raise ValueError(
            f"unknown layout {str(name_or_path)!r}: expected one of {list(BUILTIN)}, or a .yaml, .npy or .json"
        )
    try:
        return readers[path.suffix.lower()](path, label)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error}); built in are {list(BUILTIN)}") from None
    except (ValueError, TypeError, KeyError, EOFError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: not a layout: {error}") from error


def even_lattice(
    name: str,
    columns: int,
    rows: int,
    *,
    label: str = "grid",
    without_corners: bool = False,
    on_frame: bool = False,
    size_cm: tuple[float, float] = (100.0, 100.0),
) -> Template:
    """An even lattice, its points named ``1``, ``2``, ... row by row from the top left.

    Args:
        name: of the layout.
        columns: points in a full row, at least 1 (2 if `on_frame`).
        rows: likewise.
        label: class name in CVAT.
        without_corners: leave out the four corners of the lattice.
        on_frame: the outermost points lie on the frame; else all lie evenly inside it.
        size_cm: width and height of the frame.

    Raises:
        ValueError: too few rows or columns.
    """
    least = 3 if without_corners else 2 if on_frame else 1
    if columns < least or rows < least:
        raise ValueError(f"lattice of {columns} columns and {rows} rows: expected at least {least} each")
    ends = {(r, c) for r in (0, rows - 1) for c in (0, columns - 1)} if without_corners else set()
    cells = [(r, c) for r in range(rows) for c in range(columns) if (r, c) not in ends]
    steps = np.array([columns, rows]) + (-1 if on_frame else 1)
    uv = (np.array(cells)[:, ::-1] + (0 if on_frame else 1)) / steps
    return Template(name, label, lattice.numbered(len(cells)), np.array(cells), uv, size_cm, lattice.neighbours(cells))


def _builtin(name: str, label: str | None = None) -> Template:
    if name == "corners":
        rc = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])
        loop = ((0, 1), (0, 3), (1, 2), (2, 3))
        return Template(
            name, label or "quadrat_corner", lattice.numbered(4), rc, rc[:, ::-1].astype(np.float64), edges=loop
        )
    if name == "grid11x11":
        return even_lattice(name, 11, 11, label=label or "grid", without_corners=True, on_frame=True)
    return even_lattice(name, 9, 13, label=label or "grid")


def _from_drawing(
    name: str, label: str, names: tuple[str, ...], xy: NDArray[np.float64], edges: Sequence[tuple[int, int]] = ()
) -> Template:
    rc = lattice.lattice_of(xy)
    joined = tuple(edges) or lattice.neighbours(rc)
    for known in map(_builtin, BUILTIN):
        if known.names == names and np.array_equal(known.lattice_rc, rc):
            return Template(known.name, label, names, rc, known.uv, known.size_cm, joined)
    return Template(name, label, names, rc, lattice.straightened(xy, rc), edges=joined)


def _from_cvat(path: Path, label: str | None) -> Template:
    found = cvat_labels.read_skeleton(json.loads(path.read_text("utf-8")), label)
    return _from_drawing(path.stem, found.label, found.names, found.xy_percent, found.edges)


def _from_npy(path: Path, label: str | None) -> Template:
    with path.open("rb") as file:
        xy = np.asarray(np.lib.format.read_array(file, allow_pickle=False), np.float64)
    rc = lattice.lattice_of(xy)
    names = lattice.numbered(len(xy))
    if xy.min() < 0 or xy.max() > 1:
        return _from_drawing(path.stem, label or "grid", names, xy)
    return Template(path.stem, label or "grid", names, rc, xy, edges=lattice.neighbours(rc))


def _from_yaml(path: Path, label: str | None) -> Template:
    raw = yaml.safe_load(path.read_text("utf-8"))
    _check_keys(raw, _YAML_KEYS, "the file")
    if ("lattice" in raw) == ("points_cm" in raw):
        raise ValueError("expected either lattice or points_cm")
    name, label = str(raw.get("name", path.stem)), label or str(raw.get("label", "grid"))
    width, height = (float(side) for side in raw.get("size_cm", (100, 100)))
    if "lattice" in raw:
        _check_keys(raw["lattice"], _LATTICE_KEYS, "lattice")
        made = even_lattice(name, **{"columns": 0, "rows": 0, **raw["lattice"]}, label=label, size_cm=(width, height))
        rc, uv = made.lattice_rc, made.uv
    else:
        xy = np.array(raw["points_cm"], np.float64)
        rc = np.array(raw["lattice_rc"], np.int64) if "lattice_rc" in raw else lattice.lattice_of(xy)
        uv = xy / (width, height)
    names = tuple(str(point) for point in raw.get("names", lattice.numbered(len(uv))))
    edges = _named_edges(raw["edges"], names) if "edges" in raw else lattice.neighbours(rc)
    return Template(name, label, names, rc, uv, (width, height), edges)


def _named_edges(pairs: Iterable[Sequence[object]], names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    at = {name: k for k, name in enumerate(names)}
    try:
        return tuple((at[str(a)], at[str(b)]) for a, b in pairs)
    except KeyError as error:
        raise ValueError(f"edges: there is no point {error}") from None


def _check_keys(raw: object, known: set[str], where: str) -> None:
    if not isinstance(raw, dict) or set(raw) - known:
        unknown = sorted(map(str, set(raw) - known)) if isinstance(raw, dict) else type(raw).__name__
        raise ValueError(f"{where}: expected a mapping with keys of {sorted(known)}, got {unknown}")
