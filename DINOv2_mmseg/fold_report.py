"""What a k-fold found, written down: figures, tables and pictures over all points that were held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from DINOv2_mmseg import metrics, plots, tables
from DINOv2_mmseg.fold_work import FOREST, MAJORITY, OURS, Guess
from DINOv2_mmseg.human_points import Dealt, PointPhoto
from DINOv2_mmseg.point_metrics import COLONIES, PointTally
from quadrat import files

Guesses = Mapping[str, Mapping[int, Sequence[Guess]]]
"""By method and fold, the guesses of each photo that was held out."""

_TITLES = {OURS: "network", FOREST: "random forest", MAJORITY: "commonest class"}


def summary(dealt: Dealt, guesses: Guesses, groups: Mapping[str, str]) -> dict[str, Any]:
    """All figures.

    Args:
        dealt: the photos and their folds.
        guesses: of every method.
        groups: of each photo by file name; may be empty.

    Returns:
        ``folds``, ``photos``, ``points``; ``classes``: points of each; ``unlearnable``: classes that some fold cannot
        learn; ``methods``: for each ``accuracy`` and ``macro_recall`` (``mean``, ``sd`` over folds, ``each``),
        ``cover_error`` (over photos, in percentage points, mean over all classes that people used), ``pooled``: the
        figures of `point_metrics.PointFigures` over all points, without their cover; ``groups``: for each ``photos``,
        ``points`` and ``accuracy`` by method.
    """
    return metrics.rounded(
        {
            "folds": dealt.count,
            "photos": len(dealt.photos),
            "points": sum(len(photo.points) for photo in dealt.photos),
            "classes": dict(dealt.support().most_common()),
            "unlearnable": dealt.unlearnable(),
            "methods": {method: _method(dealt, by_fold) for method, by_fold in guesses.items()},
            "groups": {
                group: _group(dealt, guesses, {name for name, own in groups.items() if own == group})
                for group in sorted(set(groups.values()))
            },
        }
    )


def _method(dealt: Dealt, by_fold: Mapping[int, Sequence[Guess]]) -> dict[str, Any]:
    labels = sorted(dealt.support())
    each = [tally(dealt.held_out(fold), found, labels).figures() for fold, found in sorted(by_fold.items())]
    pooled = tally(dealt.photos, [guess for found in by_fold.values() for guess in found], labels).figures()
    return {
        "accuracy": _spread([one.accuracy for one in each]),
        "macro_recall": _spread([one.macro_recall for one in each]),
        "cover_error": _spread(list(_cover_errors(pooled.cover).values())),
        "pooled": {key: value for key, value in pooled.to_dict().items() if key != "cover"},
    }


def tally(photos: Sequence[PointPhoto], guesses: Sequence[Guess], labels: Sequence[str]) -> PointTally:
    """Photos and their guesses, counted.

    Args:
        photos: with the human points.
        guesses: of the same photos, in any order.
        labels: all classes.
    """
    by_name = {guess.photo: guess for guess in guesses}
    counted = PointTally(labels)
    for photo in photos:
        guess = by_name[photo.path.name]
        counted.add(photo.path.name, photo.labels, guess.predicted, guess.shares)
    return counted


def _cover_errors(cover: Sequence[Any]) -> dict[str, float]:
    """Of each photo, the mean over its classes in percentage points."""
    by_photo: dict[str, list[float]] = {}
    for one in cover:
        if one.label != COLONIES:
            by_photo.setdefault(one.photo, []).append(abs(one.predicted - one.human))
    return {photo: float(np.mean(errors)) for photo, errors in by_photo.items()}


def _group(dealt: Dealt, guesses: Guesses, names: set[str]) -> dict[str, Any]:
    own = [photo for photo in dealt.photos if photo.path.name in names]
    labels = sorted(dealt.support())
    accuracy = {}
    for method, by_fold in guesses.items():
        accuracy[method] = tally(own, [g for found in by_fold.values() for g in found], labels).figures().accuracy
    return {"photos": len(own), "points": sum(len(photo.points) for photo in own), "accuracy": accuracy}


def _spread(values: Sequence[float]) -> dict[str, Any]:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "sd": sd, "each": list(values)}


def write(out: Path, dealt: Dealt, guesses: Guesses, result: Mapping[str, Any]) -> None:
    """Write ``figures.json``, ``classes.csv``, ``cover.csv``, ``cover.png``, ``confusion.csv`` and ``confusion.png``.

    The confusion is that of the first method.
    """
    files.write_json(out / "figures.json", dict(result))
    labels = sorted(dealt.support())
    pooled = {
        method: tally(dealt.photos, [guess for found in by_fold.values() for guess in found], labels)
        for method, by_fold in guesses.items()
    }
    first = next(iter(pooled))
    counts = pooled[first].confusion()
    tables.write(out / "confusion.csv", ["human / predicted", *pooled[first].labels], tables.beside(labels, counts))
    note = f"{_TITLES[first]}, {result['folds']} folds by photo, {result['points']} points of {result['photos']} photos"
    plots.confusion(out / "confusion.png", pooled[first].labels, counts, "points", note)
    tables.write(out / "classes.csv", *_classes(result))
    figures = {method: counted.figures() for method, counted in pooled.items()}
    tables.write(out / "cover.csv", *_cover_table(figures))
    panels = {
        _TITLES[method]: [(one.label, one.human, one.predicted) for one in known.cover if one.label != COLONIES]
        for method, known in figures.items()
    }
    plots.cover(out / "cover.png", panels, "a dot is the cover of a class in a photo that was held out, at its points")


def _classes(result: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    methods = result["methods"]
    kinds = ("recall", "precision")
    header = ["class", "points", "learnt", *(f"{kind} {method}" for method in methods for kind in kinds)]
    rows = [
        [label, support, "no" if label in result["unlearnable"] else "yes"]
        + [one["pooled"]["classes"][label][kind] for one in methods.values() for kind in kinds]
        for label, support in result["classes"].items()
    ]
    return header, rows


def _cover_table(figures: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    header = ["photo", "class", "points", "human %", *(f"{method} %" for method in figures)]
    mapped = OURS in figures
    header += [f"{OURS} whole map %"] if mapped else []
    lines = zip(*(known.cover for known in figures.values()), strict=True)
    rows = []
    for same in lines:
        one = same[0]
        row = [one.photo, one.label, one.points, one.human, *(each.predicted for each in same)]
        rows.append(metrics.rounded(row + ([one.whole_map] if mapped else [])))
    return header, rows
