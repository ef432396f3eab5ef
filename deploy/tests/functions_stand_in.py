"""Stands in for a host of functions: answers over HTTP on loopback what it is told to, by name."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from deploy.chain import CLEAN, COLONIES, CORNERS, GRID
from quadrat import images, template
from quadrat.shapes import HIDDEN, Keypoints

FRAME, LATTICE = template.load("corners"), template.load("grid9x13")
ROOM = 0.125
"""How far inside a photo its frame lies, over each side."""


@dataclass(frozen=True)
class Said:
    """An answer: `body` is turned into JSON unless it is bytes."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Said | Callable[[Mapping[str, Any]], Said]


@dataclass
class Functions:
    """What each function answers, and what it was asked."""

    answers: dict[str, Answer]
    url: str = ""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def urls(self) -> dict[str, str]:
        return {name: f"{self.url}/functions/{name}" for name in self.answers}

    def bodies(self, name: str) -> list[dict[str, Any]]:
        return [body for asked, body in self.asked if asked == name]


@contextmanager
def serving(answers: Mapping[str, Answer]) -> Iterator[Functions]:
    """Serve functions as long as the block runs."""
    functions = Functions(dict(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            name = self.path.rsplit("/", 1)[1]
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            functions.asked.append((name, body))
            functions.headers.append(dict(self.headers))
            answer = functions.answers.get(name, Said({"error": {"message": "no such function"}}, 404))
            said = answer(body) if callable(answer) else answer
            data = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            self.send_response(said.status)
            for header, text in {**said.headers, "Content-Length": str(len(data))}.items():
                self.send_header(header, text)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        functions.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield functions
        finally:
            server.shutdown()
            thread.join()


def skeleton(points: Keypoints) -> dict[str, Any]:
    elements = [
        {"label": name, "type": "points", "points": [float(x), float(y)], "outside": bool(seen == HIDDEN)}
        for name, (x, y), seen in zip(points.names, points.xy_px, points.visibility, strict=True)
    ]
    confidence = [{"name": "confidence", "value": "88"}]
    return {"label": points.label, "type": "skeleton", "elements": elements, "attributes": confidence}


def judged(shapes: list[Any], verdict: str, reasons: str = "", layout: str = "") -> Said:
    headers = {"X-Quadrat-Verdict": verdict, "X-Quadrat-Score": "0.880", "X-Quadrat-Note": "A note."}
    more = {"X-Quadrat-Reasons": reasons, "X-Quadrat-Layout": layout, "X-Quadrat-Model": "judge-1"}
    return Said(shapes, headers={**headers, **{name: text for name, text in more.items() if text}})


# ------------------------------------------------------------------------------------------------ the whole chain


def chain(**changes: Answer) -> dict[str, Answer]:
    """Functions of guide C that find what is in every photo: a frame, a lattice, one square colony."""
    return {CORNERS: corners, GRID: grid, CLEAN: clean, COLONIES: colonies, **changes}


def _size(body: Mapping[str, Any]) -> tuple[int, int]:
    with images.opened(base64.b64decode(body["image"])) as image:
        width, height = image.size
    return width, height


def corners(body: Mapping[str, Any]) -> Said:
    size = np.array(_size(body))
    points = Keypoints("quadrat_corner", FRAME.names, (ROOM + (1 - 2 * ROOM) * FRAME.uv) * size)
    return judged([skeleton(points)], "ok", layout="corners")


def grid(body: Mapping[str, Any]) -> Said:
    """On a quadrat with the usual margin."""
    size = np.array(_size(body))
    points = Keypoints("grid", LATTICE.names, (0.0455 + 0.909 * LATTICE.uv) * size)
    return judged([skeleton(points)], "ok", layout="grid9x13")


def clean(body: Mapping[str, Any]) -> Said:
    told = {"image": body["image"], "format": body["format"], "painted_fraction": 0.1, "warnings": []}
    return Said(told, headers={"X-Quadrat-Model": "painter-1", "X-Quadrat-Note": "Look."})


def colonies(body: Mapping[str, Any]) -> Said:
    """A square from 1/4 to 1/2 of each side, and one in the margin."""
    width, height = _size(body)
    square = np.array([(1, 1), (2, 1), (2, 2), (1, 2)]) * (width / 4, height / 4)
    edge = np.array([(0, 0), (3, 0), (3, 3), (0, 3)], np.float64)
    shapes = [
        {"label": "Porites", "type": "polygon", "points": ring.ravel().tolist(), "attributes": []}
        for ring in (square, edge)
    ]
    return Said(shapes, headers={"X-Quadrat-Model": "coral-1"})
