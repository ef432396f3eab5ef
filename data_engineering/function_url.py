"""A served function (`deploy.host`, Nuclio, or whatever answers as CVAT's detectors do), asked about a photo."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError

from data_engineering.patience import CONNECT_S, Retry

TOKEN = "QUADRAT_TOKEN"
"""Environment variable with the token of the host that serves the function, where it asks for one."""

_ANSWER_S = 300
_MOST_BYTES = 512 * 2**20
_LONGEST = 200
_STOP = (401, 403, 404, 405)


class FunctionError(ValueError):
    """The function cannot be used: it is not to be reached, or lets nobody in."""


class AnswerError(ValueError):
    """The function could not answer for this photo."""


def check(url: str) -> None:
    """Refuse what is no URL of a function.

    Raises:
        FunctionError: it says what is expected.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise FunctionError(
            f"{url!r} is no URL of a function: expected one such as http://127.0.0.1:8070/functions/NAME"
        )


def ask(url: str, photo: bytes, threshold: float | None = None, *, backoff_s: float = 0.5) -> list[Any]:
    """Ask a function about one photo, again with growing pauses while it is busy or away.

    Args:
        url: of the function.
        photo: its file.
        threshold: lowest score, 0..1; `None` for the function's own.
        backoff_s: pause before the first repetition; each further one is twice as long.

    Returns:
        Shapes as CVAT's detectors answer them.

    Raises:
        FunctionError: the function cannot be used.
        AnswerError: it could not answer for this photo; the message has what it said.
    """
    body: dict[str, Any] = {"image": base64.b64encode(photo).decode()}
    if threshold is not None:
        body["threshold"] = threshold
    status, answer = request("POST", url, json.dumps(body).encode(), backoff_s)
    if status in _STOP:
        hint = f"; set {TOKEN}" if status in (401, 403) else ""
        raise FunctionError(f"the function at {url} does not answer us ({status}: {said(answer)}){hint}")
    if status != 200:
        raise AnswerError(f"the function answered {status}: {said(answer)}")
    try:
        shapes = json.loads(answer)
    except (ValueError, RecursionError):
        raise AnswerError("the function did not answer in JSON") from None
    if not isinstance(shapes, list):
        raise AnswerError(f"it answered with a {type(shapes).__name__}: expected a list of shapes, as CVAT does")
    return shapes


def request(method: str, url: str, body: bytes | None, backoff_s: float) -> tuple[int, bytes]:
    """Status and body; asked again after 429 and 5xx, which does no harm: a function keeps nothing.

    Raises:
        FunctionError: it cannot be reached.
        AnswerError: the connection broke off, or the answer is too long.
    """
    headers = {"Content-Type": "application/json"} if body else {}
    if token := os.environ.get(TOKEN):
        headers["Authorization"] = f"Bearer {token}"
    timeout = urllib3.Timeout(connect=CONNECT_S, read=_ANSWER_S)
    try:
        with urllib3.PoolManager(retries=Retry.gentle(backoff_s, ("GET", "POST")), timeout=timeout) as pool:
            response = pool.request(method, url, body=body, headers=headers, preload_content=False)
            data = response.read(_MOST_BYTES + 1)
    except MaxRetryError as error:
        why = type(error.reason or error).__name__
        raise FunctionError(f"the function at {url} cannot be reached, asked several times ({why}): start it") from None
    except HTTPError as error:
        raise AnswerError(f"the connection to the function broke off ({type(error).__name__})") from None
    if len(data) > _MOST_BYTES:
        raise AnswerError(f"its answer has over {_MOST_BYTES} bytes")
    return response.status, data


def said(body: bytes) -> str:
    """The message in an error's body, or the beginning of it."""
    text = body[:10_000].decode("utf-8", "replace")
    with contextlib.suppress(ValueError, KeyError, TypeError):  # then it is no error of ours, and is said as it is
        text = json.loads(text)["error"]["message"]
    text = " ".join(str(text).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
