from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from quadrat import masks, rle

SMALL = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))
ORIGIN = st.tuples(st.integers(-9, 9), st.integers(-9, 9))


@given(SMALL, ORIGIN)
def test_coco_run_lengths_agree_with_pycocotools(mask, origin):
    size_wh = (20, 15)
    instance = masks.instance_from_mask("coral", mask, origin)
    if instance is None:
        return
    full = masks.to_full_mask(instance, size_wh)
    encoded = rle.encode(instance, size_wh)
    theirs = coco_mask.encode(np.asfortranarray(full.view(np.uint8)))
    assert encoded == {"size": list(theirs["size"]), "counts": theirs["counts"].decode()}
    back = rle.decode(encoded, "coral")
    assert (back is None) == (not full.any())
    if back is not None:
        assert (masks.to_full_mask(back, size_wh) == full).all()


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=9))
def test_coco_text_round_trips_large_runs(runs):
    assert rle._text_to_counts(rle._counts_to_text(np.array(runs))).tolist() == runs


@given(SMALL)
def test_runs_round_trip(mask):
    flat = mask.ravel()
    assert (rle.runs_to_bits(rle.runs_of(flat)) == flat).all()


@pytest.mark.parametrize("counts", ["", "1", "`", [3, 4], "é"])
def test_broken_run_lengths_are_refused(counts):
    with pytest.raises(ValueError, match=r"rle|ascii"):
        rle.decode({"size": [3, 3], "counts": counts}, "coral")
