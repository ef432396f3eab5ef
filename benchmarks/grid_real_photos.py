"""Corners and grids on real photographs: how far off, in which order, and what is accepted although it is wrong.

    python -m benchmarks.grid_real_photos --photos DIR --json
    python -m benchmarks.grid_real_photos --photos DIR --task corners --corner-weights mine.pt --out overlays
    python -m benchmarks.grid_real_photos --photos DIR --task grid --count 200 --work DIR

Corners: the photographs that grid_pose_detection/tests/real_corners.json names. Those without a frame, and what the
framed ones show inside of their frame, must be refused. Grid: there is no photograph of one, so framed strings are
rendered over what the photographs show inside of their frames.

``--work`` keeps two folders that `grid_pose_detection.evaluate` reads too: marked photographs, rendered grids.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from benchmarks import marked_photos
from benchmarks.marked_photos import Photo, Rgb
from quadrat import images, template
from quadrat.formats import overlay, shapes_json
from quadrat.predictor import JudgingPredictor
from quadrat.shapes import VISIBLE, Keypoints
from quadrat.verdict import FAILED, OK, Judged

if TYPE_CHECKING:
    from data_engineering.render.settings import Settings

RIGHT_PERCENT, WRONG_PERCENT = 2.0, 5.0
"""Of the side: corners this near are right; one farther off than the second must not be accepted."""
TILTS_DEG = ((0.0, 14.0), (14.0, 30.0))
"""As in the validation set, and beyond."""
SEED = 9200  # of the first range of tilts; not one that anything is trained on
TASKS = ("corners", "grid")


def main(
    photos: Path,
    *,
    tasks: Sequence[str] = TASKS,
    corner_weights: str | None = None,
    grid_weights: str | None = None,
    count: int = 100,
    work: Path | None = None,
    out: Path | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure weights on real photographs.

    Args:
        photos: folder of the photographs.
        tasks: some of `TASKS`.
        corner_weights: as `grid_pose_detection.model.load` takes them; the default is what ships.
        grid_weights: likewise.
        count: photos with a rendered grid, for each range of tilts.
        work: folder for what is rendered, taken up again where it is there; `None` makes one and removes it.
        out: folder for overlays.
        device: as `model.load` takes it.

    Returns:
        For each task what `corners` and `grids` return.

    Raises:
        ValueError: photographs are missing or are not those that were marked.
    """
    found = marked_photos.load(photos)
    from grid_pose_detection import model

    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        place = work or Path(temporary)
        if "corners" in tasks:
            marked_photos.write_folder(place / "marked", found)
            result["corners"] = corners(model.load(corner_weights, device, task="corners"), found, out)
        if "grid" in tasks:
            folders = render_grids(place, found, count)
            result["grid"] = grids(model.load(grid_weights, device, task="grid"), folders, out)
    return result


# ------------------------------------------------------------------------------------------------ corners


