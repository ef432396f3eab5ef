"""What is true of a rendered photo, as the shapes that every other room reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from data_engineering.render import strings
from data_engineering.render.camera import Matrix, View, apply
from quadrat import template
from quadrat.masks import instance_from_mask
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Instance, Keypoints

SMALLEST_PX = 16
"""A colony of which fewer pixels are seen is left out, as an annotator would leave it out."""


def colonies(ids: NDArray[np.uint8], genera: tuple[str, ...], forms: tuple[str, ...]) -> tuple[Instance, ...]:
    """One instance for each number in `ids` ``[H, W]``; its mask is exactly the pixels of that number."""
    found = []
    for k, where in enumerate(find_objects(ids), 1):
        if where is None:
            continue
        mask = ids[where] == k
        if np.count_nonzero(mask) < SMALLEST_PX:
            continue
        origin = (where[1].start, where[0].start)
        found.append(instance_from_mask(genera[k - 1], mask, origin, attributes={"growth_form": forms[k - 1]}))
    return tuple(one for one in found if one is not None)


def points(
    view: View, layout: template.Template | None, bows: strings.Bows | None, hidden: NDArray[np.bool_]
) -> tuple[Keypoints, ...]:
    """The frame's inner corners and, where there are strings, the points of their layout.

    A point outside the photo is `HIDDEN`, one where a colony stands over the strings `OCCLUDED`.
    """
    frame = template.load("corners")
    xy = strings.to_px(view.cm_to_photo, view.quadrat_wh_cm, frame.uv)
    corners = Keypoints(frame.label, frame.names, xy, np.where(_inside(xy, view.size_wh), VISIBLE, HIDDEN))
    if layout is None or bows is None:
        return (corners,)
    xy = strings.to_px(view.cm_to_photo, view.quadrat_wh_cm, strings.crossings(layout, bows))
    inside = _inside(xy, view.size_wh)
    column, row = np.clip(np.floor(xy), 0, np.array(view.size_wh) - 1).astype(int).T
    seen = np.where(inside, np.where(hidden[row, column], OCCLUDED, VISIBLE), HIDDEN)
    return corners, Keypoints(layout.label, layout.names, xy, seen, attributes={"layout": layout.name})


def moved(keypoints: Keypoints, matrix: Matrix) -> Keypoints:
    """The same points in another picture."""
    return replace(keypoints, xy_px=apply(matrix, keypoints.xy_px))


def _inside(xy: NDArray[np.float64], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    return ((xy >= 0) & (xy <= np.array(size_wh))).all(1)
