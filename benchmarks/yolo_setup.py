"""What the cases of coral_seg_yolo share: the shipped network, its real function, and a request with N objects."""

from __future__ import annotations

import base64
import contextlib
import functools
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from coral_seg_yolo import model
from quadrat import images
from yolo import framework

MAIN = Path(model.__file__).parent / "deploy" / "pth-yolo-coralseg" / "nuclio" / "main.py"


@functools.cache
def openvino_folder() -> str:
    """The shipped weights exported to OpenVINO with sides of any size; made once a process."""
    from coral_seg_yolo import export

    folder = Path(tempfile.mkdtemp(prefix="benchmarks-"))
    with contextlib.redirect_stdout(sys.stderr):  # the report alone goes to stdout
        export.main(None, out=folder, dynamic=True)
    return str(next(folder.glob("*_openvino_model")))


def processor_has_bfloat16() -> bool:
    """Whether OpenVINO's bf16 is computed as such here."""
    framework.quiet()
    from yolo.precision import has_bfloat16

    return has_bfloat16()


class Function:
    """The real function: `init_context` and `handler` of its main.py, under nuclio-sdk's Context and Event.

    Args:
        weights: as `model.load` takes them.
        precision: of OpenVINO.
        polygons: answer polygons, else masks with their polygons.
        tile_px: side of the windows of a larger photo; 0 for none.
    """

    def __init__(self, weights: str | None = None, precision: str = "f32", polygons: bool = True, tile_px: int = 0):
        import nuclio_sdk

        spec = importlib.util.spec_from_file_location("pth_yolo_coralseg_main", MAIN)
        assert spec is not None
        assert spec.loader is not None
        self.main: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.main)
        silent = SimpleNamespace(**dict.fromkeys(("info_with", "error_with", "warn_with"), lambda *a, **k: None))
        self.context = SimpleNamespace(user_data=SimpleNamespace(), logger=silent, Response=nuclio_sdk.Response)
        settings = {
            "MODEL_PATH": weights or "",
            "CONVERT_TO_POLYLINE": str(polygons).lower(),
            "TILE_SIZE": str(tile_px),
            "PRECISION": precision,
        }
        with mock.patch.dict("os.environ", settings):
            self.main.init_context(self.context)
        self.event = nuclio_sdk.Event

    @property
    def predictor(self) -> model.YoloPredictor:
        """What answers."""
        found: model.YoloPredictor = self.context.user_data.function.predictor
        return found

    def answer(self, body: bytes) -> list[dict[str, Any]]:
        """Request body in, shapes out; the JSON is decoded here."""
        shapes: list[dict[str, Any]] = json.loads(self.call(body))
        return shapes

    def call(self, body: bytes) -> str:
        """Request body in, answer body out: what is timed.

        Raises:
            RuntimeError: the answer is an error.
        """
        event = self.event(body=body, content_type="application/json", method="POST", path="/")
        response = self.main.handler(self.context, event)
        if response.status_code != 200:
            raise RuntimeError(f"the function answered {response.status_code}: {response.body}")
        return str(response.body)


def request(jpeg: bytes, predictor: model.YoloPredictor, objects: int) -> bytes:
    """A detector request as CVAT sends it, with a threshold that just `objects` objects reach.

    Raises:
        ValueError: the network finds fewer in this photo.
    """
    return body_of(jpeg, threshold_for(jpeg, predictor, objects))


def body_of(jpeg: bytes, threshold: float) -> bytes:
    """A detector request as CVAT sends it."""
    return json.dumps({"image": base64.b64encode(jpeg).decode(), "threshold": threshold}).encode()


def threshold_for(jpeg: bytes, predictor: model.YoloPredictor, objects: int) -> float:
    """A score that just `objects` objects of the photo reach, see `request`."""
    scores = sorted((found.score for found in predictor.predict(images.decode(jpeg), threshold=0.001)), reverse=True)
    if len(scores) <= objects:
        raise ValueError(f"the network finds {len(scores)} objects in the photo: expected more than {objects}")
    return float(np.mean(scores[objects - 1 : objects + 1]))
