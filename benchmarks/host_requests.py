"""Requests for the stress test of the host: good ones whose answers are known, and broken ones drawn by hypothesis."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from quadrat import images

WIDTH, HEIGHT = 160, 120
MAX_BODY = 256 * 1024
"""What the host is told to take; larger bodies are among the broken ones."""
ABORTED = "aborted connection"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it goes over the wire, and what must come back.

    Attributes:
        kind: in words, for the table.
        raw: head and body.
        status: of the answer; 0 where the client hangs up.
        answer: the body of the answer; ``None`` for the JSON of an error.
        pause_at: send nothing more after so many bytes (``None``: send all).
        abort: hang up after that.
    """

    kind: str
    raw: bytes
    status: int
    answer: bytes | None = None
    pause_at: int | None = None
    abort: bool = False


Rectangle = tuple[int, int, int, int]


def rectangles() -> Iterator[Rectangle]:
    """Every x0, y0, x1, y1 only once: 40,000 different photos and as many different answers."""
    for number in count():
        x, rest = number % 50, number // 50
        y, rest = rest % 40, rest // 40
        yield x, y, x + 10 + rest % 20, y + 8 + rest // 20


def good(url_path: str, box: Rectangle) -> Asked:
    """A photo with one red rectangle; the answer is its outline."""
    x0, y0, x1, y1 = box
    photo = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    photo[y0:y1, x0:x1, 0] = 255
    outline = {"type": "polygon", "points": sorted([(x0, y0), (x0, y1), (x1, y1), (x1, y0)])}
    return Asked("good", post(url_path, _body(images.encode_png(photo))), 200, json.dumps(outline).encode())


def outline_of(answer: bytes) -> bytes:
    """What `good` expects, out of the function's answer; where the ring begins does not matter."""
    shapes = json.loads(answer)
    points = [sorted(zip(s["points"][::2], s["points"][1::2], strict=True)) for s in shapes]
    return json.dumps({"type": shapes[0]["type"], "points": [(int(x), int(y)) for x, y in points[0]]}).encode()


def photo_request(url_path: str, data: bytes, answer: bytes | None) -> Asked:
    """A photo whose answer was seen before."""
    return Asked("good, real network", post(url_path, _body(data, threshold=0.05)), 200, answer)


def post(path: str, body: bytes, headers: str = "", length: int | None = None) -> bytes:
    """A POST as bytes."""
    kind = "" if "content-type" in headers else "content-type: application/json\r\n"
    size = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nhost: stress\r\n{kind}{headers}content-length: {size}\r\n\r\n".encode() + body


def _body(photo: bytes, **more: Any) -> bytes:
    return json.dumps({"image": base64.b64encode(photo).decode(), **more}).encode()


def broken(path: str, how_many: int, seed_number: int) -> list[Asked]:
    """Requests that must be refused, drawn by hypothesis: the same ones for the same seed."""
    found: list[Asked] = []
    for turn in count():
        found += _draw(_broken(path), how_many - len(found), seed_number + turn)
        if len(found) >= how_many:
            return found[:how_many]
    raise AssertionError("count() has no end")


def _draw(strategy: st.SearchStrategy[Asked], how_many: int, seed_number: int) -> list[Asked]:
    found: list[Asked] = []

    @seed(seed_number)
    @settings(
        max_examples=how_many,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(asked: Asked) -> None:
        found.append(asked)

    collect()
    return found


def _broken(path: str) -> st.SearchStrategy[Asked]:
    photo = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    jpeg, png = images.encode_jpeg(photo), images.encode_png(photo)
    whole = _body(png)

    def refused(kind: str, bodies: st.SearchStrategy[bytes], status: int = 400, headers: str = "") -> Any:
        return bodies.map(lambda body: Asked(kind, post(path, body, headers), status))

    def field(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
        return st.fixed_dictionaries(fields).map(lambda body: json.dumps(body).encode())

    text64 = base64.b64encode(png).decode()
    cuts = st.integers(1, len(png) // 2).map(lambda n: png[:n]) | st.integers(1, len(jpeg) // 2).map(lambda n: jpeg[:n])
    bad_threshold = (
        st.floats(1.001, 1e30) | st.floats(-1e30, -0.001) | st.text() | st.booleans() | st.lists(st.floats())
    )
    no_text = st.none() | st.booleans() | st.integers() | st.lists(st.text(), max_size=3)
    letters = st.text("ABCDabcd0123", min_size=1, max_size=40)
    return st.one_of(
        refused("cut JSON", st.integers(0, len(whole) - 1).map(lambda n: whole[:n])),
        refused("no JSON", st.binary(max_size=200).filter(_is_no_json)),
        refused("deep JSON", st.integers(10_000, 100_000).map(lambda n: b"[" * n)),
        refused("wrong type", field(image=no_text)),
        refused("wrong threshold", field(image=st.just(text64), threshold=bad_threshold)),
        refused("cut base64", st.integers(1, len(text64) - 1).filter(lambda n: n % 4).map(lambda n: _raw(text64[:n]))),
        refused("no base64", st.text("§!?ä", min_size=1, max_size=40).map(_raw)),
        refused("cut photo", cuts.map(_body)),
        refused("no photo", st.binary(min_size=1, max_size=300).map(_body)),
        refused("bomb", st.tuples(st.integers(12_000, 60_000), st.integers(12_000, 60_000)).map(_bomb).map(_body)),
        refused("too large", st.integers(MAX_BODY + 1, 3 * MAX_BODY).map(lambda n: b"x" * n), 413),
        refused(
            "wrong content type",
            st.binary(max_size=50).map(lambda end: png + end),
            headers="content-type: image/png\r\n",
        ),
        refused("form data", letters.map(_form), headers="content-type: multipart/form-data; boundary=b\r\n"),
        letters.map(lambda name: Asked("wrong path", post(f"/functions/{name}", whole), 404)),
        st.integers(20_000, 200_000).map(lambda n: Asked("huge header", post(path, whole, f"x-h: {'h' * n}\r\n"), 431)),
        letters.map(lambda text: Asked("no HTTP", f"{text}\r\n\r\n".encode(), 400)),
        letters.map(lambda n: Asked("broken chunks", _chunked(path, n), 400)),
        _cut_short("slow body", path, whole, 408, abort=False),
        _cut_short(ABORTED, path, whole, 0, abort=True),
    )


def _raw(text: str) -> bytes:
    return json.dumps({"image": text}).encode()


def _is_no_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return True
    return False


def _form(text: str) -> bytes:
    return f'--b\r\ncontent-disposition: form-data; name="image"\r\n\r\n{text}\r\n--b--\r\n'.encode()


def _chunked(path: str, size: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: stress\r\ntransfer-encoding: chunked\r\n\r\n"
    return f"{head}5\r\nhello\r\nno size {size}\r\n".encode()


def _cut_short(kind: str, path: str, body: bytes, status: int, *, abort: bool) -> st.SearchStrategy[Asked]:
    raw = post(path, body)
    head = len(raw) - len(body)
    most = len(raw) if abort else len(raw) - 1
    make: Callable[[int], Asked] = lambda at: Asked(kind, raw, status, pause_at=at, abort=abort)  # noqa: E731
    return st.integers(head, most).map(make)


def _bomb(size_wh: tuple[int, int]) -> bytes:
    """A PNG of a few bytes that claims over 100 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", *size_wh, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")
