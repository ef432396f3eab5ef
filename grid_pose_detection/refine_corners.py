"""Inner corners of the frame where its inner edges meet, on the full-resolution photo.

Along each side the photo is sampled across the expected edge. Bars have a colour of their own: what changes from inside
to outside is learnt for each side, on wide boxes first, as the network may be off by a few per cent of the side, then
on narrow ones, somewhat further in: tubes shine in their middle, and the edge is where they begin. The edge is the best
smooth path (Viterbi, 1967), and near a corner a curve of second degree through it, as lenses bend it and bars bow.

Everything is in shares of the frame's side. The number of samples does not depend on the photo's size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from grid_pose_detection.refine_crossings import Floats, climbed, peaks, robust, weighted_fit
from grid_pose_detection.refine_yarn import best_path, fisher
from quadrat.homography import Homography, apply_homography, fit_homography

if TYPE_CHECKING:
    from grid_pose_detection.candidates import Match

_ROUND = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64)
"""Corners in uv, clockwise; side k runs from corner k to the next."""
_ALONG = np.roll(_ROUND, -1, 0) - _ROUND
_OUT = _ALONG[:, ::-1] * (1, -1)

_PITCH = 0.0012
_REACH = 30
"""Samples to either side of the expected edge where it is looked for."""
_WIDE, _NARROW = 8, 3
"""Samples in the boxes to either side of an edge."""
_PIECES, _IN_PIECE = 40, 4
_OFF, _BOW = 0.008, 0.02
"""Deviation of the expected edge from the true one at corners, and what a lens adds halfway between them."""
_INWARD, _NEARBY = 7, 4.0
"""Where the edge is expected from what wide boxes say, and the deviation of that, in samples."""
_CLIP = 4.0
_START, _STOP = 0.03, 0.3
"""The part of a side that a corner is found from: what is nearer to it is often covered by bolts and sleeves."""
_STRAIGHT = 0.0025
_ENOUGH = 2.0
"""Least sum of weights; one clear piece has up to 3."""
_FARTHEST = 0.02
_LEAST_PIECES, _LEAST_INSIDE = 5, 10
_CLEAR = 0.6
"""Least share of a side's pieces on one curve for that to say where a corner is that lies far off."""

_FAR_PITCH, _FAR_BOX = 0.004, 3
"""Samples when a corner may be far off, and in the boxes to either side of an edge."""
_AT_HOME = 3
"""Samples that a corner may be off and still be deemed right."""
_FAR_BOWS = np.array([-2, 0, 2])
_GAIN, _VISIBLE, _SURE = 5.0, 0.4, 0.75
"""Least gain of a side that is turned (one clear piece has up to 4); least shares of it that must then be seen for its
corner to go there, to count as found."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A frame as it was followed through the photo.

    Attributes:
        match: its corners.
        sides_seen: float64 ``[4]``, clockwise from the side between corners 1 and 2: the share 0..1 of its pieces
            inside the photo whose edge lies on one smooth curve; NaN where hardly a piece is, or nothing was measured.
    """

    match: Match
    sides_seen: Floats


def refine_corners(image_rgb: NDArray[np.uint8], match: Match) -> Match:
    """The corners of `follow_frame`."""
    return follow_frame(image_rgb, match).match


