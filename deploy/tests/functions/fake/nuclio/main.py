"""A function as small as can be, for tests: no framework."""

from pathlib import Path

from predictor import RedPredictor

from deploy import serving


def init_context(context):
    serving.setup(context, RedPredictor, Path(__file__).parent)


def handler(context, event):
    return serving.handle(context, event)
