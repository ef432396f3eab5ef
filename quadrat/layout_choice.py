"""Which layout the points of a quadrat are in, where several have points of the same names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quadrat.homography import apply_homography, fit_homography
from quadrat.shapes import HIDDEN, Keypoints
from quadrat.template import Template


def layout_of(quadrat: Keypoints, known: Sequence[Template]) -> Template | None:
    """Which layout a quadrat's points are in; `None` where they are of another label, or named otherwise.

    Its attribute ``layout`` says so; else the one whose lattice its points lie on best.
    """
    fit = [each for each in known if each.label == quadrat.label and each.names == quadrat.names]
    named = [each for each in fit if each.name == quadrat.attributes.get("layout")]
    if quadrat.attributes.get("layout") and not named:
        return None
    return min(named or fit, key=lambda each: _misfit(quadrat, each), default=None)


def _misfit(quadrat: Keypoints, layout: Template) -> float:
    """Median distance in px of the points from the layout laid over them by a homography."""
    seen = np.asarray(quadrat.visibility) != HIDDEN
    if np.count_nonzero(seen) < 4:
        return np.inf
    try:
        fitted, _ = fit_homography(layout.uv[seen], quadrat.xy_px[seen])
        laid = apply_homography(fitted, layout.uv[seen])
    except ValueError:  # none fits, or one beyond the horizon
        return np.inf
    return float(np.median(np.linalg.norm(laid - quadrat.xy_px[seen], axis=1)))
