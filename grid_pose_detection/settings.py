"""The settings of one training: what a file in `configs/` and `key=value` on the command line may say."""

from __future__ import annotations

from dataclasses import dataclass

from yolo import settings as shared

OURS = ("formulation", "label", *shared.OURS)
"""Settings that ultralytics does not know."""


@dataclass
class Settings(shared.Settings):
    """One training of a network that finds points; most of it is in `yolo.settings.Settings`."""

    formulation: str = "points"  # points: each point an object; pose: each quadrat one, with keypoints
    label: str = ""  # quadrat_corner, grid, ... that the prepared folder must have; empty: any
    pose: float = 12.0  # weight of the keypoints' places in the loss (formulation pose)
    kobj: float = 1.0  # weight of the keypoints' visibility
