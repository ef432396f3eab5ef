"""What found quadrats are worth, beside the true ones.

How points count that cannot be seen: those `HIDDEN` in the truth lie outside the photo and are demanded nowhere. Those
`OCCLUDED` count for `Photo.found` and for OKS, but neither for errors nor for PCK nor for the order. A point that the
result has as hidden is one that it does not have. A result whose verdict is failed has no shapes: a miss.

Errors are in cells: of a lattice the local cell, of a frame's corners the mean side (`truth.cells_px`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from data_engineering import tally
from grid_pose_detection.truth import Quadrat
from quadrat.frame_view import is_frame
from quadrat.shapes import HIDDEN, VISIBLE, Keypoints
from quadrat.verdict import FAILED, OK, REVIEW, Verdict

SIGMA_CELL, SIGMA_SIDE = 0.05, 0.01
"""COCO's sigma of a point as a share of a lattice's cell, and of a frame's side. A quadrat's scale is the median of its
cells, all points 2 sigma off give an OKS of exp(-1/2): AP at 0.5 forgives 12 % of a cell (2.4 % of a side) and AP at
0.95 3.2 % (0.64 %)."""

HALF_CELL = 0.5
CORNER_OF_SIDE = 0.05
"""A lattice's point nearer to its own truth than half a cell is itself; a corner is found within 5 % of the side."""

PCK = (0.05, 0.10, 0.50)
"""Shares of a cell within which a point counts as correct."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A true quadrat, and what was found of it."""

    truth: Quadrat
    found: Keypoints | None

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Bool ``[K]``: points that are seen in the photo."""
        return np.asarray(self.truth.points.visibility) == VISIBLE

    @property
    def errors_px(self) -> Floats:
        """Float64 ``[K]``: distance of every point from its truth; NaN for points that are hidden or were not found."""
        return _distances(self.truth, self.found)

    @property
    def errors(self) -> Floats:
        """`errors_px` in cells."""
        return self.errors_px / self.truth.cell_px

    @property
    def ordered(self) -> bool:
        """Whether every visible point lies within half a cell of its own truth."""
        return self.found is not None and bool((self.errors[self.visible] <= HALF_CELL).all())

    @property
    def located(self) -> bool:
        """Whether every point in the photo, seen or covered, lies where it should: corners within 5 % of the side."""
        placed = np.asarray(self.truth.points.visibility) != HIDDEN
        tolerance = CORNER_OF_SIDE if is_frame(self.truth.layout) else HALF_CELL
        return self.found is not None and bool((self.errors[placed] <= tolerance).all())


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """One photo measured; `measure` makes it.

    Attributes:
        name: of the photo.
        frame: kind of frame.
        pairs: every true quadrat, but for frames cut so far that they cannot be located (`truth.quadrats`).
        results: what was found, best score first.
        hits: bool ``[P, 10]``: whether each of `results` has an OKS of 0.5, 0.55 ... 0.95 with a quadrat of its own.
        verdict: of the result.
        seconds: that finding took.
    """

    name: str
    frame: str
    pairs: tuple[Pair, ...]
    results: tuple[Keypoints, ...]
    hits: NDArray[np.bool_]
    verdict: Verdict
    seconds: float

    @property
    def layout(self) -> str:
        """Name of the true layout; ``none`` where no quadrat is."""
        return self.pairs[0].truth.layout.name if self.pairs else "none"

    @property
    def found(self) -> bool:
        """Whether as many quadrats were found as there are, each of them in place (`Pair.located`)."""
        return len(self.results) == len(self.pairs) and all(pair.located for pair in self.pairs)

    @property
    def ordered(self) -> bool:
        """The same for the order (`Pair.ordered`)."""
        return len(self.results) == len(self.pairs) and all(pair.ordered for pair in self.pairs)

    @property
    def right(self) -> bool:
        """What the verdict ok promises: corners in place, a lattice in order, nothing where no quadrat is."""
        return self.found if any(is_frame(pair.truth.layout) for pair in self.pairs) else self.ordered

    @property
    def falsely_accepted(self) -> bool:
        """Whether the verdict is ok though the result is wrong."""
        return self.verdict.status == OK and not self.right

    @property
    def errors(self) -> tuple[Floats, Floats]:
        """Of all visible points in px and in cells, float64 ``[N]`` each; NaN for those that were not found."""
        px = [pair.errors_px[pair.visible] for pair in self.pairs]
        cells = [pair.errors[pair.visible] for pair in self.pairs]
        return np.concatenate([np.zeros(0), *px]), np.concatenate([np.zeros(0), *cells])


def measure(
    name: str,
    frame: str,
    quadrats: Sequence[Quadrat],
    results: Sequence[Keypoints],
    verdict: Verdict,
    seconds: float,
) -> Photo:
    """Compare what was found in a photo with what is there.

    Each true quadrat goes to the result nearest to it, so that the sum of the mean distances is least; for average
    precision they are matched as COCO does it.
    """
    results = sorted(results, key=lambda result: -result.score)
    oks_of = np.array([[oks(quadrat, result) for result in results] for quadrat in quadrats])
    hits, _ = tally.matched(oks_of.reshape(len(quadrats), len(results)))
    return Photo(name, frame, _pairs(quadrats, results), tuple(results), hits, verdict, seconds)


def oks(quadrat: Quadrat, result: Keypoints) -> float:
    """COCO's object keypoint similarity, 0..1: every point that is seen or covered counts, see `SIGMA_CELL`."""
    counted = np.asarray(quadrat.points.visibility) != HIDDEN
    distances = np.nan_to_num(_distances(quadrat, result), nan=np.inf)[counted]
    spread = 2 * (SIGMA_SIDE if is_frame(quadrat.layout) else SIGMA_CELL) * float(np.median(quadrat.cell_px))
    return float(np.exp(-((distances / spread) ** 2) / 2).mean()) if counted.any() else 0.0


