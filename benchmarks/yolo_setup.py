"""What the cases of coral_seg_yolo share: the shipped network, its real function, and a request with N objects."""

from __future__ import annotations

import contextlib
import functools
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import served
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


class Function(served.Function):
    """The real function of this module.

    Args:
        weights: as `model.load` takes them.
        precision: of OpenVINO.
        polygons: answer polygons, else masks with their polygons.
        tile_px: side of the windows of a larger photo; 0 for none.
    """

    def __init__(self, weights: str | None = None, precision: str = "f32", polygons: bool = True, tile_px: int = 0):
        settings = {
            "MODEL_PATH": weights or "",
            "CONVERT_TO_POLYLINE": str(polygons).lower(),
            "TILE_SIZE": str(tile_px),
            "PRECISION": precision,
        }
        super().__init__(MAIN, settings)

    @property
    def predictor(self) -> model.YoloPredictor:
        """What answers."""
        found: model.YoloPredictor = self.context.user_data.function.predictor
        return found


def request(jpeg: bytes, predictor: model.YoloPredictor, objects: int) -> bytes:
    """A detector request as CVAT sends it, with a threshold that just `objects` objects reach.

    Raises:
        ValueError: the network finds fewer in this photo.
    """
    return served.body_of(jpeg, threshold_for(jpeg, predictor, objects))


def threshold_for(jpeg: bytes, predictor: model.YoloPredictor, objects: int) -> float:
    """A score that just `objects` objects of the photo reach, see `request`."""
    scores = sorted((found.score for found in predictor.predict(images.decode(jpeg), threshold=0.001)), reverse=True)
    if len(scores) <= objects:
        raise ValueError(f"the network finds {len(scores)} objects in the photo: expected more than {objects}")
    return float(np.mean(scores[objects - 1 : objects + 1]))
