"""Training samples: a part of a photo at a random scale, turned, mirrored and recoloured, with its classes.

Sample number ``i`` of a run depends on the seed and ``i`` alone: a run that goes on draws what an unbroken one would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from numpy.typing import NDArray

from DINOv2_mmseg import folder
from quadrat import images

_FILL_RGB = (124, 116, 104)  # the mean colour, as in the normalisation
_TRIES = 5
_TOO_MUCH = 0.85  # of a view in one class: try another place

Pair = tuple[Path, Path]
Index = NDArray[np.uint8]


@dataclass(frozen=True)
class Augment:
    """How views differ from the photo.

    Attributes:
        scales: least and greatest scale, times that at which photos are worked on; drawn evenly in its logarithm.
        turns: quarter turns and mirroring.
        tilt_deg: most that a view is turned beyond quarter turns.
        colour: strength of changes of white balance, brightness, contrast and saturation, 0..1.
        blur: share of views that are blurred or sharpened less than the photo.
    """

    scales: tuple[float, float] = (0.5, 2.0)
    turns: bool = True
    tilt_deg: float = 0.0
    colour: float = 0.5
    blur: float = 0.2


@DATASETS.register_module()
class Views(torch.utils.data.Dataset[dict[str, Any]]):
    """``length`` samples from photos, in an order of their own each time round.

    Args:
        pairs: photo and label file of each.
        crop_px: side of a view.
        work_px: long side of a photo at scale 1; 0 takes photos as they are.
        seed: of all that is random.
        length: number of samples.
        sparse: labels are points: none gets lost when a photo shrinks.
        augment: keyword arguments of `Augment`.
        label_stride: classes are given for every so-manyth pixel of a side.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        crop_px: int,
        work_px: int,
        seed: int,
        length: int,
        sparse: bool = False,
        augment: Mapping[str, Any] | None = None,
        label_stride: int = 1,
    ):
        self.pairs, self.crop_px, self.work_px, self.seed = list(pairs), crop_px, work_px, seed
        self.length, self.sparse, self.label_px = length, sparse, max(crop_px // label_stride, 1)
        self.augment = Augment(**dict(augment or {}))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> dict[str, Any]:
        """Tensor uint8 ``[3, crop, crop]`` as ``inputs`` and the classes in ``data_samples``."""
        round_, place = divmod(i, len(self.pairs))
        order = np.random.default_rng([self.seed, 1, round_]).permutation(len(self.pairs))
        rng = np.random.default_rng([self.seed, 2, i])
        photo, label = self.pairs[order[place]]
        image_rgb, index = view(images.read(photo), folder.read_label(label), self, rng)
        return packed(recolour(image_rgb, self.augment, rng), index)


def packed(image_rgb: images.Rgb, index: Index) -> dict[str, Any]:
    """A sample as mmsegmentation takes it."""
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.from_numpy(index.astype(np.int64))[None]))
    sample.set_metainfo({"img_shape": index.shape, "ori_shape": index.shape, "pad_shape": index.shape})
    return {"inputs": torch.from_numpy(np.ascontiguousarray(image_rgb.transpose(2, 0, 1))), "data_samples": sample}


def view(image_rgb: images.Rgb, index: Index, of: Views, rng: np.random.Generator) -> tuple[images.Rgb, Index]:
    """A square part of a photo, `of.crop_px` a side, and its classes."""
    scale = _scale(image_rgb.shape, of, rng)
    side = of.crop_px / scale  # px of the photo
    for _ in range(_TRIES):
        box = _place(index, side, of.sparse, rng)
        if not _monotonous(_cut(index, box, folder.IGNORE)):
            break
    image_rgb, index = _cut(image_rgb, box, _FILL_RGB), _cut(index, box, folder.IGNORE)
    if of.augment.tilt_deg:
        image_rgb, index = _tilted(image_rgb, index, rng.uniform(-1, 1) * of.augment.tilt_deg, of.sparse)
    size, label_size = (of.crop_px, of.crop_px), (of.label_px, of.label_px)
    averaged = cv2.INTER_AREA if image_rgb.shape[0] > of.crop_px else cv2.INTER_LINEAR
    image_rgb, index = cv2.resize(image_rgb, size, interpolation=averaged), resized_label(index, label_size, of.sparse)
    if of.augment.turns:
        turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
        image_rgb, index = (np.rot90(a[:, ::-1] if mirrored else a, turns) for a in (image_rgb, index))
    return np.ascontiguousarray(image_rgb), np.ascontiguousarray(index)


