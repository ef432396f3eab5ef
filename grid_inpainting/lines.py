"""Straight strings where no points tell of them, such as two diagonals from corner to corner of a frame.

Ridges (thin lines brighter, darker or of another colour than both their sides) vote for the straight lines they lie on
(Hough, 1962), each colour for itself. A string is a line that is ridge for much of its way through the photo and runs
aslant: what runs along the photo's sides is frame, tape or ruler. All strings of a frame are of one yarn, so only lines
of the colour that shows best are taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from grid_inpainting.strands.strips import Floats, Mask, Signal, along_contrast

_SIDE_PX = 1024
"""Longer side at which lines are sought."""
_CONTRASTS = np.array([(1, 1, 1), (2, -1, -1), (-1, -1, 2)], np.float32) / 4
"""Bright, red and blue against the rest; each is looked at upside down too."""
_SIGMAS = (0.8, 1.6, 3.2)
_BORDER_PX = 3
_SHARE = 0.03
"""Of the pixels, those of the strongest ridges vote."""
_ANGLES = 360
_RHO_PX = 3.0
_TURN = 6
"""A ridge votes for lines turned by up to so many angle steps from its own."""
_LEAST_COVER, _AS_GOOD = 0.6, 0.35
"""Votes for each px of a line's length in the photo, and as a share of the best line's."""
_LEAST_SLANT_DEG = 24.0
_LEAST_LENGTH = 0.5
"""Of the photo's shorter side."""
_MOST_LINES = 6
_APART = 0.12
"""Lines whose ends are no farther apart, as a share of the longer side, are one."""


def straight_strings(image_rgb: np.ndarray) -> Floats:
    """Straight strings, from border to border of the photo: float64 ``[N, 2, 2]`` px, best first; N may be 0.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
    """
    h, w = image_rgb.shape[:2]
    scale = max(max(h, w) / _SIDE_PX, 1.0)
    size = (max(round(w / scale), 1), max(round(h / scale), 1))
    small = cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA) if scale > 1 else image_rgb
    if min(small.shape[:2]) < 8 * _BORDER_PX:
        return np.zeros((0, 2, 2))
    found = [_lines(votes, small.shape[1::-1]) for votes in _votes(small)]
    covers, ends = max(found, key=lambda one: float(one[0][:2].sum()))
    good = covers > max(_LEAST_COVER, _AS_GOOD * covers.max(initial=0))
    good_ends: Floats = ends[good] * scale
    return good_ends


def _votes(small: np.ndarray) -> Iterator[Signal]:
    """Votes float32 ``[angles, rhos]`` of bright and of dark ridges in each contrast."""
    for contrast in _CONTRASTS:
        for strength, angle in _ridges(along_contrast(small.astype(np.float32), contrast)):
            yield _vote(strength, angle)


def _ridges(channel: Signal) -> tuple[tuple[Signal, Signal], tuple[Signal, Signal]]:
    """Strength, and direction of the normal in radians, of bright and of dark ridges, each at its best scale.

    From the second derivatives (Lindeberg, 1998): large across the ridge, small along it.
    """
    best = [np.full(channel.shape, -np.inf, np.float32) for _ in range(4)]
    for sigma in _SIGMAS:
        smooth = cv2.GaussianBlur(channel, (0, 0), sigma)
        xx, yy, xy = (cv2.Sobel(smooth, cv2.CV_32F, i, j, ksize=3) * sigma**1.5 for i, j in ((2, 0), (0, 2), (1, 1)))
        mean, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
        steepest = np.arctan2(2 * xy, xx - yy) / 2
        bright, dark = half - mean - np.abs(mean + half), mean + half - np.abs(mean - half)
        for k, strength, angle in ((0, bright, steepest + np.float32(np.pi / 2)), (2, dark, steepest)):
            better = strength > best[k]
            best[k][better], best[k + 1][better] = strength[better], angle[better]
    return (best[0], best[1]), (best[2], best[3])


