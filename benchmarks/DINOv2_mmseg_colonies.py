"""Cases of `DINOv2_mmseg`: class map to colonies against scikit-image over the whole map."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import DINOv2_mmseg_networks as networks
from benchmarks.cases import CheckError, Sides, case
from DINOv2_mmseg import dense, instances
from DINOv2_mmseg.dense import Dense
from quadrat import experiment, files, images, masks
from quadrat.shapes import Instance

MODULE = "DINOv2_mmseg"
SIZE_WH = (4000, 3000)
CELLS_WH = (80, 60)
"""Of a photo that is brought to 640 px, at 8 px a cell: the small network's."""
RENDERED_PX = 960
COLONIES = 40
TOUCH = 0.02
"""Peaks nearer than this share of the photo's long side are one colony to the peer."""

_ON: dict[str, Any] = {
    "photo": "{} x {} px, class map of a rendered reef, from its truth blurred to 80 x 60 cells".format(*SIZE_WH),
    "objects": f"up to {COLONIES} colonies, many of which touch",
    "encoding": "class map and scores in, a mask and a score each out",
    "precision": "float32 on both sides",
    "repeat": 3,
    "needs": {"skimage": "scikit-image"},
}


@dataclass(frozen=True, eq=False)
class Plain:
    """A colony as written plainly.

    Attributes:
        label: its class.
        mask: bool ``[H, W]`` of the whole photo.
        score: mean probability of its class.
    """

    label: str
    mask: NDArray[np.bool_]
    score: float


@case(
    MODULE,
    "colonies",
    measures="`instances.colonies` by watershed",
    peer="scikit-image over the whole map: `label`, distance, `peak_local_max`, `watershed`, full-frame masks",
    target=5.0,
    **_ON,
)
def colonies() -> Sides:
    """Colonies that touch are cut apart."""
    return by_watershed(_reef())


@case(
    MODULE,
    "colonies-components",
    measures="`instances.colonies` by connected components",
    peer="scikit-image over the whole map: `label`, `regionprops`, full-frame masks",
    **_ON,
)
def colonies_components() -> Sides:
    """Each connected region is a colony: both sides give the same, to the pixel."""
    return by_components(_reef())


def by_watershed(given: Dense) -> Sides:
    """Both ways; they cut at other places, but must keep the same pixels."""

    def ours() -> list[Instance]:
        return instances.colonies(given, [networks.BACKGROUND])

    def check() -> dict[str, object]:
        mine, theirs = ours(), plain_watershed(given)
        covered, others = np.zeros(given.map.index.shape, np.bool_), np.zeros(given.map.index.shape, np.bool_)
        for one in mine:
            x0, y0, x1, y1 = one.xyxy_px
            covered[y0:y1, x0:x1] |= one.mask
        for other in theirs:
            others |= other.mask
        same = np.count_nonzero(covered & others) / max(np.count_nonzero(covered | others), 1)
        if same < 0.98:
            raise CheckError(f"{same:.1%} of the pixels of colonies are the same: expected 98%")
        return {"colonies": len(mine), "colonies of theirs": len(theirs), "share of pixels in both": same}

    return Sides(ours, lambda: plain_watershed(given), check)


def by_components(given: Dense) -> Sides:
    """Both ways; masks and scores must be the same."""

    def ours() -> list[Instance]:
        return instances.colonies(given, [networks.BACKGROUND], method="components")

    def check() -> dict[str, object]:
        mine, theirs = ours(), plain_components(given)
        if len(mine) != len(theirs):
            raise CheckError(f"{len(theirs)} colonies of theirs, {len(mine)} of ours")
        best = [max(mine, key=lambda one, other=other: _iou(one, other)) for other in theirs]
        least = min((_iou(one, other) for one, other in zip(best, theirs, strict=True)), default=1.0)
        off = max((abs(one.score - other.score) for one, other in zip(best, theirs, strict=True)), default=0.0)
        if least < 1 or off > 1e-3:
            raise CheckError(f"a mask has an IoU of {least:.4f} with theirs, a score differs by {off:.2g}")
        return {"colonies": len(mine), "IoU, least": least, "scores differ by at most": off}

    return Sides(ours, lambda: plain_components(given), check)


def _iou(ours: Instance, theirs: Plain) -> float:
    other = masks.instance_from_mask(theirs.label, theirs.mask)
    return masks.iou(ours, other) if other is not None and other.label == ours.label else 0.0


