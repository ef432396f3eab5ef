from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quadrat import masks, tiling
from quadrat.shapes import Instance


@st.composite
def tilings(draw, least_overlap: int = 0, most: int = 40, step: int = 1):
    """Tile and overlap; windows lie at least `step` apart, which bounds their number."""
    tile = draw(st.integers(least_overlap + step, most))
    return tile, draw(st.integers(least_overlap, tile - step))


def whole(truth: np.ndarray) -> list[Instance]:
    """The objects of a map of object numbers (0: none); what connects decides, not the number alone."""
    found = []
    for number in np.unique(truth[truth > 0]):
        _, parts = cv2.connectedComponents((truth == number).astype(np.uint8), connectivity=8)
        for part in range(1, parts.max() + 1):
            found.append(masks.instance_from_mask("coral", parts == part, score=0.9))
    return found


def as_image(truth: np.ndarray) -> np.ndarray:
    return np.repeat(truth.astype(np.uint8)[..., None], 3, axis=2)


def from_crop(crop: np.ndarray) -> list[Instance]:
    """A perfect predictor: it sees of each object what lies in the crop, in pieces if the crop cuts it so."""
    return whole(crop[..., 0])


def same(found: list[Instance], expected: list[Instance]) -> bool:
    def keys(instances):
        return sorted((i.xyxy_px, i.mask.tobytes()) for i in instances)

    return keys(found) == keys(expected)


def random_map(seed: int, size_wh: tuple[int, int], objects: int) -> np.ndarray:
    """Objects of any shape, from dots to worms and rings, touching and overlapping as they fall."""
    rng = np.random.default_rng(seed)
    width, height = size_wh
    truth = np.zeros((height, width), np.uint8)
    for number in range(1, objects + 1):
        points = rng.integers(-5, (width + 5, height + 5), (rng.integers(1, 5), 2)).astype(np.int32)
        kind = rng.integers(3)
        if kind == 0:
            cv2.polylines(truth, [points], False, number, int(rng.integers(1, 5)))
        elif kind == 1:
            cv2.fillPoly(truth, [points], number)
        else:
            cv2.circle(truth, points[0].tolist(), int(rng.integers(1, 20)), number, int(rng.choice([-1, 1, 3])))
    return truth


# ------------------------------------------------------------------------------------------------ windows


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 120), st.integers(1, 120), tilings())
def test_windows_cover_every_pixel_and_overlap_as_asked(width, height, tiling_px):
    tile, overlap = tiling_px
    boxes = tiling.windows((width, height), tile, overlap)
    seen = np.zeros((height, width), int)
    for x0, y0, x1, y1 in boxes:
        assert (x1 - x0, y1 - y0) == (min(tile, width), min(tile, height))
        assert min(x0, y0) >= 0
        seen[y0:y1, x0:x1] += 1
    assert seen.min() == 1 if overlap == 0 else seen.min() >= 1
    assert seen.shape == (height, width)
    for axis in range(2):
        starts = sorted({box[axis] for box in boxes})
        assert all(a + tile - b >= overlap for a, b in zip(starts, starts[1:], strict=False))
        assert len(starts) == max(1, -(-((width, height)[axis] - overlap) // (tile - overlap)))  # no window too many
    assert len(set(boxes)) == len(boxes)
    assert boxes[-1][2:] == (width, height)


@pytest.mark.parametrize(("size", "tile", "overlap"), [((9, 9), 4, 4), ((9, 9), 0, 0), ((9, 9), 4, -1), ((0, 9), 4, 1)])
def test_impossible_windows_are_refused(size, tile, overlap):
    with pytest.raises(ValueError, match="expected"):
        tiling.windows(size, tile, overlap)


def test_a_photo_smaller_than_the_tile_is_one_window():
    assert tiling.windows((30, 20), 64, 16) == [(0, 0, 30, 20)]


# ------------------------------------------------------------------------------------------------ instances


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 90), st.integers(1, 90), st.integers(0, 12), tilings(1, step=12))
def test_objects_come_back_whole_none_lost_or_doubled(seed, width, height, objects, tiling_px):
    truth = random_map(seed, (width, height), objects)
    found = tiling.predict_tiled(from_crop, as_image(truth), *tiling_px)
    assert same(found, whole(truth))
    assert all(instance.score == pytest.approx(0.9) for instance in found)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**20), st.floats(0.2, 0.7), tilings(1, most=16, step=5))
