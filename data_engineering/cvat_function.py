"""A function of ours behind its URL: asked with a photo's file, and its answer read as what is drawn.

    function = cvat_function.at("http://127.0.0.1:8070/functions/pth-yolo-coralseg", labels)
    drawn, notes = function.draw(photo_bytes, threshold=0.5)

It is also a detection function of `cvat_sdk.auto_annotation`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cvat_sdk import models
from cvat_sdk.auto_annotation import DetectionFunctionContext, DetectionFunctionSpec
from PIL import Image

from data_engineering import cvat_answer, cvat_json, cvat_shapes, function_url
from data_engineering.function_url import FunctionError
from quadrat.drawn import Drawn, DrawnPhoto, Labels


@dataclass(frozen=True)
class Found:
    """What a function found in a photo.

    Attributes:
        drawn: source auto.
        notes: a sentence for each thing that has no place among the labels.
        headers: of the answer; a name is found in upper or lower case.
    """

    drawn: tuple[Drawn, ...]
    notes: tuple[str, ...]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class RemoteFunction:
    """A detection function behind a URL.

    Attributes:
        url: that takes a photo by POST.
        labels: what it may answer, with numbers: its own, else those of the task.
        says_labels: whether the labels are the function's own.
        as_masks: take a mask as a mask on a label for polygons too, where the answer has both.
        backoff_s: pause before the first repetition.
    """

    url: str
    labels: Labels
    says_labels: bool = False
    as_masks: bool = False
    backoff_s: float = 0.5

    @property
    def spec(self) -> DetectionFunctionSpec:
        """What it may answer, as cvat-sdk wants it."""
        return DetectionFunctionSpec(labels=[_label_model(label) for label in self.labels])

    def detect(self, context: DetectionFunctionContext, image: Image.Image) -> list[models.LabeledShapeRequest]:
        """What `cvat_sdk.auto_annotation.annotate_task` calls; the photo is sent as PNG, which keeps its pixels.

        Raises:
            FunctionError: the function cannot be used.
            AnswerError: it could not answer.
        """
        file = io.BytesIO()
        image.convert("RGB").save(file, "PNG", compress_level=1)
        drawn, _ = self.draw(file.getvalue(), context.conf_threshold)
        photo = DrawnPhoto(context.frame_name, image.size, tuple(drawn))
        shapes = cvat_json.to_annotations_request([(0, photo)], self.labels)["shapes"]
        return [_shape_model(shape) for shape in shapes]

    def draw(self, photo: bytes, threshold: float | None = None) -> tuple[list[Drawn], list[str]]:
        """Ask for a photo.

        Args:
            photo: its file.
            threshold: lowest score, 0..1; `None` for the function's own.

        Returns:
            What it found, source auto; and a sentence for each thing that has no place among the labels.

        Raises:
            FunctionError: the function cannot be used.
            AnswerError: it could not answer for this photo.
        """
        found = self.find(photo, threshold)
        return list(found.drawn), list(found.notes)

    def find(self, photo: bytes, threshold: float | None = None, *, request_id: str | None = None) -> Found:
        """As `draw`, with the headers of the answer.

        Args:
            photo: its file.
            threshold: lowest score, 0..1; `None` for the function's own.
            request_id: stands in the function's log.

        Raises:
            FunctionError: the function cannot be used.
            AnswerError: it could not answer for this photo.
        """
        reply = function_url.ask_whole(self.url, photo, threshold, backoff_s=self.backoff_s, request_id=request_id)
        named = {str(label["name"]): label for label in self.labels}
        drawn: list[Drawn] = []
        notes: list[str] = []
        for raw in reply.body:
            try:
                drawn.append(cvat_answer.read(raw, named, self.as_masks, notes))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                notes.append(f"a shape was left out: {error}")
        return Found(tuple(drawn), tuple(notes), reply.headers)


def at(url: str, task_labels: Labels, *, as_masks: bool = False, backoff_s: float = 0.5) -> RemoteFunction:
    """Use the function behind a URL.

    Args:
        url: such as ``http://127.0.0.1:8070/functions/NAME`` of ``deploy.host``, which then says its labels; or the
            port that a function has for itself.
        task_labels: of the task, with numbers; they serve where the function does not say its own.
        as_masks: see `RemoteFunction`.
        backoff_s: pause before the first repetition.

    Raises:
        FunctionError: no URL, or no function behind it.
    """
    function_url.check(url)
    own = _own_labels(url, backoff_s)
    return RemoteFunction(url, own or task_labels, own is not None, as_masks, backoff_s)


def _own_labels(url: str, backoff_s: float) -> Labels | None:
    """The labels that a host says of a function, numbered; `None` for a URL that is not of such a host."""
    if "/functions/" not in url:
        return None
    about = url.replace("/functions/", "/api/functions/", 1)
    status, body, _ = function_url.request("GET", about, None, backoff_s)
    if status != 200:
        raise FunctionError(
            f"no function behind {url} ({status}: {function_url.said(body)}): look at the host's list of functions"
        )
    try:
        return _numbered(json.loads(json.loads(body)["metadata"]["annotations"]["spec"]))
    except (ValueError, KeyError, TypeError) as error:
        raise FunctionError(f"{about} says no labels ({error!r}): is this a detector of ours?") from None


def _numbered(labels: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    made = []
    for number, label in enumerate(cvat_shapes.definitions(labels), 1):
        specs = [{**spec, "id": 1 + k} for k, spec in enumerate(label["attributes"])]
        points = [{**sub, "id": 1 + k, "attributes": []} for k, sub in enumerate(label.get("sublabels") or ())]
        made.append({**label, "id": number, "attributes": specs, **({"sublabels": points} if points else {})})
    return made


# ---------------------------------------------------------------------------------------------- cvat-sdk's models


def _label_model(label: Mapping[str, Any]) -> models.PatchedLabelRequest:
    points = [models.SublabelRequest(sub["name"], id=sub["id"], type="points") for sub in label.get("sublabels") or ()]
    return models.PatchedLabelRequest(
        name=label["name"],
        id=label["id"],
        type=label.get("type") or "any",
        attributes=[cvat_answer.attribute_model(spec) for spec in label.get("attributes") or ()],
        **({"sublabels": points} if points else {}),
    )


def _shape_model(shape: Mapping[str, Any]) -> models.LabeledShapeRequest:
    """A shape without its source, which cvat-sdk sets itself."""
    elements = [{k: v for k, v in one.items() if k not in ("source", "elements")} for one in shape["elements"]]
    return models.LabeledShapeRequest(**{k: v for k, v in shape.items() if k != "source"} | {"elements": elements})
