"""LPIPS near the strings, where AlexNet's weights are there; nothing is ever downloaded.

Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018, by torchmetrics.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Measure = Callable[[Rgb, Rgb, Mask], "float | None"]

WEIGHTS = "alexnet-owt-7be5be79.pth"
TILE_PX = 256
LEAST_PX = 64
"""AlexNet sees nothing in less."""
_BATCH = 8


def load(device: str = "cpu") -> Measure | None:
    """What measures LPIPS of a picture and the truth near a region; `None`, and a line on stderr, without weights."""
    import torch

    weights = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    if not weights.is_file():
        print(
            f"LPIPS is left out: put torchvision's AlexNet weights {WEIGHTS} "
            f"(https://download.pytorch.org/models/{WEIGHTS}) at {weights}",
            file=sys.stderr,
        )
        return None
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    metric = LearnedPerceptualImagePatchSimilarity("alex", normalize=True, reduction="mean").to(device).eval()

    def distance(pictures: NDArray[np.float32], truths: NDArray[np.float32]) -> float:
        with torch.inference_mode():
            return float(metric(*(torch.from_numpy(each).to(device) for each in (pictures, truths))))

    return lambda picture_rgb, truth_rgb, region: measure(picture_rgb, truth_rgb, region, distance)


def measure(
    picture_rgb: Rgb,
    truth_rgb: Rgb,
    region: Mask,
    distance: Callable[[NDArray[np.float32], NDArray[np.float32]], float],
) -> float | None:
    """Mean distance of the tiles that a region touches.

    Args:
        picture_rgb: uint8 ``[H, W, 3]``.
        truth_rgb: the same.
        region: bool ``[H, W]``.
        distance: mean over float32 ``[N, 3, h, w]`` pictures and truths, 0..1.

    Returns:
        `None` where the region is empty, or the photo below `LEAST_PX`.
    """
    if min(region.shape) < LEAST_PX:
        return None
    tiles = [tile for tile in _tiles(*region.shape) if region[tile].any()]
    total = 0.0
    for first in range(0, len(tiles), _BATCH):
        batch = tiles[first : first + _BATCH]
        total += len(batch) * distance(_stacked(picture_rgb, batch), _stacked(truth_rgb, batch))
    return total / len(tiles) if tiles else None


def _tiles(height: int, width: int) -> list[tuple[slice, slice]]:
    """Windows of one size that cover a photo; the last ones begin earlier, so that they end with it."""
    tall, wide = min(TILE_PX, height), min(TILE_PX, width)
    tops, lefts = (
        sorted({min(at, limit - size) for at in range(0, limit, size)})
        for limit, size in ((height, tall), (width, wide))
    )
    return [(slice(top, top + tall), slice(left, left + wide)) for top in tops for left in lefts]


def _stacked(picture_rgb: Rgb, tiles: list[tuple[slice, slice]]) -> NDArray[np.float32]:
    return np.stack([picture_rgb[tile].transpose(2, 0, 1) for tile in tiles]).astype(np.float32) / 255
