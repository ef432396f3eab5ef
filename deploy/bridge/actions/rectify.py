"""Photos with their corners become quadrats seen from above, in a new task; where each lies in its photo is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from deploy import chain
from deploy.bridge.actions import onward
from deploy.bridge.actions.onward import MAPPINGS, Way
from deploy.bridge.actions.orders import Due, Order, Seen, Tools
from deploy.bridge.actions.sorting import Fit, Kind
from deploy.bridge.ledger import PhotoRow
from deploy.bridge.plan import Step
from quadrat import files, geometry, mapping, template, verdict
from quadrat.drawn import DrawnPhoto
from quadrat.shapes import HIDDEN, VISIBLE, Keypoints

_CORNERS = 4
_BY_NAME = ("tl", "tr", "br", "bl")


def due(tools: Tools, step: Step, seen: Seen) -> list[Due]:
    """See `onward.due`."""
    return onward.due(WAY, tools, step, seen)


def run(tools: Tools, order: Order) -> str:
    """See `onward.run`."""
    return onward.run(WAY, tools, order)


def judge(step: Step, photo: DrawnPhoto, points: Keypoints, as_found: bool) -> Fit:
    """What four corners are good for; where a person has placed them, none is a guess any more."""
    corners = _ordered(points)
    seen = np.asarray(corners.visibility)
    if (seen == HIDDEN).any():
        return Fit(fault=f"corner {', '.join(np.array(corners.names)[seen == HIDDEN])} is not in the photo")
    if not as_found:
        corners = replace(corners, visibility=np.full(_CORNERS, VISIBLE, np.uint8))
    try:
        geometry.frame_homography(corners.xy_px, step.size_cm)
    except ValueError as error:
        return Fit(fault=str(error))
    frame = replace(template.load("corners"), size_cm=step.size_cm)
    judged = verdict.judge(corners, frame, photo.size_wh)
    takes = {
        "corners_xy_px": corners.xy_px.tolist(),
        "size_cm": list(step.size_cm),
        "px_per_cm": step.px_per_cm,
        "margin": step.margin,
    }
    return Fit(takes, doubt="; ".join(judged.reasons))


def _ordered(points: Keypoints) -> Keypoints:
    """Corners from the top left clockwise: by their names where these say it, else in the order of their label."""
    own, names = template.load("corners").names, tuple(name.casefold() for name in points.names)
    wanted = next((known for known in (own, _BY_NAME) if set(known) == set(names)), names)
    order = [names.index(name) for name in wanted]
    visibility, scores = np.asarray(points.visibility)[order], np.asarray(points.scores)[order]
    return Keypoints("quadrat_corner", own, points.xy_px[order], visibility, scores)


def make(tools: Tools, order: Order, photo: bytes, row: PhotoRow, target: Path) -> None:
    """Write the quadrat, and before it the mapping, beside it.

    Raises:
        ValueError: the photo or the corners cannot be used.
    """
    takes = row.facts["takes"]
    picture, found = chain.rectified(
        photo,
        takes["corners_xy_px"],
        name=row.name,
        size_cm=tuple(takes["size_cm"]),
        px_per_cm=takes["px_per_cm"],
        margin=takes["margin"],
    )
    kept = replace(found, maker={"cvat_task": row.task, "cvat_frame": row.frame, "stage": order.row.stage})
    mapping.write(target.parent / MAPPINGS / f"{target.stem}.json", kept)
    files.write_bytes(target, picture)


WAY = Way(Kind("corners", lambda count: count == _CORNERS, judge), lambda name, takes: ".jpg", make)
