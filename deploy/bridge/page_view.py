"""How a page of the bridge is rendered, and what keeps strangers' code out of it."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from fastapi import Request, Response

from deploy.bridge import page_words
from deploy.bridge.page_access import Session
from deploy.bridge.plan import Plan

FRAGMENT = "x-quadrat-fragment"
"""Header by which a page asks for its changing part alone."""

_HERE = Path(__file__).parent
_BACK = re.compile(r"(tasks/\d{1,18}|deliveries)?(\?[A-Za-z0-9=&%._+-]{0,300})?")


class View:
    """Renders pages and puts the headers on them that keep strangers' code out."""

    def __init__(self, plan: Plan, cvat_url: str) -> None:
        loader = jinja2.FileSystemLoader(_HERE / "templates")
        self._jinja = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        words = {name: getattr(page_words, name) for name in ("took", "away", "utc", "iso")}
        self._jinja.filters.update(words)
        self._jinja.globals.update(
            plan=plan,
            cvat=cvat_url.rstrip("/"),
            step_words=page_words.STEP_WORDS,
            photo_words=page_words.PHOTO_WORDS,
            when_words=page_words.WHEN_WORDS,
            step_states=page_words.step_states,
            photo_states=page_words.photo_states,
            link=_link,
        )

    def show(self, name: str, request: Request, session: Session | None, status: int = 200, **values: Any) -> Response:
        """A page, or the changing part of it."""
        nonce = secrets.token_urlsafe(16)
        frame = "fragment.html" if request.headers.get(FRAGMENT) else "frame.html"
        common = {"frame": frame, "place": name, "nonce": nonce, "session": session}
        html = self._jinja.get_template(name).render(**common, root=root_of(request), here=here(request), **values)
        return Response(html, status, _headers(nonce), "text/html; charset=utf-8")


def _headers(nonce: str) -> dict[str, str]:
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; connect-src 'self'; img-src data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",  # with none at all, browsers hide from us that a form is our own
        "X-Content-Type-Options": "nosniff",
        "Vary": FRAGMENT,
    }


def root_of(request: Request) -> str:
    """The way up to the first page: all links are relative, so that a proxy may put the page under any path."""
    return "../" * (request.url.path.count("/") - 1) or "./"


def here(request: Request) -> str:
    """The page that was asked for, as seen from the first."""
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path.lstrip("/") + query


def _link(**values: object) -> str:
    """A query of what is not empty."""
    return "?" + urlencode({name: value for name, value in values.items() if value})


def is_ours(place: str) -> bool:
    """Whether a place that a form wants to go back to is one of our pages."""
    return bool(_BACK.fullmatch(place))


def go(request: Request, place: str) -> Response:
    """Go on to a page of ours, and nowhere else."""
    location = root_of(request) + (place if is_ours(place) else "")
    return Response(status_code=303, headers={"Location": location, "Cache-Control": "no-store"})
