"""The mask of a quadrat's strings in a photo.

One yarn is used for all strings of a frame. So each string is followed on a strip of the photo, straightened along the
curve through its grid points (`curves`, `strips`), and what is known of one is learnt from all: what the yarn looks
like (`yarn`), where it is seen and where colonies stand before it (`visible`), how wide it is (`widths`), whether it is
doubled (`doubled`). Without points, straight strings are found as lines (`lines`) and followed likewise.

The photo is looked at in a bounded size, so that time and memory are bounded; the mask is drawn in its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from grid_inpainting import lines
from grid_inpainting.strands import curves
from grid_inpainting.strands.bands import Bands
from grid_inpainting.strands.following import follow
from grid_inpainting.string_score import StringScore, painted_share, score
from quadrat.shapes import HIDDEN, Keypoints
from quadrat.template import Template

__all__ = ["StringScore", "Strings", "detect_lines", "find_strings", "painted_share", "score"]

Rgb = NDArray[np.uint8]

WORKING_SIDE_PX = 2048
"""Longer side at which a photo is looked at; a larger one is made smaller first."""
LEAST_POINTS = 4
LITTLE_SEEN = 0.2
"""A warning is given where strings are seen along less of their way."""
_LINE_CELL = 0.1
"""How far about a straight line is looked, as a share of the photo's longer side."""


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """The strings of a photo.

    Attributes:
        mask: bool ``[H, W]``, true where a string is seen.
        width_px: median width in px, 0 where there is none.
        warnings: what a person should know, in words.
    """

    mask: NDArray[np.bool_]
    width_px: float
    warnings: tuple[str, ...] = ()


def find_strings(image_rgb: Rgb, points: Keypoints, layout: Template, *, width_px: float | None = None) -> Strings:
    """The strings of a grid, from its points.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        points: of the layout; some may be hidden, off by a few px, or outside the photo.
        layout: what the points are; its edges are the strings.
        width_px: width of the bands in px; default: measured on the photo, knots and tufts included.

    Returns:
        The mask; empty, with a warning, where no string can be told from the seabed.

    Raises:
        ValueError: no such photo, names that are not the layout's, fewer than four placed points in the photo, points
            that fix no plane, a width that is not above 0.
    """
    _check_photo(image_rgb)
    _check_width(width_px)
    warnings = _check_points(points, layout, image_rgb.shape)
    small, scale = _working(image_rgb)
    scaled = Keypoints(points.label, points.names, points.xy_px / scale, points.visibility, points.scores)
    expected = curves.through_points(scaled, layout, 1.0)
    if expected is None:
        return _none(image_rgb, *warnings, f"layout {layout.name!r} has no strings: only points on the frame")
    bands = follow(small, expected)
    if not bands:
        return _none(image_rgb, *warnings, "no string can be told from the seabed along the points")
    share = np.count_nonzero(bands[0].seen) / max(np.count_nonzero(expected.inside(small.shape[1::-1])), 1)
    if share < LITTLE_SEEN:
        doubt = f"strings are seen along {share:.0%} of their way only: are points and photo of one quadrat?"
        warnings = (*warnings, doubt)
    return _drawn(image_rgb, bands, scale, width_px, warnings)


def detect_lines(image_rgb: Rgb, *, width_px: float | None = None) -> Strings:
    """Straight strings that run aslant through a photo, such as a frame's two diagonals, without points.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        width_px: width of the bands in px; default: measured on the photo.

    Returns:
        The mask; empty, with a warning, where there are none.

    Raises:
        ValueError: no such photo, a width that is not above 0.
    """
    _check_photo(image_rgb)
    _check_width(width_px)
    small, scale = _working(image_rgb)
    ends = lines.straight_strings(small)
    bands = follow(small, curves.straight(ends, 1.0, _LINE_CELL * max(small.shape[:2]))) if len(ends) else []
    if not bands:
        return _none(image_rgb, "no straight string is seen that runs aslant through the photo")
    return _drawn(image_rgb, bands, scale, width_px, ())


def _drawn(image_rgb: Rgb, bands: list[Bands], scale: float, width_px: float | None, said: tuple[str, ...]) -> Strings:
    mask = np.zeros(image_rgb.shape[:2], np.uint8)
    for band in bands:
        (band if width_px is None else band.of_width(width_px / scale)).draw(mask, scale)
    first = bands[0]
    measured = float(np.median((first.right_px - first.left_px)[first.seen])) * scale
    return Strings(mask.view(np.bool_), width_px or measured, said)


def _none(image_rgb: Rgb, *warnings: str) -> Strings:
    return Strings(np.zeros(image_rgb.shape[:2], np.bool_), 0.0, warnings)


def _working(image_rgb: Rgb) -> tuple[Rgb, float]:
    """The photo at its working size, and by how much it was larger."""
    h, w = image_rgb.shape[:2]
    scale = max(h, w) / WORKING_SIDE_PX
    if scale <= 1:
        return image_rgb, 1.0
    size = (max(round(w / scale), 1), max(round(h / scale), 1))
    return np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA)), scale


def _check_photo(image_rgb: Rgb) -> None:
    if image_rgb.dtype != np.uint8 or image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or not image_rgb.size:
        raise ValueError(f"image_rgb is {image_rgb.dtype}{list(image_rgb.shape)}: expected uint8[H, W, 3], RGB")


def _check_width(width_px: float | None) -> None:
    if width_px is not None and not 0 < width_px < math.inf:
        raise ValueError(f"width_px is {width_px}: expected a width above 0 in px, or None to measure it")


def _check_points(points: Keypoints, layout: Template, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Refuse points that do not fit the layout or the photo; warn of those that lie outside it."""
    if points.names != layout.names:
        raise ValueError(
            f"wrong points for layout {layout.name!r}: {len(points.names)} named {_some(points.names)}, expected "
            f"{len(layout.names)} named {_some(layout.names)}; give the layout that they were made for"
        )
    placed = np.asarray(points.visibility) != HIDDEN
    inside = placed & ((points.xy_px >= 0) & (points.xy_px <= (shape[1], shape[0]))).all(1)
    outside = np.count_nonzero(placed & ~inside)
    if np.count_nonzero(inside) < LEAST_POINTS:
        raise ValueError(
            f"{np.count_nonzero(inside)} of {len(placed)} points are placed within the photo of {shape[1]} x {shape[0]}"
            f" px ({outside} outside it): expected at least {LEAST_POINTS}; are they of this photo, in its pixels?"
        )
    return (f"{outside} of {len(placed)} points lie outside the photo",) if outside else ()


def _some(names: tuple[str, ...]) -> str:
    return f"{names[0]!r} to {names[-1]!r}"