def _vote(strength: Signal, angle: Signal) -> Signal:
    h, w = strength.shape
    inner = np.zeros_like(strength)
    b = _BORDER_PX  # the border is no ridge
    inner[b:-b, b:-b] = strength[b:-b, b:-b]
    y, x = np.nonzero(inner > max(float(np.quantile(inner[::3, ::3], 1 - _SHARE)), 1e-3))
    own = np.round(angle[y, x] / np.pi * _ANGLES).astype(int)
    radius = np.hypot(h, w) / 2
    rhos = _rhos(w, h)
    votes = np.zeros(_ANGLES * rhos, np.float32)
    for turn in range(-_TURN, _TURN + 1):
        t = (own + turn) % _ANGLES
        rho = (x + 0.5 - w / 2) * np.cos(t * np.pi / _ANGLES) + (y + 0.5 - h / 2) * np.sin(t * np.pi / _ANGLES)
        votes += np.bincount(t * rhos + np.round((rho + radius) / _RHO_PX).astype(int), minlength=votes.size)
    return votes.reshape(_ANGLES, rhos)


def _rhos(w: int, h: int) -> int:
    return int(np.hypot(w, h) / _RHO_PX) + 3


def _lines(votes: Signal, size_wh: tuple[int, int]) -> tuple[Floats, Floats]:
    """Cover (votes for each px of length) and ends of the best lines: ``[n]`` and ``[n, 2, 2]``."""
    ends = _all_ends(*size_wh)
    length = np.linalg.norm(ends[..., 1, :] - ends[..., 0, :], axis=-1)
    degrees = np.arange(_ANGLES)[:, None] * 180 / _ANGLES
    slant = np.abs((degrees + 45) % 90 - 45)
    fit = (length > _LEAST_LENGTH * min(size_wh)) & (slant > _LEAST_SLANT_DEG)
    wide = votes + np.roll(votes, 1, 1) + np.roll(votes, -1, 1)  # strings sag
    cover = np.where(fit, wide / np.maximum(length, 1), 0)
    covers, lines = [], []
    for _ in range(_MOST_LINES):
        best = np.unravel_index(cover.argmax(), cover.shape)
        if cover[best] < _LEAST_COVER:
            break
        covers.append(float(cover[best]))
        lines.append(ends[best])
        cover[_near(ends, ends[best], _APART * max(size_wh))] = 0
    return np.array(covers), np.array(lines).reshape(-1, 2, 2)


def _near(ends: Floats, line: Floats, px: float) -> Mask:
    """Lines whose ends both lie within `px` of those of a line."""
    same = np.linalg.norm(ends - line, axis=-1).max(-1)
    turned = np.linalg.norm(ends - line[::-1], axis=-1).max(-1)
    near: Mask = np.minimum(same, turned) < px
    return near


def _all_ends(w: int, h: int) -> Floats:
    """Where the line of each vote enters and leaves the photo: ``[angles, rhos, 2, 2]``; one point where it does not.

    A line holds the points whose distance from the photo's middle along the normal (cos, sin of the angle) is rho.
    """
    angle = np.arange(_ANGLES)[:, None] * np.pi / _ANGLES
    rho = np.arange(_rhos(w, h))[None] * _RHO_PX - np.hypot(w, h) / 2
    c, s = np.cos(angle), np.sin(angle)
    base = np.stack([w / 2 + rho * c, h / 2 + rho * s], -1)
    along = np.stack([-s, c], -1)
    along = np.where(np.abs(along) < 1e-9, 1e-9, along)
    crossed = np.stack([-base / along, (np.array([w, h]) - base) / along], -1)
    enters = crossed.min(-1).max(-1)
    leaves = np.maximum(crossed.max(-1).min(-1), enters)
    return np.stack([base + along * enters[..., None], base + along * leaves[..., None]], -2)
