"""`load`: YOLO weights of either formulation -> `JudgingPredictor` of a quadrat's corners or grid points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid_pose_detection import folder, matching, refine
from grid_pose_detection.candidates import Candidates, Match, to_keypoints
from grid_pose_detection.network import PointFinder, View
from quadrat import sharpness, template, verdict
from quadrat.predictor import Card, read_card
from quadrat.shapes import Keypoints, Shape
from quadrat.template import Template
from quadrat.verdict import Judged
from yolo import networks, weights

TASKS = ("corners", "grid")
AUTO = "auto"
LEAST_KEYPOINT_SCORE = 0.3
"""A keypoint (formulation pose) that the network deems less visible is filled in from the lattice."""


def load(
    path: str | Path | None = None,
    device: str = "cpu",
    *,
    task: str = "corners",
    confidence: float = 0.25,
    layout: str | Path = AUTO,
    max_cost: float = 0.35,
    match: bool = True,
    precision: str = "f32",
) -> GridPredictor:
    """Load weights and warm them up.

    Args:
        path: a ``.pt``, ``.onnx`` or ``.torchscript`` file, an OpenVINO folder, a run folder, or a run's name; `None`
            takes the weights that ship for `task`.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; for OpenVINO also its own names.
        task: ``corners`` or ``grid``: which weights `None` takes.
        confidence: 0..1, lowest score of a point that is matched.
        layout: ``auto``: the best fit among all known layouts with the weights' label and number of points; or a
            built-in name or a file (`quadrat.template.load`).
        max_cost: farthest that a point may lie from its place in the fitted lattice, in cells, above 0.
        match: whether points are matched to a layout; without, the order of a ``pose`` network stands as it is.
        precision: of OpenVINO: ``f32``, or ``bf16`` where the processor has it.

    Raises:
        FileNotFoundError: there is nothing under `path`.
        ValueError: the file is of another kind, lacks its card, or does not fit the layout; a value is out of range.
    """
    if task not in TASKS:
        raise ValueError(f"task is {task!r}: expected one of {', '.join(TASKS)}")
    if not 0 <= confidence <= 1:
        raise ValueError(f"confidence is {confidence}: expected 0..1")
    if not 0 < max_cost <= 1:
        raise ValueError(f"max_cost is {max_cost}: expected above 0, up to 1 cell")
    found = find_weights(path, task)
    network = networks.load(found, device, precision, tasks=("detect", "pose"))
    card = read_card(found)
    if card is None or not card.layouts or len(card.labels) != 1:
        raise ValueError(f"{found} has no card that names its layouts and one label: expected weights of this module")
    trained = tuple(folder.layouts(found.parent, card.layouts, card.labels[0]))
    finder = PointFinder(network, trained)
    if not match and not finder.ordered:
        raise ValueError(f"{found} finds points without an order: matching cannot be switched off, except for pose")
    predictor = GridPredictor(finder, card, _layouts(layout, trained, card), confidence, max_cost, match)
    predictor.predict(np.zeros((64, 64, 3), np.uint8))
    return predictor


def find_weights(path: str | Path | None, task: str = "corners") -> Path:
    """The weights file or OpenVINO folder that `path` means, see `load`.

    Raises:
        FileNotFoundError: there is none.
    """
    return weights.find(folder.MODULE, path, f"{folder.MODULE}/{task}")


def _layouts(wanted: str | Path, trained: Sequence[Template], card: Card) -> list[Template]:
    """The layouts to match to.

    Raises:
        ValueError: one of another number of points than the weights'.
    """
    label, count = card.labels[0], len(trained[0].names)
    if str(wanted) == AUTO:
        others = (template.load(name) for name in template.BUILTIN if name not in card.layouts)
        alike = [each for each in others if each.label == label and len(each.names) == count]
        return [*trained, *alike]
    chosen = template.load(wanted, label)
    if len(chosen.names) != count:
        raise ValueError(
            f"layout {str(wanted)!r} has {len(chosen.names)} points, the weights {card.name!r} have {count}: choose a "
            f"layout of {count} points (TEMPLATE), or weights trained for this one (MODEL_PATH)"
        )
    return [chosen]


class GridPredictor:
    """A `quadrat.predictor.JudgingPredictor` of corners or grid points. Thread-unsafe: one a worker."""

    def __init__(
        self,
        finder: PointFinder,
        card: Card,
        layouts: Sequence[Template],
        confidence: float,
        max_cost: float,
        match: bool,
    ):
        self.finder, self.layouts = finder, tuple(layouts)
        self.confidence, self.max_cost, self.match = confidence, max_cost, match
        self._card = card

    @property
    def card(self) -> Card:
        """What a reader must know of the weights."""
        return self._card

    def predict(self, image_rgb: NDArray[np.uint8], *, threshold: float | None = None) -> Sequence[Shape]:
        """The shapes of `predict_judged`."""
        return self.predict_judged(image_rgb, threshold=threshold).shapes

    def predict_judged(self, image_rgb: NDArray[np.uint8], *, threshold: float | None = None) -> Judged:
        """Find the quadrat's points and judge them.

        Args:
            image_rgb: uint8 ``[H, W, 3]``.
            threshold: 0..1, lowest score of a result to return; `None` returns whatever has not failed.

        Returns:
            One `Keypoints` in px of `image_rgb`, or none, and the verdict in either case.

        Raises:
            ValueError: `image_rgb` or `threshold` is not as above.
        """
        image_rgb = np.asarray(image_rgb)
        if image_rgb.dtype != np.uint8 or image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or not image_rgb.size:
            raise ValueError(f"image_rgb is {image_rgb.dtype}{list(image_rgb.shape)}: expected uint8[H, W, 3]")
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"threshold is {threshold}: expected 0..1")
        size_wh = (image_rgb.shape[1], image_rgb.shape[0])
        candidates, view = self.finder.find(image_rgb, self.confidence)
        found = self._matched(candidates)
        if found is None:
            return verdict.judged(None, self.layouts[0], verdict.judge(None, self.layouts[0], size_wh))
        refined = refine.refine(image_rgb, found)
        points = to_keypoints(refined, size_wh)
        passed = self._judge(points, refined, view, size_wh)
        judged = verdict.judged(points, refined.template, passed)
        if threshold is not None and passed.score < threshold:
            return Judged((), passed)
        return judged

    def _matched(self, candidates: Candidates) -> Match | None:
        if self.match:
            return matching.best_match(candidates, self.layouts, max_cost=self.max_cost)
        return matching.as_given(candidates, self.layouts) if len(candidates) else None

    def _judge(self, points: Keypoints, match: Match, view: View, size_wh: tuple[int, int]) -> verdict.Verdict:
        return verdict.judge(
            points,
            match.template,
            size_wh,
            residual=match.residual,
            refused=match.refused,
            ambiguous=match.ambiguous,
            blur_px=sharpness.blur_px(view.photo_rgb) / float(view.scale.min()),
        )