def follow_frame(image_rgb: NDArray[np.uint8], match: Match) -> Frame:
    """Move corners to where the frame's inner edges meet.

    A corner that was not found is first put where the edges of its two sides meet, and counts as found if both are
    clearly seen. Then a corner that only one edge is seen of moves across that one; one that none is seen of stays.

    Args:
        image_rgb: uint8 ``[H, W, 3]`` or ``[H, W]``, the photo that the match's pixels are of.
        match: with a layout of the frame's four corners; any other is given back as it is.
    """
    as_it_is = Frame(match, np.full(4, np.nan))
    order = _clockwise(match.template.uv)
    if order is None or max(image_rgb.shape[:2]) > 32_000:  # OpenCV's remap takes no larger photo
        return as_it_is
    photo = image_rgb if image_rgb.ndim == 3 else cv2.cvtColor(image_rgb, cv2.COLOR_GRAY2RGB)
    xy, found, covered = match.xy_px.copy(), match.found.copy(), ~match.found[order]
    try:
        xy[order], settled = _settled(photo, xy[order], found[order])
        found[order] |= settled
        to_px, _ = fit_homography(_ROUND, xy[order])
    except ValueError:  # corners on a line fix no frame
        return as_it_is
    seen_share, still = as_it_is.sides_seen, np.zeros(4, np.bool_)
    for _ in range(2):
        seen = _profiles(photo, to_px, _PITCH, _REACH + _WIDE, _REACH + _WIDE)
        if seen is None:
            break
        edge, weight = _inner_edges(*seen)
        whole, seen_share = _whole_sides(edge, weight, seen[1])
        clear = seen_share > _CLEAR
        begins = _at_corner(edge, weight, whole[:, 0], clear, covered)
        ends = np.roll(_at_corner(edge[:, ::-1], weight[:, ::-1], whole[:, 1], clear, np.roll(covered, -1)), 1)
        moved = _ROUND + begins[:, None] * _OUT + ends[:, None] * np.roll(_OUT, 1, 0)
        xy[order] = apply_homography(to_px, np.where(still[:, None], _ROUND, moved))
        still = np.abs(moved - _ROUND).max(1) < _FARTHEST  # what is near already stays
        if still.all():
            break
        to_px, _ = fit_homography(_ROUND, xy[order])
    return Frame(replace(match, xy_px=xy, found=found), seen_share)


