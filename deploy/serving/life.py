"""The life of a function: setup once, then decode, predict and encode for every event.

Works under Nuclio's Python wrapper, `deploy.host`, and in tests: whatever has nuclio-sdk's Context and Event.
"""

from __future__ import annotations

import json
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from deploy.serving import request
from deploy.serving.metrics import Metrics
from deploy.serving.settings import Settings
from quadrat.predictor import Card


@dataclass(slots=True)
class Reply:
    """One HTTP answer in the making.

    Attributes:
        request_id: as the caller or Nuclio gave it, else made up.
        facts: what stands in the log of the result, JSON-able.
        told: headers with what the function says of its result.
        refused: what the model should not have made, a reason each.
        stages_s: seconds a stage took, in order.
    """

    request_id: str
    status: int = 200
    body: str = "[]"
    facts: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
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
        self.status, self.facts, self.told = status, {}, {}
        self.body = json.dumps({"error": {"code": code, "message": message}})


class Function(Protocol):
    """A model ready to answer one kind of request; one a worker. See `detection` and `painting`."""

    metrics: Metrics

    @property
    def card(self) -> Card:
        """What the weights are."""
        ...

    def answer(self, body: object, reply: Reply) -> None:
        """Fill `reply`, stage by stage: decode, predict, encode.

        Raises:
            request.RequestError: the caller is to blame.
        """
        ...


def start(context: Any, make: Callable[[Settings], Function]) -> None:
    """Make a function from the environment, and keep it in the context; for `init_context`.

    Args:
        context: nuclio-sdk's Context.
        make: loads and warms the model.

    Raises:
        SettingsError: an environment variable holds what cannot be used.
    """
    begin = time.perf_counter()
    settings = Settings.from_env()
    function = context.user_data.function = make(settings)
    seconds = round(time.perf_counter() - begin, 3)
    context.logger.info_with("ready", model=function.card.name, device=settings.device, seconds=seconds)


def handle(context: Any, event: Any) -> Any:
    """Answer an event; for `handler`. Returns nuclio-sdk's Response, whatever happens."""
    function: Function = context.user_data.function
    if _text(event.method).upper() == "GET" and _text(event.path).rstrip("/") == "/metrics":
        return context.Response(body=function.metrics.text(), content_type="text/plain; version=0.0.4", status_code=200)
    reply = Reply(_request_id(event))
    try:
        function.answer(event.body, reply)
    except request.RequestError as error:
        reply.fail(error.status, error.code, error.message)
    except (Exception, SystemExit):  # what escapes ends up in the body with its traceback, or ends the worker
        context.logger.error_with("model fault", request=reply.request_id, traceback=traceback.format_exc())
        text = f"the model failed on this photo; the log holds the reason under request {reply.request_id}"
        reply.fail(500, "model_fault", text)
    for reason in reply.refused:
        context.logger.error_with("shape refused", request=reply.request_id, reason=reason)
    _record(context, function, reply)
    return context.Response(
        body=reply.body, headers=reply.headers, content_type="application/json", status_code=reply.status
    )


def _record(context: Any, function: Function, reply: Reply) -> None:
    """Say in headers, log and counters what CVAT has no place for."""
    card, total = function.card, sum(reply.stages_s.values())
    reply.headers = {
        "X-Quadrat-Model": _ascii(card.name),
        "X-Quadrat-Request": _ascii(reply.request_id),
        "X-Quadrat-Seconds": f"{total:.3f}",
        **{f"X-Quadrat-{name.title()}-Seconds": f"{seconds:.3f}" for name, seconds in reply.stages_s.items()},
        **({"X-Quadrat-Note": _ascii(card.note)} if card.note else {}),
        **{name: _ascii(text) for name, text in reply.told.items()},
    }
    function.metrics.count(reply.status, reply.stages_s, reply.told)
    stages_ms = {f"{name}_ms": round(seconds * 1000, 1) for name, seconds in reply.stages_s.items()}
    facts = {"request": reply.request_id, "status": reply.status, **reply.facts, **stages_ms}
    context.logger.info_with("answered", **facts)


def _request_id(event: Any) -> str:
    given = event.get_header("X-Request-Id") or event.get_header(b"X-Request-Id") or event.id
    return _ascii(_text(given))[:64] if given else uuid.uuid4().hex[:16]


def _text(value: object) -> str:
    """Nuclio's wrapper hands headers, method and path over as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def _ascii(text: str) -> str:
    """Fit for a header: printable ASCII on one line."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)
