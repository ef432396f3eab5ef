"""Who may see the status page: who has its token.

A person gives the token once and gets a cookie for half a day; a script sends ``Authorization: Bearer TOKEN``. Nothing
is stored: cookies are signed with a key made of the token, so that another token ends all sessions. What changes
something needs a cookie, a token bound to it that only our own pages hold, and a browser that says that it comes from
them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request, Response

COOKIE = "quadrat_bridge"
LASTS_S = 12 * 3600
_FREE_TRIES = 5
_LONGEST_PAUSE_S = 60.0
_COOKIE = re.compile(r"(\d{1,12}\.[0-9a-f]{32})\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who may see the page.

    Attributes:
        csrf: what their forms must hold; empty for a script, which sends none.
    """

    csrf: str


class Tries:
    """Counts wrong tokens, from wherever they come: after some, each costs everybody a pause that grows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong, self._until = 0, 0.0

    def pause_s(self) -> float:
        """How long no token is looked at, even a right one."""
        return max(0.0, self._until - time.monotonic())

    def note(self, right: bool) -> None:
        """Count a try."""
        with self._lock:
            self._wrong = 0 if right else self._wrong + 1
            if self._wrong >= _FREE_TRIES:
                pause = min(_LONGEST_PAUSE_S, 2.0 ** min(self._wrong - _FREE_TRIES, 30))
                self._until = time.monotonic() + pause


class Access:
    """The rule for every request.

    Args:
        token: of the page.
        public_url: under which browsers reach it; empty: unknown.
    """

    def __init__(self, token: str, public_url: str) -> None:
        self._token = token.encode()
        self._key = hmac.digest(self._token, b"status page of the bridge", hashlib.sha256)
        public = urlsplit(public_url)
        self._secure, self._public = public.scheme == "https", public.netloc.lower()
        self.tries = Tries()

    def is_right(self, given: str) -> bool:
        """Whether it is the token; while `Tries` pauses, nothing is."""
        if self.tries.pause_s():
            return False
        right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
        self.tries.note(right)
        return right

    def session(self, request: Request) -> Session | None:
        """Who asks; `None`: somebody who may not."""
        told = _COOKIE.fullmatch(request.cookies.get(COOKIE, ""))
        if told and hmac.compare_digest(self._sign(told[1]), told[2]) and int(told[1].partition(".")[0]) > time.time():
            return Session(self._sign(f"form {told[1]}"))
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return Session("") if scheme.lower() == "bearer" and self.is_right(given) else None

    def begin(self, response: Response) -> None:
        """Put the cookie of a new session into an answer."""
        told = f"{int(time.time()) + LASTS_S}.{secrets.token_hex(16)}"
        value = f"{told}.{self._sign(told)}"
        response.set_cookie(COOKIE, value, LASTS_S, httponly=True, samesite="strict", secure=self._secure)

    def end(self, response: Response) -> None:
        """Take the cookie away."""
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=self._secure)

    def may_change(self, request: Request, session: Session, csrf: str) -> bool:
        """Whether a form of one of our own pages was sent."""
        right = bool(session.csrf) and hmac.compare_digest(csrf.encode("utf-8", "replace"), session.csrf.encode())
        return right and self.is_own(request)

    def is_own(self, request: Request) -> bool:
        """Whether a browser says that the request comes from our own pages."""
        if site := request.headers.get("sec-fetch-site"):
            return site == "same-origin"
        origin = urlsplit(request.headers.get("origin", "")).netloc.lower()
        return bool(origin) and origin in (request.headers.get("host", "").lower(), self._public)

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
