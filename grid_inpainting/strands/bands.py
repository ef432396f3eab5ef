"""Bands along strings, and the mask they make."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from grid_inpainting.strands.strips import Floats, Mask, moved

_ROUND_PX = 0.35
"""`cv2.fillPoly` fills the pixels that an outline touches too: about so much is taken off either side."""


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """What N strings cover, in C pieces each.

    Attributes:
        xy_px: float64 ``[N, C, 2]``, lines near the strings.
        left_px: float64 ``[N, C]``, from the line to the band's one border, negative to the left.
        right_px: float64 ``[N, C]``, likewise to the other border.
        seen: bool ``[N, C]``, false where there is no band.
    """

    xy_px: Floats
    left_px: Floats
    right_px: Floats
    seen: Mask

    def of_width(self, width_px: float) -> Bands:
        """Bands of one width about the same lines."""
        half = np.full(self.seen.shape, width_px / 2)
        return Bands(self.xy_px, -half, half, self.seen)

    def draw(self, mask: NDArray[np.uint8], scale: float) -> None:
        """Set the bands' pixels in a mask ``[H, W]`` of a photo that is `scale` times as large, to 1."""
        shrink = _ROUND_PX / scale
        outlines = []
        for off in (np.minimum(self.left_px + shrink, -0.1), np.maximum(self.right_px - shrink, 0.1)):
            outlines.append(np.round((scale * moved(self.xy_px, off) - 0.5) * 16).astype(np.int32))
        for n, seen in enumerate(self.seen):
            for start, end in _runs(seen):
                outline = np.concatenate([outlines[0][n, start:end], outlines[1][n, start:end][::-1]])
                cv2.fillPoly(mask, [outline], 1, cv2.LINE_8, 4)


def _runs(seen: Mask) -> list[tuple[int, int]]:
    """Starts and ends (exclusive) of the stretches that are true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
