"""Photos have their grid painted out, and go into a new task; one that has none goes as it is."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from data_engineering.function_url import AnswerError
from deploy import chain
from deploy.asking import skeleton_of
from deploy.bridge.actions import onward
from deploy.bridge.actions.onward import Way
from deploy.bridge.actions.orders import Due, Order, Seen, Tools
from deploy.bridge.actions.sorting import Fit, Kind, Takes
from deploy.bridge.ledger import PhotoRow
from deploy.bridge.plan import Step
from quadrat import files, images, template, verdict
from quadrat.drawn import DrawnPhoto
from quadrat.layout_choice import layout_of
from quadrat.shapes import Keypoints

_MORE_THAN_CORNERS = 5
_LATTICES = ("grid11x11", "grid9x13")


def due(tools: Tools, step: Step, seen: Seen) -> list[Due]:
    """See `onward.due`."""
    return onward.due(WAY, tools, step, seen)


def run(tools: Tools, order: Order) -> str:
    """See `onward.run`."""
    return onward.run(WAY, tools, order)


def judge(step: Step, photo: DrawnPhoto, points: Keypoints, as_found: bool) -> Fit:
    """What the points of a grid are good for; those of a layout that is not built in are left to the function."""
    layout = layout_of(points, [template.load(name, points.label) for name in _LATTICES])
    judged = verdict.judge(points, layout, photo.size_wh) if layout else None
    return Fit({"skeleton": skeleton_of(points)}, doubt="; ".join(judged.reasons) if judged else "")


def make(tools: Tools, order: Order, photo: bytes, row: PhotoRow, target: Path) -> None:
    """Write the photo without its grid.

    Raises:
        FunctionError: the function cannot be used.
        AnswerError: it could not answer for this photo, or not with this photo.
    """
    grid: Any = row.facts["takes"]["skeleton"]
    url = tools.plan.url_of(order.step)
    assert url is not None
    clean = chain.cleaned(url, photo, grid, request_id=order.row.request_id, backoff_s=tools.backoff_s)
    _check(clean.file, tuple(row.facts["size_wh"]))
    files.write_bytes(target, clean.file)


def _check(file: bytes, size_wh: tuple[int, ...]) -> None:
    """Refuse what is no whole picture of the photo's size."""
    try:
        height, width, _ = images.decode(file).shape
    except images.ImageError as error:
        raise AnswerError(f"it answered with no picture ({error})", again=True) from None
    if (width, height) != size_wh:
        raise AnswerError(
            f"it answered with a picture of {width} x {height} px: expected {size_wh[0]} x {size_wh[1]}, as the photo",
            again=True,
        )


def _suffix(name: str, takes: Takes) -> str:
    """The function answers a PNG for a PNG, else a JPEG; a photo that goes as it is keeps its own."""
    own = PurePosixPath(name).suffix.lower()
    return own if takes["skeleton"] is None or own in (".png", ".jpeg") else ".jpg"


WAY = Way(Kind("grid", lambda count: count >= _MORE_THAN_CORNERS, judge, bare={"skeleton": None}), _suffix, make)
