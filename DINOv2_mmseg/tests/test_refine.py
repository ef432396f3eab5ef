from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DINOv2_mmseg import proposals as finding
from DINOv2_mmseg import refine
from DINOv2_mmseg.dense import Dense
from DINOv2_mmseg.instances import colonies
from DINOv2_mmseg.proposals import Asking, Proposal, distinct, good, in_photo, inner_point, prompts, stability
from DINOv2_mmseg.refine import Refiner, Settling, judged, name, settle, uncovered, vote
from DINOv2_mmseg.sam import Prompts, Seen
from quadrat import masks
from quadrat.shapes import Instance, SemanticMap

from .test_instances import disc, said

SIZE = (160, 120)
LABELS = ("background", "Porites", "Acropora")
SEEN = Seen(None, SIZE, (1.0, 1.0), (4.0, 4.0), (40, 30))
PHOTO = np.zeros((120, 160, 3), np.uint8)


def logits(*boxes: tuple[int, int, int, int], sure: float = 5.0) -> np.ndarray:
    """Masks on the cells of `SEEN` that are boxes x0, y0, x1, y1 in cells: float32 ``[M, 30, 40]``."""
    made = np.full((len(boxes), 30, 40), -sure, np.float32)
    for one, (x0, y0, x1, y1) in zip(made, boxes, strict=True):
        one[y0:y1, x0:x1] = sure
    return made


