"""Nuclio function: a photograph in, coral colonies out, cut from a map that names every pixel."""

from pathlib import Path

from deploy import serving
from DINOv2_mmseg import model


def load(settings: serving.Settings):
    """Load DINOv2 with its head as the environment says; SAM outlines colonies where its weights are named."""
    return model.load(
        settings.segformer_weights,
        settings.device,
        config=settings.segformer_config,
        refiner="sam" if settings.sam_weights else "watershed",
        sam=settings.sam_weights,
        min_threshold=settings.min_threshold,
        unsure_threshold=settings.unsure_threshold,
        work_px=settings.work_px or None,
        precision=settings.precision,
    )


def init_context(context):
    """Load and warm the model once a worker."""
    serving.setup(context, load, Path(__file__).parent)


def handler(context, event):
    """Answer one photograph."""
    return serving.handle(context, event)
