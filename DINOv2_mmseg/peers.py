"""What a network that learns from points is held against: the commonest class, and a forest on colour and texture.

The forest is meant to be a fair peer. It sees the surroundings of a point at four sizes, relative to the photo, so that
photos of several resolutions are one to it: colour in three spaces, also relative to the rest of the photo (light and
water differ from photo to photo), local binary patterns (Ojala et al. 2002), gradients at three scales with their
coherence, and Gabor energy. How deep its leaves go, how many features a split may choose from and whether rare classes
weigh more is chosen on the training photos alone, by cross-validation that keeps a photo's points together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]

WORK_PX = 960
WINDOWS = (11, 29, 77, 191)
"""Sides in px of the surroundings of a point, in a photo whose long side is `WORK_PX`."""
TEXTURE_WINDOWS = (29, 77)
SETTINGS: tuple[Mapping[str, Any], ...] = tuple(
    {"class_weight": weight, "min_samples_leaf": leaf, "max_features": share}
    for weight, leaf, share in (
        (None, 1, "sqrt"),
        (None, 3, 0.3),
        ("balanced_subsample", 3, "sqrt"),
        ("balanced_subsample", 3, 0.3),
    )
)
TREES, INNER_TREES, INNER_FOLDS = 500, 100, 4


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """A trained random forest.

    Attributes:
        classifier: scikit-learn's.
        settings: those that were chosen.
        inner_accuracy: what each of `SETTINGS` reached on left-out training photos, 0..1; empty where one photo only
            left nothing to choose by.
    """

    classifier: Any
    settings: Mapping[str, Any]
    inner_accuracy: tuple[float, ...]

    def predict(self, rows: Floats) -> list[str]:
        """The class of each row of features ``[N, F]``."""
        return [str(label) for label in self.classifier.predict(rows)] if len(rows) else []


def majority(labels: Sequence[str]) -> str:
    """The commonest label; of several the first in alphabetical order.

    Raises:
        ValueError: there is no label.
    """
    if not labels:
        raise ValueError("no label to take the commonest of: expected at least one point")
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label))


def forest(rows: Floats, labels: Sequence[str], photos: Sequence[str], *, seed: int = 0, jobs: int = -1) -> Forest:
    """Train a forest with the best of `SETTINGS`.

    Args:
        rows: float32 ``[N, F]`` of `features`.
        labels: N classes.
        photos: N names: which photo a point is of.
        seed: of the forest.
        jobs: threads; -1: one a core.

    Raises:
        ValueError: the numbers differ, or there is no point.
    """
    if not len(rows) == len(labels) == len(photos) or not len(rows):
        raise ValueError(f"{len(rows)} rows, {len(labels)} labels, {len(photos)} photos: expected N of each, N >= 1")
    inner = tuple(_inner_accuracy(rows, labels, photos, one, seed, jobs) for one in SETTINGS if len(set(photos)) > 1)
    chosen = SETTINGS[int(np.argmax(inner))] if inner else SETTINGS[0]
    classifier = _classifier(chosen, TREES, seed, jobs).fit(rows, np.asarray(labels))
    return Forest(classifier, chosen, inner)


def _classifier(settings: Mapping[str, Any], trees: int, seed: int, jobs: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(trees, random_state=seed, n_jobs=jobs, **settings)


def _inner_accuracy(
    rows: Floats, labels: Sequence[str], photos: Sequence[str], settings: Mapping[str, Any], seed: int, jobs: int
) -> float:
    from sklearn.model_selection import GroupKFold

    known, right = np.asarray(labels), 0
    for train, held in GroupKFold(min(INNER_FOLDS, len(set(photos)))).split(rows, known, photos):
        fitted = _classifier(settings, INNER_TREES, seed, jobs).fit(rows[train], known[train])
        right += int((fitted.predict(rows[held]) == known[held]).sum())
    return right / len(known)


# ---------------------------------------------------------------------------------------------- features


def features(image_rgb: NDArray[np.uint8], xy_px: ArrayLike) -> Floats:
    """Colour and texture round points.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        xy_px: ``[N, 2]``, in px of the photo, inside it.

    Returns:
        float32 ``[N, F]``; F does not depend on the photo.

    Raises:
        ValueError: a point outside the photo.
    """
    height, width = image_rgb.shape[:2]
    xy = np.asarray(xy_px, np.float64).reshape(-1, 2)
    if ((xy < 0) | (xy > (width, height))).any():
        outside = xy[((xy < 0) | (xy > (width, height))).any(1)][0]
        raise ValueError(f"point {tuple(outside.tolist())} lies outside the photo of {width} x {height} px")
    small = _at_work_size(image_rgb)
    places = np.floor(xy * (small.shape[1] / width, small.shape[0] / height)).astype(int)
    column, row = np.minimum(places, (small.shape[1] - 1, small.shape[0] - 1)).T
    return np.stack([plane[row, column] for plane in _planes(small)], 1).astype(np.float32)


def _at_work_size(image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image_rgb.shape[:2]
    scale = WORK_PX / max(height, width)
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image_rgb, size_wh, interpolation=way), np.uint8)


def _planes(small: NDArray[np.uint8]) -> Iterator[Floats]:
    """Every feature as a picture ``[h, w]``, one after the other."""
    colours, lab = _colours(small)
    for side in WINDOWS:
        for channel in colours:
            yield from _mean_and_spread(channel, side)
        for channel in lab:  # against the rest of the photo
            yield (_mean(channel, side) - channel.mean()) / (channel.std() + 1e-3)
    gray = lab[0] / 100
    for side in TEXTURE_WINDOWS:
        for code in _patterns(gray):
            yield _mean(code, side)
        for channel in (*_gradients(gray), *_gabor_energy(gray)):
            yield from _mean_and_spread(channel, side)


def _colours(small: NDArray[np.uint8]) -> tuple[list[Floats], list[Floats]]:
    """RGB, hue as a point on the circle of its saturation, saturation, value and Lab; and Lab alone."""
    from skimage.color import rgb2hsv, rgb2lab

    rgb = small.astype(np.float32) / 255
    hue, saturation, value = np.moveaxis(rgb2hsv(rgb), -1, 0)
    turn = 2 * np.pi * hue
    circle = [saturation * np.cos(turn), saturation * np.sin(turn)]
    lab = list(np.moveaxis(rgb2lab(rgb).astype(np.float32), -1, 0))
    return [*np.moveaxis(rgb, -1, 0), *circle, saturation, value, *lab], lab


def _patterns(gray: Floats) -> Iterator[Floats]:
    """Where each uniform local binary pattern lies, of 8 neighbours at 1 and 3 px."""
    from skimage.feature import local_binary_pattern

    levels = np.clip(gray * 255, 0, 255).astype(np.uint8)
    for radius in (1, 3):
        codes = local_binary_pattern(levels, 8, radius, "uniform")
        yield from ((codes == code).astype(np.float32) for code in range(10))


def _gradients(gray: Floats) -> Iterator[Floats]:
    """Strength of the gradient at three scales, and how far the gradients of a place agree (0..1)."""
    for sigma in (1.0, 2.0, 4.0):
        soft = cv2.GaussianBlur(gray, (0, 0), sigma)
        dx, dy = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
        yield np.hypot(dx, dy)
        xx, yy, xy = (cv2.GaussianBlur(product, (0, 0), 2 * sigma) for product in (dx * dx, dy * dy, dx * dy))
        yield np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy + 1e-6)


def _gabor_energy(gray: Floats) -> Iterator[Floats]:
    """Mean over four directions of the strength of waves of 4, 8 and 16 px, and the share of the strongest of them."""
    from skimage.filters import gabor_kernel

    for frequency in (0.25, 0.125, 0.0625):
        strengths = []
        for turn in np.arange(4) * np.pi / 4:
            wave = gabor_kernel(frequency, theta=turn)
            parts = [cv2.filter2D(gray, cv2.CV_32F, part.astype(np.float32)) for part in (wave.real, wave.imag)]
            strengths.append(np.hypot(*parts))
        together = np.sum(strengths, 0)
        yield together / 4
        yield np.max(strengths, 0) / (together + 1e-6)


def _mean(channel: Floats, side: int) -> Floats:
    return cv2.boxFilter(np.asarray(channel, np.float32), cv2.CV_32F, (side, side), borderType=cv2.BORDER_REFLECT)


def _mean_and_spread(channel: Floats, side: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation in a square round each pixel."""
    centred = np.asarray(channel, np.float32) - np.float32(np.mean(channel))  # else float32 squares lose the spread
    mean = _mean(centred, side)
    return mean + np.float32(np.mean(channel)), np.sqrt(np.maximum(_mean(centred**2, side) - mean**2, 0))
