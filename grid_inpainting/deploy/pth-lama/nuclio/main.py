"""Nuclio function: a photograph and its grid in, the photograph without the grid out."""

from deploy import serving
from grid_inpainting import model


def load(settings: serving.Settings):
    """Load LaMa as the environment says."""
    return model.load(
        settings.lama_model,
        settings.device,
        backend=settings.backend,
        line_width=settings.line_width,
        layout=settings.template,
        precision=settings.precision,
    )


def init_context(context):
    """Load and warm the model once a worker."""
    serving.setup_remover(context, load)


def handler(context, event):
    """Answer one photograph."""
    return serving.handle(context, event)
