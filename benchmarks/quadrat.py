"""Cases of `quadrat`: decoding photos."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from benchmarks.cases import CheckError, Sides, case
from benchmarks.photos import noise_jpeg
from quadrat import images


def _decoding(peer: str, width: int, height: int) -> Sides:
    data = noise_jpeg(width, height)
    packed = np.frombuffer(data, np.uint8)
    theirs = {
        "pillow": lambda: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
        "opencv": lambda: cv2.cvtColor(cv2.imdecode(packed, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB),
    }[peer]

    def check() -> dict[str, object]:
        apart = np.abs(images.decode(data).astype(int) - theirs())
        if apart.mean() > 1:
            raise CheckError(f"the decoded photos differ by {apart.mean():.2f} of 255 on average: expected at most 1")
        return {"mean difference of 255": float(apart.mean()), "mebibytes": len(data) / 2**20}

    return Sides(lambda: images.decode(data), theirs, check)


_PHOTO = {"photo": "12 MP (4000 x 3000) of noise", "objects": "none", "encoding": "JPEG 4:2:0, quality 92"}


@case(
    "quadrat",
    "jpeg-pillow",
    measures="`quadrat.images.decode`: header checked, size bounded, EXIF turned, RGB",
    peer="Pillow",
    precision="uint8",
    target=1,
    **_PHOTO,
)
def against_pillow() -> Sides:
    """A 12 MP JPEG, ours against Pillow's."""
    return _decoding("pillow", 4000, 3000)


@case(
    "quadrat",
    "jpeg-opencv",
    measures="`quadrat.images.decode`: header checked, size bounded, EXIF turned, RGB",
    peer="OpenCV",
    precision="uint8",
    target=1,
    **_PHOTO,
)
def against_opencv() -> Sides:
    """A 12 MP JPEG, ours against OpenCV's."""
    return _decoding("opencv", 4000, 3000)
