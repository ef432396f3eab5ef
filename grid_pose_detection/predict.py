"""Photos -> corners or grid points and a verdict: shapes JSON and an overlay a photo; COCO, YOLO-pose and CVAT XML.

    python -m grid_pose_detection.predict photos/ --out predictions --task grid
    python -m grid_pose_detection.predict photos/ --out predictions --task corners --weights first
    python -m grid_pose_detection.predict photos/ --out predictions --task grid --layout frame.yaml --max-cost 0.25

What a person should look at is listed with the reasons, and so is what failed. A photo that cannot be read makes the
exit status 1; all others are done. Called again, it goes on: what was predicted by the same weights and settings is not
predicted again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from grid_pose_detection import model
from quadrat import batch
from quadrat.formats import yolo_pose
from quadrat.shapes import Annotations
from quadrat.verdict import FAILED, OK, REVIEW


def main(
    photos: Sequence[Path],
    out: Path,
    *,
    task: str = "corners",
    weights: str | None = None,
    layout: str | Path = model.AUTO,
    confidence: float | None = None,
    max_cost: float = 0.35,
    match: bool = True,
    device: str = "cpu",
    overlays: bool = True,
) -> batch.Outcome[Annotations]:
    """Predict all photos.

    Args:
        photos: files, and folders with photos.
        out: gets ``shapes/*.json``, ``overlays/*.jpg``, ``coco.json``, ``cvat.xml`` and ``yolo_pose/``.
        task: ``corners`` or ``grid``.
        weights: as `model.load` takes them, and so the settings below.
        layout: which layout points are matched to.
        confidence: 0..1, lowest score of a point that is matched; `None` takes `model.FAINTEST`.
        max_cost: farthest that a point may lie from its place, in cells.
        match: whether points are matched to a layout.
        device: to run on.
        overlays: draw the numbered points over each photo.

    Returns:
        The shapes of every photo, the verdict in ``meta`` (`batch.verdicts`); and the photos that could not be
        predicted, with the reason.
    """
    predictor = model.load(
        weights, device, task=task, confidence=confidence, layout=layout, max_cost=max_cost, match=match
    )
    settings = {"task": task, "confidence": predictor.confidence, "max_cost": max_cost, "match": match}
    prints = {"fingerprint": batch.fingerprint(model.find_weights(weights, task)), "layout": _print_of(layout)}
    maker = {"weights": predictor.card.name, **prints, **settings}
    outcome = batch.predict(predictor, photos, out, maker=maker, overlays=overlays)
    yolo_pose.write(out / "yolo_pose", outcome.done.values())
    return outcome


def _print_of(layout: str | Path) -> str:
    return f"{layout} {batch.fingerprint(Path(layout))}" if Path(layout).is_file() else str(layout)


def summary(outcome: batch.Outcome[Annotations]) -> str:
    """What a person must know: how many photos are fit to go on with, and why the others are not."""
    found = batch.verdicts(outcome.done)
    counts = ", ".join(f"{len(found.get(status, {}))} {status}" for status in (OK, REVIEW, FAILED))
    lines = [f"{len(outcome.done)} photos: {counts}"]
    for status in (REVIEW, FAILED):
        lines += [f"{status} {photo}: {reasons}" for photo, reasons in found.get(status, {}).items()]
    return "\n".join(lines)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m grid_pose_detection.predict", description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="+", help="photos, or folders with photos")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--task", choices=model.TASKS, default="corners", help="what to find (default: corners)")
    parser.add_argument("--weights", help="weights file, export, run folder or run name (default: what ships)")
    parser.add_argument("--layout", default=model.AUTO, help="built-in name or file (default: auto, the best fit)")
    parser.add_argument("--confidence", type=float, help="lowest score of a point (default: 0.1 or 0.25)")
    parser.add_argument("--max-cost", type=float, default=0.35, help="farthest from its place in cells, up to 0.5")
    parser.add_argument("--no-matching", dest="match", action="store_false", help="take the order of a pose network")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or mps")
    parser.add_argument("--no-overlays", dest="overlays", action="store_false", help="only the files, no pictures")
    return parser.parse_args(argv)


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = _parse(argv)
    try:
        outcome = main(**vars(arguments))
    except (ValueError, OSError) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 1
    print(summary(outcome))
    print(f"results in {arguments.out}")
    for photo, reason in outcome.failed.items():
        print(f"failed {photo}: {reason}", file=sys.stderr)
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(run())
