"""What runs in a worker process: one function, set up once, one event at a time, as under Nuclio's wrapper."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nuclio_sdk

from deploy.host.functions import Function
from deploy.host.log import make_logger


@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way to a worker."""

    request_id: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """A function's answer on its way back."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class _Ready:
    handler: Callable[[Any, Any], Any]
    context: Any


_state: _Ready | str = "not started"
"""The function, or why there is none. One process serves one function."""


def start(function: Function) -> None:
    """Set the function up. Never raises: what went wrong is kept for `failure` and `ask`."""
    global _state
    for name, value in function.env.items():
        os.environ.setdefault(name, value)
    os.environ.update(function.forced_env)
    logger = make_logger(function=function.name, worker=os.getpid())
    try:
        _state = _load(function, logger)
    except (Exception, SystemExit) as error:
        logger.error_with("cannot start", traceback=traceback.format_exc())
        _state = f"{type(error).__name__}: {error}"


def _load(function: Function, logger: Any) -> _Ready:
    sys.path.insert(0, str(function.folder))
    path = function.folder / f"{function.module}.py"
    spec = importlib.util.spec_from_file_location(function.module, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"{path}: the handler's module is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    context = nuclio_sdk.Context(logger, nuclio_sdk.Platform("local"), worker_id=0)
    if hasattr(module, "init_context"):
        module.init_context(context)
    return _Ready(getattr(module, function.entry), context)


def failure() -> str | None:
    """Why the function cannot answer; ``None`` if it can."""
    return _state if isinstance(_state, str) else None


def ask(call: Call) -> Result | str:
    """Answer one request; a text says why the function could not be set up."""
    if isinstance(_state, str):
        return _state
    try:
        output = _state.handler(_state.context, _event(call))
        return _result(nuclio_sdk.Response.from_entrypoint_output(json.dumps, output))
    except (Exception, SystemExit):  # as Nuclio answers it, but without the traceback in the body
        _state.context.logger.error_with("handler raised", request=call.request_id, traceback=traceback.format_exc())
        message = f"the function failed; the log holds the reason under request {call.request_id}"
        body = json.dumps({"error": {"code": "function_fault", "message": message}}).encode()
        return Result(500, "application/json", {}, body)


def _event(call: Call) -> nuclio_sdk.Event:
    content_type = call.headers.get("content-type", "")
    return nuclio_sdk.Event(
        body=_body(call.body, content_type),
        content_type=content_type,
        trigger=nuclio_sdk.TriggerInfo("http", "http"),
        headers=dict(call.headers),
        _id=call.request_id,
        method="POST",
        path=call.path,
        size=len(call.body),
        timestamp=time.time(),
    )


def _body(body: bytes, content_type: str) -> object:
    """Nuclio's wrapper decodes JSON for exactly this type, and hands broken JSON over as bytes."""
    if content_type != "application/json":
        return body
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def _result(response: Mapping[str, Any]) -> Result:
    text = response["body"]
    return Result(
        status=int(response["status_code"]),
        content_type=str(response["content_type"]),
        headers={str(name): str(value) for name, value in response["headers"].items()},
        body=base64.b64decode(text) if response["body_encoding"] == "base64" else text.encode(),
    )
