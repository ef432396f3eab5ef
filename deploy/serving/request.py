"""What a function is sent, checked: JSON with a photo; and what CVAT sends a detector, perhaps with a threshold."""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quadrat import images

MAX_BODY_BYTES = 64 * 2**20
"""Room for a photo of `images.MAX_BYTES` in base64; the same number is `maxRequestBodySize` in function.yaml."""

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


class Request(BaseModel):
    """What every function takes: a photo. Further keys are let pass: newer CVAT servers may add some.

    Attributes:
        EXAMPLE: of a body, for messages.
        FIXES: of each field: what it should hold.
        image: the photo's file in base64.
    """

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)
    EXAMPLE: ClassVar[str] = '{"image": "<base64>"}'
    FIXES: ClassVar[Mapping[str, str]] = {
        "image": "expected the photo's file (JPEG or PNG) in base64, as CVAT sends it"
    }
    image: str = Field(min_length=1)


class DetectorRequest(Request):
    """A detector request."""

    EXAMPLE = '{"image": "<base64>", "threshold": 0.5}'
    FIXES: ClassVar[Mapping[str, str]] = {
        **Request.FIXES,
        "threshold": "expected a number 0..1; leave it out for the function's own",
    }
    threshold: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)


R = TypeVar("R", bound=Request)


def parse(body: object) -> DetectorRequest:
    """Check the body of a detector request, see `check`."""
    return check(body, DetectorRequest)


def check(body: object, kind: type[R]) -> R:
    """Check a body as Nuclio hands it over: a dict where it decoded the JSON, else bytes or text.

    Raises:
        RequestError: 413 for a body above `MAX_BODY_BYTES`, 400 for anything else that is no request of that kind.
    """
    try:
        return kind.model_validate(_decoded(body, kind.EXAMPLE))
    except ValidationError as error:
        raise RequestError(400, "bad_field", _first_fault(error, kind.FIXES)) from error


def _decoded(body: object, example: str) -> object:
    if isinstance(body, str | bytes | bytearray):
        _refuse_above(len(body), MAX_BODY_BYTES, "the body")
        try:
            body = json.loads(body)
        except (ValueError, RecursionError) as error:  # ValueError: broken JSON and broken UTF-8
            raise RequestError(400, "bad_json", f"the body is not JSON: expected {example}") from error
    if not isinstance(body, dict):
        kind = "nothing" if body is None else f"a {type(body).__name__}"
        raise RequestError(400, "bad_json", f"the body is {kind}: expected {example}")
    return body


def _first_fault(error: ValidationError, fixes: Mapping[str, str]) -> str:
    fault = error.errors(include_url=False)[0]
    if fault["type"] == "value_error":  # a validator of ours, which says it all
        return str(fault["ctx"]["error"])
    name, *inner = fault["loc"] or ("body",)
    place = "".join(f"[{step}]" for step in inner if isinstance(step, int))
    got = "is missing" if fault["type"] == "missing" and len(fault["loc"]) == 1 else f"is {_echo(fault.get('input'))}"
    return f"field `{name}`{place} {got}: {fixes.get(str(name), fault['msg'])}"


def _echo(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]}… ({type(value).__name__})"


def decode_image(text: str) -> NDArray[np.uint8]:
    """Decode the photo of a request: base64 to uint8 ``[H, W, 3]`` RGB, EXIF turned.

    Raises:
        RequestError: 413 for more than `images.MAX_BYTES`, 400 for bad base64 or an unreadable photo.
    """
    return decode_photo(decode_base64(text, "image"))


def decode_base64(text: str, field: str) -> bytes:
    """Decode the file of a picture.

    Raises:
        RequestError: 413 for more than `images.MAX_BYTES`, 400 for bad base64; the message names `field`.
    """
    _refuse_above(len(text) * 3 // 4, images.MAX_BYTES + 2, f"field `{field}`: the picture")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:  # binascii.Error is one; text beyond ASCII is the other
        raise RequestError(
            400, "bad_base64", f"field `{field}` is not base64 ({error}): no line breaks and no `data:` prefix"
        ) from error


def decode_photo(data: bytes) -> NDArray[np.uint8]:
    """Decode the file of the photo: uint8 ``[H, W, 3]`` RGB, EXIF turned.

    Raises:
        RequestError: 400 for an unreadable photo.
    """
    try:
        return images.decode(data)
    except images.ImageError as error:
        raise RequestError(400, "bad_image", f"field `image`: {error}") from error


def _refuse_above(size: int, most: int, what: str) -> None:
    if size > most:
        raise RequestError(413, "too_large", f"{what} has {size} bytes: at most {most} are taken. Save it smaller")
