"""Photos and requests as CVAT sends them."""

import base64
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from quadrat import images


def photo(width=64, height=48):
    """A red square of 10 x 12 px on black, and a blue one."""
    image = np.zeros((height, width, 3), np.uint8)
    image[4:14, 6:18, 0] = 255
    image[4:14, 30:40, 2] = 255
    return image


def b64(data):
    return base64.b64encode(data).decode()


def request(width=64, **more):
    return {"image": b64(images.encode_png(photo(width))), **more}


def header_bomb():
    """A PNG of a few bytes that claims 20,000 x 20,000 px."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def broken_requests():
    """Name, body, status and a word of the message, of every request that must be refused."""
    good = request()["image"]
    jpeg = images.encode_jpeg(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    return [
        ("no image", {}, 400, "`image` is missing"),
        ("image null", {"image": None}, 400, "`image` is None"),
        ("image number", {"image": 3}, 400, "`image` is 3"),
        ("image list", {"image": [good]}, 400, "`image`"),
        ("image empty", {"image": ""}, 400, "`image` is ''"),
        ("bad base64", {"image": "§§§"}, 400, "not base64"),
        ("cut base64", {"image": good[:-3]}, 400, "not base64"),
        ("data address", {"image": "data:image/png;base64," + good}, 400, "not base64"),
        ("lines", {"image": good[:40] + "\n" + good[40:]}, 400, "line breaks"),
        ("no photo", {"image": b64(b"just some text")}, 400, "field `image`:"),
        ("truncated jpeg", {"image": b64(jpeg[: len(jpeg) // 2])}, 400, "cut short"),
        ("header bomb", {"image": b64(header_bomb())}, 400, "100000000 px"),
        ("threshold text", {"image": good, "threshold": "0.5"}, 400, "`threshold` is '0.5'"),
        ("threshold true", {"image": good, "threshold": True}, 400, "`threshold`"),
        ("threshold list", {"image": good, "threshold": [0.5]}, 400, "`threshold`"),
        (
            "threshold nan",
            {"image": good, "threshold": float("nan")},
            400,
            "`threshold` is nan: expected a number 0..1",
        ),
        ("threshold infinite", {"image": good, "threshold": float("inf")}, 400, "`threshold`"),
        ("threshold below", {"image": good, "threshold": -0.1}, 400, "`threshold`"),
        ("threshold above", {"image": good, "threshold": 50}, 400, "`threshold` is 50"),
        ("text", b"hello", 400, "not JSON"),
        ("nothing", b"", 400, "not JSON"),
        ("broken utf-8", b"\xff\xfe{", 400, "not JSON"),
        ("list", b"[]", 400, "the body is a list"),
        ("null", b"null", 400, "the body is nothing"),
        ("deep", b"[" * 100_000, 400, "not JSON"),
    ]


@pytest.fixture(params=broken_requests(), ids=lambda case: case[0])
def broken(request):
    """Body, status and a word of the message."""
    return request.param[1:]


@pytest.fixture
def painter_environment(monkeypatch):
    """An environment in which the function that paints starts."""
    for name in ("MODEL_PATH", "LAMA_MODEL", "GRID_LINE_WIDTH", "INPAINT_BACKEND", "TEMPLATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.syspath_prepend(Path(__file__).parent / "painters" / "fake" / "nuclio")
    yield monkeypatch
    sys.modules.pop("remover", None)


@pytest.fixture
def worker(painter_environment):
    """The function that paints; test files of other functions have their own."""
    from .painter import Worker

    return Worker()
