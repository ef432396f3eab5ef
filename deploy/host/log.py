"""One log format for host and functions: a JSON object a line on stderr, as Nuclio's own logger writes it."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import nuclio_sdk
import nuclio_sdk.logger

_numbers = itertools.count()


def make_logger(**always: object) -> Any:
    """A nuclio-sdk Logger (``info_with(message, **facts)``) that adds `always` to every line."""
    logger = nuclio_sdk.Logger("INFO", f"quadrat.{next(_numbers)}")
    logger.set_handler("default", sys.stderr, nuclio_sdk.logger.JSONFormatter())
    logger._logger.propagate = False
    logger.bind(**always)
    return logger