# ------------------------------------------------------------------------------------------------ the peer


def plain_watershed(given: Dense) -> list[Plain]:
    """As scikit-image's own example of touching objects goes, for all classes at once; class 0 is background."""
    from scipy import ndimage
    from skimage.feature import peak_local_max
    from skimage.measure import label
    from skimage.segmentation import find_boundaries, watershed

    index = given.map.index
    regions = label(index, background=0, connectivity=2)
    distance = ndimage.distance_transform_edt((regions > 0) & ~find_boundaries(regions, mode="inner"))
    apart = max(round(TOUCH * max(index.shape)), 1)
    peaks = peak_local_max(distance, min_distance=apart, labels=regions, exclude_border=False)
    markers = np.zeros(index.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    basins = watershed(-distance, markers, mask=index > 0)
    kinds = index[tuple(peaks.T)]
    found = (((basins == number) & (index == kind), kind) for number, kind in enumerate(kinds, 1))
    return list(_scored(given, found))


def plain_components(given: Dense) -> list[Plain]:
    """Connected regions of one class; class 0 is background."""
    from skimage.measure import label, regionprops

    regions = label(given.map.index, background=0, connectivity=2)
    found = ((regions == one.label, given.map.index[tuple(one.coords[0])]) for one in regionprops(regions))
    return list(_scored(given, found))


def _scored(given: Dense, found: Iterator[tuple[NDArray[np.bool_], int]]) -> Iterator[Plain]:
    """Those that are not too small, with the mean of their class's probability, enlarged to the photo once a class."""
    least = instances.min_area(given.size_wh)
    large: dict[int, Any] = {}
    for mask, kind in found:
        if np.count_nonzero(mask) < least:
            continue
        if kind not in large:
            large[kind] = cv2.resize(given.scores[kind], given.size_wh, interpolation=cv2.INTER_LINEAR)
        yield Plain(given.map.labels[kind], mask, float(large[kind][mask].mean(dtype=np.float64)))


# ------------------------------------------------------------------------------------------------ the map


@functools.cache
def _reef() -> Dense:
    return blurred(_rendered(RENDERED_PX, COLONIES), CELLS_WH, SIZE_WH)


def blurred(index: NDArray[np.uint8], cells_wh: tuple[int, int], size_wh: tuple[int, int]) -> Dense:
    """What a network would say of a photo that saw everything, though not sharply.

    Args:
        index: true classes uint8 ``[h, w]`` of `networks.labels_of_reefs`, at any size.
        cells_wh: cells of the scores, which cover the photo and no more.
        size_wh: of the photo in px.
    """
    labels = networks.labels_of_reefs()
    cells = [_at_cells(index == kind, cells_wh) for kind in range(len(labels))]
    scores = np.stack(cells) + np.float32(1e-3)
    scores /= scores.sum(axis=0)
    cell_px = size_wh[0] / cells_wh[0], size_wh[1] / cells_wh[1]
    return Dense(dense.label_map(scores, labels, size_wh, cell_px), scores, cell_px, 8 / cell_px[0])


def _at_cells(mask: NDArray[np.bool_], cells_wh: tuple[int, int]) -> NDArray[np.float32]:
    shares = cv2.resize(mask.astype(np.float32), cells_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(shares, (0, 0), 0.6, borderType=cv2.BORDER_REPLICATE), np.float32)


def _rendered(side_px: int, colonies: int) -> NDArray[np.uint8]:
    """True classes of a rendered reef of 4:3, kept in runs/benchmarks/ once they are made."""
    from data_engineering.render.settings import VERSION

    path = experiment.runs_root() / "benchmarks" / f"reef-classes-v{VERSION}-{side_px}-{colonies}.png"
    if not path.exists():
        files.write_bytes(path, images.encode_png(_classes_of_reef(side_px, colonies)))
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def _classes_of_reef(side_px: int, colonies: int) -> NDArray[np.uint8]:
    from data_engineering.render.scene import render
    from data_engineering.render.settings import Settings
    from DINOv2_mmseg import class_maps

    only: dict[str, Any] = {"layouts": {"none": 1}, "frames": {"none": 1}, "aspects": (4 / 3,)}
    settings = Settings(size_px=side_px, colonies=(colonies, colonies), touching_probability=0.8, **only)
    classes = class_maps.Classes(networks.labels_of_reefs(), str)
    index: NDArray[np.uint8] = class_maps.draw(render(7, settings).annotations, classes).index
    return index