def _distances(quadrat: Quadrat, result: Keypoints | None) -> Floats:
    points = quadrat.points
    if result is None or result.names != points.names:
        return np.full(len(points.names), np.nan)
    there = (np.asarray(points.visibility) != HIDDEN) & (np.asarray(result.visibility) != HIDDEN)
    return np.where(there, np.linalg.norm(result.xy_px - points.xy_px, axis=1), np.nan)


def _pairs(quadrats: Sequence[Quadrat], results: Sequence[Keypoints]) -> tuple[Pair, ...]:
    far = 1e9
    costs = np.full((len(quadrats), len(results)), far)
    for i, quadrat in enumerate(quadrats):
        for j, result in enumerate(results):
            distances = _distances(quadrat, result)
            costs[i, j] = np.nanmean(distances) if np.isfinite(distances).any() else far
    found = dict(zip(*linear_sum_assignment(costs), strict=True))
    return tuple(Pair(q, results[found[i]] if i in found else None) for i, q in enumerate(quadrats))


# ------------------------------------------------------------------------------------------------ figures


def summary(photos: Sequence[Photo]) -> dict[str, Any]:
    """All figures, of all photos together and by layout, kind of frame and verdict.

    Returns:
        What `figures` returns, ``reasons`` (how often verdicts gave each, numbers left out), and `figures` of each
        group in ``layouts``, ``frames`` and ``statuses``.
    """
    reasons = Counter(plain(reason) for photo in photos for reason in photo.verdict.reasons)
    return {
        **figures(photos),
        "reasons": dict(reasons.most_common()),
        "layouts": _grouped(photos, lambda photo: photo.layout),
        "frames": _grouped(photos, lambda photo: photo.frame),
        "statuses": _grouped(photos, lambda photo: photo.verdict.status),
    }


def figures(photos: Sequence[Photo]) -> dict[str, Any]:
    """What some photos give.

    Returns:
        Counts: ``photos``, ``quadrats``, ``points`` (visible ones), ``verdicts`` (ok, review, failed), ``wrong`` (by
        verdict: photos that are not `Photo.right`). Shares 0..1 of the photos with a quadrat: ``found``, ``ordered``;
        of the photos without: ``refused`` (the verdict is failed); of all: ``false_acceptance``. Shares of the visible
        points: ``pck`` (keys 5, 10, 50: % of a cell) and ``reached``, those that have an error at all. Of these
        ``error_px`` and ``error_percent`` (of a cell, or of the side): ``mean``, ``median``, ``p95``. ``oks_ap``,
        ``oks_ap50``, ``oks_ap75``: 0..1. ``seconds`` a photo: ``mean``, ``median``, ``p95``. `None` where there is
        nothing to measure.
    """
    with_quadrat = [photo for photo in photos if photo.pairs]
    without = [photo for photo in photos if not photo.pairs]
    px, cells = errors_of(photos)
    reached = np.isfinite(cells)
    precision = _precision(photos)
    return {
        "photos": len(photos),
        "quadrats": sum(len(photo.pairs) for photo in photos),
        "points": len(cells),
        "found": _share([photo.found for photo in with_quadrat]),
        "ordered": _share([photo.ordered for photo in with_quadrat]),
        "refused": _share([photo.verdict.status == FAILED for photo in without]),
        "false_acceptance": _share([photo.falsely_accepted for photo in photos]),
        "verdicts": {s: sum(photo.verdict.status == s for photo in photos) for s in (OK, REVIEW, FAILED)},
        "wrong": {s: sum(p.verdict.status == s and not p.right for p in photos) for s in (OK, REVIEW, FAILED)},
        "oks_ap": _rounded(precision.mean()),
        "oks_ap50": _rounded(precision[0]),
        "oks_ap75": _rounded(precision[5]),
        "pck": {f"{100 * share:g}": _share(cells <= share) for share in PCK},
        "reached": _share(reached),
        "error_px": _spread(px[reached]),
        "error_percent": _spread(100 * cells[reached]),
        "seconds": _spread(np.array([photo.seconds for photo in photos])),
    }


