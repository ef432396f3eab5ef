"""A function that paints, in this process, and requests to it."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
from pathlib import Path

import nuclio_sdk
import nuclio_sdk.logger
import numpy as np

from quadrat import images, template

from .conftest import b64, photo

PAINTER = Path(__file__).parent / "painters" / "fake" / "nuclio"
COLOUR, FAULT_WIDTH = (10, 20, 30), 101
GRID = template.load("grid11x11")
XY = (GRID.uv * (50, 40) + 4).round(2)


class Worker:
    """What Nuclio's wrapper does with a function, in this process."""

    def __init__(self):
        self.log = io.StringIO()
        logger = nuclio_sdk.Logger("DEBUG", f"test-{id(self)}")
        logger.set_handler("default", self.log, nuclio_sdk.logger.JSONFormatter())
        self.context = nuclio_sdk.Context(logger)
        spec = importlib.util.spec_from_file_location("fake_painter_main", PAINTER / "main.py")
        self.main = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.main)
        self.main.init_context(self.context)

    def ask(self, body, **event):
        return self.main.handler(self.context, nuclio_sdk.Event(body=body, method="POST", **event))

    @property
    def asked(self):
        """Points, mask and force of the last call of the remover."""
        return self.context.user_data.function.remover.asked[-1]

    @property
    def lines(self):
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


MASK = np.zeros((48, 64), np.bool_)
MASK[10:14, :] = True


def png(image):
    return b64(images.encode_png(image))


def mask_of(mask):
    return png(mask.astype(np.uint8) * 255)


def request(width=64, **more):
    grid = {} if {"keypoints", "skeleton"} & set(more) else {"mask": mask_of(MASK)}
    return {"image": png(photo(width)), **grid, **more}


def flat(visibility=2):
    return [float(v) for x, y in XY for v in (x, y, visibility)]


def skeleton(**changes):
    """As CVAT has it, in no order, with all that CVAT adds."""
    elements = [
        {"label": name, "type": "points", "points": [x, y], "outside": False, "attributes": [], "frame": 3}
        for name, (x, y) in zip(GRID.names, XY.tolist(), strict=True)
    ]
    return {"label": "grid", "type": "skeleton", "elements": elements[::-1], "attributes": [], **changes}


def answer(response, status=200):
    assert (response.status_code, response.content_type) == (status, "application/json")
    return json.loads(response.body)


def error_of(response, status=400):
    error = answer(response, status)["error"]
    assert set(error) == {"code", "message"}
    return error


def picture(text):
    return images.decode(base64.b64decode(text))
