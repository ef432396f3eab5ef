"""Nuclio function: a photograph in, the points of its grid in order out."""

from pathlib import Path

from deploy import serving
from grid_pose_detection import model


def load(settings: serving.Settings):
    """Load YOLO as the environment says."""
    return model.load(
        settings.model_path,
        settings.device,
        task="grid",
        confidence=settings.confidence,
        layout=settings.template,
        max_cost=settings.max_cost,
        match=settings.use_template_matching,
        precision=settings.precision,
    )


def init_context(context):
    """Load and warm the model once a worker."""
    serving.setup(context, load, Path(__file__).parent)


def handler(context, event):
    """Answer one photograph."""
    return serving.handle(context, event)
