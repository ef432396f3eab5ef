from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from grid_inpainting.string_score import painted_share, score

NONE = np.zeros((20, 30), np.bool_)


def some(seed: int, share: float = 0.1) -> np.ndarray:
    return np.random.default_rng(seed).random((20, 30)) < share


@pytest.mark.parametrize("tolerance_px", [0.0, 1.0, 1.5, 3.0])
def test_it_counts_pixels_by_their_distance(tolerance_px):
    for seed in range(5):
        found, truth = some(seed), some(seed + 50, 0.05)
        got = score(found, truth, tolerance_px)
        assert got.recall == pytest.approx((distance_transform_edt(~found)[truth] <= tolerance_px).mean())
        assert got.precision == pytest.approx((distance_transform_edt(~truth)[found] <= tolerance_px).mean())
        assert got.tolerance_px == tolerance_px


def test_a_mask_agrees_with_itself_and_the_roles_swap():
    a, b = some(1), some(2)
    assert (score(a, a, 0).recall, score(a, a, 0).precision) == (1, 1)
    assert (score(a, b).recall, score(a, b).precision) == (score(b, a).precision, score(b, a).recall)


def test_more_found_never_lowers_recall():
    truth = some(3)
    found = [some(4), some(4) | some(5)]
    assert score(found[1], truth).recall >= score(found[0], truth).recall


def test_empty_masks():
    a = some(1)
    assert (score(NONE, NONE).recall, score(NONE, NONE).precision) == (1, 1)
    assert (score(NONE, a).recall, score(NONE, a).precision) == (0, 1)
    assert (score(a, NONE).recall, score(a, NONE).precision) == (1, 0)


@pytest.mark.parametrize(
    ("found", "truth", "tolerance_px", "said"),
    [
        (NONE, NONE[:5], 1.0, "one photo"),
        (NONE.astype(np.uint8), NONE, 1.0, "found is uint8"),
        (NONE, NONE[None], 1.0, "truth is bool"),
        (NONE, NONE, -1.0, "tolerance_px is -1"),
        (NONE, NONE, float("nan"), "tolerance_px is nan"),
    ],
)
def test_what_cannot_be_scored_is_refused(found, truth, tolerance_px, said):
    with pytest.raises(ValueError, match=said):
        score(found, truth, tolerance_px)


def test_share_of_photo_and_of_quadrat():
    mask = np.zeros((100, 100), np.bool_)
    mask[:, :50] = True
    assert painted_share(mask) == 0.5
    left = np.array([(0, 0), (50, 0), (50, 100), (0, 100)])
    assert painted_share(mask, left) == pytest.approx(1.0, abs=0.03)
    beyond = np.array([(-100, 0), (100, 0), (100, 100), (-100, 100)])
    assert painted_share(mask, beyond) == pytest.approx(0.5, abs=0.01)


def test_a_quadrat_outside_the_photo_has_no_share():
    with pytest.raises(ValueError, match="hold no pixel"):
        painted_share(NONE, np.array([(200, 0), (300, 0), (300, 9), (200, 9)]))
    with pytest.raises(ValueError, match=r"expected finite \[4, 2\]"):
        painted_share(NONE, np.zeros((3, 2)))
