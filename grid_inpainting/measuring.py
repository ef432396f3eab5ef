"""One photo with strings measured: how well its strings are found, and how well each method paints what was below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from grid_inpainting import backends, metrics, strings, wanted
from grid_inpainting.folder import Pair, read_mask
from grid_inpainting.inpaint import inpaint
from grid_inpainting.lpips import Measure
from grid_inpainting.metrics import Quality
from quadrat import images, template
from quadrat.formats import shapes_json
from quadrat.frame_view import frame_of
from quadrat.layout_choice import layout_of
from quadrat.shapes import HIDDEN, Annotations
from quadrat.template import Template

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]

TRUE, FOUND = "true", "found"
"""Points as they are known, and as a network found them."""
TOLERANCE_PX = 1.0
BAND_PX = 8.0
CLASSICAL = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}
"""By OpenCV: Telea, "An image inpainting technique based on the fast marching method", 2004, and Bertalmio et al.,
"Navier-Stokes, fluid dynamics, and image and video inpainting", 2001; both look 3 px far."""
NONE = "none"


@dataclass(frozen=True, slots=True)
class StringFigures:
    """How well the strings of a photo were found.

    Attributes:
        recall: share of the strings' pixels that have a found one within `TOLERANCE_PX`.
        precision: share of the found pixels that have a string's within `TOLERANCE_PX`.
        painted_share: share of the quadrat that the found ones cover, 0..1.
        true_share: share of it that strings do cover.
    """

    recall: float
    precision: float
    painted_share: float
    true_share: float


@dataclass(frozen=True, slots=True)
class Painting:
    """How well one method painted a photo.

    Attributes:
        hole: where the first backend painted, from true points; `None` where that is nowhere.
        band: within `BAND_PX` of a string, strings included: also what was missed counts.
        lpips: of the tiles that the band touches, if it is measured.
        seconds: that painting took.
    """

    hole: Quality | None
    band: Quality | None
    lpips: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Photo:
    """One measured photo.

    Attributes:
        name: of the file.
        frame: kind of frame, as the renderer names it.
        layout: of the grid.
        strings: figures by whose points were taken, `TRUE` or `FOUND`.
        missed: why there are no figures from `FOUND` points; empty if there are.
        paintings: by method.
        warnings: of the remover, with true points.
    """

    name: str
    frame: str
    layout: str
    strings: Mapping[str, StringFigures]
    missed: str
    paintings: Mapping[str, Painting]
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """A photo as it is, as the first backend painted it, and as it would be without strings: uint8 ``[H, W, 3]``.

    Attributes:
        photo: with strings.
        painted: from found points where they are given and found, else from true ones.
        clean: the truth.
        strings: bool ``[H, W]``, where they are.
        known: what is true of the photo.
    """

    photo: Rgb
    painted: Rgb
    clean: Rgb
    strings: Mask
    known: Annotations


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Compares pictures with the clean photo."""

    clean: Rgb
    hole: Mask
    band: Mask
    lpips: Measure | None

    def judge(self, picture: Rgb, seconds: float) -> Painting:
        """How well a picture was painted; `seconds` it took."""
        hole, band = metrics.measure(picture, self.clean, self.hole, self.band)
        return Painting(hole, band, self.lpips(picture, self.clean, self.band) if self.lpips else None, seconds)


