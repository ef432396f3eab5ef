"""FiftyOne dataset or rendered folder -> YOLO folder of quadrat points (see `grid_pose_detection.folder`).

    python -m grid_pose_detection.prepare --rendered renders --out data/corners --layouts corners
    python -m grid_pose_detection.prepare --rendered renders --out data/grid --layouts grid11x11 grid9x13
    python -m grid_pose_detection.prepare --fiftyone reef --out data/mine --layouts frame.yaml --formulation pose

Of a corner that something covers the place is known and learnt; of a covered crossing there is nothing to see, so that
it is no object among the ``points``. Where a layout has no points on its frame, the ends of its strings there are
objects all the same: they tell where the lattice begins. Photos without a quadrat of these layouts teach what is none.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from grid_pose_detection import folder as prepared
from quadrat import template
from quadrat.homography import apply_homography, fit_homography
from quadrat.layout_choice import layout_of
from quadrat.predictor import UNTRUSTED_NOTE
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Annotations, Keypoints
from quadrat.template import Template

BOX_OF_CELL, BOX_OF_SIDE = 0.6, 0.1
"""Side of a point's box as a share of the way to its nearest neighbour: in a lattice, and between corners."""


def main(
    out: Path,
    *,
    layouts: Sequence[str | Path],
    formulation: str = "points",
    rendered: Path | Sequence[Path] | None = None,
    fiftyone: str | None = None,
    rectified: bool = False,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    only: str | None = None,
    field: str = "ground_truth",
    view: str | None = None,
    overwrite: bool = False,
) -> prepared.Manifest:
    """Prepare a YOLO folder. It appears under its name only when it is whole.

    Args:
        out: the folder to make.
        layouts: built-in names or files (`quadrat.template.load`), all of one label and number of points.
        formulation: ``points``: each point an object; ``pose``: each quadrat one.
        rendered: a folder of `data_engineering.render`, or several; or
        fiftyone: the name of a FiftyOne dataset.
        rectified: take the rectified photos of a rendered folder.
        val: share of photos for validation, 0..1.
        test: share of photos that training never sees, 0..1.
        seed: of the split.
        only: put every photo into this split, for evaluation; what is tagged ``test`` goes nowhere else.
        field: of the dataset's labels.
        view: only what this saved view of the dataset shows.
        overwrite: replace `out` if it is there.

    Raises:
        ValueError: not exactly one source, unfit shares or layouts, no photo for training or for validation.
        FileExistsError: `out` is there and `overwrite` is not set.
    """
    from data_engineering import training_folder

    known = _load(layouts)
    if formulation not in prepared.FORMULATIONS:
        raise ValueError(f"formulation {formulation!r}: expected one of {', '.join(prepared.FORMULATIONS)}")
    source = training_folder.Source(rendered, fiftyone, rectified, field=field, view=view)
    split = training_folder.Split(val, test, seed, only)
    classes = _classes(known, formulation)
    lines_of = _point_lines if formulation == "points" else _pose_lines

    def encode(annotations: Annotations) -> tuple[bytes, Counter[str]]:
        rows = [row for quadrat in annotations.keypoints for row in _rows(quadrat, known, annotations, lines_of)]
        lines = (" ".join([str(classes.index(kind)), *(f"{value:.6g}" for value in row)]) for kind, row in rows)
        return "".join(f"{line}\n" for line in lines).encode(), Counter(kind for kind, _ in rows)

    def finish(draft: Path, tally: training_folder.Tally) -> None:
        manifest = prepared.Manifest(
            formulation=formulation,
            label=known[0].label,
            layouts=tuple(_file_name(name) for name in layouts),
            classes=classes,
            trained_on=source.words,
            note=UNTRUSTED_NOTE if rendered else "",
            seed=seed,
            photos=tally.by_split,
            objects={name: tally.objects[name] for name in classes},
            skipped=tally.skipped,
        )
        for name in layouts:
            if str(name) not in template.BUILTIN:
                (draft / _file_name(name)).write_bytes(Path(name).read_bytes())
        prepared.write(draft, manifest, known)

    training_folder.make(out, source, split, encode, finish, overwrite=overwrite, truth=_points_alone)
    return prepared.read(out)


def _points_alone(annotations: Annotations) -> Annotations:
    """What `evaluate` asks: every point, also those that no label file has."""
    return replace(annotations, shapes=annotations.keypoints)


def _file_name(layout: str | Path) -> str:
    return str(layout) if str(layout) in template.BUILTIN else Path(layout).name


def _load(layouts: Sequence[str | Path]) -> list[Template]:
    known = [template.load(name) for name in layouts]
    kinds = {(layout.label, len(layout.names)) for layout in known}
    if len(kinds) != 1:
        raise ValueError(f"layouts {list(map(str, layouts))} are {sorted(kinds)}: expected one label and point count")
    return known


def _classes(known: Sequence[Template], formulation: str) -> tuple[str, ...]:
    if formulation == "pose":
        return tuple(layout.name for layout in known)
    corners = any(prepared.CORNER in prepared.kinds_of(layout) for layout in known)
    return (prepared.CORNER,) if corners else (prepared.CROSSING, prepared.END)


Row = tuple[str, NDArray[np.float64]]


