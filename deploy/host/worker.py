"""A worker process: one function, set up once, one event at a time, as under Nuclio's wrapper.

The host starts it as ``python -m deploy.host.worker FD NAME FOLDER MODULE ENTRY`` and talks to it over the socket `FD`.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nuclio_sdk

from deploy.host import frames
from deploy.log import make_logger, take_over_library_logs

_OOM_SCORE = "500"
"""Where memory runs out, the kernel ends a worker, which is replaced, and not the host."""
_PARENT_S = 1.0


@dataclass(slots=True)
class Ready:
    """A function that can answer."""

    handler: Callable[[Any, Any], Any]
    context: Any


def main(fd: str, name: str, folder: str, module: str, entry: str) -> None:
    """Serve until the host closes the connection."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they go to the whole group: the host says when work is over
        signal.signal(number, signal.SIG_IGN)
    _offer_to_the_oom_killer()
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    logger = make_logger(function=name, worker=os.getpid())
    take_over_library_logs(logger)
    logging.captureWarnings(True)
    with socket.socket(fileno=int(fd)) as connection, connection.makefile("rwb") as stream:
        ready = _set_up(Path(folder), module, entry, logger, stream)
        while ready and (frame := frames.read(stream)):
            frames.write(stream, *_answer(ready, *frame))


def _offer_to_the_oom_killer() -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    except OSError:  # no Linux, or a sandbox: then the kernel chooses by itself
        return


def _end_with_parent(parent: int) -> None:
    """A host that was killed cannot end its workers, and one that hangs reads no end of file."""
    while os.getppid() == parent:
        time.sleep(_PARENT_S)
    os._exit(1)


def _set_up(folder: Path, module: str, entry: str, logger: Any, stream: frames.Stream) -> Ready | None:
    try:
        ready = load(folder, module, entry, logger)
    except (Exception, SystemExit) as error:
        logger.error_with("cannot start", traceback=traceback.format_exc())
        frames.write(stream, {"failure": f"{type(error).__name__}: {error}"})
        return None
    frames.write(stream, {"failure": None})
    return ready


def load(folder: Path, module: str, entry: str, logger: Any) -> Ready:
    """Import the handler's module and let it load its model."""
    sys.path.insert(0, str(folder))
    path = folder / f"{module}.py"
    spec = importlib.util.spec_from_file_location(module, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"{path}: the handler's module is missing")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    context = nuclio_sdk.Context(logger, nuclio_sdk.Platform("local"), worker_id=0)
    if hasattr(loaded, "init_context"):
        loaded.init_context(context)
    return Ready(getattr(loaded, entry), context)


def _answer(ready: Ready, call: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
    """The head and the body of the answer to one request."""
    logger = ready.context.logger
    logger.bind(request=call["id"])  # every line that the function logs from now on
    try:
        output = ready.handler(ready.context, _event(call, body))
        head, text = _as_frame(nuclio_sdk.Response.from_entrypoint_output(json.dumps, output))
    except (Exception, SystemExit):  # as Nuclio answers it, but without the traceback in the body
        logger.error_with("handler raised", traceback=traceback.format_exc())
        message = f"the function failed; the log holds the reason under request {call['id']}"
        text = json.dumps({"error": {"code": "function_fault", "message": message}}).encode()
        head = {"status": 500, "content_type": "application/json", "headers": {}}
    return {**head, "id": call["id"]}, text


def _event(call: Mapping[str, Any], body: bytes) -> nuclio_sdk.Event:
    content_type = call["headers"].get("content-type", "")
    return nuclio_sdk.Event(
        body=_decode(body, content_type),
        content_type=content_type,
        trigger=nuclio_sdk.TriggerInfo("http", "http"),
        headers=call["headers"],
        _id=call["id"],
        method="POST",
        path=call["path"],
        size=len(body),
        timestamp=time.time(),
    )


def _decode(body: bytes, content_type: str) -> object:
    """Nuclio's wrapper decodes JSON for exactly this type, and hands broken JSON over as bytes."""
    if content_type != "application/json":
        return body
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def _as_frame(response: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    text = response["body"]
    head = {
        "status": int(response["status_code"]),
        "content_type": str(response["content_type"]),
        "headers": {str(name): str(value) for name, value in response["headers"].items()},
    }
    return head, base64.b64decode(text) if response["body_encoding"] == "base64" else text.encode()


if __name__ == "__main__":
    main(*sys.argv[1:])
