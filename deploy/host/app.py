"""The HTTP faces of the host: its own routes, the part of Nuclio's dashboard that CVAT asks, a port a function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from deploy.host.body import read_body
from deploy.host.errors import HttpError, error_body
from deploy.host.functions import Function
from deploy.host.limits import Limits
from deploy.host.metrics import HostMetrics
from deploy.host.pool import Pool
from deploy.host.process import Call


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
    """Takes requests for functions.

    Args:
        served: functions by name.
        unfetched: says how many bytes of answers clients have yet to fetch.

    Attributes:
        stopping: whether new requests are refused.
    """

    def __init__(
        self, served: Mapping[str, Served], metrics: HostMetrics, limits: Limits, unfetched: Callable[[], int]
    ) -> None:
        self.served, self.metrics = served, metrics
        self.stopping = False
        self._limits, self._unfetched = limits, unfetched
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def taken(self) -> int:
        """Requests in work, those whose body is being read included."""
        return len(self._tasks)

    def find(self, name: str) -> Served:
        """The function of that name.

        Raises:
            HttpError: 404.
        """
        if name not in self.served:
            raise HttpError(404, "no_such_function", f"no function {name!r}: there are {', '.join(self.served)}")
        return self.served[name]

    async def invoke(self, served: Served, request: Request) -> Response:
        """Answer a request through the function's workers.

        Raises:
            HttpError: it cannot be answered otherwise.
        """
        request.scope["record"].function = served.function.name
        if self.stopping:
            raise HttpError(503, "stopping", "the host is stopping: try again in a moment", {"Retry-After": "5"})
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await self._ask(served, request)
        except asyncio.CancelledError as error:
            task.uncancel()
            raise HttpError(503, "stopping", "the host stopped before the answer was ready") from error
        finally:
            self._tasks.discard(task)

    def give_up(self) -> None:
        """Answer all requests in work with 503."""
        for task in self._tasks:
            task.cancel()

    async def _ask(self, served: Served, request: Request) -> Response:
        pool = served.pool
        pool.check_room()  # before reading a photo for nothing
        self._check_fetched()
        async with read_body(request, pool, self._limits) as body:
            with pool.place():
                result = await pool.ask(_call(request, body), request.is_disconnected)
        self.metrics.told(served.function.name, result.headers)
        return Response(result.body, result.status, {**result.headers, "Content-Type": result.content_type})

    def _check_fetched(self) -> None:
        """Make no more answers than memory has room for: a photo without its grid may have 200 MB.

        Raises:
            HttpError: 503, clients have too much yet to fetch.
        """
        if (size := self._unfetched()) > self._limits.most_held:
            message = f"answers of {size // 10**6} MB wait to be fetched: try again in a moment"
            raise HttpError(503, "busy", message, {"Retry-After": "2"})


def _call(request: Request, body: bytes) -> Call:
    request_id = request.scope["record"].request_id
    path = request.headers.get("x-nuclio-path", "/")
    passed = {n: v for n, v in request.headers.items() if n != "authorization"}  # the token is the host's
    return Call(request_id, path, {**passed, "x-request-id": request_id}, body)


def respond_error(request: Request, error: HttpError) -> Response:
    """An error as JSON."""
    request.scope["record"].error = error.code
    return Response(error_body(error.code, error.message), error.status, error.headers, "application/json")


def make_dashboard(desk: Desk) -> FastAPI:
    """The host's main port."""
    app = _new_app("Functions of the coral quadrat project")

    @app.get("/")
    async def index() -> dict[str, Any]:
        return {
            "functions": {name: f"/functions/{name}" for name in desk.served},
            "see": ["/healthz", "/livez", "/metrics"],
        }

    @app.get("/healthz")
    async def healthz(response: Response) -> dict[str, Any]:
        states = {name: served.state for name, served in desk.served.items()}
        response.status_code = 200 if "ready" in states.values() and not desk.stopping else 503
        word = "ok" if set(states.values()) == {"ready"} else "degraded"
        return {"status": "stopping" if desk.stopping else word, "functions": states}

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

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
    async def known(request: Request, error: HttpError) -> Response:
        return respond_error(request, error)

    @app.exception_handler(HTTPException)
    async def routing(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        message = f"{request.method} {request.url.path}: {error.detail}; GET / on the main port lists what there is"
        return respond_error(request, HttpError(error.status_code, code, message, error.headers))

    @app.exception_handler(Exception)
    async def fault(request: Request, _: Exception) -> Response:
        return respond_error(request, HttpError(500, "host_fault", "the host failed; its log holds the reason"))

    return app