def _rows(quadrat: Keypoints, known: Sequence[Template], annotations: Annotations, lines_of) -> list[Row]:  # noqa: ANN001
    layout = layout_of(quadrat, known)
    return lines_of(quadrat, layout, np.array(annotations.size_wh)) if layout else []


def _point_lines(quadrat: Keypoints, layout: Template, size_wh: NDArray[np.int64]) -> list[Row]:
    """A box round each point that can be seen; a corner also where something covers it."""
    xy, kinds = quadrat.xy_px, prepared.kinds_of(layout)
    corners = bool((kinds == prepared.CORNER).all())
    least = OCCLUDED if corners else VISIBLE
    inside = ((xy >= 0) & (xy <= size_wh)).all(1) & (np.asarray(quadrat.visibility) >= least)
    placed = np.asarray(quadrat.visibility) != HIDDEN
    if np.count_nonzero(placed) < 2:
        return []
    step = cKDTree(xy[placed]).query(xy, 2)[0][:, 1] if not corners else _shortest_side(xy)
    side = step * (BOX_OF_SIDE if corners else BOX_OF_CELL)
    rows = [(str(kinds[k]), _box(xy[k], side[k], size_wh)) for k in np.flatnonzero(inside)]
    if not corners and prepared.END not in kinds:
        ends, last = ends_on_frame(quadrat, layout)
        there = ((ends >= 0) & (ends <= size_wh)).all(1) & inside[last]
        rows += [(prepared.END, _box(ends[k], side[last[k]], size_wh)) for k in np.flatnonzero(there)]
    return rows


def _box(xy: NDArray[np.float64], side: float, size_wh: NDArray[np.int64]) -> NDArray[np.float64]:
    """Centre, width and height; not cut at the photo's border, since the centre counts."""
    return np.concatenate([xy / size_wh, side / size_wh])


def ends_on_frame(quadrat: Keypoints, layout: Template) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Where the strings of a layout whose points all lie inside the frame meet the frame.

    They are no points of the layout, but look like those that are in others, and tell where the frame is. A string is
    taken on through its points: as straight as the homography of the layout leaves it, and bowed as its points are.

    Returns:
        float64 ``[E, 2]`` px, and int64 ``[E]``: the point next to each on its string.
    """
    seen = np.asarray(quadrat.visibility) != HIDDEN
    try:
        flat, _ = fit_homography(layout.uv[seen], quadrat.xy_px[seen])
    except ValueError:
        return np.zeros((0, 2)), np.zeros(0, np.int64)
    off = quadrat.xy_px - apply_homography(flat, layout.uv)
    ends, last = [], []
    for axis in (0, 1):  # strings across run along u and share a row; strings down run along v and share a column
        rank = layout.lattice_rc[:, axis]
        for string in np.unique(rank):
            on = np.flatnonzero((rank == string) & seen)
            if len(on) < 4:
                continue
            way = layout.uv[on, axis]
            bow = np.polyfit(way, off[on], 2)
            for border, nearest in ((0.0, on[way.argmin()]), (1.0, on[way.argmax()])):
                uv = layout.uv[nearest].copy()
                uv[axis] = border
                ends.append(apply_homography(flat, uv[None])[0] + bow[0] * border**2 + bow[1] * border + bow[2])
                last.append(nearest)
    return np.array(ends).reshape(-1, 2), np.array(last, np.int64)


def _shortest_side(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = np.linalg.norm(np.roll(xy, -1, axis=0) - xy, axis=1)
    return np.full(len(xy), float(np.median(sides)))


def _pose_lines(quadrat: Keypoints, layout: Template, size_wh: NDArray[np.int64]) -> list[Row]:
    """One object: the box round its points in the photo, then x, y and visibility of each."""
    seen = np.asarray(quadrat.visibility) != HIDDEN
    inside = seen & ((quadrat.xy_px >= 0) & (quadrat.xy_px <= size_wh)).all(1)
    if np.count_nonzero(inside) < 2:
        return []
    low, high = quadrat.xy_px[inside].min(0), quadrat.xy_px[inside].max(0)
    flags = np.where(inside, np.asarray(quadrat.visibility), HIDDEN)
    points = np.column_stack([np.where(inside[:, None], quadrat.xy_px / size_wh, 0.0), flags])
    return [(layout.name, np.concatenate([(low + high) / 2 / size_wh, (high - low) / size_wh, points.ravel()]))]


def _parse(argv: list[str] | None) -> argparse.Namespace:
    from data_engineering import training_folder

    parser = argparse.ArgumentParser(prog="python -m grid_pose_detection.prepare", description=__doc__.splitlines()[0])
    training_folder.add_arguments(parser)
    parser.add_argument("--layouts", nargs="+", required=True, metavar="LAYOUT", help="built-in names, or files")
    parser.add_argument("--formulation", choices=prepared.FORMULATIONS, default="points", help="(default: points)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        made = main(**vars(arguments := _parse(None)))
    except (ValueError, OSError) as error:
        sys.exit(f"prepare: {error}")
    for bad, reason in made.skipped.items():
        print(f"skipped {bad}: {reason}")
    print(f"{arguments.out}: photos {made.photos}, objects {made.objects}, skipped {len(made.skipped)}")
