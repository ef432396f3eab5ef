"""The HTTP faces of the host: its own routes, the part of Nuclio's dashboard that CVAT asks, a port a function."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from deploy.host.errors import HttpError, error_body
from deploy.host.functions import Function
from deploy.host.metrics import HostMetrics
from deploy.host.pool import Pool
from deploy.host.worker import Call

_READ_S = 60.0
_DRAINED = 4
"""So many times the limit of a body is read and thrown away, so that its sender sees the 413 and no broken pipe."""


@dataclass(slots=True)
class Served:
    """A function, its workers, and the port of its own."""

    function: Function
    pool: Pool
    port: int

    @property
    def state(self) -> str:
        """``ready`` or ``error``, as Nuclio says it."""
        return "error" if self.pool.failure else "ready"

    def as_nuclio(self) -> dict[str, Any]:
        """As Nuclio's dashboard describes a function."""
        status: dict[str, Any] = {"state": self.state, "httpPort": self.port}
        if self.pool.failure:
            status["message"] = self.pool.failure
        return {"metadata": dict(self.function.metadata), "spec": dict(self.function.spec), "status": status}


class Desk:
    """Takes requests for functions: limits, counts and logs them."""

    def __init__(self, served: Mapping[str, Served], metrics: HostMetrics, logger: Any, max_body: int) -> None:
        self.served, self.metrics = served, metrics
        self._logger, self._max_body = logger, max_body

    def find(self, name: str) -> Served:
        """The function of that name.

        Raises:
            HttpError: 404.
        """
        if name not in self.served:
            raise HttpError(404, "no_such_function", f"no function {name!r}: there are {', '.join(self.served)}")
        return self.served[name]

    async def invoke(self, served: Served, request: Request) -> Response:
        """Answer a request through the function's workers, whatever happens."""
        start, name = time.perf_counter(), served.function.name
        request_id = _request_id(request)
        try:
            response = await self._ask(served, request, request_id)
        except HttpError as error:
            response = respond_error(error)
        response.headers["X-Quadrat-Request"] = request_id
        seconds = time.perf_counter() - start
        self.metrics.answered(name, response.status_code, seconds)
        facts = {"request": request_id, "function": name, "status": response.status_code, "ms": round(seconds * 1000)}
        self._logger.info_with("request", client=request.client.host if request.client else None, **facts)
        return response

    async def _ask(self, served: Served, request: Request, request_id: str) -> Response:
        with served.pool.place():  # before reading: what waits holds its photo in memory
            body = await _read_body(request, self._max_body)
            path = request.headers.get("x-nuclio-path", "/")
            passed = {n: v for n, v in request.headers.items() if n != "authorization"}  # the token is the host's
            result = await served.pool.ask(Call(request_id, path, {**passed, "x-request-id": request_id}, body))
        headers = {**result.headers, "Content-Type": result.content_type}
        return Response(result.body, result.status, headers)


async def _read_body(request: Request, most: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    declared = request.headers.get("content-length", "0")
    too_large = declared.isdecimal() and int(declared) > _DRAINED * most
    try:
        async with asyncio.timeout(_READ_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= most:
                    chunks.append(chunk)
                else:
                    chunks.clear()
                    too_large = True
                if too_large and size > _DRAINED * most:
                    break
    except TimeoutError as error:
        raise HttpError(408, "slow_body", f"the body did not come within {_READ_S:g} s") from error
    except ClientDisconnect as error:
        raise HttpError(400, "disconnected", "the body was cut off") from error
    if too_large:
        raise HttpError(413, "too_large", f"the body has over {most} bytes: save the photo smaller")
    return b"".join(chunks)


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    kept = "".join(c for c in given if c.isascii() and (c.isalnum() or c in "-_."))[:64]
    return kept or uuid.uuid4().hex[:16]


def respond_error(error: HttpError) -> Response:
    """An error as JSON."""
    return Response(error_body(error.code, error.message), error.status, error.headers, "application/json")


def make_dashboard(desk: Desk) -> FastAPI:
    """The host's main port."""
    app = _new_app("Functions of the coral quadrat project")

    @app.get("/")
    async def index() -> dict[str, Any]:
        return {"functions": {name: f"/functions/{name}" for name in desk.served}, "see": ["/healthz", "/metrics"]}

    @app.get("/healthz")
    async def healthz(response: Response) -> dict[str, Any]:
        states = {name: served.state for name, served in desk.served.items()}
        response.status_code = 200 if "ready" in states.values() else 503
        return {"status": "ok" if set(states.values()) == {"ready"} else "degraded", "functions": states}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(desk.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/api/functions")
    async def functions(request: Request) -> dict[str, Any]:
        project = request.headers.get("x-nuclio-project-name")
        return {n: s.as_nuclio() for n, s in desk.served.items() if project in (None, s.function.project)}

    @app.get("/api/functions/{name}")
    async def function(name: str) -> dict[str, Any]:
        return desk.find(name).as_nuclio()

    @app.post("/api/function_invocations")
    async def invocation(request: Request) -> Response:
        name = request.headers.get("x-nuclio-function-name")
        if not name:
            raise HttpError(400, "no_function_name", "the header x-nuclio-function-name is missing")
        return await desk.invoke(desk.find(name), request)

    @app.post("/functions/{name}")
    async def invoke(name: str, request: Request) -> Response:
        return await desk.invoke(desk.find(name), request)

    return app


def make_port(desk: Desk, served: Served) -> FastAPI:
    """A function's own port, as CVAT's direct way of asking wants it."""
    app = _new_app(served.function.name)

    @app.post("/")
    async def invoke(request: Request) -> Response:
        return await desk.invoke(served, request)

    return app


def _new_app(title: str) -> FastAPI:
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(HttpError)
    async def known(_: Request, error: HttpError) -> Response:
        return respond_error(error)

    @app.exception_handler(HTTPException)
    async def routing(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        message = f"{request.method} {request.url.path}: {error.detail}; GET / on the main port lists what there is"
        return respond_error(HttpError(error.status_code, code, message, error.headers))

    @app.exception_handler(Exception)
    async def fault(_: Request, __: Exception) -> Response:
        return respond_error(HttpError(500, "host_fault", "the host failed; its log holds the reason"))

    return app
