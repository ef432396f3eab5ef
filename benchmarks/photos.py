"""Photos that benchmarks run on: made here, the same on every machine."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quadrat import experiment, files, images


def noise_jpeg(width: int, height: int) -> bytes:
    """Coarse and fine noise as JPEG (4:2:0, quality 92): about as many bytes as a photo of a reef."""
    return images.encode_jpeg(_noise(width, height))


def _noise(width: int, height: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(0)
    layers = [random.normal(0, 40 / n, (height // 2**n, width // 2**n, 3)).astype(np.float32) for n in (1, 3, 5)]
    picture = sum(cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC) for layer in layers)
    return np.clip(picture + 128, 0, 255).astype(np.uint8)


def reef_jpeg(width: int, height: int) -> bytes:
    """A rendered reef with about 90 colonies as JPEG (4:2:0, quality 92), kept in runs/benchmarks/ once it is made."""
    from data_engineering.render.settings import VERSION

    path = experiment.runs_root() / "benchmarks" / f"reef-v{VERSION}-{width}x{height}.jpg"
    if not path.exists():
        files.write_bytes(path, images.encode_jpeg(_reef(width, height)))
    return path.read_bytes()


def _reef(width: int, height: int) -> NDArray[np.uint8]:
    """Rendered at no more than 1920 px a side: what is larger is enlarged, with fine noise as a camera's."""
    from data_engineering.render.scene import render
    from data_engineering.render.settings import Settings

    side = max(width, height)
    settings = Settings(
        size_px=min(side, 1920), aspects=(width / height,), colonies=(90, 90), layouts={"none": 1}, frames={"none": 1}
    )
    photo: NDArray[np.uint8] = render(7, settings).photo
    if photo.shape[:2] == (height, width):
        return photo
    large: Any = cv2.resize(photo, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).integers(-4, 5, (height, width, 1), np.int16)
    noisy: NDArray[np.uint8] = np.clip(large + noise, 0, 255).astype(np.uint8)
    return noisy
