"""The web side: deliveries in, answers at once; health, metrics, the status page."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from deploy.bridge import events, log, metrics, page
from deploy.bridge.events import WEBHOOK, DeliveryError, Ignored
from deploy.bridge.health import ALIVE_S
from deploy.bridge.ledger import HEARTBEAT, OWN_USER, Ledger
from deploy.bridge.plan import Plan
from deploy.bridge.settings import Settings
from deploy.bridge.work_queue import WorkQueue

_BODY_S = 10.0
_OWN_USER_S = 10.0


class RefusedError(Exception):
    """A request that is not taken."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status, self.code = status, code


def make_app(settings: Settings, plan: Plan, ledger: Ledger, queue: WorkQueue, cvat_url: str) -> FastAPI:
    """The application; nothing in it asks CVAT or a function."""
    app = FastAPI(title="QUADRATSEG bridge", docs_url=None, redoc_url=None, openapi_url=None)
    logger = log.make_logger("web")
    own_user = _remembered(ledger, plan)
    watch = metrics.Deliveries()

    @app.post(WEBHOOK)
    async def take(request: Request) -> Response:
        start, request_id = time.perf_counter(), uuid.uuid4().hex
        try:
            body = await _body(request)
            _check_signature(body, request.headers.get("x-signature-256"), settings)
            outcome, event, reason = await run_in_threadpool(_take, body, request_id, ledger, queue, own_user)
        except (RefusedError, DeliveryError) as error:
            status, code = (error.status, error.code) if isinstance(error, RefusedError) else (400, "bad_delivery")
            logger.warn_with("delivery refused", request=request_id, code=code, reason=str(error))
            watch.count("", code, time.perf_counter() - start)
            return JSONResponse({"error": {"code": code, "message": str(error)}}, status)
        logger.info_with("delivery", request=request_id, event=event, outcome=outcome, reason=reason)
        watch.count(event, outcome, time.perf_counter() - start)
        return JSONResponse({"outcome": outcome, "reason": reason}, headers={"X-Quadrat-Request": request_id})

    @app.get("/livez")
    def alive() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/healthz")
    def healthy() -> Response:
        silent_s = time.time() - float(ledger.fact(HEARTBEAT) or 0)
        if silent_s > ALIVE_S:
            return JSONResponse({"status": "the worker is silent"}, 503)
        return JSONResponse({"status": "ok"})

    app.include_router(metrics.routes(ledger, plan, watch, lambda: _length(queue)))
    app.include_router(page.routes(ledger, plan, settings, queue.do, cvat_url))
    return app


def _length(queue: WorkQueue) -> float:
    """How much waits in the queue; not a number while Redis is away, so that the other figures are still told."""
    try:
        return len(queue)
    except Exception:  # Redis' own kinds, or SQLite's
        return math.nan


def _take(
    body: bytes, request_id: str, ledger: Ledger, queue: WorkQueue, own_user: Callable[[], str]
) -> tuple[str, str, str]:
    """Put a delivery down and into the queue; in this order, so that it is never lost."""
    event = events.read(body, own_user())
    if isinstance(event, Ignored):
        return "ignored", event.event, event.reason
    number, new = ledger.take(
        event.digest, event.event, event.project, event.task, event.job, event.updated, request_id
    )
    if new or ledger.delivery(number).settled is None:  # it may have been put down, and the queue have failed
        queue.look(number)
    return ("taken", event.event, "") if new else ("known", event.event, "this delivery came before")


async def _body(request: Request) -> bytes:
    """The body, bounded in size and time."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(415, "bad_type", "expected Content-Type: application/json, as CVAT sends it")
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > events.MAX_BYTES:
                    raise RefusedError(413, "too_large", f"a delivery has at most {events.MAX_BYTES} bytes")
    except TimeoutError:
        raise RefusedError(408, "slow_body", f"the body did not come within {_BODY_S:g} s") from None
    return bytes(body)


def _check_signature(body: bytes, signature: str | None, settings: Settings) -> None:
    if signature is None and settings.unsigned:
        return
    if signature is None:
        raise RefusedError(401, "unsigned", "no X-Signature-256: give the webhook in CVAT the secret of BRIDGE_SECRET")
    if not events.is_signed(body, signature, settings.secrets):
        raise RefusedError(
            403, "bad_signature", "another secret signed this: `python -m deploy.bridge init` sets it anew"
        )


def _remembered(ledger: Ledger, plan: Plan) -> Callable[[], str]:
    """The name of the bridge's own user, which the worker found out; looked up now and then."""
    known: dict[str, Any] = {"name": "", "until": 0.0}

    def name() -> str:
        if plan.own_account and time.monotonic() >= known["until"]:
            known.update(name=ledger.fact(OWN_USER), until=time.monotonic() + _OWN_USER_S)
        return str(known["name"])

    return name
