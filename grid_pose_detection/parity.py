"""Does an export give what torch gives? Its tensor, number by number, then the candidates, then the matched points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from grid_pose_detection import matching
from grid_pose_detection.candidates import Candidates, Match
from grid_pose_detection.model import GridPredictor
from quadrat.images import Rgb
from quadrat.template import Template
from yolo import exporting


@dataclass(frozen=True)
class Limits:
    """What an export may differ by.

    Attributes:
        tensor: largest difference of a number, as a share of the largest value of its output row.
        score: largest difference of a point's score.
        px: largest distance of a point, in px of the network's input.
    """

    tensor: float
    score: float
    px: float


EXACT = Limits(tensor=0.001, score=0.005, px=0.05)
HALF = Limits(tensor=0.02, score=0.03, px=0.5)
"""For 16-bit weights."""


@dataclass(frozen=True)
class Parity:
    """What an export does differ by; the worst over all photos.

    Attributes:
        tensors: name of the output -> largest difference as a share, see `Limits`.
        score: largest difference of a score, of candidates and of matched points.
        px: largest distance of such a point, in px of the network's input.
        candidates: number of candidates compared.
        points: number of matched points compared.
        photos: number of photos.
    """

    tensors: dict[str, float]
    score: float
    px: float
    candidates: int
    points: int
    photos: int


WELL_SEEN = 0.3
"""Share of a quadrat's points; where fewer are seen, the last digit may decide which quadrat it is."""


def compare(torch_one: GridPredictor, export: GridPredictor, photos_rgb: Sequence[Rgb]) -> Parity:
    """Run both on photos.

    Args:
        torch_one: the original; from now on it takes inputs of the shape that the export takes.
        export: the export.
        photos_rgb: uint8 ``[H, W, 3]`` each, at least one.

    Raises:
        RuntimeError: the outputs have other shapes, or the one's candidates make another quadrat than the other's.
    """
    torch_one.finder.network.facts = export.finder.network.facts
    tensor, scores, distances, candidates, points = 0.0, [0.0], [0.0], 0, 0
    for number, photo_rgb in enumerate(photos_rgb, 1):
        view, wanted = torch_one.finder.run(photo_rgb)
        _, got = export.finder.run(photo_rgb)
        tensor = max(tensor, exporting.difference("predictions", np.asarray(wanted), np.asarray(got), 2))
        kept = torch_one.finder.kept(wanted, torch_one.confidence)  # which of two doubles goes is decided once
        ours, theirs = (
            one.finder.candidates(one.finder.rows(raw, kept), view) for one, raw in ((torch_one, wanted), (export, got))
        )
        theirs = Candidates(theirs.xy_px, theirs.scores, ours.kinds)
        pairs: list[tuple[Candidates | Match, Candidates | Match]] = [(ours, theirs)]
        if matched := _matched(torch_one, ours, theirs, number):
            pairs.append(matched)
            points += int(np.count_nonzero(matched[0].found))
        candidates += len(ours)
        for one, other in pairs:
            away = np.linalg.norm((one.xy_px - other.xy_px) * view.scale, axis=1)
            distances.append(float(away.max(initial=0)))
            scores.append(float(np.abs(one.scores - other.scores).max(initial=0)))
    return Parity({"predictions": tensor}, max(scores), max(distances), candidates, points, len(photos_rgb))


def _matched(predictor: GridPredictor, ours: Candidates, theirs: Candidates, number: int) -> tuple[Match, Match] | None:
    """The quadrat that each candidates make; `None` if torch's make none that is seen well enough to be sure of."""
    one, other = (matching.best_match(each, predictor.layouts, max_cost=predictor.max_cost) for each in (ours, theirs))
    if one is None or one.found.mean() < WELL_SEEN:
        return None
    if other is None:
        raise RuntimeError(f"photo {number}: torch finds a quadrat, the export does not")
    if one.template.name != other.template.name or (one.found != other.found).any():
        told = (f"{np.count_nonzero(each.found)} points of {each.template.name}" for each in (one, other))
        raise RuntimeError(f"photo {number}: torch finds {' and the export '.join(told)}, not the same ones")
    return one, other


def check(parity: Parity, limits: Limits) -> None:
    """Refuse what differs by more than it may.

    Raises:
        RuntimeError: names the worst figure, what it is and what it may be.
    """
    for what, worst in parity.tensors.items():
        exporting.check_difference(what, worst, limits.tensor)
    if not parity.score <= limits.score:
        raise RuntimeError(f"a point's score differs from torch by {parity.score:.4f}, allowed {limits.score}")
    if not parity.px <= limits.px:
        raise RuntimeError(f"a point lies {parity.px:.3f} px of the input from torch's, allowed {limits.px}")


def drawn_photos(layouts: Sequence[Template], count: int = 3, side: int = 640) -> list[Rgb]:
    """Made-up quadrats, for want of photographs: frame and strings, a little tilted; uint8 ``[side, side, 3]``."""
    return [_drawn(layouts[seed % len(layouts)], np.random.default_rng(seed), side) for seed in range(count)]


def _drawn(layout: Template, rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    photo: Any = cv2.resize(rng.integers(90, 150, (side // 16, side // 16, 3), np.uint8), (side, side))
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    corners = (0.14 + 0.72 * unit + rng.uniform(-0.06, 0.06, (4, 2))).astype(np.float32) * side
    placed = cv2.getPerspectiveTransform(unit, corners)
    points = cv2.perspectiveTransform(layout.uv[None].astype(np.float64), placed)[0]
    places: list[list[int]] = np.rint(points).astype(int).tolist()
    for start, end in layout.edges:
        cv2.line(photo, places[start], places[end], (235, 225, 130), 2, cv2.LINE_AA)
    cv2.polylines(photo, [np.rint(corners).astype(np.int32)], True, (245, 245, 240), 9, cv2.LINE_AA)
    return np.asarray(photo, np.uint8)
