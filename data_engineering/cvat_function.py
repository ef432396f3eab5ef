"""A function of ours behind its URL: asked with a photo's file, and its answer read as what is drawn.

    function = cvat_function.at("http://127.0.0.1:8070/functions/pth-yolo-coralseg", labels)
    drawn, notes = function.draw(photo_bytes, threshold=0.5)

It is also a detection function of `cvat_sdk.auto_annotation`.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3
from cvat_sdk import models
from cvat_sdk.auto_annotation import DetectionFunctionContext, DetectionFunctionSpec
from PIL import Image
from urllib3.exceptions import HTTPError, MaxRetryError

from data_engineering import cvat_answer, cvat_json, cvat_shapes
from data_engineering.cvat_http import CONNECT_S, Retry
from quadrat.drawn import Drawn, DrawnPhoto, Labels

TOKEN = "QUADRAT_TOKEN"
"""Environment variable with the token of the host that serves the function, where it asks for one."""

_ANSWER_S = 300
_MOST_BYTES = 512 * 2**20
_LONGEST = 200
_STOP = (401, 403, 404, 405)


class FunctionError(ValueError):
    """The function cannot be used: it is not to be reached, or lets nobody in."""


class AnswerError(ValueError):
    """The function could not answer for this photo."""


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
        answer = _ask(self.url, photo, threshold, self.backoff_s)
        if not isinstance(answer, list):
            raise AnswerError(f"it answered with a {type(answer).__name__}: expected a list of shapes, as CVAT does")
        named = {str(label["name"]): label for label in self.labels}
        drawn: list[Drawn] = []
        notes: list[str] = []
        for raw in answer:
            try:
                drawn.append(cvat_answer.read(raw, named, self.as_masks, notes))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                notes.append(f"a shape was left out: {error}")
        return drawn, notes


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
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise FunctionError(
            f"{url!r} is no URL of a function: expected one such as http://127.0.0.1:8070/functions/NAME"
        )
    own = _own_labels(url, backoff_s)
    return RemoteFunction(url, own or task_labels, own is not None, as_masks, backoff_s)


def _own_labels(url: str, backoff_s: float) -> Labels | None:
    """The labels that a host says of a function, numbered; `None` for a URL that is not of such a host."""
    if "/functions/" not in url:
        return None
    about = url.replace("/functions/", "/api/functions/", 1)
    status, body = _request("GET", about, None, backoff_s)
    if status != 200:
        raise FunctionError(f"no function behind {url} ({status}: {_said(body)}): look at the host's list of functions")
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


# ---------------------------------------------------------------------------------------------- asking


def _ask(url: str, photo: bytes, threshold: float | None, backoff_s: float) -> Any:
    body: dict[str, Any] = {"image": base64.b64encode(photo).decode()}
    if threshold is not None:
        body["threshold"] = threshold
    status, answer = _request("POST", url, json.dumps(body).encode(), backoff_s)
    if status in _STOP:
        hint = f"; set {TOKEN}" if status in (401, 403) else ""
        raise FunctionError(f"the function at {url} does not answer us ({status}: {_said(answer)}){hint}")
    if status != 200:
        raise AnswerError(f"the function answered {status}: {_said(answer)}")
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        raise AnswerError("the function did not answer in JSON") from None


def _request(method: str, url: str, body: bytes | None, backoff_s: float) -> tuple[int, bytes]:
    """Status and body; asked again after 429 and 5xx, which does no harm: a function keeps nothing."""
    headers = {"Content-Type": "application/json"} if body else {}
    if token := os.environ.get(TOKEN):
        headers["Authorization"] = f"Bearer {token}"
    timeout = urllib3.Timeout(connect=CONNECT_S, read=_ANSWER_S)
    try:
        with urllib3.PoolManager(retries=Retry.gentle(backoff_s, ("GET", "POST")), timeout=timeout) as pool:
            response = pool.request(method, url, body=body, headers=headers, preload_content=False)
            data = response.read(_MOST_BYTES + 1)
    except MaxRetryError as error:
        why = type(error.reason or error).__name__
        raise FunctionError(f"the function at {url} cannot be reached, asked several times ({why}): start it") from None
    except HTTPError as error:
        raise AnswerError(f"the connection to the function broke off ({type(error).__name__})") from None
    if len(data) > _MOST_BYTES:
        raise AnswerError(f"its answer has over {_MOST_BYTES} bytes")
    return response.status, data


def _said(body: bytes) -> str:
    text = body[:10_000].decode("utf-8", "replace")
    with contextlib.suppress(ValueError, KeyError, TypeError):  # then it is no error of ours, and is said as it is
        text = json.loads(text)["error"]["message"]
    text = " ".join(str(text).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


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
