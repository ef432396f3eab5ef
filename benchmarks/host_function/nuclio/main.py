"""Nuclio function for benchmarks/host_stress.py: finds the red rectangle of a photo, after a nap if asked to."""

import os
import time
from pathlib import Path

from deploy import serving
from quadrat import masks
from quadrat.predictor import Card


class RedPredictor:
    """Finds what is red; sleeps ``HOST_STRESS_NAP_S`` seconds first, as a model on a device of its own would."""

    card = Card("red", "instances", ("red",), note="For the stress test of the host only.")

    def __init__(self, settings):
        """Read how long to sleep."""
        self._nap_s = float(os.environ.get("HOST_STRESS_NAP_S", "0"))

    def predict(self, image_rgb, *, threshold=None):
        """One instance where there is red, else none."""
        time.sleep(self._nap_s)
        found = masks.instance_from_mask("red", image_rgb[..., 0] > 200, score=0.9)
        return [found] if found is not None else []


def init_context(context):
    """Load the predictor."""
    serving.setup(context, RedPredictor, Path(__file__).parent)


def handler(context, event):
    """Answer one photograph."""
    return serving.handle(context, event)
