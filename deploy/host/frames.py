"""How the host and a worker process talk: a JSON head and a body of bytes, each way, over a socket pair.

No pickle: what a worker says cannot run code in the host, and a photo's bytes go through as they are.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Mapping
from io import BufferedRWPair
from typing import Any

Stream = BufferedRWPair
"""A worker's end, as `socket.makefile` gives it."""
_LENGTHS = struct.Struct(">IQ")
_LONGEST_HEAD = 2**20


class FrameError(ConnectionError):
    """The other end is gone, or talks nonsense."""


def pack_head(head: Mapping[str, Any], body: bytes) -> bytes:
    """What goes ahead of `body`; both are written one after the other, so that the body is not copied."""
    text = json.dumps(head).encode()
    return _LENGTHS.pack(len(text), len(body)) + text


def write(stream: Stream, head: Mapping[str, Any], body: bytes = b"") -> None:
    """Send a frame from a worker."""
    stream.write(pack_head(head, body))
    stream.write(body)
    stream.flush()


def read(stream: Stream) -> tuple[dict[str, Any], bytes] | None:
    """Wait for a frame in a worker; ``None`` when the host has closed the connection."""
    start = stream.read(_LENGTHS.size)
    if len(start) < _LENGTHS.size:
        return None
    head_size, body_size = _LENGTHS.unpack(start)
    return json.loads(stream.read(head_size)), stream.read(body_size)


async def read_async(stream: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
    """Wait for a frame in the host.

    Raises:
        FrameError: the worker has closed the connection or sent no frame.
    """
    try:
        head_size, body_size = _LENGTHS.unpack(await stream.readexactly(_LENGTHS.size))
        if head_size > _LONGEST_HEAD:
            raise FrameError(f"a head of {head_size} bytes: at most {_LONGEST_HEAD} are taken")
        head = json.loads(await stream.readexactly(head_size))
        return head, await stream.readexactly(body_size)
    except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
        raise FrameError(f"the worker's connection ended ({error})") from error
