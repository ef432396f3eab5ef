"""How long a px is on the ground: what is known of each photo, and what is said of all."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_engineering.surfaces import Surfaces
from quadrat.drawn import DrawnPhoto

MAPPING_SUFFIX = ".mapping.json"
"""What `grid_pose_detection.rectify` writes beside each quadrat that it cuts out; says its ``px_per_cm``."""


@dataclass(frozen=True)
class Scale:
    """How px become cm.

    A photo's own scale goes first: its fact ``px_per_cm``, then the mapping file beside a rectified quadrat, then the
    corners drawn on it together with `quadrat_cm`. What is said here for all photos comes last.

    Attributes:
        quadrat_cm: width and height of the quadrat.
        px_per_cm: of all photos.
        rectified: the photos show the quadrat from edge to edge.

    Raises:
        ValueError: a length that is none; `rectified` without `quadrat_cm`.
    """

    quadrat_cm: tuple[float, float] | None = None
    px_per_cm: float | None = None
    rectified: bool = False

    def __post_init__(self) -> None:
        lengths = {
            "quadrat_cm": self.quadrat_cm or (),
            "px_per_cm": () if self.px_per_cm is None else (self.px_per_cm,),
        }
        for name, values in lengths.items():
            if not all(0 < value < math.inf for value in values):
                raise ValueError(f"{name} is {values}: expected lengths above 0")
        if self.rectified and self.quadrat_cm is None:
            raise ValueError("rectified photos have a scale where the quadrat's size is known: give --quadrat-cm too")

    def cm2(self, photo: DrawnPhoto, ground: Surfaces, shares: NDArray[np.float64]) -> tuple[str, NDArray[np.float64]]:
        """How the scale of a photo is known (empty: it is not), and the area of each of its shapes in cm2, or NaN."""
        size = None if self.quadrat_cm is None else self.quadrat_cm[0] * self.quadrat_cm[1]
        if own := _own_scale(photo):
            return own[0], ground.areas_px / own[1] ** 2
        if ground.frame is not None and size is not None:
            return "corners on the photo", shares * size
        if self.px_per_cm is not None:
            return "said for all photos", ground.areas_px / self.px_per_cm**2
        if self.rectified and size is not None:
            return "rectified photos", ground.areas_px / (photo.size_wh[0] * photo.size_wh[1]) * size
        return "", np.full(len(ground), np.nan)


def _own_scale(photo: DrawnPhoto) -> tuple[str, float] | None:
    said = photo.facts.get("px_per_cm")
    if isinstance(said, (int, float)) and 0 < said < math.inf:
        return "sample field px_per_cm", float(said)
    beside = None if photo.path is None else photo.path.with_suffix(MAPPING_SUFFIX)
    if beside is None or not beside.is_file():
        return None
    try:
        return "mapping beside the photo", float(json.loads(beside.read_text("utf-8"))["px_per_cm"])
    except (ValueError, KeyError, TypeError):
        return None  # another program's file
