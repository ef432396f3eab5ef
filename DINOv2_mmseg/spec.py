"""What must be known of weights to use them. Apart from `network`, so that who runs an export needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spec:
    """What must be known of weights to use them.

    Attributes:
        model: mmsegmentation's model as a nested dict of JSON values.
        labels: class names in the order of the network's outputs.
        background: those that are no colonies.
        work_px: long side that a photo is brought to; 0 takes photos as they are.
        window_px: side of the windows that the network sees, in px of its input.
        patch_px: windows begin at multiples of it.
    """

    model: Mapping[str, Any]
    labels: tuple[str, ...]
    background: tuple[str, ...]
    work_px: int
    window_px: int
    patch_px: int

    @property
    def mean_std(self) -> tuple[list[float], list[float]]:
        """Of the colours red, green, blue, 0..255, by which an input is normalised."""
        given = self.model["data_preprocessor"]
        return given["mean"], given["std"]

    @classmethod
    def of_json(cls, raw: Mapping[str, Any]) -> Spec:
        """A spec out of what JSON made of it."""
        return cls(**{**raw, "labels": tuple(raw["labels"]), "background": tuple(raw["background"])})
