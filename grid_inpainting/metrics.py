"""How far a painted photo is from the true one, in some of its pixels; and over many photos.

- PSNR: ``10 log10(255^2 / MSE)`` dB, the MSE over the region's pixels and three channels. The mean of photos counts
  each photo once; pooled, the MSE is over all pixels of all photos, so that one bad photo with a large region shows.
- SSIM: Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004, with Gaussian
  weights of 1.5 px: the map, mean of the channels, averaged over the region's pixels; pooled, over those of all photos.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Window = tuple[slice, slice]

TILE_PX = 512
REACH_PX = 5
"""How far a pixel of the SSIM map sees: Gaussian weights of 1.5 px, cut at 3.5 sigma."""
MOST_DB = 100.0
"""PSNR of two pictures that do not differ."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How alike two pictures are in a region.

    Attributes:
        pixels: number of pixels of the region, above 0.
        squared_error: sum over them of the squared difference, mean of the channels, in 0..255^2 each.
        ssim: mean over them, -1..1.
    """

    pixels: int
    squared_error: float
    ssim: float

    @property
    def psnr_db(self) -> float:
        """Peak signal-to-noise ratio in dB, at most `MOST_DB`."""
        return psnr_db(self.squared_error / self.pixels)


def psnr_db(mean_squared_error: float) -> float:
    """PSNR of 8-bit pictures in dB, at most `MOST_DB`."""
    if mean_squared_error <= 0:
        return MOST_DB
    return min(MOST_DB, float(10 * np.log10(255**2 / mean_squared_error)))


def measure(picture_rgb: Rgb, truth_rgb: Rgb, *regions: Mask) -> list[Quality | None]:
    """Compare two pictures where each region is true.

    Args:
        picture_rgb: uint8 ``[H, W, 3]``.
        truth_rgb: the same.
        regions: bool ``[H, W]`` each, at least one.

    Returns:
        For each region; `None` where it is empty.

    Raises:
        ValueError: sizes that differ.
    """
    _check(picture_rgb, truth_rgb, *regions)
    sums = np.zeros((len(regions), 3))  # pixels, squared error, SSIM
    for core, seen in windows(np.logical_or.reduce(regions), TILE_PX, REACH_PX):
        apart = ((picture_rgb[core].astype(np.float64) - truth_rgb[core]) ** 2).mean(2)
        alike = _cut(ssim_map(picture_rgb[seen], truth_rgb[seen]), core, seen)
        for region, total in zip(regions, sums, strict=True):
            inside = region[core]
            total += np.count_nonzero(inside), apart[inside].sum(), alike[inside].sum()
    return [Quality(int(n), float(error), float(ssim / n)) if n else None for n, error, ssim in sums]


def ssim_map(picture_rgb: Rgb, truth_rgb: Rgb) -> NDArray[np.float64]:
    """SSIM of every pixel, mean of the channels, float64 ``[H, W]``, -1..1.

    The same as ``skimage.metrics.structural_similarity`` with ``gaussian_weights=True, sigma=1.5`` and
    ``use_sample_covariance=False``, in a third of the time.
    """
    x, y = picture_rgb.astype(np.float64), truth_rgb.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    mean: NDArray[np.float64] = (above / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean(2)
    return mean


def _blurred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    side = 2 * REACH_PX + 1
    return np.asarray(cv2.GaussianBlur(values, (side, side), 1.5, borderType=cv2.BORDER_REFLECT), np.float64)


def windows(region: Mask, side_px: int, margin_px: int) -> Iterator[tuple[Window, Window]]:
    """Windows side by side that cover `region`: each, and the same with a margin where there is room."""
    height, width = region.shape
    for top in range(0, height, side_px):
        for left in range(0, width, side_px):
            core = slice(top, min(top + side_px, height)), slice(left, min(left + side_px, width))
            if region[core].any():
                yield core, (_wider(core[0], margin_px, height), _wider(core[1], margin_px, width))


def _wider(part: slice, margin: int, limit: int) -> slice:
    return slice(max(0, part.start - margin), min(limit, part.stop + margin))


def _cut(full: NDArray[np.float64], core: Window, seen: Window) -> NDArray[np.float64]:
    top, left = core[0].start - seen[0].start, core[1].start - seen[1].start
    return full[top : top + core[0].stop - core[0].start, left : left + core[1].stop - core[1].start]


def near(mask: Mask, reach_px: float) -> Mask:
    """What lies within `reach_px` of a true pixel, centre to centre, the pixel itself included; bool ``[H, W]``."""
    if not mask.any():
        return np.zeros_like(mask)
    away = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away <= reach_px)


def overall(qualities: Sequence[Quality]) -> dict[str, float | None]:
    """Figures over photos: ``psnr_db`` and ``ssim``, mean of photos, and both ``_pooled`` over all pixels.

    `None` where there is no photo.
    """
    keys = ("psnr_db", "psnr_db_pooled", "ssim", "ssim_pooled")
    if not qualities:
        return dict.fromkeys(keys)
    pixels = np.array([one.pixels for one in qualities])
    values = (
        np.mean([one.psnr_db for one in qualities]),
        psnr_db(sum(one.squared_error for one in qualities) / pixels.sum()),
        np.mean([one.ssim for one in qualities]),
        np.average([one.ssim for one in qualities], weights=pixels),
    )
    return {key: round(float(value), 6) for key, value in zip(keys, values, strict=True)}


def _check(picture_rgb: Rgb, truth_rgb: Rgb, *regions: Mask) -> None:
    if not regions or {picture_rgb.shape, *((*region.shape, 3) for region in regions)} != {truth_rgb.shape}:
        raise ValueError(
            f"picture {list(picture_rgb.shape)}, truth {list(truth_rgb.shape)}, regions "
            f"{[list(region.shape) for region in regions]}: expected [H, W, 3] twice and [H, W], at least one"
        )
