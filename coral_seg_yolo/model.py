"""`load`: YOLO weights of any kind the project writes -> `Predictor` of coral colonies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coral_seg_yolo import assemble, augment, class_scores
from coral_seg_yolo import exclusive as apart
from quadrat import masks, tiling
from quadrat.predictor import Card, read_card
from quadrat.shapes import Instance
from yolo import letterbox, networks, suppress
from yolo import weights as shipped

MODULE = "coral_seg_yolo"
MAX_COLONIES = 500
TILE_OVERLAP = 0.25  # of a tile's side


def load(
    path: str | Path | None = None,
    device: str = "cpu",
    confidence: float = 0.25,
    iou: float = 0.5,
    tile_px: int = 0,
    precision: str = "f32",
    augmented: bool = False,
    exclusive: bool = False,
) -> YoloPredictor:
    """Load weights and warm them up.

    Args:
        path: a ``.pt``, ``.onnx`` or ``.torchscript`` file, an OpenVINO folder, a run folder, or a run's name; `None`
            takes the weights that ship.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; for OpenVINO also its own names.
        confidence: 0..1, the lowest score that is returned by default.
        iou: 0..1, boxes that overlap more are one colony (whatever their class: a colony has one).
        tile_px: side of the windows that a larger photo is cut into; 0 takes the photo as a whole.
        precision: of OpenVINO: ``f32``, or ``bf16`` where the processor has it.
        augmented: predict four mirrored views and merge them (`coral_seg_yolo.augment`): four times as slow.
        exclusive: give a pixel that several colonies have to the one with the best score (`coral_seg_yolo.exclusive`).

    Raises:
        FileNotFoundError: there is nothing under `path`.
        ValueError: the file is of another kind, its card does not fit it, or a threshold is out of range.
    """
    for name, value in (("confidence", confidence), ("iou", iou)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}: expected 0..1")
    if tile_px and tile_px < 64:
        raise ValueError(f"tile_px is {tile_px}: expected 0 (the photo as a whole) or at least 64")
    weights = find_weights(path)
    network = networks.load(weights, device, precision, tasks=("segment",))
    card = read_card(weights) or Card(weights.stem, "instances", network.facts.labels)
    if len(card.labels) != len(network.facts.labels):
        raise ValueError(f"{weights} has {len(network.facts.labels)} classes, its card names {len(card.labels)}")
    predictor = YoloPredictor(network, card, confidence, iou, tile_px, augmented, exclusive)
    predictor.warm_up()
    return predictor


def find_weights(path: str | Path | None) -> Path:
    """The weights file or OpenVINO folder that `path` means, see `load`.

    Raises:
        FileNotFoundError: there is none.
    """
    return shipped.find(MODULE, path)


class Raw(NamedTuple):
    """What a network gives for one image, see `networks.Network`, and the size of its input."""

    predictions: NDArray[np.float32]
    prototypes: NDArray[np.float32]
    input_wh: tuple[int, int]


class YoloPredictor:
    """A `quadrat.predictor.Predictor` of colonies. Thread-unsafe: one a worker."""

    def __init__(
        self,
        network: networks.Network,
        card: Card,
        confidence: float,
        iou: float,
        tile_px: int = 0,
        augmented: bool = False,
        exclusive: bool = False,
    ):
        self.network, self.confidence, self.iou = network, confidence, iou
        self.tile_px, self.augmented, self.exclusive = tile_px, augmented, exclusive
        self._card = card

    @property
    def card(self) -> Card:
        """What a reader must know of the weights."""
        return self._card

    def warm_up(self) -> None:
        """Run once, so that the first photo does not wait for what is set up late."""
        side = self.network.facts.size_px
        self._predict_view(np.zeros((side, side, 3), np.uint8), self.confidence)

    def predict(
        self, image_rgb: NDArray[np.uint8], *, threshold: float | None = None, every_score: bool = False
    ) -> Sequence[Instance]:
        """Find colonies.

        Args:
            image_rgb: uint8 ``[H, W, 3]``.
            threshold: 0..1, the lowest score to return; `None` means the predictor's own.
            every_score: give each instance its score for every class (`coral_seg_yolo.class_scores`).

        Returns:
            Instances in px of `image_rgb`, best score first, trimmed, inside the photo.

        Raises:
            ValueError: `image_rgb` or `threshold` is not as above.
        """
        image_rgb = np.asarray(image_rgb)
        if image_rgb.dtype != np.uint8 or image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or not image_rgb.size:
            raise ValueError(f"image_rgb is {image_rgb.dtype}{list(image_rgb.shape)}: expected uint8[H, W, 3]")
        lowest = self.confidence if threshold is None else float(threshold)
        if not 0 <= lowest <= 1:
            raise ValueError(f"threshold is {threshold}: expected 0..1")

        def of_window(window_rgb: NDArray[np.uint8]) -> list[Instance]:
            if self.augmented:
                return augment.predict_augmented(self._predict_view, window_rgb, lowest, self._card.labels)
            return self._predict_view(window_rgb, lowest, every_score)

        if 0 < self.tile_px < max(image_rgb.shape[:2]):
            found = tiling.predict_tiled(of_window, image_rgb, self.tile_px, int(self.tile_px * TILE_OVERLAP))
        else:
            found = of_window(image_rgb)
        if self.augmented and not every_score:
            found = [class_scores.dropped(instance) for instance in found]
        found = sorted(found, key=lambda instance: -instance.score)
        return apart.exclusive(found) if self.exclusive else found

    def _predict_view(self, image_rgb: NDArray[np.uint8], threshold: float, every_score: bool = True) -> list[Instance]:
        return self._draw(self._run(image_rgb), image_rgb, threshold, every_score)

    def _draw(
        self, raw: Raw, image_rgb: NDArray[np.uint8], threshold: float, every_score: bool = False
    ) -> list[Instance]:
        detections, scores, _ = self._suppress(raw, image_rgb, threshold)
        height, width = image_rgb.shape[:2]
        placing = letterbox.place((width, height), raw.input_wh)
        drawn = assemble.box_masks(raw.prototypes, detections[:, 6:], detections[:, :4], placing, raw.input_wh)
        instances = [
            masks.instance_from_mask(
                self._card.labels[int(kind)],
                mask,
                origin_xy,
                min(float(score), 1.0),
                {class_scores.ATTRIBUTE: class_scores.to_text(each)} if every_score else None,
            )
            for (mask, origin_xy), (score, kind), each in zip(drawn, detections[:, 4:6], scores, strict=True)
        ]
        return [instance for instance in instances if instance is not None]

    def detect(
        self, image_rgb: NDArray[np.uint8], threshold: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[int, int]]:
        """Run the network and suppress doubles, as ultralytics does.

        Returns:
            Detections float32 ``[N, 6 + M]``: box x0 y0 x1 y1 in photo px, score, class index, M coefficients;
            prototypes float32 ``[M, mh, mw]``; width and height of the network's input in px.
        """
        raw = self._run(image_rgb)
        return self._suppress(raw, image_rgb, threshold)[0], raw.prototypes, raw.input_wh

    def _run(self, image_rgb: NDArray[np.uint8]) -> Raw:
        batch = self._letterbox(image_rgb)
        return Raw(*self.network(batch), (batch.shape[3], batch.shape[2]))

    def _suppress(
        self, raw: Raw, image_rgb: NDArray[np.uint8], threshold: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Detections as `detect` gives them, their scores for every class ``[N, classes]``, their places in `raw`."""
        classes, photo_wh = len(self._card.labels), (image_rgb.shape[1], image_rgb.shape[0])
        predictions = raw.predictions[0]
        if self.network.facts.end2end:  # such a network gives one class and its score
            places = suppress.above(predictions, threshold, MAX_COLONIES)
            detections = predictions[places]
            scores = np.eye(classes, dtype=np.float32)[detections[:, 5].astype(int)] * detections[:, 4:5]
        else:
            places = suppress.suppress(predictions, classes, threshold, self.iou, MAX_COLONIES)
            detections = suppress.rows(predictions, places, classes)
            scores = predictions[4 : 4 + classes, places].T
        detections[:, :4] = letterbox.to_photo(detections[:, :4], photo_wh, raw.input_wh)
        return detections, scores, places

    def _letterbox(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's input: float32 ``[1, 3, h, w]`` of 0..1, the photo brought to size and padded with gray."""
        facts = self.network.facts
        fitted = letterbox.letterbox(image_rgb, facts.size_px, facts.stride, facts.rect)
        return np.ascontiguousarray(fitted.transpose(2, 0, 1)[None]).astype(np.float32) / 255
