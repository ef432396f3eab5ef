"""Semantic map -> colonies: which pixels of one genus are one animal, and where do two of them touch.

`components` calls each connected region of a genus a colony. `watershed` also cuts regions at their necks. On every
region a height is computed,

    f = D * min(1, p / median p)

with D the distance in px to the region's border (small holes filled) and p the probability of the genus. Two colonies
that touch make two hills of D with a saddle at the neck: the hills are as high as the bodies are half as wide, the
saddle as the neck. The probability lowers the saddle where the network hesitates at a seam that is hardly a neck. It
can only lower: a confident spot in the middle of a colony makes no hill of its own. The watershed of -f gives every
hill its basin. Two basins stay apart only if the saddle between them is at most `Split.neck` times the lower of their
summits, else they are one colony. (In log f this is the h-maxima transform with h = -log neck, so that the rule does
not depend on the size of a colony; a round or moderately irregular colony has no such neck.) Nor are they cut apart if
one would be a knob of the other (`Split.body`) or too small for a colony.

Regions are reduced to at most `Split.side_px` for this, whatever the photo has, and the cut is enlarged again: a pixel
goes to the nearest part, between parts along a line that is smooth to a px of the reduced copy. Which pixels belong to
the region is never changed; holes stay.

The settings are the best of those tried on maps made from the truth of rendered quadrats, exact and blurred, and low
enough to leave irregular colonies whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from DINOv2_mmseg.dense import Dense
from quadrat import masks
from quadrat.shapes import Box, Instance

Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]
Method = Literal["watershed", "components"]
METHODS: tuple[Method, ...] = ("watershed", "components")

MIN_AREA_SHARE, MIN_AREA_PX = 5e-5, 16
"""Regions below this share of the photo, or below so many px, are no colonies."""


@dataclass(frozen=True, slots=True)
class Split:
    """How touching colonies are cut apart.

    Attributes:
        neck: 0..1: two bodies are two colonies where the neck is at most this part of the narrower one's width.
        body: 0..1: a part narrower than this part of the width of what it is joined to is a knob of it.
        hole_share: 0..1: holes up to this share of the region do not count as borders when widths are measured.
        smooth: sigma in px of the reduced copy by which the height is smoothed: ragged outlines make no hills.
        side_px: regions are reduced to this side at most before they are looked at.
        doubt: 0..1: how much the probability counts; 0 looks at the shape alone.
    """

    neck: float = 0.85
    body: float = 0.3
    hole_share: float = 0.05
    smooth: float = 2.0
    side_px: int = 256
    doubt: float = 1.0


def colonies(
    dense: Dense,
    background: Collection[str],
    *,
    method: Method = "watershed",
    min_area_px: int | None = None,
    split: Split | None = None,
) -> list[Instance]:
    """The colonies of a photo.

    Args:
        dense: what the network says.
        background: classes that are no colonies.
        method: ``watershed`` or ``components``.
        min_area_px: smaller ones are dropped; `None`: 5e-5 of the photo's pixels, at least 16.
        split: how to cut; `None`: the settings that are best on rendered quadrats.

    Returns:
        Best score first, no pixel in two of them. The score is the mean probability of the class over the pixels.

    Raises:
        ValueError: another method, or a background that is not among the classes.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: expected one of {', '.join(METHODS)}")
    if unknown := sorted(set(background) - set(dense.map.labels)):
        raise ValueError(f"background {unknown} is not among the classes {list(dense.map.labels)}")
    least = min_area(dense.size_wh) if min_area_px is None else min_area_px
    found: list[Instance] = []
    for kind, label in enumerate(dense.map.labels):
        if label in background:
            continue
        for region in regions(dense.map.index == kind, label, least):
            parts = [region] if method == "components" else split_region(region, dense, kind, split or Split(), least)
            found += [scored(part, dense, kind) for part in parts if part.area_px >= least]
    return sorted(found, key=lambda one: -one.score)


def min_area(size_wh: tuple[int, int]) -> int:
    """The area in px below which a region of a photo is no colony."""
    return max(MIN_AREA_PX, round(MIN_AREA_SHARE * size_wh[0] * size_wh[1]))


