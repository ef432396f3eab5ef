"""The real photographs whose frames were marked by hand: they lie outside the project, the marks among its tests."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadrat import images, template
from quadrat.formats import shapes_json
from quadrat.shapes import Annotations, Keypoints

MARKS = Path(__file__).parents[1] / "grid_pose_detection" / "tests" / "real_corners.json"
Rgb = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A real photograph and what is known of it.

    Attributes:
        path: of the file.
        name: of the file, with its folder.
        frame: ``aluminium``, ``dark`` or ``ruler``; ``none`` where there is no frame.
        size_wh: in px.
        corners: inner corners of the frame, ``quadrat_corner`` with the points ``1`` to ``4``; ``None`` without one.
    """

    path: Path
    name: str
    frame: str
    size_wh: tuple[int, int]
    corners: Keypoints | None

    def read(self) -> Rgb:
        """The photograph, uint8 ``[H, W, 3]``."""
        return images.read(self.path)


def load(folder: Path) -> list[Photo]:
    """All photographs of the file of marks, those without a frame last.

    Args:
        folder: that the photographs lie in, each in the folder of its source.

    Raises:
        ValueError: a photograph is missing or not the one that was marked.
    """
    marks = json.loads(MARKS.read_text("utf-8"))
    return [_checked(folder, raw) for raw in (*marks["framed"], *marks["without_frame"])]


def inside(photo: Photo) -> Rgb:
    """What the photograph shows inside of its frame: the box that the marked corners leave; all where there is none."""
    image_rgb = photo.read()
    if photo.corners is None:
        return image_rgb
    (left, top), (right, bottom) = inner_box(photo.corners.xy_px)
    return np.ascontiguousarray(image_rgb[top:bottom, left:right])


def inner_box(corners: NDArray[np.float64], margin: float = 0.03) -> tuple[tuple[int, int], tuple[int, int]]:
    """Top left and bottom right px of a box within a quadrilateral, `margin` of its side away from any corner's row."""
    tl, tr, br, bl = corners
    off = margin * side_px(corners)
    low = (max(tl[0], bl[0]) + off, max(tl[1], tr[1]) + off)
    high = (min(tr[0], br[0]) - off, min(bl[1], br[1]) - off)
    return (math.ceil(low[0]), math.ceil(low[1])), (math.floor(high[0]), math.floor(high[1]))


def side_px(corners: NDArray[np.float64]) -> float:
    """Mean of the four sides."""
    return float(np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1).mean())


def write_folder(out: Path, photos: list[Photo]) -> Path:
    """Links to the framed photographs and their marks, as the renderer's folders lie: ``photos/`` and ``truth/``."""
    for photo in photos:
        if photo.corners is None:
            continue
        link = out / "photos" / photo.path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(photo.path.resolve())
        truth = Annotations(link.name, photo.size_wh, (photo.corners,), {"frame": photo.frame})
        (out / "truth").mkdir(exist_ok=True)
        shapes_json.write(out / "truth" / f"{link.stem}.json", truth)
    return out


def _checked(folder: Path, raw: dict[str, Any]) -> Photo:
    path = folder / raw["photo"]
    if not path.is_file():
        raise ValueError(f"{path} is not there: expected the folder of the photographs that {MARKS.name} names")
    if hashlib.sha256(path.read_bytes()).hexdigest() != raw["sha256"]:
        raise ValueError(f"{path} is not the file that was marked (its sha256 differs): mark it anew in {MARKS.name}")
    frame = template.load("corners")
    corners = None
    if "corners_px" in raw:
        corners = Keypoints(frame.label, frame.names, np.array(raw["corners_px"]), np.array(raw["visibility"]))
    return Photo(path, raw["photo"], raw.get("frame", "none"), tuple(raw["size_wh"]), corners)
