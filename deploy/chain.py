"""The steps of the chain from a photo to its colonies, each by itself: no CVAT, no files.

    photo -> corners -> rectified quadrat -> grid on it -> quadrat without its grid -> colonies -> back onto the photo

`deploy.pipeline` and the bridge take the same steps. What asks a function lies in `deploy.asking`; the names of what
the steps need of it are here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from data_engineering.function_url import AnswerError
from deploy.asking import Answer, Clean, Told, cleaned, found, verdict_of
from quadrat import geometry, images, masks, metadata
from quadrat.homography import as_points, fit_homography
from quadrat.lens import Lens
from quadrat.mapping import QuadratMapping
from quadrat.shapes import Instance, Shape
from quadrat.verdict import OK, Verdict

__all__ = ["Answer", "Clean", "Told", "check_size", "cleaned", "found", "inside_frame", "rectified", "verdict_of"]

CORNERS, GRID, CLEAN, COLONIES = "pth-yolo-gridcorners", "pth-yolo-gridpose", "pth-lama", "pth-yolo-coralseg"
"""The functions of the chain, in its order."""
MARGIN = 0.05
"""Room round the frame in a rectified quadrat, over its longer side: the grid is found best when its ends are seen."""
SIZE_CM = (100.0, 100.0)
"""Inner width and height of the frame, unless told otherwise."""

_MOST_PIXELS = 40_000_000  # at quality 95 and 4:4:4 such a JPEG stays below images.MAX_BYTES


def rectified(
    photo: bytes,
    corners_xy_px: ArrayLike,
    *,
    name: str,
    size_cm: tuple[float, float] = SIZE_CM,
    px_per_cm: float | None = None,
    margin: float = MARGIN,
    verdict: Verdict | None = None,
) -> tuple[bytes, QuadratMapping]:
    """The quadrat as seen straight from above, with a margin round its frame, and its way back to the photo.

    Args:
        photo: its file.
        corners_xy_px: ``[4, 2]``: the frame's inner corners, top left, top right, bottom right, bottom left.
        name: of the photo, for the mapping.
        size_cm: inner width and height of the frame.
        px_per_cm: scale; `None` takes that of the frame's longest side in the photo, at most 40 megapixels.
        margin: room round the frame, over its longer side; what the photo does not show there is black.
        verdict: of the corners; `None` says ok.

    Returns:
        A JPEG (quality 95, 4:4:4) with the photo's EXIF and colour profile, and the mapping.

    Raises:
        ValueError: the photo cannot be read, the corners form no frame that can be seen, a length or the scale is not
            above 0, or the picture would be larger than a function takes; the message says which.
    """
    corners = as_points(corners_xy_px, "corners_xy_px")
    if not (0 <= margin <= 1 and all(0 < side < np.inf for side in size_cm)):
        raise ValueError(f"margin is {margin}, size_cm {size_cm}: expected a share 0..1, and two lengths above 0")
    geometry.frame_homography(corners, size_cm)  # refuses corners that run round no frame
    scale = _own_scale(corners, size_cm, margin) if px_per_cm is None else px_per_cm
    if not 0 < scale < np.inf:
        raise ValueError(f"px_per_cm is {px_per_cm}: expected a number above 0")
    image_rgb = images.decode(photo)
    mapping = _mapped(name, (image_rgb.shape[1], image_rgb.shape[0]), corners, size_cm, scale, margin, verdict)
    file = metadata.encode(mapping.draw(image_rgb), "jpg", metadata.read(photo))
    if len(file) > images.MAX_BYTES:
        raise ValueError(
            f"the quadrat's file has {len(file)} bytes at {scale:.3g} px a cm, more than the {images.MAX_BYTES} that a"
            " function takes: choose a smaller px_per_cm"
        )
    return file, mapping


def inside_frame(shapes: Sequence[Shape], mapping: QuadratMapping) -> list[Instance]:
    """Colonies of a rectified quadrat, cut at the frame's inner edge: what lies in the margin is not of the quadrat."""
    corners = mapping.frame_xy_px
    (x0, y0), (x1, y1) = np.rint(corners[[0, 2]]).astype(int).tolist()
    kept = []
    for shape in shapes:
        if not isinstance(shape, Instance):
            continue
        box = masks.intersection(shape.xyxy_px, (x0, y0, x1, y1))
        if box[0] < box[2] and box[1] < box[3]:
            crop = masks.window(shape, box)
            kept.append(masks.instance_from_mask(shape.label, crop, box[:2], shape.score, shape.attributes))
    return [instance for instance in kept if instance is not None]


def check_size(picture: bytes, size_wh: tuple[int, int]) -> None:
    """Refuse a clean picture that is none, or of another size than what was sent.

    Raises:
        AnswerError: it says what came.
    """
    try:
        with images.opened(picture) as image:
            got = image.size
    except images.ImageError as error:
        raise AnswerError(f"the clean photo cannot be read: {error}") from None
    if got != size_wh:
        raise AnswerError(f"the clean photo is of {got} px: expected {size_wh}, the size of what was sent")


def _own_scale(corners: np.ndarray, size_cm: tuple[float, float], margin: float) -> float:
    """Px a cm along the side that the photo shows largest, as far as the picture stays small enough."""
    width_cm, height_cm = size_cm
    sides_px = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T)
    scale = float((sides_px / (width_cm, height_cm, width_cm, height_cm)).max())
    room_cm = 2 * margin * max(size_cm)
    return min(scale, sqrt(_MOST_PIXELS / ((width_cm + room_cm) * (height_cm + room_cm))))


def _mapped(
    name: str,
    photo_size_wh: tuple[int, int],
    corners: np.ndarray,
    size_cm: tuple[float, float],
    px_per_cm: float,
    margin: float,
    verdict: Verdict | None,
) -> QuadratMapping:
    width, height = geometry.size_for(size_cm, px_per_cm)
    room = round(margin * max(width, height))
    size_wh = width + 2 * room, height + 2 * room
    if size_wh[0] * size_wh[1] > images.MAX_PIXELS:
        raise ValueError(
            f"at {px_per_cm:g} px a cm the quadrat has {size_wh[0]} x {size_wh[1]} px, more than {images.MAX_PIXELS}:"
            " choose a smaller px_per_cm"
        )
    frame = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64) + room
    to_quadrat = fit_homography(corners, frame)[0]
    judged = verdict or Verdict(OK, 1.0)
    return QuadratMapping(
        name, photo_size_wh, size_wh, px_per_cm, to_quadrat, Lens(photo_size_wh), judged, margin_px=float(room)
    )
