"""The life of a function: setup once, then decode, predict and encode for every event.

Works under Nuclio's Python wrapper, `deploy.host`, and in tests: whatever has nuclio-sdk's Context and Event.
"""

from __future__ import annotations

import json
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.serving import encode, labels, request, verdicts
from deploy.serving.metrics import Metrics
from deploy.serving.settings import Settings
from quadrat.predictor import JudgingPredictor, Predictor
from quadrat.shapes import Shape

Load = Callable[[Settings], Predictor]

_WARM_UP_PX = 640


@dataclass(slots=True)
class Reply:
    """One HTTP answer in the making.

    Attributes:
        request_id: as the caller or Nuclio gave it, else made up.
        stages_s: seconds a stage took, in order.
        shapes: how many shapes the body holds.
        told: headers with what the predictor says of its result, see `verdicts`.
    """

    request_id: str
    status: int = 200
    body: str = "[]"
    shapes: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    stages_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages_s[name] = time.perf_counter() - start

    def fail(self, status: int, code: str, message: str) -> None:
        """Turn into the JSON error that all of the house uses."""
        self.status, self.shapes, self.told = status, 0, {}
        self.body = json.dumps({"error": {"code": code, "message": message}})


@dataclass(slots=True)
class Function:
    """A predictor ready to answer; one a worker.

    Attributes:
        predictor: the loaded model.
        offered: the labels of function.yaml by name.
    """

    predictor: Predictor
    settings: Settings
    offered: Mapping[str, labels.Label]
    metrics: Metrics = field(default_factory=Metrics)

    def answer(self, body: object, reply: Reply) -> list[str]:
        """Fill `reply` with the answer to a detector request; returns why shapes were refused.

        Raises:
            request.RequestError: the caller is to blame.
        """
        with reply.stage("decode"):
            asked = request.parse(body)
            image_rgb = request.decode_image(asked.image)
        with reply.stage("predict"):
            shapes, reply.told = self._predict(image_rgb, asked.threshold)
        with reply.stage("encode"):
            height, width = image_rgb.shape[:2]
            answer = encode.encode(
                shapes, (width, height), self.offered, polygons=self.settings.polygons, threshold=asked.threshold
            )
            reply.body, reply.shapes = answer.to_json(), len(answer.shapes)
        return answer.refused

    def _predict(self, image_rgb: NDArray[np.uint8], threshold: float | None) -> tuple[Sequence[Shape], dict[str, str]]:
        if not isinstance(self.predictor, JudgingPredictor):
            return self.predictor.predict(image_rgb, threshold=threshold), {}
        judged = self.predictor.predict_judged(image_rgb, threshold=threshold)
        return judged.shapes, verdicts.headers(judged, threshold)


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
    start = time.perf_counter()
    settings = Settings.from_env()
    path = labels.find_function_yaml(folder)
    offered = labels.read_labels(path)
    predictor = load(settings)
    layouts = predictor.layouts if isinstance(predictor, JudgingPredictor) else ()
    labels.check_against_card(offered, predictor.card, path.name, layouts)
    predictor.predict(np.zeros((_WARM_UP_PX, _WARM_UP_PX, 3), np.uint8))
    context.user_data.function = Function(predictor, settings, offered)
    seconds = round(time.perf_counter() - start, 3)
    context.logger.info_with("ready", model=predictor.card.name, device=settings.device, seconds=seconds)


def handle(context: Any, event: Any) -> Any:
    """Answer an event; for `handler`. Returns nuclio-sdk's Response, whatever happens."""
    function: Function = context.user_data.function
    if _text(event.method).upper() == "GET" and _text(event.path).rstrip("/") == "/metrics":
        return context.Response(body=function.metrics.text(), content_type="text/plain; version=0.0.4", status_code=200)
    reply = Reply(_request_id(event))
    try:
        for reason in function.answer(event.body, reply):
            context.logger.error_with("shape refused", request=reply.request_id, reason=reason)
    except request.RequestError as error:
        reply.fail(error.status, error.code, error.message)
    except (Exception, SystemExit):  # what escapes ends up in the body with its traceback, or ends the worker
        context.logger.error_with("model fault", request=reply.request_id, traceback=traceback.format_exc())
        text = f"the model failed on this photo; the log holds the reason under request {reply.request_id}"
        reply.fail(500, "model_fault", text)
    _record(context, function, reply)
    return context.Response(
        body=reply.body, headers=reply.headers, content_type="application/json", status_code=reply.status
    )


def _record(context: Any, function: Function, reply: Reply) -> None:
    """Say in headers, log and counters what CVAT has no place for."""
    card, total = function.predictor.card, sum(reply.stages_s.values())
    reply.headers = {
        "X-Quadrat-Model": _ascii(card.name),
        "X-Quadrat-Request": _ascii(reply.request_id),
        "X-Quadrat-Seconds": f"{total:.3f}",
        "X-Quadrat-Shapes": str(reply.shapes),
        **{f"X-Quadrat-{name.title()}-Seconds": f"{seconds:.3f}" for name, seconds in reply.stages_s.items()},
        **({"X-Quadrat-Note": _ascii(card.note)} if card.note else {}),
        **{name: _ascii(text) for name, text in reply.told.items()},
    }
    verdict = reply.told.get(verdicts.VERDICT)
    function.metrics.count(reply.status, reply.shapes, reply.stages_s, verdict)
    stages_ms = {f"{name}_ms": round(seconds * 1000, 1) for name, seconds in reply.stages_s.items()}
    facts = {"request": reply.request_id, "status": reply.status, "shapes": reply.shapes, **stages_ms}
    context.logger.info_with("answered", **facts, **({"verdict": verdict} if verdict else {}))


def _request_id(event: Any) -> str:
    given = event.get_header("X-Request-Id") or event.get_header(b"X-Request-Id") or event.id
    return _ascii(_text(given))[:64] if given else uuid.uuid4().hex[:16]


def _text(value: object) -> str:
    """Nuclio's wrapper hands headers, method and path over as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def _ascii(text: str) -> str:
    """Fit for a header: printable ASCII on one line."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)
