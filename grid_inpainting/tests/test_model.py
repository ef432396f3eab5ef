"""Loading removers, and what they do with points, masks and bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from grid_inpainting import lama, model
from quadrat import template
from quadrat.shapes import HIDDEN, Keypoints

GRID = template.load("grid11x11")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    lama.save_torchscript(lama.Painter(lama.Generator(width=4, downsamplings=2, blocks=1), diffused=True), path)
    return path


@pytest.fixture(scope="module")
def remover() -> model.Remover:
    return model.load(backend="opencv")


def strung_photo(size: int = 480) -> tuple[np.ndarray, Keypoints]:
    """A gray photo with a white grid, and its points."""
    rng = np.random.default_rng(0)
    photo = rng.normal(90, 6, (size, size, 3)).clip(0, 255).astype(np.uint8)
    xy = 20 + GRID.uv * (size - 40)
    for place in np.unique(xy[:, 0].round(6)):
        at = round(place)
        if 20 < at < size - 20:
            photo[20 : size - 20, at - 2 : at + 2] = photo[at - 2 : at + 2, 20 : size - 20] = 235
    return photo, Keypoints("grid", GRID.names, xy)


def test_strings_between_points_are_painted_out(remover: model.Remover) -> None:
    photo, points = strung_photo()
    removed = remover.remove(photo, keypoints=points)
    assert (photo.max(2) > 200).mean() > 0.05
    assert (removed.image_rgb.max(2) > 200).mean() < 0.004
    assert np.array_equal(removed.image_rgb[~removed.mask], photo[~removed.mask])
    assert 0.05 < removed.painted_fraction < 0.35


def test_a_given_width_is_obeyed() -> None:
    photo, points = strung_photo()
    shares = [model.load(backend="opencv", line_width=w).remove(photo, keypoints=points).mask.mean() for w in (3, 9)]
    assert shares[0] < shares[1]


def test_an_empty_mask_gives_the_photo_back_with_a_warning(remover: model.Remover) -> None:
    photo, _ = strung_photo(60)
    removed = remover.remove(photo, mask=np.zeros((60, 60), bool))
    assert np.array_equal(removed.image_rgb, photo)
    assert removed.painted_fraction == 0
    assert "empty" in removed.warnings[0]


def test_a_mask_over_half_of_the_photo_is_refused_unless_forced(remover: model.Remover) -> None:
    photo, _ = strung_photo(60)
    mask = np.ones((60, 60), bool)
    mask[:25] = False
    with pytest.raises(ValueError, match=r"58% of the photo, more than 50%.*force"):
        remover.remove(photo, mask=mask)
    assert remover.remove(photo, mask=mask, force=True).mask.mean() > 0.5


def test_wide_strings_are_painted_on_a_smaller_copy_and_it_is_said(remover: model.Remover) -> None:
    photo, _ = strung_photo(480)
    mask = np.zeros((480, 480), bool)
    mask[200:260] = True
    assert "1/3 of the photo's scale" in remover.remove(photo, mask=mask).warnings[0]
    mask[206:] = False
    assert not remover.remove(photo, mask=mask).warnings


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (Keypoints("grid", tuple("abcde"), np.zeros((5, 2))), "5 points of 'grid': expected 117"),
        (Keypoints("grid", GRID.names, GRID.uv, attributes={"layout": "mine"}), "layout 'mine'"),
        (Keypoints("fish", GRID.names, GRID.uv), "117 points of 'fish'"),
        (Keypoints("grid", GRID.names, 9000 + 100 * GRID.uv), "photo"),
        (Keypoints("grid", GRID.names, 100 * GRID.uv, np.full(117, HIDDEN)), "expected at least 4"),
    ],
)
def test_points_that_do_not_fit_are_refused(remover: model.Remover, points: Keypoints, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        remover.remove(np.full((200, 200, 3), 90, np.uint8), keypoints=points)


def test_one_of_points_and_mask_is_wanted(remover: model.Remover) -> None:
    photo, points = strung_photo(60)
    for both in ({}, {"keypoints": points, "mask": np.ones((60, 60), bool)}):
        with pytest.raises(ValueError, match="either keypoints or a mask"):
            remover.remove(photo, **both)
    with pytest.raises(ValueError, match=r"expected bool\[60, 60\]"):
        remover.remove(photo, mask=np.ones((59, 60), bool))
    with pytest.raises(ValueError, match=r"expected uint8\[H, W, 3\]"):
        remover.remove(photo[..., 0], mask=np.ones((60, 60), bool))


def test_the_network_paints_only_the_hole(script: Path) -> None:
    photo, points = strung_photo(300)
    removed = model.load(script).remove(photo, keypoints=points)
    assert np.array_equal(removed.image_rgb[~removed.mask], photo[~removed.mask])
    assert not np.array_equal(removed.image_rgb[removed.mask], photo[removed.mask])


def test_weights_are_found_by_the_environment(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMA_MODEL", str(script))
    assert model.load().card.name == "tiny"
    monkeypatch.setenv("LAMA_MODEL", "/nowhere/big-lama.pt")
    with pytest.raises(FileNotFoundError, match=r"big-lama\.pt: no such weights.*LAMA_MODEL"):
        model.load()


def test_a_file_that_is_no_torchscript_is_said_at_the_start(tmp_path: Path) -> None:
    text, checkpoint, other = tmp_path / "text.pt", tmp_path / "state.pt", tmp_path / "other.pt"
    text.write_text("not a network")
    torch.save({"state_dict": {}}, checkpoint)
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), other)
    for path in (text, checkpoint):
        with pytest.raises(ValueError, match=r"is no TorchScript file.*LAMA_MODEL takes.*grid_inpainting\.convert"):
            model.load(path)
        with pytest.raises(ValueError, match="is no TorchScript file"):
            model.load(path, backend="openvino")
    with pytest.raises(ValueError, match=r"other\.pt does not paint"):
        model.load(other)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"backend": "lamma"}, "backend 'lamma'"),
        ({"precision": "f16"}, "precision 'f16'"),
        ({"line_width": 0.0}, "line_width is 0"),
        ({"line_width": float("nan")}, "line_width is nan"),
        ({"layout": "grid1x1"}, "unknown layout"),
    ],
)
def test_unfit_settings_are_refused(options: dict, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        model.load(**({"backend": "opencv"} | options))


def test_without_a_network_it_says_so(remover: model.Remover) -> None:
    assert "without a network" in remover.card.note
