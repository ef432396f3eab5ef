"""What the yarn of a frame looks like, learnt from profiles across all strings, and where it runs in each of them.

Profiles are float32 ``[N, C, T, 3]``: N strings, C pieces of each, T samples across, colours. A string is sought on the
inner samples, `margin` off both borders.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Profiles = NDArray[np.float32]
Signal = NDArray[np.float32]
Mask = NDArray[np.bool_]

_WIDTHS = (3, 5, 7, 9, 13, 17)
_CONTRASTS = np.array([(1, 1, 1), (2, -1, -1), (-1, -1, 2), (1, 1, -2)], np.float32) / 4
"""Bright, red, blue and yellow against the rest."""
_CLIP = 4.0
_TURN = 0.5
"""Cost of a path's step by one sample between pieces."""
_SEEN = 1.5


def trace(
    profiles: Profiles, inside: Mask, unlikely: NDArray[np.float64], margin: int, spread: float
) -> tuple[Signal, NDArray[np.int64]]:
    """Where the yarn runs.

    Args:
        profiles: see above.
        inside: bool ``[N, C]``, false for pieces that leave the photo.
        unlikely: float64 ``[I]``, cost of each inner sample.
        margin: samples to either side that only show the surroundings.
        spread: by how many samples the strings are expected to be off the middle.

    Returns:
        How much each inner sample looks like the yarn, in standard deviations of all samples, float32 ``[N, C, I]``,
        and the index of the string's place, int64 ``[N, C]``.
    """
    width, contrast = _first_look(profiles, inside, unlikely, margin, spread)
    signal, path = _trace_once(profiles, inside, unlikely, margin, width, contrast)
    for _ in range(2):
        seen = (np.take_along_axis(signal, path[..., None], 2)[..., 0] > _SEEN) & inside
        if np.count_nonzero(seen) < 20:
            break
        aligned = _aligned(profiles, path, margin)[seen]
        contrast = _contrast(aligned, width, margin)
        width = _width(aligned @ contrast, margin)
        signal, path = _trace_once(profiles, inside, unlikely, margin, width, contrast)
    return signal, path


def _aligned(profiles: Profiles, path: NDArray[np.int64], margin: int) -> Profiles:
    return np.take_along_axis(profiles, (path[..., None] + np.arange(2 * margin + 1))[..., None], 2)


def middle(profiles: Profiles, path: NDArray[np.int64], seen: Mask, margin: int) -> float:
    """How far the middle of the yarn lies off the path, in samples: light from a side draws the path to that side.

    At each distance from the path, colours are compared with those far off (divergence of Kullback and Leibler, 1951,
    of normal distributions): lit or in shade, yarn is more alike than what surrounds it. The middle is that of the two
    places where the divergence falls to a share of its top.

    Args:
        profiles: see above.
        path: int64 ``[N, C]``, indices of inner samples.
        seen: bool ``[N, C]``, the pieces to look at.
        margin: as in `trace`.
    """
    if np.count_nonzero(seen) < 40:
        return 0.0
    aligned = _aligned(profiles, path, margin)[seen]
    far = aligned[:, [0, 1, 2, -3, -2, -1]].reshape(-1, 3)
    mean = far.mean(0)
    root = np.linalg.inv(np.linalg.cholesky(np.cov(far.T) + 2 * np.eye(3)))
    white = (aligned - mean) @ root.T
    cov = np.einsum("mti,mtj->tij", white - white.mean(0), white - white.mean(0)) / len(white) + 0.01 * np.eye(3)
    divergence = np.trace(cov, axis1=1, axis2=2) + (white.mean(0) ** 2).sum(1) - 3 - np.linalg.slogdet(cov)[1]
    level = _SHARE * divergence[margin - 1 : margin + 2].max()
    left, right = _falls_to(divergence[margin::-1], level), _falls_to(divergence[margin:], level)
    return 0.0 if left is None or right is None else (right - left) / 2


_SHARE = 0.2


def _falls_to(values: NDArray[Any], level: float) -> float | None:
    below = values < level
    k = int(below.argmax())
    return float(k - (level - values[k]) / (values[k - 1] - values[k])) if below[k] and k else None


def _trace_once(
    profiles: Profiles, inside: Mask, unlikely: NDArray[np.float64], margin: int, width: int, contrast: NDArray[Any]
) -> tuple[Signal, NDArray[np.int64]]:
    above_left, above_right = _above_sides((profiles @ contrast)[..., None], width, margin)
    signal: Signal = ((above_left + above_right) / 2)[..., 0]
    signal /= _deviation(signal[inside][::3])
    signal[~inside] = 0
    gain: Signal = np.clip(signal, -1, _CLIP) - unlikely.astype(np.float32)
    return signal, best_path(gain)


