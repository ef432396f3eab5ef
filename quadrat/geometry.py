"""The plane of a quadrat: homographies, its rectified view and back, centimetres, the order of corners.

Homographies themselves are in `quadrat.homography`; their names are here too. Pixel coordinates are those of the
project: the corner of the top-left pixel is (0, 0). OpenCV's warps put its centre there; `_for_opencv` converts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from quadrat import masks
from quadrat.homography import (
    Homography,
    Points,
    apply_homography,
    area_scale,
    as_homography,
    as_points,
    fit_homography,
    invert,
)
from quadrat.shapes import HIDDEN, Instance, Keypoints, Shape

__all__ = [
    "Rectified",
    "apply_homography",
    "area_cm2",
    "area_scale",
    "fit_homography",
    "frame_homography",
    "invert",
    "is_convex",
    "order_corners",
    "px_to_cm",
    "rectify",
    "size_for",
    "tilt_deg",
    "warp_shapes",
]

_BAND_PX = 4_000_000
_OPENCV_MAX_SIDE = 32_000


@dataclass(frozen=True, slots=True, eq=False)
class Rectified:
    """A quadrat seen straight from above.

    Attributes:
        image_rgb: uint8 ``[h, w, 3]`` (or without the last axis, as the photo was); its border is the frame.
        photo_to_quadrat: homography from photo pixels to pixels of `image_rgb`.
    """

    image_rgb: NDArray[np.uint8]
    photo_to_quadrat: Homography

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of `image_rgb` in px."""
        return self.image_rgb.shape[1], self.image_rgb.shape[0]

    def from_photo(self, shapes: Sequence[Shape]) -> list[Shape]:
        """Shapes of the photo, in pixels of the rectified view (see `warp_shapes`)."""
        return warp_shapes(shapes, self.photo_to_quadrat, self.size_wh)

    def to_photo(self, shapes: Sequence[Shape], photo_size_wh: tuple[int, int]) -> list[Shape]:
        """Shapes of the rectified view, in pixels of the photo (see `warp_shapes`)."""
        return warp_shapes(shapes, invert(self.photo_to_quadrat), photo_size_wh)


# ------------------------------------------------------------------------------------------------ corners


def order_corners(xy: ArrayLike) -> Points:
    """Four corners of a quadrat as top left, top right, bottom right, bottom left as seen in the photo.

    They are taken round the outline, clockwise on the screen, beginning where the quadrat is turned by at most 45
    degrees (see `tilt_deg`: near 45 the choice is open). The order in which they are given does not matter.

    Args:
        xy: ``[4, 2]`` px, in any order.

    Returns:
        float64 ``[4, 2]``.

    Raises:
        ValueError: not four finite points, or two of them are one.
    """
    points = as_points(xy, "xy")
    if len(points) != 4 or len(np.unique(points, axis=0)) != 4:
        raise ValueError(f"{len(np.unique(points, axis=0))} distinct corners: expected 4")
    points = points[np.lexsort(points.T)]
    outwards = points - points.mean(axis=0)
    ring = points[np.argsort(np.arctan2(outwards[:, 1], outwards[:, 0]), kind="stable")]
    turns = [abs(tilt_deg(np.roll(ring, -k, axis=0))) for k in range(4)]
    return np.roll(ring, -int(np.argmin(turns)), axis=0)


def tilt_deg(corners_xy: ArrayLike) -> float:
    """By how many degrees a quadrat is turned clockwise in the photo, -180..180.

    The mean of the directions in which its rows and its columns run, each as the mean of the two sides. After
    `order_corners` it lies within -45..45; near either end another order is as good, and a verdict should ask a human.

    Args:
        corners_xy: ``[4, 2]``: top left, top right, bottom right, bottom left.
    """
    tl, tr, br, bl = as_points(corners_xy, "corners_xy")
    across, down = (tr - tl) + (br - bl), (bl - tl) + (br - tr)
    direction = across / max(float(np.hypot(*across)), 1e-300)
    direction = direction + np.array([down[1], -down[0]]) / max(float(np.hypot(*down)), 1e-300)
    return math.degrees(math.atan2(direction[1], direction[0]))


def is_convex(corners_xy: ArrayLike) -> bool:
    """Whether four corners, in the order given, run clockwise on the screen round a convex quadrilateral."""
    points = as_points(corners_xy, "corners_xy")
    if len(points) != 4:
        raise ValueError(f"{len(points)} corners: expected 4")
    sides = np.roll(points, -1, axis=0) - points
    following = np.roll(sides, -1, axis=0)
    turn = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
    return bool((turn > 1e-9 * np.square(sides).sum(axis=1).max()).all())


