"""Ask running functions a rendered photo and check the answers strictly: `python -m deploy.smoke NAME ...`.

    python -m deploy.smoke                                            # all functions that Nuclio runs here
    python -m deploy.smoke --host http://127.0.0.1:8070               # all functions of a `deploy.host`
    python -m deploy.smoke pth-yolo-coralseg pth-lama=http://node:31000   # these; one where it is said to be

A detector's answer must be one that CVAT stores unchanged, and a remover must leave every pixel outside its mask as it
was; and a request without a photo must be refused with 400. `QUADRAT_TOKEN` goes along, where it is set.
"""

from __future__ import annotations

import argparse
import base64
import functools
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from data_engineering import function_url
from data_engineering.function_url import CallError, Raw
from deploy import nuctl
from deploy.host import functions
from deploy.host.functions import Function, FunctionError
from deploy.serving import labels, schema
from quadrat import images
from quadrat.shapes import Keypoints

SEED, SIZE_PX = 5, 960
"""Of the rendered photo."""

_BACKOFF_S = 0.5


class SmokeError(ValueError):
    """An answer is not as it must be; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Smoked:
    """What came of asking a function.

    Attributes:
        name: of the function.
        fault: what is wrong; empty if nothing.
        found: what it found or did, in words.
        model: the weights, as the answer names them.
        seconds: from the request to the answer.
    """

    name: str
    fault: str = ""
    found: str = ""
    model: str = ""
    seconds: float = 0.0


@functools.cache
def scene() -> tuple[images.Rgb, Keypoints]:
    """A photo of a quadrat with strings, and the points of its grid."""
    from data_engineering.render import scene as renderer
    from data_engineering.render.settings import Settings

    settings = Settings(size_px=SIZE_PX, layouts={"grid11x11": 1.0}, frames={"aluminium": 1.0}, crop_probability=0.0)
    sample = renderer.render(SEED, settings)
    shapes = sample.annotations.shapes
    return sample.photo, next(s for s in shapes if isinstance(s, Keypoints) and s.label == "grid")


def ask(function: Function, url: str) -> Smoked:
    """Ask one function, and check what it answers."""
    start = time.perf_counter()
    try:
        answer = _post(url, _request(function))
        if answer.status != 200:
            raise SmokeError(f"it answered {answer.status}: {function_url.said(answer.body)}")
        seconds = time.perf_counter() - start
        found = _painted(answer) if _paints(function) else _shapes(function, answer)
        _refusal(_post(url, {}))
        return Smoked(function.name, "", found, _header(answer, "X-Quadrat-Model"), round(seconds, 2))
    except (SmokeError, CallError, schema.SchemaError, images.ImageError) as error:
        return Smoked(function.name, str(error))


def _paints(function: Function) -> bool:
    return function.metadata["annotations"].get("type") == "inpainter"


def _request(function: Function) -> dict[str, Any]:
    photo_rgb, grid = scene()
    body: dict[str, Any] = {"image": base64.b64encode(images.encode_png(photo_rgb)).decode()}
    if _paints(function):
        points = [[float(x), float(y)] for x, y in grid.xy_px]
        body |= {"keypoints": points, "format": "png", "return_mask": True}
    return body


def _post(url: str, body: Mapping[str, Any]) -> Raw:
    function_url.check(url)
    return function_url.request("POST", url, json.dumps(body).encode(), _BACKOFF_S, "smoke")


def _json(answer: Raw) -> Any:
    def refuse(name: str) -> NoReturn:
        raise SmokeError(f"its JSON holds {name}, which is no number")

    try:
        return json.loads(answer.body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, SmokeError) else SmokeError("it did not answer in JSON") from None


def _header(answer: Raw, name: str) -> str:
    if not (value := answer.headers.get(name)):
        raise SmokeError(f"the header {name} is missing: is this a function of the project?")
    return value


def _shapes(function: Function, answer: Raw) -> str:
    """A detector's answer: shapes that CVAT stores as they are."""
    found = _json(answer)
    height, width = scene()[0].shape[:2]
    offered = labels.parse_spec(function.metadata["annotations"]["spec"], function.name)
    masks = isinstance(found, list) and any(isinstance(shape, dict) and shape.get("type") == "mask" for shape in found)
    schema.check_answer(found, schema.Rules((width, height), offered, masks_to_polygons=masks))
    if int(_header(answer, "X-Quadrat-Shapes")) != len(found):
        raise SmokeError(f"it says {_header(answer, 'X-Quadrat-Shapes')} shapes and sends {len(found)}")
    words = f"{len(found)} shape{'' if len(found) == 1 else 's'}"
    verdict = answer.headers.get("X-Quadrat-Verdict")
    if verdict not in (None, "ok", "review", "failed"):
        raise SmokeError(f"its verdict is {verdict!r}: expected ok, review or failed")
    return f"{words}, {verdict}" if verdict else words


