"""The bridge's log: lines as `deploy.log` makes them, one format with the host and the functions.

A delivery gets an id when it comes. It stands in every line about the delivery and the steps that follow from it and,
since it goes along to functions, in the lines of the host and of the functions too.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from deploy import log
from deploy.bridge.settings import IN_FILES, REDIS
from deploy.log import take_over_library_logs

__all__ = ["make_logger", "take_over_library_logs"]

_SHORTEST = 6


def make_logger(part: str) -> Any:
    """The logger of a process of the bridge. No line shows a secret of the environment, even where a library says it.

    Args:
        part: ``web``, ``work``, ``keeper``; in every line.
    """
    return log.make_logger(hidden=_secrets(), part=part)


def _secrets() -> list[str]:
    """A shorter one than `_SHORTEST` protects nothing, and hiding it would take ordinary words out of the lines."""
    given = [os.environ.get(name, "") for name in IN_FILES]
    password = urlsplit(os.environ.get(REDIS, "")).password or ""
    return [secret for secret in (*given, *" ".join(given).split(), password) if len(secret) >= _SHORTEST]
