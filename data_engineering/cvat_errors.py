"""Whatever a CVAT server, the SDK or a full disk does to us, as one kind of error that names the fix."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from cvat_sdk.api_client.exceptions import ApiException, OpenApiException
from cvat_sdk.core.exceptions import CvatSdkException, InvalidHostException
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError, TimeoutError

URL = "CVAT_URL"
TOKEN = "CVAT_TOKEN"
USER = "CVAT_USERNAME"
PASSWORD = "CVAT_PASSWORD"
"""Environment variables."""

_LONGEST_DETAIL = 300
_NOT_SENT_TWICE = "what was sent may have arrived: run the command again, it looks before it writes"


class CvatError(ValueError):
    """The server refused, failed or could not be reached; the message says what was asked, why, and the fix."""


class OutageError(CvatError):
    """Nothing else can be done either: the server is not to be reached or lets us out, or the disk is full."""


class MissingError(CvatError):
    """What was asked for is not on the server, or not to be seen by this user."""


class RefusedError(CvatError):
    """The server will not take what was sent, or what it answers cannot be taken: asking again does not help."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn whatever the SDK, its HTTP or a full disk raises in the block into a `CvatError`.

    Args:
        doing: what the block is for, in words; begins the message.

    Raises:
        CvatError: in place of what was raised; nothing of the server's headers, which hold secrets, is in it.
    """
    try:
        yield
    except CvatError as error:
        if doing in str(error):
            raise
        raise type(error)(f"{doing}: {error}") from None
    except ApiException as error:
        raise _refusal(doing, error) from None
    except HTTPError as error:
        kind = OutageError if isinstance(error, MaxRetryError) else CvatError
        raise kind(f"{doing}: {_outage(error)}") from None
    except InvalidHostException as error:
        raise CvatError(f"{doing}: {error}; check {URL}") from None
    except CvatSdkException as error:
        raise CvatError(f"{doing}: {_cut(str(error))}") from None
    except OpenApiException as error:  # the SDK's models do not know what came
        raise CvatError(f"{doing}: the server's answer is not understood ({_cut(str(error))})") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OutageError(
            f"{doing}: the disk is full ({error.filename or 'no space left'}); free some space and run it again, "
            "what is whole is kept"
        ) from error


def _refusal(doing: str, error: ApiException) -> CvatError:
    detail = _detail(error.body)
    if error.status == 401:
        fix = f"make a new one in your CVAT profile and set {TOKEN}"
        if os.environ.get(USER) and not os.environ.get(TOKEN):
            fix = f"sign in anew, by {USER} and {PASSWORD}"
        return OutageError(
            f"{doing}: the server does not let us in ({detail or 401}). The token or session may have expired or been "
            f"revoked: {fix}; and {URL} must begin with https where the server does"
        )
    if error.status == 403:
        return CvatError(
            f"{doing}: this user or token may not do that ({detail or 403}). Tokens are read-only unless made "
            "otherwise; and the project's owner must give access"
        )
    if error.status == 404:
        return MissingError(
            f"{doing}: the server has no such thing, or does not show it to this user ({detail or 404})"
        )
    if error.status == 429:
        return CvatError(
            f"{doing}: the server asks for fewer requests (429), and still does: wait, or use fewer workers"
        )
    if error.status and error.status >= 500:
        return CvatError(
            f"{doing}: the server failed ({error.status}{': ' + detail if detail else ''}); run it again later, "
            "and tell its administrator if it stays so"
        )
    return RefusedError(f"{doing}: the server refused it ({error.status}: {detail or error.reason})")


def _detail(body: bytes | str | None) -> str:
    """What an answer says in words; nothing for a page of HTML."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""
    if "<" in text[:20]:
        return ""
    try:
        said = json.loads(text)
    except ValueError:
        return _cut(text)
    if isinstance(said, dict):
        said = said.get("detail", said.get("non_field_errors", said))
    return _cut(said if isinstance(said, str) else json.dumps(said, ensure_ascii=False))


def _outage(error: HTTPError) -> str:
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    if isinstance(cause, SSLError):
        return f"the server's certificate is not trusted ({_cut(str(cause))}); check the address and SSL_CERT_FILE"
    if isinstance(error, MaxRetryError):
        return (
            f"the server cannot be reached, asked several times ({type(cause).__name__}: {_cut(str(cause))}); "
            f"check that it runs, the network and {URL}, and run it again"
        )
    if isinstance(cause, TimeoutError):
        return f"the server did not answer in time; {_NOT_SENT_TWICE}"
    return f"the connection to the server broke off ({type(cause).__name__}); {_NOT_SENT_TWICE}"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_DETAIL else f"{text[:_LONGEST_DETAIL]}…"