def _settled(photo: NDArray[Any], xy: Floats, found: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Corners ``[4, 2]``, those not found put where the edges of their sides meet; and which ones are clearly seen to.

    Raises:
        ValueError: the corners fix no frame.
    """
    to_px, _ = fit_homography(_ROUND, xy)
    seen = _profiles(photo, to_px, _FAR_PITCH, _REACH + _FAR_BOX, _AT_HOME)
    if seen is None:
        return xy, np.zeros(4, np.bool_)
    steps, inside = _steps(seen[0], _FAR_BOX, _FAR_BOX), seen[1]
    xy, settled = xy.copy(), np.zeros(4, np.bool_)
    for k in np.flatnonzero(~found):
        sides = [_turned(steps[k], inside[k]), _turned(steps[k - 1, ::-1], inside[k - 1, ::-1])]
        gain, share, off = np.transpose(sides)
        if gain.max() > _GAIN and (share > _VISIBLE).all():
            xy[k] = apply_homography(to_px, _ROUND[k : k + 1] + off[0] * _OUT[k] + off[1] * _OUT[k - 1])[0]
            settled[k] = (share > _SURE).all()
    return xy, settled


def _turned(steps: NDArray[np.float32], inside: NDArray[np.bool_]) -> tuple[float, float, float]:
    """A side turned about its end: how much more of an edge it then sees, along what share, how far off it begins.

    Args:
        steps: float32 ``[C, I, 3]``.
        inside: bool ``[C]``.
    """
    near, free = np.arange(-_AT_HOME, _AT_HOME + 1), np.arange(-_REACH, _REACH + 1)
    signal = _scaled(np.linalg.norm(steps, axis=2)[None], inside[None]) - 0.7
    for _ in range(2):
        *_, path = _best_line(signal[0], inside, free, near)
        signal = _like_the_path(steps[None], signal, climbed(signal, path[None]), inside[None])
    still, *_ = _best_line(signal[0], inside, near, near)
    total, share, begin, _ = _best_line(signal[0], inside, free, near)
    return total - still, share, (begin - 0.5) * _FAR_PITCH  # edges lie between samples


def _best_line(
    signal: NDArray[np.float32], inside: NDArray[np.bool_], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[float, float, float, NDArray[np.int64]]:
    """Of a side's bowed lines from any begin to any end: signal, share seen, where it begins, its path ``[C]``."""
    t = (np.arange(_PIECES) + 0.5) / _PIECES
    bow = _FAR_BOWS[:, None] * 4 * t * (1 - t)
    lines = (begin[:, None, None, None] * (1 - t) + end[:, None, None] * t + bow).reshape(-1, _PIECES)
    paths = np.clip(np.rint(lines).astype(np.int64) + _REACH, 0, 2 * _REACH)
    heights = (np.clip(signal, -1, _CLIP) * inside[:, None])[np.arange(_PIECES), paths]
    best = int(heights.sum(1).argmax())
    share = np.count_nonzero(heights[best] > 1) / max(int(np.count_nonzero(inside)), _LEAST_INSIDE)
    return float(heights[best].sum()), share, float(begin[best // (len(end) * len(bow))]), paths[best]


def _clockwise(uv: Floats) -> NDArray[np.int64] | None:
    """Indices of the points at `_ROUND`; `None` where the layout is not these four."""
    far = np.abs(uv[None] - _ROUND[:, None]).max(2)
    return far.argmin(1) if len(uv) == 4 and far.min(1).max() < 1e-6 else None


def _profiles(
    image: NDArray[Any], to_px: Homography, pitch: float, reach: int, within: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """Colours float32 ``[4, C, T, 3]`` of pieces of sides, inside to outside; which lie `within` it in the photo."""
    along = (np.arange(_PIECES * _IN_PIECE) + 0.5) / (_PIECES * _IN_PIECE)
    across = np.arange(-reach, reach + 1) * pitch
    sides = _ROUND[:, None] + along[:, None] * _ALONG[:, None]
    uv = sides[:, :, None] + across[:, None] * _OUT[:, None, None]
    xyw = uv @ to_px[:, :2].T + to_px[:, 2]
    if (xyw[..., 2] <= 0).any():
        return None
    xy = (xyw[..., :2] / xyw[..., 2:]).reshape(-1, len(across), 2)
    x, y = (xy - 0.5).astype(np.float32).transpose(2, 0, 1)
    seen = np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    near = xy[:, reach - within : reach + within + 1]
    inside = ((near >= 0) & (near <= image.shape[1::-1])).all((1, 2)).reshape(4, _PIECES, _IN_PIECE).all(2)
    pieces = seen.reshape(4, _PIECES, _IN_PIECE, len(across), 3).mean(2, dtype=np.float32)
    return pieces, np.asarray(inside)


def _inner_edges(profiles: NDArray[np.float32], inside: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """How far outside of the expected line the edge lies, float64 ``[4, C]``, and weights, 0: not seen, to 3: clear."""
    t = (np.arange(_PIECES) + 0.5) / _PIECES
    places = (np.arange(-_REACH, _REACH + 1) - 0.5) * _PITCH
    cost = 0.5 * (places / (_OFF + _BOW * 4 * t * (1 - t))[:, None]) ** 2
    wide, narrow = _steps(profiles, _WIDE), _steps(profiles, _NARROW)
    signal = _scaled(np.linalg.norm(wide, axis=3), inside) - 0.7  # any step at first: most are well above 0
    path = _path(signal, cost)
    for _ in range(2):
        signal = _like_the_path(wide, signal, path, inside)
        path = _path(signal, cost)
    cost = 0.5 * ((np.arange(2 * _REACH + 1) - (path[..., None] - _INWARD)) / _NEARBY) ** 2
    for _ in range(2):
        signal = _like_the_path(narrow, signal, path, inside)
        path = _path(signal, cost)
    top, height = peaks(signal, climbed(signal, path, reach=0))
    return (top - _REACH - 0.5) * _PITCH, np.clip(height - 1, 0, 3) * inside


def _path(signal: NDArray[np.float32], cost: Floats) -> NDArray[np.int64]:
    return best_path(np.clip(signal, -1, _CLIP) - cost.astype(np.float32))


def _steps(profiles: NDArray[np.float32], box: int, margin: int = _WIDE) -> NDArray[np.float32]:
    """Colours ``[4, C, I, 3]`` of the box just outside of each place less those of the box inside."""
    total = np.cumsum(np.pad(profiles, ((0, 0), (0, 0), (1, 0), (0, 0))), 2, dtype=np.float32)
    at = np.arange(margin, margin + 2 * _REACH + 1)
    steps = (total[:, :, at + box] - 2 * total[:, :, at] + total[:, :, at - box]) / np.float32(box)
    return np.asarray(steps, np.float32)


def _like_the_path(
    steps: NDArray[np.float32], signal: NDArray[np.float32], path: NDArray[np.int64], inside: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """How much each place's step is like those that the path has seen on that side: a new signal ``[4, C, I]``."""
    seen = (np.take_along_axis(signal, path[..., None], 2)[..., 0] > 1) & inside
    chosen = np.take_along_axis(steps, path[..., None, None], 2)[:, :, 0]
    alike = np.zeros_like(signal)
    for side in np.flatnonzero(np.count_nonzero(seen, axis=1) >= _LEAST_PIECES):
        rest = steps[side][inside[side]][:, ::3].reshape(-1, 3)
        contrast = fisher(np.median(chosen[side][seen[side]], 0), rest)
        alike[side] = _scaled(steps[side] @ contrast, inside[side])
    return alike


def _scaled(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """In deviations of all values of pieces inside of the photo; 0 in others."""
    spread = 1.48 * float(np.median(np.abs(values[inside]))) + 1e-3 if inside.any() else 1.0
    return np.where(inside[..., None], values / np.float32(spread), np.float32(0))


def _at_corner(
    edge: Floats, weight: Floats, whole: Floats, clear: NDArray[np.bool_], covered: NDArray[np.bool_]
) -> Floats:
    """How far off each side's edge is where the side begins, ``[4]``; 0 where it is not seen.

    What is seen near the corner decides, unless it is `covered`, or far off: then the `whole` side if it is `clear`.
    """
    t = np.broadcast_to((np.arange(_PIECES) + 0.5) / _PIECES, edge.shape)
    counted = weight * ((t > _START) & (t < _STOP)) * (1 - t / _STOP)
    fitted, fitting = _smooth(edge, counted)
    off = fitted[:, 0]
    near = (fitting.sum(1) > _ENOUGH) & (np.abs(off) < _FARTHEST)
    return np.where(clear & (covered | (~near & (whole < -_FARTHEST))), whole, np.where(near, off, 0.0))


def _smooth(edge: Floats, weight: Floats, scales: tuple[float, ...] = (1,) * 5) -> tuple[Floats, Floats]:
    """Curves of second degree ``[4, 3]`` through most of the edge, and the weights that it has then."""
    t = np.broadcast_to((np.arange(_PIECES) + 0.5) / _PIECES, edge.shape)
    fitting = weight
    for scale in scales:
        fitted = weighted_fit(t, edge, fitting, 2, (0, 1e-4, 0.03))
        curve = fitted[:, :1] + fitted[:, 1:2] * t + fitted[:, 2:] * t * t
        fitting = weight * robust(edge - curve, scale * _STRAIGHT)
    return fitted, fitting


def _whole_sides(edge: Floats, weight: Floats, inside: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """How far off a curve through the whole edge begins and ends ``[4, 2]``; what share of the pieces lies on it."""
    fitted, fitting = _smooth(edge, weight, (8, 6, 4, 3, 2, 1.5, 1, 1, 1))  # from far: much of a side may be covered
    on = np.count_nonzero(fitting > 0.25 * np.maximum(weight, 0.5), axis=1)
    pieces = np.count_nonzero(inside, axis=1)
    share = np.where(pieces > _LEAST_INSIDE, on / np.maximum(pieces, 1), np.nan)
    return np.stack([fitted[:, 0], fitted.sum(1)], 1), share
