"""Cases of `coral_seg_yolo`: the whole function against its limit and against plain ultralytics; masks; tiles."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import measure, photos, yolo_setup
from benchmarks.cases import CheckError, Sides, case

OBJECTS = 50
SQUARE = "1920 x 1920 px, rendered reef"
JPEG = "JPEG 4:2:0, quality 92, in base64 in JSON; answer JSON"


# ------------------------------------------------------------------------------------------------ the limit


@case(
    "coral_seg_yolo",
    "handler-limit",
    measures="the whole handler: request body in, answer body out; ratio = time(limit) / time(handler)",
    peer="the limit: JPEG decoding and the bare forward pass of the same network",
    photo=SQUARE,
    objects=OBJECTS,
    encoding=f"{JPEG} of polygons",
    precision="torch float32 on both sides, as the function runs by default",
    target=0.95,
    repeat=15,
)
def handler_limit() -> Sides:
    """As shipped."""
    return _limit(yolo_setup.Function())


@case(
    "coral_seg_yolo",
    "handler-limit-openvino",
    measures="the same with the weights exported to OpenVINO",
    peer="the limit: JPEG decoding and the bare forward pass of the same network",
    photo=SQUARE,
    objects=OBJECTS,
    encoding=f"{JPEG} of polygons",
    precision="OpenVINO bf16 on both sides where the processor has it, else float32",
    target=0.95,
    repeat=15,
)
def handler_limit_openvino() -> Sides:
    """As fast as this processor runs it."""
    return _limit(_openvino_function())


def _openvino_function() -> yolo_setup.Function:
    precision = "bf16" if yolo_setup.processor_has_bfloat16() else "f32"
    return yolo_setup.Function(yolo_setup.openvino_folder(), precision)


def _limit(function: yolo_setup.Function) -> Sides:
    import simplejpeg

    jpeg = photos.reef_jpeg(1920, 1920)
    predictor = function.predictor
    body = yolo_setup.request(jpeg, predictor, OBJECTS)
    pixels = simplejpeg.decode_jpeg(jpeg, colorspace="RGB")
    batch = predictor._letterbox(pixels)

    def limit() -> None:
        simplejpeg.decode_jpeg(jpeg, colorspace="RGB")
        predictor.network(batch)

    def check() -> dict[str, object]:
        shapes = function.answer(body)
        objects = len(predictor.predict(pixels, threshold=json.loads(body)["threshold"]))
        if objects != OBJECTS:
            raise CheckError(f"{objects} objects are answered: expected {OBJECTS}")
        points = sum(len(shape["points"]) // 2 for shape in shapes)
        return {"objects": objects, "polygons": len(shapes), "points": points, "answer_bytes": len(function.call(body))}

    return Sides(lambda: function.call(body), limit, check, lambda: {"share of each stage": _stages(function, body)})


def _stages(function: yolo_setup.Function, body: bytes) -> dict[str, str]:
    """Median ms and share of each stage, each run alone on what the stage before gave."""
    from coral_seg_yolo import assemble
    from deploy.serving import encode, request
    from quadrat import images
    from yolo import letterbox

    predictor, offered = function.predictor, function.context.user_data.function.offered
    asked = request.parse(body)
    assert asked.threshold is not None
    threshold, jpeg = asked.threshold, base64.b64decode(asked.image)
    image = images.decode(jpeg)
    size_wh = image.shape[1], image.shape[0]
    batch = predictor._letterbox(image)
    raw = predictor._run(image)
    boxes, _, input_wh = predictor.detect(image, threshold)
    placing = letterbox.place(size_wh, input_wh)
    shapes = predictor.predict(image, threshold=threshold)
    answer = encode.encode(shapes, size_wh, offered, threshold=threshold)

    stages: dict[str, Callable[[], object]] = {
        "JSON and base64": lambda: base64.b64decode(request.parse(body).image),
        "JPEG decoding": lambda: images.decode(jpeg),
        "resizing": lambda: predictor._letterbox(image),
        "forward pass": lambda: predictor.network(batch),
        "suppression of doubles": lambda: predictor._suppress(raw, image, threshold),
        "mask assembly": lambda: assemble.box_masks(raw.prototypes, boxes[:, 6:], boxes[:, :4], placing, input_wh),
        "polygons": lambda: encode.encode(shapes, size_wh, offered, threshold=threshold),
        "answer's JSON": answer.to_json,
    }
    return measure.stages(stages)


# ------------------------------------------------------------------------------------------------ plain ultralytics


class CvatStyle:
    """A detector as CVAT's own sample functions are written, around plain `ultralytics`.

    Pillow decodes, `predict` finds, a loop takes each object's full-frame mask, its contour, and the mask's box as a
    list of 0 and 1.
    """

    def __init__(self, weights: str, confidence: float, input_px: int):
        from ultralytics.models import YOLO

        self.model: Any = YOLO(weights)
        self.confidence, self.input_px = confidence, input_px

    def call(self, body: bytes) -> str:
        """Request body in, answer body out."""
        import cv2

        data = json.loads(body)
        image = Image.open(io.BytesIO(base64.b64decode(data["image"]))).convert("RGB")
        result: Any = self.model.predict(
            image,
            conf=self.confidence,
            iou=0.5,
            imgsz=self.input_px,
            max_det=500,
            agnostic_nms=True,
            retina_masks=True,
            verbose=False,
        )[0]
        answer = []
        for box, mask in zip(result.boxes, result.masks.data, strict=True):
            pixels = mask.cpu().numpy().astype(np.uint8)
            contours, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            contour = max(contours, key=cv2.contourArea, default=None)
            if contour is None or len(contour) < 3:
                continue
            answer.append(
                {
                    "confidence": str(float(box.conf)),
                    "label": result.names[int(box.cls)],
                    "points": contour[:, 0].ravel().tolist(),
                    "mask": _to_cvat_mask(box.xyxy[0].int().tolist(), pixels),
                    "type": "mask",
                }
            )
        return json.dumps(answer)


def _to_cvat_mask(box: list[int], mask: NDArray[np.uint8]) -> list[int]:
    """As in CVAT's samples, but that the box ends inside the photo."""
    xtl, ytl, xbr, ybr = box
    xbr, ybr = min(xbr, mask.shape[1] - 1), min(ybr, mask.shape[0] - 1)
    flattened: list[int] = mask[ytl : ybr + 1, xtl : xbr + 1].flat[:].tolist()
    flattened.extend([xtl, ytl, xbr, ybr])
    return flattened


