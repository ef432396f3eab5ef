"""What a model's predictions are worth, written down: figures as JSON, tables as CSV, pictures as PNG."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_engineering import plots, tally
from data_engineering.tally import BACKGROUND, CONFIDENCES, RECALLS, Curves
from quadrat import files
from quadrat.shapes import Instance


class Report:
    """Counts photo by photo, by masks and by boxes.

    Args:
        labels: all classes.
    """

    LOWEST = tally.LOWEST

    def __init__(self, labels: Sequence[str]):
        self.labels = tuple(labels)
        self.mask, self.box = tally.Tally(labels), tally.Tally(labels, tally.box_ious)

    @property
    def photos(self) -> int:
        """Number of photos counted."""
        return self.mask.photos

    def add(self, truth: Sequence[Instance], predicted: Sequence[Instance], scores: NDArray[np.floating]) -> None:
        """Count one photo, see `Tally.add`."""
        self.mask.add(truth, predicted, scores)
        self.box.add(truth, predicted, scores)

    def to_dict(self, confidence: float) -> dict[str, Any]:
        """All figures, 0..1.

        Args:
            confidence: the lowest score for ``at_confidence``.

        Returns:
            ``mask`` and ``box``: ``map50``, ``map50_95``, ``precision``, ``recall``, ``f1``, mean over the classes that
            have a colony; ``any``: the same when all classes are one; ``classes``: the same for each, and its
            ``support``. Precision, recall and F1 are taken at ``best_confidence``, where the mean F1 of the masks is
            best. ``at_confidence``: ``predictions``, share of the colonies ``found`` and found and named ``right``,
            mean ``mask_iou`` of what was found. ``photos``, ``colonies``. 0 where there is nothing to measure.
        """
        classes = {kind: counted.by_label() for kind, counted in (("mask", self.mask), ("box", self.box))}
        place = tally.best_confidence(list(classes["mask"].values()))
        each = {
            kind: {label: _figures(one, place) for label, one in curves.items()} for kind, curves in classes.items()
        }
        support = {label: one.support for label, one in classes["mask"].items()}
        return {
            "photos": self.photos,
            "colonies": sum(support.values()),
            "any": {kind: _figures(counted.any_label(), place) for kind, counted in self._tallies()},
            **{kind: _mean(list(figures.values())) for kind, figures in each.items()},
            "classes": {
                label: {"support": count, **{kind: each[kind][label] for kind in each}}
                for label, count in support.items()
            },
            "best_confidence": round(float(CONFIDENCES[place]), 3),
            "at_confidence": self._at(confidence),
        }

    def _tallies(self) -> tuple[tuple[str, tally.Tally], ...]:
        return ("mask", self.mask), ("box", self.box)

    def _at(self, confidence: float) -> dict[str, Any]:
        counts, ious = self.mask.confusion(confidence), self.mask.found_ious(confidence)
        colonies = max(int(self.mask.support.sum()), 1)
        return {
            "confidence": confidence,
            "predictions": self.mask.predictions(confidence),
            "found": len(ious) / colonies,
            "right": int(np.trace(counts[:-1, :-1])) / colonies,
            "mask_iou": float(ious.mean()) if len(ious) else 0.0,
        }


def _figures(curves: Curves, place: int) -> dict[str, float]:
    figures = {"map50": curves.map50, "map50_95": curves.map50_95}
    at = {"precision": curves.precision[place], "recall": curves.recall[place], "f1": curves.f1[place]}
    return {key: round(float(np.nan_to_num(value)), 6) for key, value in {**figures, **at}.items()}


def _mean(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    keys = ("map50", "map50_95", "precision", "recall", "f1")
    return {key: round(float(np.mean([one[key] for one in figures])), 6) if figures else 0.0 for key in keys}


def write(folder: Path, counted: Report, result: dict[str, Any]) -> None:
    """Write all that is known into a folder; what other files it holds stay.

    - ``figures.json``: `result`
    - ``classes.csv``: a row a class, by masks
    - ``confusion.csv``, ``confusion.png``: true classes in rows, at ``at_confidence``
    - ``precision_recall.csv``, ``precision_recall.png``; ``f1_confidence.csv``, ``f1_confidence.png``

    Args:
        folder: is made if it is not there.
        counted: the photos.
        result: has `Report.to_dict` in it.
    """
    confidence = result["at_confidence"]["confidence"]
    curves = {"any coral": counted.mask.any_label(), **counted.mask.by_label()}
    counts = counted.mask.confusion(confidence)
    names = [*counted.labels, BACKGROUND]
    files.write_json(folder / "figures.json", result)
    rows = {label: {"support": one["support"], **one["mask"]} for label, one in result["classes"].items()}
    rows = {"any coral": {"support": result["colonies"], **result["any"]["mask"]}, **rows}
    _write_csv(folder / "classes.csv", ["class", *rows["any coral"]], [[k, *v.values()] for k, v in rows.items()])
    _write_csv(folder / "confusion.csv", ["true / predicted", *names], _beside(names, counts))
    for name, axis, values in (
        ("precision_recall", RECALLS, {label: one.precision_at_recall for label, one in curves.items()}),
        ("f1_confidence", CONFIDENCES, {label: one.f1 for label, one in curves.items()}),
    ):
        columns = np.column_stack([axis, *values.values()]).round(6)
        _write_csv(folder / f"{name}.csv", [name.split("_")[1], *values], columns.tolist())
    plots.confusion(folder / "confusion.png", names, counts, f"confidence {confidence:g} or more, masks at IoU 0.5")
    plots.precision_recall(folder / "precision_recall.png", curves)
    plots.f1_confidence(folder / "f1_confidence.png", curves, result["best_confidence"])


def _beside(names: Sequence[str], counts: NDArray[np.int64]) -> list[list[Any]]:
    return [[name, *row] for name, row in zip(names, counts.tolist(), strict=True)]


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    files.write_text(path, text.getvalue())
