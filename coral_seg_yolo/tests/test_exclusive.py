from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coral_seg_yolo import model
from coral_seg_yolo.exclusive import exclusive
from quadrat import masks

from .conftest import disc
from .test_model import photo

SIZE = (96, 96)
discs = st.builds(disc, st.tuples(st.integers(0, 95), st.integers(0, 95)), st.integers(0, 30))


@given(st.lists(discs, max_size=6))
def test_every_pixel_goes_to_the_best_that_has_it(full: list[np.ndarray]) -> None:
    instances = [masks.instance_from_mask(str(i), mask, score=1 - i / 10) for i, mask in enumerate(full)]
    owner = np.full((96, 96), -1)
    for place in reversed(range(len(full))):
        owner[full[place]] = place
    left = {one.label: one for one in exclusive(instances)}
    for place in range(len(full)):
        wanted = owner == place
        if not wanted.any():
            assert str(place) not in left
            continue
        one = left[str(place)]
        assert (masks.to_full_mask(one, SIZE) == wanted).all()
        assert one.mask.any(0).all() or one.mask.any(0)[[0, -1]].all()  # trimmed
        assert one.score == instances[place].score


def test_what_does_not_overlap_is_left_as_it_is() -> None:
    apart = [masks.instance_from_mask("a", disc((20, 20), 10)), masks.instance_from_mask("b", disc((70, 70), 10))]
    assert exclusive(apart) == apart
    assert exclusive([]) == []


def test_a_predictor_draws_no_pixel_twice_if_asked(make_weights) -> None:
    path, image = make_weights("yolo11n-seg"), photo(220, 170)
    drawn = {}
    for wish in (False, True):
        found = model.load(path, confidence=0.1, exclusive=wish).predict(image)
        drawn[wish] = sum(masks.to_full_mask(one, (220, 170)).astype(int) for one in found)
    assert drawn[False].max() > 1 == drawn[True].max()
    assert ((drawn[False] > 0) == (drawn[True] > 0)).all()
