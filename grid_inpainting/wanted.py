"""What is to be removed from each photo: strings between known points, what a mask says, or straight lines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from grid_inpainting.folder import read_mask
from quadrat import batch, template
from quadrat.formats import annotated, shapes_json
from quadrat.shapes import Annotations, Keypoints
from quadrat.verdict import FAILED, REVIEW

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]

CORNERS = template.load("corners").names


class Strings(Protocol):
    """What is known of the strings in a photo (`grid_inpainting.strings.Strings`)."""

    @property
    def mask(self) -> Mask:
        """Where a string is, bool ``[H, W]``."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What a person should know, in words."""
        ...


class Finder(Protocol):
    """What finds strings (`grid_inpainting.model`)."""

    def mask_of(self, image_rgb: Rgb, keypoints: Keypoints) -> Strings:
        """The strings between the points of a grid."""
        ...

    def detect_lines(self, image_rgb: Rgb) -> Strings:
        """Straight strings, without points."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Removal:
    """What to remove from one photo.

    Attributes:
        mask: bool ``[H, W]``; `None` where nothing can be said.
        warnings: what a person should know, in words; without a mask, why there is none.
    """

    mask: Mask | None
    warnings: tuple[str, ...] = ()


class Source(Protocol):
    """Where it is said what to remove."""

    def find(self, photo: str, image_rgb: Rgb, finder: Finder) -> Removal:
        """What to remove from a photo.

        Args:
            photo: its name: its path under the folder that was given.
            image_rgb: uint8 ``[H, W, 3]``.
            finder: of the strings.

        Raises:
            ValueError: what there is does not fit this photo.
        """
        ...

    def fingerprint(self, photo: str) -> str:
        """What changes when the answer for a photo does.

        Raises:
            ValueError: nothing is known of this photo.
        """
        ...


@dataclass(frozen=True, slots=True)
class FromPoints:
    """Strings between grid points that somebody marked, or `grid_pose_detection.predict` found.

    Attributes:
        photos: see `annotated.read`.
        path: where they were read, for messages.
    """

    photos: Mapping[str, Annotations]
    path: Path

    def find(self, photo: str, image_rgb: Rgb, finder: Finder) -> Removal:
        """See `Source`; the photo must be of the size at which it was annotated. Of several grids all are removed."""
        known = self._of(photo)
        size_wh = image_rgb.shape[1], image_rgb.shape[0]
        if known.size_wh != size_wh:
            raise ValueError(f"it is of {size_wh} px, but was annotated at {known.size_wh} px: expected the same photo")
        grids = grids_of(known)
        if not grids or known.meta.get("verdict") == FAILED:
            return Removal(None, (f"no grid points: {_reasons(known) or _what_there_is(known)}",))
        found = [finder.mask_of(image_rgb, grid) for grid in grids]
        doubts = [f"the grid's verdict is review: {_reasons(known)}"] if known.meta.get("verdict") == REVIEW else []
        told = [warning for strings in found for warning in strings.warnings]
        return Removal(np.logical_or.reduce([strings.mask for strings in found]), (*doubts, *told))

    def fingerprint(self, photo: str) -> str:
        """See `Source`."""
        known = self._of(photo)
        kept = replace(known, shapes=grids_of(known), meta={"verdict": known.meta.get("verdict")})
        text = json.dumps(shapes_json.to_dict(kept), sort_keys=True)
        return f"points {hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def _of(self, photo: str) -> Annotations:
        try:
            return self.photos[photo]
        except KeyError as error:
            raise ValueError(f"{error.args[0]} in {self.path}") from None


def grids_of(known: Annotations) -> tuple[Keypoints, ...]:
    """The keypoints that are no corners of a frame."""
    return tuple(points for points in known.keypoints if points.names != CORNERS)


def _what_there_is(known: Annotations) -> str:
    corners = "only corners are known" if known.keypoints else "no points are known"
    return f"{corners}; run `python -m grid_pose_detection.predict --task grid` on it, or mark them"


def _reasons(known: Annotations) -> str:
    reasons: Any = known.meta.get("reasons")
    return "; ".join(map(str, reasons)) if isinstance(reasons, list | tuple) else ""


@dataclass(frozen=True, slots=True)
class FromMasks:
    """Masks that somebody drew: a PNG of each photo's name, above 0 where something is to be removed.

    Attributes:
        folder: of the masks; the photos' subfolders may be there or not.
    """

    folder: Path

    def find(self, photo: str, image_rgb: Rgb, finder: Finder) -> Removal:
        """See `Source`; the mask must be of the photo's size."""
        return Removal(read_mask(self._of(photo), (image_rgb.shape[1], image_rgb.shape[0])))

    def fingerprint(self, photo: str) -> str:
        """See `Source`."""
        return f"mask {batch.fingerprint(self._of(photo))}"

    def _of(self, photo: str) -> Path:
        tried = [self.folder / PurePath(photo).with_suffix(".png"), self.folder / f"{PurePath(photo).stem}.png"]
        found = next((path for path in tried if path.is_file()), None)
        if found is None:
            raise ValueError(f"there is no mask for it: expected {tried[0]}")
        return found


@dataclass(frozen=True, slots=True)
class FromLines:
    """Straight strings that the photo itself shows, without points."""

    def find(self, photo: str, image_rgb: Rgb, finder: Finder) -> Removal:
        """See `Source`."""
        found = finder.detect_lines(image_rgb)
        return Removal(found.mask, tuple(found.warnings))

    def fingerprint(self, photo: str) -> str:
        """See `Source`."""
        return "lines"


def source_of(points: Path | None, masks: Path | None, detect_lines: bool) -> Source:
    """The one source that is asked for.

    Raises:
        ValueError: not exactly one, or it cannot be read.
    """
    if sum((points is not None, masks is not None, detect_lines)) != 1:
        raise ValueError("expected one of --points, --masks and --detect-lines: what is to be removed?")
    if points is not None:
        return from_points(points)
    if masks is None:
        return FromLines()
    if not masks.is_dir():
        raise ValueError(f"{masks}: no such folder, expected one with a PNG of each photo's name")
    return FromMasks(masks)


def from_points(points: Path) -> FromPoints:
    """Points of a file or a folder; of a folder of predictions, those of its ``shapes``.

    Raises:
        ValueError: they cannot be read.
    """
    return FromPoints(annotated.read(points / "shapes" if (points / "shapes").is_dir() else points), points)
