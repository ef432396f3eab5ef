"""Each pixel to one colony: where masks overlap, the better-scored one has it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quadrat import masks
from quadrat.shapes import Instance


def exclusive(instances: Sequence[Instance]) -> list[Instance]:
    """Cut from every instance what a better-scored one has.

    Args:
        instances: best score first.

    Returns:
        The same order; what is left of each, trimmed. An instance that better ones cover is gone.
    """
    boxes = np.array([instance.xyxy_px for instance in instances], np.int64).reshape(-1, 4)
    left: list[Instance] = []
    for place, instance in enumerate(instances):
        better = boxes[:place]
        near = (better[:, :2] < boxes[place, 2:]).all(1) & (better[:, 2:] > boxes[place, :2]).all(1)
        mask = instance.mask
        for other in np.flatnonzero(near).tolist():
            x0, y0, x1, y1 = box = masks.intersection(instances[other].xyxy_px, instance.xyxy_px)
            taken = masks.window(instances[other], box)
            ox, oy = instance.xyxy_px[:2]
            own = mask[y0 - oy : y1 - oy, x0 - ox : x1 - ox]
            if (own & taken).any():
                mask = mask.copy() if mask is instance.mask else mask
                mask[y0 - oy : y1 - oy, x0 - ox : x1 - ox] &= ~taken
        if mask is instance.mask:
            left.append(instance)
            continue
        origin_xy = instance.xyxy_px[:2]
        rest = masks.instance_from_mask(instance.label, mask, origin_xy, instance.score, instance.attributes)
        if rest is not None:
            left.append(rest)
    return left