class Planned:
    """A network that gives the same masks whatever it is asked."""

    def __init__(self, masks_: np.ndarray, ious: list[float], seen: Seen = SEEN) -> None:
        self.masks, self.ious, self.seen = masks_, np.array(ious, np.float32), seen
        self.asked: list[Prompts] = []

    def look(self, image_rgb: np.ndarray) -> Seen:
        assert image_rgb.shape[1::-1] == self.seen.size_wh
        return self.seen

    def answers(self, seen: Seen, asked: Prompts, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self.asked.append(asked)
        if len(asked):
            yield self.masks, self.ious


def painted(*boxes: tuple[int, int, int, int, int], sure: float = 0.9) -> Dense:
    """A semantic map of boxes x0, y0, x1, y1, class in px; the network is `sure` of each cell's class."""
    index = np.zeros(SIZE[::-1], np.uint8)
    for x0, y0, x1, y1, kind in boxes:
        index[y0:y1, x0:x1] = kind
    scores = np.full((3, 15, 20), (1 - sure) / 2, np.float32)
    np.put_along_axis(scores, index[4::8, 4::8][None].astype(np.int64), sure, 0)
    return Dense(SemanticMap(LABELS, index), scores, (8.0, 8.0), 0.5)


def found(*boxes: tuple[int, int, int, int], ious: list[float] | None = None) -> list[Proposal]:
    return list(good(logits(*boxes), np.array(ious or [0.9] * len(boxes), np.float32), Asking()))


def boxes_of(instances: list[Instance]) -> list[tuple[str, tuple[int, int, int, int]]]:
    return [(one.label, one.xyxy_px) for one in instances]


# ---------------------------------------------------------------------------------------------- filters


def test_masks_of_low_iou_and_unstable_ones_are_dropped() -> None:
    three = np.concatenate([logits((0, 0, 10, 10)), logits((0, 0, 10, 10)), logits((0, 0, 10, 10), sure=0.5)])
    kept = list(good(three, np.array([0.9, 0.7, 0.9], np.float32), Asking()))
    assert [one.cells.xyxy_px for one in kept] == [(0, 0, 10, 10)]
    assert stability(logits((0, 0, 4, 4))[0]) == 1
    slope = np.array([[2.0, 0.5, -0.5, -2.0]], np.float32)
    assert stability(slope) == pytest.approx(1 / 3)
    assert stability(np.full((2, 2), -9, np.float32)) == 0
    nothing = np.full((1, 30, 40), np.nan, np.float32)
    assert list(good(nothing, np.array([np.nan], np.float32), Asking())) == []


def test_of_two_masks_of_one_thing_the_better_stays() -> None:
    twice = found((0, 0, 10, 10), (0, 0, 10, 9), (0, 0, 5, 5), ious=[0.8, 0.95, 0.9])
    assert [one.cells.xyxy_px for one in distinct(twice, 0.7)] == [(0, 0, 10, 9), (0, 0, 5, 5)]
    assert len(distinct(twice, 0.95)) == 3


def test_a_predicted_iou_above_one_is_cut() -> None:
    assert found((0, 0, 3, 3), ious=[1.2])[0].cells.score == 1


# ---------------------------------------------------------------------------------------------- photo


def test_a_mask_comes_back_to_the_pixels_it_lies_on() -> None:
    one = in_photo(found((3, 5, 9, 12))[0], SEEN, "Porites", 0.5)
    assert one is not None
    assert one.xyxy_px == (12, 20, 36, 48)  # logits of equal size change sign half way between two cells' centres
    corners = masks.to_full_mask(one, SIZE)[[20, 20, 47, 47], [12, 35, 12, 35]]
    assert not corners.any()  # rounded by the bilinear surface
    assert one.area_px == pytest.approx(24 * 28, rel=0.03)


def test_a_mask_at_the_border_reaches_it_and_not_beyond() -> None:
    one = in_photo(found((30, 20, 40, 30))[0], SEEN, "Porites", 0.5)
    assert one is not None
    assert one.xyxy_px == (120, 80, 160, 120)
    everything = in_photo(found((0, 0, 40, 30))[0], SEEN, "Porites", 0.5)
    assert everything is not None
    assert everything.area_px == 160 * 120


def test_cells_of_a_broken_number_of_pixels() -> None:
    seen = Seen(None, (150, 100), (1.0, 1.0), (3.7, 3.4), (41, 30))
    made = np.full((1, 30, 41), -1.0, np.float32)
    made[0, 10:20, 10:20] = 1
    proposal = next(good(np.sign(made) * 5, np.array([0.9], np.float32), Asking()))
    one = in_photo(proposal, seen, "P", 1)
    assert one is not None
    np.testing.assert_allclose(one.xyxy_px, (37, 34, 74, 68), atol=0.6)


# ---------------------------------------------------------------------------------------------- prompts


def test_points_lie_on_colonies_and_never_on_background() -> None:
    dense = painted((0, 0, 80, 120, 1), (120, 40, 160, 80, 2))
    found_ = colonies(dense, ["background"])
    points, boxed = prompts(dense, found_, ["background"], Asking(points_per_side=16))
    x, y = points.points_xy_px.astype(int).T
    assert (dense.map.index[y, x] != 0).all()
    assert len(points) == 2 + 8 * 12 + 4 * 4
    assert points.boxes_xyxy_px is None
    assert boxed.boxes_xyxy_px is not None
    assert boxed.boxes_xyxy_px.tolist() == [list(one.xyxy_px) for one in found_]
    nothing = prompts(painted(), [], ["background"], Asking())
    assert [len(one) for one in nothing] == [0, 0]


@pytest.mark.parametrize("size", [5, 60, 900])
def test_the_inner_point_is_inside_and_far_from_the_border(size: int) -> None:
    ring = disc(size, size / 2, size / 2, size * 0.45) & ~disc(size, size / 2, size / 2, size * 0.2)
    one = masks.instance_from_mask("Porites", ring, (7, 9))
    assert one is not None
    x, y = inner_point(one)
    assert one.mask[int(y) - one.xyxy_px[1], int(x) - one.xyxy_px[0]]
    assert np.hypot(x - 7 - size / 2, y - 9 - size / 2) == pytest.approx(size * 0.325, abs=max(1.5, size * 0.02))


def test_a_colony_thinner_than_the_copy_still_has_a_point_in_it() -> None:
    line = np.zeros((3, 2000), bool)
    line[0, 1] = True
    assert inner_point(Instance("P", (0, 0, 2000, 3), line)) == (1.5, 0.5)


# ---------------------------------------------------------------------------------------------- votes


def test_votes_count_by_probability_and_the_unknown_does_not_vote() -> None:
    kinds = np.array([1, 1, 2, 255], np.uint8)
    probabilities = np.array([[0.2, 0.2, 0, 1], [0.4, 0.4, 0.1, 0], [0.4, 0.4, 0.9, 0]], np.float32)
    np.testing.assert_allclose(vote(kinds, probabilities), [0, 0.8, 0.9], atol=1e-6)
    assert vote(kinds[:0], probabilities[:, :0]).tolist() == [0, 0, 0]


def test_a_mask_gets_the_genus_of_the_map_and_a_score_of_both_networks() -> None:
    dense = painted((0, 0, 80, 120, 1), (80, 0, 160, 120, 2), sure=0.7)
    here = refine.view(dense, SEEN)
    named = name(found((2, 2, 12, 12), (25, 2, 36, 12), ious=[0.8, 0.9]), here, LABELS, ["background"])
    assert [(one.cells.label, one.cells.xyxy_px) for one in named] == [
        ("Acropora", (25, 2, 36, 12)),
        ("Porites", (2, 2, 12, 12)),
    ]
    assert [one.cells.score for one in named] == pytest.approx([0.9 * 0.7, 0.8 * 0.7], abs=1e-5)


def test_masks_that_are_mostly_background_or_unknown_are_dropped() -> None:
    dense = painted((0, 0, 40, 120, 1))
    here = refine.view(dense, SEEN)
    most, least = (0, 0, 15, 30), (0, 0, 25, 30)  # 10 of 15 and 10 of 25 columns are Porites
    named = name(found(most, least), here, LABELS, ["background"])
    assert [one.cells.xyxy_px for one in named] == [most]
    unknown = Dense(SemanticMap(LABELS, np.full(SIZE[::-1], 255, np.uint8)), dense.scores, (8.0, 8.0), 0.5)
    assert name(found(most), refine.view(unknown, SEEN), LABELS, ["background"]) == []


def test_the_view_of_the_map_is_not_shifted() -> None:
    index = np.zeros(SIZE[::-1], np.uint8)
    index[:, 80:] = 1
    dense = painted((80, 0, 160, 120, 1))
    here = refine.view(dense, SEEN)
    assert (here.kinds == index[2::4, 2::4]).all()
    wanted = dense.probability(1, (0, 0, *SIZE))
    np.testing.assert_allclose(here.probabilities[1], (wanted[1::4, 1::4] + wanted[2::4, 2::4]) / 2, atol=1e-4)


# ---------------------------------------------------------------------------------------------- overlaps


def labelled(proposal: Proposal, label: str, score: float) -> Proposal:
    cells = Instance(label, proposal.cells.xyxy_px, proposal.cells.mask, score)
    return Proposal(cells, proposal.logits, proposal.origin_xy)


def test_the_best_takes_a_pixel_and_what_loses_half_is_gone() -> None:
    three = found((0, 0, 20, 20), (15, 0, 30, 20), (2, 2, 10, 10))
    named = [labelled(one, label, score) for one, label, score in zip(three, "abc", (0.9, 0.8, 0.7), strict=True)]
    kept, taken = settle(named, SEEN, 1, Settling())
    assert [(one.label, one.score) for one in kept] == [("a", 0.9), ("b", 0.8)]
    assert masks.overlap_px(*kept) == 0
    assert kept[1].xyxy_px[0] >= 79
    assert taken.sum() == sum(one.area_px for one in kept)
    small_first = [labelled(three[2], "c", 0.95), *named[:2]]
    assert [one.label for one in settle(small_first, SEEN, 1, Settling())[0]] == ["c", "a", "b"]
    assert settle(named, SEEN, 5000, Settling())[0][0].label == "a"
    assert len(settle(named, SEEN, 5000, Settling())[0]) == 1


def test_colonies_that_no_mask_covers_stay_and_rims_do_not() -> None:
    dense = painted((0, 0, 80, 80, 1), (100, 40, 160, 100, 2))
    own = colonies(dense, ["background"])
    taken = np.zeros(SIZE[::-1], bool)
    assert uncovered(own, taken, dense, Settling()) == own
    taken[6:74, 6:74] = True  # a rim of 6 px is left of the first
    assert boxes_of(uncovered(own, taken, dense, Settling())) == [("Acropora", (100, 40, 160, 100))]
    taken[:] = False
    taken[:, :40] = True  # the half of the first is left, and is as wide as half of it
    left = uncovered(own, taken, dense, Settling())
    assert ("Porites", (40, 0, 80, 80)) in boxes_of(left)
    porites = next(one for one in left if one.label == "Porites")
    assert porites.score == pytest.approx(float(dense.probability(1, (40, 0, 80, 80)).mean()), abs=1e-5)


def test_low_scores_are_unsure_and_lower_ones_gone() -> None:
    mask = np.ones((2, 2), bool)
    three = [Instance(label, (0, 0, 2, 2), mask, score) for label, score in (("a", 0.04), ("b", 0.1), ("c", 0.2))]
    assert [(one.label, dict(one.attributes)) for one in judged(three, 0.05, 0.2)] == [
        ("c", {}),
        ("b", {"unsure": "true"}),
    ]


# ---------------------------------------------------------------------------------------------- all of it


def test_masks_replace_the_maps_outlines_and_the_rest_stays() -> None:
    dense = painted((8, 8, 72, 72, 1), (104, 40, 152, 88, 2))
    own = colonies(dense, ["background"])
    network = Planned(logits((3, 3, 18, 18), (0, 0, 40, 30)), [0.9, 0.99])  # a colony outlined; the whole photo
    refined = Refiner(network, Asking()).refine(PHOTO, dense, own, ["background"])
    assert boxes_of(sorted(refined, key=lambda one: one.label)) == [
        ("Acropora", (104, 40, 152, 88)),
        ("Porites", (12, 12, 72, 72)),
    ]
    assert [one.score for one in refined] == sorted((one.score for one in refined), reverse=True)
    assert len(network.asked) == 2


def test_unsure_masks_are_kept_for_a_person_to_look_at() -> None:
    dense = painted((8, 8, 72, 72, 1), sure=0.4)
    own = colonies(dense, ["background"])
    network = Planned(logits((2, 2, 18, 18)), [0.3])
    refiner = Refiner(network, Asking(min_iou=0.1))
    one = refiner.refine(PHOTO, dense, own, ["background"])
    assert [dict(instance.attributes) for instance in one] == [{"unsure": "true"}]
    assert one[0].score == pytest.approx(0.12, abs=0.02)
    higher = refiner.refine(PHOTO, dense, own, ["background"], min_threshold=0.3)
    assert [instance.attributes for instance in higher] == [{}]  # the map's own colony, of which it is surer


def test_without_any_mask_the_colonies_are_the_maps() -> None:
    dense = painted((8, 8, 72, 72, 1), (104, 40, 152, 88, 2))
    own = colonies(dense, ["background"])
    network = Planned(logits((0, 0, 5, 5)), [0.0])
    assert Refiner(network).refine(PHOTO, dense, own, ["background"]) == own
    assert Refiner(network).refine(PHOTO, painted(), [], ["background"]) == []


def test_a_photo_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(60, 50\).*\(160, 120\)"):
        Refiner(Planned(logits(), [])).refine(np.zeros((50, 60, 3), np.uint8), painted(), [], ["background"])


cells = st.tuples(st.integers(0, 38), st.integers(0, 28), st.integers(1, 25), st.integers(1, 25)).map(
    lambda b: (b[0], b[1], min(b[0] + b[2], 40), min(b[1] + b[3], 30))
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(cells, st.floats(0.1, 1)), max_size=8))
def test_refined_colonies_never_overlap_and_lie_in_the_photo(planned: list[tuple[tuple[int, ...], float]]) -> None:
    dense = painted((8, 8, 72, 112, 1), (72, 40, 152, 88, 2))
    network = Planned(logits(*(box for box, _ in planned)), [iou for _, iou in planned])  # type: ignore[arg-type]
    refined = Refiner(network, Asking(min_iou=0)).refine(
        PHOTO, dense, colonies(dense, ["background"]), ["background"], min_threshold=0.1
    )
    count = np.zeros(SIZE[::-1], int)
    for one in refined:
        assert masks.clip(one, SIZE) is one
        assert one.label in LABELS[1:]
        assert one.score >= 0.1
        count += masks.to_full_mask(one, SIZE)
    assert count.max(initial=0) <= 1


