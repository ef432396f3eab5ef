"""Points that a network found, moved to where they exactly are on the full-resolution photo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from grid_pose_detection.refine_corners import refine_corners
from grid_pose_detection.refine_crossings import (
    Bows,
    Floats,
    Lines,
    Tracks,
    bows_through,
    follow,
    lines_of,
    robust,
    weighted_fit,
)
from quadrat.homography import apply_homography, invert

if TYPE_CHECKING:
    from grid_pose_detection.candidates import Match

__all__ = ["refine_corners", "refine_crossings"]

_WINDOW = 0.45
"""Deviation, in cells, of the weights of a string's pieces round a point."""
_STRAIGHT = 0.012
"""Pieces that leave a string's line by more, in cells, count little."""
_ENOUGH = 2.0
"""Least sum of weights that a point is moved for; one clearly seen piece has 3."""
_NEAR, _CLEAR = 0.4, 0.5
"""A string is seen at a point if all pieces within that many cells have that weight."""

_FARTHEST = 0.2
"""Cells; a point that the network saw is moved no farther."""


def refine_crossings(image_rgb: NDArray[np.uint8], match: Match) -> Match:
    """Move crossings of strings, and the ends of strings on the frame, to where the strings are seen.

    A crossing comes to lie where lines through both strings meet. An end comes to lie on its string, and on the curve
    through all ends on its side of the frame. Where a string is not seen near a point, the rest of the string tells
    where it runs; where that is hidden as well, the point stays. A filled point is found if its strings are seen there.

    Args:
        image_rgb: uint8 ``[H, W, 3]`` or ``[H, W]``, the photo that the match's pixels are of.
        match: with a lattice of at least 4 x 4 points; any other is given back as it is.
    """
    lines = lines_of(match.template)
    uv = _to_frame(match)
    if lines is None or uv is None:
        return match
    bows = bows_through(lines, uv, match.found)
    strings, hung = lines.only(lines.string), Bows(bows.coefficients[lines.string], bows.spread)
    tracks = follow(_in_colour(image_rgb), match.homography, strings, hung)
    if tracks is None:
        return match
    sides, bent = lines.only(~lines.string), Bows(bows.coefficients[~lines.string], bows.spread)
    ways = [_ways_of_strings(strings, hung, tracks, uv), _ways_of_sides(sides, bent)]
    refined, clear = _meet(uv, lines.cell, ways)
    far = match.found & (np.abs(refined - uv) > _FARTHEST * lines.cell).any(
        1
    )  # another strand, a tape beside the string
    refined = np.where(far[:, None], uv, refined)
    mapped = np.hstack([refined, np.ones((len(uv), 1))]) @ match.homography.T
    if (mapped[:, 2] <= 0).any():
        return match
    xy = mapped[:, :2] / mapped[:, 2:]
    inside = ((xy >= 0) & (xy <= image_rgb.shape[1::-1])).all(1)
    return replace(match, xy_px=xy, found=match.found | (clear & inside))


def _in_colour(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image if image.ndim == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8)


def _to_frame(match: Match) -> Floats | None:
    """The match's points in uv; `None` where some lie beyond the horizon."""
    try:
        return apply_homography(invert(match.homography), match.xy_px)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, eq=False)
class _Ways:
    """M pairs of a line and a point on it, and how the line runs there.

    Attributes:
        lines: that the next index.
        bows: the expected curves of those lines.
        line: int64 ``[M]``.
        point: int64 ``[M]``.
        off: float64 ``[M]``, cells off the expected curve at the point's place in the layout.
        slope: float64 ``[M]``, its change a cell along the line.
        known: bool ``[M]``, false where the photo does not tell.
        clear: bool ``[M]``, the string is seen at the point itself.
    """

    lines: Lines
    bows: Bows
    line: NDArray[np.int64]
    point: NDArray[np.int64]
    off: Floats
    slope: Floats
    known: NDArray[np.bool_]
    clear: NDArray[np.bool_]


def _ways_of_sides(sides: Lines, bows: Bows) -> _Ways:
    """The frame's sides: the curves through all points on them."""
    line, point = np.nonzero(sides.points)
    nothing, yes = np.zeros(len(line)), np.ones(len(line), np.bool_)
    return _Ways(sides, bows, line, point, nothing, nothing, yes, yes)


def _ways_of_strings(strings: Lines, bows: Bows, tracks: Tracks, uv: Floats) -> _Ways:
    """Lines through the pieces of a string round each point; a curve through all its pieces where few are seen."""
    line, point = np.nonzero(strings.points)
    axis = strings.axis[line]
    along = (tracks.at - uv[point, axis][:, None]) / strings.cell[axis][:, None]
    off, seen = tracks.off[line], tracks.weight[line]
    counted = seen * np.exp(-0.5 * (along / _WINDOW) ** 2) * (np.abs(along) < 4 * _WINDOW)
    weight = counted
    for _ in range(4):
        fitted = weighted_fit(along, off, weight, 1, (0, 0.1))
        weight = counted * robust(off - fitted[:, :1] - fitted[:, 1:] * along, _STRAIGHT)
    enough = weight.sum(1) > _ENOUGH
    whole, share = _whole_strings(tracks)
    s = 2 * uv[point, axis] - 1
    rest = (whole[line] * np.stack([np.ones_like(s), s, s * s], 1)).sum(1)
    clear = np.where(np.abs(along) < _NEAR, seen, np.inf).min(1) > _CLEAR
    return _Ways(
        strings,
        bows,
        line,
        point,
        np.where(enough, fitted[:, 0], rest),
        np.where(enough, fitted[:, 1], 0),
        enough | (share[line] > 0.15),
        enough & clear,
    )


def _whole_strings(tracks: Tracks) -> tuple[Floats, Floats]:
    """Curves of second degree through all pieces of each string, and the share of pieces that agree."""
    s = np.broadcast_to(2 * tracks.at - 1, tracks.off.shape)
    weight = tracks.weight
    for _ in range(5):
        fitted = weighted_fit(s, tracks.off, weight, 2, (0, 0, 0.2))
        curve = fitted[:, :1] + fitted[:, 1:2] * s + fitted[:, 2:] * s * s
        weight = tracks.weight * robust(tracks.off - curve, 2 * _STRAIGHT)
    return fitted, weight.mean(1)


def _meet(uv: Floats, cell: Floats, ways: list[_Ways]) -> tuple[Floats, NDArray[np.bool_]]:
    """Points put where their lines meet: each coordinate in turn, as the lines are nearly upright and level."""
    refined, clear = uv.copy(), np.ones(uv.shape, np.bool_)
    for _ in range(4):
        for axis in (0, 1):
            for way in ways:
                use = way.known & (way.lines.axis[way.line] == axis)
                line, point = way.line[use], way.point[use]
                along = refined[point, axis]
                picked = Bows(way.bows.coefficients[line], 0)
                curve = picked.off(way.lines.only(line), along)
                ahead = (along - uv[point, axis]) / cell[axis]
                refined[point, 1 - axis] = curve + cell[1 - axis] * (way.off[use] + way.slope[use] * ahead)
    for way in ways:
        clear[way.point, 1 - way.lines.axis[way.line]] &= way.known & way.clear
    return refined, np.asarray(clear.all(1))
