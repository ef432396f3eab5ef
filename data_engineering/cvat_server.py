"""A CVAT server: signing in, asking again where that is safe, and every failure as one kind of error with its fix.

with cvat_server.connect() as client:
    project = cvat_server.find_project(client, "Fine-grained segmentation")

Who signs in stands in the environment alone: ``CVAT_URL``, and ``CVAT_TOKEN`` or ``CVAT_USERNAME`` and
``CVAT_PASSWORD``.
"""

from __future__ import annotations

import difflib
import json
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cvat_sdk import Client, Config
from cvat_sdk.api_client import ApiClient
from cvat_sdk.api_client.exceptions import ApiException
from urllib3.exceptions import ProtocolError, TimeoutError

from data_engineering.cvat_errors import (
    PASSWORD,
    TOKEN,
    URL,
    USER,
    CvatError,
    MissingError,
    RefusedError,
    translated,
)
from data_engineering.cvat_http import PatientRest
from data_engineering.patience import LONGEST_WAIT_S, TRIES, Retry

MAX_JSON_BYTES = 512 * 2**20
"""The longest answer that is read as JSON: a task of 10,000 colonies drawn as masks has some 100 MB."""

_PAGE = 100
_SHOWN = 5


@dataclass(frozen=True)
class Account:
    """Who signs in where; secrets are in no representation of it.

    Attributes:
        url: of the server, with its scheme.
        secret: a token, or a user's name and password.
    """

    url: str
    secret: str | tuple[str, str]

    def __repr__(self) -> str:
        return f"Account({self.url!r}, {'token' if isinstance(self.secret, str) else 'user'} hidden)"


@dataclass(frozen=True)
class Project:
    """A project of the server.

    Attributes:
        id: its number.
        name: not necessarily unique.
        raw: what ``GET /api/projects/ID`` says.
    """

    id: int
    name: str
    raw: Mapping[str, Any]


# ---------------------------------------------------------------------------------------------- signing in


