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
    view: View,
    layout: template.Template | None,
    bows: strings.Bows | None,
    over_frame: NDArray[np.bool_],
    over_strings: NDArray[np.bool_],
) -> tuple[Keypoints, ...]:
    """The frame's inner corners and, where there are strings, the points of their layout.

    A point outside the photo is `HIDDEN`, one where something stands over the frame or the strings `OCCLUDED`.

    Args:
        view: of the photo.
        layout: of the strings, if any.
        bows: how those strings run.
        over_frame: bool ``[H, W]``, pixels where a colony or a thing lies over the frame's plane.
        over_strings: the same for the strings.
    """
    frame = template.load("corners")
    sides = np.array(view.quadrat_wh_cm)
    xy = view.to_photo(frame.uv * sides)
    corners = Keypoints(frame.label, frame.names, xy, _seen(xy, over_frame))
    if layout is None or bows is None:
        return (corners,)
    xy = view.to_photo(strings.crossings(layout, bows) * sides)
    seen = _seen(xy, over_strings)
    return corners, Keypoints(layout.label, layout.names, xy, seen, attributes={"layout": layout.name})


def moved(keypoints: Keypoints, matrix: Matrix) -> Keypoints:
    """The same points in another picture."""
    return replace(keypoints, xy_px=apply(matrix, keypoints.xy_px))


def _seen(xy: NDArray[np.float64], over: NDArray[np.bool_]) -> NDArray[np.int64]:
    size_wh = np.array(over.shape[::-1])
    inside = ((xy >= 0) & (xy <= size_wh)).all(1)
    column, row = np.clip(np.floor(xy), 0, size_wh - 1).astype(int).T
    return np.where(inside, np.where(over[row, column], OCCLUDED, VISIBLE), HIDDEN)