def _painted(answer: Raw) -> str:
    """A remover's answer: the same photo, and nothing changed outside the mask."""
    said, photo_rgb = _json(answer), scene()[0]
    try:
        share, texts = float(said["painted_fraction"]), (said["image"], said["mask"])
        data, mask_data = (base64.b64decode(text, validate=True) for text in texts)
    except (KeyError, TypeError, ValueError) as error:
        raise SmokeError(f"it answered no photo with its mask ({type(error).__name__}: {error})") from None
    clean_rgb = images.decode(data, max_bytes=len(data))
    if clean_rgb.shape != photo_rgb.shape:
        raise SmokeError(f"its photo is {clean_rgb.shape[1::-1]} px, the one that was sent {photo_rgb.shape[1::-1]} px")
    mask = images.decode_mask(mask_data, (photo_rgb.shape[1], photo_rgb.shape[0]))
    if (changed := np.any(clean_rgb != photo_rgb, axis=2) & ~mask).any():
        raise SmokeError(f"it changed {np.count_nonzero(changed)} px outside its mask")
    if not mask.any() or abs(share - mask.mean()) > 1e-4:
        raise SmokeError(f"it says that {share:.4%} were painted, its mask has {mask.mean():.4%}")
    return f"{share:.1%} painted"


def _refusal(answer: Raw) -> None:
    """A request without a photo is the caller's fault, and said in the project's JSON."""
    if answer.status != 400:
        raise SmokeError(f"a request without a photo is answered {answer.status}: expected 400")
    try:
        code, message = (str(_json(answer)["error"][key]) for key in ("code", "message"))
    except (KeyError, TypeError):
        raise SmokeError("a request without a photo is refused without a reason in JSON") from None
    if not code or "image" not in message:
        raise SmokeError(f"a request without a photo is refused as {code!r}: {message!r}, which does not name `image`")


def find(targets: Sequence[str], host: str = "", sources: Sequence[Path] = (functions.ROOT,)) -> dict[str, str]:
    """URL by name of the functions that are meant.

    Args:
        targets: ``NAME``, ``NAME=URL``, or a URL that ends in a name; none means all.
        host: address of a `deploy.host`; empty asks nuctl for ports.
        sources: where functions lie.

    Raises:
        SmokeError: an unknown function, or one that does not run.
    """
    known = [function.name for function in functions.discover(sources)]
    given = dict(_named(target) for target in targets) or dict.fromkeys(known, "")
    if unknown := sorted(set(given) - set(known)):
        raise SmokeError(f"no function is named {', '.join(unknown)}: there are {', '.join(known)}; or say NAME=URL")
    return {name: url or _address(name, host) for name, url in given.items()}


def _named(target: str) -> tuple[str, str]:
    if "=" in target and "://" not in target.split("=")[0]:
        name, _, url = target.partition("=")
        return name, url
    return (target.rstrip("/").rsplit("/", 1)[-1], target) if "://" in target else (target, "")


def _address(name: str, host: str) -> str:
    if host:
        return f"{host.rstrip('/')}/functions/{name}"
    nuctl.require("nuctl")
    found = nuctl.state(name)
    if not found.url:
        raise SmokeError(f"Nuclio runs no {name} here ({found.state or 'not deployed'}): deploy it, or say NAME=URL")
    return found.url


def main(targets: Sequence[str] = (), host: str = "", sources: Sequence[Path] = (functions.ROOT,)) -> list[Smoked]:
    """Ask functions.

    Args:
        targets: see `find`.
        host: see `find`.
        sources: see `find`.

    Raises:
        SmokeError, NuctlError, FunctionError: there is nothing to ask.
    """
    known = {function.name: function for function in functions.discover(sources)}
    return [ask(known[name], url) for name, url in find(targets, host, sources).items()]


def table(results: Iterable[Smoked]) -> str:
    """A row a function."""
    rows = [("function", "answer", "model", "seconds")]
    for each in results:
        seconds = "" if each.fault else f"{each.seconds:.2f}"
        rows.append((each.name, f"FAULT: {each.fault}" if each.fault else each.found, each.model, seconds))
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]) for row in rows
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.smoke", description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="NAME|NAME=URL|URL", help="(default: all functions)")
    parser.add_argument("--host", default="", metavar="URL", help="of a deploy.host, such as http://127.0.0.1:8070")
    parser.add_argument("--functions", dest="sources", type=Path, nargs="+", default=[functions.ROOT], metavar="DIR")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        smoked = main(**vars(_parse()))
    except (SmokeError, CallError, FunctionError, nuctl.NuctlError) as problem:
        sys.exit(f"smoke: {problem}")
    print(table(smoked))
    sys.exit(1 if any(each.fault for each in smoked) else 0)
