"""Outlines of many masks at once: against what drawing gives (single masks: test_masks.py)."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quadrat import masks, outlines


def blobs(seed: int, count: int) -> list[np.ndarray]:
    """Masks of all kinds: salt, worms, smooth blobs with holes, full and empty ones."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        shape = tuple(rng.integers(1, 90, 2))
        noise = rng.normal(size=shape).astype(np.float32)
        sigma = rng.choice([0, 1, 4, 9])
        smooth = cv2.GaussianBlur(noise, (0, 0), sigma) if sigma else noise
        made.append(smooth > smooth.std() * rng.choice([-9, -0.5, 0, 0.5, 9]))
    return made


def filled(ring: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return masks.rings_to_mask([ring], (0, 0, shape[1], shape[0]))


@settings(max_examples=40)
@given(st.integers(0, 2**20), st.integers(0, 6))
def test_many_at_once_are_the_same_as_one_by_one(seed, count):
    made = blobs(seed, count)
    origins = [(7 * i - 9, 3 - i) for i in range(count)]
    together = outlines.trace(made, origins)
    assert len(together) == count
    for mask, origin, parts in zip(made, origins, together, strict=True):
        alone = masks.mask_to_parts(mask, origin)
        assert [[ring.tolist() for ring in part] for part in parts] == [[r.tolist() for r in p] for p in alone]
        box = (*origin, origin[0] + mask.shape[1], origin[1] + mask.shape[0])
        assert (masks.rings_to_mask([ring for part in parts for ring in part], box) == mask).all()


@settings(max_examples=40)
@given(st.integers(0, 2**20), st.sampled_from([0.8, 0.95, 0.99, 1.0]))
def test_every_simplified_ring_keeps_the_promised_iou(seed, min_iou):
    made = blobs(seed, 4)
    exact = [part[0] for parts in outlines.trace(made, [(0, 0)] * 4) for part in parts]
    for ring, simple in zip(exact, outlines.simplify(exact, min_iou), strict=True):
        a, b = filled(ring, (90, 90)), filled(simple, (90, 90))
        assert np.count_nonzero(a & b) >= min_iou * np.count_nonzero(a | b)
        assert 3 <= len(simple) <= len(ring)


@pytest.mark.parametrize(("tolerance", "most"), [(0.8, 1.02), (1.5, 1.05), (3, 1.25), (8, 2)])
def test_misplaced_pixels_are_never_counted_too_few_and_seldom_too_many(tolerance, most):
    counted = drawn = 0.0
    for seed in range(20):
        exact = [part[0] for parts in outlines.trace(blobs(seed, 3), [(0, 0)] * 3) for part in parts]
        simple = [outlines._douglas_peucker(ring, tolerance) for ring in exact]
        for ring, few, wrong in zip(exact, simple, outlines._misplaced(exact, simple), strict=True):
            if np.isfinite(wrong):
                differing = np.count_nonzero(filled(ring, (90, 90)) != filled(few, (90, 90)))
                assert wrong >= differing
                counted, drawn = counted + wrong, drawn + differing
    assert drawn <= counted <= most * drawn
    assert drawn > 50


def test_a_round_colony_needs_few_points():
    disc = cv2.circle(np.zeros((400, 400), np.uint8), (200, 200), 180, 1, -1).astype(bool)
    (exact,) = outlines.trace([disc], [(0, 0)])
    (simple,) = outlines.simplify(exact[0])
    assert len(exact[0][0]) > 300
    assert len(simple) < 40


def test_nothing_gives_nothing():
    assert outlines.trace([], []) == []
    assert outlines.trace([np.zeros((3, 3), bool)], [(0, 0)]) == [[]]
    assert outlines.simplify([]) == []
