"""Photos that look alike are near, others far."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data_engineering import descriptors
from quadrat import images


def scene(seed: int, side: int = 320) -> images.Rgb:
    """Blobs of some colours, as a photo has them."""
    noise = np.random.default_rng(seed).random((9, 12, 3)).astype(np.float32)
    return (255 * cv2.resize(noise, (side * 4 // 3, side), interpolation=cv2.INTER_CUBIC).clip(0, 1)).astype(np.uint8)


def written(folder: Path, name: str, image_rgb: images.Rgb, quality: int = 92) -> Path:
    images.write(folder / name, image_rgb, quality)
    return folder / name


def distance(a: Path, b: Path) -> float:
    return 1 - float(descriptors.descriptor(a) @ descriptors.descriptor(b))


def test_the_same_photo_saved_otherwise_is_near(tmp_path):
    photo = written(tmp_path, "a.jpg", scene(1))
    small = cv2.resize(scene(1), (200, 150), interpolation=cv2.INTER_AREA)
    bright = np.clip(scene(1) * 1.1, 0, 255).astype(np.uint8)
    for other in (written(tmp_path, "b.jpg", scene(1), 40), written(tmp_path, "c.png", small)):
        assert distance(photo, other) < descriptors.NEAR / 5
    assert distance(photo, written(tmp_path, "d.jpg", bright)) < descriptors.NEAR


def test_other_photos_are_far(tmp_path):
    rows = list(descriptors.descriptors([written(tmp_path, f"{k}.jpg", scene(k)) for k in range(6)]))
    near = 1 - np.array(rows) @ np.array(rows).T + np.eye(6)
    assert near.min() > 2 * descriptors.NEAR


def test_rows_are_in_order_and_of_length_1(tmp_path):
    paths = [written(tmp_path, f"{k}.jpg", scene(k)) for k in range(40)]  # more than are taken at a time
    rows = list(descriptors.descriptors(paths))
    for path, row in zip(paths, rows, strict=True):
        assert row.shape == (descriptors.SIZE,)
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)
        assert row == pytest.approx(descriptors.descriptor(path))


def test_an_exif_turned_photo_is_described_as_it_is_seen(tmp_path):
    upright = written(tmp_path, "a.jpg", scene(2))
    turned = Image.fromarray(np.rot90(scene(2)))  # to the left; EXIF says: turn it to the right
    exif = Image.Exif()
    exif[274] = 6
    turned.save(tmp_path / "b.jpg", exif=exif, quality=92)
    assert distance(upright, tmp_path / "b.jpg") < 0.01


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "I;16", "P"])
def test_every_colour_mode_is_described(tmp_path, mode):
    gray = cv2.cvtColor(scene(3), cv2.COLOR_RGB2GRAY)
    image = Image.fromarray(gray.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(scene(3)).convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    assert np.isfinite(descriptors.descriptor(path)).all()


def test_a_photo_of_one_colour_is_described(tmp_path):
    path = written(tmp_path, "a.png", np.zeros((30, 40, 3), np.uint8))
    assert np.linalg.norm(descriptors.descriptor(path)) == pytest.approx(1, abs=1e-5)


def test_what_is_no_photo_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    with pytest.raises(images.ImageError, match="a.jpg"):
        descriptors.descriptor(tmp_path / "a.jpg")
    with pytest.raises(images.ImageError, match="gone.jpg"):
        list(descriptors.descriptors([tmp_path / "gone.jpg"]))
