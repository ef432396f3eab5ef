"""What a predictor says of how it worked on a photo, in response headers and in the log: CVAT has no place for it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PREFIX = "X-Quadrat-"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME, _LONGEST_TEXT = 40, 300
_TAKEN = {"model", "request", "seconds", "note", "shapes", "painted-fraction", "verdict", "score", "reasons", "layout"}
_TAKEN |= {"status", "function", "worker"}  # of the log


def headers(facts: Mapping[str, str]) -> dict[str, str]:
    """A header a fact: ``{"work-px": "1024"}`` becomes ``X-Quadrat-Work-Px: 1024``.

    Args:
        facts: of `quadrat.predictor.Explained`. What is no ASCII in a text is replaced when the answer is made; long
            texts are cut.

    Raises:
        ValueError: a name cannot be that of a header, or every answer says something else by it.
    """
    for name in facts:
        _check(name)
    return {_PREFIX + name.title(): text[:_LONGEST_TEXT] for name, text in facts.items() if text}


def logged(facts: Mapping[str, str]) -> dict[str, str]:
    """The same for the log, where names have no hyphens."""
    return {name.replace("-", "_"): text for name, text in facts.items()}


def _check(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise ValueError(
            f"fact {name!r}: expected a name of lower-case words joined by -, such as work-px, of at most"
            f" {_LONGEST_NAME} letters"
        )
    if name in _TAKEN or name.endswith(("-seconds", "-ms")):
        raise ValueError(f"fact {name!r}: every answer says something else by that name, choose another")
