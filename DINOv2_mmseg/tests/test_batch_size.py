from __future__ import annotations

import pytest
import torch

from DINOv2_mmseg import batch_size


def fits(most: int):
    """A step that needs memory for `most` views."""
    asked = []

    def step(size: int) -> None:
        asked.append(size)
        if size > most:
            raise torch.cuda.OutOfMemoryError("too many")

    return step, asked


@pytest.mark.parametrize(("most", "found"), [(1, 1), (9, 6), (64, 51), (10_000, 204)])
def test_the_largest_that_fits_is_found_with_room_to_spare(most, found):
    step, asked = fits(most)
    assert batch_size.largest(step) == found <= most
    assert asked == sorted(asked)


def test_nothing_that_fits_says_what_to_do():
    with pytest.raises(ValueError, match="crop_px"):
        batch_size.largest(fits(0)[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_without_a_gpu_a_number_is_asked_for():
    with pytest.raises(ValueError, match="batch_size is 0"):
        batch_size.find(None, {"crop_px": 64}, 3)