def _first_look(
    profiles: Profiles, inside: Mask, unlikely: NDArray[np.float64], margin: int, spread: float
) -> tuple[int, NDArray[Any]]:
    """Width and contrast that most pieces show most clearly, on both sides, near where strings are expected."""
    some = profiles[inside][::5]
    contrasts = np.concatenate([_CONTRASTS, -_CONTRASTS, _middle_against_rest(some, spread)[None]]).T
    some = some @ contrasts
    best = (-np.inf, _WIDTHS[0], contrasts[:, 0])
    for width in _WIDTHS:
        left, right = _above_sides(some, width, margin)
        deviation = np.array([_deviation(one) for one in np.moveaxis((left + right) / 2, 2, 0)])
        clear = np.minimum(left, right) / deviation - unlikely[:, None].astype(np.float32)
        scores = np.minimum(clear.max(1), 6).mean(0)
        k = int(scores.argmax())
        best = max(best, (float(scores[k]), width, contrasts[:, k]), key=lambda one: one[0])
    return best[1], best[2]


def _middle_against_rest(profiles: Profiles, spread: float) -> NDArray[Any]:
    """Fisher's (1936) direction between the colours in the middle and those all over."""
    relative = profiles - profiles.mean(1, keepdims=True)
    far = np.abs(np.arange(profiles.shape[1]) - profiles.shape[1] // 2)
    raised = relative[:, far <= max(spread, 2)].mean(1) - relative[:, far > 0.5 * far.max()].mean(1)
    low, high = np.percentile(raised, (5, 95), axis=0)
    return fisher(np.clip(raised, low, high).mean(0), relative[:, ::5].reshape(-1, 3))


def _contrast(aligned: Profiles, width: int, margin: int) -> NDArray[Any]:
    """Fisher's direction between yarn and surroundings, of profiles that have the yarn in the middle."""
    half = width // 2
    yarn = aligned[:, margin - half : margin + half + 1].mean(1)
    rest = np.concatenate([aligned[:, : margin - half - 1], aligned[:, margin + half + 2 :]], 1)
    raised = yarn - rest.mean(1)
    spread = rest - rest.mean(1, keepdims=True)
    return fisher(np.median(raised, 0), np.concatenate([spread[:, ::3].reshape(-1, 3), raised - raised.mean(0)]))


def fisher(difference: NDArray[Any], noise: NDArray[Any]) -> NDArray[Any]:
    """The direction of colours, float32 ``[3]``, that shows a `difference` best over `noise` ``[M, 3]`` (1936)."""
    low, high = np.percentile(noise, (1, 99), axis=0)
    direction = np.linalg.solve(np.cov(np.clip(noise, low, high).T) + 2 * np.eye(3), difference)
    return np.asarray(direction / max(float(np.abs(direction).sum()), 1e-9), np.float32)


def _width(aligned: Signal, margin: int) -> int:
    """Width at half height of the median profile, odd, in samples."""
    level = np.median(aligned - aligned[:, [0, 1, 2, -3, -2, -1]].mean(1, keepdims=True), 0)
    below = level < level[margin - 1 : margin + 2].mean() / 2
    left, right = below[margin::-1], below[margin:]
    reach = [int(side.argmax()) if side.any() else margin for side in (left, right)]
    return int(np.clip((sum(reach) - 1) | 1, 3, 2 * margin - 5))


def _above_sides(profiles: Signal, width: int, margin: int) -> tuple[Signal, Signal]:
    """By how much a box of `width` samples exceeds the box to its left, and to its right: ``[..., T, c]`` to inner."""
    total = np.cumsum(np.pad(profiles, [(0, 0)] * (profiles.ndim - 2) + [(1, 0), (0, 0)]), -2, dtype=np.float32)
    at, half = np.arange(margin, profiles.shape[-2] - margin), width // 2
    side = min(max(half, 2), margin - half)

    def box(low: int, high: int) -> Signal:
        mean: Signal = (total[..., at + high, :] - total[..., at + low, :]) / (high - low)
        return mean

    middle = box(-half, half + 1)
    return middle - box(-half - side, -half), middle - box(half + 1, half + 1 + side)


def _deviation(values: NDArray[Any]) -> float:
    return 1.48 * float(np.median(np.abs(values))) + 1e-3


def best_path(gain: Signal) -> NDArray[np.int64]:
    """The path ``[N, C]`` of greatest gain through ``[N, C, I]`` that turns little (Viterbi, 1967)."""
    n, pieces, places = gain.shape
    steps = range(-2, 3)
    best: Signal = gain[:, 0]
    back = np.zeros(gain.shape, np.int64)
    padded = np.full((n, places + 4), -1e9, np.float32)
    for c in range(1, pieces):
        padded[:, 2:-2] = best
        ways = np.stack([padded[:, 2 + d : 2 + d + places] - _TURN * d * d for d in steps])
        chosen = ways.argmax(0)
        back[:, c] = chosen - 2
        best = ways.max(0) + gain[:, c]
    path = np.zeros((n, pieces), np.int64)
    path[:, -1] = best.argmax(1)
    for c in range(pieces - 1, 0, -1):
        path[:, c - 1] = path[:, c] + back[np.arange(n), c, path[:, c]]
    return path
