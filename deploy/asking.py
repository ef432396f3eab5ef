"""Asking a function, wherever it runs: what it finds in a photo and says of it, or the photo without its grid.

There is one way to a function, `data_engineering.function_url`: bounded, patient while a function is busy or away. What
goes wrong is a `FunctionError` or an `AnswerError`, which say whether asking again later may help.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from data_engineering import function_url
from data_engineering.function_url import AnswerError
from deploy.serving import verdicts
from quadrat.formats import cvat_answer
from quadrat.shapes import HIDDEN, OCCLUDED, Keypoints, Shape
from quadrat.verdict import FAILED, OK, REVIEW

NO_GRID = "no grid to remove"
EXPLAINED = {"refiner": "X-Quadrat-Refiner", "scale": "X-Quadrat-Scale"}
"""What a function may say of how it worked, and the headers that hold it."""

_MODEL, _NOTE = "X-Quadrat-Model", "X-Quadrat-Note"
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Told:
    """What a function that judges says of its result.

    Attributes:
        status: ``ok``, ``review`` or ``failed``.
        score: 0..1.
        reasons: in words, the worst first; at least one where the status is not ok.
        layout: of the points; empty where there are none.
    """

    status: str
    score: float
    reasons: tuple[str, ...] = ()
    layout: str = ""

    @property
    def words(self) -> str:
        """The status with its reasons."""
        return f"{self.status}: {'; '.join(self.reasons)}" if self.reasons else self.status


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function said of a photo.

    Attributes:
        shapes: in px of the photo.
        facts: JSON-able: model, seconds; of functions that judge, verdict, score, reasons and layout; of one that
            explains, refiner and scale.
        note: what must be known of the weights; empty if nothing.
        told: what a function that judges says; `None` of others.
    """

    shapes: tuple[Shape, ...]
    facts: Mapping[str, Any]
    note: str = ""
    told: Told | None = None

    @property
    def points(self) -> Keypoints | None:
        """The corners or the grid, if there are any."""
        return next((shape for shape in self.shapes if isinstance(shape, Keypoints)), None)

    @property
    def verdict(self) -> str:
        """``ok``, ``review``, ``failed``; empty for a function that does not judge."""
        return self.told.status if self.told else ""


@dataclass(frozen=True, slots=True)
class Clean:
    """A photo whose grid was painted out.

    Attributes:
        file: the photo's file, with its EXIF and colour profile.
        painted_fraction: share of its pixels that were painted, 0..1.
        warnings: a sentence each.
        facts: JSON-able: model and seconds, share and warnings.
        note: what must be known of the weights; empty if nothing.
        mask: a PNG of the photo's size, above 0 where it was painted; empty unless it was asked for.
    """

    file: bytes
    painted_fraction: float
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    mask: bytes = b""


def found(
    url: str,
    photo: bytes,
    size_wh: tuple[int, int],
    threshold: float | None = None,
    *,
    request_id: str | None = None,
    backoff_s: float = 0.5,
) -> Answer:
    """Ask a function what it finds in a photo.

    Args:
        url: of the function.
        photo: its file.
        size_wh: width and height of the photo in px, EXIF turned.
        threshold: lowest score, 0..1; `None` for the function's own.
        request_id: stands in the function's log.
        backoff_s: pause before a busy function is asked again.

    Raises:
        FunctionError: the function cannot be used.
        AnswerError: it could not answer for this photo.
    """
    start = time.perf_counter()
    reply = function_url.ask_whole(url, photo, threshold, backoff_s=backoff_s, request_id=request_id)
    told = verdict_of(reply.headers)
    facts = _facts(reply.headers, start)
    if told:
        facts |= {"verdict": told.status, "score": told.score, "reasons": list(told.reasons), "layout": told.layout}
    facts |= {name: reply.headers[header] for name, header in EXPLAINED.items() if header in reply.headers}
    try:
        shapes = tuple(_told(shape, told) for shape in cvat_answer.read(reply.body, size_wh))
    except (ValueError, KeyError, TypeError) as error:
        raise AnswerError(f"it answered with a shape that is none ({type(error).__name__}: {error})") from None
    return Answer(shapes, facts, reply.headers.get(_NOTE, ""), told)


