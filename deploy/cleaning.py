"""The grid removed from a photograph: asking the function that does it, and how near the truth it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_engineering.function_url import AnswerError
from deploy import asking
from quadrat import images
from quadrat.shapes import Keypoints


@dataclass(frozen=True, slots=True, eq=False)
class Cleaned:
    """A photo without its grid, or why there is none.

    Attributes:
        words: the share that was painted, or the reason.
        facts: JSON-able: model, seconds, and share and warnings, or the reason.
        file: the photo's file as the function answered it, with EXIF and colour profile; empty without one.
        image_rgb: its pixels; `None` without one.
        mask: bool ``[H, W]``, what was painted.
        note: what must be known of the weights; empty if nothing.
    """

    words: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    file: bytes = b""
    image_rgb: images.Rgb | None = None
    mask: NDArray[np.bool_] | None = None
    note: str = ""


def ask(url: str, photo: bytes, grid: Keypoints | None) -> Cleaned:
    """Have the grid removed. A refusal costs the clean photo alone, and is said in its place.

    Args:
        url: of the function.
        photo: its file.
        grid: its points, if there are any.

    Raises:
        FunctionError: the function cannot be used.
    """
    if grid is None:
        return Cleaned(asking.NO_GRID)
    try:
        clean = asking.cleaned(url, photo, grid, with_mask=True)
        image_rgb = images.decode(clean.file, max_bytes=max(len(clean.file), images.MAX_BYTES))
        mask = images.decode_mask(clean.mask, (image_rgb.shape[1], image_rgb.shape[0]))
    except (AnswerError, images.ImageError) as error:
        return Cleaned(f"clean: refused, {error}", {"error": str(error)})
    words = "; ".join([f"clean: {clean.painted_fraction:.1%} painted", *clean.warnings[:1]])
    return Cleaned(words, clean.facts, clean.file, image_rgb, mask, clean.note)


@dataclass(frozen=True, slots=True)
class Nearness:
    """Mean squared differences from the true photo inside what was painted, 0..255 squared.

    Attributes:
        before: of the photo with its grid.
        after: of the photo without it.
    """

    before: float
    after: float


def nearness(cleaned: Cleaned, photo_rgb: images.Rgb, true_rgb: images.Rgb) -> Nearness | None:
    """How near a photo came to the one that was rendered without strings; `None` where nothing was painted."""
    if cleaned.image_rgb is None or cleaned.mask is None or not cleaned.mask.any():
        return None
    true = true_rgb[cleaned.mask].astype(np.float64)
    before, after = (float(np.square(rgb[cleaned.mask] - true).mean()) for rgb in (photo_rgb, cleaned.image_rgb))
    return Nearness(before, after)


def psnr_db(squared: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared difference of 8-bit values; 99 where there is none."""
    return 99.0 if squared <= 0 else float(10 * np.log10(255**2 / squared))
