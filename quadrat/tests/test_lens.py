from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_engineering.render import camera, strings
from data_engineering.render.settings import Settings
from quadrat import lens, template
from quadrat.homography import apply_homography, fit_homography
from quadrat.lens import Lens

SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
SIZE = (1280, 960)


def rendered(seed: int, k1: float, *, sag: float = 0.006, noise_cells: float = 0.02):
    """The crossings of a rendered quadrat that are seen, as the renderer's own camera and strings put them."""
    rng = np.random.default_rng(seed)
    layout = template.load(["grid11x11", "grid9x13"][seed % 2])
    view = camera.look(rng, Settings(lens_k1=(k1, k1), crop_probability=0.0), (100.0, 100.0))
    xy = view.to_photo(100 * strings.crossings(layout, strings.hang(rng, layout, sag)))
    corners = view.to_photo(100 * SQUARE)
    side = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T).mean()
    seen = rng.random(len(xy)) < 0.8
    xy = xy + rng.normal(0, noise_cells * side / 10, xy.shape)
    return layout.uv[seen], xy[seen], view.size_wh, corners, side


@given(st.floats(-0.25, 0.1), st.integers(0, 2**16))
def test_straightened_points_are_bent_back(k1, seed):
    xy = np.random.default_rng(seed).uniform((0, 0), SIZE, (50, 2))
    bent = Lens(SIZE, k1)
    assert np.allclose(bent.bend(bent.straighten(xy)), xy, atol=1e-6)
    theirs = camera.Lens(SIZE, k1)
    assert np.allclose(bent.straighten(xy), theirs.straighten(xy))
    assert np.allclose(bent.bend(xy), theirs.bend(xy))


def test_the_lens_of_the_renderer_is_found():
    found = [(k1, lens.fit(*rendered(seed, k1)[:3])) for seed, k1 in enumerate(np.linspace(-0.12, 0.03, 16))]
    sure = np.array([(k1, f.lens.k1, f.k1_error) for k1, f in found if f.lens.k1])
    assert len(sure) >= 9
    assert np.median(np.abs(sure[:, 0] - sure[:, 1])) < 0.015
    assert (np.abs(sure[:, 0] - sure[:, 1]) < 4 * sure[:, 2]).all()
    assert all(abs(k1) < 0.06 for k1, f in found if not f.lens.k1)  # what is refused bends little


def test_without_sag_the_lens_is_found_exactly():
    for k1 in (-0.12, -0.03, 0.02):
        assert lens.fit(*rendered(3, k1, sag=0.0, noise_cells=0.0)[:3]).lens.k1 == pytest.approx(k1, abs=1e-6)


def test_with_the_lens_the_frame_is_where_it_should_be():
    plain, bent = [], []
    for seed in range(12):
        uv, xy, size_wh, corners, side = rendered(seed, -0.1)
        found = lens.fit(uv, xy, size_wh)
        theirs = found.lens.bend(apply_homography(found.to_photo, SQUARE))
        bent.append(np.hypot(*(theirs - corners).T).mean() / side)
        straight = fit_homography(uv, xy, 0.03 * side)[0]
        plain.append(np.hypot(*(apply_homography(straight, SQUARE) - corners).T).mean() / side)
    assert np.median(bent) < 0.005 < 0.01 < np.median(plain)


def test_wrong_points_do_not_bend_the_lens():
    uv, xy, size_wh, *_ = rendered(4, -0.1, noise_cells=0.01)
    before = lens.fit(uv, xy, size_wh)
    rng = np.random.default_rng(0)
    wrong = rng.permutation(len(xy)) < len(xy) // 8
    after = lens.fit(uv, np.where(wrong[:, None], rng.uniform((0, 0), size_wh, xy.shape), xy), size_wh)
    assert before.lens.k1
    assert after.lens.k1 == pytest.approx(before.lens.k1, abs=0.03)


@pytest.mark.parametrize("count", [4, 12])
def test_few_points_tell_no_lens(count):
    uv, xy, size_wh, *_ = rendered(0, -0.12, sag=0.0, noise_cells=0.0)
    chosen = np.random.default_rng(1).permutation(len(uv))[:count]
    found = lens.fit(uv[chosen], xy[chosen], size_wh)
    assert found.lens.k1 == 0
    assert "too few" in found.note


def test_points_in_the_middle_of_the_photo_tell_no_lens():
    uv, xy, size_wh, *_ = rendered(0, -0.12, sag=0.0, noise_cells=0.0)
    wide = (4 * size_wh[0], 4 * size_wh[1])
    found = lens.fit(uv, xy + 1.5 * np.array(size_wh), wide)
    assert found.lens.k1 == 0
    assert "next to nothing" in found.note


def test_sagging_strings_alone_are_rarely_taken_for_a_lens():
    found = [lens.fit(*rendered(seed, 0.0)[:3]) for seed in range(20)]
    wrong = [f.lens.k1 for f in found if f.lens.k1]
    assert len(wrong) <= 3
    assert all(abs(k1) < 0.06 for k1 in wrong)
    assert all("bends too little" in f.note for f in found if not f.lens.k1)


def test_points_on_a_line_are_refused():
    with pytest.raises(ValueError, match="fix no homography"):
        lens.fit(
            np.column_stack([np.linspace(0, 1, 9), np.full(9, 0.5)]), np.random.default_rng(0).random((9, 2)), SIZE
        )
