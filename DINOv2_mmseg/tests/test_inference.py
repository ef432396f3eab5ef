from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from DINOv2_mmseg import dense, inference
from DINOv2_mmseg.inference import Settings
from quadrat import images, tiling
from quadrat.shapes import SemanticMap

LABELS = ("background", "red", "green")
STRIDE = 8


class Stand:
    """A small convolutional network's stand-in: means of cells, then of their neighbours, zeros beyond the border."""

    def __init__(self, stride: int = STRIDE):
        self.stride = stride
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images_rgb: np.ndarray) -> np.ndarray:
        self.shapes.append(images_rgb.shape)
        return np.stack([self.of(image) for image in images_rgb])

    def of(self, image_rgb: np.ndarray) -> np.ndarray:
        height, width = image_rgb.shape[:2]
        s = self.stride
        means = (
            image_rgb.reshape(height // s, s, width // s, s, 3).mean(axis=(1, 3), dtype=np.float64).astype(np.float32)
        )
        blurred = cv2.blur(means, (3, 3), borderType=cv2.BORDER_CONSTANT).reshape(means.shape)
        red, green = (blurred[..., i] - blurred[..., 2] for i in (0, 1))
        return np.stack([np.zeros_like(red), red, green]) / 40


def photo_of(size_wh: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Blurred noise of much colour."""
    noise = np.random.default_rng(seed).normal(120, 400, (size_wh[1], size_wh[0], 3))
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 9).reshape(noise.shape) * 1.0, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size_wh", [(96, 64), (90, 61), (128, 128), (8, 8)])
def test_one_window_is_exactly_the_whole_image(size_wh: tuple[int, int]) -> None:
    photo, stand = photo_of(size_wh), Stand()
    found = inference.segment(stand, photo, LABELS, Settings(0, 128, STRIDE))
    assert len(stand.shapes) == 1
    whole = stand.of(inference._padded(photo, STRIDE, 0))
    assert (found.scores == inference.softmax(whole)).all()
    assert (found.map.index == dense.label_map(whole, LABELS, size_wh, (STRIDE, STRIDE)).index).all()
    assert (found.cell_xy_px, found.scale) == ((STRIDE, STRIDE), 1.0)
    np.testing.assert_allclose(found.scores.sum(axis=0), 1, atol=1e-5)


def seen_at_a_rim(size_wh: tuple[int, int], window_px: int) -> np.ndarray:
    """Cells that some window has at its border, where its network misses what lies beyond; not the photo's border."""
    width, height = (side // STRIDE for side in size_wh)
    rim = np.zeros((height, width), bool)
    overlap = int(window_px * inference.OVERLAP / STRIDE) * STRIDE
    for box in tiling.windows(size_wh, window_px, overlap):
        x0, y0, x1, y1 = (side // STRIDE for side in box)
        rim[y0:y1, x0] |= x0 > 0
        rim[y0:y1, x1 - 1] |= x1 < width
        rim[y0, x0:x1] |= y0 > 0
        rim[y1 - 1, x0:x1] |= y1 < height
    return rim


def test_several_windows_agree_with_the_whole_image() -> None:
    size_wh, window_px = (208, 136), 64
    photo, stand = photo_of(size_wh), Stand()
    scores, stride = inference._windowed(stand, photo, Settings(0, window_px, STRIDE))
    assert (stride, len(stand.shapes)) == (STRIDE, len(tiling.windows(size_wh, window_px, 16)))
    whole = Stand().of(photo)
    off, rim = np.abs(scores - whole).max(axis=0), seen_at_a_rim(size_wh, window_px)
    assert 0.1 < rim.mean() < 0.6
    assert off[~rim].max() < 1e-5
    assert (
        1e-3 < off[rim].max() < 0.05 * np.ptp(whole)
    )  # the rim counts little (0.12 if it counted in full), not nothing
    cell = (STRIDE, STRIDE)
    one, other = (dense.label_map(each, LABELS, size_wh, cell).index for each in (scores, whole))
    assert (one == other).mean() > 0.98


def test_windows_in_batches_give_the_same() -> None:
    photo = photo_of((208, 136))
    one, many = (
        inference.segment(Stand(), photo, LABELS, Settings(0, 64, STRIDE, batch=batch)).scores for batch in (1, 5)
    )
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_a_uniform_photo_has_no_seams() -> None:
    def run(images_rgb: np.ndarray) -> np.ndarray:
        shape = (len(images_rgb), 3, images_rgb.shape[1] // STRIDE, images_rgb.shape[2] // STRIDE)
        return np.broadcast_to(np.array([1, 2, 3], np.float32)[:, None, None], shape)

    scores, _ = inference._windowed(run, np.zeros((136, 208, 3), np.uint8), Settings(0, 64, STRIDE))
    np.testing.assert_allclose(scores, np.broadcast_to([[[1]], [[2]], [[3]]], scores.shape), atol=1e-5)


def lopsided(images_rgb: np.ndarray) -> np.ndarray:
    """A stand-in that sees a mirrored photo otherwise: its scores come from a cell too far to the left."""
    return np.roll(Stand()(images_rgb), -1, axis=3)


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 0.5), (0.5, 1.5)])
def test_mirroring_makes_a_lopsided_network_even(scales: tuple[float, ...]) -> None:
    photo = photo_of((96, 64))
    mirrored = np.ascontiguousarray(photo[:, ::-1])
    both, single = (
        [
            inference.segment(lopsided, each, LABELS, Settings(0, 192, STRIDE, scales, flip)).scores
            for each in (photo, mirrored)
        ]
        for flip in (True, False)
    )
    np.testing.assert_allclose(both[0], both[1][..., ::-1], atol=1e-5)
    assert np.abs(single[0] - single[1][..., ::-1]).max() > 0.05


def test_scales_are_averaged_on_the_cells_of_the_first() -> None:
    photo = photo_of((96, 64))
    one, half, both = (
        inference.segment(Stand(), photo, LABELS, Settings(0, 128, STRIDE, scales))
        for scales in ((1.0,), (0.5,), (1.0, 0.5))
    )
    assert both.scores.shape == one.scores.shape
    assert (both.scale, half.scale, half.cell_xy_px) == (1.0, 0.5, (16, 16))
    enlarged = np.stack([half.probability(i, (0, 0, 96, 64)) for i in range(3)])[:, 4::8, 4::8]  # about their middles
    np.testing.assert_allclose(both.scores, (one.scores + enlarged) / 2, atol=0.03)
    assert np.abs(both.scores - one.scores).max() > 0.03


def test_the_working_scale_is_that_of_the_long_side() -> None:
    stand = Stand()
    found = inference.segment(stand, photo_of((400, 100)), LABELS, Settings(200, 256, STRIDE))
    assert (found.scale, found.size_wh, stand.shapes) == (0.5, (400, 100), [(1, 56, 200, 3)])
    assert found.cell_xy_px == (16, 16)


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 5), (7, 1), (1, 900), (3000, 4), (5, 5)])
@pytest.mark.parametrize(("work_px", "fixed"), [(0, False), (96, False), (96, True)])
def test_photos_of_any_shape_come_back_in_their_size(size_wh: tuple[int, int], work_px: int, fixed: bool) -> None:
    photo, stand = np.full((size_wh[1], size_wh[0], 3), (200, 20, 20), np.uint8), Stand()
    settings = Settings(work_px, 64, 16, fixed=fixed, tidy_px=3, flip=True)
    found = inference.segment(stand, photo, LABELS, settings)
    assert found.map.index.shape == photo.shape[:2]
    assert (found.map.index == 1).mean() > 0.9  # red
    assert np.isfinite(found.scores).all()
    if fixed:
        assert {shape[1:3] for shape in stand.shapes} == {(64, 64)}


