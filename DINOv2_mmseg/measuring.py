"""Counts what a model says of photos whose truth is known: pixels, points, and colonies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from DINOv2_mmseg import instances, metrics, plots, point_metrics
from DINOv2_mmseg.dense import Dense
from DINOv2_mmseg.truth import Known, Samples
from quadrat import images
from quadrat.shapes import Instance, SemanticMap

EXAMPLES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was said of one photo, and what is known of it."""

    photo: Path
    dense: Dense
    colonies: tuple[Instance, ...]
    known: Known


class Meter:
    """Measures photo by photo and keeps numbers, and pictures of a few photos.

    Args:
        predictor: a `model.SegmentationPredictor`.
        methods: what cuts colonies; the first is the predictor's own, others are of `instances.METHODS`.
        samples: how many photos there will be, and what is known of them.
        colonies: look for colonies even where no true ones are known.
    """

    def __init__(self, predictor: Any, methods: Sequence[str], samples: Samples, *, colonies: bool = False):
        from data_engineering import panoptic, tally

        card = predictor.semantic_card
        self.predictor, self.methods = predictor, tuple(methods)
        self.labels, self.background = card.labels, card.background
        self.known_colonies = samples.kind == "colonies"
        self.wants_colonies = colonies or self.known_colonies
        self.confusion = metrics.Confusion(self.labels)
        self.points = point_metrics.PointTally(self.labels, self.background)
        own = [label for label in self.labels if label not in self.background]
        self.quality = {method: panoptic.Counter() for method in self.methods}
        self.precision = {method: tally.Tally(own) for method in self.methods}
        self.seconds: list[float] = []
        self.pictures: dict[str, plots.Rgb] = {}
        self._examples = set(np.linspace(0, samples.total - 1, min(EXAMPLES, samples.total)).round().astype(int))

    @property
    def photos(self) -> int:
        """Number of photos measured."""
        return len(self.seconds)

    def each(self, samples: Iterable[Any], skipped: dict[str, str]) -> Iterator[Measured]:
        """Measure photos; those that cannot be are put into `skipped` with the reason.

        Args:
            samples: of `Samples.each`.
            skipped: by the photo's path.
        """
        for place, (photo, load) in enumerate(samples):
            try:
                image_rgb = images.read(photo)
                known = load((image_rgb.shape[1], image_rgb.shape[0]))
                measured = self.measure(photo, image_rgb, known)
            except (ValueError, OSError, MemoryError) as error:
                skipped[str(photo)] = f"{type(error).__name__}: {error}"
                continue
            if place in self._examples:
                self._draw(image_rgb, measured)
            yield measured

    def measure(self, photo: Path, image_rgb: images.Rgb, known: Known) -> Measured:
        """Ask and count one photo; nothing is counted of one that fails."""
        begun = perf_counter()
        dense = self.predictor.segment(image_rgb)
        cut = {method: self._colonies(image_rgb, dense, method) for method in self.methods if self.wants_colonies}
        seconds = perf_counter() - begun
        if known.points is not None:
            self._count_points(photo.name, dense.map, known.points)
        if known.index is not None:
            self.confusion.add(known.index, dense.map.index)
        if known.colonies is not None:
            for method, found in cut.items():
                self.quality[method].add(known.colonies, found, dense.size_wh)
                self.precision[method].add(known.colonies, found)
        self.seconds.append(seconds)
        return Measured(photo, dense, tuple(cut.get(self.methods[0], ())), known)

    def _colonies(self, image_rgb: images.Rgb, dense: Dense, method: str) -> list[Instance]:
        if method == self.methods[0]:
            return list(self.predictor.explain(image_rgb, dense).shapes)
        return instances.colonies(dense, self.background, method=method)

    def _count_points(self, name: str, known: SemanticMap, points: Sequence[tuple[float, float, str]]) -> None:
        predicted = point_metrics.labels_at(known, [(x, y) for x, y, _ in points])
        self.points.add(name, [label for _, _, label in points], predicted, point_metrics.map_shares(known))

    def _draw(self, image_rgb: images.Rgb, measured: Measured) -> None:
        known = measured.known
        truth = known.points if known.index is None else SemanticMap(self.labels, known.index)
        # where there are points, sand and turf are classes like others
        hidden = self.background if known.index is not None else ()
        self.pictures[measured.photo.name] = plots.side_by_side(image_rgb, truth, measured.dense.map, hidden)

    def to_dict(self) -> dict[str, Any]:
        """All figures, JSON-able.

        Returns:
            ``photos``; ``seconds`` a photo; ``semantic``: `metrics.Figures`; ``points``: `point_metrics.PointFigures`;
            ``panoptic`` and ``average_precision`` by method. `None` or empty where that truth is not known.
        """
        return {
            "photos": self.photos,
            "seconds": round(float(np.mean(self.seconds)), 3) if self.seconds else None,
            "semantic": self.confusion.figures().to_dict() if self.confusion.photos else None,
            "points": self.points.figures().to_dict() if len(self.points) else None,
            "panoptic": self._by_method(lambda method: metrics.rounded(self.quality[method].result().to_dict())),
            "average_precision": self._by_method(self._average_precision),
        }

    def _by_method(self, figures: Any) -> dict[str, Any]:
        return {method: figures(method) for method in self.methods if self.known_colonies}

    def _average_precision(self, method: str) -> dict[str, Any]:
        """Mask AP as COCO has it, mean over the classes that have a colony, and when all classes count as one."""
        curves, together = self.precision[method].by_label(), self.precision[method].any_label()
        means = {
            kind: float(np.mean([getattr(one, kind) for one in curves.values()])) if curves else None
            for kind in ("map50", "map50_95")
        }
        any_label = {"map50": together.map50, "map50_95": together.map50_95} if curves else {}
        each = {
            label: {"support": one.support, "map50": one.map50, "map50_95": one.map50_95}
            for label, one in curves.items()
        }
        return metrics.rounded({**means, "any_label": any_label, "classes": each})
