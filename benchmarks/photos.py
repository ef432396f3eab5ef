"""Photos that benchmarks run on: made here, the same on every machine."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quadrat import experiment, files, images
from quadrat.template import Template


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


def quadrat_jpeg(width: int, height: int) -> bytes:
    """A rendered quadrat with strings (grid11x11), seen nearly from above, as JPEG; kept as `reef_jpeg` keeps it."""
    from data_engineering.render.settings import VERSION

    path = experiment.runs_root() / "benchmarks" / f"quadrat-v{VERSION}-{width}x{height}.jpg"
    if not path.exists():
        only: dict[str, Any] = {"layouts": {"grid11x11": 1}, "frames": {"pvc": 1}, "colonies": (15, 15)}
        view: dict[str, Any] = {"tilt_deg": (4, 4), "crop_probability": 0, "fill": (0.85, 0.85)}
        files.write_bytes(path, images.encode_jpeg(_rendered(width, height, {**only, **view})))
    return path.read_bytes()


def lattice(layout: Template, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A layout in a photo of 1280 px: tilted up to 40 degrees, turned up to 15, 40 % missing, 20 % false, noise.

    Returns:
        Places of candidates in px, in any order, ``[N, 2]``; their scores; the true place of every point ``[K, 2]``.
    """
    rng = np.random.default_rng(seed)
    yaw, pitch, roll = np.radians(rng.uniform((-28, -28, -15), (28, 28, 15)))  # together at most 40 degrees off
    turned = _rotation(pitch, 0) @ _rotation(yaw, 1) @ _rotation(roll, 2)
    flat = np.column_stack([layout.uv - 0.5, np.zeros(len(layout.uv))]) @ turned.T + (0, 0, rng.uniform(1.3, 2))
    truth = 640 + 1100 * flat[:, :2] / flat[:, 2:]
    ways = np.linalg.norm(truth[:, None] - truth, axis=2) + np.diag(np.full(len(truth), np.inf))
    seen = rng.permutation(len(truth))[: round(0.6 * len(truth))]
    noisy = truth[seen] + rng.normal(0, 0.05, (len(seen), 2)) * ways.min(axis=1)[seen, None]
    false = rng.uniform(truth.min(0), truth.max(0), (round(0.25 * len(seen)), 2))  # 20 % of all candidates
    places = rng.permutation(np.concatenate([noisy, false]))
    return places, rng.uniform(0.3, 1, len(places)), truth


def _rotation(angle: float, axis: int) -> NDArray[np.float64]:
    return np.asarray(cv2.Rodrigues(np.eye(3)[axis] * angle)[0], np.float64)


def _reef(width: int, height: int) -> NDArray[np.uint8]:
    return _rendered(width, height, {"colonies": (90, 90), "layouts": {"none": 1}, "frames": {"none": 1}})


def _rendered(width: int, height: int, what: dict[str, Any]) -> NDArray[np.uint8]:
    """Rendered at no more than 1920 px a side: what is larger is enlarged, with fine noise as a camera's."""
    from data_engineering.render.scene import render
    from data_engineering.render.settings import Settings

    settings = Settings(size_px=min(max(width, height), 1920), aspects=(width / height,), **what)
    photo: NDArray[np.uint8] = render(7, settings).photo
    if photo.shape[:2] == (height, width):
        return photo
    large: Any = cv2.resize(photo, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).integers(-4, 5, (height, width, 1), np.int16)
    noisy: NDArray[np.uint8] = np.clip(large + noise, 0, 255).astype(np.uint8)
    return noisy
