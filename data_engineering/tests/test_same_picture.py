"""Copies agree, other photos do not, whatever frame they share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_engineering import descriptors, same_picture
from quadrat import images

REAL = Path(__file__).resolve().parents[3] / "shared" / "photos" / "mcr_lter_moorea"
Change = Callable[[np.ndarray], np.ndarray]


def scene(seed: int, size_wh: tuple[int, int] = (480, 360)) -> np.ndarray:
    """Blobs of many sizes on a bright bottom, behind one and the same frame."""
    rng = np.random.default_rng(seed)
    width, height = size_wh
    picture = np.full((height, width, 3), 150, np.uint8)
    for radius in np.geomspace(60, 3, 160).astype(int):
        colour = tuple(int(value) for value in rng.integers(30, 230, 3))
        cv2.circle(picture, (int(rng.integers(width)), int(rng.integers(height))), int(radius), colour, -1)
    cv2.rectangle(picture, (40, 30), (width - 40, height - 30), (20, 20, 20), 9)
    for mark in range(60, width - 60, 25):
        cv2.line(picture, (mark, 24), (mark, 36), (240, 200, 40), 3)
    return cv2.GaussianBlur(picture, (0, 0), 1.2)


def turned(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return cv2.warpAffine(image, cv2.getRotationMatrix2D((width / 2, height / 2), 4, 1.06), (width, height))


CHANGES: dict[str, Change] = {
    "smaller": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "recompressed": lambda image: images.decode(images.encode_jpeg(image, 30)),
    "cropped": lambda image: np.ascontiguousarray(image[20:-16, 24:-20]),
    "brighter": lambda image: np.clip(image * 1.2 + 12.0, 0, 255).astype(np.uint8),
    "turned": turned,
}


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    return same_picture.agreement(same_picture.look(a), same_picture.look(b))


@pytest.mark.parametrize("change", list(CHANGES))
def test_copies_agree(change):
    for seed in range(4):
        assert agreement(scene(seed), CHANGES[change](scene(seed))) > same_picture.SAME
        assert agreement(CHANGES[change](scene(seed)), scene(seed)) > same_picture.SAME


def test_a_rectified_copy_agrees():
    corners = np.array([[40, 30], [440, 30], [440, 330], [40, 330]], np.float32)
    onto = cv2.getPerspectiveTransform(corners + np.array([[9, 5], [-12, 8], [6, -9], [-4, 3]], np.float32), corners)
    assert agreement(scene(1), cv2.warpPerspective(scene(1), onto, (480, 360))) > same_picture.SAME


def test_other_photos_with_the_same_frame_do_not_agree():
    for a in range(5):
        for b in range(a):
            assert agreement(scene(a), scene(b)) < 0.5


def test_pictures_without_detail_agree_with_nothing(tmp_path):
    flat = np.full((60, 80, 3), 90, np.uint8)
    assert agreement(flat, flat) == 0
    assert agreement(flat, scene(0)) == 0
    assert agreement(flat[:1, :1], flat) == 0


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_files_are_read_as_they_are(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    images.write(path, scene(3))
    assert same_picture.agreement(same_picture.look_at(path), same_picture.look(scene(3))) > 0.95
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=path.name):
        same_picture.look_at(path)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real photographs are not here")
def test_real_quadrats_of_one_frame():
    paths = sorted(REAL.glob("*.jpg"))[:4]
    looks = [same_picture.look_at(path) for path in paths]
    for number, (path, look) in enumerate(zip(paths, looks, strict=True)):
        assert all(same_picture.agreement(look, other) < 0.5 for other in looks[:number])
        photo = images.read(path)
        height, width = photo.shape[:2]
        cropped = np.ascontiguousarray(photo[height // 20 : -height // 12, width // 12 :])
        assert same_picture.agreement(look, same_picture.look(cropped)) > 0.9


def test_candidates_lie_in_other_splits_and_look_alike(tmp_path):
    from data_engineering import leakage

    pictures = [scene(0), scene(1), scene(2), CHANGES["smaller"](scene(0)), CHANGES["brighter"](scene(1))]
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path, picture in zip(paths, pictures, strict=True):
        images.write(path, picture)
    rows = np.array(list(descriptors.descriptors(paths)))
    found = leakage.candidates(rows, [0, 0, 0, 2, 1])
    assert {(0, 3), (1, 4)} <= set(found)
    assert all(one != other for one, other in found)
    assert not any(pair in found for pair in [(0, 1), (0, 2), (1, 2)]), "both are in train"
    assert leakage.candidates(rows, [1] * 5) == []