# ---------------------------------------------------------------------------------------------- a real network


@pytest.fixture(scope="module")
def network() -> Any:
    pytest.importorskip("transformers")
    from DINOv2_mmseg.sam import Sam

    from .tiny_sam import tiny_sam

    return Sam(tiny_sam())


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def test_answers_are_those_of_transformers_own_processor(network: Any, noise: np.ndarray) -> None:
    import torch
    from transformers import SamImageProcessor, SamProcessor

    size = {"height": 64, "width": 64}
    processor = SamProcessor(SamImageProcessor(size={"longest_edge": 64}, pad_size=size))
    processor.target_size = 64
    inputs = processor(noise, input_points=[[[20, 30]]], return_tensors="pt")  # the px whose centre is (20.5, 30.5)
    with torch.no_grad():
        wanted = network.model(**inputs)
    seen = network.look(noise)
    given = list(network.answers(seen, Prompts(np.array([[20.5, 30.5]])), 8))
    assert seen.grid_wh == (16, 12)
    assert len(given) == 1
    np.testing.assert_allclose(given[0][0], wanted.pred_masks[0, 0, :, :12].numpy(), atol=1e-4)
    np.testing.assert_allclose(given[0][1], wanted.iou_scores[0, 0].numpy(), atol=1e-4)
    enlarged = processor.image_processor.post_process_masks(
        wanted.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"], pad_size=size
    )
    for own, theirs in zip(given[0][0], enlarged[0][0].numpy(), strict=True):
        if not (own > 0).any():
            continue
        proposal = next(good(own[None], np.array([1.0]), Asking(min_iou=0, min_stability=0)))
        one = in_photo(proposal, seen, "P", 1)
        assert one is not None
        assert (masks.to_full_mask(one, (64, 48)) != theirs).mean() < 0.01  # logits are kept in half precision


