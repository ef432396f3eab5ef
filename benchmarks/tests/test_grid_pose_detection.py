from __future__ import annotations

import numpy as np
import pytest

from benchmarks import cases, photos
from benchmarks.plain_pose import Plain
from quadrat import template
from quadrat.homography import apply_homography, fit_homography


def plain(layout: template.Template) -> Plain:
    """The peer without its network."""
    made = Plain.__new__(Plain)
    made.layout = layout
    return made


@pytest.mark.parametrize("name", ["corners", "grid11x11", "grid9x13"])
def test_the_peer_gives_points_their_numbers(name):
    layout = template.load(name)
    rng = np.random.default_rng(0)
    truth = 100 + 800 * layout.uv @ np.array([[1.0, 0.08], [-0.06, 1.1]])
    order = rng.permutation(len(truth))
    seen = order if name == "corners" else np.concatenate([order[: len(order) * 9 // 10], [1, 9, 107, 115]])
    seen = np.unique(seen)
    placed = plain(layout)._place((truth + rng.normal(0, 1, truth.shape))[seen].astype(np.float32))
    assert set(placed) == set(seen.tolist())
    assert all(np.linalg.norm(truth[k] - xy) < 6 for k, xy in placed.items())


def test_the_peer_finds_nothing_in_too_few_points():
    assert plain(template.load("corners"))._place(np.zeros((3, 2), np.float32)) == {}


@pytest.mark.parametrize("seed", range(5))
def test_lattices_miss_40_per_cent_and_are_false_in_20(seed):
    layout = template.load("grid11x11")
    places, scores, truth = photos.lattice(layout, seed)
    to_px, _ = fit_homography(layout.uv, truth)
    np.testing.assert_allclose(apply_homography(to_px, layout.uv), truth, atol=0.01)
    ways = np.linalg.norm(truth[:, None] - truth, axis=2) + np.diag(np.full(117, np.inf))
    off = (np.linalg.norm(places[:, None] - truth, axis=2) / ways.min(axis=1)).min(axis=1)
    assert len(places) == len(scores) == 88
    assert np.count_nonzero(off < 0.2) >= 70
    assert ((scores >= 0) & (scores <= 1)).all()


def test_cases_say_what_they_promise():
    found = {case.name: case for case in cases.load("grid_pose_detection")}
    assert {name: case.target for name, case in found.items()} == {
        "corners-limit": 0.9,
        "grid-limit": 0.9,
        "corners-ultralytics": 1,
        "grid-ultralytics": 1,
        "matching-forward": 20,
    }
