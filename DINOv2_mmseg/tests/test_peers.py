from __future__ import annotations

import cv2
import numpy as np
import pytest

from DINOv2_mmseg import peers


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few trees, small pictures."""
    for name, value in (("TREES", 60), ("INNER_TREES", 10), ("WORK_PX", 240)):
        monkeypatch.setattr(peers, name, value)


def scene(seed: int, side: int = 240) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Left: fine stripes; right: the same gray without texture, over a red band at the bottom; and 24 points."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side, 3), 120, np.uint8)
    image[:, : side // 2] += (((np.arange(side // 2) // 3) % 2) * 60).astype(np.uint8)[None, :, None]
    image[2 * side // 3 :] = (200, 60, 50)
    image = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    xy = rng.uniform(0, side, (24, 2))
    red, left = xy[:, 1] > 2 * side / 3, xy[:, 0] < side / 2
    labels = np.where(red, "red", np.where(left, "striped", "plain"))
    return image, xy, labels.tolist()


def test_the_forest_tells_colour_and_texture_apart_in_a_photo_that_it_never_saw() -> None:
    scenes = [scene(seed) for seed in range(4)]
    rows = np.concatenate([peers.features(image, xy) for image, xy, _ in scenes[:3]])
    labels = [label for _, _, own in scenes[:3] for label in own]
    photos = [str(number) for number, (_, _, own) in enumerate(scenes[:3]) for _ in own]
    fitted = peers.forest(rows, labels, photos, jobs=1)
    assert len(fitted.inner_accuracy) == len(peers.SETTINGS)
    assert fitted.settings == peers.SETTINGS[int(np.argmax(fitted.inner_accuracy))]
    image, xy, known = scenes[3]
    right = np.mean([a == b for a, b in zip(fitted.predict(peers.features(image, xy)), known, strict=True)])
    assert right > 0.85
    assert fitted.predict(np.zeros((0, rows.shape[1]), np.float32)) == []


def test_features_are_relative_to_the_photo_and_not_to_its_pixels() -> None:
    image, xy, _ = scene(0, 480)
    half = cv2.resize(image, (240, 240), interpolation=cv2.INTER_AREA)
    whole, small = peers.features(image, xy), peers.features(half, xy / 2)
    assert whole.dtype == np.float32
    assert whole.shape == small.shape == (24, whole.shape[1])
    assert np.isfinite(whole).all()
    alike = np.abs(whole[:, :6] - small[:, :6]).max()  # mean and spread of RGB in the smallest window
    assert alike < 0.05


@pytest.mark.parametrize("size_wh", [(1, 1), (400, 3), (3, 400)])
def test_features_of_odd_photos(size_wh: tuple[int, int]) -> None:
    image = np.full((*size_wh[::-1], 3), 90, np.uint8)
    found = peers.features(image, [(0, 0), size_wh])
    assert np.isfinite(found).all()
    assert peers.features(image, np.zeros((0, 2))).shape == (0, found.shape[1])


def test_points_outside_the_photo_are_refused() -> None:
    with pytest.raises(ValueError, match="outside the photo of 4 x 3"):
        peers.features(np.zeros((3, 4, 3), np.uint8), [(4.5, 1.0)])


def test_the_commonest_class_and_the_first_of_several() -> None:
    assert peers.majority(["b", "a", "b"]) == "b"
    assert peers.majority(["b", "a"]) == "a"
    with pytest.raises(ValueError, match="no label"):
        peers.majority([])


def test_one_photo_leaves_nothing_to_choose_by() -> None:
    rows = np.eye(4, dtype=np.float32)
    fitted = peers.forest(rows, ["a", "b", "a", "b"], ["x"] * 4, jobs=1)
    assert fitted.inner_accuracy == ()
    assert fitted.settings == peers.SETTINGS[0]
    with pytest.raises(ValueError, match="expected N of each"):
        peers.forest(rows, ["a"], ["x"] * 4)
