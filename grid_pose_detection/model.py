"""`load`: YOLO weights of either formulation -> `JudgingPredictor` of a quadrat's corners or grid points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid_pose_detection import folder, matching
from grid_pose_detection.candidates import Candidates
from grid_pose_detection.network import PointFinder
from grid_pose_detection.refine import refine_crossings
from grid_pose_detection.refine_corners import follow_frame
from quadrat import sharpness, template, verdict
from quadrat.predictor import Card, read_card
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Keypoints, Shape
from quadrat.template import Template
from quadrat.verdict import Judged
from yolo import networks, weights

TASKS = ("corners", "grid")
AUTO = "auto"
FAINTEST = {"corners": 0.1, "grid": 0.25}
"""Lowest score of a point: of four corners each counts and their shape weeds out false ones, of a lattice few do."""
_AS_MANY, _SOUNDER = 0.8, 10
"""Another layout is taken where the likeliest gives no sound quadrat: with such a share of its points at least, and a
verdict of ok or of so many times the score."""
LEAST_KEYPOINT_SCORE = 0.3
"""A keypoint (formulation pose) that the network deems less visible is not taken as seen."""


def load(
    path: str | Path | None = None,
    device: str = "cpu",
    *,
    task: str = "corners",
    confidence: float | None = None,
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
        confidence: 0..1, lowest score of a point that is matched; `None` takes `FAINTEST`.
        layout: ``auto``: the best fit among all known layouts with the weights' label and number of points; or a
            built-in name or a file (`quadrat.template.load`).
        max_cost: farthest that a point may lie from its place in the fitted lattice, in cells, above 0, up to 0.5.
        match: whether points are matched to a layout; without, the order of a ``pose`` network stands as it is.
        precision: of OpenVINO: ``f32``, or ``bf16`` where the processor has it.

    Raises:
        FileNotFoundError: there is nothing under `path`.
        ValueError: the file is of another kind, lacks its card, or does not fit the layout; a value is out of range.
    """
    if task not in TASKS:
        raise ValueError(f"task is {task!r}: expected one of {', '.join(TASKS)}")
    if confidence is not None and not 0 <= confidence <= 1:
        raise ValueError(f"confidence is {confidence}: expected 0..1")
    if not 0 < max_cost <= 0.5:
        raise ValueError(f"max_cost is {max_cost}: expected above 0, up to half a cell (0.5)")
    found = find_weights(path, task)
    network = networks.load(found, device, precision, tasks=("detect", "pose"))
    card = read_card(found)
    if card is None or not card.layouts or len(card.labels) != 1:
        raise ValueError(f"{found} has no card that names its layouts and one label: expected weights of this module")
    trained = tuple(folder.layouts(found.parent, card.layouts, card.labels[0]))
    finder = PointFinder(network, trained)
    if not match and not finder.ordered:
        raise ValueError(f"{found} finds points without an order: matching cannot be switched off, except for pose")
    if confidence is None:
        confidence = FAINTEST["corners" if trained[0].lattice_shape == (2, 2) else "grid"]
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
        points, layout, facts = self._place(candidates, image_rgb, self.layouts)
        blur_px = sharpness.blur_px(view.photo_rgb) / float(view.scale.min()) if points else None
        passed = verdict.judge(points, layout, size_wh, blur_px=blur_px, **facts)
        if points is not None and passed.status != verdict.OK:
            for other in (each for each in self.layouts if each is not layout and self.match):
                again, _, facts = self._place(candidates, image_rgb, [other])
                second = verdict.judge(again, other, size_wh, blur_px=blur_px, **facts)
                better = second.status == verdict.OK or second.score > _SOUNDER * passed.score
                if better and _seen(again) >= _AS_MANY * _seen(points):
                    points, layout, passed = again, other, second
        if threshold is not None and passed.score < threshold:
            return Judged((), passed)
        return verdict.judged(points, layout, passed)

    def _place(
        self, candidates: Candidates, image_rgb: NDArray[np.uint8], layouts: Sequence[Template]
    ) -> tuple[Keypoints | None, Template, dict[str, Any]]:
        """The points, their layout, and what else the verdict is to know of them."""
        size_wh = (image_rgb.shape[1], image_rgb.shape[0])
        if not self.match:
            return as_given(candidates, layouts[0], size_wh), layouts[0], {}
        found = matching.best_match(candidates, layouts, max_cost=self.max_cost)
        if found is None:
            return None, layouts[0], {}
        facts: dict[str, Any] = {"residual": found.residual, "refused": found.refused}
        facts["ambiguous"] = found.ambiguous
        if found.template.lattice_shape == (2, 2):
            frame = follow_frame(image_rgb, found)
            found, facts["sides_seen"] = frame.match, frame.sides_seen
        else:
            found = refine_crossings(image_rgb, found)
        return matching.to_keypoints(found, size_wh), found.template, facts


def _seen(points: Keypoints | None) -> int:
    return 0 if points is None else int(np.count_nonzero(np.asarray(points.visibility) == VISIBLE))


def as_given(candidates: Candidates, layout: Template, size_wh: tuple[int, int]) -> Keypoints | None:
    """Keypoints in the order of a network as they are, without matching; `None` where there are none.

    Args:
        candidates: one a point of `layout`, in its order.
        layout: of the network.
        size_wh: of the photo in px.
    """
    if not len(candidates):
        return None
    inside = ((candidates.xy_px >= 0) & (candidates.xy_px <= size_wh)).all(axis=1)
    seen = np.where(candidates.scores >= LEAST_KEYPOINT_SCORE, VISIBLE, OCCLUDED)
    visibility = np.where(inside, seen, HIDDEN).astype(np.uint8)
    return Keypoints(layout.label, layout.names, candidates.xy_px, visibility, candidates.scores)