def resized_label(index: Index, size_wh: tuple[int, int], sparse: bool) -> Index:
    """Classes at another size: the nearest pixel's; with `sparse`, single pixels that would get lost are kept."""
    small = cv2.resize(index, size_wh, interpolation=cv2.INTER_NEAREST_EXACT)
    if not sparse:
        return small
    y, x = np.nonzero(index != folder.IGNORE)
    rows = np.minimum(((y + 0.5) * size_wh[1] / index.shape[0]).astype(int), size_wh[1] - 1)
    columns = np.minimum(((x + 0.5) * size_wh[0] / index.shape[1]).astype(int), size_wh[0] - 1)
    lost = small[rows, columns] == folder.IGNORE
    small[rows[lost], columns[lost]] = index[y[lost], x[lost]]
    return small


def _scale(shape: Sequence[int], of: Views, rng: np.random.Generator) -> float:
    low, high = np.log(of.augment.scales)
    working = of.work_px / max(shape[:2]) if of.work_px else 1.0
    return float(np.exp(rng.uniform(low, high)) * working)


def _place(index: Index, side: float, sparse: bool, rng: np.random.Generator) -> tuple[int, int, int]:
    """Left, top and side of a square: anywhere that the photo fills as far as it can; with points, around one."""
    whole = max(round(side), 1)
    height, width = index.shape
    if sparse and len(known := np.flatnonzero(index != folder.IGNORE)):
        y, x = divmod(int(rng.choice(known)), width)
        return round(x - rng.uniform(0.1, 0.9) * whole), round(y - rng.uniform(0.1, 0.9) * whole), whole
    left, top = (round(rng.uniform(min(0, length - whole), max(0, length - whole))) for length in (width, height))
    return left, top, whole


def _monotonous(index: Index) -> bool:
    counts = np.bincount(index[::4, ::4].ravel(), minlength=256)[: folder.IGNORE]
    return bool(counts.sum() and counts.max() > _TOO_MUCH * counts.sum())


def _cut(array: Any, box: tuple[int, int, int], fill: Any) -> Any:
    left, top, side = box
    height, width = array.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    if (x1 - x0, y1 - y0) == (side, side):
        return array[y0:y1, x0:x1]
    whole = np.empty((side, side, *array.shape[2:]), array.dtype)
    whole[:] = fill
    if x0 < x1 and y0 < y1:
        whole[y0 - top : y1 - top, x0 - left : x1 - left] = array[y0:y1, x0:x1]
    return whole


def _tilted(image_rgb: images.Rgb, index: Index, degrees: float, sparse: bool) -> tuple[images.Rgb, Index]:
    side = image_rgb.shape[0]
    turn = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), degrees, 1.0)
    turned = cv2.warpAffine(image_rgb, turn, (side, side), flags=cv2.INTER_LINEAR, borderValue=_FILL_RGB)
    if not sparse:
        return turned, cv2.warpAffine(index, turn, (side, side), flags=cv2.INTER_NEAREST, borderValue=folder.IGNORE)
    whole = np.full_like(index, folder.IGNORE)
    y, x = np.nonzero(index != folder.IGNORE)
    columns, rows = np.rint(turn @ np.stack([x, y, np.ones_like(x)])).astype(int)
    inside = (columns >= 0) & (columns < side) & (rows >= 0) & (rows < side)
    whole[rows[inside], columns[inside]] = index[y[inside], x[inside]]
    return turned, whole


def recolour(image_rgb: images.Rgb, how: Augment, rng: np.random.Generator) -> images.Rgb:
    """Another light and water: gains a channel, brightness, contrast, saturation; a blur now and then."""
    if how.blur and rng.random() < how.blur:
        image_rgb = cv2.GaussianBlur(image_rgb, (0, 0), float(rng.uniform(0.4, 1.4)))
    if not how.colour:
        return image_rgb
    image = image_rgb.astype(np.float32)
    gains = np.exp(rng.normal(0, 0.15 * how.colour, 3) + rng.normal(0, 0.2 * how.colour)).astype(np.float32)
    image *= gains
    middle = image.mean(axis=(0, 1), keepdims=True)
    image = middle + (image - middle) * np.float32(np.exp(rng.normal(0, 0.25 * how.colour)))
    gray = image.mean(axis=2, keepdims=True)
    image = gray + (image - gray) * np.float32(np.exp(rng.normal(0, 0.3 * how.colour)))
    return np.clip(image, 0, 255).astype(np.uint8)
