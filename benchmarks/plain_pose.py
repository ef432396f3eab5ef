"""The peer of `grid_pose_detection`: plain ultralytics, OpenCV and scipy, as one would write it in an afternoon."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linear_sum_assignment

from quadrat.template import Template

ROUNDS = 3
NEAR = 0.35  # of the least way between two points of the layout


class Plain:
    """A detector as CVAT's own sample functions are written.

    Pillow decodes, `predict` finds. The layout is laid on the four corners of the points' hull by
    `getPerspectiveTransform`, then on the points themselves by `findHomography`; scipy gives each point its own.

    Args:
        weights: a checkpoint of the task ``detect`` or ``pose``.
        layout: of the quadrat, told beforehand.
        confidence: 0..1, lowest score.
        input_px: longer side of the network's input.
    """

    def __init__(self, weights: str, layout: Template, confidence: float, input_px: int):
        from ultralytics.models import YOLO

        self.model: Any = YOLO(weights)
        self.layout, self.confidence, self.input_px = layout, confidence, input_px

    def call(self, body: bytes) -> str:
        """Request body in, answer body out."""
        data = json.loads(body)
        image = Image.open(io.BytesIO(base64.b64decode(data["image"]))).convert("RGB")
        result: Any = self.model.predict(
            image, conf=self.confidence, iou=0.4, imgsz=self.input_px, max_det=600, agnostic_nms=True, verbose=False
        )[0]
        if result.keypoints is not None:
            places = result.keypoints.xy[0].cpu().numpy()
        else:
            places = result.boxes.xywh[:, :2].cpu().numpy()
        placed = self._place(places.astype(np.float32))
        elements = [
            {"label": name, "type": "points", "points": placed.get(k, [0.0, 0.0]), "outside": k not in placed}
            for k, name in enumerate(self.layout.names)
        ]
        return json.dumps([{"label": self.layout.label, "type": "skeleton", "elements": elements}])

    def answer(self, body: bytes) -> list[dict[str, Any]]:
        """Request body in, shapes out."""
        shapes: list[dict[str, Any]] = json.loads(self.call(body))
        return shapes

    def _place(self, xy: NDArray[np.float32]) -> dict[int, list[float]]:
        """Index of a point of the layout -> its place in px."""
        layout = self.layout.uv.astype(np.float32)
        if len(xy) < 4:
            return {}
        to_photo = cv2.getPerspectiveTransform(_around(layout), _corners(xy))
        for _ in range(ROUNDS):
            laid = cv2.perspectiveTransform(layout[None], to_photo)[0]
            cost = np.linalg.norm(laid[:, None] - xy[None], axis=2)
            points, chosen = linear_sum_assignment(cost)
            near = cost[points, chosen] < NEAR * _least_way(laid)
            points, chosen = points[near], chosen[near]
            if len(points) < 4:
                return {}
            to_photo, _ = cv2.findHomography(layout[points], xy[chosen], cv2.RANSAC, NEAR * _least_way(laid))
        return {int(k): xy[n].tolist() for k, n in zip(points, chosen, strict=True)}


def _around(layout: NDArray[np.float32]) -> NDArray[np.float32]:
    """Corners of the box round a layout: top left, top right, bottom right, bottom left."""
    (x0, y0), (x1, y1) = layout.min(0), layout.max(0)
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)


def _corners(xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """The quadrilateral round points, in the same order."""
    four = np.asarray(cv2.approxPolyN(cv2.convexHull(xy), 4), np.float32).reshape(4, 2)
    around = four[np.argsort(np.arctan2(*(four - four.mean(0)).T[::-1]))]
    return np.roll(around, -int(np.argmin(around.sum(1))), axis=0)


def _least_way(laid: NDArray[np.float32]) -> float:
    ways = np.linalg.norm(laid[:, None] - laid, axis=2) + np.diag(np.full(len(laid), np.inf))
    return float(np.median(ways.min(axis=1)))
