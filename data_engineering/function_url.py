"""A served function (`deploy.host`, Nuclio, or whatever answers as CVAT's detectors do), asked about a photo."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, ReadTimeoutError

from data_engineering.patience import CONNECT_S, Retry

TOKEN = "QUADRAT_TOKEN"
"""Environment variable with the token of the host that serves the function, where it asks for one."""

REQUEST_ID = "X-Request-Id"
"""Header with the id that the function puts into its log, and answers as ``X-Quadrat-Request``."""

_ANSWER_S = 300
_MOST_BYTES = 512 * 2**20
_LONGEST = 200
_STOP = (401, 403, 404, 405)
_LATER = (408, 429)


class CallError(ValueError):
    """A function gave no answer that can be used.

    Attributes:
        status: of its HTTP answer; `None` where there was none.
        again: whether the same may well succeed later: it is away or busy, took too long, or failed.
    """

    def __init__(self, message: str, *, status: int | None = None, again: bool = False) -> None:
        super().__init__(message)
        self.status, self.again = status, again


class FunctionError(CallError):
    """The function cannot be used: it is not to be reached, or lets nobody in."""


class AnswerError(CallError):
    """The function could not answer for this photo."""


@dataclass(frozen=True)
class Reply:
    """What a function answered.

    Attributes:
        body: of its JSON.
        headers: of the answer; a name is found in upper or lower case.
    """

    body: Any
    headers: Mapping[str, str]


class Raw(NamedTuple):
    """An HTTP answer of any status, as it came; `headers` as of `Reply`."""

    status: int
    body: bytes
    headers: Mapping[str, str]


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
    shapes: list[Any] = ask_whole(url, photo, threshold, backoff_s=backoff_s).body
    return shapes


def ask_whole(
    url: str,
    photo: bytes,
    threshold: float | None = None,
    *,
    backoff_s: float = 0.5,
    request_id: str | None = None,
) -> Reply:
    """As `ask`, with the headers, which hold what CVAT has no place for; `Reply.body` is the list of shapes."""
    body: dict[str, Any] = {"image": base64.b64encode(photo).decode()}
    if threshold is not None:
        body["threshold"] = threshold
    reply = post(url, body, backoff_s=backoff_s, request_id=request_id)
    if not isinstance(reply.body, list):
        kind = type(reply.body).__name__
        raise AnswerError(f"it answered with a {kind}: expected a list of shapes, as CVAT does", status=200, again=True)
    return reply


def post(url: str, body: Mapping[str, Any], *, backoff_s: float = 0.5, request_id: str | None = None) -> Reply:
    """Ask a function anything, again with growing pauses while it is busy or away.

    Args:
        url: of the function.
        body: of the request, JSON-able.
        backoff_s: pause before the first repetition; each further one is twice as long.
        request_id: goes along as `REQUEST_ID`: letters, digits and ``._-``, at most 64.

    Raises:
        FunctionError: the function cannot be used.
        AnswerError: it could not answer this request; the message has what it said.
    """
    answer = request("POST", url, json.dumps(body).encode(), backoff_s, request_id)
    if answer.status in _STOP or 300 <= answer.status < 400:
        raise FunctionError(_no_entry(url, answer), status=answer.status)
    if answer.status != 200:
        again = answer.status in _LATER or answer.status >= 500
        raise AnswerError(
            f"the function answered {answer.status}: {said(answer.body)}", status=answer.status, again=again
        )
    try:
        return Reply(json.loads(answer.body), answer.headers)
    except (ValueError, RecursionError):
        raise AnswerError("the function did not answer in JSON", status=200, again=True) from None


def _no_entry(url: str, answer: Raw) -> str:
    if 300 <= answer.status < 400:
        return f"the address {url} leads elsewhere ({answer.status}): expected that of the function itself"
    hint = f"; set {TOKEN}" if answer.status in (401, 403) else ""
    return f"the function at {url} does not answer us ({answer.status}: {said(answer.body)}){hint}"


def request(method: str, url: str, body: bytes | None, backoff_s: float, request_id: str | None = None) -> Raw:
    """What a function says; asked again after 429 and 5xx, which does no harm: a function keeps nothing.

    A redirection is not followed: photo and token go to the address that was given, and nowhere else.

    Raises:
        FunctionError: it cannot be reached.
        AnswerError: the connection broke off, or the answer is too long.
    """
    timeout = urllib3.Timeout(connect=CONNECT_S, read=_ANSWER_S)
    headers = _headers(body, request_id)
    try:
        with urllib3.PoolManager(retries=Retry.gentle(backoff_s, ("GET", "POST")), timeout=timeout) as pool:
            response = pool.request(method, url, body=body, headers=headers, preload_content=False, redirect=False)
            data = response.read(_MOST_BYTES + 1)
    except MaxRetryError as error:
        reason = error.reason or error
        why = f"asked several times ({type(reason).__name__})"
        if isinstance(reason, ReadTimeoutError):
            raise FunctionError(
                f"the function at {url} did not answer within {_ANSWER_S} s, {why}", again=True
            ) from None
        raise FunctionError(f"the function at {url} cannot be reached, {why}: start it", again=True) from None
    except HTTPError as error:
        raise AnswerError(f"the connection to the function broke off ({type(error).__name__})", again=True) from None
    if len(data) > _MOST_BYTES:
        raise AnswerError(f"its answer has over {_MOST_BYTES} bytes", status=response.status)
    return Raw(response.status, data, response.headers)


def _headers(body: bytes | None, request_id: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json"} if body else {}
    if request_id:
        headers[REQUEST_ID] = request_id
    if token := os.environ.get(TOKEN):
        headers["Authorization"] = f"Bearer {token}"
    return headers


def said(body: bytes) -> str:
    """The message in an error's body, or the beginning of it."""
    text = body[:10_000].decode("utf-8", "replace")
    with contextlib.suppress(ValueError, KeyError, TypeError):  # then it is no error of ours, and is said as it is
        text = json.loads(text)["error"]["message"]
    text = " ".join(str(text).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
