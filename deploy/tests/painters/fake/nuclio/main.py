"""A function that paints, as small as can be, for tests: no framework."""

from remover import FlatRemover

from deploy import serving


def init_context(context):
    serving.setup_remover(context, FlatRemover)


def handler(context, event):
    return serving.handle(context, event)
