from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from quadrat import masks
from quadrat.shapes import Instance

SMALL = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))
ORIGIN = st.tuples(st.integers(-9, 9), st.integers(-9, 9))


def rings_of(parts: list[masks.Part]) -> list[masks.Ring]:
    return [ring for part in parts for ring in part]


@given(SMALL, ORIGIN)
def test_exact_outline_gives_the_mask_back(mask, origin):
    height, width = mask.shape
    box = (origin[0], origin[1], origin[0] + width, origin[1] + height)
    parts = masks.mask_to_parts(mask, origin)
    assert (masks.rings_to_mask(rings_of(parts), box) == mask).all()


@given(SMALL)
def test_outlines_turn_at_every_point_and_their_areas_add_up(mask):
    parts = masks.mask_to_parts(mask)
    assert sum(masks.signed_area(ring) for ring in rings_of(parts)) == mask.sum()
    for part in parts:
        assert masks.signed_area(part[0]) > 0
        assert all(masks.signed_area(hole) < 0 for hole in part[1:])
        for ring in part:
            before, after = ring - np.roll(ring, 1, 0), np.roll(ring, -1, 0) - ring
            assert ((before * after).sum(1) == 0).all()  # right angles only: no point is idle


@given(SMALL)
def test_parts_are_the_8_connected_components(mask):
    from scipy import ndimage

    assert len(masks.mask_to_parts(mask)) == ndimage.label(mask, np.ones((3, 3)))[1]


def test_hole_belongs_to_the_part_around_it():
    mask = np.zeros((9, 20), bool)
    mask[:, :9] = mask[3:6, 12:15] = True
    mask[2:7, 2:7] = False
    mask[4, 4] = True  # an island in the hole is a part of its own
    shapes = [len(part) for part in masks.mask_to_parts(mask)]
    assert shapes == [2, 1, 1]


@given(
    st.lists(st.tuples(st.floats(-4, 14), st.floats(-4, 14)), min_size=3, max_size=7),
)
def test_rasteriser_sets_the_pixels_whose_centre_is_inside(points):
    ring = np.array(points)
    drawn = masks.rings_to_mask([ring], (0, 0, 10, 10))
    start, end = ring, np.roll(ring, -1, 0)
    for y in range(10):
        for x in range(10):
            crossing = (start[:, 1] <= y + 0.5) != (end[:, 1] <= y + 0.5)
            s, e = start[crossing], end[crossing]
            at = s[:, 0] + (y + 0.5 - s[:, 1]) * (e[:, 0] - s[:, 0]) / (e[:, 1] - s[:, 1])
            if np.abs(at - x - 0.5).min(initial=1) > 1e-9:
                assert drawn[y, x] == bool((at < x + 0.5).sum() % 2)


@given(SMALL)
def test_joined_ring_draws_all_parts_and_holes(mask):
    parts = masks.mask_to_parts(mask)
    if parts:
        ring = masks.join_parts(parts)
        assert (masks.rings_to_mask([ring], (0, 0, mask.shape[1], mask.shape[0])) == mask).all()
    else:
        with pytest.raises(ValueError, match="at least one ring"):
            masks.join_parts(parts)


@given(SMALL, ORIGIN)
def test_cvat_mask_round_trips_with_its_inclusive_box(mask, origin):
    instance = masks.instance_from_mask("coral", mask, origin)
    if instance is None:
        return
    values = masks.mask_to_cvat(instance)
    assert values[-2] - values[-4] + 1 == instance.mask.shape[1]
    back = masks.mask_from_cvat(values, "coral")
    assert back is not None
    assert back.xyxy_px == instance.xyxy_px
    assert (back.mask == instance.mask).all()


@given(SMALL, SMALL, ORIGIN)
def test_overlap_on_crops_equals_overlap_on_full_frames(a, b, origin):
    first, second = masks.instance_from_mask("a", a), masks.instance_from_mask("b", b, origin)
    if first is None or second is None:
        return
    frame = (-10, -10, 30, 30)
    full_a, full_b = masks.window(first, frame), masks.window(second, frame)
    assert masks.overlap_px(first, second) == (full_a & full_b).sum()
    assert masks.iou(first, second) == pytest.approx((full_a & full_b).sum() / (full_a | full_b).sum())
    assert 0 <= masks.iou(first, second) <= masks.ios(first, second) <= 1


@given(SMALL, ORIGIN)
def test_clip_keeps_just_what_lies_in_the_photo(mask, origin):
    instance = masks.instance_from_mask("coral", mask, origin)
    if instance is None:
        return
    expected = masks.to_full_mask(instance, (8, 8))
    clipped = masks.clip(instance, (8, 8))
    assert (clipped is None) == (not expected.any())
    if clipped is not None:
        assert (masks.to_full_mask(clipped, (8, 8)) == expected).all()
        assert clipped.mask[0].any()
        assert clipped.mask[:, 0].any()


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([0.9, 0.95, 0.99]))
def test_simplified_ring_keeps_the_promised_iou(seed, min_iou):
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 60))
    radius = rng.uniform(20, 60, 60)
    ring = np.stack([70 + radius * np.cos(angle), 70 + radius * np.sin(angle)], 1)
    instance = masks.instance_from_rings("coral", [ring], (140, 140))
    exact = masks.instance_to_parts(instance)[0][0]
    simple = masks.simplify(exact, min_iou)
    filled, again = (masks.rings_to_mask([r], (0, 0, 140, 140)) for r in (exact, simple))
    assert (filled & again).sum() / (filled | again).sum() >= min_iou
    assert 3 <= len(simple) < len(exact)


def test_one_pixel_and_empty_masks():
    assert masks.instance_from_mask("coral", np.zeros((4, 4), bool)) is None
    assert masks.mask_to_parts(np.zeros((4, 4), bool)) == []
    pixel = masks.instance_from_mask("coral", np.eye(1, dtype=bool), (3, 2))
    assert masks.instance_to_parts(pixel)[0][0].tolist() == [[3, 2], [4, 2], [4, 3], [3, 3]]
    assert masks.simplify(masks.instance_to_parts(pixel)[0][0]).shape == (4, 2)


@pytest.mark.parametrize("values", [[], [1, 0, 0, 0], [1, 1, 0, 0, 3, 3], [1, 5, 5, 4, 4]])
def test_broken_cvat_mask_is_refused(values):
    with pytest.raises(ValueError, match="mask has"):
        masks.mask_from_cvat(values, "coral")


def test_instance_is_read_only_and_checked():
    instance = Instance("coral", (0, 0, 2, 2), np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="read-only"):
        instance.mask[0, 0] = False
    with pytest.raises(ValueError, match="expected bool"):
        Instance("coral", (0, 0, 2, 2), np.ones((2, 3), bool))
    with pytest.raises(ValueError, match=r"0\.\.1"):
        Instance("coral", (0, 0, 2, 2), np.ones((2, 2), bool), score=float("nan"))