def corners(predictor: JudgingPredictor, photos: Iterable[Photo], out: Path | None = None) -> dict[str, Any]:
    """Find the corners of real frames.

    Returns:
        ``photos``: of each ``photo``, ``frame``, ``error_percent`` (largest of its corners, of the side; ``None`` where
        none were found), ``verdict``, ``reasons``; ``frames``: for each kind and for ``all``: see `summary`;
        ``unframed``: the same for pictures without a frame, ``not_refused``: how many of them did not fail.
    """
    framed, unframed = [], []
    for photo in tqdm(list(photos), desc="corners", unit="photo"):
        if photo.corners is not None:
            framed.append(_measured(predictor, photo, photo.read(), out))
        empty = replace(photo, name=f"inside {photo.name}" if photo.corners else photo.name, frame="none", corners=None)
        unframed.append(_measured(predictor, empty, marked_photos.inside(photo), out))
    kinds = sorted({row["frame"] for row in framed})
    by_kind = {kind: summary([row for row in framed if row["frame"] == kind]) for kind in kinds}
    not_refused = sum(row["verdict"] != FAILED for row in unframed)
    frames = {**by_kind, "all": summary(framed)}
    return {"photos": framed, "frames": frames, "unframed": unframed, "not_refused": not_refused}


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many photos, with all corners right, accepted, accepted although wrong; and the largest error in percent."""
    errors = [row["error_percent"] for row in rows]
    return {
        "photos": len(rows),
        "right": sum(error is not None and error <= RIGHT_PERCENT for error in errors),
        "accepted": sum(row["verdict"] == OK for row in rows),
        "falsely_accepted": sum(row["verdict"] == OK and _is_wrong(row["error_percent"]) for row in rows),
        "worst_percent": max((error for error in errors if error is not None), default=None),
    }


def error_percent(found: Keypoints, true: Keypoints) -> float:
    """Distance of the corner that is farthest off, in percent of the mean side."""
    off = np.linalg.norm(found.xy_px - true.xy_px, axis=1)
    return 100 * float(off.max()) / marked_photos.side_px(true.xy_px)


def _is_wrong(error: float | None) -> bool:
    return error is None or error > WRONG_PERCENT


def _measured(predictor: JudgingPredictor, photo: Photo, image_rgb: Rgb, out: Path | None) -> dict[str, Any]:
    judged = predictor.predict_judged(image_rgb)
    found = _first(judged, "quadrat_corner")
    error = error_percent(found, photo.corners) if found is not None and photo.corners is not None else None
    said = {"verdict": judged.verdict.status, "reasons": list(judged.verdict.reasons)}
    if out is not None:
        _draw(out / f"{photo.name.replace('/', ' ')}.jpg", image_rgb, judged)
    return {"photo": photo.name, "frame": photo.frame, "error_percent": error, **said}


# ------------------------------------------------------------------------------------------------ grid


def settings(tilt_deg: tuple[float, float]) -> Settings:
    """Both layouts alike often, over the photograph as it is: no rendered corals."""
    from data_engineering.render.settings import Settings

    layouts = {"grid11x11": 0.5, "grid9x13": 0.5}
    return Settings(layouts=layouts, tilt_deg=tilt_deg, colonies_on_backgrounds=False, rectified_px=64)


def render_grids(work: Path, photos: Iterable[Photo], count: int) -> dict[str, Path]:
    """Render frames with strings over the insides of the real frames (a frame in a frame is what nobody has).

    Returns:
        Folders of the renderer by their range of tilts.
    """
    from data_engineering.render import folder

    for photo in photos:
        images.write(work / "backgrounds" / f"{Path(photo.name).stem}.jpg", marked_photos.inside(photo), quality=97)
    made = {}
    for seed, (low, high) in enumerate(TILTS_DEG, SEED):
        name = f"{low:.0f} to {high:.0f} degrees"
        place = work / f"grid-{low:.0f}-{high:.0f}"
        made[name] = folder.render_folder(place, count, seed, settings((low, high)), work / "backgrounds")
    return made


def grids(predictor: JudgingPredictor, folders: dict[str, Path], out: Path | None = None) -> dict[str, Any]:
    """Find the points of rendered grids.

    Returns:
        For each key of `folders`, each layout and ``all``: ``photos``, ``ordered`` (every visible point within half a
        cell of its own truth), ``accepted``, ``falsely_accepted`` (accepted, but not ordered); ``wrong``: which.
    """
    rows = []
    for tilt, folder in folders.items():
        for path in tqdm(sorted((folder / "truth").glob("*.json")), desc=f"grid, {tilt}", unit="photo"):
            rows.append({"tilt": tilt, **_ordered_row(predictor, path, out)})
    keys = {**{tilt: "tilt" for tilt in folders}, **{row["layout"]: "layout" for row in rows}}
    counts = {key: _counts([row for row in rows if row[column] == key]) for key, column in sorted(keys.items())}
    wrong = [row for row in rows if not row["ordered"]]
    return {**counts, "all": _counts(rows), "wrong": wrong}


def is_ordered(found: Keypoints, true: Keypoints, layout: template.Template) -> bool:
    """Whether every visible point lies within half a cell (half the way to its nearest neighbour) of its truth."""
    if found.names != true.names:
        return False
    nearest = np.full(len(true.names), np.inf)
    for i, j in layout.edges:
        distance = np.linalg.norm(true.xy_px[i] - true.xy_px[j])
        nearest[[i, j]] = np.minimum(nearest[[i, j]], distance)
    off = np.linalg.norm(found.xy_px - true.xy_px, axis=1)
    return bool((off <= nearest / 2)[true.visibility == VISIBLE].all())


def _ordered_row(predictor: JudgingPredictor, truth: Path, out: Path | None) -> dict[str, Any]:
    known = shapes_json.read(truth)
    true = next(points for points in known.keypoints if points.label == "grid")
    layout = template.load(true.attributes["layout"])
    photo = truth.parents[1] / "photos" / known.image
    image_rgb = images.read(photo)
    judged = predictor.predict_judged(image_rgb)
    found = _first(judged, "grid")
    ordered = found is not None and is_ordered(found, true, layout)
    if out is not None and not ordered:
        _draw(out / truth.parents[1].name / photo.name, image_rgb, judged)
    said = {"verdict": judged.verdict.status, "reasons": list(judged.verdict.reasons)}
    return {"photo": str(photo.name), "layout": layout.name, "ordered": ordered, **said}


def _counts(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    return {
        "photos": len(rows),
        "ordered": sum(row["ordered"] for row in rows),
        "accepted": sum(row["verdict"] == OK for row in rows),
        "falsely_accepted": sum(row["verdict"] == OK and not row["ordered"] for row in rows),
    }


# ------------------------------------------------------------------------------------------------ report


def page(result: dict[str, Any]) -> str:
    """The figures as Markdown tables."""
    parts = []
    if "corners" in result:
        found = result["corners"]
        head = ["photo", "frame", "largest error, % of the side", "verdict", "reasons"]
        rows = [*found["photos"], *(row for row in found["unframed"] if row["verdict"] != FAILED)]
        parts.append(_table(head, [_cells(row) for row in rows]))
        columns = ["photos", "right", "accepted", "falsely_accepted", "worst_percent"]
        named = ["frame", "photos", f"within {RIGHT_PERCENT:g} %", "accepted", "falsely accepted", "worst, %"]
        parts.append(_table(named, [[k, *(_said(v[c]) for c in columns)] for k, v in found["frames"].items()]))
        parts.append(f"Without a frame: {found['not_refused']} of {len(found['unframed'])} not refused.")
    if "grid" in result:
        columns = ["photos", "ordered", "accepted", "falsely_accepted"]
        rows = [[k, *(_said(v[c]) for c in columns)] for k, v in result["grid"].items() if k != "wrong"]
        parts.append(_table(["rendered grid", "photos", "all ordered", "accepted", "falsely accepted"], rows))
    return "\n\n".join(parts)


def _cells(row: dict[str, Any]) -> list[str]:
    return [row["photo"], row["frame"], _said(row["error_percent"]), row["verdict"], "; ".join(row["reasons"])]


def _said(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def _first(judged: Judged, label: str) -> Keypoints | None:
    return next((shape for shape in judged.shapes if isinstance(shape, Keypoints) and shape.label == label), None)


def _draw(path: Path, image_rgb: Rgb, judged: Judged) -> None:
    note = "; ".join((judged.verdict.status, *judged.verdict.reasons))
    images.write(path, overlay.draw(image_rgb, judged.shapes, title=path.stem, note=note))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grid_real_photos", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, metavar="DIR", help="where the photographs lie")
    parser.add_argument("--task", choices=TASKS, help="one of the two (default: both)")
    parser.add_argument("--corner-weights", metavar="W", help="file, run folder or name (default: what ships)")
    parser.add_argument("--grid-weights", metavar="W", help="likewise")
    parser.add_argument("--count", type=int, default=100, help="rendered grids a range of tilts (default: %(default)s)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep what is measured on here, and take it up again")
    parser.add_argument("--out", type=Path, metavar="DIR", help="overlays: all corners, and the grids that are wrong")
    parser.add_argument("--device", default="cpu", help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    given = parser.parse_args()
    wanted = TASKS if given.task is None else (given.task,)
    weights = {"corner_weights": given.corner_weights, "grid_weights": given.grid_weights}
    rest = {"count": given.count, "work": given.work, "out": given.out, "device": given.device}
    try:
        measured = main(given.photos, tasks=wanted, **weights, **rest)
    except (ValueError, OSError) as error:
        sys.exit(f"grid_real_photos: {error}")
    print(page(measured))
    if given.json:
        print(json.dumps(measured))
