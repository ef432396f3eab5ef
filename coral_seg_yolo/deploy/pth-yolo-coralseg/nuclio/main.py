"""Nuclio function: a photograph in, coral colonies out."""

from pathlib import Path

from coral_seg_yolo import model
from deploy import serving


def load(settings: serving.Settings):
    """Load YOLO as the environment says."""
    return model.load(
        settings.model_path,
        device=settings.device,
        confidence=settings.confidence,
        iou=settings.iou,
        tile_px=settings.tile_px,
        exclusive=True,
        precision=settings.precision,
    )


def init_context(context):
    """Load and warm the model once a worker."""
    serving.setup(context, load, Path(__file__).parent)


def handler(context, event):
    """Answer one photograph."""
    return serving.handle(context, event)
