"""Weights + photos whose quadrats are known -> figures, tables, pictures, and a review in FiftyOne's app.

    python -m grid_pose_detection.evaluate --task grid --rendered data/validation --out runs/evaluation --json
    python -m grid_pose_detection.evaluate --weights first --data data/corners --split test
    python -m grid_pose_detection.evaluate --weights first --fiftyone reef_2024 --field first

What is measured is what is served: matching, refinement and verdict are those of `model.load`. How each figure counts
what cannot be seen says `grid_pose_detection.metrics`. Either formulation is measured alike.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from tqdm import tqdm

from grid_pose_detection import folder as prepared
from grid_pose_detection import metrics, model, truth
from grid_pose_detection.metrics import Photo
from quadrat import images
from quadrat.shapes import Annotations, Keypoints
from quadrat.verdict import FAILED, OK, REVIEW

WORST = 12


def main(
    weights: str | None = None,
    *,
    task: str = "corners",
    rendered: Path | None = None,
    data: Path | None = None,
    split: str = "test",
    fiftyone: str | None = None,
    field: str | None = None,
    overwrite: bool = False,
    out: Path | None = None,
    limit: int = 0,
    device: str = "cpu",
    confidence: float | None = None,
    layout: str | Path = model.AUTO,
    max_cost: float = 0.35,
    match: bool = True,
) -> dict[str, Any]:
    """Measure weights.

    Args:
        weights: as `model.load` takes them; `None`: those that ship for `task`.
        task: ``corners`` or ``grid``.
        rendered: a folder of `data_engineering.render`, or its ``rectified``; or
        data: a folder of `grid_pose_detection.prepare`: the photos of its `split`; or
        fiftyone: the name of a FiftyOne dataset.
        split: of `data`: ``train``, ``val`` or ``test``.
        field: field of the FiftyOne dataset that gets the predictions (``<field>_keypoints``) and the figures of each
            photo (``<field>_verdict``, ``_score``, ``_right``, ``_error_percent``, ``_reasons``). The photos may come
            from a folder.
        overwrite: replace `field` where it is there.
        out: folder for ``figures.json``, tables (CSV) and pictures (PNG), with the worst photos.
        limit: measure so many photos only, evenly taken; 0: all.
        device: as `model.load` takes it, and so the settings below.
        confidence: 0..1, lowest score of a point that is matched; `None` takes `model.FAINTEST`.
        layout: which layout points are matched to.
        max_cost: farthest that a point may lie from its place, in cells.
        match: whether points are matched to a layout.

    Returns:
        The figures of `metrics.summary`; ``weights``, ``label``, ``settings``; ``skipped``: photos that could not be
        measured, with the reason.

    Raises:
        ValueError: no photos, or photos of another label than the weights'.
    """
    _check_wishes(rendered, data, fiftyone, field)
    predictor = model.load(
        weights, device, task=task, confidence=confidence, layout=layout, max_cost=max_cost, match=match
    )
    samples = _samples(rendered, data, split, fiftyone, predictor.card.labels[0])
    if limit:
        samples = _evenly(list(samples), limit)
    photos, skipped = dict[Path, Photo](), dict[str, str]()
    measured = _measure(predictor, samples, photos, skipped)
    if field:
        _into_fiftyone(str(fiftyone), field, overwrite, measured, photos)
    for _ in measured:  # what FiftyOne has not drawn already
        pass
    if not photos:
        raise ValueError(f"no photo could be measured: {dict(list(skipped.items())[:3])}")
    result = {
        "weights": str(model.find_weights(weights, task)),
        "label": predictor.card.labels[0],
        "settings": {"confidence": confidence, "layout": str(layout), "max_cost": max_cost, "match": match},
        **metrics.summary(list(photos.values())),
        "skipped": skipped,
    }
    if out is not None:
        from grid_pose_detection import report

        report.write(out, photos, result, WORST)
    return result


def _check_wishes(rendered: Path | None, data: Path | None, fiftyone: str | None, field: str | None) -> None:
    if rendered is not None and data is not None:
        raise ValueError("--rendered and --data both give photos: choose one")
    if rendered is None and data is None and fiftyone is None:
        raise ValueError("expected photos: a rendered (--rendered) or prepared folder (--data), or --fiftyone")
    if field is not None and fiftyone is None:
        raise ValueError(f"field {field!r} is one of a FiftyOne dataset: name it (--fiftyone)")
    if fiftyone is not None and field is None and (rendered or data):
        raise ValueError("the folder gives the photos; --fiftyone beside it needs --field, which gets the predictions")


def _samples(
    rendered: Path | None, data: Path | None, split: str, fiftyone: str | None, label: str
) -> Iterable[truth.Sample]:
    if rendered is not None:
        return truth.of_rendered(rendered)
    if data is None:
        return truth.of_fiftyone(str(fiftyone))
    there = prepared.read(data).label
    if there != label:
        raise ValueError(f"the weights find {label!r}, {data} was prepared for {there!r}: give --task or --weights")
    return truth.of_prepared(data, split)


def _evenly(samples: list[truth.Sample], count: int) -> list[truth.Sample]:
    places = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return [samples[place] for place in places]


def _measure(
    predictor: model.GridPredictor, samples: Iterable[truth.Sample], photos: dict[Path, Photo], skipped: dict[str, str]
) -> Iterator[tuple[Path, Annotations]]:
    """Find and measure in every photo; yields it with what was found."""
    total = len(samples) if isinstance(samples, list) else None
    for path, known_of in tqdm(samples, desc="evaluate", unit="photo", total=total):
        try:
            image_rgb, known = images.read(path), known_of()
            size_wh = image_rgb.shape[1], image_rgb.shape[0]
            if known.size_wh != size_wh:
                raise ValueError(f"the photo is {size_wh} px, its truth is for {known.size_wh}")
            quadrats = truth.quadrats(known, predictor.layouts)
        except (ValueError, OSError) as error:
            skipped[str(path)] = f"{type(error).__name__}: {error}"
            continue
        begun = perf_counter()
        judged = predictor.predict_judged(image_rgb)
        seconds = perf_counter() - begun
        results = [shape for shape in judged.shapes if isinstance(shape, Keypoints)]
        frame = truth.frame_of(known)
        photos[path] = metrics.measure(path.name, frame, quadrats, results, judged.verdict, seconds)
        yield path, Annotations(path.name, size_wh, judged.shapes)


def _into_fiftyone(
    name: str,
    field: str,
    overwrite: bool,
    measured: Iterator[tuple[Path, Annotations]],
    photos: dict[Path, Photo],
) -> None:
    from data_engineering import dataset

    resolved = ((path.resolve(), found) for path, found in measured)  # a prepared folder has links
    dataset.attach(name, field, resolved, overwrite=overwrite)
    facts = {path.resolve(): _facts(photo) for path, photo in photos.items()}
    dataset.set_facts(name, field, facts)


def _facts(photo: Photo) -> dict[str, Any]:
    cells = photo.errors[1]
    reached = cells[np.isfinite(cells)]
    return {
        "verdict": photo.verdict.status,
        "score": photo.verdict.score,
        "reasons": "; ".join(photo.verdict.reasons),
        "right": photo.right,
        "error_percent": float(100 * reached.mean()) if len(reached) else None,
    }


# ------------------------------------------------------------------------------------------------ printed


def table(result: dict[str, Any]) -> str:
    """The figures for a terminal: a row for all photos, for each layout, each kind of frame and each verdict."""
    groups = {"all": result}
    for kind, word in (("layouts", "layout"), ("frames", "frame"), ("statuses", "verdict")):
        if len(result[kind]) > 1:
            groups.update({f"{word} {name}": one for name, one in result[kind].items()})
    cell = "side" if result["label"] == "quadrat_corner" else "cell"
    heads = ["photos", "found", "ordered", "OKS-AP", *(f"PCK{share}" for share in result["pck"])]
    heads += [f"mean %{cell}", "p95", "mean px", "p95", "ok", "review", "failed", "false ok", "s/photo"]
    lines = [f"{'':20}" + "".join(f"{head:>{_width(head)}}" for head in heads)]
    for name, one in groups.items():
        values = [str(one["photos"]), _percent(one["found"]), _percent(one["ordered"]), _number(one["oks_ap"], 3)]
        values += [_percent(share) for share in one["pck"].values()]
        values += [_number(one[kind][key], 2) for kind in ("error_percent", "error_px") for key in ("mean", "p95")]
        values += [str(one["verdicts"][status]) for status in (OK, REVIEW, FAILED)]
        values += [_percent(one["false_acceptance"]), _number(one["seconds"]["mean"], 2)]
        lines.append(f"{name:20}" + "".join(f"{v:>{_width(head)}}" for v, head in zip(values, heads, strict=True)))
    lines += [f"{count:6d} x {reason}" for reason, count in result["reasons"].items()]
    if result["refused"] is not None:
        lines.append(f"photos without a whole quadrat that were refused: {_percent(result['refused'])}")
    return "\n".join(lines)


def _width(head: str) -> int:
    return max(len(head), 6) + 2


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m grid_pose_detection.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=model.TASKS, default="corners", help="what to find (default: corners)")
    parser.add_argument("--weights", help="weights file, export, run folder or run name (default: what ships)")
    parser.add_argument("--rendered", type=Path, metavar="DIR", help="folder of data_engineering.render")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of grid_pose_detection.prepare")
    parser.add_argument("--split", default="test", choices=prepared.SPLITS, help="of --data (default test)")
    parser.add_argument("--fiftyone", metavar="NAME", help="FiftyOne dataset; without a folder, of all its photos")
    parser.add_argument("--field", help="field of the FiftyOne dataset that gets the predictions")
    parser.add_argument("--overwrite", action="store_true", help="replace --field if it is there")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for JSON, CSV and PNG")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="measure N photos only, evenly taken")
    parser.add_argument("--layout", default=model.AUTO, help="built-in name or file (default: auto, the best fit)")
    parser.add_argument(
        "--confidence", type=float, help="lowest score of a point, 0..1 (default: 0.1 corners, 0.25 grid)"
    )
    parser.add_argument("--max-cost", type=float, default=0.35, help="farthest from its place, in cells")
    parser.add_argument("--no-matching", dest="match", action="store_false", help="take the order of a pose network")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or mps")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = vars(_parse(None))
    as_json = arguments.pop("json")
    try:
        evaluated = main(**arguments)
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")
    print(table(evaluated))
    for bad, reason in evaluated["skipped"].items():
        print(f"skipped {bad}: {reason}", file=sys.stderr)
    if arguments["out"]:
        print(f"figures, tables and pictures in {arguments['out']}")
    if as_json:
        print(json.dumps(evaluated))