def frame_homography(corners_xy_px: ArrayLike, size: tuple[float, float]) -> Homography:
    """The homography from corners (top left, top right, bottom right, bottom left) to a frame from (0, 0) to `size`.

    With a size in cm it maps photo pixels to cm, with one in px to the rectified view.

    Raises:
        ValueError: the corners do not run clockwise round a convex quadrilateral, or the size is not positive.
    """
    corners = as_points(corners_xy_px, "corners_xy_px")
    if not is_convex(corners):
        raise ValueError(
            f"corners {corners.round(1).tolist()} do not run clockwise round a convex quadrilateral: expected top "
            "left, top right, bottom right, bottom left; order_corners puts them so"
        )
    width, height = size
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise ValueError(f"size is {size}: expected two lengths above 0")
    return fit_homography(corners, [(0, 0), (width, 0), (width, height), (0, height)])[0]


# ------------------------------------------------------------------------------------------------ rectified view


def size_for(size_cm: tuple[float, float], px_per_cm: float) -> tuple[int, int]:
    """Width and height in px of a frame at a scale, at least 1 each."""
    width, height = (max(1, round(side * px_per_cm)) for side in size_cm)
    return width, height


def rectify(image_rgb: NDArray[np.uint8], corners_xy_px: ArrayLike, size_wh: tuple[int, int]) -> Rectified:
    """The inside of the frame as seen straight from above.

    Where the view is smaller than the photo, each of its pixels is the mean of many samples, so that fine texture does
    not alias. What lies outside the photo is black. Works in bands: memory is that of the result and some MB.

    Args:
        image_rgb: uint8 ``[H, W, 3]`` or ``[H, W]``.
        corners_xy_px: ``[4, 2]``: top left, top right, bottom right, bottom left; may lie outside the photo.
        size_wh: size of the view in px, see `size_for`.

    Raises:
        ValueError: the corners form no convex quadrilateral, the size is below 1 x 1, or no corner is near the photo.
    """
    width, height = (int(side) for side in size_wh)
    if width < 1 or height < 1:
        raise ValueError(f"size_wh is {size_wh}: expected at least 1 x 1")
    to_quadrat = frame_homography(corners_xy_px, (width, height))
    crop, origin = _crop_round(image_rgb, np.asarray(corners_xy_px, np.float64))
    to_crop = _shift(-origin[0], -origin[1]) @ invert(to_quadrat)
    fine = _samples(to_crop, (width, height))
    rows = max(1, _BAND_PX // (width * fine * fine))
    bands = [_band(crop, to_crop, (width, y, min(y + rows, height)), fine) for y in range(0, height, rows)]
    return Rectified(np.concatenate(bands), to_quadrat)


def _band(crop: NDArray[np.uint8], to_crop: Homography, span: tuple[int, int, int], fine: int) -> NDArray[np.uint8]:
    """Rows ``y0..y1`` of the view, each pixel the mean of ``fine x fine`` samples."""
    width, y0, y1 = span
    to_samples = np.diag([1 / fine, 1 / fine, 1.0])
    inverse_map = _for_opencv(to_crop @ _shift(0, y0) @ to_samples)
    how = (cv2.INTER_LINEAR if fine > 1 else cv2.INTER_CUBIC) | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpPerspective(crop, inverse_map, (width * fine, (y1 - y0) * fine), flags=how)
    if fine > 1:
        drawn = cv2.resize(drawn, (width, y1 - y0), interpolation=cv2.INTER_AREA)
    return np.asarray(drawn, np.uint8)


def _samples(to_photo: Homography, size_wh: tuple[int, int]) -> int:
    """How many samples a side a pixel of the view needs: its greatest extent in the photo, rounded up."""
    width, height = size_wh
    places = np.array([(x, y) for x in (0, width / 2, width) for y in (0, height / 2, height)])
    w = places @ to_photo[2, :2] + to_photo[2, 2]
    mapped = apply_homography(to_photo, places)
    jacobians = (to_photo[:2, :2] - mapped[:, :, None] * to_photo[2, :2]) / w[:, None, None]
    extent = float(np.linalg.norm(jacobians, ord=2, axis=(1, 2)).max())
    return int(min(math.ceil(extent - 0.1), 32, _OPENCV_MAX_SIDE // width)) if extent > 1.1 else 1


def _crop_round(image: NDArray[np.uint8], corners: Points) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    height, width = image.shape[:2]
    x0, y0 = (int(v) for v in np.clip(np.floor(corners.min(axis=0)) - 3, 0, (width, height)))
    x1, y1 = (int(v) for v in np.clip(np.ceil(corners.max(axis=0)) + 3, 0, (width, height)))
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"corners {corners.round(1).tolist()} lie outside the photo of {width} x {height} px")
    return image[y0:y1, x0:x1], (x0, y0)


# ------------------------------------------------------------------------------------------------ shapes


def warp_shapes(shapes: Sequence[Shape], homography: ArrayLike, size_wh: tuple[int, int]) -> list[Shape]:
    """Shapes in another view of the plane.

    Outlines are mapped corner by corner, which is exact, and drawn again: a pixel is set if its centre comes from
    inside.

    Args:
        shapes: instances and keypoints.
        homography: from their pixels to those of the new view, positive ``w`` on the seen side (see
            `quadrat.homography`).
        size_wh: size of the new view; instances are cut there and left out where nothing remains. Keypoints keep their
            places, outside as well; one beyond the horizon becomes hidden.
    """
    h = as_homography(homography)
    warped = (_warp_instance(s, h, size_wh) if isinstance(s, Instance) else _warp_keypoints(s, h) for s in shapes)
    return [shape for shape in warped if shape is not None]


def _warp_instance(instance: Instance, h: Homography, size_wh: tuple[int, int]) -> Instance | None:
    rings = [ring for part in masks.instance_to_parts(instance) for ring in part]
    mapped = [ring for ring in (_map_facing(ring, h) for ring in rings) if len(ring) > 2]
    return masks.instance_from_rings(instance.label, mapped, size_wh, instance.score, instance.attributes)


def _map_facing(ring: Points, h: Homography) -> Points:
    """Map a ring, cut where it crosses the horizon (Sutherland and Hodgman, 1974, in homogeneous coordinates)."""
    start = ring @ h[:, :2].T + h[:, 2]
    least = 1e-6 * float(np.abs(start[:, 2]).max())
    if (start[:, 2] > least).all():
        straight: Points = start[:, :2] / start[:, 2:]
        return straight
    end = np.roll(start, -1, axis=0)
    kept = []
    for p, q in zip(start, end, strict=True):
        if p[2] > least:
            kept.append(p)
        if (p[2] > least) != (q[2] > least):
            kept.append(p + (q - p) * (least - p[2]) / (q[2] - p[2]))
    cut = np.array(kept).reshape(-1, 3)
    mapped: Points = cut[:, :2] / cut[:, 2:]
    return mapped


def _warp_keypoints(points: Keypoints, h: Homography) -> Keypoints:
    mapped = points.xy_px @ h[:, :2].T + h[:, 2]
    assert points.visibility is not None
    facing = (points.visibility != HIDDEN) & (mapped[:, 2] > 1e-6 * float(np.abs(mapped[:, 2]).max()))
    xy = np.where(facing[:, None], mapped[:, :2] / np.where(facing, mapped[:, 2], 1)[:, None], 0.0)
    return replace(points, xy_px=xy, visibility=np.where(facing, points.visibility, HIDDEN).astype(np.uint8))


# ------------------------------------------------------------------------------------------------ centimetres


def px_to_cm(xy_px: ArrayLike, corners_xy_px: ArrayLike, size_cm: tuple[float, float] = (100.0, 100.0)) -> Points:
    """Places in the plane of the quadrat in cm from its top left corner.

    Args:
        xy_px: ``[..., 2]`` photo pixels.
        corners_xy_px: ``[4, 2]``: top left, top right, bottom right, bottom left.
        size_cm: width and height of the frame.
    """
    return apply_homography(frame_homography(corners_xy_px, size_cm), xy_px)


def area_cm2(instance: Instance, photo_to_cm: ArrayLike) -> float:
    """Area of an instance in the plane of the quadrat, exact for its pixels: the outlines are mapped corner by corner.

    Args:
        instance: in photo pixels.
        photo_to_cm: `frame_homography` of the corners and the size in cm.

    Raises:
        ValueError: the instance crosses the horizon.
    """
    rings = [ring for part in masks.instance_to_parts(instance) for ring in part]  # holes run the other way round
    lengths = np.cumsum([len(ring) for ring in rings])[:-1]
    mapped = apply_homography(photo_to_cm, np.concatenate(rings)) if rings else np.zeros((0, 2))
    return abs(sum(masks.signed_area(ring) for ring in np.split(mapped, lengths)))


def _shift(dx: float, dy: float) -> Homography:
    return np.array([[1.0, 0.0, dx], [0.0, 1.0, dy], [0.0, 0.0, 1.0]])


def _for_opencv(h: Homography) -> Homography:
    return _shift(-0.5, -0.5) @ h @ _shift(0.5, 0.5)
