from __future__ import annotations

import numpy as np
import pytest

from grid_inpainting import lpips, metrics


def pictures(shape: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, (*shape, 3), np.uint8)
    noisy = np.clip(truth + rng.normal(0, 12, truth.shape), 0, 255).astype(np.uint8)
    return noisy, truth


def plain_ssim(picture: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The formula of Wang et al., channel by channel."""
    from scipy.ndimage import gaussian_filter

    maps = []
    for channel in range(3):
        x, y = (each[..., channel].astype(np.float64) for each in (picture, truth))

        def mean(values: np.ndarray) -> np.ndarray:
            return gaussian_filter(values, 1.5, truncate=3.5)

        mx, my = mean(x), mean(y)
        vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        maps.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return np.mean(maps, axis=0)


@pytest.mark.parametrize("shape", [(70, 90), (11, 11), (7, 40)])
def test_figures_are_those_of_the_formulas(shape: tuple[int, int]) -> None:
    picture, truth = pictures(shape)
    region = np.random.default_rng(1).random(shape) < 0.2
    region[-1, -1] = True
    [found] = metrics.measure(picture, truth, region)
    assert found is not None
    mse = np.mean((picture[region].astype(float) - truth[region]) ** 2)
    assert found.pixels == region.sum()
    assert found.psnr_db == pytest.approx(10 * np.log10(255**2 / mse))
    assert found.ssim == pytest.approx(plain_ssim(picture, truth)[region].mean(), abs=1e-9)


def test_ssim_is_that_of_scikit_image() -> None:
    skimage = pytest.importorskip("skimage.metrics")
    picture, truth = pictures((60, 80), 2)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, full = skimage.structural_similarity(picture, truth, full=True, channel_axis=2, data_range=255, **options)
    np.testing.assert_allclose(metrics.ssim_map(picture, truth), full.mean(2), atol=1e-9)


@pytest.mark.parametrize("tile", [16, 37, 64])
def test_tiles_give_what_the_whole_gives(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, truth = pictures((129, 150))
    region = np.zeros((129, 150), bool)
    region[5:40, 100:] = region[120:, :30] = region[128] = True
    [whole] = metrics.measure(picture, truth, region)
    monkeypatch.setattr(metrics, "TILE_PX", tile)
    [tiled] = metrics.measure(picture, truth, region)
    assert whole is not None
    assert tiled is not None
    assert tiled.pixels == whole.pixels
    assert tiled.squared_error == pytest.approx(whole.squared_error)
    assert tiled.ssim == pytest.approx(whole.ssim, abs=1e-9)


def test_equal_pictures_and_empty_regions() -> None:
    _, truth = pictures((30, 40))
    same, nothing = metrics.measure(truth, truth, np.ones((30, 40), bool), np.zeros((30, 40), bool))
    assert same is not None
    assert same.psnr_db == metrics.MOST_DB
    assert same.ssim == pytest.approx(1)
    assert nothing is None
    with pytest.raises(ValueError, match="expected"):
        metrics.measure(truth, truth[:20], np.ones((30, 40), bool))
    with pytest.raises(ValueError, match="at least one"):
        metrics.measure(truth, truth)


def test_the_band_is_all_within_reach() -> None:
    mask = np.zeros((40, 60), bool)
    assert not metrics.near(mask, 8).any()
    mask[10, 20] = mask[39, 59] = True
    y, x = np.mgrid[:40, :60]
    wanted = (np.hypot(y - 10, x - 20) <= 8) | (np.hypot(y - 39, x - 59) <= 8)
    np.testing.assert_array_equal(metrics.near(mask, 8), wanted)


def test_pooled_figures_count_pixels_and_means_count_photos() -> None:
    small, large = metrics.Quality(10, 10 * 100.0, 0.5), metrics.Quality(90, 90 * 400.0, 0.9)
    told = metrics.overall([small, large])
    assert told["psnr_db"] == pytest.approx((metrics.psnr_db(100) + metrics.psnr_db(400)) / 2, abs=1e-5)
    assert told["psnr_db_pooled"] == pytest.approx(metrics.psnr_db(370), abs=1e-5)
    assert told["ssim"] == pytest.approx(0.7)
    assert told["ssim_pooled"] == pytest.approx(0.86)
    assert set(metrics.overall([]).values()) == {None}


def test_lpips_is_the_mean_of_the_tiles_that_are_touched() -> None:
    truth = np.zeros((300, 600, 3), np.uint8)
    picture = truth.copy()
    picture[:, 300:344] = 255
    region = np.zeros((300, 600), bool)
    region[0, 0] = region[0, 599] = True
    seen = []

    def distance(these: np.ndarray, those: np.ndarray) -> float:
        seen.extend(these)
        return float(np.abs(these - those).mean())

    assert lpips.measure(picture, truth, region, distance) == pytest.approx(0.0)
    assert [tile.shape for tile in seen] == [(3, 256, 256)] * 2
    region[299, 310] = True
    assert lpips.measure(picture, truth, region, distance) == pytest.approx(44 / 256 / 3)
    assert lpips.measure(picture, truth, np.zeros_like(region), distance) is None
    assert lpips.measure(picture[:50], truth[:50], region[:50], distance) is None


def test_lpips_without_weights_says_where_to_put_them(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert lpips.load() is None
    [line] = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "hub" / "checkpoints" / lpips.WEIGHTS) in line