def account_from_environment() -> Account:
    """Read who signs in where.

    Raises:
        CvatError: a variable is missing, or the address is none.
    """
    url = os.environ.get(URL, "").strip().rstrip("/")
    if not url:
        raise CvatError(f"{URL} is not set: expected the server's address, such as https://app.cvat.ai")
    _check_url(url)
    if token := os.environ.get(TOKEN, "").strip():
        return Account(url, token)
    user, password = os.environ.get(USER, ""), os.environ.get(PASSWORD, "")
    if not user or not password:
        raise CvatError(
            f"no one to sign in: set {TOKEN} (an access token from your CVAT profile), or {USER} and {PASSWORD}"
        )
    return Account(url, (user, password))


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        _ = parts.port
    except ValueError as error:
        raise CvatError(f"{URL} is no address ({error}): expected one such as https://cvat.example.org") from None
    if parts.username or parts.password:
        raise CvatError(f"{URL} holds a user or password: put them into {USER} and {PASSWORD}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise CvatError(f"{URL} is {url!r}: expected an address such as https://cvat.example.org")


def connect(account: Account | None = None, *, poll_s: float = 2.0, backoff_s: float = 0.5) -> Client:
    """Sign in to a CVAT server and see that it knows us.

    Args:
        account: who and where; `None` reads the environment.
        poll_s: pause between two looks at whether a long job of the server is done.
        backoff_s: pause before a request is repeated the first time; each further one is twice as long.

    Returns:
        The SDK's client; use it in a ``with`` block. Time-outs and retries hold for everything asked through it.

    Raises:
        CvatError: the server is not there, is no CVAT server, or does not let us in.
    """
    account = account or account_from_environment()
    doing = f"sign in to {account.url}"
    with translated(doing):
        client = Client(account.url, config=Config(status_check_period=poll_s), check_server_version=False)
        configuration = client.api_client.configuration
        configuration.retries = Retry.gentle(backoff_s)
        client.api_client.rest_client = PatientRest(configuration)
        _sign_in(client, account.secret)
        get_json(client, "/api/users/self", doing)
    return client


def _sign_in(client: Client, secret: str | tuple[str, str]) -> None:
    if isinstance(secret, str):
        client.api_client.configuration.access_token = secret
        return
    try:
        client.login(secret)
    except ApiException as error:
        if error.status == 400:
            raise CvatError(
                f"the server does not know this user with this password: check {USER} and {PASSWORD}"
            ) from None
        raise
    except AssertionError:
        raise CvatError(f"the server answers, but not as CVAT does: check {URL}") from None


# ---------------------------------------------------------------------------------------------- asking


def get_bytes(client: Client, path: str, doing: str, *, most: int, **query: Any) -> bytes:
    """GET the body of an answer, asked for again where it breaks off.

    Args:
        client: signed in; may be shared by threads.
        path: below the server's address.
        doing: what this is for, in words, for messages.
        most: bytes; a longer body is refused.
        query: parameters.

    Raises:
        CvatError: there is no such answer.
    """
    with translated(doing):
        for attempt in range(TRIES):
            try:
                return _get_once(client, path, query, most)
            except (ProtocolError, TimeoutError):
                if attempt == TRIES - 1:
                    raise
                _wait(client, attempt)
    raise AssertionError("unreachable")


def _wait(client: Client, attempt: int) -> None:
    pause = client.api_client.configuration.retries.backoff_factor * 2**attempt
    time.sleep(min(pause * random.uniform(1, 1.25), LONGEST_WAIT_S))


def _get_once(client: Client, path: str, query: Mapping[str, Any], most: int) -> bytes:
    api: ApiClient = client.api_client
    headers = api.get_common_headers()
    api.update_params_for_auth(headers=headers, queries=[])
    response = api.rest_client.GET(
        client.api_map.make_endpoint_url(path), headers=headers, query_params=list(query.items()), _parse_response=False
    )
    try:
        body = bytearray()
        for chunk in response.stream(2**20):
            body += chunk
            if len(body) > most:
                raise RefusedError(f"the answer has over {most} bytes, more than is taken")
    except BaseException:
        response.close()  # what is left of the body must not be taken for the next answer
        raise
    response.release_conn()
    return bytes(body)


def get_json(client: Client, path: str, doing: str, **query: Any) -> Any:
    """GET an answer in JSON, see `get_bytes`.

    Raises:
        CvatError: there is no such answer, or it is no JSON.
    """
    body = get_bytes(client, path, doing, most=MAX_JSON_BYTES, **query)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise CvatError(f"{doing}: the server answers, but not in JSON as CVAT does: check {URL}") from None


def get_all(client: Client, path: str, doing: str, **query: Any) -> list[dict[str, Any]]:
    """Everything in a list that the server gives page by page, in the order of ids.

    A list from which something is deleted meanwhile would skip another thing at the turn of a page: it is read anew.

    Raises:
        CvatError: there is no such list, or it does not hold still.
    """
    for _ in range(TRIES):
        found = _read_pages(client, path, doing, query)
        if found is not None:
            return found
    raise CvatError(f"{doing}: the list changes faster than it can be read: run it again")


def _read_pages(client: Client, path: str, doing: str, query: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    found: dict[int, dict[str, Any]] = {}
    counts: set[int] = set()
    page, more = 1, True
    while more:
        try:
            answer = get_json(client, path, doing, **query, sort="id", page=page, page_size=_PAGE)
            found |= {int(one["id"]): one for one in answer["results"]}
            counts.add(int(answer["count"]))
            more = bool(answer["next"])
        except MissingError:
            if page == 1:
                raise
            return None  # there were more pages a moment ago
        except (TypeError, KeyError, ValueError) as error:
            if isinstance(error, CvatError):  # a ValueError too
                raise
            raise CvatError(f"{doing}: the server answers, but not with a list as CVAT does: check {URL}") from None
        page += 1
    return list(found.values()) if counts == {len(found)} else None


def patch_json(client: Client, path: str, doing: str, body: Any, **query: Any) -> None:
    """PATCH with a body of JSON. It is sent again only where it surely did not arrive.

    Raises:
        CvatError: the server refused it, or it is not known whether it arrived.
    """
    api: ApiClient = client.api_client
    headers = api.get_common_headers()
    api.update_params_for_auth(headers=headers, queries=[], method="PATCH")
    with translated(doing):
        url = client.api_map.make_endpoint_url(path, query_params=query)
        api.rest_client.PATCH(url, headers=headers, body=body)


def find_project(client: Client, name_or_id: str | int) -> Project:
    """Find a project by its number, else by its exact name.

    Raises:
        MissingError: there is none; the message lists those with names near it.
        CvatError: several have this name; the message lists their ids.
    """
    doing = f"find the project {str(name_or_id)!r}"
    if str(name_or_id).isascii() and str(name_or_id).isdigit():
        try:
            return _project(get_json(client, f"/api/projects/{int(name_or_id)}", doing))
        except MissingError:
            pass  # a name may be a number too
    return find_project_named(client, str(name_or_id))


def find_project_named(client: Client, name: str) -> Project:
    """Find a project by its exact name.

    Raises:
        CvatError: as `find_project`.
    """
    found = get_all(client, "/api/projects", f"find the project {name!r}", name=name)
    if not found:
        raise MissingError(f"no project {name!r} on {client.api_map.host}: {_near(client, name)}")
    if len(found) > 1:
        ids = ", ".join(f"{one['id']} (changed {str(one.get('updated_date'))[:10]})" for one in found)
        raise CvatError(f"{len(found)} projects have the name {name!r}: give the id of one: {ids}")
    return _project(found[0])


def _project(raw: Mapping[str, Any]) -> Project:
    return Project(int(raw["id"]), str(raw["name"]), raw)


def _near(client: Client, name: str) -> str:
    projects = get_all(client, "/api/projects", "list the projects")
    if not projects:
        return "this user sees no project at all; ask its owner for access, or check who signs in"
    by_case = {str(one["name"]).casefold(): one for one in projects}
    near = difflib.get_close_matches(name.casefold(), by_case, _SHOWN, 0.5) or list(by_case)[:_SHOWN]
    listed = ", ".join(f"{by_case[key]['name']!r} (id {by_case[key]['id']})" for key in near)
    return f"give an id or the exact name; there are {listed}{' …' if len(projects) > len(near) else ''}"
