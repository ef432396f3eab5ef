"""What a network found, and what the matching makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from quadrat.homography import Homography
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Keypoints
from quadrat.template import Template

ANY, CROSSING, END = -1, 0, 1
"""Kind of a candidate: not told, a crossing of two strings inside the frame, the end of a string on the frame."""

_UNTOLD: NDArray[np.int64] = np.zeros(0, np.int64)


BORDER = 0.1
"""Share of a cell by which a point of a lattice may be off at the photo's border."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Points in a photo that may be points of a template, in any order.

    Attributes:
        xy_px: float64 ``[N, 2]``.
        scores: float64 ``[N]``, 0..1.
        kinds: int64 ``[N]``: `ANY`, `CROSSING` or `END`. Default: all `ANY`.

    Raises:
        ValueError: an array has another shape, a place is not finite, a score or a kind is out of range.
    """

    xy_px: NDArray[np.float64]
    scores: NDArray[np.float64]
    kinds: NDArray[np.int64] = field(default_factory=lambda: _UNTOLD)

    def __post_init__(self) -> None:
        xy, scores = np.array(self.xy_px, np.float64), np.array(self.scores, np.float64)
        if xy.size == 0:
            xy = xy.reshape(0, 2)
        kinds = np.array(np.full(len(xy), ANY) if self.kinds is _UNTOLD else self.kinds, np.int64)
        if xy.ndim != 2 or xy.shape[1] != 2:
            raise ValueError(f"xy_px is {list(xy.shape)}: expected [N, 2]")
        wrong = np.flatnonzero(~np.isfinite(xy).all(axis=1))
        if len(wrong):
            raise ValueError(f"xy_px holds {xy[wrong[0]].tolist()} at {wrong[0]}: expected finite places; drop it")
        if scores.shape != (len(xy),) or not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError(f"scores is {list(scores.shape)}: expected float64{[len(xy)]} of 0..1")
        if kinds.shape != (len(xy),) or not np.isin(kinds, (ANY, CROSSING, END)).all():
            raise ValueError(f"kinds is {list(kinds.shape)}: expected int64{[len(xy)]} of {ANY}, {CROSSING} or {END}")
        for name, array in (("xy_px", xy), ("scores", scores), ("kinds", kinds)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.xy_px)


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """A template laid over candidates.

    Attributes:
        template: the layout, K points.
        xy_px: float64 ``[K, 2]``: the candidate where a point was found, else where the fitted lattice puts it.
        found: bool ``[K]``: which points were found.
        scores: float64 ``[K]``, 0..1: the candidate's; half of the neighbours' where the point was filled in.
        homography: from the template's frame (``uv``) to px, robust.
        residual: median distance of found points from the fitted lattice, in cells.
        refused: number of candidates that are no point.
        ambiguous: in words, why it is not sure which point is which; empty if it is.
    """

    template: Template
    xy_px: NDArray[np.float64]
    found: NDArray[np.bool_]
    scores: NDArray[np.float64]
    homography: Homography
    residual: float
    refused: int
    ambiguous: tuple[str, ...] = ()


def to_keypoints(match: Match, size_wh: tuple[int, int], score: float = 1.0) -> Keypoints:
    """As keypoints of a photo: found points visible, filled ones occluded, or hidden where they lie outside of it.

    A point of a lattice that lies outside by less than `BORDER` of a cell is put on the border: it may be off by that.

    Args:
        match: template over candidates.
        size_wh: photo in px.
        score: 0..1, of the object as a whole.
    """
    lattice = min(match.template.lattice_shape) > 2
    near_px = BORDER * float(np.median(cKDTree(match.xy_px).query(match.xy_px, 2)[0][:, 1])) if lattice else 0.0
    on_photo = np.clip(match.xy_px, 0, size_wh)
    inside = np.abs(match.xy_px - on_photo).max(axis=1) <= near_px
    xy_px = np.where(inside[:, None], on_photo, match.xy_px)
    visibility = np.where(match.found, VISIBLE, np.where(inside, OCCLUDED, HIDDEN)).astype(np.uint8)
    return Keypoints(
        match.template.label,
        match.template.names,
        xy_px,
        visibility,
        match.scores,
        score,
        {"layout": match.template.name},
    )
