"""Polygons of one group as one object, for formats that have objects of several parts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import cv2
import numpy as np

from data_engineering.formats.losses import Losses
from quadrat import masks
from quadrat.drawn import Drawn


def tie(drawn: Sequence[Drawn], losses: Losses, same: Callable[[Drawn], Hashable]) -> list[list[Drawn]]:
    """Shapes that become one object each: polygons of a group for which `same` is the same together, others alone.

    An object stands where its first shape stood. Groups that so come apart are counted.
    """
    found: list[list[Drawn]] = []
    joined: dict[Hashable, list[Drawn]] = {}
    for one in drawn:
        key = (one.label, one.group, same(one))
        if not one.group or one.kind != "polygon":
            found.append([one])
        elif key in joined:
            joined[key].append(one)
        else:
            joined[key] = [one]
            found.append(joined[key])
    largest: dict[int, int] = {}
    members: dict[int, int] = {}
    for parts in found:
        group = parts[0].group
        largest[group] = max(largest.get(group, 0), len(parts))
        members[group] = members.get(group, 0) + len(parts)
    losses.add("group", sum(members[group] for group in members if group and members[group] > largest[group]))
    return found


def apart(rings: Sequence[masks.Ring]) -> bool:
    """Whether no ring has a point inside another one: then they are parts, and not holes or overlaps."""
    for one in rings:
        outline = np.ascontiguousarray(one, np.float32)[:, None]
        others = (point for other in rings if other is not one for point in other.tolist())
        if any(cv2.pointPolygonTest(outline, point, False) > 0 for point in others):
            return False
    return True


def unbridged(ring: masks.Ring) -> list[masks.Ring]:
    """The rings that bridges of no width have joined into one (`masks.join_parts`); else the ring alone."""
    points = [tuple(point) for point in ring.tolist()]
    walked: dict[tuple[tuple[float, ...], tuple[float, ...]], int] = {}
    for j in range(1, len(points)):
        i = walked.get((points[j], points[j - 1]))
        if i is not None and j - i >= 5:  # there and back, with a closed ring of 3 points or more between
            inner, outer = ring[i + 1 : j - 1], np.concatenate([ring[: i + 1], ring[j + 1 :]])
            return [*unbridged(outer), *unbridged(inner)]
        walked[points[j - 1], points[j]] = j - 1
    return [ring]