def cleaned(
    url: str,
    photo: bytes,
    grid: Keypoints | Mapping[str, Any] | None,
    *,
    request_id: str | None = None,
    with_mask: bool = False,
    backoff_s: float = 0.5,
) -> Clean:
    """Have the grid painted out of a photo: a PNG answers a PNG, anything else a JPEG, which is a tenth of its size.

    Args:
        url: of the function.
        photo: its file.
        grid: its points, or the skeleton as CVAT has it; `None` gives the photo back as it is.
        request_id: stands in the function's log.
        with_mask: have what was painted, too.
        backoff_s: pause before a busy function is asked again.

    Raises:
        FunctionError: the function cannot be used.
        AnswerError: it could not answer for this photo.
    """
    if grid is None:
        return Clean(photo, 0.0, (NO_GRID,))
    start = time.perf_counter()
    kind = "png" if is_png(photo) else "jpeg"
    body = {"image": base64.b64encode(photo).decode(), "format": kind, "return_mask": with_mask}
    body["skeleton"] = skeleton_of(grid) if isinstance(grid, Keypoints) else dict(grid)
    reply = function_url.post(url, body, backoff_s=backoff_s, request_id=request_id)
    try:
        said = reply.body
        share, warnings = float(said["painted_fraction"]), tuple(str(each) for each in said["warnings"])
        file = base64.b64decode(said["image"], validate=True)
        mask = base64.b64decode(said["mask"], validate=True) if with_mask else b""
    except (ValueError, KeyError, TypeError) as error:
        raise AnswerError(f"it answered with no clean photo ({type(error).__name__}: {error})") from None
    facts = {**_facts(reply.headers, start), "painted_fraction": share, "warnings": list(warnings)}
    return Clean(file, share, warnings, facts, reply.headers.get(_NOTE, ""), mask)


def is_png(photo: bytes) -> bool:
    """Whether a photo's file is a PNG."""
    return photo.startswith(_PNG)


def verdict_of(headers: Mapping[str, str]) -> Told | None:
    """What the headers of an answer say of the result; `None` of a function that does not judge.

    Raises:
        AnswerError: a verdict or score that is none.
    """
    status = headers.get(verdicts.VERDICT)
    if status is None:
        return None
    reasons = tuple(part for part in headers.get(verdicts.REASONS, "").split("; ") if part)
    try:
        score = float(headers.get(verdicts.SCORE, ""))
    except ValueError:
        score = -1.0
    if status not in (OK, REVIEW, FAILED) or not 0 <= score <= 1:
        said = f"{status!r} with the score {headers.get(verdicts.SCORE)!r}"
        raise AnswerError(f"it judged its answer {said}: expected ok, review or failed, and a number 0..1")
    if status != OK and not reasons:
        reasons = ("no reason is given",)
    return Told(status, score, reasons, headers.get(verdicts.LAYOUT, ""))


def skeleton_of(points: Keypoints) -> dict[str, Any]:
    """Points as CVAT has them, with the name of their layout, where it is known."""
    elements = [
        {"label": name, "type": "points", "points": [float(x), float(y)], "outside": seen == HIDDEN}
        | ({"occluded": True} if seen == OCCLUDED else {})
        for name, (x, y), seen in zip(points.names, points.xy_px, np.asarray(points.visibility).tolist(), strict=True)
    ]
    layout = points.attributes.get("layout")
    attributes = [{"name": "layout", "value": layout}] if layout else []
    return {"label": points.label, "type": "skeleton", "elements": elements, "attributes": attributes}


def _facts(headers: Mapping[str, str], start: float) -> dict[str, Any]:
    return {"model": headers.get(_MODEL, ""), "seconds": round(time.perf_counter() - start, 3)}


def _told(shape: Shape, told: Told | None) -> Shape:
    """Points with what only the headers say of them, as the function's predictor had them."""
    if told is None or told.status == FAILED or not isinstance(shape, Keypoints):
        return shape
    facts = {"verdict": told.status, "reasons": "; ".join(told.reasons), "layout": told.layout}
    return replace(shape, attributes={**shape.attributes, **facts})
