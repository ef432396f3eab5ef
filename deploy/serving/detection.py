"""A function that finds shapes, as CVAT's detectors do: a photo in, a list of shapes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.serving import encode, facts, labels, life, request, verdicts
from deploy.serving.metrics import SHAPES, Metrics
from deploy.serving.settings import Settings
from quadrat.predictor import Card, ExplainingPredictor, JudgingPredictor, Predictor
from quadrat.shapes import Shape

Load = Callable[[Settings], Predictor]

_WARM_UP_PX = 640


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a predictor found in a photo, and what is told of it besides.

    Attributes:
        headers: of the answer.
        logged: what stands in the log, JSON-able.
    """

    shapes: Sequence[Shape]
    headers: Mapping[str, str] = field(default_factory=dict)
    logged: Mapping[str, str] = field(default_factory=dict)


def find(predictor: Predictor, image_rgb: NDArray[np.uint8], threshold: float | None = None) -> Found:
    """Ask a predictor in the way that tells most.

    Args:
        predictor: one that judges says its verdict, one that explains its facts.
        image_rgb: uint8 ``[H, W, 3]``.
        threshold: lowest score, 0..1.

    Raises:
        ValueError: a fact has a name that no header can have.
    """
    if isinstance(predictor, JudgingPredictor):
        judged = predictor.predict_judged(image_rgb, threshold=threshold)
        told = verdicts.headers(judged, threshold)
        return Found(judged.shapes, told, {"verdict": told[verdicts.VERDICT]})
    if isinstance(predictor, ExplainingPredictor):
        explained = predictor.predict_explained(image_rgb, threshold=threshold)
        return Found(explained.shapes, facts.headers(explained.facts), facts.logged(explained.facts))
    return Found(predictor.predict(image_rgb, threshold=threshold))


@dataclass(slots=True)
class Detector:
    """A predictor ready to answer; a `life.Function`.

    Attributes:
        predictor: the loaded model.
        offered: the labels of function.yaml by name.
    """

    predictor: Predictor
    settings: Settings
    offered: Mapping[str, labels.Label]
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def card(self) -> Card:
        """What the weights are."""
        return self.predictor.card

    def answer(self, body: object, reply: life.Reply) -> None:
        """Fill `reply` with the answer to a detector request.

        Raises:
            request.RequestError: the caller is to blame.
        """
        with reply.stage("decode"):
            asked = request.parse(body)
            image_rgb = request.decode_image(asked.image)
        with reply.stage("predict"):
            found = find(self.predictor, image_rgb, asked.threshold)
        with reply.stage("encode"):
            height, width = image_rgb.shape[:2]
            answer = encode.encode(
                found.shapes, (width, height), self.offered, polygons=self.settings.polygons, threshold=asked.threshold
            )
            reply.body, reply.refused = answer.to_json(), answer.refused
        reply.told = {SHAPES: str(len(answer.shapes)), **found.headers}
        reply.facts = {"shapes": len(answer.shapes), **found.logged}


def setup(context: Any, load: Load, folder: Path) -> None:
    """Load and warm the predictor, and keep it in the context; for `init_context`.

    Args:
        context: nuclio-sdk's Context.
        load: makes the predictor from the settings.
        folder: where main.py lies, with its function.yaml beside it.

    Raises:
        SettingsError: an environment variable holds what cannot be used.
        LabelsError: function.yaml does not offer the labels of the weights.
    """

    def make(settings: Settings) -> Detector:
        path = labels.find_function_yaml(folder)
        offered = labels.read_labels(path)
        predictor = load(settings)
        layouts = predictor.layouts if isinstance(predictor, JudgingPredictor) else ()
        labels.check_against_card(offered, predictor.card, path.name, layouts)
        find(predictor, np.zeros((_WARM_UP_PX, _WARM_UP_PX, 3), np.uint8))  # warm, and what it tells can be told
        return Detector(predictor, settings, offered)

    life.start(context, make)
