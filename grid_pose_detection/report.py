"""What an evaluation writes: figures as JSON, tables as CSV, pictures as PNG, and the worst photos."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from grid_pose_detection import metrics, plots
from grid_pose_detection.metrics import Photo
from quadrat import files, images
from quadrat.formats import overlay
from quadrat.frame_view import is_frame
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE
from quadrat.template import Template
from quadrat.verdict import OK

_TRUE_RGB = (40, 220, 255)


def write(folder: Path, photos: Mapping[Path, Photo], result: dict[str, Any], worst: int) -> None:
    """Write all that is known into a folder; what other files it holds stay, but for older ``worst``.

    - ``figures.json``: `result`
    - ``photos.csv``: a row a photo, ``points.csv``: a row a point of each layout
    - ``errors.png``, ``points-LAYOUT.png``, ``scores.png``, ``acceptance.png``: see `plots`
    - ``worst/``: the photos that most deserve a look, what was found drawn over them, true places as small crosses

    Args:
        folder: is made if it is not there.
        photos: path and measures of each.
        result: has `metrics.summary` in it.
        worst: number of photos to draw.
    """
    measured = list(photos.values())
    layouts = {pair.truth.layout.name: pair.truth.layout for photo in measured for pair in photo.pairs}
    cell = "side" if any(map(is_frame, layouts.values())) else "cell"
    files.write_json(folder / "figures.json", result)
    rows = [_row(photo) for photo in measured]
    _write_csv(folder / "photos.csv", list(rows[0]), [list(row.values()) for row in rows])
    _write_points(folder, measured, layouts, cell)
    plots.errors(folder / "errors.png", _error_groups(measured), cell, metrics.PCK)
    plots.scores(folder / "scores.png", [_score_row(photo) for photo in measured], cell)
    counts, wrong = result["verdicts"][OK], result["wrong"][OK]
    curve = metrics.acceptance(measured)
    plots.acceptance(folder / "acceptance.png", curve, counts / len(measured), wrong / max(counts, 1))
    _draw_worst(folder / "worst", photos, worst)


def _row(photo: Photo) -> dict[str, Any]:
    visibility = np.concatenate([np.zeros(0), *(pair.truth.points.visibility for pair in photo.pairs)])
    px, cells = photo.errors
    reached = np.isfinite(cells)
    found = photo.results[0].attributes.get("layout", "") if photo.results else "none"
    return {
        "photo": photo.name,
        "frame": photo.frame,
        "layout": photo.layout,
        "found_layout": found,
        "visible": int((visibility == VISIBLE).sum()),
        "occluded": int((visibility == OCCLUDED).sum()),
        "hidden": int((visibility == HIDDEN).sum()),
        "reached": int(reached.sum()),
        **_spread("error_px", px[reached]),
        **_spread("error_percent", 100 * cells[reached]),
        "found": photo.found,
        "ordered": photo.ordered,
        "right": photo.right,
        "verdict": photo.verdict.status,
        "score": round(photo.verdict.score, 4),
        "seconds": round(photo.seconds, 3),
        "reasons": "; ".join(photo.verdict.reasons),
    }


def _spread(name: str, values: NDArray[np.float64]) -> dict[str, float | str]:
    if not len(values):
        return {name: "", f"{name}_max": ""}
    return {name: round(float(values.mean()), 3), f"{name}_max": round(float(values.max()), 3)}


def _write_points(folder: Path, photos: Sequence[Photo], layouts: Mapping[str, Template], cell: str) -> None:
    rows: list[list[Any]] = []
    for name, layout in sorted(layouts.items()):
        medians, counts = metrics.by_point(photos, name)
        plots.lattice(folder / f"points-{name}.png", layout, medians, counts, cell)
        for point, median, count in zip(layout.names, medians, counts, strict=True):
            rows.append([name, point, int(count), round(100 * float(median), 3) if count else ""])
    _write_csv(folder / "points.csv", ["layout", "point", "photos", f"median_error_percent_of_{cell}"], rows)


def _error_groups(photos: Sequence[Photo]) -> dict[str, NDArray[np.float64]]:
    groups = {"all": list(photos)}
    for kind in ("layout", "frame"):
        names = sorted({getattr(photo, kind) for photo in photos if photo.pairs})
        if len(names) > 1:
            groups |= {f"{kind} {name}": [p for p in photos if getattr(p, kind) == name] for name in names}
    return {name: metrics.errors_of(group)[1] for name, group in groups.items()}


def _score_row(photo: Photo) -> tuple[float, float, str, bool]:
    cells = photo.errors[1]
    reached = cells[np.isfinite(cells)]
    return photo.verdict.score, float(reached.mean()) if len(reached) else np.nan, photo.verdict.status, photo.right


def worst_first(photos: Sequence[Photo]) -> list[Photo]:
    """The photos that most deserve a look: falsely accepted, then wrong, then by their mean error."""

    def badness(photo: Photo) -> tuple[bool, bool, float]:
        cells = photo.errors[1]
        reached = cells[np.isfinite(cells)]
        return photo.falsely_accepted, not photo.right, float(reached.mean()) if len(reached) else 0.0

    return sorted(photos, key=badness, reverse=True)


def _draw_worst(folder: Path, photos: Mapping[Path, Photo], count: int) -> None:
    for old in folder.glob("*.jpg"):
        old.unlink()
    paths = {id(photo): path for path, photo in photos.items()}
    for place, photo in enumerate(worst_first(list(photos.values()))[:count], 1):
        image = images.read(paths[id(photo)]).copy()
        for pair in photo.pairs:
            _cross(image, pair)
        facts = _row(photo)
        error = f"mean error {facts['error_percent']} %" if facts["reached"] else "nothing found"
        right = "Right" if photo.right else "WRONG"
        note = f"{right}, {error}, {facts['reached']} of {facts['visible']} visible points; small crosses: the truth."
        told = f"Verdict {facts['verdict']}{': ' if facts['reasons'] else ''}{facts['reasons']}."
        drawn = overlay.draw(image, photo.results, title=photo.name, note=f"{told} {note}")
        images.write(folder / f"{place:02d}-{Path(photo.name).stem}.jpg", drawn)


def _cross(image: NDArray[np.uint8], pair: metrics.Pair) -> None:
    thick = max(1, round(max(image.shape[:2]) / 1600))
    for (x, y), seen in zip(pair.truth.points.xy_px, np.asarray(pair.truth.points.visibility), strict=True):
        if seen == VISIBLE:
            at = (round(float(x) - 0.5), round(float(y) - 0.5))
            cv2.drawMarker(image, at, _TRUE_RGB, cv2.MARKER_CROSS, 8 * thick, thick, cv2.LINE_AA)


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    files.write_text(path, text.getvalue())
