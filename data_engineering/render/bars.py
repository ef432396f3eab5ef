"""How the bars of a frame are made, whatever their kind: boxes whose inner wall is seen, ends at the corners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_engineering.render.settings import Settings

_STREAM = 12
"""First number of the seed, apart from those of the photo (its version), of backgrounds and of covers."""


@dataclass(frozen=True, slots=True)
class Build:
    """How bars are made, beside their kind.

    Attributes:
        wall: share of a bar's width that its inner wall takes up, 0 none.
        tone: brightness of that wall, as a share of the bar's.
        stub_free: bars end at the corners instead of running past them.
    """

    wall: float = 0.0
    tone: float = 1.0
    stub_free: bool = False


def build(seed: int, settings: Settings) -> Build:
    """Choose how a photo's bars are made, from numbers of their own: no other choice changes."""
    rng = np.random.default_rng([_STREAM, seed])
    walls, stub_free = rng.random(2) < (settings.bar_walls_probability, settings.stub_free_probability)
    tone = rng.uniform(0.4, 0.75) if rng.random() < 0.65 else rng.uniform(1.25, 1.7)
    return Build(rng.uniform(0.22, 0.36) * walls, tone, bool(stub_free))
