"""JPEG to RGB: what `quadrat.images.decode` costs over the libraries it was chosen from.

All decode the same bytes, by turns: a photo-like 12 MP picture, 4:2:0, quality 92 (or a file of your own).

    python -m benchmarks.jpeg_decoding
    python -m benchmarks.jpeg_decoding --photo reef.jpg --json
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from quadrat import images


def main(photo: Path | None = None, rounds: int = 9) -> dict[str, float]:
    """Measure all.

    Args:
        photo: a JPEG; ``None`` makes one of 4000 x 3000 px.
        rounds: each is timed so many times, by turns.

    Returns:
        Median ms of each, ``megapixels``, and ``ratio``: Pillow's median over ours.
    """
    data = photo.read_bytes() if photo else images.encode_jpeg(_picture(3000, 4000))
    packed = np.frombuffer(data, np.uint8)
    decoders: dict[str, Callable[[], object]] = {
        "quadrat.images": lambda: images.decode(data),
        "simplejpeg": lambda: simplejpeg.decode_jpeg(data, "RGB"),
        "opencv": lambda: cv2.cvtColor(cv2.imdecode(packed, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB),
        "pillow": lambda: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
    }
    times: dict[str, list[float]] = {name: [] for name in decoders}
    for _ in range(rounds):
        for name, decode in decoders.items():
            start = time.perf_counter()
            decode()
            times[name].append(1000 * (time.perf_counter() - start))
    medians = {name: round(statistics.median(values), 1) for name, values in times.items()}
    height, width = images.decode(data).shape[:2]
    ratio = round(medians["pillow"] / medians["quadrat.images"], 2)
    return {**medians, "megapixels": round(height * width / 1e6, 1), "ratio": ratio}


def _picture(height: int, width: int) -> np.ndarray:
    """Coarse and fine noise: about as many bytes as a photo of a reef."""
    random = np.random.default_rng(0)
    layers = [random.normal(0, 40 / n, (height // 2**n, width // 2**n, 3)).astype(np.float32) for n in (1, 3, 5)]
    picture = sum(cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC) for layer in layers)
    return np.clip(picture + 128, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jpeg_decoding", description=__doc__.splitlines()[0])
    parser.add_argument("--photo", type=Path, help="a JPEG (default: one made up)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = vars(parser.parse_args())
    as_json = arguments.pop("json")
    result = main(**arguments)
    names = ", ".join(f"{name} {value} ms" for name, value in result.items() if name not in ("megapixels", "ratio"))
    print(f"{result['megapixels']} MP JPEG: {names}; Pillow / ours {result['ratio']}")
    if as_json:
        print(json.dumps(result))
