"""One log format for host, functions and bridge: a JSON object a line, as Nuclio's own logger writes it.

It goes to stderr, or to the end of the file that ``QUADRAT_LOG_FILE`` names.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import nuclio_sdk
import nuclio_sdk.logger

LOG_FILE = "QUADRAT_LOG_FILE"
HIDDEN = "(hidden)"
"""What stands in a line instead of a secret."""

_numbers = itertools.count()


def make_logger(hidden: Sequence[str] = (), **always: object) -> Any:
    """A nuclio-sdk Logger (``info_with(message, **facts)``) that adds `always` to every line.

    Args:
        hidden: secrets, which no line shows, wherever they come from.
        always: facts.
    """
    logger = nuclio_sdk.Logger("INFO", f"quadrat.{next(_numbers)}")
    logger.set_handler("default", _stream(), _Formatter(hidden))
    logger._logger.propagate = False
    logger.bind(**always)
    return logger


class _Formatter(nuclio_sdk.logger.JSONFormatter):  # type: ignore[misc]  # nuclio-sdk has no types
    def __init__(self, hidden: Sequence[str]) -> None:
        super().__init__()
        self._hidden = [json.dumps(secret)[1:-1] for secret in sorted(hidden, key=len, reverse=True) if secret]

    def format(self, record: logging.LogRecord) -> str:
        line: str = super().format(record)
        for secret in self._hidden:
            line = line.replace(secret, HIDDEN)
        return line


def _stream() -> TextIO:
    path = os.environ.get(LOG_FILE)
    if not path:
        return sys.stderr
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115  (open as long as its process)


class _Forward(logging.Handler):
    """Hands what libraries log through `logging` to a Nuclio logger, so that every line is JSON."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Say it again as ours, with the library's name and the traceback."""
        facts = {"logger": record.name}
        if record.exc_info and record.exc_info[0]:
            facts["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        say = self._logger.error_with if record.levelno >= logging.ERROR else self._logger.warn_with
        say(record.getMessage().strip(), **facts)


def take_over_library_logs(logger: Any, *names: str) -> None:
    """Let warnings and errors of the named libraries (none: of all) go through `logger`; for this whole process."""
    for name in names or ("",):
        library = logging.getLogger(name)
        library.handlers = [_Forward(logger)]
        library.propagate = False
