"""Photo -> candidates: the network's two formulations behind one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from grid_pose_detection import folder
from grid_pose_detection.candidates import ANY, CROSSING, END, Candidates
from quadrat.template import Template
from yolo import networks, suppress
from yolo.framework import interpolation_for

MARGIN = 0.04
"""Share of the input that stays gray on every side, so that the box of a point at the photo's border is whole."""

_GRAY = 114
_KIND = {folder.CORNER: ANY, folder.CROSSING: CROSSING, folder.END: END}
_MOST = 600
_IOU = 0.4  # two boxes that overlap more are one point: boxes of neighbours do not touch


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A photo at the size of the network.

    Attributes:
        image_rgb: uint8 ``[h, w, 3]``: the photo, shrunk or grown, on gray.
        scale: px of the view a px of the photo.
        origin_xy: where the photo's top left corner lies in the view, px.
        photo_wh: width and height of the photo in the view, px.
    """

    image_rgb: NDArray[np.uint8]
    scale: NDArray[np.float64]
    origin_xy: NDArray[np.float64]
    photo_wh: tuple[int, int]

    def to_photo(self, xy_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places in the view as places in the photo, px."""
        return (xy_px - self.origin_xy) / self.scale

    @property
    def photo_rgb(self) -> NDArray[np.uint8]:
        """The photo alone, without the gray."""
        (x, y), (width, height) = self.origin_xy.astype(int), self.photo_wh
        return self.image_rgb[y : y + height, x : x + width]


def fit(image_rgb: NDArray[np.uint8], facts: networks.Facts) -> View:
    """Bring a photo to the network's size.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        facts: of the network; its input is a rectangle where it can be, else a square.
    """
    height, width = image_rgb.shape[:2]
    margin = round(MARGIN * facts.size_px)
    factor = (facts.size_px - 2 * margin) / max(height, width)
    inner = np.array([max(1, round(width * factor)), max(1, round(height * factor))])
    size_wh = (int(inner[0]), int(inner[1]))
    small = _resized(image_rgb, size_wh)
    least = -(-(inner + 2 * margin) // facts.stride) * facts.stride
    outer = least if facts.rect else np.full(2, facts.size_px)
    x, y = (outer - inner) // 2
    canvas = np.full((outer[1], outer[0], 3), _GRAY, np.uint8)
    canvas[y : y + inner[1], x : x + inner[0]] = small
    return View(canvas, inner / (width, height), np.array([x, y], np.float64), size_wh)


def _resized(image: Any, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """By area where it shrinks: halves first, which OpenCV makes several times as fast as odd shares."""
    height, width = image.shape[:2]
    if width % 2 == height % 2 == 0 and width >= 4 * size_wh[0] and height >= 4 * size_wh[1]:
        return _resized(cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA), size_wh)
    return np.asarray(cv2.resize(image, size_wh, interpolation=interpolation_for(image.shape, size_wh)), np.uint8)


def to_batch(view: View) -> NDArray[np.float32]:
    """A view as the network's input: float32 ``[1, 3, h, w]`` of 0..1."""
    batch = np.ascontiguousarray(view.image_rgb.transpose(2, 0, 1)[None], np.float32)
    batch *= np.float32(1 / 255)
    return batch


class PointFinder:
    """A network that finds the points of quadrats. Thread-unsafe: one a worker.

    Args:
        network: of the task ``detect`` (formulation points) or ``pose``.
        layouts: it was trained for; of a ``pose`` network in the order of its classes.

    Raises:
        ValueError: the network's classes or number of keypoints are not those of the layouts.
    """

    def __init__(self, network: networks.Network, layouts: tuple[Template, ...]):
        self.network, self.layouts = network, layouts
        facts = network.facts
        self.ordered = facts.task == "pose"
        if self.ordered and facts.keypoints != len(layouts[0].names):
            raise ValueError(
                f"the network has {facts.keypoints} keypoints, layout {layouts[0].name!r} has {len(layouts[0].names)}"
            )
        if self.ordered and len(facts.labels) != len(layouts):
            raise ValueError(f"the network has {len(facts.labels)} classes, its card names {len(layouts)} layouts")
        if not self.ordered and not set(facts.labels) <= set(_KIND):
            raise ValueError(f"the network's classes are {list(facts.labels)}: expected some of {list(_KIND)}")

    def find(self, image_rgb: NDArray[np.uint8], confidence: float) -> tuple[Candidates, View]:
        """Candidates in px of the photo, and the view that the network saw.

        Args:
            image_rgb: uint8 ``[H, W, 3]``.
            confidence: 0..1, lowest score of a point; of a quadrat in the formulation pose.
        """
        view, predictions = self.run(image_rgb)
        rows = self.rows(predictions, self.kept(predictions, confidence))
        return self.candidates(rows, view), view

    def run(self, image_rgb: NDArray[np.uint8]) -> tuple[View, NDArray[np.float32]]:
        """The view that the network sees of a photo, and its predictions, see `networks.Network`."""
        view = fit(image_rgb, self.network.facts)
        return view, self.network(to_batch(view))[0]

    def kept(self, predictions: NDArray[np.float32], confidence: float) -> NDArray[np.int64]:
        """Which predictions are objects, doubles suppressed: int64 ``[N]``, best first."""
        facts = self.network.facts
        if facts.end2end:
            return suppress.above(predictions[0], confidence, _MOST)
        return suppress.suppress(predictions[0], len(facts.labels), confidence, _IOU, _MOST)

    def rows(self, predictions: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Predictions as rows ``[N, 6 + M]``: box x0 y0 x1 y1, score, class, keypoints."""
        if self.network.facts.end2end:
            return predictions[0, places]
        return suppress.rows(predictions[0], places, len(self.network.facts.labels))

    def candidates(self, rows: NDArray[np.float32], view: View) -> Candidates:
        """`rows` as candidates in px of the photo."""
        found = self._of_pose(rows) if self.ordered else self._of_points(rows)
        return Candidates(view.to_photo(found.xy_px), found.scores, found.kinds)

    def _of_points(self, rows: NDArray[np.float32]) -> Candidates:
        boxes = rows[:, :4].astype(np.float64)
        kinds = np.array([_KIND[name] for name in self.network.facts.labels])[rows[:, 5].astype(int)]
        return Candidates((boxes[:, :2] + boxes[:, 2:]) / 2, rows[:, 4].clip(0, 1), kinds)

    def _of_pose(self, rows: NDArray[np.float32]) -> Candidates:
        """The keypoints of the best quadrat, in the order of its layout."""
        if not len(rows):
            return Candidates(np.zeros((0, 2)), np.zeros(0))
        points = rows[0, 6:].reshape(-1, 3).astype(np.float64)
        kinds = np.array([_KIND[str(kind)] for kind in folder.kinds_of(self.layouts[int(rows[0, 5])])])
        return Candidates(points[:, :2], points[:, 2].clip(0, 1), kinds)
