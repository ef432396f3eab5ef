"""What CVAT sends a detector, checked: JSON with a photo and perhaps a threshold."""

from __future__ import annotations

import binascii
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quadrat import images

MAX_BODY_BYTES = 64 * 2**20
"""Room for a photo of `images.MAX_BYTES` in base64; the same number is `maxRequestBodySize` in function.yaml."""

_FIXES = {
    "image": "expected the photo's file (JPEG or PNG) in base64, as CVAT sends it",
    "threshold": "expected a number 0..1; leave it out for the function's own",
}
_LONGEST_ECHO = 60


class RequestError(Exception):
    """The request cannot be answered; the caller is to blame.

    Attributes:
        status: HTTP status, 400 or 413.
        code: a word for programs.
        message: a sentence for people: the field, what came, what was expected.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class DetectorRequest(BaseModel):
    """A detector request. Further keys are let pass: newer CVAT servers may add some."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)
    image: str = Field(min_length=1)
    threshold: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)


def parse(body: object) -> DetectorRequest:
    """Check a body as Nuclio hands it over: a dict where it decoded the JSON, else bytes or text.

    Raises:
        RequestError: 413 for a body above `MAX_BODY_BYTES`, 400 for anything else that is no detector request.
    """
    try:
        return DetectorRequest.model_validate(_decoded(body))
    except ValidationError as error:
        raise RequestError(400, "bad_field", _first_fault(error)) from error


def _decoded(body: object) -> object:
    if isinstance(body, str | bytes | bytearray):
        _refuse_above(len(body), MAX_BODY_BYTES, "the body")
        try:
            body = json.loads(body)
        except (ValueError, RecursionError) as error:  # ValueError: broken JSON and broken UTF-8
            raise RequestError(
                400, "bad_json", 'the body is not JSON: expected {"image": "<base64>", "threshold": 0.5}'
            ) from error
    if not isinstance(body, dict):
        kind = "nothing" if body is None else f"a {type(body).__name__}"
        raise RequestError(400, "bad_json", f'the body is {kind}: expected {{"image": "<base64>", "threshold": 0.5}}')
    return body


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    name = str(fault["loc"][0]) if fault["loc"] else "body"
    got = "is missing" if fault["type"] == "missing" else f"is {_echo(fault.get('input'))}"
    return f"field `{name}` {got}: {_FIXES.get(name, fault['msg'])}"


def _echo(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]}… ({type(value).__name__})"


def decode_image(text: str) -> NDArray[np.uint8]:
    """Decode the photo of a request: base64 to uint8 ``[H, W, 3]`` RGB, EXIF turned.

    Raises:
        RequestError: 413 for more than `images.MAX_BYTES`, 400 for bad base64 or an unreadable photo.
    """
    _refuse_above(len(text) * 3 // 4, images.MAX_BYTES + 2, "field `image`: the photo")
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:  # binascii.Error is one; text beyond ASCII is the other
        raise RequestError(
            400, "bad_base64", f"field `image` is not base64 ({error}): no line breaks and no `data:` prefix"
        ) from error
    try:
        return images.decode(data)
    except images.ImageError as error:
        raise RequestError(400, "bad_image", f"field `image`: {error}") from error


def _refuse_above(size: int, most: int, what: str) -> None:
    if size > most:
        raise RequestError(413, "too_large", f"{what} has {size} bytes: at most {most} are taken. Save it smaller")
