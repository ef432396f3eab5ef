"""Where a string is seen, and where something stands in front of it.

What is on the strings is told from what is beside them, in this photo alone: a logistic regression separates profiles
about the strings' paths from profiles beside them, learns again from those that look like yarn, and its answers are
joined along each string by a chain of two states, seen and hidden.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from grid_inpainting.strands.strips import Floats, Mask, Signal, along_contrast, cut
from grid_inpainting.strands.yarn import Yarn

_ROUNDS = 3
_MOST = 8_000
_RIDGE = 3.0
_SIDE = 4
_CLIP = 5.0
_TEMPER = 0.35
"""Neighbouring pieces tell nearly the same: each counts this much."""
_SWITCH = 5.0
"""Cost of a change between seen and hidden."""
_DOUBTFUL, _CERTAIN, _PRIOR = 2.0, 0.3, (-1.0, 1.2)
"""Log odds before the photo is asked. Clear strings leave no doubt where they are not; faint ones are trusted more."""
_COVERED, _WEIGHT_COVERED = -1.0, 0.2
"""What it adds that a point is said to be covered, and how much the pieces next to it count in learning."""
_CLEAR, _CLEAR_ALONG = 1.8, 31
"""Log odds, averaged over so many pieces, that the clearest tenth of all reaches where there are strings: noise along
their way is short and reaches far less."""


class Appearance:
    """What strings look like in a photo, against what is beside them."""

    def __init__(self, yarn: Yarn, model: _Logistic) -> None:
        self.yarn, self._model = yarn, model

    @classmethod
    def learn(cls, on: Signal, covered: Mask, beside: Signal, yarn: Yarn) -> Appearance:
        """Learn from profiles about the strings, some of which are hidden, and from others.

        Args:
            on: float32 ``[M, T, 3]``, profiles with the string in the middle.
            covered: bool ``[M]``, those of the first that count little, since something may stand before the string.
            beside: float32 ``[B, T, 3]``, profiles that have none.
            yarn: of the strings.
        """
        every = max(len(on) // _MOST, 1)
        yes = _features(on[::every], yarn)
        no = _features(beside[:: max(len(beside) // _MOST, 1)], yarn)
        model, weight = None, np.where(covered[::every], _WEIGHT_COVERED, 1.0)
        for _ in range(_ROUNDS):
            model = _Logistic(yes, weight, no, model)
            weight = 1 / (1 + np.exp(-np.clip(model(yes), -30, 30)))
        assert model is not None
        return cls(yarn, model)

    @property
    def reach(self) -> int:
        """Places to either side that `log_odds` looks at."""
        return self.yarn.width // 2 + 1 + self.yarn.width // 6 + _SIDE

    def log_odds(self, profiles: Signal) -> Floats:
        """How sure it is that each of ``[..., T, 3]`` has a string in its middle."""
        features = _features(profiles, self.yarn)
        return self._model(features.reshape(-1, features.shape[-1])).reshape(features.shape[:-1])

    def relief(self, strips: Signal, seen: Mask) -> Signal:
        """How far colours go from the surroundings' towards the yarn's: 1 as in the middle of strings, ``[N, C, T]``.

        Args:
            strips: float32 ``[N, C, T, 3]``, the string in the middle.
            seen: bool ``[N, C]``, where it is seen.
        """
        level = along_contrast(strips, self.yarn.contrast)
        level -= np.median(level, axis=2, keepdims=True)
        core = uniform_filter1d(cut(level[..., None], 0, self.yarn.width)[..., 0], self.yarn.width, axis=2)
        level /= max(float(np.median(core[..., self.yarn.width][seen])), 1e-3)
        return level


def seen_along(odds: Floats, inside: Mask, covered: Mask) -> Mask:
    """Where strings are seen, bool ``[N, C]``; nowhere, if none is clearly seen anywhere.

    Args:
        odds: float64 ``[N, C]``, log odds of the pieces.
        inside: bool ``[N, C]``, pieces in the photo.
        covered: bool ``[N, C]``, pieces where something is said to stand before the string: a hint, not a fact.
    """
    told = np.where(inside, np.clip(odds, -_CLIP, _CLIP), 0)
    if not inside.any() or np.quantile(uniform_filter1d(told, _CLEAR_ALONG, axis=1)[inside], 0.9) < _CLEAR:
        return np.zeros(inside.shape, np.bool_)
    usual = float(np.median(odds[inside & (odds > 0)]))
    prior = float(np.clip(_DOUBTFUL - _CERTAIN * usual, *_PRIOR))
    return chain(np.where(inside, _TEMPER * (told + prior + np.where(covered, _COVERED, 0)), 0)) & inside


def chain(gain: Floats) -> Mask:
    """Which of two states each piece of ``[N, C]`` is in: the sum of what `gain` says, less the cost of changes."""
    n, pieces = gain.shape
    best = np.zeros((n, 2))
    back = np.zeros((n, pieces, 2), np.bool_)
    for c in range(pieces):
        change = best[:, ::-1] - _SWITCH
        back[:, c] = change > best
        best = np.maximum(best, change) + np.stack([-gain[:, c], gain[:, c]], 1) / 2
    state = best.argmax(1)
    seen = np.zeros(gain.shape, np.bool_)
    rows = np.arange(n)
    for c in range(pieces - 1, -1, -1):
        seen[:, c] = state == 1
        state = np.where(back[rows, c, state], 1 - state, state)
    return seen


def _features(profiles: Signal, yarn: Yarn) -> Floats:
    """What tells yarn: its colour, and how it stands out on both sides: ``[..., 11]``."""
    margin, half = profiles.shape[-2] // 2, yarn.width // 2
    gap = 1 + yarn.width // 6
    core = profiles[..., margin - half : margin + half + 1, :].mean(-2)
    left = profiles[..., max(margin - half - gap - _SIDE, 0) : margin - half - gap, :].mean(-2)
    right = profiles[..., margin + half + gap + 1 : margin + half + gap + 1 + _SIDE, :].mean(-2)
    above_left, above_right = (along_contrast(core - side, yarn.contrast) for side in (left, right))
    singles = [
        np.minimum(above_left, above_right),
        np.abs(above_left - above_right),
        along_contrast(core, yarn.contrast),
        np.linalg.norm(core - left, axis=-1),
        np.linalg.norm(core - right, axis=-1),
    ]
    return np.concatenate([core, core - (left + right) / 2, np.stack(singles, -1)], -1).astype(np.float64)


class _Logistic:
    """Logistic regression on standardised features and their products; both classes count the same."""

    def __init__(self, yes: Floats, weight: Floats, no: Floats, start: _Logistic | None = None) -> None:
        self._mean, self._scale = no.mean(0), no.std(0) + 1e-6
        x = np.concatenate([self._expand(yes), self._expand(no)])
        count = (weight.sum() + len(no)) / 2
        w = np.concatenate([weight * count / max(weight.sum(), 1e-9), np.full(len(no), count / len(no))])
        y = np.repeat([1.0, 0.0], [len(yes), len(no)])
        self._coefficients = np.zeros(x.shape[1]) if start is None else start._coefficients
        for _ in range(8):  # Newton's method
            p = 1 / (1 + np.exp(-np.clip(np.einsum("nf,f", x, self._coefficients), -30, 30)))
            slope = np.einsum("nf,n", x, w * (y - p)) - _RIDGE * self._coefficients
            step = np.linalg.solve(_gram(x, w * p * (1 - p)) + _RIDGE * np.eye(x.shape[1]), slope)
            self._coefficients = self._coefficients + step
            if np.abs(step).max() < 3e-3:
                break

    def _expand(self, features: Floats) -> Floats:
        z = np.clip((features - self._mean) / self._scale, -4, 4)
        i, j = np.triu_indices(9)  # the last two are sums of squares already
        return np.concatenate([np.ones((len(z), 1)), z, z[:, i] * z[:, j] / 2], 1)

    def __call__(self, features: Floats) -> Floats:
        """Log odds ``[M]`` of features ``[M, F]``."""
        odds = np.empty(len(features))
        for first in range(0, len(features), _MOST):
            some = self._expand(features[first : first + _MOST])
            odds[first : first + _MOST] = np.einsum("nf,f", some, self._coefficients)
        return odds


def _gram(x: Floats, weight: Floats) -> Floats:
    """``x.T @ diag(weight) @ x`` in pieces so small that BLAS starts no threads: waiting for them took far longer."""
    whole = len(x) // 64 * 64
    pieces = (x[:whole].reshape(-1, 64, x.shape[1]), (x[:whole] * weight[:whole, None]).reshape(-1, 64, x.shape[1]))
    gram: Floats = (pieces[0].swapaxes(1, 2) @ pieces[1]).sum(0)
    return gram + x[whole:].T @ (x[whole:] * weight[whole:, None])
