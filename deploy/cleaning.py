"""The grid removed from a photograph: asking the function that does it, and how near the truth it came."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadrat import images
from quadrat.shapes import HIDDEN, OCCLUDED, Keypoints

FUNCTION = "pth-lama"
NO_GRID = "no grid to remove"


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


def format_of(photo: Path) -> str:
    """What to ask for: a PNG where the photo is one, else a JPEG, which is a tenth of its size."""
    return "png" if photo.suffix.lower() == ".png" else "jpeg"


def ask(client: Any, url: str, encoded: str, grid: Keypoints | None, kind: str) -> Cleaned:
    """Have the grid removed. A refusal costs the clean photo alone, and is said in its place.

    Args:
        client: an `httpx.Client`.
        url: of the function.
        encoded: the photo's file in base64.
        grid: its points, if there are any.
        kind: ``png`` or ``jpeg``.
    """
    if grid is None:
        return Cleaned(NO_GRID)
    start = time.perf_counter()
    body = {"image": encoded, "skeleton": skeleton_of(grid), "format": kind, "return_mask": True}
    response = client.post(url, json=body)
    facts = {"model": response.headers.get("X-Quadrat-Model", ""), "seconds": round(time.perf_counter() - start, 3)}
    if response.status_code != 200:
        reason = error_message(response)
        return Cleaned(f"clean: refused, {reason}", {**facts, "error": reason})
    found = response.json()
    file, share = base64.b64decode(found["image"]), found["painted_fraction"]
    image_rgb = images.decode(file, max_bytes=len(file))
    mask = images.decode_mask(base64.b64decode(found["mask"]), (image_rgb.shape[1], image_rgb.shape[0]))
    facts |= {"painted_fraction": share, "warnings": found["warnings"]}
    words = "; ".join([f"clean: {share:.1%} painted", *found["warnings"][:1]])
    return Cleaned(words, facts, file, image_rgb, mask, response.headers.get("X-Quadrat-Note", ""))


def skeleton_of(points: Keypoints) -> dict[str, Any]:
    """Points as CVAT has them, with the name of their layout, where it is known."""
    elements = [
        {"label": name, "type": "points", "points": [float(x), float(y)], "outside": seen == HIDDEN}
        | ({"occluded": True} if seen == OCCLUDED else {})
        for name, (x, y), seen in zip(points.names, points.xy_px, np.asarray(points.visibility).tolist(), strict=True)
    ]
    layout = points.attributes.get("layout")
    attributes = [{"name": "layout", "value": layout}] if layout else []
    return {"label": points.label, "type": "skeleton", "elements": elements, "attributes": attributes}


def error_message(response: Any) -> str:
    """What a function says where it gives no answer."""
    try:
        return f"{response.status_code}: {response.json()['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code}: {response.text[:200]}"


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
