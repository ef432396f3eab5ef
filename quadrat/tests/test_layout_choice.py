from __future__ import annotations

import numpy as np

from quadrat import template
from quadrat.layout_choice import layout_of
from quadrat.shapes import Keypoints


def test_points_without_a_named_layout_go_to_the_one_they_lie_on() -> None:
    known = [template.load("grid11x11"), template.load("grid9x13")]
    for layout in known:
        points = Keypoints("grid", layout.names, 300 * layout.uv @ np.array([[1, 0.1], [-0.1, 0.9]]))
        assert layout_of(points, known) is layout
    assert layout_of(Keypoints("grid", known[0].names, known[0].uv, attributes={"layout": "x"}), known) is None
    assert layout_of(Keypoints("fish", known[0].names, known[0].uv), known) is None


def test_points_in_disorder_are_of_some_layout_still() -> None:
    """Laid over them, a layout may reach beyond the horizon: that is a misfit, not an error."""
    known = [template.load("grid11x11"), template.load("grid9x13")]
    for seed in range(20):
        places = np.random.default_rng(seed).permutation(300 * known[0].uv)
        assert layout_of(Keypoints("grid", known[0].names, places), known) in known
