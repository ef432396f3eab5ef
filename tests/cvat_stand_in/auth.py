"""Logins, sessions, personal access tokens, users, and what the server says of itself."""

from __future__ import annotations

import secrets
from http.cookies import SimpleCookie
from typing import Any

from tests.cvat_stand_in import queries, views
from tests.cvat_stand_in.http import Call, Refusal, Reply, detail, forbidden, missing, nothing, route
from tests.cvat_stand_in.state import State, Token, User, moment, stamp

NO_CREDENTIALS = "Authentication credentials were not provided."
SAFE = ("GET", "HEAD", "OPTIONS")


def add_user(state: State, username: str, password: str, *, superuser: bool = False, **names: str) -> User:
    number = state.next("user")
    email = names.pop("email", f"{username}@example.org")
    state.users[number] = User(number, username, password, email, superuser=superuser, joined=state.now(), **names)
    return state.users[number]


def add_token(state: State, user: User, name: str, *, read_only: bool = True, expiry: str | None = None) -> Token:
    number = state.next("token")
    value = f"pat_{secrets.token_urlsafe(24)}"
    state.tokens[number] = Token(number, value, name, user.id, read_only, state.now(), state.now(), expiry)
    return state.tokens[number]


def who(state: State, method: str, headers: dict[str, str]) -> tuple[User | None, Token | None]:
    """The user behind a request, by token or by session.

    Raises:
        Refusal: 401 for a token that is unknown, revoked or expired; 403 for a write with a read-only token.
    """
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind == "Bearer":
        return _by_token(state, method, value.strip())
    cookie = SimpleCookie(headers.get("cookie", ""))
    key = cookie["sessionid"].value if "sessionid" in cookie else value.strip() if kind == "Token" else ""
    number = state.sessions.get(key)
    return (state.users.get(number) if number else None), None


def _by_token(state: State, method: str, value: str) -> tuple[User, Token]:
    token = next((token for token in state.tokens.values() if secrets.compare_digest(token.value, value)), None)
    if token is None or (token.expiry and moment(token.expiry) <= moment(state.now())):
        raise detail(401, "Invalid token.", WWW_Authenticate="Token")
    if token.read_only and method not in SAFE:
        raise forbidden()
    token.last_used = state.now()
    return state.users[token.owner], token


def _session(call: Call, user: User, reply: dict[str, Any], status: int) -> Reply:
    key = secrets.token_hex(16)
    call.state.sessions[key] = user.id
    user.last_login = call.state.now()
    values = {"sessionid": key, "sessionfresh": "true", "csrftoken": secrets.token_hex(16)}
    cookies = tuple(f"{name}={value}; Max-Age=1209600; Path=/; SameSite=Lax" for name, value in values.items())
    return Reply(status, {**reply, "key": secrets.token_hex(20)}, cookies=cookies)


@route("GET", "/api/server/about", anonymous=True)
def about(call: Call) -> Any:
    return {
        "name": "Computer Vision Annotation Tool",
        "description": "A stand-in for tests.",
        "version": "2.73.0",
        "logo_url": f"{call.base}/static/logo.svg",
        "subtitle": "Open Data Annotation Platform",
    }


@route("POST", "/api/auth/register", anonymous=True)
def register(call: Call) -> Any:
    body = call.json()
    names = {"first_name": body.get("first_name", ""), "last_name": body.get("last_name", "")}
    user = add_user(call.state, body["username"], body["password1"], email=body.get("email", ""), **names)
    view = {"username": user.username, "email": user.email, **names, "email_verification_required": False}
    return _session(call, user, view, 201)


@route("POST", "/api/auth/login", anonymous=True)
def login(call: Call) -> Any:
    body = call.json()
    for user in call.state.users.values():
        if user.username == body.get("username") and user.password == body.get("password"):
            return _session(call, user, {}, 200)
    raise Refusal(400, {"non_field_errors": ["Unable to log in with provided credentials."]})


@route("POST", "/api/auth/logout")
def logout(call: Call) -> Any:
    cookie = SimpleCookie(call.headers.get("cookie", ""))
    if "sessionid" in cookie:
        call.state.sessions.pop(cookie["sessionid"].value, None)
    return Reply(200, {"detail": "Successfully logged out."}, cookies=("sessionid=; Max-Age=0; Path=/",))


@route("GET", "/api/users/self")
def self_view(call: Call) -> Any:
    return views.full_user(call, call.user)


@route("GET", "/api/users")
def users(call: Call) -> Any:
    seen = [user for user in call.state.users.values() if call.user.superuser or user.id == call.user.id]
    rows = [views.full_user(call, user) for user in reversed(seen)]
    fields = queries.plain("id", "username", "first_name", "last_name", "is_active")
    return queries.page(call, rows, fields, ("username", "first_name", "last_name"))


@route("GET", "/api/users/{id}")
def user(call: Call) -> Any:
    record = call.state.users.get(call.id)
    if record is None:
        raise missing("User")
    if not call.user.superuser and record.id != call.user.id:
        raise forbidden()
    return views.full_user(call, record)


def _token_view(call: Call, token: Token, **more: str) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "created_date": token.created,
        "updated_date": token.updated,
        "expiry_date": token.expiry,
        "last_used_date": token.last_used,
        "read_only": token.read_only,
        "owner": views.brief(call, token.owner),
        **more,
    }


def _own(call: Call) -> Token:
    if call.token is not None:
        raise forbidden()
    token = call.state.tokens.get(call.id)
    if token is None or token.owner != call.user.id:
        raise missing("AccessToken")
    return token


@route("GET", "/api/auth/access_tokens/self")
def token_self(call: Call) -> Any:
    if call.token is None:
        raise missing("AccessToken")
    return _token_view(call, call.token)


@route("GET", "/api/auth/access_tokens")
def tokens(call: Call) -> Any:
    own = [token for token in call.state.tokens.values() if token.owner == call.user.id]
    return queries.page(call, [_token_view(call, token) for token in reversed(own)], queries.plain("name"), ("name",))


@route("POST", "/api/auth/access_tokens")
def create_token(call: Call) -> Any:
    if call.token is not None:
        raise forbidden()
    body = call.json()
    expiry = stamp(moment(body["expiry_date"])) if body.get("expiry_date") else None
    token = add_token(call.state, call.user, body["name"], read_only=body.get("read_only", True), expiry=expiry)
    return Reply(201, _token_view(call, token, value=token.value))


@route("GET", "/api/auth/access_tokens/{id}")
def one_token(call: Call) -> Any:
    return _token_view(call, _own(call))


@route("DELETE", "/api/auth/access_tokens/{id}")
def revoke(call: Call) -> Any:
    del call.state.tokens[_own(call).id]
    return nothing(204)
