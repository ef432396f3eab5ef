from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from DINOv2_mmseg import dense, inference
from DINOv2_mmseg.dense import Dense
from quadrat.shapes import SemanticMap

LABELS = ("a", "b", "c", "d", "e")


def scores_of(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(LABELS), *shape)).astype(np.float32)


def enlarged(scores: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """By torch: float64, so that ties are none of its rounding."""
    given = torch.from_numpy(scores).double()[None]
    return functional.interpolate(given, size=size_wh[::-1], mode="bilinear", align_corners=False)[0].numpy()


def assert_winners(found: np.ndarray, wanted: np.ndarray) -> None:
    """Where another class is named, it is as likely up to rounding, and that is rare."""
    other = found != wanted.argmax(axis=0)
    assert other.mean() < 1e-3
    chosen = np.take_along_axis(wanted, found[None].astype(int), axis=0)[0]
    assert (wanted.max(axis=0) - chosen <= 1e-5).all()


@pytest.mark.parametrize(
    ("cells_hw", "size_wh"),
    [((7, 9), (101, 83)), ((5, 4), (61, 37)), ((1, 1), (9, 5)), ((1, 6), (6, 1)), ((13, 20), (700, 530))],
)
def test_the_map_is_torchs_interpolation_and_argmax(cells_hw: tuple[int, int], size_wh: tuple[int, int]) -> None:
    scores = scores_of(cells_hw)
    cell = size_wh[0] / cells_hw[1], size_wh[1] / cells_hw[0]  # 11.2 px and so on
    found = dense.label_map(scores, LABELS, size_wh, cell)
    assert (found.labels, found.index.dtype, found.index.shape) == (LABELS, np.uint8, size_wh[::-1])
    assert_winners(found.index, enlarged(scores, size_wh))


def test_cells_beyond_the_photo_are_cut_off() -> None:
    scores = scores_of((6, 8))
    found = dense.label_map(scores, LABELS, (101, 70), (14.0, 14.0))  # the grid covers 112 x 84
    assert_winners(found.index, enlarged(scores, (112, 84))[:, :70, :101])


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = scores_of((9, 11))
    whole = dense.label_map(scores, LABELS, (130, 100), (130 / 11, 100 / 9))
    monkeypatch.setattr(dense, "BLOCK_PX", 17)
    pieces = dense.label_map(scores, LABELS, (130, 100), (130 / 11, 100 / 9))
    assert (pieces.index == whole.index).all()


def test_classes_that_cannot_win_are_left_out_and_others_are_not() -> None:
    scores = scores_of((4, 4))
    scores[2] -= 100
    scores[3] += 100
    assert dense._can_win(scores) == [3]
    even = np.zeros((3, 4, 4), np.float32)
    assert dense._can_win(even) == [0, 1, 2]
    assert (dense.label_map(even, LABELS[:3], (8, 8), (2, 2)).index == 0).all()  # of equal ones the first, as argmax


@pytest.mark.parametrize("box", [(0, 0, 101, 83), (17, 5, 64, 50), (100, 82, 101, 83), (0, 0, 1, 1)])
def test_a_probability_is_torchs_interpolation(box: tuple[int, int, int, int]) -> None:
    size_wh, scores = (101, 83), inference.softmax(scores_of((7, 9)))
    index = np.zeros(size_wh[::-1], np.uint8)
    found = Dense(SemanticMap(LABELS, index), scores, (101 / 9, 83 / 7), 0.5)
    assert found.size_wh == size_wh
    x0, y0, x1, y1 = box
    got = found.probability(2, box)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, enlarged(scores, size_wh)[2, y0:y1, x0:x1], atol=2e-6)


def line_at(x: int, size_wh: tuple[int, int], axis: int) -> np.ndarray:
    """A black photo with a white line of one px, upright (axis 1) or level (axis 0)."""
    photo = np.zeros((*size_wh[::-1], 3), np.uint8)
    photo[(slice(None), x) if axis else x] = 255
    return photo


def sees_light(stride: int):
    """A stand-in for a network: 1 against 0 for cells of `stride` px in which there is any light, else -1."""

    def run(images_rgb: np.ndarray) -> np.ndarray:
        count, height, width = images_rgb.shape[:3]
        cells = images_rgb[..., 0].reshape(count, height // stride, stride, width // stride, stride)
        light = np.where(cells.max(axis=(2, 4)) > 12, 1, -1)
        return np.stack([np.zeros_like(light), light], axis=1).astype(np.float32)

    return run


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("scale", [0.25, 0.37, 0.5, 0.77, 1.0, 1.3, 2.0])
def test_a_line_of_one_pixel_comes_back_where_it_was(scale: float, axis: int) -> None:
    size_wh, stride = (203, 97), 8
    settings = inference.Settings(round(203 * scale), 64, stride)
    for x in range(1, size_wh[1 - axis] - 1, 5):
        found = inference.segment(sees_light(stride), line_at(x, size_wh, axis), ("dark", "light"), settings)
        seen = np.flatnonzero((found.map.index == 1).any(axis=1 - axis))
        half = found.cell_xy_px[1 - axis] / 2
        assert seen.size
        assert abs((seen[0] + seen[-1] + 1) / 2 - (x + 0.5)) <= half + 1  # the map has whole pixels
        assert seen[-1] - seen[0] + 1 <= 4 * half + 2  # one cell, or two that share the line
        assert (found.map.index == 1).any(axis=axis).all()  # from border to border


def test_lines_are_not_shifted_on_average() -> None:
    """A shift of half a cell would pass above: all lines together say more."""
    size_wh, stride = (203, 40), 8
    for scale in (0.31, 1.0, 1.6):
        settings, off = inference.Settings(round(203 * scale), 96, stride), []
        for x in range(20, 180):
            found = inference.segment(sees_light(stride), line_at(x, size_wh, 1), ("dark", "light"), settings)
            seen = np.flatnonzero((found.map.index == 1).any(axis=0))
            off.append((seen[0] + seen[-1] + 1) / 2 - (x + 0.5))
        assert abs(np.mean(off)) < 0.1 * found.cell_xy_px[0]


@pytest.mark.parametrize("window_px", [256, 64])
def test_at_scale_1_and_stride_1_a_line_comes_back_exactly(window_px: int) -> None:
    for axis, x in ((1, 0), (1, 70), (1, 149), (0, 33), (0, 99)):
        photo = line_at(x, (150, 100), axis)
        found = inference.segment(sees_light(1), photo, ("dark", "light"), inference.Settings(0, window_px, 1))
        assert (found.map.index == (photo[..., 0] > 0)).all()
