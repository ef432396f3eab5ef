"""One colony by itself, and how it is set into the reef."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from data_engineering.render import camera, colony, reef, tiles
from data_engineering.render.forms import FORMS
from data_engineering.render.genera import GENERA
from data_engineering.render.settings import Settings
from data_engineering.render.surfaces import SURFACES

PX_PER_CM = 8.0


def drawn(genus: str, seed: int, diameter_px: float = 90.0) -> colony.Colony:
    return colony.draw(np.random.default_rng(seed), genus, diameter_px, PX_PER_CM)


@pytest.mark.parametrize("genus", sorted(GENERA))
@pytest.mark.parametrize("diameter_px", [2 * PX_PER_CM, 90.0])
def test_a_colony_is_one_piece_without_holes_that_its_crop_holds(genus, diameter_px):
    for seed in range(6):
        one = drawn(genus, seed, diameter_px)
        mask = one.mask.astype(np.uint8)
        assert mask.any()
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()
        assert cv2.connectedComponents(mask, connectivity=8)[0] == 2
        assert cv2.connectedComponents(1 - mask, connectivity=4)[0] == 2  # the ground about it, and no hole
        assert np.isfinite(one.rgb).all()
        assert (one.height_px[one.mask] > 0).all()
        assert not one.height_px[~one.mask].any()
        assert 0.4 < mask.sum() / (np.pi / 4 * diameter_px**2) < 1.9


def test_every_form_and_surface_is_used_and_known():
    assert {form for look in GENERA.values() for form in look.forms} == set(FORMS)
    used = {look.surfaces.get(form, look.surface) for look in GENERA.values() for form in look.forms}
    assert used == set(SURFACES)
    assert all(set(look.surfaces) <= set(look.forms) for look in GENERA.values())


def test_two_colonies_of_a_genus_differ_and_one_seed_draws_one_colony():
    first, again, other = drawn("Acropora", 1), drawn("Acropora", 1), drawn("Acropora", 2)
    assert np.array_equal(first.rgb, again.rgb)
    assert np.array_equal(first.mask, again.mask)
    assert first.mask.shape != other.mask.shape or not np.array_equal(first.mask, other.mask)


def test_the_middle_of_a_thicket_stands_over_its_rim_and_its_tips_are_brighter_than_its_gaps():
    ones = [drawn("Pocillopora", seed, 160) for seed in range(4)]
    for one in ones:
        inner, outer = one.mask & (one.rel < 0.4), one.mask & (one.rel > 0.85)
        assert one.height_px[inner].mean() > one.height_px[outer].mean()
        grey, top = one.rgb.mean(-1)[inner], one.height_px[inner]
        assert grey[top > np.quantile(top, 0.8)].mean() > 1.15 * grey[top < np.quantile(top, 0.2)].mean()


def test_septa_turn_about_the_centre_of_each_corallite():
    field = tiles.corallites(2, 0).levels[0]
    np.testing.assert_array_equal(field[..., :3], tiles.cells(2, 0).levels[0])
    ring = (field[..., 0] > 0.4) & (field[..., 0] < 0.8)
    assert abs(field[..., 3][ring].mean()) < 0.05
    assert field[..., 3][ring].std() > 0.6


def test_no_colony_is_a_recruit_and_many_are_not_alike():
    rng = np.random.default_rng(0)
    widths = {genus: [2 * reef._radius_cm(rng, genus, 100.0) for _ in range(300)] for genus in GENERA}
    for genus, cm in widths.items():
        assert min(cm) >= 2.0
        assert max(cm) <= GENERA[genus].largest_cm
        assert 0.8 < np.median(cm) / GENERA[genus].median_cm < 1.25


def test_some_reefs_are_covered_by_one_genus():
    settings = Settings(size_px=320, colonies=(25, 25), touching_probability=0.0)
    share = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        view = camera.look(rng, settings, (100.0, 100.0))
        names = [place.genus for place in reef._places(rng, settings, view)]
        share.append(max(names.count(name) for name in set(names)) / len(names))
    assert np.quantile(share, 0.9) > 0.6
    assert np.quantile(share, 0.1) < 0.45
