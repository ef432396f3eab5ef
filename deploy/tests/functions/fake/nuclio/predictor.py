"""Finds what is red; misbehaves on photos of certain widths."""

import logging
import os
import time
import warnings

import numpy as np

from quadrat import masks
from quadrat.predictor import Card

FAULT_WIDTH, CRASH_WIDTH, HANG_WIDTH, EXIT_WIDTH, SLOW_WIDTH = 101, 102, 103, 104, 105
HUNGRY_WIDTH, LEAK_WIDTH, NOISY_WIDTH, NAP_WIDTH = 106, 107, 108, 109
PIECE_BYTES, MOST_PIECES = 32 * 2**20, 60

_leaked = []


class RedPredictor:
    card = Card("red", "instances", ("red", "blue"), note="For tests only.")

    def __init__(self, settings):
        if settings.model_path == "missing.pt":
            raise FileNotFoundError("MODEL_PATH is 'missing.pt': no such weights")
        self.settings = settings

    def predict(self, image_rgb, *, threshold=None):
        self._misbehave(image_rgb.shape[1])
        least = self.settings.confidence if threshold is None else threshold
        found = (("red", image_rgb[..., 0] > 200, 0.9), ("blue", image_rgb[..., 2] > 200, 0.4))
        shapes = [masks.instance_from_mask(name, mask, score=score) for name, mask, score in found if score >= least]
        return [shape for shape in shapes if shape is not None and np.any(shape.mask)]

    def _misbehave(self, width):
        if width == FAULT_WIDTH:
            raise RuntimeError("secret detail")
        if width == EXIT_WIDTH:
            raise SystemExit(3)
        if width == CRASH_WIDTH:
            os._exit(11)
        if width == HANG_WIDTH:
            time.sleep(600)
        if width == SLOW_WIDTH:
            time.sleep(0.6)
        if width == NAP_WIDTH:
            time.sleep(1.5)
        if width == HUNGRY_WIDTH:
            _eat(MOST_PIECES)
        if width == LEAK_WIDTH:
            _leaked.append(_eat(16))
        if width == NOISY_WIDTH:
            print("printed")
            warnings.warn("warned", stacklevel=1)
            logging.getLogger("library").error("logged by a library")


def _eat(pieces):
    eaten = []
    for _ in range(pieces):
        eaten.append(np.ones(PIECE_BYTES, np.uint8))
        time.sleep(0.01)
    return eaten