def errors_of(photos: Sequence[Photo]) -> tuple[Floats, Floats]:
    """`Photo.errors` of all photos, one after the other."""
    pairs = [photo.errors for photo in photos]
    return np.concatenate([np.zeros(0), *(px for px, _ in pairs)]), np.concatenate(
        [np.zeros(0), *(cells for _, cells in pairs)]
    )


def by_point(photos: Sequence[Photo], layout: str) -> tuple[Floats, NDArray[np.int64]]:
    """Median error of each point of a layout in cells, float64 ``[K]`` (NaN if never found), and of how many photos.

    Raises:
        ValueError: no quadrat of this layout.
    """
    pairs = [pair for photo in photos for pair in photo.pairs if pair.truth.layout.name == layout]
    if not pairs:
        raise ValueError(f"no photo shows a quadrat of layout {layout!r}")
    rows = np.array([np.where(pair.visible, pair.errors, np.nan) for pair in pairs])
    counts = np.isfinite(rows).sum(axis=0)
    medians = np.full(rows.shape[1], np.nan)
    medians[counts > 0] = np.nanmedian(rows[:, counts > 0], axis=0)
    return medians, counts


def acceptance(photos: Sequence[Photo]) -> tuple[Floats, Floats, Floats]:
    """What accepting the best-scored photos would let through, verdicts put aside.

    Returns:
        Float64 ``[N]`` each, by falling score of the verdict: the score, the share of all photos that have at least
        this score, and the share of wrong ones among these.
    """
    scores = np.array([photo.verdict.score for photo in photos])
    order = np.argsort(-scores, kind="stable")
    wrong = np.array([not photo.right for photo in photos])[order]
    counts = np.arange(1, len(photos) + 1)
    return scores[order], counts / max(len(photos), 1), np.cumsum(wrong) / counts


def plain(reason: str) -> str:
    """A verdict's reason without its numbers, so that it can be counted."""
    return re.sub(r"N(, N)+", "N", re.sub(r"(?<!\w)-?\d+(\.\d+)?(?!\w)", "N", reason))


def _grouped(photos: Sequence[Photo], key: Callable[[Photo], str]) -> dict[str, Any]:
    groups = {key(photo): [] for photo in photos}  # type: dict[str, list[Photo]]
    for photo in photos:
        groups[key(photo)].append(photo)
    return {name: figures(group) for name, group in sorted(groups.items())}


def _precision(photos: Sequence[Photo]) -> Floats:
    """Average precision at an OKS of 0.5, 0.55 ... 0.95."""
    scores = np.array([result.score for photo in photos for result in photo.results], np.float32)
    hits = np.concatenate([np.zeros((0, len(tally.IOUS)), bool), *(photo.hits for photo in photos)])
    order = np.argsort(-scores, kind="stable")
    return tally.curves(scores[order], hits[order], sum(len(photo.pairs) for photo in photos)).ap


def _share(flags: Any) -> float | None:
    return round(float(np.mean(flags)), 6) if len(flags) else None


def _rounded(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _spread(values: Floats) -> dict[str, float | None]:
    if not len(values):
        return {"mean": None, "median": None, "p95": None}
    spread = {"mean": values.mean(), "median": np.median(values), "p95": np.percentile(values, 95)}
    return {key: round(float(value), 4) for key, value in spread.items()}
