"""Between a photo and its rectified quadrat: points, pictures and shapes, both ways, lens and all; kept as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from quadrat import geometry, masks
from quadrat.files import write_json
from quadrat.homography import Homography, Points, apply_homography, as_homography, as_points, invert
from quadrat.lens import Lens
from quadrat.shapes import HIDDEN, Instance, Keypoints, Shape
from quadrat.verdict import OK, Verdict

FORMAT, VERSION = "quadratseg-mapping", 1
_STEP_PX = 12.0
"""An outline is bent at points no further apart; between them it stays straight, which is off by below 0.02 px."""
_BAND_PX = 1_000_000
_UNIT_SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class QuadratMapping:
    """Where each place of a rectified quadrat lies in its photo.

    Attributes:
        photo: file name, relative to the folder that was given.
        photo_size_wh: of the photo in px, EXIF turned.
        size_wh: of the rectified quadrat in px, margin and all.
        px_per_cm: of the rectified quadrat.
        photo_to_quadrat: homography from the *straightened* photo (`lens.straighten`) to the quadrat.
        lens: of the photo.
        verdict: what was made of the corners or the grid.
        source: what the mapping rests on, in words.
        maker: whatever made it, to tell whether it is still up to date.
        margin_px: how far inside the picture's border the frame's inner edge lies; 0 where it is the border.
    """

    photo: str
    photo_size_wh: tuple[int, int]
    size_wh: tuple[int, int]
    px_per_cm: float
    photo_to_quadrat: Homography
    lens: Lens
    verdict: Verdict = field(default_factory=lambda: Verdict(OK, 1.0))
    source: str = "corners"
    maker: Mapping[str, Any] = field(default_factory=dict)
    margin_px: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.margin_px < min(self.size_wh) / 2:
            raise ValueError(f"margin_px is {self.margin_px}: expected 0 or more, and a frame inside {self.size_wh} px")

    @property
    def corners_xy_px(self) -> Points:
        """float64 ``[4, 2]``: the frame's corners in the photo, top left, top right, bottom right, bottom left."""
        return self.to_photo(self.frame_xy_px)

    @property
    def frame_xy_px(self) -> Points:
        """float64 ``[4, 2]``: the same corners in the quadrat."""
        corners: Points = _UNIT_SQUARE * (np.array(self.size_wh) - 2 * self.margin_px) + self.margin_px
        return corners

    def to_quadrat(self, xy_px: ArrayLike) -> Points:
        """Photo points ``[N, 2]`` in pixels of the quadrat.

        Raises:
            ValueError: some lie beyond the horizon.
        """
        return apply_homography(self.photo_to_quadrat, self.lens.straighten(xy_px))

    def to_photo(self, xy_px: ArrayLike) -> Points:
        """Points ``[N, 2]`` of the quadrat in pixels of the photo."""
        return self.lens.bend(apply_homography(invert(self.photo_to_quadrat), as_points(xy_px, "xy_px")))

    def draw(self, image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The quadrat seen straight from above, uint8 ``[h, w, 3]``; what the photo does not show is black.

        Raises:
            ValueError: the photo is of another size.
        """
        size_wh = image_rgb.shape[1], image_rgb.shape[0]
        if size_wh != self.photo_size_wh:
            raise ValueError(f"the photo is of {size_wh} px, its mapping of {self.photo_size_wh}: not the same photo")
        if self.lens.k1 == 0:
            border = self.to_photo(_UNIT_SQUARE * self.size_wh)
            return geometry.rectify(image_rgb, border, self.size_wh).image_rgb
        width, height = self.size_wh
        fine = self._samples()
        rows = max(1, _BAND_PX // (width * fine * fine))
        bands = [self._band(image_rgb, y, min(y + rows, height), fine) for y in range(0, height, rows)]
        return np.concatenate(bands)

    def shapes_to_photo(self, shapes: Sequence[Shape]) -> list[Shape]:
        """Shapes of the quadrat as shapes of the photo, cut at its border; outlines are mapped, then drawn again."""
        back = invert(self.photo_to_quadrat)
        if self.lens.k1 == 0:
            return geometry.warp_shapes(shapes, back, self.photo_size_wh)

        def mapped(xy: Points) -> tuple[Points, NDArray[np.bool_]]:
            straight, facing = _facing(xy, back)
            return self.lens.bend(straight), facing

        return _warp(shapes, mapped, self.photo_size_wh)

    def shapes_to_quadrat(self, shapes: Sequence[Shape]) -> list[Shape]:
        """Shapes of the photo as shapes of the quadrat, cut at its border."""
        if self.lens.k1 == 0:
            return geometry.warp_shapes(shapes, self.photo_to_quadrat, self.size_wh)
        return _warp(shapes, lambda xy: _facing(self.lens.straighten(xy), self.photo_to_quadrat), self.size_wh)

    def _samples(self) -> int:
        """How many samples a side a pixel of the quadrat needs: its greatest extent in the photo, rounded up."""
        nodes = np.stack(np.meshgrid([0, 0.5, 1], [0, 0.5, 1]), -1).reshape(-1, 2) * self.size_wh
        here = self.to_photo(nodes)
        extent = max(float(np.hypot(*(self.to_photo(nodes + step) - here).T).max()) for step in ((1, 0), (0, 1)))
        return min(math.ceil(extent - 0.1), 32) if extent > 1.1 else 1

    def _band(self, image: NDArray[np.uint8], y0: int, y1: int, fine: int) -> NDArray[np.uint8]:
        """Rows ``y0..y1`` of the quadrat, each pixel the mean of ``fine x fine`` samples."""
        width, rows = self.size_wh[0] * fine, (y1 - y0) * fine
        x, y = (np.arange(width) + 0.5) / fine, (np.arange(rows) + 0.5) / fine + y0
        places = self.to_photo(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)) - 0.5
        at_x, at_y = np.moveaxis(places.reshape(rows, width, 2).astype(np.float32), -1, 0)
        how = cv2.INTER_LINEAR if fine > 1 else cv2.INTER_CUBIC
        drawn = cv2.remap(image, at_x, at_y, how, borderMode=cv2.BORDER_CONSTANT)
        if fine > 1:
            drawn = cv2.resize(drawn, (self.size_wh[0], y1 - y0), interpolation=cv2.INTER_AREA)
        return np.asarray(drawn, np.uint8)


def _facing(xy: Points, homography: Homography) -> tuple[Points, NDArray[np.bool_]]:
    """Mapped points, and which lie on the seen side of the horizon; what the others hold has no meaning."""
    mapped = xy @ homography[:, :2].T + homography[:, 2]
    facing = mapped[:, 2] > 1e-6 * float(np.abs(mapped[:, 2]).max(initial=0))
    return mapped[:, :2] / np.where(facing, mapped[:, 2], 1)[:, None], facing


_Mapper = Callable[[Points], tuple[Points, NDArray[np.bool_]]]


def _warp(shapes: Sequence[Shape], mapper: _Mapper, size_wh: tuple[int, int]) -> list[Shape]:
    warped = (
        _warp_instance(s, mapper, size_wh) if isinstance(s, Instance) else _warp_points(s, mapper) for s in shapes
    )
    return [shape for shape in warped if shape is not None]


def _warp_instance(shape: Instance, mapper: _Mapper, size_wh: tuple[int, int]) -> Instance | None:
    mapped = (mapper(_dense(ring)) for part in masks.instance_to_parts(shape) for ring in part)
    rings = [xy[facing] for xy, facing in mapped if np.count_nonzero(facing) > 2]
    return masks.instance_from_rings(shape.label, rings, size_wh, shape.score, shape.attributes)


def _dense(ring: Points) -> Points:
    """A closed ring with points at most `_STEP_PX` apart."""
    step = np.roll(ring, -1, axis=0) - ring
    pieces = np.maximum(np.ceil(np.hypot(*step.T) / _STEP_PX), 1).astype(int)
    share = np.concatenate([np.arange(n) / n for n in pieces])
    return np.asarray(np.repeat(ring, pieces, axis=0) + np.repeat(step, pieces, axis=0) * share[:, None], np.float64)


def _warp_points(shape: Keypoints, mapper: _Mapper) -> Keypoints:
    xy, facing = mapper(shape.xy_px)
    visibility = np.asarray(shape.visibility)
    facing &= visibility != HIDDEN
    seen = np.where(facing, visibility, HIDDEN).astype(np.uint8)
    return replace(shape, xy_px=np.where(facing[:, None], xy, 0.0), visibility=seen)


# ------------------------------------------------------------------------------------------------ as JSON


def write(path: str | Path, mapping: QuadratMapping) -> None:
    """Write a mapping, whole or not at all; `corners_xy_px` and the way back are for readers that are not we."""
    raw = {
        "format": FORMAT,
        "version": VERSION,
        "photo": mapping.photo,
        "photo_size_wh": list(mapping.photo_size_wh),
        "size_wh": list(mapping.size_wh),
        "px_per_cm": mapping.px_per_cm,
        "margin_px": mapping.margin_px,
        "corners_xy_px": mapping.corners_xy_px.tolist(),
        "photo_to_quadrat": mapping.photo_to_quadrat.tolist(),
        "quadrat_to_photo": invert(mapping.photo_to_quadrat).tolist(),
        "lens": {
            "model": "division: straight = centre + (bent - centre) / (1 + k1 r^2), r in half diagonals; straighten "
            "photo pixels before photo_to_quadrat, bend what quadrat_to_photo gives",
            "k1": mapping.lens.k1,
        },
        "verdict": mapping.verdict.status,
        "score": mapping.verdict.score,
        "reasons": list(mapping.verdict.reasons),
        "source": mapping.source,
        "maker": dict(mapping.maker),
    }
    write_json(path, raw)


def read(path: str | Path) -> QuadratMapping:
    """Read what `write` wrote.

    Raises:
        ValueError: not such a file, or damaged; the message begins with the path.
    """
    try:
        raw = json.loads(Path(path).read_text("utf-8"))
        if not isinstance(raw, dict) or raw.get("format") != FORMAT or raw.get("version") != VERSION:
            raise ValueError(f'expected "format": "{FORMAT}" and "version": {VERSION}')
        photo_size_wh = _size(raw["photo_size_wh"])
        return QuadratMapping(
            str(raw["photo"]),
            photo_size_wh,
            _size(raw["size_wh"]),
            float(raw["px_per_cm"]),
            as_homography(raw["photo_to_quadrat"]),
            Lens(photo_size_wh, float(raw["lens"]["k1"])),
            Verdict(raw["verdict"], float(raw["score"]), tuple(raw["reasons"])),
            str(raw["source"]),
            raw["maker"],
            float(raw.get("margin_px", 0.0)),  # files from before quadrats had a margin
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a readable mapping of a quadrat ({type(error).__name__}: {error})") from error


def _size(raw: Sequence[int]) -> tuple[int, int]:
    width, height = (int(side) for side in raw)
    return width, height
