"""Cases of `coral_seg_yolo`: large photos in windows, against SAHI and supervision; peak memory of 45 MP."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import photos, served, yolo_setup
from benchmarks.cases import CheckError, Sides, case

TILE_PX, OVERLAP = 1024, 0.25
CONFIDENCE, IOU = 0.25, 0.5

_SAHI = "SAHI's `get_sliced_prediction` (its defaults) with its ultralytics model"
_EQUAL = "torch float32 on both sides, the same weights"
_BEST = "the same weights; ours OpenVINO bf16 where the processor has it, else float32; theirs torch float32"
_4K = {
    "measures": "a decoded photo in windows to instances with masks: `YoloPredictor.predict` with `tile_px`",
    "photo": "4K (3840 x 2160), rendered reef; windows of 1024 px, a quarter overlapping",
    "objects": "what the network finds at confidence 0.25",
    "encoding": "arrays in, arrays out",
    "target": 2,
    "repeat": 3,
}


@case(
    "coral_seg_yolo",
    "tiles-sahi",
    peer=_SAHI,
    precision=_EQUAL,
    needs={"sahi": "sahi"},
    **_4K,  # type: ignore[arg-type]
)
def tiles_sahi() -> Sides:
    """Against SAHI at equal precision."""
    return _against_sahi(None)


@case(
    "coral_seg_yolo",
    "tiles-sahi-openvino",
    peer=_SAHI,
    precision=_BEST,
    needs={"sahi": "sahi"},
    **_4K,  # type: ignore[arg-type]
)
def tiles_sahi_openvino() -> Sides:
    """Against SAHI, ours at its best."""
    return _against_sahi(yolo_setup.openvino_folder())


def _against_sahi(weights: str | None) -> Sides:
    from sahi import AutoDetectionModel
    from sahi.predict import get_sliced_prediction

    from coral_seg_yolo import model

    predictor, image = _ours(weights)
    theirs = AutoDetectionModel.from_pretrained(
        "ultralytics",
        model_path=str(model.find_weights(None)),
        confidence_threshold=CONFIDENCE,
        device="cpu",
        image_size=predictor.network.facts.size_px,
    )

    def sliced() -> Any:
        return get_sliced_prediction(
            image,
            theirs,
            slice_height=TILE_PX,
            slice_width=TILE_PX,
            overlap_height_ratio=OVERLAP,
            overlap_width_ratio=OVERLAP,
            perform_standard_pred=False,
            verbose=0,
        ).object_prediction_list

    return _sides(predictor, image, sliced)


@case(
    "coral_seg_yolo",
    "tiles-supervision",
    precision=_EQUAL,
    peer="supervision's `InferenceSlicer` (its defaults) around plain ultralytics",
    needs={"supervision": "supervision"},
    **_4K,  # type: ignore[arg-type]
)
def tiles_supervision() -> Sides:
    """Against supervision at equal precision."""
    import supervision
    from ultralytics.models import YOLO

    from coral_seg_yolo import model

    predictor, image = _ours(None)
    network = YOLO(str(model.find_weights(None)))
    side = predictor.network.facts.size_px

    def of_window(window: NDArray[np.uint8]) -> Any:
        (result,) = network.predict(
            window[..., ::-1], conf=CONFIDENCE, iou=IOU, imgsz=side, retina_masks=True, verbose=False
        )
        return supervision.Detections.from_ultralytics(result)

    overlap_px = int(TILE_PX * OVERLAP)
    slicer = supervision.InferenceSlicer(
        callback=of_window, slice_wh=(TILE_PX, TILE_PX), overlap_wh=(overlap_px, overlap_px), iou_threshold=IOU
    )
    return _sides(predictor, image, lambda: slicer(image))


@functools.cache
def _ours(weights: str | None) -> tuple[Any, NDArray[np.uint8]]:
    from coral_seg_yolo import model
    from quadrat import images

    precision = "bf16" if weights and yolo_setup.processor_has_bfloat16() else "f32"
    predictor = model.load(weights, confidence=CONFIDENCE, iou=IOU, tile_px=TILE_PX, precision=precision)
    return predictor, images.decode(photos.reef_jpeg(3840, 2160))


def _sides(predictor: Any, image: NDArray[np.uint8], theirs: Any) -> Sides:
    def check() -> dict[str, object]:
        ours, others = len(predictor.predict(image)), len(theirs())
        if not 0.4 <= others / max(ours, 1) <= 2.5:
            raise CheckError(f"ours finds {ours} objects, theirs {others}: expected about as many")
        return {"objects of ours": ours, "objects of theirs": others}

    return Sides(lambda: predictor.predict(image), theirs, check)


# ------------------------------------------------------------------------------------------------ 45 MP


@case(
    "coral_seg_yolo",
    "photo-45mp",
    measures="the whole function, in windows of 1024 px, in a process of its own (timed with its start)",
    photo="45 MP (8192 x 5464), rendered reef, enlarged",
    objects="what the network finds at confidence 0.25",
    encoding="JPEG 4:2:0, quality 92, in base64 in JSON; answer JSON of polygons",
    precision="torch float32",
    repeat=1,
)
def photo_45mp() -> Sides:
    """Time and peak memory."""
    photos.reef_jpeg(8192, 5464)
    found: dict[str, Any] = {}

    def ours() -> None:
        command = [sys.executable, "-m", "benchmarks.coral_seg_yolo_tiles"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the photo could not be answered: {done.stderr[-2000:]}")
        found.update(json.loads(done.stdout.splitlines()[-1]))

    return Sides(ours, facts=lambda: found)


def answer_45mp() -> dict[str, object]:
    """Answer the photo in this process.

    Returns:
        ``seconds`` of the handler alone, peak memory in MiB before and after it, polygons and cores.
    """
    jpeg = photos.reef_jpeg(8192, 5464)
    function = yolo_setup.Function(tile_px=TILE_PX)
    body, size = served.body_of(jpeg, CONFIDENCE), len(jpeg)
    del jpeg
    before = _peak_mib()
    start = time.perf_counter()
    answer = function.call(body)
    return {
        "seconds of the handler": round(time.perf_counter() - start, 1),
        "peak memory, MiB": _peak_mib(),
        "peak memory before the request, MiB": before,
        "photo, MiB": round(size / 2**20, 1),
        "polygons": len(json.loads(answer)),
        "cores": len(os.sched_getaffinity(0)),
    }


def _peak_mib() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    print(json.dumps(answer_45mp()))
