"""The settings of one training: what a file in `configs/` and `key=value` on the command line may say."""

from __future__ import annotations

from dataclasses import dataclass

from yolo import settings as shared

OURS = ("level", *shared.OURS)
"""Settings that ultralytics does not know."""


@dataclass
class Settings(shared.Settings):
    """One training of an instance segmentation network; most of it is in `yolo.settings.Settings`."""

    model: str = "yolo11n-seg"  # yolo11 or yolo26, size n s m l x, "-seg"
    level: str = ""  # taxonomy level that the prepared folder must have; empty: any
    copy_paste: float = 0.0
    overlap_mask: bool = True  # one label map a photo for the masks, smaller colonies on top
    mask_ratio: int = 4  # the masks' resolution in training is imgsz / mask_ratio