@example(seed=3, share=0.5, tiling_px=(4, 1))
def test_even_mazes_come_back_whole(seed, share, tiling_px):
    truth = (np.random.default_rng(seed).random((30, 34)) < share).astype(np.uint8)
    assert same(tiling.predict_tiled(from_crop, as_image(truth), *tiling_px), whole(truth))


def letters() -> dict[str, np.ndarray]:
    u = np.zeros((60, 60), np.uint8)
    u[5:55, 10:20] = u[5:55, 40:50] = u[45:55, 10:50] = 1
    square = np.zeros((60, 60), np.uint8)
    square[20:40, 20:40] = 1
    ring = np.zeros((60, 60), np.uint8)
    cv2.circle(ring, (30, 30), 25, 1, 2)
    neighbours = np.zeros((60, 60), np.uint8)
    neighbours[:, 5:30], neighbours[:, 30:58] = 1, 2
    return {"U": u, "across four windows": square, "ring": ring, "touching": neighbours}


@pytest.mark.parametrize("name", letters())
@pytest.mark.parametrize("turns", range(4))
def test_shapes_that_windows_cut_in_pieces(name, turns):
    truth = np.rot90(letters()[name], turns).copy()
    found = tiling.predict_tiled(from_crop, as_image(truth), 35, 10)
    assert len(tiling.windows((60, 60), 35, 10)) == 4
    assert same(found, whole(truth))
    assert len(found) == (2 if name == "touching" else 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**20))
def test_neighbours_stay_apart_though_each_window_draws_them_a_little_differently(seed):
    rng = np.random.default_rng(seed)
    truth = np.zeros((120, 120), np.uint8)
    for number in range(9):
        x, y = 20 + 40 * (number % 3), 20 + 40 * (number // 3)
        cv2.ellipse(truth, (x, y), (int(rng.integers(14, 19)), int(rng.integers(14, 19))), 0, 0, 360, number + 1, -1)

    def sloppy(crop):
        numbers = crop[..., 0]
        kernel = np.ones((3, 3), np.uint8)
        drawn = []
        for number in np.unique(numbers[numbers > 0]):
            mask = (numbers == number).astype(np.uint8)
            mask = [cv2.erode, cv2.dilate, lambda m, _: m][rng.integers(3)](mask, kernel)
            if mask.any():
                drawn.append(masks.instance_from_mask("coral", mask > 0, score=float(rng.uniform(0.5, 1))))
        return drawn

    found = tiling.predict_tiled(sloppy, as_image(truth), 64, 24)
    expected = whole(truth)
    assert len(expected) == 9
    best = [max(found, key=lambda f, e=e: masks.iou(e, f)) for e in expected]
    assert min(masks.iou(e, f) for e, f in zip(expected, best, strict=True)) > 0.75
    assert len({id(instance) for instance in best}) == 9
    assert sum(instance.area_px for instance in found if not any(instance is b for b in best)) <= 9 * 24


def boxed(label: str, x0: int, y0: int, x1: int, y1: int, score: float = 1.0, **attributes: str) -> Instance:
    return Instance(label, (x0, y0, x1, y1), np.ones((y1 - y0, x1 - x0), bool), score, attributes)


LEFT, RIGHT = (0, 0, 60, 50), (40, 0, 100, 50)


def test_score_is_weighted_by_area_and_attributes_come_from_the_largest():
    pieces = [
        (LEFT, [boxed("a", 20, 0, 60, 10, 0.5, form="big")]),
        (RIGHT, [boxed("a", 40, 0, 50, 10, 0.9, form="small")]),
    ]
    (joined,) = tiling.merge_instances(pieces, (100, 50))
    assert joined.score == pytest.approx((400 * 0.5 + 100 * 0.9) / 500)
    assert joined.attributes == {"form": "big"}
    assert joined.xyxy_px == (20, 0, 60, 10)


def test_other_labels_are_never_joined():
    pieces = [(LEFT, [boxed("a", 20, 0, 60, 10)]), (RIGHT, [boxed("b", 40, 0, 80, 10)])]
    assert len(tiling.merge_instances(pieces, (100, 50))) == 2


def test_boxes_that_overlap_do_not_join_masks_that_do_not():
    upper, lower = np.triu(np.ones((20, 20), bool), 1), np.tril(np.ones((20, 20), bool), -1)
    pieces = [(LEFT, [Instance("a", (40, 0, 60, 20), upper)]), (RIGHT, [Instance("a", (40, 0, 60, 20), lower)])]
    assert len(tiling.merge_instances(pieces, (100, 50))) == 2


def test_a_sliver_over_a_neighbour_joins_nothing():
    pieces = [(LEFT, [boxed("a", 0, 0, 41, 30)]), (RIGHT, [boxed("a", 40, 0, 100, 30)])]
    assert len(tiling.merge_instances(pieces, (100, 50))) == 2


def test_instances_of_one_window_are_never_joined_with_each_other():
    found = [boxed("a", 0, 0, 20, 20), boxed("a", 5, 0, 25, 20)]
    assert len(tiling.merge_instances([(LEFT, found)], (100, 50))) == 2


def test_nothing_found():
    assert tiling.merge_instances([], (10, 10)) == []
    assert tiling.predict_tiled(lambda crop: [], np.zeros((50, 50, 3), np.uint8), 20, 5) == []


def test_best_first_and_inside_the_photo():
    def loose(crop):
        return [boxed("low", -5, -5, 5, 5, 0.2), boxed("high", 10, 10, 500, 500, 0.8), boxed("out", 600, 0, 700, 9)]

    found = tiling.predict_tiled(loose, np.zeros((30, 40, 3), np.uint8), 64, 8)
    assert [(i.label, i.xyxy_px) for i in found] == [("high", (10, 10, 40, 30)), ("low", (0, 0, 5, 5))]


# ------------------------------------------------------------------------------------------------ dense maps

CLASSES = ("sand", "coral", "algae")


def one_hot(crop: np.ndarray) -> np.ndarray:
    return (crop[None, ..., 0] == np.arange(3)[:, None, None]).astype(np.float32)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 70), st.integers(1, 70), tilings(step=6))
