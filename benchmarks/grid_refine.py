"""What refining on the photo is worth: true points, disturbed as a network would, before and after.

    python -m benchmarks.grid_refine --data data/v1-grid --json
    python -m benchmarks.grid_refine --data data/v1-corners --task corners --noise 0.007

Errors are of visible points: in per cent of a cell (the smaller distance of neighbours, median over the photo) for
grids, of the mean side for corners.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from grid_pose_detection.candidates import Match
from grid_pose_detection.refine import refine_corners, refine_crossings
from quadrat import images, template
from quadrat.formats import shapes_json
from quadrat.homography import fit_homography
from quadrat.shapes import VISIBLE, Keypoints
from quadrat.template import Template

Floats = NDArray[np.float64]

NOISE = {"grid": (0.03, 0.06), "corners": (0.007,)}
"""Standard deviations of x and of y, in cells or in sides."""
_GROSS, _GROSS_CELLS = 3, (0.15, 0.35)
"""So many points of each grid are off by that much instead."""
_REFINE = {"grid": refine_crossings, "corners": refine_corners}
_LABEL = {"grid": "grid", "corners": "quadrat_corner"}


def main(data: Path, task: str = "grid", noise: Sequence[float] = (), limit: int | None = None) -> dict[str, Any]:
    """Measure on a rendered folder.

    Args:
        data: with ``photos`` and ``truth``, and ``strings`` for grids.
        task: ``grid`` or ``corners``.
        noise: as `NOISE`, which it replaces.
        limit: number of photos; all for `None`.

    Returns:
        ``task``, ``photos``, and ``noise``: for each deviation ``ms``, the median processor time of a photo, and for
        each group (all, kinds of frames, looks of yarn) ``photos``, ``points``, and ``before`` and ``after`` with
        ``mean``, ``median`` and ``p95``.

    Raises:
        ValueError: no photo has such points.
    """
    paths = sorted((data / "truth").glob("*.json"))[:limit]
    found: dict[float, dict[str, Any]] = {}
    photos = 0
    for sigma in noise or NOISE[task]:
        errors: dict[str, list[tuple[Floats, Floats]]] = defaultdict(list)
        seconds: list[float] = []
        for number, path in enumerate(tqdm(paths, unit="photo", desc=f"noise {sigma:g}", leave=False)):
            truth = shapes_json.read(path)
            points = next((k for k in truth.keypoints if k.label == _LABEL[task]), None)
            if points is None:
                continue
            photo = images.read(data / "photos" / truth.image)
            match, unit = _disturbed(points, task, sigma, np.random.default_rng([number, round(1e6 * sigma)]))
            start = time.process_time()
            refined = _REFINE[task](photo, match)
            seconds.append(time.process_time() - start)
            pair = _percent(match.xy_px, points, unit), _percent(refined.xy_px, points, unit)
            for group in ("all", *_groups(data, path, truth.meta, photo, task)):
                errors[group].append(pair)
        if not seconds:
            raise ValueError(f"{data}: no photo has a {_LABEL[task]!r}: expected a folder rendered for it")
        photos = len(seconds)
        found[sigma] = {"ms": 1000 * float(np.median(seconds))} | {g: _summary(e) for g, e in sorted(errors.items())}
    return {"task": task, "photos": photos, "noise": found}


def _disturbed(points: Keypoints, task: str, sigma: float, random: np.random.Generator) -> tuple[Match, float]:
    """A match as a network might give it, and the length that errors are counted in, in px."""
    layout = template.load(points.attributes.get("layout", "corners"))
    true = points.xy_px
    unit = _cell_px(layout, true) if task == "grid" else float(np.hypot(*(true - np.roll(true, -1, 0)).T).mean())
    xy = true + random.normal(0, sigma * unit, true.shape)
    if task == "grid":
        gross, turn = random.choice(len(xy), _GROSS, replace=False), random.uniform(0, 2 * np.pi, _GROSS)
        far = random.uniform(*_GROSS_CELLS, _GROSS) * unit
        xy[gross] = true[gross] + far[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
    homography, _ = fit_homography(layout.uv, xy, 0.2 * unit)
    found = np.asarray(points.visibility) == VISIBLE
    return Match(layout, xy, found, np.where(found, 0.9, 0.4), homography, sigma, 0), unit


def _cell_px(layout: Template, xy: Floats) -> float:
    one, other = np.array(layout.edges).T
    length, row = np.hypot(*(xy[one] - xy[other]).T), layout.lattice_rc[one, 0] == layout.lattice_rc[other, 0]
    return float(min(np.median(length[row]), np.median(length[~row])))


def _percent(xy: Floats, points: Keypoints, unit: float) -> Floats:
    seen = np.asarray(points.visibility) == VISIBLE
    error: Floats = 100 / unit * np.hypot(*(xy - points.xy_px)[seen].T)
    return error


def _groups(data: Path, path: Path, meta: Any, photo: NDArray[np.uint8], task: str) -> list[str]:
    """Kind of the frame; for grids whether the yarn is bright, dark or coloured."""
    groups = [f"frame {meta['frame']}"]
    if task == "grid":
        strings = images.read(data / "strings" / f"{path.stem}.png")[..., 0] > 0
        near = cv2.dilate(strings.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~strings
        contrast = np.median(photo[strings], 0) - np.median(photo[near], 0)
        grey = contrast.mean()
        coloured = np.abs(contrast - grey).max() > abs(grey)
        groups.append(f"yarn {'coloured' if coloured else 'bright' if grey > 0 else 'dark'}")
    return groups


def _summary(errors: Sequence[tuple[Floats, Floats]]) -> dict[str, Any]:
    before, after = (np.concatenate(side) for side in zip(*errors, strict=True))
    return {"photos": len(errors), "points": len(before), "before": _figures(before), "after": _figures(after)}


def _figures(values: Floats) -> dict[str, float]:
    if not len(values):
        return {"mean": float("nan"), "median": float("nan"), "p95": float("nan")}
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
    }


def table(result: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    lines = ["| noise | group | photos | points | before: mean, median, p95 | after |", "|---|---|---|---|---|---|"]
    for sigma, groups in result["noise"].items():
        for group, row in groups.items():
            if group != "ms":
                sides = (", ".join(f"{value:.2f}" for value in row[side].values()) for side in ("before", "after"))
                lines.append(f"| {sigma:g} | {group} | {row['photos']} | {row['points']} | {' | '.join(sides)} |")
        lines.append(f"| {sigma:g} | time | | | | {groups['ms']:.1f} ms |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="rendered folder")
    parser.add_argument("--task", choices=sorted(NOISE), default="grid")
    parser.add_argument(
        "--noise", type=float, action="append", default=[], help="in cells or in sides; repeat for more"
    )
    parser.add_argument("--limit", type=int, help="number of photos")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    measured = main(options.data, options.task, options.noise, options.limit)
    print(json.dumps(measured) if options.json else table(measured))
