"""What a CVAT server says of itself, of who signs in, and of what the access token may do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from cvat_sdk import Client

from data_engineering import cvat_server
from data_engineering.cvat_errors import TOKEN, CvatError, MissingError, translated


@dataclass(frozen=True, slots=True)
class About:
    """A server.

    Attributes:
        version: of CVAT; empty where it does not say.
        time: of its clock, to a second; `None` where it does not say.
    """

    version: str
    time: datetime | None


@dataclass(frozen=True, slots=True)
class Token:
    """An access token as the server knows it.

    Attributes:
        read_only: whether it may only read, as tokens do unless made otherwise.
        expires: when it ends; `None`: never.
    """

    read_only: bool
    expires: datetime | None = None


def server(client: Client) -> About:
    """What the server says of itself.

    Raises:
        CvatError: it does not answer.
    """
    api = client.api_client
    with translated("ask for the server's version"):
        response = api.rest_client.GET(
            client.api_map.make_endpoint_url("/api/server/about"), headers=api.get_common_headers()
        )
    try:
        version = str(json.loads(response.data)["version"])
    except (ValueError, KeyError, TypeError):
        version = ""
    try:
        return About(version, parsedate_to_datetime(response.headers["Date"]))
    except (ValueError, KeyError, TypeError):
        return About(version, None)


def user(client: Client) -> Mapping[str, Any]:
    """What ``GET /api/users/self`` says.

    Raises:
        CvatError: the server does not let us in.
    """
    told: dict[str, Any] = cvat_server.get_json(client, "/api/users/self", "see who signs in")
    return told


def token(client: Client) -> Token | None:
    """The access token that signs in; `None` of a user with a password, and of a server that knows no tokens.

    Raises:
        CvatError: the server does not say.
    """
    if not client.api_client.configuration.access_token:
        return None
    doing = "look at the access token"
    try:
        told = cvat_server.get_json(client, "/api/auth/access_tokens/self", doing)
    except MissingError:
        return None
    try:
        expires = told["expiry_date"] and datetime.fromisoformat(told["expiry_date"])
        return Token(bool(told["read_only"]), expires or None)
    except (KeyError, TypeError, ValueError) as error:
        raise CvatError(f"{doing}: the server's answer is not understood ({error!r})") from None


def check_may_write(client: Client) -> None:
    """Refuse a token that may only read, before anything is half done.

    Raises:
        CvatError: with the fix.
    """
    known = token(client)
    if known is not None and known.read_only:
        raise CvatError(
            f"the access token may only read, as CVAT makes them by default: make one that may write in your CVAT "
            f"profile (untick read-only) and set {TOKEN}"
        )