def _against_ultralytics(function: yolo_setup.Function, polygons: bool = True) -> Sides:
    from coral_seg_yolo import model
    from quadrat import masks

    jpeg = photos.reef_jpeg(1920, 1920)
    body = yolo_setup.request(jpeg, function.predictor, OBJECTS)
    threshold = json.loads(body)["threshold"]
    theirs = CvatStyle(str(model.find_weights(None)), threshold, function.predictor.network.facts.size_px)

    def check() -> dict[str, object]:
        ours = [m for s in function.answer(body) if (m := _instance(s)) is not None]
        others = [masks.mask_from_cvat(s["mask"], s["label"]) for s in json.loads(theirs.call(body))]
        best = [max((masks.iou(a, b) for b in ours), default=0.0) for a in others if a is not None]
        if median(best) < 0.7:  # probably as they shrink the photo otherwise; scores lie near the threshold
            raise CheckError(f"their masks have a median IoU of {median(best):.3f} with ours: expected 0.7")
        sizes = {"ours_bytes": len(function.call(body)), "theirs_bytes": len(theirs.call(body))}
        return {"objects of theirs": len(others), "median IoU of theirs with ours": median(best), **sizes}

    return Sides(lambda: function.call(body), lambda: theirs.call(body), check)


def _instance(shape: dict[str, Any]) -> Any:
    from quadrat import masks

    if shape["type"] == "mask":
        return masks.mask_from_cvat(shape["mask"], shape["label"])
    return masks.instance_from_rings(shape["label"], [np.reshape(shape["points"], (-1, 2))])


_CVAT_STYLE = "a handler as CVAT's samples are, around plain ultralytics: Pillow, `predict`, full-frame masks to lists"


@case(
    "coral_seg_yolo",
    "handler-ultralytics",
    measures="the whole handler with OpenVINO, polygons",
    peer=_CVAT_STYLE,
    photo=SQUARE,
    objects=OBJECTS,
    encoding=JPEG,
    precision="ours OpenVINO bf16 where the processor has it, else float32; theirs torch float32",
    target=2,
)
def handler_ultralytics() -> Sides:
    """At its best."""
    return _against_ultralytics(_openvino_function())


@case(
    "coral_seg_yolo",
    "handler-ultralytics-equal",
    measures="the whole handler with torch, polygons",
    peer=_CVAT_STYLE,
    photo=SQUARE,
    objects=OBJECTS,
    encoding=JPEG,
    precision="torch float32 on both sides",
)
def handler_ultralytics_equal() -> Sides:
    """At equal precision."""
    return _against_ultralytics(yolo_setup.Function())


@case(
    "coral_seg_yolo",
    "handler-ultralytics-masks",
    measures="the whole handler with torch, masks and their polygons",
    peer=_CVAT_STYLE,
    photo=SQUARE,
    objects=OBJECTS,
    encoding=JPEG,
    precision="torch float32 on both sides",
)
def handler_ultralytics_masks() -> Sides:
    """At equal precision and with the same kind of answer."""
    return _against_ultralytics(yolo_setup.Function(polygons=False))
