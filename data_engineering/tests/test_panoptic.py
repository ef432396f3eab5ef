from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_engineering.panoptic import Counter, Quality, disjoint, panoptic_quality
from quadrat import masks
from quadrat.shapes import Annotations, Instance

SIZE = (200, 100)


def box(label: str, x: int, y: int, w: int = 20, h: int = 20, score: float = 1.0) -> Instance:
    return Instance(label, (x, y, x + w, y + h), np.ones((h, w), bool), score)


def photo(*shapes: Instance) -> Annotations:
    return Annotations("a.jpg", SIZE, shapes)


TRUTH = photo(box("Porites", 0, 0), box("Porites", 50, 0), box("Acropora", 100, 0))


def test_a_hand_computed_case() -> None:
    predicted = photo(
        box("Porites", 5, 0, score=0.9),  # IoU 15 / 25 with the first
        box("Porites", 150, 50, score=0.8),  # nothing there
        box("Porites", 100, 0, score=0.7),  # a true Acropora
        box("Acropora", 50, 0, score=0.6),  # a true Porites
    )
    result = panoptic_quality([TRUTH], [predicted])
    porites, acropora = result.classes["Porites"], result.classes["Acropora"]
    assert (porites.tp, porites.fp, porites.fn) == (1, 2, 1)
    assert (porites.pq, porites.sq, porites.rq) == pytest.approx((0.6 / 2.5, 0.6, 1 / 2.5))
    assert (acropora.tp, acropora.fp, acropora.fn) == (0, 1, 1)
    assert (acropora.pq, acropora.sq, acropora.rq) == (0, 0, 0)
    assert (result.pq, result.sq, result.rq) == pytest.approx((0.12, 0.3, 0.2))
    assert (result.any_label.tp, result.any_label.fp, result.any_label.fn) == (3, 1, 0)
    assert result.any_label.pq == pytest.approx((0.6 + 1 + 1) / 3.5)


def test_half_is_no_match_and_little_more_is() -> None:
    truth = photo(box("Porites", 0, 0, 20, 20))
    assert panoptic_quality([truth], [photo(box("Porites", 0, 0, 20, 10))]).classes["Porites"].tp == 0
    more = panoptic_quality([truth], [photo(box("Porites", 0, 0, 20, 11))])
    assert more.pq == pytest.approx(0.55)


def test_splitting_a_colony_costs_more_than_its_outline() -> None:
    truth = photo(box("Porites", 0, 0, 40, 20))
    split = panoptic_quality([truth], [photo(box("Porites", 0, 0, 28, 20), box("Porites", 28, 0, 12, 20))])
    assert split.pq == pytest.approx(0.7 / 1.5)
    merged = panoptic_quality([photo(box("P", 0, 0), box("P", 20, 0))], [photo(box("P", 0, 0, 40, 20))])
    assert merged.pq == 0


def test_overlapping_predictions_give_their_pixels_to_the_better_score() -> None:
    truth = photo(box("Porites", 0, 0))
    predicted = photo(box("Acropora", 0, 0, 20, 20, score=0.5), box("Porites", 0, 0, 20, 15, score=0.9))
    result = panoptic_quality([truth], [predicted])
    assert result.classes["Porites"].pq == pytest.approx(0.75)
    assert result.classes["Acropora"].fp == 1  # the quarter that is left
    hidden = photo(box("Acropora", 5, 5, 5, 5, score=0.5), box("Porites", 0, 0, score=0.9))
    assert list(panoptic_quality([truth], [hidden]).classes) == ["Porites"]


def test_at_equal_scores_the_smaller_is_on_top() -> None:
    left = disjoint([box("large", 0, 0, 40, 40), box("small", 10, 10, 10, 10)], SIZE)
    assert {one.label: one.area_px for one in left} == {"large": 1500, "small": 100}


def test_what_lies_outside_the_photo_is_cut() -> None:
    left = disjoint([box("P", 190, 90, 20, 20), box("P", 300, 0)], SIZE)
    assert [(one.xyxy_px, one.area_px) for one in left] == [((190, 90, 200, 100), 100)]


def test_nothing_to_measure_is_not_zero() -> None:
    nothing = panoptic_quality([photo()], [photo()])
    assert math.isnan(nothing.pq)
    assert math.isnan(nothing.any_label.sq)
    assert nothing.to_dict()["pq"] is None
    json.dumps(nothing.to_dict(), allow_nan=False)
    assert panoptic_quality([TRUTH], [photo()]).pq == 0
    assert panoptic_quality([photo()], [TRUTH]).pq == 0


def test_counts_of_photos_add_up() -> None:
    both = panoptic_quality([TRUTH, photo(box("Porites", 0, 0))], [TRUTH, photo()])
    assert both.classes["Porites"] == Quality(2.0, 2, 0, 1)
    assert both.classes["Porites"].pq == pytest.approx(0.8)
    dictionary = both.to_dict()
    assert dictionary["classes"]["Porites"] == {"pq": 0.8, "sq": 1.0, "rq": 0.8, "tp": 2, "fp": 0, "fn": 1}
    assert dictionary["pq"] == pytest.approx(0.9)


def test_photos_must_pair_up() -> None:
    with pytest.raises(ValueError, match="expected pairs"):
        panoptic_quality([TRUTH], [])


boxes = st.builds(
    box,
    st.sampled_from(["Porites", "Acropora", "Pocillopora"]),
    st.integers(-5, 190),
    st.integers(-5, 90),
    st.integers(1, 40),
    st.integers(1, 40),
    st.floats(0, 1),
)


@given(st.lists(boxes, min_size=1, max_size=8))
def test_the_truth_itself_is_perfect(shapes: list[Instance]) -> None:
    result = panoptic_quality([photo(*shapes)], [photo(*shapes)])
    if not result.classes:  # all of them outside
        return
    assert result.any_label.pq == pytest.approx(1)
    assert all(one.pq == pytest.approx(1) for one in result.classes.values())


@given(st.lists(boxes, max_size=8, unique_by=lambda b: b.score), st.lists(boxes, max_size=8), st.randoms())
def test_the_order_of_shapes_does_not_matter(truth: list[Instance], predicted: list[Instance], random) -> None:
    first = panoptic_quality([photo(*truth)], [photo(*predicted)])
    random.shuffle(truth)
    random.shuffle(predicted)
    again = panoptic_quality([photo(*truth)], [photo(*predicted)])
    assert again.classes.keys() == first.classes.keys()
    for label, one in first.classes.items():
        other = again.classes[label]
        assert (one.tp, one.fp, one.fn) == (other.tp, other.fp, other.fn)
        assert one.iou_sum == pytest.approx(other.iou_sum)
    assert 0 <= (first.pq if first.classes else 0) <= 1


@given(st.lists(boxes, max_size=8))
def test_disjoint_shapes_cover_what_was_covered(shapes: list[Instance]) -> None:
    left = disjoint(shapes, SIZE)
    count, covered = np.zeros(SIZE[::-1], int), np.zeros(SIZE[::-1], bool)
    for one in left:
        count += masks.to_full_mask(one, SIZE)
    for one in shapes:
        masks.paste(one, covered)
    assert (count == covered).all()


def test_a_counter_takes_photos_one_by_one() -> None:
    counter = Counter()
    for _ in range(3):
        counter.add(TRUTH.instances, TRUTH.instances, SIZE)
    assert counter.result().classes["Acropora"].tp == 3
