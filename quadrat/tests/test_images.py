from __future__ import annotations

import contextlib
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from quadrat import images
from quadrat.images import ImageError


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    """Smooth, so that lossy formats stay close, and different at every corner."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], 2).astype(np.uint8)


def saved(image: Image.Image, fmt: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def header_bomb(width: int, height: int) -> bytes:
    """A PNG of some 100 bytes that claims to be huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "TIFF", "BMP", "WEBP"])
def test_every_format_gives_the_same_picture(fmt):
    options = {"quality": 95} if fmt in ("JPEG", "WEBP") else {}
    decoded = images.decode(saved(Image.fromarray(picture()), fmt, **options))
    assert decoded.dtype == np.uint8
    assert decoded.shape == (40, 60, 3)
    assert decoded.flags.c_contiguous
    assert np.abs(decoded.astype(int) - picture()).mean() < 4


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "P", "1", "YCbCr"])
def test_every_colour_mode_gives_what_a_person_sees(mode):
    image = Image.fromarray(picture()).convert(mode)
    fmt = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "PNG")
    decoded = images.decode(saved(image, fmt))
    assert np.abs(decoded.astype(int) - np.asarray(image.convert("RGB"))).mean() < 6


def test_transparent_pixels_lie_on_white():
    pixels = np.dstack([picture(), np.zeros((40, 60), np.uint8)])
    pixels[:20, :, 3] = 255
    decoded = images.decode(saved(Image.fromarray(pixels, "RGBA"), "PNG"))
    assert (decoded[20:] == 255).all()
    assert (decoded[:20] == picture()[:20]).all()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_scaled_not_cut(suffix, channels):
    wide = (picture().astype(np.uint16) * 257)[..., :channels]
    _, data = cv2.imencode(suffix, wide[..., ::-1] if channels == 3 else wide)
    decoded = images.decode(data.tobytes())
    expected = picture() if channels == 3 else np.repeat(picture()[..., :1], 3, 2)
    assert np.abs(decoded.astype(int) - expected).max() <= 1


def test_floating_point_tiff_is_stretched():
    values = np.linspace(-3, 5, 2400, dtype=np.float32).reshape(40, 60)
    decoded = images.decode(saved(Image.fromarray(values), "TIFF"))
    assert decoded.min() == 0
    assert decoded.max() == 255


def test_first_picture_of_an_animation_counts():
    frames = [Image.fromarray(np.full((20, 30, 3), value, np.uint8)) for value in (40, 200)]
    for fmt in ("GIF", "WEBP"):
        decoded = images.decode(saved(frames[0], fmt, save_all=True, append_images=frames[1:]))
        assert decoded.shape == (20, 30, 3)
        assert abs(int(decoded.mean()) - 40) < 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["JPEG", "PNG"])
def test_exif_orientation_is_applied_as_pillow_does(tmp_path, orientation, fmt):
    image = Image.fromarray(picture())
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(image, fmt, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    decoded = images.decode(data)
    assert np.abs(decoded.astype(int) - expected).max() <= 8  # two JPEG decoders
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    assert images.read_size_wh(path) == (decoded.shape[1], decoded.shape[0])


def test_nonsense_orientation_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 77
    assert images.decode(saved(Image.fromarray(picture()), "JPEG", exif=exif)).shape == (40, 60, 3)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "TIFF", "WEBP"])
@given(share=st.floats(0.0, 0.8))
def test_truncated_bytes_give_the_one_error(fmt, share):
    data = saved(Image.fromarray(picture()), fmt)
    with pytest.raises(ImageError):
        images.decode(data[: int(len(data) * share)])


@given(st.binary(max_size=200))
def test_foreign_bytes_give_the_one_error(data):
    with pytest.raises(ImageError):
        images.decode(data)


@given(st.data())
def test_damaged_bytes_decode_or_give_the_one_error(data):
    raw = bytearray(saved(Image.fromarray(picture()), data.draw(st.sampled_from(["JPEG", "PNG", "TIFF", "GIF"]))))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):
        assert images.decode(bytes(raw), max_pixels=10**6).dtype == np.uint8


def test_sizes_are_bounded_before_decoding(tmp_path):
    with pytest.raises(ImageError, match="at most 100000000 px"):
        images.decode(header_bomb(20_000, 20_000))
    with pytest.raises(ImageError, match="bytes"):
        images.decode(bytes(100), max_bytes=99)
    with pytest.raises(ImageError, match="60 x 40 px"):
        images.decode(images.encode_png(picture()), max_pixels=2399)
    path = tmp_path / "large.png"
    path.write_bytes(header_bomb(20_000, 20_000))
    with pytest.raises(ImageError, match=r"large\.png: the photo is too large"):
        images.read_size_wh(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"no\.jpg"):
        images.read(tmp_path / "no.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_write_and_read(tmp_path, suffix):
    path = tmp_path / f"photo{suffix}"
    images.write(path, picture())
    assert np.abs(images.read(path).astype(int) - picture()).mean() < 3
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # no temporary file is left
    with pytest.raises(ImageError, match="expected .jpg"):
        images.write(tmp_path / "photo.xyz", picture())


def test_one_pixel():
    assert images.decode(images.encode_png(np.zeros((1, 1, 3), np.uint8))).shape == (1, 1, 3)


def test_list_photos(tmp_path):
    for name in ("b.JPG", "sub/a.png", "notes.txt", ".hidden/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.name for p in images.list_photos(tmp_path)] == ["b.JPG", "a.png"]
    assert images.list_photos(tmp_path / "b.JPG") == [tmp_path / "b.JPG"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no photo in it"):
        images.list_photos(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="no such"):
        images.list_photos(tmp_path / "absent")


MARKED = np.zeros((40, 60), np.bool_)
MARKED[5:20, 7:9] = True


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_mask_is_what_is_above_0_whatever_the_mode(mode):
    wide = mode == "I;16"
    marks = MARKED.astype(np.uint16 if wide else np.uint8) * (255 if mode == "1" else 1)
    image = Image.fromarray(marks)
    data = saved(image if wide else image.convert(mode), "PNG")
    assert np.array_equal(images.decode_mask(data, (60, 40)), MARKED)


def test_transparent_pixels_are_outside_of_a_mask():
    pixels = np.dstack([np.full((40, 60, 3), 255, np.uint8), MARKED.astype(np.uint8) * 9])
    assert np.array_equal(images.decode_mask(saved(Image.fromarray(pixels), "PNG"), (60, 40)), MARKED)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (saved(Image.fromarray(MARKED), "PNG"), "the mask is 60 x 40 px: expected 40 x 60 px"),
        (header_bomb(9000, 9000), "the mask is 9000 x 9000 px"),
        (saved(Image.fromarray(picture()), "JPEG"), "JPEG file: expected a PNG"),
        (saved(Image.fromarray(picture(60, 40)), "PNG")[:200], "cut short"),
        (b"text", "no photo"),
    ],
)
def test_a_mask_that_does_not_belong_to_the_photo_is_refused(data, word):
    with pytest.raises(ImageError, match=word):
        images.decode_mask(data, (40, 60))