def regions(mask: Mask, label: str, min_area_px: int = 1) -> Iterator[Instance]:
    """The connected regions of a full-frame mask (pixels that touch at a corner are connected), not too small ones."""
    whole = masks.instance_from_mask(label, mask)
    if whole is None:
        return
    x0, y0 = whole.xyxy_px[:2]
    _, ids, stats, _ = cv2.connectedComponentsWithStats(whole.mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    for number in np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= min_area_px) + 1:
        x, y, w, h = stats[number, :4].tolist()
        crop = ids[y : y + h, x : x + w] == number
        yield Instance(label, (x + x0, y + y0, x + w + x0, y + h + y0), crop)


def scored(instance: Instance, dense: Dense, kind: int) -> Instance:
    """The instance with the mean probability of class `kind` over its pixels as its score."""
    probability = dense.probability(kind, instance.xyxy_px)
    score = float(np.mean(probability[instance.mask], dtype=np.float64))
    return Instance(instance.label, instance.xyxy_px, instance.mask, min(max(score, 0.0), 1.0), instance.attributes)


# ---------------------------------------------------------------------------------------------- watershed


def split_region(region: Instance, dense: Dense, kind: int, split: Split, min_area_px: int = 1) -> list[Instance]:
    """Cut a connected region at its necks.

    Args:
        region: a connected region of one class.
        dense: what the network says.
        kind: the class.
        split: the rule.
        min_area_px: no part is to be smaller than about this.

    Returns:
        The parts, without overlap, all pixels of `region` together; `region` itself where there is no neck.
    """
    small = _reduced(region.mask, split.side_px)
    if not small.any():  # thinner everywhere than a px of the copy
        return [region]
    height = _height(small, _sampled(dense, kind, region.xyxy_px, small.shape), split)
    parts = _parts(height, split, min_area_px * small.size / region.mask.size)
    if parts.max() < 2:
        return [region]
    owner = _enlarged(_nearest(parts), region.mask.shape)
    cut = [np.where(region.mask, owner == number, False) for number in range(1, int(parts.max()) + 1)]
    made = (masks.instance_from_mask(region.label, mask, region.xyxy_px[:2]) for mask in cut)
    return [part for part in made if part is not None]


def _reduced(mask: Mask, side_px: int) -> Mask:
    """The mask with its longest side at most `side_px`: a px is set if half of what it stands for is."""
    h, w = mask.shape
    step = max(h, w) / side_px
    if step <= 1:
        return mask
    size_wh = (max(1, round(w / step)), max(1, round(h / step)))
    return cv2.resize(mask.view(np.uint8) * np.uint8(255), size_wh, interpolation=cv2.INTER_AREA) >= 128


