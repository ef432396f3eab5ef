"""Where the corners and the grid of a photo come from: a file, or a network on the fly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from quadrat import batch
from quadrat.formats import shapes_json
from quadrat.formats.annotated import Annotated
from quadrat.images import Rgb
from quadrat.predictor import JudgingPredictor
from quadrat.shapes import Annotations, Keypoints
from quadrat.verdict import FAILED, Verdict


@dataclass(frozen=True, slots=True)
class Found:
    """What a source knows of one photo.

    Attributes:
        keypoints: corners and grids; none if there are none.
        verdict: where there are none, why.
        size_cm: of the frame, if the source knows.
    """

    keypoints: tuple[Keypoints, ...]
    verdict: Verdict
    size_cm: tuple[float, float] | None = None


class Source(Protocol):
    """Where points come from."""

    def find(self, photo: str, image_rgb: Rgb) -> Found:
        """The points of a photo.

        Raises:
            ValueError: nothing can be said of this photo.
        """
        ...

    def fingerprint(self, photo: str) -> str:
        """What changes when the points of a photo do."""
        ...


@dataclass(frozen=True, slots=True)
class FromFile:
    """Points that somebody marked or something predicted before.

    Attributes:
        photos: see `annotated.read`.
        path: where they were read, for messages.
    """

    photos: Annotated
    path: Path

    def find(self, photo: str, image_rgb: Rgb) -> Found:
        """See `Source`; the photo must be of the size at which it was annotated."""
        known = self._of(photo)
        size_wh = image_rgb.shape[1], image_rgb.shape[0]
        if known.size_wh != size_wh:
            raise ValueError(f"it is of {size_wh} px, but was annotated at {known.size_wh} px: expected the same photo")
        return Found(known.keypoints, Verdict(FAILED, 0.0, _reasons(known)), _size_cm(known))

    def fingerprint(self, photo: str) -> str:
        """See `Source`."""
        known = self._of(photo)
        kept = shapes_json.to_dict(replace(known, shapes=known.keypoints, meta={"size_cm": _size_cm(known)}))
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]

    def _of(self, photo: str) -> Annotations:
        try:
            return self.photos[photo]
        except KeyError as error:
            raise ValueError(f"{error.args[0]} in {self.path}") from None


@dataclass(frozen=True, slots=True)
class FromNetworks:
    """Points predicted on the fly, the corners' network first."""

    predictors: Sequence[JudgingPredictor]
    weights: Sequence[str]

    def find(self, photo: str, image_rgb: Rgb) -> Found:
        """See `Source`."""
        judged = [predictor.predict_judged(image_rgb) for predictor in self.predictors]
        found = tuple(shape for result in judged for shape in result.shapes if isinstance(shape, Keypoints))
        return Found(found, judged[0].verdict)

    def fingerprint(self, photo: str) -> str:
        """See `Source`."""
        return "; ".join(self.weights)


def from_networks(weights: str | None, grid_weights: str | None, device: str) -> FromNetworks:
    """Networks for the corners and, if `grid_weights` is given, for the grid (``default``: what ships)."""
    from grid_pose_detection import model  # only here: it brings the framework

    wanted = [("corners", weights)]
    if grid_weights:
        wanted.append(("grid", None if grid_weights == "default" else grid_weights))
    predictors = [model.load(given, task=task, device=device) for task, given in wanted]
    found = [model.find_weights(given, task) for task, given in wanted]
    return FromNetworks(predictors, [f"{weights.name} {batch.fingerprint(weights)}" for weights in found])


def _reasons(photo: Annotations) -> tuple[str, ...]:
    """Why a photo has no points: as a prediction says in its file, or that a person marked none."""
    reasons = photo.meta.get("reasons")
    told = tuple(map(str, reasons)) if isinstance(reasons, list | tuple) else ()
    return told or ("neither corners nor a grid are annotated",)


def _size_cm(photo: Annotations) -> tuple[float, float] | None:
    size = photo.meta.get("size_cm")
    return (float(size[0]), float(size[1])) if isinstance(size, list | tuple) and len(size) == 2 else None
