"""Photos that benchmarks run on: made here, the same on every machine."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from quadrat import images


def noise_jpeg(width: int, height: int) -> bytes:
    """Coarse and fine noise as JPEG (4:2:0, quality 92): about as many bytes as a photo of a reef."""
    return images.encode_jpeg(_noise(width, height))


def _noise(width: int, height: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(0)
    layers = [random.normal(0, 40 / n, (height // 2**n, width // 2**n, 3)).astype(np.float32) for n in (1, 3, 5)]
    picture = sum(cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC) for layer in layers)
    return np.clip(picture + 128, 0, 255).astype(np.uint8)
