"""The score of an instance for every class, carried as text in its attributes.

So it comes through whatever joins instances (windows, views) and knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quadrat.shapes import Instance

ATTRIBUTE = "scores"


def to_text(scores: NDArray[np.floating]) -> str:
    """One number a class, in the order of the card's labels."""
    return " ".join(f"{score:.4f}" for score in scores.tolist())


def of(instances: Sequence[Instance], classes: int) -> NDArray[np.float64]:
    """Scores ``[N, classes]`` of instances that carry them."""
    rows = [np.array(instance.attributes[ATTRIBUTE].split(), np.float64) for instance in instances]
    return np.array(rows).reshape(-1, classes)


def dropped(instance: Instance) -> Instance:
    """The instance without them."""
    rest = {key: value for key, value in instance.attributes.items() if key != ATTRIBUTE}
    return replace(instance, attributes=rest)
