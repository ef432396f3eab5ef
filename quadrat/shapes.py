"""The values that every room speaks: instances, keypoints, semantic maps, and what belongs to one photo.

All are frozen and checked when built, so that a function which receives one need not check it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]

HIDDEN, OCCLUDED, VISIBLE = 0, 1, 2
"""Visibility of a keypoint as COCO counts it: not in the photo, covered but its place known, seen."""


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """One object: its box and the pixels inside the box (never a full-frame mask).

    Attributes:
        label: class name, not empty.
        xyxy_px: whole-pixel box ``(x0, y0, x1, y1)``, the end exclusive: ``x1 - x0`` is the width. May lie anywhere
            in or out of a photo; who stores it clips it (`masks.clip`).
        mask: bool ``[y1 - y0, x1 - x0]``, true where the object is.
        score: 0..1; 1 for what a person drew.
        attributes: extra facts as text, for example ``{"growth_form": "massive"}``.

    Raises:
        ValueError: an empty label, an empty or inverted box, a mask of another shape or type, a score out of range.
    """

    label: str
    xyxy_px: Box
    mask: NDArray[np.bool_]
    score: float = 1.0
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_label(self.label)
        _check_score(self.score)
        x0, y0, x1, y1 = (int(v) for v in self.xyxy_px)
        if x1 <= x0 or y1 <= y0:
            raise ValueError(f"xyxy_px {self.xyxy_px} is empty: expected x0 < x1 and y0 < y1")
        mask = np.asarray(self.mask)
        if mask.dtype != np.bool_ or mask.shape != (y1 - y0, x1 - x0):
            raise ValueError(
                f"mask is {mask.dtype}{list(mask.shape)}: expected bool{[y1 - y0, x1 - x0]} for box {(x0, y0, x1, y1)}"
            )
        _freeze(self, xyxy_px=(x0, y0, x1, y1), mask=_locked(mask), attributes=_read_only(self.attributes))

    @property
    def area_px(self) -> int:
        """Number of pixels in the mask."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True, slots=True, eq=False)
class Keypoints:
    """One object of K named points, such as the corners or the grid of a quadrat.

    Attributes:
        label: class name, not empty.
        names: K distinct point names, in the order of the rows below.
        xy_px: float64 ``[K, 2]``, finite; what a hidden point holds has no meaning.
        visibility: uint8 ``[K]``: `HIDDEN`, `OCCLUDED` or `VISIBLE`. Default: all visible.
        scores: float64 ``[K]``, 0..1 a point. Default: all 1.
        score: 0..1 for the object as a whole.
        attributes: extra facts as text.

    Raises:
        ValueError: names repeat, an array has another shape, a coordinate is not finite, a value is out of range.
    """

    label: str
    names: tuple[str, ...]
    xy_px: NDArray[np.float64]
    visibility: NDArray[np.uint8] | None = None
    scores: NDArray[np.float64] | None = None
    score: float = 1.0
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_label(self.label)
        _check_score(self.score)
        names = tuple(self.names)
        k = len(names)
        if k == 0 or len(set(names)) != k:
            raise ValueError(f"names of {self.label!r} must be distinct and at least one, got {k} names")
        xy = np.array(self.xy_px, np.float64)
        if xy.shape != (k, 2) or not np.isfinite(xy).all():
            raise ValueError(f"xy_px is {list(xy.shape)}: expected finite float64{[k, 2]}")
        visibility = np.array(np.full(k, VISIBLE) if self.visibility is None else self.visibility, np.uint8)
        if visibility.shape != (k,) or (visibility > VISIBLE).any():
            raise ValueError(f"visibility is {list(visibility.shape)}: expected uint8{[k]} of 0, 1 or 2")
        scores = np.array(np.ones(k) if self.scores is None else self.scores, np.float64)
        if scores.shape != (k,) or not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError(f"scores is {list(scores.shape)}: expected float64{[k]} of 0..1")
        _freeze(
            self,
            names=names,
            xy_px=_locked(xy),
            visibility=_locked(visibility),
            scores=_locked(scores),
            attributes=_read_only(self.attributes),
        )


@dataclass(frozen=True, slots=True, eq=False)
class SemanticMap:
    """One class a pixel.

    Attributes:
        labels: class names; the value ``i`` in `index` means ``labels[i]``.
        index: uint8 ``[H, W]``; 255 means "not known, do not count".

    Raises:
        ValueError: names repeat or are more than 255, `index` is not uint8 ``[H, W]``, a value names no class.
    """

    labels: tuple[str, ...]
    index: NDArray[np.uint8]

    IGNORE = 255

    def __post_init__(self) -> None:
        labels = tuple(self.labels)
        if not labels or len(set(labels)) != len(labels) or len(labels) > self.IGNORE:
            raise ValueError(f"labels must be 1 to {self.IGNORE} distinct names, got {len(labels)}")
        index = np.asarray(self.index)
        if index.dtype != np.uint8 or index.ndim != 2:
            raise ValueError(f"index is {index.dtype}{list(index.shape)}: expected uint8[H, W]")
        known = index[index != self.IGNORE]
        if known.size and int(known.max()) >= len(labels):
            raise ValueError(f"index holds {int(known.max())}, but there are {len(labels)} labels")
        _freeze(self, labels=labels, index=_locked(index))


Shape = Instance | Keypoints


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """What is known of one photo: its shapes and where they come from.

    Attributes:
        image: the photo's file name (no folder), or a name relative to the folder that the file lies in.
        size_wh: width and height in px of the photo, EXIF turned.
        shapes: instances and keypoints in no particular order.
        meta: JSON-able facts about the making: model, weights, seed, seconds.

    Raises:
        ValueError: an empty name or a size below 1 x 1.
    """

    image: str
    size_wh: tuple[int, int]
    shapes: tuple[Shape, ...] = ()
    meta: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.image:
            raise ValueError("image is empty: expected the photo's file name")
        w, h = (int(v) for v in self.size_wh)
        if w < 1 or h < 1:
            raise ValueError(f"size_wh is {(w, h)}: expected at least 1 x 1")
        _freeze(self, size_wh=(w, h), shapes=tuple(self.shapes), meta=MappingProxyType(dict(self.meta)))

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The instances among the shapes."""
        return tuple(s for s in self.shapes if isinstance(s, Instance))

    @property
    def keypoints(self) -> tuple[Keypoints, ...]:
        """The keypoints among the shapes."""
        return tuple(s for s in self.shapes if isinstance(s, Keypoints))


def _check_label(label: str) -> None:
    if not isinstance(label, str) or not label:
        raise ValueError(f"label is {label!r}: expected a name")


def _check_score(score: float) -> None:
    if not 0.0 <= score <= 1.0:  # false for NaN too
        raise ValueError(f"score is {score}: expected 0..1")


def _read_only(attributes: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType({str(k): str(v) for k, v in attributes.items()})


def _locked(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def _freeze(value: object, **fields: object) -> None:
    for name, content in fields.items():
        object.__setattr__(value, name, content)
