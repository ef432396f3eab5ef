"""Where the quadrat is in a photo: from its corners, from its grid, or from both where they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from quadrat import frame_view, geometry, lens, template, verdict
from quadrat.homography import Homography, Points, apply_homography, fit_homography
from quadrat.lens import Lens
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Keypoints
from quadrat.template import Template
from quadrat.verdict import FAILED, OK, REVIEW, Verdict

_UNIT_SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
_AGREE_CELLS = 0.5
"""Half a cell: a grid whose numbering is off by one puts the frame a whole cell away."""


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """The quadrat in its photo.

    Attributes:
        to_photo: homography from the frame, (0, 0) to (1, 1), to the straightened photo.
        lens: what bends that to the photo.
        template: the layout that says the frame's size.
        verdict: of what was used.
        source: what was used, in words.
    """

    to_photo: Homography
    lens: Lens
    template: Template
    verdict: Verdict
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """Points of a layout that may be used, and what to make of them."""

    uv: Points
    xy_px: Points
    template: Template
    verdict: Verdict


def locate(
    keypoints: Sequence[Keypoints],
    size_wh: tuple[int, int],
    *,
    layout: str | None = None,
    size_cm: tuple[float, float] | None = None,
) -> Located | Verdict:
    """Locate the quadrat.

    A grid serves together with the corners where the two agree: many points, and the lens with them; and then neither
    is in doubt, as a grid numbered off by one is a cell away from the corners. Else the corners serve alone, unless the
    grid is ok and they are not.

    Args:
        keypoints: corners and grids of one photo, predicted (with a verdict) or marked by a person (judged here).
        size_wh: of the photo in px.
        layout: of the grid, a name or a file; default: as its attribute says, or the built-in one that fits best.
        size_cm: of the frame; default: as the layout says.

    Returns:
        Where it is; or the failed verdict if there is nothing to go by.

    Raises:
        ValueError: `layout` is none, or the grid has another number of points.
    """
    frame = _sized(template.load("corners"), size_cm)
    corners = _best([_corners(points, frame, size_wh) for points in keypoints if len(points.names) == 4])
    grid = _best([_grid(points, layout, size_cm, size_wh) for points in keypoints if len(points.names) != 4])
    usable = [known for known in (corners, grid) if known is not None and known.verdict.status != FAILED]
    if not usable:
        tried = [known.verdict for known in (corners, grid) if known is not None]
        return max(tried, key=lambda v: v.score) if tried else verdict.judge(None, frame, size_wh)
    if corners not in usable:
        return _by_grid(usable[0], None, size_wh)
    assert corners is not None
    return _by_both(corners, grid, size_wh) if grid in usable and grid else _by_corners(corners, size_wh)


def _by_both(corners: _Known, grid: _Known, size_wh: tuple[int, int]) -> Located:
    """Where the two agree, neither is in doubt any more; where not, one that is ok counts more than one that is not."""
    sure = [known for known in (corners, grid) if known.verdict.status == OK]
    try:
        alone = _by_grid(grid, None, size_wh)
    except ValueError:  # too few points are seen
        return _by_corners(corners, size_wh)
    apart = _cells_apart(alone, corners.xy_px)
    if apart <= _AGREE_CELLS:
        both = _by_grid(grid, corners, size_wh)
        return replace(both, verdict=(sure or [corners])[0].verdict)
    if sure == [corners]:
        return _by_corners(corners, size_wh)
    chosen = alone if sure == [grid] else _by_corners(corners, size_wh)
    words = f"grid and corners do not agree: {apart:.1f} cells apart"
    return replace(chosen, verdict=Verdict(REVIEW, 0.5 * chosen.verdict.score, (words, *chosen.verdict.reasons)))


def _best(known: Sequence[_Known | None]) -> _Known | None:
    there = [k for k in known if k is not None]
    return max(there, key=lambda k: k.verdict.score) if there else None


def _sized(layout: Template, size_cm: tuple[float, float] | None) -> Template:
    return replace(layout, size_cm=size_cm) if size_cm else layout


def _by_corners(corners: _Known, size_wh: tuple[int, int]) -> Located:
    to_photo = fit_homography(corners.uv, corners.xy_px)[0]
    return Located(to_photo, Lens(size_wh), corners.template, corners.verdict, "corners")


def _by_grid(grid: _Known, corners: _Known | None, size_wh: tuple[int, int]) -> Located:
    uv, xy, source = grid.uv, grid.xy_px, "grid"
    if corners is not None and corners.verdict.status == OK:
        uv, xy, source = np.concatenate([uv, corners.uv]), np.concatenate([xy, corners.xy_px]), "grid and corners"
    fitted = lens.fit(uv, xy, size_wh)
    return Located(fitted.to_photo, fitted.lens, grid.template, grid.verdict, f"{source}, {len(uv)} points")


def _cells_apart(located: Located, corners_xy_px: Points) -> float:
    theirs = located.lens.bend(apply_homography(located.to_photo, _UNIT_SQUARE))
    side = float(np.hypot(*(np.roll(theirs, -1, axis=0) - theirs).T).mean())
    off = float(np.hypot(*(theirs - corners_xy_px).T).max())
    return off / (side * frame_view.cell_share(located.template))


# ------------------------------------------------------------------------------------------------ what is known


def _corners(points: Keypoints, frame: Template, size_wh: tuple[int, int]) -> _Known:
    found = verdict.verdict_of(points)
    if found is not None:
        return _Known(frame.uv, points.xy_px, frame, found)
    usable = _has_a_place(points, size_wh)
    if not usable.all():
        which = ", ".join(name for name, good in zip(points.names, usable, strict=True) if not good)
        return _Known(frame.uv, points.xy_px, frame, Verdict(FAILED, 0.0, (f"corner {which} is marked as not seen",)))
    marked = Keypoints(points.label, frame.names, _in_order(points.xy_px))
    return _Known(frame.uv, marked.xy_px, frame, verdict.judge(marked, frame, size_wh))


def _in_order(xy: Points) -> Points:
    """Corners as a person numbered them if that runs round the frame, else put in order."""
    try:
        return xy if geometry.is_convex(xy) else geometry.order_corners(xy)
    except ValueError:
        return xy


def _has_a_place(points: Keypoints, size_wh: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """A hidden point has one only if it lies outside the photo, where a person or a model that knows put it."""
    inside = ((points.xy_px >= 0) & (points.xy_px <= size_wh)).all(axis=1)
    return np.asarray((np.asarray(points.visibility) != HIDDEN) | ~inside)


def _grid(
    points: Keypoints, layout: str | None, size_cm: tuple[float, float] | None, size_wh: tuple[int, int]
) -> _Known | None:
    name = layout or points.attributes.get("layout")
    choices = [template.load(known) for known in ([name] if name else template.BUILTIN)]
    fitting = [_sized(known, size_cm) for known in choices if len(known.names) == len(points.names)]
    if not fitting:
        if layout:
            raise ValueError(f"layout {layout!r} has {len(choices[0].names)} points, the grid {len(points.names)}")
        return None
    found = verdict.verdict_of(points)
    seen = np.asarray(points.visibility) >= (OCCLUDED if found is None else VISIBLE)  # a person means what is marked
    marked = replace(points, visibility=np.where(seen, VISIBLE, HIDDEN))
    judged = [(verdict.judge(replace(marked, names=known.names), known, size_wh), known) for known in fitting]
    by_fit, best = max(judged, key=lambda pair: pair[0].score)
    return _Known(best.uv[seen], points.xy_px[seen], best, found or by_fit)
