"""Reading a request's body within bounds of size, time and memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.requests import ClientDisconnect

from deploy.host.errors import HttpError
from deploy.host.limits import Limits
from deploy.host.pool import Pool

_DRAINED = 4
"""So many times the limit of a body is read and thrown away, so that its sender sees the 413 and no broken pipe."""


@asynccontextmanager
async def read_body(request: Request, pool: Pool, limits: Limits) -> AsyncIterator[bytes]:
    """The body, counted for as long as it is held against what the function's requests may occupy together.

    A place in the queue is only taken with a whole body in hand: clients that send slowly keep nobody out.

    Raises:
        HttpError: 408 too slow, 413 too large, 503 no memory left for it, 400 cut off.
    """
    chunks: list[bytes] = []
    size = held = 0
    stream, deadline = request.stream(), time.monotonic() + limits.body_s
    try:
        while chunk := await _next(stream, deadline, limits):
            size += len(chunk)
            if size <= limits.max_body:
                pool.hold(len(chunk))
                held += len(chunk)
                chunks.append(chunk)
            elif size <= _DRAINED * limits.max_body:
                chunks.clear()
            else:
                break
        if size > limits.max_body:
            raise HttpError(413, "too_large", f"the body has over {limits.max_body} bytes: save the photo smaller")
        body = b"".join(chunks)
        chunks.clear()  # held once, not twice, for as long as the request takes
        yield body
    finally:
        pool.hold(-held)


async def _next(stream: AsyncGenerator[bytes, None], deadline: float, limits: Limits) -> bytes:
    """The next piece; nothing at the end."""
    try:
        async with asyncio.timeout(min(limits.idle_s, deadline - time.monotonic())):
            return await anext(stream, b"")
    except TimeoutError as error:
        message = f"the body did not come within {limits.body_s:g} s, or nothing of it for {limits.idle_s:g} s"
        raise HttpError(408, "slow_body", message) from error
    except ClientDisconnect as error:
        raise HttpError(400, "disconnected", "the body was cut off") from error
