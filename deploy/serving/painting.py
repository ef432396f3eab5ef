"""A function that paints the grid out of a photo: a photo and where its strings run in, the photo without them out."""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.serving import life, painting_request, request
from deploy.serving.metrics import PAINTED, Metrics
from deploy.serving.settings import Settings
from quadrat import images, metadata
from quadrat.metadata import Metadata
from quadrat.predictor import Card, GridRemover, Painted
from quadrat.shapes import Keypoints

Load = Callable[[Settings], GridRemover]

_WARM_UP_PX, _WARM_UP_STRING_PX = 512, 8


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A request, decoded: exactly one of `keypoints` and `mask` is there."""

    asked: painting_request.PaintingRequest
    image_rgb: images.Rgb
    along: Metadata
    keypoints: Keypoints | None
    mask: NDArray[np.bool_] | None


@dataclass(slots=True)
class Remover:
    """A grid remover ready to answer; a `life.Function`."""

    remover: GridRemover
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def card(self) -> Card:
        """What the weights are."""
        return self.remover.card

    def answer(self, body: object, reply: life.Reply) -> None:
        """Fill `reply` with the painted photo.

        Raises:
            request.RequestError: the caller is to blame.
        """
        with reply.stage("decode"):
            task = self._decode(body)
        with reply.stage("predict"):
            painted = self._paint(task)
        with reply.stage("encode"):
            reply.body, reply.facts = _encode(task, painted)
        reply.told = {PAINTED: f"{painted.painted_fraction:.6f}"}

    def _decode(self, body: object) -> Task:
        asked = request.check(body, painting_request.PaintingRequest)
        keypoints = painting_request.keypoints_of(asked, self.remover.layouts)
        data = request.decode_base64(asked.image, "image")
        image_rgb = request.decode_photo(data)
        mask = painting_request.mask_of(asked, (image_rgb.shape[1], image_rgb.shape[0]))
        return Task(asked, image_rgb, metadata.read(data), keypoints, mask)

    def _paint(self, task: Task) -> Painted:
        try:
            return self.remover.remove(task.image_rgb, keypoints=task.keypoints, mask=task.mask, force=task.asked.force)
        except ValueError as error:
            code = painting_request.POINTS if task.mask is None else painting_request.MASK
            name = next(name for name in ("mask", "skeleton", "keypoints") if getattr(task.asked, name) is not None)
            raise request.RequestError(400, code, f"field `{name}`: {error}") from error


def _encode(task: Task, painted: Painted) -> tuple[str, dict[str, Any]]:
    """The answer's body, and what of it the log says.

    Base64 needs no escapes: it is put into the JSON as it is, a hundred million letters of it.
    """
    pictures = {"image": _photo(task, painted.image_rgb)}
    if task.asked.return_mask:
        pictures["mask"] = images.encode_png(painted.mask.astype(np.uint8) * np.uint8(255))
    warnings = [*painted.warnings, *task.along.warnings, *_too_large(len(pictures["image"]))]
    facts = {"painted_fraction": round(painted.painted_fraction, 6), "warnings": warnings}
    texts = [f'"{name}":"{binascii.b2a_base64(data, newline=False).decode()}"' for name, data in pictures.items()]
    rest = json.dumps({"format": task.asked.format, **facts}, allow_nan=False)
    return f"{{{','.join(texts)},{rest[1:]}", facts


def _too_large(size: int) -> list[str]:
    """A warning where the next function would refuse the photo."""
    if size <= images.MAX_BYTES:
        return []
    most = f"more than a function takes ({images.MAX_BYTES})"
    return [f"the answer's photo has {size} bytes, {most}: `format` jpeg makes it smaller"]


def _photo(task: Task, image_rgb: images.Rgb) -> bytes:
    try:
        return metadata.encode(image_rgb, task.asked.format, task.along)
    except images.ImageError as error:
        raise request.RequestError(400, "bad_field", f"field `format` is {task.asked.format!r}: {error}") from error


def setup_remover(context: Any, load: Load) -> None:
    """Load and warm the remover, and keep it in the context; for `init_context`.

    Args:
        context: nuclio-sdk's Context.
        load: makes the remover from the settings.

    Raises:
        SettingsError: an environment variable holds what cannot be used.
    """

    def make(settings: Settings) -> Remover:
        remover = load(settings)
        photo = np.zeros((_WARM_UP_PX, _WARM_UP_PX, 3), np.uint8)
        mask = np.zeros((_WARM_UP_PX, _WARM_UP_PX), np.bool_)
        mask[:, :_WARM_UP_STRING_PX] = True
        remover.remove(photo, mask=mask)
        return Remover(remover)

    life.start(context, make)