def _sampled(dense: Dense, kind: int, box: Box, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The probability of class `kind` at the centres of the px of a reduced copy ``shape`` of `box`."""
    x0, y0, x1, y1 = box
    x = (x0 + (np.arange(shape[1]) + 0.5) * ((x1 - x0) / shape[1])) / dense.cell_xy_px[0] - 0.5
    y = (y0 + (np.arange(shape[0]) + 0.5) * ((y1 - y0) / shape[0])) / dense.cell_xy_px[1] - 0.5
    grid_x, grid_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return cv2.remap(dense.scores[kind], grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _height(small: Mask, probability: NDArray[np.float32], split: Split) -> NDArray[np.float32]:
    """The height f of the module's page, float32 like `small`; 0 outside the region and above 0 inside."""
    filled = _without_holes(small, split.hole_share)
    padded = cv2.copyMakeBorder(filled.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    trust = np.minimum(probability / max(float(np.median(probability[small])), 1e-6), 1) ** np.float32(split.doubt)
    height = distance * trust
    if split.smooth:
        height = cv2.GaussianBlur(height, (0, 0), split.smooth, borderType=cv2.BORDER_CONSTANT)
    return np.where(filled, np.maximum(height, 1e-6), 0).astype(np.float32)


def _without_holes(mask: Mask, share: float) -> Mask:
    """The mask with its holes filled that have at most `share` of its pixels."""
    outside = cv2.copyMakeBorder((~mask).view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, ids, stats, _ = cv2.connectedComponentsWithStats(outside, connectivity=4, ltype=cv2.CV_32S)
    fill = stats[:, cv2.CC_STAT_AREA] <= share * np.count_nonzero(mask)
    fill[[0, ids[0, 0]]] = False
    return mask | fill[ids[1:-1, 1:-1]]


def _parts(height: NDArray[np.float32], split: Split, min_area_px: float) -> Labels:
    """Where the parts are: int32 like `height`, 1.. for the parts, 0 where `height` is 0."""
    from skimage.morphology import local_maxima
    from skimage.segmentation import watershed

    inside = height > 0
    tops = (local_maxima(height, allow_borders=True) & inside).view(np.uint8)
    count, markers = cv2.connectedComponents(tops, connectivity=8)
    if count <= 2:
        return inside.astype(np.int32)
    basins = watershed(-height, markers, connectivity=2, mask=inside)
    summits = np.zeros(count, np.float32)
    np.maximum.at(summits, basins.ravel(), height.ravel())
    areas = np.bincount(basins.ravel(), minlength=count)
    return _merged(summits, areas, _saddles(basins, height), split, min_area_px)[basins]


def _saddles(basins: Labels, height: NDArray[np.float32]) -> list[tuple[float, int, int]]:
    """The highest way from one basin to each of its neighbours: (height, basin, basin), highest first."""
    best: dict[int, float] = {}
    count = int(basins.max()) + 1
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = (slice(0, -dy or None), slice(0, -1) if dx == 1 else slice(1 if dx else 0, None))
        there = (slice(dy, None), slice(1, None) if dx == 1 else slice(0, -1 if dx else None))
        a, b = basins[here], basins[there]
        border = (a != b) & (a > 0) & (b > 0)
        low, high = np.minimum(a[border], b[border]), np.maximum(a[border], b[border])
        ways = np.minimum(height[here][border], height[there][border])
        for code, way in zip((low.astype(np.int64) * count + high).tolist(), ways.tolist(), strict=True):
            best[code] = max(best.get(code, 0.0), way)
    return sorted(((way, code // count, code % count) for code, way in best.items()), reverse=True)


def _merged(
    summits: NDArray[np.float32],
    areas: NDArray[np.int64],
    saddles: list[tuple[float, int, int]],
    split: Split,
    min_area_px: float,
) -> Labels:
    """Which part each basin belongs to: int32 like `summits`, numbered 1.. without gaps; basin 0 is part 0."""
    parent = list(range(len(summits)))
    top, area = summits.tolist(), areas.tolist()

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = one = parent[parent[one]]
        return one

    for way, a, b in saddles:
        a, b = root(a), root(b)
        low, high = sorted((top[a], top[b]))
        too_small = min(area[a], area[b]) < min_area_px
        if a != b and (way > split.neck * low or low < split.body * high or too_small):
            parent[b] = a
            top[a], area[a] = high, area[a] + area[b]
    roots = [root(one) for one in range(len(parent))]
    _, numbers = np.unique(roots, return_inverse=True)
    return numbers.astype(np.int32)


def _nearest(parts: Labels) -> Labels:
    """`parts` with every 0 replaced by the nearest part."""
    _, place = cv2.distanceTransformWithLabels(
        (parts == 0).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number = np.zeros(int(place.max()) + 1, np.int32)
    number[place[parts > 0]] = parts[parts > 0]
    return number[place]


def _enlarged(parts: Labels, shape: tuple[int, ...]) -> Labels:
    """`parts`, which has no 0, at the size ``shape``: between parts along smooth lines."""
    if parts.shape == shape:
        return parts
    h, w = shape
    best, owner = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    for number in range(1, int(parts.max()) + 1):
        share = cv2.resize((parts == number).view(np.uint8) * np.uint8(255), (w, h), interpolation=cv2.INTER_LINEAR)
        owner[share > best] = number
        np.maximum(best, share, out=best)
    return owner