def test_thin_photos_are_averaged_when_they_shrink() -> None:
    photo = np.zeros((4000, 1, 3), np.uint8)
    photo[::2] = 200  # bilinear sampling would find either colour
    assert set(np.unique(inference._resized(photo, (1, 400)))) <= set(range(90, 111))


def test_gray_and_large_photos_do(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "gray.png"), np.full((50, 70), 130, np.uint8))
    found = inference.segment(Stand(), images.read(tmp_path / "gray.png"), LABELS, Settings(64, 64, STRIDE))
    assert found.map.index.shape == (50, 70)
    large = np.zeros((5464, 8192, 3), np.uint8)
    large[:, 4096:] = (0, 250, 0)
    found = inference.segment(Stand(), large, LABELS, Settings(128, 64, STRIDE))
    assert found.map.index.shape == (5464, 8192)
    assert (found.map.index[:, 5000:] == 2).mean() > 0.9
    assert (found.map.index[:, :3300] == 0).all()


def test_tidying_gives_small_patches_to_their_neighbours() -> None:
    index = np.zeros((40, 60), np.uint8)
    index[:, 30:] = 1
    index[5:8, 5:8] = 2  # 9 px
    index[20:23, 40:44] = 0  # 12 px
    index[30:34, 8:12] = 2  # 16 px
    clean = inference.tidied(SemanticMap(LABELS, index), 4).index
    wanted = index.copy()
    wanted[5:8, 5:8], wanted[20:23, 40:44] = 0, 1
    assert (clean == wanted).all()
    speckled = SemanticMap(LABELS, (np.indices((6, 6)).sum(0) % 2 * 2).astype(np.uint8))
    assert (inference.tidied(speckled, 30).index == speckled.index).all()  # nothing is large enough: left alone


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"window_px": 60}, "window_px is 60: expected a multiple of the patch, 8 px"),
        ({"window_px": 0}, "window_px is 0"),
        ({"work_px": -1}, "work_px is -1"),
        ({"work_px": 10**6}, "work_px is 1000000"),
        ({"scales": ()}, "scales are"),
        ({"scales": (1.0, 50.0)}, "scales are"),
        ({"tidy_px": -2}, "tidy_px is -2"),
    ],
)
def test_unfit_settings_are_named(wrong: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Settings(**{"work_px": 0, "window_px": 64, "patch_px": STRIDE, **wrong})