@dataclass(frozen=True, slots=True)
class Meter:
    """Measures photos.

    Attributes:
        removers: by backend, the one whose hole all methods paint first.
        points: found points, if they are to be measured.
        lpips: measures LPIPS, if it can be.
        layouts: that grids may be of.
        paint: whether strings are painted out too, which takes most of the time.
    """

    removers: Mapping[str, Any]
    points: wanted.FromPoints | None = None
    lpips: Measure | None = None
    layouts: Sequence[Template] = field(default_factory=lambda: [template.load(name) for name in template.BUILTIN])
    paint: bool = True

    def measure(self, pair: Pair) -> tuple[Photo, Pictures]:
        """Measure one photo.

        Raises:
            ValueError: it cannot be read, its parts do not fit, or nothing is known of its strings.
            OSError: a part cannot be read.
        """
        photo, clean, there, known = read(pair)
        assert pair.photo is not None
        name, (first, remover) = pair.photo.name, next(iter(self.removers.items()))
        removal = wanted.FromPoints({name: known}, pair.photo).find(name, photo, remover)
        if removal.mask is None:
            raise ValueError("; ".join(removal.warnings))
        outline = self.outline(known)
        figures = {TRUE: _string_figures(removal.mask, there, outline)}
        found, missed = self._found(name, photo, remover) if self.points is not None else (None, "")
        if found is not None:
            figures[FOUND] = _string_figures(found, there, outline)
        paintings, shown, warnings = dict[str, Painting](), photo, removal.warnings
        if self.paint:
            painted, seconds = _timed(lambda: remover.remove(photo, mask=removal.mask))
            judge = Judge(clean, painted.mask, metrics.near(there, BAND_PX), self.lpips)
            paintings = {first: judge.judge(painted.image_rgb, seconds), **self._others(photo, removal.mask, judge)}
            shown = painted.image_rgb if self.points is None else photo
            if found is not None:
                shown, seconds = _timed(lambda: remover.remove(photo, mask=found).image_rgb)
                paintings[f"{first}, {FOUND} points"] = judge.judge(shown, seconds)
            warnings = (*warnings, *painted.warnings)
        frame, layout = (str(known.meta.get(key, "unknown")) for key in ("frame", "layout"))
        about = Photo(pair.name, frame, layout, figures, missed, paintings, warnings)
        return about, Pictures(photo, shown, clean, there, known)

    def _others(self, photo: Rgb, mask: Mask, judge: Judge) -> dict[str, Painting]:
        """The other backends, OpenCV's methods laid in as theirs are, and the photo as it is."""
        paintings = {}
        for backend, remover in list(self.removers.items())[1:]:
            painted, seconds = _timed(partial(remover.remove, photo, mask=mask))
            paintings[backend] = judge.judge(painted.image_rgb, seconds)
        for method, flag in CLASSICAL.items():
            (painted_rgb, _), seconds = _timed(partial(inpaint, photo, mask, backends.by_opencv(flag)))
            paintings[method] = judge.judge(painted_rgb, seconds)
        paintings[NONE] = judge.judge(photo, 0.0)
        return paintings

    def _found(self, name: str, photo: Rgb, remover: Any) -> tuple[Mask | None, str]:
        """The strings from found points, or why there are none."""
        assert self.points is not None
        try:
            removal = self.points.find(name, photo, remover)
        except ValueError as error:
            return None, str(error)
        return removal.mask, "" if removal.mask is not None else "; ".join(removal.warnings)

    def outline(self, known: Annotations) -> NDArray[np.float64] | None:
        """The quadrat's corners in order round it, ``[4, 2]`` px: as they are known, or where the grid puts them."""
        for points in known.keypoints:
            if points.names == wanted.CORNERS and (np.asarray(points.visibility) != HIDDEN).all():
                return points.xy_px
        for points in wanted.grids_of(known):
            layout = layout_of(points, self.layouts)
            if layout is not None:
                return frame_of(points, layout, known.size_wh)[0].corners
        return None


def read(pair: Pair) -> tuple[Rgb, Rgb, Mask, Annotations]:
    """Photo, clean photo, strings and truth of a pair that has all of them.

    Raises:
        ValueError: one is missing or cannot be read, or their sizes differ.
    """
    if pair.photo is None or pair.strings is None or pair.truth is None:
        raise ValueError("it has no twin with strings, or nobody knows its points: expected a rendered photo")
    photo, clean, known = images.read(pair.photo), images.read(pair.clean), shapes_json.read(pair.truth)
    sizes = {"with strings": photo.shape[1::-1], "without": clean.shape[1::-1], "its truth": known.size_wh}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{kind} {width} x {height} px" for kind, (width, height) in sizes.items())
        raise ValueError(f"{told}: expected one size")
    return photo, clean, read_mask(pair.strings, known.size_wh), known


def _string_figures(found: Mask, there: Mask, outline: NDArray[np.float64] | None) -> StringFigures:
    score = strings.score(found, there, TOLERANCE_PX)
    shares = (strings.painted_share(mask, outline) for mask in (found, there))
    return StringFigures(score.recall, score.precision, *shares)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begun = perf_counter()
    result = work()
    return result, perf_counter() - begun
