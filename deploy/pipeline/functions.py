"""Where the functions are: behind addresses that are given, or in a host of one's own; and which models they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from data_engineering import function_url
from data_engineering.function_url import AnswerError, FunctionError
from deploy.chain import CLEAN, cleaned, found
from quadrat import batch, images, template
from quadrat.shapes import Keypoints

LOCAL = "local"
THREADS = "OMP_NUM_THREADS"
_BLANK_PX = 256


@contextmanager
def serving(
    where: str, names: Sequence[str], weights: Mapping[str, str], log: Path, threads: int | None = None
) -> Iterator[dict[str, str]]:
    """Addresses of functions by name.

    Args:
        where: `LOCAL` starts a host with them, for as long as the block runs; else the address of a host.
        names: of the functions.
        weights: of one's own, by function name; only with `LOCAL`.
        log: file for what a host of one's own says.
        threads: that each function of a host of one's own may use; `None` leaves it to the environment.

    Raises:
        FunctionError: an address that is none, weights for a host that is not ours, or a function that cannot start.
    """
    if where != LOCAL:
        if weights:
            raise FunctionError(f"weights are given for functions at {where}: they go with functions {LOCAL} alone")
        yield addresses(where, names)
        return
    from deploy.host import Host
    from deploy.host.functions import ROOT, discover
    from deploy.log import LOG_FILE

    os.environ.setdefault(LOG_FILE, str(log))
    if threads is not None:
        os.environ[THREADS] = str(threads)
    folders = [function.folder for function in discover([ROOT]) if function.name in names]
    with Host(folders, port=0, model_paths=weights) as host:
        broken = {name: host.failures.get(name, "not found") for name in names if name in host.failures}
        broken |= {name: "it is not there" for name in names if name not in host.urls}
        if broken:
            raise FunctionError("; ".join(f"{name} cannot start: {reason}" for name, reason in broken.items()))
        yield {name: host.urls[name] for name in names}


def addresses(base: str, names: Sequence[str]) -> dict[str, str]:
    """Where a host has functions: ``http://127.0.0.1:8070`` serves each at ``/functions/NAME``.

    Raises:
        FunctionError: it is no address.
    """
    function_url.check(base)
    return {name: f"{base.rstrip('/')}/functions/{name}" for name in names}


def models(urls: Mapping[str, str], weights: Mapping[str, str]) -> dict[str, str]:
    """The model of each function, as it says of a blank picture; with the fingerprint of weights of one's own.

    So every function has answered once before the first photo, and a result says what made it.

    Raises:
        FunctionError: one does not answer, or answers as no such function does.
    """
    blank = images.encode_png(np.full((_BLANK_PX, _BLANK_PX, 3), 127, np.uint8))
    known = {}
    for name, url in urls.items():
        try:
            if name == CLEAN:
                facts = cleaned(url, blank, _grid()).facts
            else:
                facts = found(url, blank, (_BLANK_PX, _BLANK_PX)).facts
        except AnswerError as error:
            raise FunctionError(f"{name} at {url} is not fit for use: {error}", again=error.again) from None
        own = f" {batch.fingerprint(Path(weights[name]))}" if name in weights and Path(weights[name]).exists() else ""
        known[name] = f"{facts['model']}{own}"
    return known


def _grid() -> Keypoints:
    """Of the blank picture."""
    layout = template.load("grid9x13")
    room = _BLANK_PX / 8
    xy = layout.uv * (_BLANK_PX - 2 * room) + room
    return Keypoints(layout.label, layout.names, xy, attributes={"layout": layout.name})
