"""What divers lay on and over a quadrat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_engineering.render.camera import View
from data_engineering.render.settings import Settings

Things = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]
"""Colours ``[h, w, 3]``, cover ``[h, w]`` (255: thing) and height in cm ``[h, w]`` on the canvas."""


def draw(rng: np.random.Generator, settings: Settings, view: View, kind: str) -> Things | None:
    """Draw what lies over frame, colonies and strings; `kind` is the frame's."""
    return None
