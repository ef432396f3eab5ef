"""Is a result of corners or grid points fit to go on with: ok, for a person to look at, or useless; and why, in words.

found = judge(points, template, size_wh, residual=match.residual, ambiguous=match.ambiguous)
found.status, found.score, found.reasons    # "review", 0.41, ("31 of 117 points are missing", ...)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quadrat.frame_view import FrameView, cell_share, frame_of, is_frame, looks_alike_turned, off_square
from quadrat.geometry import order_corners, tilt_deg
from quadrat.shapes import HIDDEN, VISIBLE, Keypoints, Shape
from quadrat.template import Template

OK, REVIEW, FAILED = "ok", "review", "failed"

_STEEPNESS = 4  # of a score's fall: 0.94 at half the limit for review, 0.5 at the limit, 0.06 at twice of it
NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a defect is for a person to look at, and from where on the result is useless: ``(review, failed)``.

    Tilted rendered quadrats, corals over the crossings and quadrats cut a little by the photo's border stay below.
    """

    missing_share: tuple[float, float] = (0.4, 0.85)  # of a lattice's points; corals cover many of them
    missing_corners: tuple[float, float] = (1, 2)  # of the four corners of a frame
    residual_cells: tuple[float, float] = (
        0.12,
        0.35,
    )  # median distance from the lattice; half a cell is the next point
    refused_share: tuple[float, float] = (0.5, NEVER)  # of all candidates: more wrong ones than right ones
    weakness: tuple[float, float] = (0.8, NEVER)  # 1 less the mean score that the network gives the points it sees
    weakest_corner: tuple[float, float] = (
        0.7,
        NEVER,
    )  # 1 less the least score of a frame's corners: one wrong is enough
    side_ratio: tuple[float, float] = (2.5, 6.0)  # longest over shortest side in the photo; 40 degrees of tilt give 2
    off_square: tuple[float, float] = (0.05, 0.6)  # 0.05: 5 % too long or 2.9 degrees skew (`off_square`)
    unseen_mean: tuple[float, float] = (0.62, NEVER)  # of all sides: share without an edge, up to 0.59 where right
    unseen: tuple[float, float] = (1.25, NEVER)  # of a side: share without an edge, and what its corners lack in score
    coarse_cm_per_px: tuple[float, float] = (0.5, 2.0)  # 0.5: a coral of 3 cm is 6 px wide
    cell_px_inverse: tuple[float, float] = (1 / 10, 1 / 4)  # of a lattice: cells below 10 px hardly show two strings
    photo_to_frame: tuple[float, float] = (6.0, 25.0)  # longer side of the photo over the frame's mean side
    outside_share: tuple[float, float] = (0.02, 0.5)  # how far a corner of a frame is beyond the border, over the side
    blur_share: tuple[float, float] = (0.006, 0.03)  # sigma of the blur, over the side
    turned: tuple[float, float] = (0.89, NEVER)  # tilt over 45 degrees, where another corner may as well be the first


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to make of a result.

    Attributes:
        status: `OK`, `REVIEW` or `FAILED`.
        score: 0..1; falls smoothly with every defect, also with those too small to be named.
        reasons: in words, ASCII, the worst first; empty if and only if the status is ok.

    Raises:
        ValueError: another status, a score out of range, an ok with reasons or something else without.
    """

    status: str
    score: float
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.status not in (OK, REVIEW, FAILED) or (self.status == OK) == bool(self.reasons):
            raise ValueError(f"status {self.status!r} with {len(self.reasons)} reasons: expected ok without, else some")
        if not 0 <= self.score <= 1:
            raise ValueError(f"score is {self.score}: expected 0..1")


@dataclass(frozen=True, slots=True)
class Judged:
    """Shapes and what to make of them; none where the verdict is failed."""

    shapes: tuple[Shape, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class _Defect:
    """How bad something is, in the unit of its limits, and how to say it."""

    value: float
    limits: tuple[float, float]
    words: str

    @property
    def worth(self) -> float:
        return 1 / (1 + (self.value / self.limits[0]) ** _STEEPNESS)

    @property
    def status(self) -> str:
        return FAILED if self.value >= self.limits[1] else REVIEW if self.value >= self.limits[0] else OK


def judge(
    points: Keypoints | None,
    template: Template,
    size_wh: tuple[int, int],
    *,
    residual: float | None = None,
    refused: int = 0,
    ambiguous: Sequence[str] = (),
    blur_px: float | None = None,
    sides_seen: NDArray[np.float64] | None = None,
    limits: Limits | None = None,
) -> Verdict:
    """Judge the corners of a frame or the points of a lattice.

    Args:
        points: in the order of `template`: `VISIBLE` found, `OCCLUDED` put where it should be, `HIDDEN` outside the
            photo; ``None`` if nothing was found.
        template: its layout; one of 2 x 2 points is a frame.
        size_wh: of the photo in px.
        residual: median distance of found points from the lattice in cells; measured here from `points` if ``None``.
        refused: number of candidates that no point took.
        ambiguous: reasons, in words, why the numbering is not sure.
        blur_px: sigma of the blur (`quadrat.sharpness.blur_px`).
        sides_seen: float64 ``[4]``, 0..1, of a frame: along which share of each side, clockwise from that of corners 1
            and 2, an edge is seen; NaN where the side is not in the photo, or throughout where nothing was measured.
        limits: others than the default.

    Raises:
        ValueError: `points` are not those of `template`.
    """
    frame = is_frame(template)
    if points is None:
        return Verdict(FAILED, 0.0, ("no quadrat frame found" if frame else "no grid found",))
    if points.names != template.names:
        raise ValueError(f"{len(points.names)} points to judge, layout {template.name!r} has {len(template.names)}")
    limits = limits or Limits()
    missing = list(_missing(points, frame, limits))
    try:
        view, fitted = frame_of(points, template, size_wh)
    except ValueError:
        words = "the four corners are not convex" if frame else "the points form no lattice"
        return _summed([*missing, _Defect(1.0, (1e-3, 1.0), words)])
    if residual is None:
        residual = fitted
    defects = [
        *missing,
        *_fit(points, residual, refused, frame, limits),
        *_scale(view, blur_px, limits),
        *_form(view, limits),
    ]
    if frame:
        defects += _outside(view, limits)
        defects += _unseen_sides(points, sides_seen, limits) if sides_seen is not None else ()
    unsure = list(ambiguous) or ([] if frame else list(_unseen_lines(points, template)))
    return _summed([*defects, *(_Defect(1.0, (1.0, NEVER), words) for words in unsure)])


def judged(points: Keypoints | None, template: Template, verdict: Verdict) -> Judged:
    """`points` with the score and the attributes ``verdict``, ``reasons`` and ``layout``; none where it failed."""
    if points is None or verdict.status == FAILED:
        return Judged((), verdict)
    facts = {"verdict": verdict.status, "reasons": "; ".join(verdict.reasons), "layout": template.name}
    return Judged((replace(points, score=verdict.score, attributes={**points.attributes, **facts}),), verdict)


def verdict_of(points: Keypoints) -> Verdict | None:
    """The verdict that `judged` wrote on points; ``None`` where there is none, as on what a person drew."""
    status = points.attributes.get("verdict")
    if status not in (OK, REVIEW, FAILED):
        return None
    reasons = tuple(part for part in points.attributes.get("reasons", "").split("; ") if part)
    return Verdict(status, points.score, () if status == OK else reasons or ("no reason is given",))


def _summed(defects: Sequence[_Defect]) -> Verdict:
    named = sorted((d for d in defects if d.status != OK), key=lambda d: (d.status != FAILED, d.worth))
    status = OK if not named else FAILED if named[0].status == FAILED else REVIEW
    return Verdict(status, math.prod(d.worth for d in defects), tuple(d.words for d in named))


# ------------------------------------------------------------------------------------------------ defects


def _missing(points: Keypoints, frame: bool, limits: Limits) -> Iterator[_Defect]:
    visibility = np.asarray(points.visibility)
    gone = [name for name, seen in zip(points.names, visibility, strict=True) if seen != VISIBLE]
    if frame:
        words = f"{_corners(gone)} not seen, place guessed from the others"
        yield _Defect(len(gone), limits.missing_corners, words)
        return
    outside = int(np.count_nonzero(visibility == HIDDEN))
    words = f"{len(gone)} of {len(points.names)} points are missing"
    words += f", {outside} of them outside the photo" if outside else ""
    yield _Defect(len(gone) / len(points.names), limits.missing_share, words)


def _fit(points: Keypoints, residual: float, refused: int, frame: bool, limits: Limits) -> Iterator[_Defect]:
    seen = np.asarray(points.visibility) == VISIBLE
    found = max(int(np.count_nonzero(seen)), 1)
    scores = np.asarray(points.scores)[seen] if seen.any() else np.zeros(1)
    yield _Defect(residual, limits.residual_cells, f"points lie {100 * residual:.0f} % of a cell off an even lattice")
    yield _Defect(
        refused / (refused + found), limits.refused_share, f"{refused} more points were seen that fit nowhere"
    )
    if frame:
        least = float(scores.min())
        yield _Defect(1 - least, limits.weakest_corner, f"a corner is only faintly seen (score {least:.2f})")
    else:
        mean = float(scores.mean())
        yield _Defect(1 - mean, limits.weakness, f"points are only faintly seen (mean score {mean:.2f})")


def _scale(view: FrameView, blur_px: float | None, limits: Limits) -> Iterator[_Defect]:
    px_per_cm = max(float((view.sides_px / view.sides_cm).mean()), 1e-9)
    share = view.side_px / max(view.size_wh)
    yield _Defect(1 / px_per_cm, limits.coarse_cm_per_px, f"only {px_per_cm:.1f} px a cm: small corals do not show")
    yield _Defect(1 / share, limits.photo_to_frame, f"the quadrat is only {100 * share:.0f} % as wide as the photo")
    if not is_frame(view.template):
        cell = view.side_px * cell_share(view.template)
        yield _Defect(1 / cell, limits.cell_px_inverse, f"cells of the grid are only {cell:.0f} px wide")
    if blur_px is not None:
        blur = blur_px / view.side_px
        words = f"the photo is blurred by {blur_px:.0f} px, {100 * blur:.1f} % of a side"
        yield _Defect(blur, limits.blur_share, words)


def _form(view: FrameView, limits: Limits) -> Iterator[_Defect]:
    sides = view.sides_px / view.sides_cm
    ratio = float(sides.max() / max(sides.min(), 1e-9))
    low, high = limits.side_ratio
    words = f"the longest side is {ratio:.1f} times the shortest, too much for a photo from above"
    yield _Defect(ratio - 1, (low - 1, high - 1), words)
    off, longer, angle = off_square(view)
    words = f"no frame looks so: it would have sides 1 to {longer:.2f} of its own and a corner of {angle:.0f} degrees"
    yield _Defect(off, limits.off_square, words)
    most = 45.0 if looks_alike_turned(view.template) else 90.0
    tilt = tilt_deg(view.corners)
    words = f"turned by {abs(tilt):.0f} degrees: which corner is the top left is not sure"
    yield _Defect(abs(tilt) / most, limits.turned, words)
    if most == 45 and abs(tilt) < most * limits.turned[0] and (order_corners(view.corners) != view.corners).any():
        yield _Defect(1.0, (1.0, NEVER), "point 1 is not at the top left")


def _outside(view: FrameView, limits: Limits) -> Iterator[_Defect]:
    beyond = np.maximum(-view.corners, view.corners - view.size_wh).max(axis=1)
    share = max(float(beyond.max()), 0.0) / view.side_px
    names = [str(k + 1) for k in np.flatnonzero(beyond > 0)]
    words = f"{_corners(names)} outside the photo, by up to {100 * share:.0f} % of a side"
    yield _Defect(share, limits.outside_share, words)


def _unseen_sides(points: Keypoints, sides_seen: NDArray[np.float64], limits: Limits) -> Iterator[_Defect]:
    """The side that speaks most against the frame: neither an edge nor corners that the network is sure of."""
    if np.isnan(sides_seen).all():
        return
    mean = float(np.nanmean(sides_seen))
    words = f"an edge of a frame is seen along only {100 * mean:.0f} % of all its sides"
    yield _Defect(1 - mean, limits.unseen_mean, words)
    scores, sides_seen = np.asarray(points.scores), np.nan_to_num(sides_seen)
    unseen = 2 - sides_seen - np.minimum(scores, np.roll(scores, -1))
    k = int(unseen.argmax())
    side = f"the side from corner {points.names[k]} to {points.names[(k + 1) % 4]}"
    seen = f"an edge of a frame is seen along only {100 * sides_seen[k]:.0f} % of"
    words = f"{seen if sides_seen[k] else 'no edge of a frame is seen along'} {side}"
    yield _Defect(float(unseen[k]), limits.unseen, words)


def _corners(names: Sequence[str]) -> str:
    return f"corner{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _unseen_lines(points: Keypoints, template: Template) -> Iterator[str]:
    """Outermost rows and columns of which nothing is seen: the lattice may as well be shifted by one."""
    rows, columns = template.lattice_shape
    seen = template.lattice_rc[np.asarray(points.visibility) == VISIBLE]
    lines = (("top row", 0, 0), ("bottom row", 0, rows - 1), ("left column", 1, 0), ("right column", 1, columns - 1))
    for name, axis, at in lines:
        if not (seen[:, axis] == at).any():
            yield f"nothing of the {name} is seen: the numbering may be off by one"