def test_boxes_give_one_mask_and_points_three_or_one(network: Any, noise: np.ndarray) -> None:
    seen = network.look(noise)
    points = np.array([[10.0, 10.0], [40.0, 30.0], [20.0, 5.0]])
    batches = [len(ious) for _, ious in network.answers(seen, Prompts(points), 2)]
    assert batches == [6, 3]
    boxes = np.array([[0.0, 0.0, 20.0, 20.0], [30.0, 20.0, 60.0, 40.0], [5.0, 0.0, 30.0, 20.0]])
    assert [len(ious) for _, ious in network.answers(seen, Prompts(points, boxes), 2)] == [2, 1]
    assert list(network.answers(seen, Prompts(points[:0]), 2)) == []


def test_the_batch_does_not_change_the_answer(network: Any, noise: np.ndarray) -> None:
    seen = network.look(noise)
    points = Prompts(np.array([[10.0, 10.0], [40.0, 30.0], [20.0, 5.0]]))
    one = np.concatenate([mask for mask, _ in network.answers(seen, points, 1)])
    three = np.concatenate([mask for mask, _ in network.answers(seen, points, 3)])
    np.testing.assert_allclose(one, three, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 48), (37, 90), (300, 200), (7, 5)])
def test_a_real_network_from_photo_to_colonies(network: Any, size: tuple[int, int]) -> None:
    width, height = size
    photo = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    index = np.zeros((height, width), np.uint8)
    index[: height // 2], index[height // 2 :, width // 2 :] = 1, 2
    dense = said(index)
    refiner = Refiner(network, Asking(points_per_side=6, min_iou=-100, min_stability=0))
    own = colonies(dense, ["background"], min_area_px=1)
    asked = prompts(dense, own, ["background"], refiner.asking)
    assert finding.proposals(network, network.look(photo), asked, refiner.asking)
    refined = refiner.refine(photo, dense, own, ["background"])
    assert refined
    count = np.zeros((height, width), int)
    for one in refined:
        assert masks.clip(one, size) is one
        count += masks.to_full_mask(one, size)
    assert count.max() == 1


def test_load_takes_a_folder(tmp_path: Path, network: Any, noise: np.ndarray) -> None:
    network.model.save_pretrained(tmp_path)
    refiner = refine.load(tmp_path)
    point = Prompts(np.array([[30.0, 20.0]]))
    again = next(refiner.sam.answers(refiner.sam.look(noise), point, 1))[0]
    np.testing.assert_allclose(again, next(network.answers(network.look(noise), point, 1))[0], atol=1e-4)


def test_the_network_looks_once_and_few_masks_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    monkeypatch.setattr(finding, "distinct", lambda all_, same: held.append(len(all_)) or distinct(all_, same))
    dense = painted((0, 0, 160, 120, 1))
    network = Planned(logits((0, 0, 20, 20), (0, 0, 20, 19), (0, 0, 19, 20)), [0.9, 0.8, 0.85])
    finding.proposals(
        network, SEEN, prompts(dense, colonies(dense, ["background"]), ["background"], Asking()), Asking()
    )
    assert held == [3, 4]  # of the first three one is left when the next three come
