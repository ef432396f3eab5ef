"""Weights -> a remover: photo and grid points in, the photo without its strings out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from grid_inpainting import backends, strings, weights
from grid_inpainting.inpaint import Paint, Windows, inpaint
from grid_inpainting.strings import Strings
from quadrat import template
from quadrat.layout_choice import layout_of
from quadrat.predictor import Card, Painted, read_card
from quadrat.shapes import Keypoints
from quadrat.template import Template

AUTO = "auto"
LAYOUTS = tuple(name for name in template.BUILTIN if name != "corners")
MOST_OF_PHOTO = 0.5
WIDEST_PX = 20.0
"""Holes up to this wide are painted at the photo's own scale, wider ones on a smaller copy (networks learn narrow)."""

NO_NETWORK = "Painted with OpenCV (Telea), without a network: texture under the strings is smeared."


class Remover:
    """A `quadrat.predictor.GridRemover`. Thread-unsafe: one a worker."""

    def __init__(
        self, paint: Paint, card: Card, layouts: Sequence[Template], line_width_px: float | None, windows: Windows
    ) -> None:
        self.paint, self.layouts, self.line_width_px, self.windows = paint, tuple(layouts), line_width_px, windows
        self._card = card

    @property
    def card(self) -> Card:
        """What a reader must know of the weights."""
        return self._card

    def mask_of(self, image_rgb: NDArray[np.uint8], keypoints: Keypoints) -> Strings:
        """The strings between the points of a grid.

        Args:
            image_rgb: uint8 ``[H, W, 3]``.
            keypoints: in px of the photo.

        Raises:
            ValueError: the points are of no layout that this remover knows, or too few lie in the photo.
        """
        layout = layout_of(keypoints, self.layouts)
        if layout is None:
            known = " or ".join(f"{len(one.names)} of {one.label!r} ({one.name})" for one in self.layouts)
            named = keypoints.attributes.get("layout")
            raise ValueError(
                f"{len(keypoints.names)} points of {keypoints.label!r}{f', layout {named!r}' if named else ''}:"
                f" expected {known}; name another layout with --layout (TEMPLATE)"
            )
        return strings.find_strings(image_rgb, keypoints, layout, width_px=self.line_width_px)

    def detect_lines(self, image_rgb: NDArray[np.uint8]) -> Strings:
        """Straight strings that are found without points, see `strings.detect_lines`."""
        return strings.detect_lines(image_rgb, width_px=self.line_width_px)

    def remove(
        self,
        image_rgb: NDArray[np.uint8],
        *,
        keypoints: Keypoints | None = None,
        mask: NDArray[np.bool_] | None = None,
        force: bool = False,
    ) -> Painted:
        """Paint out strings: see `quadrat.predictor.GridRemover.remove`."""
        image_rgb = np.asarray(image_rgb)
        if image_rgb.dtype != np.uint8 or image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or not image_rgb.size:
            raise ValueError(f"image_rgb is {image_rgb.dtype}{list(image_rgb.shape)}: expected uint8[H, W, 3]")
        if (keypoints is None) == (mask is None):
            raise ValueError("expected either keypoints or a mask, and not both")
        found = self.mask_of(image_rgb, keypoints) if keypoints is not None else _given(mask, image_rgb)
        share = np.count_nonzero(found.mask) / found.mask.size
        if not share:
            told = found.warnings or ("the mask is empty: nothing was painted",)
            return Painted(image_rgb, found.mask, told)
        if share > MOST_OF_PHOTO and not force:
            raise ValueError(
                f"the mask covers {share:.0%} of the photo, more than {MOST_OF_PHOTO:.0%}: strings cover a few percent."
                " Check that it is not inverted, or force it"
            )
        hole_px = found.width_px + 2 * self.windows.feather_px
        shrink = max(round(hole_px / WIDEST_PX), 1)
        painted_rgb, painted = inpaint(image_rgb, found.mask, self.paint, self.windows, shrink)
        scaled = (f"strings of {found.width_px:.0f} px were painted at 1/{shrink} of the photo's scale",)
        return Painted(painted_rgb, painted, found.warnings + (scaled if shrink > 1 else ()))


def load(
    path: str | Path | None = None,
    device: str = "cpu",
    *,
    backend: str = backends.LAMA,
    line_width: float | None = None,
    layout: str | Path = AUTO,
    precision: str = "f32",
    windows: Windows | None = None,
) -> Remover:
    """Load a remover.

    Args:
        path: TorchScript file, OpenVINO folder, run folder or a run's name; `None` takes ``LAMA_MODEL``, else what
            ships. Not used by ``opencv``.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; for the backend ``lama``.
        backend: ``lama`` (TorchScript through simple-lama-inpainting; an OpenVINO folder runs in OpenVINO, without
            torch), ``openvino`` (a TorchScript file too, converted when it is loaded), or ``opencv`` (no network).
        line_width: of the strings in px; `None` measures it on each photo.
        layout: of the points: ``auto`` takes the built-in grid that they lie on; or a name or file
            (`quadrat.template.load`).
        precision: for ``openvino``: ``f32`` or ``bf16``.
        windows: how photos are cut; `None` takes the defaults.

    Raises:
        ValueError: an unknown backend, layout or precision, a line width that is no length, or a file that does not
            paint.
        FileNotFoundError: no such weights.
    """
    if backend not in backends.BACKENDS:
        raise ValueError(f"backend {backend!r}: expected one of {', '.join(backends.BACKENDS)}")
    if precision not in backends.PRECISIONS:
        raise ValueError(f"precision {precision!r}: expected {' or '.join(backends.PRECISIONS)}")
    if line_width is not None and not 0 < line_width < np.inf:
        raise ValueError(f"line_width is {line_width}: expected a width in px above 0, or None to measure it")
    names = LAYOUTS if str(layout) == AUTO else (layout,)
    layouts = [template.load(name) for name in names]
    windows = windows or Windows()
    if backend == backends.OPENCV:
        card = Card("opencv-telea", "inpainting", (), trained_on="nothing", note=NO_NETWORK)
        return Remover(backends.opencv(), card, layouts, line_width, windows)
    found = weights.find(path)
    card = read_card(found) or Card(found.stem, "inpainting", ())
    if backend == backends.LAMA and not found.is_dir():
        return Remover(backends.lama(found, device), card, layouts, line_width, windows)
    return Remover(backends.openvino(found, precision, windows.side_px), card, layouts, line_width, windows)


def _given(mask: NDArray[np.bool_] | None, image_rgb: NDArray[np.uint8]) -> Strings:
    """A mask of the caller's, with its typical width: in a stripe pixels lie a quarter of its width from the edge."""
    mask = np.asarray(mask)
    if mask.shape != image_rgb.shape[:2] or mask.dtype != np.bool_:
        raise ValueError(
            f"mask is {mask.dtype}{list(mask.shape)}: expected bool{list(image_rgb.shape[:2])}, as the photo"
        )
    if not mask.any():
        return Strings(mask, 0.0)
    depth = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    return Strings(mask, 4 * float(depth[mask].mean()))
