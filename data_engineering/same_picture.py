"""Do two photos show the same picture? Found points are matched, one photo is laid over the other, details compared.

Points and their descriptions are SIFT (Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004),
the fit is RANSAC's homography: smaller, recompressed, cropped, turned, brighter and rectified copies fit; another photo
with the same frame in it fits at the frame only, so that its details disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps

from quadrat import images

SAME = 0.65
"""Agreement from which on two photos are the same picture, see `agreement`. Copies of 56 photos that were made smaller,
recompressed, cropped by up to 10 % a side, turned by 3 degrees, or made brighter or darker agreed by 0.90 and more, two
different photos of the same frame by 0.39 at most."""

_LONG_SIDE, _POINTS = 400, 500
_FEWEST, _NEAREST, _OFF_PX, _LEAST_OVERLAP = 12, 0.8, 4.0, 0.25
_FINE_PX, _COARSE_PX = 1.5, 8.0


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What is compared of a photo.

    Attributes:
        detail: float32 ``[h, w]``: brightness without its slow changes, 400 px on the longer side.
        xy_px: float32 ``[N, 2]``: found points.
        words: float32 ``[N, 128]``: their descriptions.
    """

    detail: NDArray[np.float32]
    xy_px: NDArray[np.float32]
    words: NDArray[np.float32]


def look_at(path: str | Path) -> Look:
    """Read what is compared of a photo.

    Raises:
        ImageError: it cannot be read; the message begins with its path.
    """
    try:
        with images.opened(Path(path)) as image:
            image.draft("RGB", (2 * _LONG_SIDE, 2 * _LONG_SIDE))  # a JPEG is decoded no larger than is needed
            if image.mode == "RGB":
                return look(np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
        return look(images.read(path))
    except images.ImageError as error:
        raise error if str(error).startswith(str(path)) else images.ImageError(f"{path}: {error}") from error


def look(image_rgb: images.Rgb) -> Look:
    """What is compared of a photo, uint8 ``[H, W, 3]``."""
    scale = min(1.0, _LONG_SIDE / max(image_rgb.shape[:2]))
    size_wh = [max(8, round(side * scale)) for side in image_rgb.shape[1::-1]]
    gray = cv2.cvtColor(cv2.resize(image_rgb, size_wh, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    points, words = cv2.SIFT_create(nfeatures=_POINTS, contrastThreshold=0.02).detectAndCompute(gray, None)
    bright = gray.astype(np.float32)
    detail = cv2.GaussianBlur(bright, (0, 0), _FINE_PX) - cv2.GaussianBlur(bright, (0, 0), _COARSE_PX)
    xy = np.array([point.pt for point in points], np.float32).reshape(-1, 2)
    return Look(detail, xy, np.zeros((0, 128), np.float32) if words is None else words)


def agreement(one: Look, other: Look) -> float:
    """How far the details of two photos agree where one lies over the other.

    Returns:
        The correlation of their details, at most 1; 0 where nothing fits.
    """
    pairs = _matched(one.words, other.words)
    if len(pairs) < _FEWEST:
        return 0.0
    source, target = one.xy_px[pairs[:, 0]], other.xy_px[pairs[:, 1]]
    cv2.setRNGSeed(0)
    onto, fits = cv2.findHomography(source, target, cv2.RANSAC, _OFF_PX)
    if onto is None or np.count_nonzero(fits) < _FEWEST:
        return 0.0
    height, width = other.detail.shape
    laid = cv2.warpPerspective(one.detail, onto, (width, height))
    inside = cv2.warpPerspective(np.ones(one.detail.shape, np.uint8), onto, (width, height)) > 0
    if inside.mean() < _LEAST_OVERLAP:
        return 0.0
    return _correlation(laid[inside], other.detail[inside])


def _matched(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.intp]:
    """Numbers of points that are each other's nearest by far, intp ``[M, 2]``."""
    if len(one) < 2 or len(other) < 2:
        return np.zeros((0, 2), np.intp)
    found = cv2.BFMatcher(cv2.NORM_L2).knnMatch(one, other, k=2)
    return np.array(
        [(near.queryIdx, near.trainIdx) for near, next_ in found if near.distance < _NEAREST * next_.distance], np.intp
    ).reshape(-1, 2)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    a, b = a - a.mean(), b - b.mean()
    length = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / length if length > 0 else 0.0
