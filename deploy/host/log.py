"""One log format for host and functions: a JSON object a line, as Nuclio's own logger writes it.

It goes to stderr, or to the end of the file that ``QUADRAT_LOG_FILE`` names.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import nuclio_sdk
import nuclio_sdk.logger

LOG_FILE = "QUADRAT_LOG_FILE"

_numbers = itertools.count()


def make_logger(**always: object) -> Any:
    """A nuclio-sdk Logger (``info_with(message, **facts)``) that adds `always` to every line."""
    logger = nuclio_sdk.Logger("INFO", f"quadrat.{next(_numbers)}")
    logger.set_handler("default", _stream(), nuclio_sdk.logger.JSONFormatter())
    logger._logger.propagate = False
    logger.bind(**always)
    return logger


def _stream() -> TextIO:
    path = os.environ.get(LOG_FILE)
    if not path:
        return sys.stderr
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115  (open as long as its process)