def test_a_local_predictor_gives_what_it_gives_without_windows(seed, width, height, tiling_px):
    truth = np.random.default_rng(seed).integers(0, 3, (height, width), np.uint8)
    found = tiling.blend_dense(one_hot, as_image(truth), CLASSES, *tiling_px)
    assert np.array_equal(found.index, truth)
    assert found.labels == CLASSES


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 60), st.integers(1, 60), tilings(step=6))
def test_bands_give_what_the_whole_frame_gives(seed, width, height, tiling_px):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)

    def predict(crop):  # depends on where the crop lies, as a network does
        return np.random.default_rng(int(crop.sum())).random((3, *crop.shape[:2]))

    total = np.zeros((3, height, width))
    for x0, y0, x1, y1 in tiling.windows((width, height), *tiling_px):
        down, across = (np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in (y1 - y0, x1 - x0))
        total[:, y0:y1, x0:x1] += predict(image[y0:y1, x0:x1]) * down[:, None] * across
    found = tiling.blend_dense(predict, image, CLASSES, *tiling_px).index
    ranked = np.sort(total, axis=0)
    clear = ranked[-1] - ranked[-2] > 1e-5
    assert np.array_equal(found[clear], total.argmax(axis=0)[clear])


def test_the_middle_of_a_window_counts_more_than_its_border():
    def border_is_wrong(crop):
        right = np.ones(crop.shape[:2], np.float32)
        right[:8], right[-8:] = 0, 0
        return np.stack([1 - right, right])

    found = tiling.blend_dense(border_is_wrong, np.zeros((100, 30, 3), np.uint8), ("wrong", "right"), 40, 20).index
    assert (found[8:92] == 1).all()


def test_scores_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected \[3, 10, 10\]"):
        tiling.blend_dense(lambda crop: np.zeros((3, 5, 5)), np.zeros((20, 20, 3), np.uint8), CLASSES, 10, 2)


# ------------------------------------------------------------------------------------------------ memory


def peak_bytes(work) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_joining_on_a_huge_photo_needs_no_frame():
    boxes = tiling.windows((20_000, 20_000), 1000, 200)
    per_window = [(box, [boxed("a", box[0] + 10, box[1] + 10, box[0] + 40, box[1] + 40)]) for box in boxes]
    assert peak_bytes(lambda: tiling.merge_instances(per_window, (20_000, 20_000))) < 4_000_000


def test_blending_holds_a_band_and_not_the_frame():
    image = np.zeros((6000, 200, 3), np.uint8)
    frame_of_scores = 4 * 3 * 6000 * 200
    assert peak_bytes(lambda: tiling.blend_dense(one_hot, image, CLASSES, 200, 50)) < frame_of_scores / 3
