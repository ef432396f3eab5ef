"""The status page: what became of every task, what runs, waits and failed, and a button that tries again.

Rendered here, with nothing that a browser must fetch elsewhere. A page asks for itself every few seconds and swaps
what has changed; without JavaScript it is read by loading it again.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse

from deploy.bridge import families, health, photo_states
from deploy.bridge.families import Family
from deploy.bridge.ledger import Ledger, StepRow
from deploy.bridge.page_access import Access, Session
from deploy.bridge.page_view import View, go, here, is_ours
from deploy.bridge.plan import Plan
from deploy.bridge.settings import PAGE_TOKEN, Settings

_CSS = (Path(__file__).parent / "static" / "page.css").read_bytes()
_SIZE, _PHOTOS, _DELIVERIES = 40, 200, 100
_LAST_DELIVERIES = 8
_FORM_BYTES, _FORM_S = 4096, 10.0

Page = Annotated[int, Query(ge=1, le=10**6)]
Text = Annotated[str, Query(max_length=100)]


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form."""
    body = b""
    try:
        async with asyncio.timeout(_FORM_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _FORM_BYTES:
                    raise HTTPException(413, f"a form of this page has at most {_FORM_BYTES} bytes")
    except TimeoutError:
        raise HTTPException(408, f"the form did not come within {_FORM_S:g} s") from None
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


Form = Annotated[dict[str, str], Depends(_form)]


class Pages:
    """The routes. Each but the first two asks `Access` first."""

    def __init__(
        self, ledger: Ledger, plan: Plan, settings: Settings, enqueue_step: Callable[[int], None], cvat_url: str
    ) -> None:
        self._ledger, self._plan, self._mappings = ledger, plan, settings.folder / "mappings"
        self._enqueue = enqueue_step
        self._access = Access(settings.page_token, settings.public_url)
        self._view = View(plan, cvat_url)

    def style(self) -> Response:
        """``GET /static/page.css``."""
        return Response(_CSS, headers={"Cache-Control": "max-age=60"}, media_type="text/css")

    def login(self, request: Request, form: Form) -> Response:
        """``POST /login``."""
        if not self._access.is_own(request):
            return self._message(request, None, 403, "This form was not sent by the status page itself.")
        if not self._access.is_right(form.get("token", "")):
            return self._ask_for_token(request, form.get("back", ""), "That is not the token.")
        response = go(request, form.get("back", ""))
        self._access.begin(response)
        return response

    def logout(self, request: Request, form: Form) -> Response:
        """``POST /logout``."""
        session = self._access.session(request)
        if session is None or not self._access.may_change(request, session, form.get("csrf", "")):
            return self._stale(request, session)
        response = go(request, "")
        self._access.end(response)
        return response

    def overview(self, request: Request, show: Text = families.ALL, search: Text = "", page: Page = 1) -> Response:
        """``GET /``."""
        if not (session := self._access.session(request)):
            return self._ask_for_token(request, here(request))
        shown = show if show in families.SHOWN else families.ALL
        return self._view.show(
            "overview.html",
            request,
            session,
            shown=shown,
            search=search.strip(),
            page=page,
            pages_of=lambda found: max(1, -(-found // _SIZE)),
            part=families.listed(self._ledger, self._plan, shown, search.strip(), page, _SIZE),
            health=health.look(self._ledger),
            sums=health.step_sums(self._ledger),
            deliveries=self._deliveries(_LAST_DELIVERIES),
        )

    def status(self, request: Request, show: Text = families.ALL, search: Text = "", page: Page = 1) -> Response:
        """``GET /api/status``: the overview as JSON."""
        if not self._access.session(request):
            pause = self._access.tries.pause_s()
            code, message = ("busy", f"too many wrong tokens: wait {pause:.0f} s") if pause else ("unauthorized", _HINT)
            return JSONResponse({"error": {"code": code, "message": message}}, 429 if pause else 401)
        shown = show if show in families.SHOWN else families.ALL
        part = families.listed(self._ledger, self._plan, shown, search.strip(), page, _SIZE)
        seen = health.look(self._ledger)
        return JSONResponse(
            {
                "worker": {"alive": seen.alive, "heartbeat_s": seen.heartbeat_s, "swept_s": seen.swept_s},
                "deliveries": {"open": seen.deliveries, "oldest_s": seen.oldest_s},
                "steps": seen.steps,
                "photos": seen.doubts,
                "families": part.counts,
                "found": part.found,
                "page": page,
                "pages": max(1, -(-part.found // _SIZE)),
                "listed": [_as_json(family) for family in part.families],
            },
            headers={"Cache-Control": "no-store"},
        )

    def task(self, request: Request, task: int, show: Text = "", page: Page = 1) -> Response:
        """``GET /tasks/NUMBER``."""
        if not (session := self._access.session(request)):
            return self._ask_for_token(request, here(request))
        family = families.family_of(self._ledger, self._plan, task)
        if family is None:
            return self._message(request, session, 404, f"The bridge never had to do with task {task}.")
        photos = photo_states.photos_of(self._ledger, task)
        found = [photo for photo in photos if not show or photo.state == show]
        return self._view.show(
            "task.html",
            request,
            session,
            family=family,
            state=next(member for member in family.members if member.task == task),
            steps=self._ledger.steps_of(task),
            maker=self._ledger.parent_of(task),
            counts={state: sum(photo.state == state for photo in photos) for state in {p.state for p in photos}},
            photos=found[(page - 1) * _PHOTOS : page * _PHOTOS],
            show=show,
            page=page,
            pages=max(1, -(-len(found) // _PHOTOS)),
            mapped=sum(1 for _ in self._mapping_files(family)),
        )

    def mappings(self, request: Request, task: int) -> Response:
        """``GET /tasks/NUMBER/mappings.zip``: how the family's photos lie on one another."""
        if not (session := self._access.session(request)):
            return self._ask_for_token(request, f"tasks/{task}")
        family = families.family_of(self._ledger, self._plan, task)
        files = list(self._mapping_files(family)) if family else []
        if not files:
            return self._message(request, session, 404, f"The family of task {task} has no mappings.")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, path in files:
                archive.write(path, name)
        disposition = f'attachment; filename="mappings-{task}.zip"'
        return Response(packed.getvalue(), headers={"Content-Disposition": disposition}, media_type="application/zip")

    def _mapping_files(self, family: Family) -> Iterator[tuple[str, Path]]:
        for member in family.members:
            folder = self._mappings / str(member.task)
            for path in sorted(folder.rglob("*.json")):
                if path.is_file() and not path.is_symlink():
                    yield f"{member.task}/{path.relative_to(folder).as_posix()}", path

    def deliveries(self, request: Request, before: Annotated[int, Query(ge=0)] = 0) -> Response:
        """``GET /deliveries``."""
        if not (session := self._access.session(request)):
            return self._ask_for_token(request, here(request))
        rows = self._deliveries(_DELIVERIES, before)
        more = rows[-1]["id"] if len(rows) == _DELIVERIES else 0
        return self._view.show("deliveries.html", request, session, deliveries=rows, more=more)

    def _deliveries(self, count: int, before: int = 0) -> list[Any]:
        sql = "SELECT * FROM deliveries WHERE ? = 0 OR id < ? ORDER BY id DESC LIMIT ?"
        return self._ledger.rows(sql, (before, before, count))

    def retry(self, request: Request, form: Form) -> Response:
        """``POST /retry``: a step by its number, or all that failed."""
        session = self._access.session(request)
        if session is None or not self._access.may_change(request, session, form.get("csrf", "")):
            return self._stale(request, session)
        asked = form.get("step", "")
        if asked != "failed" and not (asked.isdecimal() and len(asked) < 18):
            return self._message(request, session, 400, f"There is no step {asked!r}.")
        for number in families.failed_steps(self._ledger) if asked == "failed" else [int(asked)]:
            if self._ledger.retry(number):  # else it runs, or is done: somebody else pressed the button too
                self._enqueue(number)
        return go(request, form.get("back", ""))

    def _ask_for_token(self, request: Request, back: str, fault: str = "") -> Response:
        pause = self._access.tries.pause_s()
        fault = f"Too many wrong tokens: wait {pause:.0f} s and try again." if pause else fault
        response = self._view.show(
            "login.html", request, None, 429 if pause else 401, fault=fault, back=back if is_ours(back) else ""
        )
        if pause:
            response.headers["Retry-After"] = f"{pause:.0f}"
        return response

    def _stale(self, request: Request, session: Session | None) -> Response:
        text = "This form is out of date, or not from this page: go back, load the page again and press once more."
        return self._message(request, session, 403, text)

    def _message(self, request: Request, session: Session | None, status: int, text: str) -> Response:
        return self._view.show("message.html", request, session, status, text=text)


_HINT = f"send the token of {PAGE_TOKEN} as `Authorization: Bearer TOKEN`"


def _as_json(family: Family) -> dict[str, Any]:
    tasks = [
        {
            "task": member.task,
            "stage": member.stage,
            "name": member.name,
            "photos": dict(member.photos),
            "steps": [
                {"step": work.name, "states": work.states, "seconds": round(work.seconds, 3)}
                | {"troubled": [_trouble(row) for row in work.troubled]}
                for work in member.work
            ],
        }
        for member in family.members
    ]
    return {"task": family.root, "name": family.name, "touched": family.touched, "tasks": tasks}


def _trouble(row: StepRow) -> Mapping[str, Any]:
    kept = ("id", "state", "job", "tries", "next_try", "reason", "request_id")
    return {name: value for name, value in asdict(row).items() if name in kept}


def _closed(plan: Plan) -> Callable[[Request], Response]:
    """There is no page without a token."""
    view = View(plan, "")
    text = f"There is no status page here: set {PAGE_TOKEN} to a long random text, and start the bridge again."

    def closed(request: Request) -> Response:
        return view.show("message.html", request, None, 404, text=text)

    return closed


def routes(
    ledger: Ledger, plan: Plan, settings: Settings, enqueue_step: Callable[[int], None], cvat_url: str
) -> APIRouter:
    """The pages, to be put into the bridge's application.

    Args:
        ledger: of the bridge.
        plan: the pipeline.
        settings: of the bridge; without a token there is one page, which says so.
        enqueue_step: puts a step into the queue, by its number.
        cvat_url: where people's browsers reach CVAT.
    """
    router = APIRouter(include_in_schema=False)
    pages = Pages(ledger, plan, settings, enqueue_step, cvat_url)
    router.add_api_route("/static/page.css", pages.style)
    if not settings.page_token:
        for path in ("/", "/tasks/{rest:path}", "/deliveries", "/api/status"):
            router.add_api_route(path, _closed(plan))
        return router
    router.add_api_route("/", pages.overview)
    router.add_api_route("/tasks/{task}", pages.task)
    router.add_api_route("/tasks/{task}/mappings.zip", pages.mappings)
    router.add_api_route("/deliveries", pages.deliveries)
    router.add_api_route("/api/status", pages.status)
    router.add_api_route("/login", pages.login, methods=["POST"])
    router.add_api_route("/logout", pages.logout, methods=["POST"])
    router.add_api_route("/retry", pages.retry, methods=["POST"])
    return router
