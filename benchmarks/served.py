"""A function of this project as Nuclio runs it: its real main.py under nuclio-sdk's Context and Event."""

from __future__ import annotations

import base64
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock


class Function:
    """`init_context` has run; `call` is `handler`.

    Args:
        main: main.py of the function.
        settings: its environment.
    """

    def __init__(self, main: Path, settings: Mapping[str, str]):
        import nuclio_sdk

        spec = importlib.util.spec_from_file_location(f"{main.parents[1].name.replace('-', '_')}_main", main)
        assert spec is not None
        assert spec.loader is not None
        self.main: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.main)
        silent = SimpleNamespace(**dict.fromkeys(("info_with", "error_with", "warn_with"), lambda *a, **k: None))
        self.context: Any = SimpleNamespace(user_data=SimpleNamespace(), logger=silent, Response=nuclio_sdk.Response)
        with mock.patch.dict("os.environ", settings):
            self.main.init_context(self.context)
        self.event = nuclio_sdk.Event

    def answer(self, body: bytes) -> list[dict[str, Any]]:
        """Request body in, shapes out; the JSON is decoded here."""
        shapes: list[dict[str, Any]] = json.loads(self.call(body))
        return shapes

    def call(self, body: bytes) -> str:
        """Request body in, answer body out: what is timed.

        Raises:
            RuntimeError: the answer is an error.
        """
        event = self.event(body=body, content_type="application/json", method="POST", path="/")
        response = self.main.handler(self.context, event)
        if response.status_code != 200:
            raise RuntimeError(f"the function answered {response.status_code}: {response.body}")
        return str(response.body)


def body_of(jpeg: bytes, threshold: float | None = None) -> bytes:
    """A detector request as CVAT sends it."""
    asked = {"image": base64.b64encode(jpeg).decode(), **({} if threshold is None else {"threshold": threshold})}
    return json.dumps(asked).encode()
