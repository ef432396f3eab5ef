"""The application that uvicorn serves: finds the handler, knows the caller, keeps the lock, lets faults happen.

Plain ASGI: a fault must reach the connection itself.
"""

from __future__ import annotations

import asyncio
import traceback
import uuid
from typing import Any
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from tests.cvat_stand_in import auth
from tests.cvat_stand_in.faults import Asked, Asking, Fault, Faults
from tests.cvat_stand_in.http import Call, Refusal, Reply, broken, detail, find
from tests.cvat_stand_in.state import State


class Api:
    """Everything under /api, as an ASGI application."""

    def __init__(self, state: State, faults: Faults, asking: Asking):
        self.state, self.faults, self.asking = state, faults, asking

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, target = scope["method"], _target(scope)
        body = await _body(receive)
        fault = self.faults.meet(method, target)
        if fault and fault.stall_s:
            await asyncio.sleep(fault.stall_s)
        served = fault is None or fault.after or not (fault.drop or fault.status)
        reply = await run_in_threadpool(self.serve, scope, body) if served else None
        if fault and fault.status:
            reply = Refusal(fault.status, {"detail": "A fault on demand."}, headers=fault.headers).reply
        if reply is None or (fault and fault.drop):
            self.asking.add(Asked(method, target, None, 0))
            _hang_up(send)
            return
        content = await run_in_threadpool(reply.content)
        self.asking.add(Asked(method, target, reply.status, len(content)))
        await _send(send, method, reply, content, fault)

    def serve(self, scope: Scope, body: bytes) -> Reply:
        """Answer one request."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = "/" + scope["path"].strip("/")
        query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        call = Call(self.state, f"http://{headers.get('host', 'localhost')}", path, {}, query, headers, body)
        try:
            reply = self._answer(call, scope["method"])
        except Refusal as refusal:
            reply = refusal.reply
        except Exception:  # a mistake of the stand-in, not a refusal: shown by `Server.errors`
            self.state.errors.append(traceback.format_exc())
            reply = broken().reply
        if scope["method"] not in auth.SAFE:
            self.state.save()
        return reply

    def _answer(self, call: Call, method: str) -> Reply:
        found, parts = find(method, call.path)
        with self.state.lock:
            user, token = auth.who(self.state, method, dict(call.headers))
        if user is None and not found.anonymous:
            raise detail(401, auth.NO_CREDENTIALS, WWW_Authenticate="Token")
        call = Call(call.state, call.base, call.path, parts, call.query, call.headers, call.body, user, token)
        if not found.locked:
            return _reply(found.handler(call))
        with self.state.lock:
            return _reply(found.handler(call))


def _reply(answer: Any) -> Reply:
    return answer if isinstance(answer, Reply) else Reply(200, answer)


def _target(scope: Scope) -> str:
    query = scope["query_string"].decode()
    return scope["path"] + (f"?{query}" if query else "")


async def _body(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def _send(send: Send, method: str, reply: Reply, content: bytes, fault: Fault | None) -> None:
    if fault and fault.shorten is not None:
        content = content[: fault.shorten]
    headers = {"X-Request-Id": str(uuid.uuid4()), **reply.headers}
    if reply.media:
        headers["Content-Type"] = reply.media
    if reply.status != 204:
        headers["Content-Length"] = str(len(content))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    raw += [(b"set-cookie", cookie.encode("latin-1")) for cookie in reply.cookies]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    if fault and fault.cut is not None:
        await send({"type": "http.response.body", "body": content[: fault.cut], "more_body": True})
        await asyncio.sleep(0.02)  # what was sent shall arrive before the end does
        _hang_up(send)
        return
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else content})


def _hang_up(send: Send) -> None:
    """Close the connection under the client; ASGI has no word for it, so uvicorn's own transport is asked."""
    send.__self__.transport.abort()  # type: ignore[attr-defined]
