"""How well a mask of strings fits, and how much of the quadrat it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StringScore:
    """Agreement of two masks.

    Attributes:
        recall: share of the true pixels that have a found one within the tolerance.
        precision: share of the found pixels that have a true one within the tolerance.
        tolerance_px: largest distance of pixel centres that counts as met.
    """

    recall: float
    precision: float
    tolerance_px: float


def score(found: Mask, truth: Mask, tolerance_px: float = 1.0) -> StringScore:
    """Compare a mask with the true one.

    Nothing to find is found wholly (recall 1), and who finds nothing says nothing wrong (precision 1).

    Args:
        found: bool ``[H, W]``.
        truth: bool ``[H, W]``.
        tolerance_px: see `StringScore`.

    Raises:
        ValueError: masks of another type or of two sizes, a tolerance below 0.
    """
    _check_mask(found, "found")
    _check_mask(truth, "truth")
    if found.shape != truth.shape:
        raise ValueError(f"found is {list(found.shape)}, truth {list(truth.shape)}: expected masks of one photo")
    if not 0 <= tolerance_px < np.inf:
        raise ValueError(f"tolerance_px is {tolerance_px}: expected 0 or more pixels")
    return StringScore(_met(truth, found, tolerance_px), _met(found, truth, tolerance_px), tolerance_px)


def _met(these: Mask, those: Mask, tolerance_px: float) -> float:
    count = np.count_nonzero(these)
    return float(np.count_nonzero(these & _grown(those, tolerance_px)) / count) if count else 1.0


def _grown(mask: Mask, by_px: float) -> Mask:
    reach = math.floor(by_px)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (x * x + y * y <= by_px * by_px).astype(np.uint8)
    return np.asarray(cv2.dilate(mask.view(np.uint8), disc) > 0)


def painted_share(mask: Mask, corners_xy_px: NDArray[np.floating] | None = None) -> float:
    """Share of the quadrat that a mask covers (less is better), 0..1.

    Args:
        mask: bool ``[H, W]``.
        corners_xy_px: ``[4, 2]``, the quadrat's corners in order round it; the part of it in the photo counts. Without
            them, the photo.

    Raises:
        ValueError: another type or shape, or a quadrat that lies outside the photo.
    """
    _check_mask(mask, "mask")
    if corners_xy_px is None:
        return float(mask.mean())
    corners = np.asarray(corners_xy_px, np.float64)
    if corners.shape != (4, 2) or not np.isfinite(corners).all():
        raise ValueError(f"corners_xy_px is {list(corners.shape)}: expected finite [4, 2], the corners in order")
    quadrat = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(quadrat, [np.round((corners - 0.5) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    inside = quadrat.view(np.bool_)
    area = np.count_nonzero(inside)
    if not area:
        raise ValueError(
            f"corners {corners.round(1).tolist()} hold no pixel of a photo of {mask.shape[1]} x "
            f"{mask.shape[0]}: expected corners in px of this photo"
        )
    return float(np.count_nonzero(mask & inside) / area)


def _check_mask(mask: Mask, what: str) -> None:
    if mask.dtype != np.bool_ or mask.ndim != 2 or not mask.size:
        raise ValueError(f"{what} is {mask.dtype}{list(mask.shape)}: expected bool[H, W] of at least one pixel")
