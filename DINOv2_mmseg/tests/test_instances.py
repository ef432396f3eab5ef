from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DINOv2_mmseg import instances
from DINOv2_mmseg.dense import Dense
from DINOv2_mmseg.instances import Split, colonies
from quadrat import masks
from quadrat.shapes import Instance, SemanticMap

LABELS = ("background", "Porites", "Acropora")
CELL = 8


def said(index: np.ndarray, probability: np.ndarray | None = None) -> Dense:
    """What a network would say that is 0.9 sure of `index`, or as sure as ``probability [h, w]`` of Porites."""
    height, width = index.shape
    cells = (-(-height // CELL), -(-width // CELL))
    scores = np.full((3, *cells), 0.05, np.float32)
    centre_y = np.minimum(np.arange(cells[0]) * CELL + CELL // 2, height - 1)
    centre_x = np.minimum(np.arange(cells[1]) * CELL + CELL // 2, width - 1)
    at = index[np.ix_(centre_y, centre_x)]
    np.put_along_axis(scores, np.where(at == 255, 0, at)[None].astype(np.int64), 0.9, 0)
    if probability is not None:
        scores[1] = probability
        scores[0], scores[2] = (1 - probability) * 0.7, (1 - probability) * 0.3
    return Dense(SemanticMap(LABELS, index.astype(np.uint8)), scores, (CELL, CELL), 0.5)


def disc(size: int, x: float, y: float, radius: float, wobble: float = 0.0, lobes: int = 5) -> np.ndarray:
    dy, dx = np.mgrid[:size, :size] + 0.5 - np.array([y, x])[:, None, None]
    return np.hypot(dx, dy) < radius * (1 + wobble * np.cos(lobes * np.arctan2(dy, dx)))


def ious(found: list[Instance], truth: list[np.ndarray]) -> list[float]:
    true = [masks.instance_from_mask("Porites", mask) for mask in truth]
    return [max(masks.iou(one, other) for other in found) for one in true if one is not None]


def test_two_discs_that_touch_are_two_for_watershed_and_one_for_components() -> None:
    a, b = disc(256, 80, 128, 50), disc(256, 172, 128, 50)
    dense = said((a | b).astype(np.uint8))
    assert len(colonies(dense, ["background"], method="components")) == 1
    found = colonies(dense, ["background"])
    assert len(found) == 2
    assert min(ious(found, [a, b & ~a])) > 0.9


@pytest.mark.parametrize("radius", [9, 30, 100, 400])
@pytest.mark.parametrize(("wobble", "lobes"), [(0.0, 1), (0.15, 2), (0.2, 3), (0.25, 5), (0.25, 9)])
def test_a_round_or_irregular_colony_stays_whole(radius: int, wobble: float, lobes: int) -> None:
    size = radius * 3
    index = disc(size, size / 2, size / 2, radius, wobble, lobes).astype(np.uint8)
    found = colonies(said(index), ["background"])
    assert len(found) == 1
    assert (masks.to_full_mask(found[0], (size, size)) == (index == 1)).all()


def test_a_long_bar_stays_whole() -> None:
    index = np.zeros((60, 300), np.uint8)
    index[20:40, 10:290] = 1
    assert len(colonies(said(index), ["background"])) == 1


def test_a_seam_of_doubt_splits_what_has_hardly_a_neck() -> None:
    size = 240
    index = (disc(size, 75, 120, 60) | disc(size, 165, 120, 60)).astype(np.uint8)  # neck of 0.66 of the width
    index[70:170, 75:165] = 1  # filled up to a neck of 0.83
    sure = np.full((size // CELL, size // CELL), 0.9, np.float32)
    seam = sure.copy()
    seam[:, size // CELL // 2 - 1 : size // CELL // 2 + 1] = 0.4
    split = Split(neck=0.7)
    assert len(colonies(said(index, sure), ["background"], split=split)) == 1
    assert len(colonies(said(index, seam), ["background"], split=split)) == 2
    assert len(colonies(said(index, seam), ["background"], split=Split(neck=0.7, doubt=0))) == 1


def test_holes_are_kept_and_do_not_cut() -> None:
    index = disc(200, 100, 100, 80).astype(np.uint8)
    index[80:90, 60:70] = 0
    index[120:126, 110:140] = 2
    found = [one for one in colonies(said(index), ["background"]) if one.label == "Porites"]
    assert len(found) == 1
    assert (masks.to_full_mask(found[0], (200, 200)) == (index == 1)).all()


def test_large_regions_are_cut_at_the_same_place_as_small_ones() -> None:
    size = 1400
    a, b = disc(size, 400, 700, 320), disc(size, 990, 700, 320)
    found = colonies(said((a | b).astype(np.uint8)), ["background"])
    assert len(found) == 2
    right = sorted(found, key=lambda one: one.xyxy_px)[1]
    seam = right.xyxy_px[0]
    assert abs(seam - 695) <= 2 * size / Split().side_px  # the neck, within two px of the reduced copy
    assert sum(one.area_px for one in found) == (a | b).sum()


def test_small_ones_are_dropped_and_the_limit_is_a_share_of_the_photo() -> None:
    index = np.zeros((100, 100), np.uint8)
    index[10:13, 10:15] = 1  # 15 px
    index[50:54, 50:54] = 2  # 16 px
    assert [one.label for one in colonies(said(index), ["background"])] == ["Acropora"]
    assert len(colonies(said(index), ["background"], min_area_px=1)) == 2
    assert instances.min_area((8000, 6000)) == 2400


def test_no_colony_is_lost_by_cutting_it_too_small() -> None:
    a, b = disc(120, 40, 60, 25), disc(120, 85, 60, 25)
    dense = said((a | b).astype(np.uint8))
    each, both = int(a.sum()), int((a | b).sum())
    assert len(colonies(dense, ["background"], min_area_px=each // 2)) == 2
    whole = colonies(dense, ["background"], min_area_px=each + 200)
    assert [one.area_px for one in whole] == [both]


def test_pixels_that_touch_at_a_corner_are_one_region() -> None:
    index = np.zeros((40, 40), np.uint8)
    index[5:15, 5:15] = index[15:25, 15:25] = 1
    assert len(colonies(said(index), ["background"], method="components")) == 1


def test_score_is_the_mean_probability_and_the_best_comes_first() -> None:
    index = np.zeros((64, 64), np.uint8)
    index[:, :24], index[:, 40:] = 1, 1
    probability = np.full((8, 8), 0.6, np.float32)
    probability[:, 5:] = 0.8
    found = colonies(said(index, probability), ["background"])
    assert [one.xyxy_px[0] for one in found] == [40, 0]
    wanted = said(index, probability).probability(1, found[0].xyxy_px)[found[0].mask].mean()
    assert found[0].score == pytest.approx(float(wanted), abs=1e-6)
    assert found[1].score == pytest.approx(0.6, abs=1e-6)


def test_background_and_unknown_pixels_are_no_colonies() -> None:
    index = np.full((32, 32), 255, np.uint8)
    index[:16] = 0
    assert colonies(said(index), ["background"]) == []
    index[:16] = 1
    assert colonies(said(index), ["background", "Porites"]) == []


def test_one_class_everywhere_and_one_pixel() -> None:
    whole = colonies(said(np.ones((40, 60), np.uint8)), ["background"])
    assert [one.xyxy_px for one in whole] == [(0, 0, 60, 40)]
    single = np.zeros((9, 9), np.uint8)
    single[4, 4] = 1
    assert [one.area_px for one in colonies(said(single), ["background"], min_area_px=1)] == [1]


def test_wrong_arguments_are_named() -> None:
    dense = said(np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match="'sam'.*watershed, components"):
        colonies(dense, ["background"], method="sam")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sand"):
        colonies(dense, ["background", "sand"])


discs = st.tuples(st.integers(0, 79), st.integers(0, 79), st.integers(1, 30), st.integers(1, 2))


@settings(max_examples=40, deadline=None)
@given(st.lists(discs, max_size=6), st.sampled_from(instances.METHODS), st.sampled_from([16, 40, 256]))
def test_colonies_are_disjoint_and_cover_every_pixel_of_their_class(
    drawn: list[tuple[int, int, int, int]], method: instances.Method, side_px: int
) -> None:
    index = np.zeros((80, 80), np.uint8)
    for x, y, radius, kind in drawn:
        index[disc(80, x, y, radius)] = kind
    found = colonies(said(index), ["background"], method=method, min_area_px=1, split=Split(side_px=side_px))
    count = np.zeros((3, 80, 80), int)
    for one in found:
        count[LABELS.index(one.label)] += masks.to_full_mask(one, (80, 80))
    assert (count[1] == (index == 1)).all()
    assert (count[2] == (index == 2)).all()
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
