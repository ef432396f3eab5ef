from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms

from quadrat import images, metadata
from quadrat.metadata import Metadata

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
BASE, GPS, CAMERA = ExifTags.Base, ExifTags.IFD.GPSInfo, ExifTags.IFD.Exif
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 4, y * 6, (x + y) * 2], 2).astype(np.uint8)


def saved(fmt: str, mode: str = "RGB", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture()).convert(mode).save(buffer, fmt, **options)
    return buffer.getvalue()


def tags(orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[BASE.Make], exif[BASE.DateTime], exif[BASE.Orientation] = "A maker", "2026:11:20 10:00:00", orientation
    exif.get_ifd(CAMERA).update({BASE.ExifImageWidth: 60, BASE.ExifImageHeight: 40, BASE.FNumber: 2.8})
    exif.get_ifd(GPS).update({1: "S", 2: (17.0, 29.0, 41.5), 3: "W", 4: (149.0, 50.0, 0.0)})
    return exif


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("suffix", [".jpg", "jpeg", "PNG"])
def test_exif_goes_along_upright(fmt, suffix):
    along = metadata.read(saved(fmt, exif=tags().tobytes()))
    assert along.warnings == ()
    image_rgb = np.rot90(picture(), -1)
    exif = opened(metadata.encode(image_rgb, suffix, along)).getexif()
    assert (exif[BASE.Make], exif[BASE.Orientation]) == ("A maker", 1)
    assert exif.get_ifd(GPS) == tags().get_ifd(GPS)
    camera = exif.get_ifd(CAMERA)
    assert (camera[BASE.ExifImageWidth], camera[BASE.ExifImageHeight], float(camera[BASE.FNumber])) == (40, 60, 2.8)
    assert np.array_equal(images.decode(metadata.encode(image_rgb, "png", along)), image_rgb)


def test_an_upright_photo_keeps_its_exif_byte_for_byte():
    for order in ("little", "big"):
        exif = tags(1)
        exif.endian = "<" if order == "little" else ">"
        raw = exif.tobytes()
        along = metadata.read(saved("JPEG", exif=raw))
        assert along.exif == raw.removeprefix(b"Exif\0\0")
        assert opened(metadata.encode(picture(), ".jpg", along)).info["exif"] == raw


def test_the_thumbnail_does_not_go_along():
    """It would show the strings."""
    raw = bytearray(tags().tobytes())
    order = "<" if raw[6:8] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}I", raw, 10)
    (count,) = struct.unpack_from(f"{order}H", raw, 6 + first)
    struct.pack_into(f"{order}I", raw, 6 + first + 2 + 12 * count, len(raw) - 6)
    raw += struct.pack(f"{order}HHHII", 1, BASE.JpegIFOffset, 4, 1, 8) + bytes(4)
    assert opened(saved("JPEG", exif=bytes(raw))).getexif().get_ifd(ExifTags.IFD.IFD1)
    along = metadata.read(saved("JPEG", exif=bytes(raw)))
    assert not opened(metadata.encode(picture(), ".jpg", along)).getexif().get_ifd(ExifTags.IFD.IFD1)


def test_exif_behind_the_pixels_of_a_png_is_found():
    png, body = saved("PNG"), tags().tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    assert b"A maker" in metadata.read(png[:-12] + chunk + png[-12:]).exif


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("size", [0, 200_000])  # several segments of a JPEG
def test_a_profile_goes_along_byte_for_byte(fmt, suffix, size):
    icc = SRGB + np.random.default_rng(0).bytes(size)
    along = metadata.read(saved(fmt, icc_profile=icc))
    assert along.icc == icc
    written = metadata.encode(picture(), suffix, along)
    assert opened(written).info["icc_profile"] == icc
    assert metadata.read(written) == along


@pytest.mark.parametrize(
    ("icc", "word"),
    [
        (b"abc", "profile is damaged"),
        (SRGB[:16] + b"CMYK" + SRGB[20:], "is one of CMYK"),
        (SRGB[:16] + b"GRAY" + SRGB[20:], "is one of GRAY"),
        (SRGB + bytes(metadata.MAX_ICC_BYTES), "at most 4194304 go along"),
    ],
)
def test_a_profile_that_does_not_fit_is_left_out_with_a_warning(icc, word):
    along = metadata.read(saved("JPEG", icc_profile=icc))
    assert along.icc == b""
    assert word in along.warnings[0]


def damaged_exif():
    good = tags().tobytes()
    far = bytearray(good)
    struct.pack_into("<I" if good[6:8] == b"II" else ">I", far, 10, 60_000)
    return [good[:40], good[:-30], b"Exif\0\0II", b"Exif\0\0XX*\0" + good[10:], bytes(far), b"Exif\0\0nonsense"]


@pytest.mark.parametrize("exif", damaged_exif())
@pytest.mark.parametrize("fmt", ["JPEG", "PNG"])
def test_damaged_exif_is_left_out_with_a_warning(exif, fmt):
    data = saved(fmt, exif=exif)
    assert images.decode(data).shape[2] == 3
    assert metadata.read(data) == Metadata(warnings=("the EXIF data are damaged and are left out",))


def test_exif_too_large_for_a_jpeg_is_left_out_with_a_warning():
    exif = tags()
    exif[BASE.ImageDescription] = "x" * 70_000
    along = metadata.read(saved("PNG", exif=exif))
    assert along.exif == b""
    assert "at most 65527 go along" in along.warnings[0]


@given(st.data())
def test_no_exif_is_too_damaged_to_be_read_or_left_out(data):
    raw = bytearray(tags().tobytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(6, len(raw) - 1))] = data.draw(st.integers(0, 255))
    along = metadata.read(saved("PNG", exif=bytes(raw)))
    written = metadata.encode(picture(), "png", along)
    assert np.array_equal(images.decode(written), picture())


def wide(suffix: str, channels: int) -> bytes:
    pixels = (picture().astype(np.uint16) * 257)[..., :channels]
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (saved("PNG", "L"), "gray"),
        (saved("JPEG", "L"), "gray"),
        (saved("PNG", "1"), "gray"),
        (saved("PNG", "LA"), "gray and partly transparent, which is white now"),
        (saved("PNG", "RGBA"), "partly transparent, which is white now"),
        (saved("JPEG", "CMYK"), "CMYK"),
        (wide(".png", 1), "gray and of 16 bits a channel"),
        (wide(".png", 3), "of 16 bits a channel"),
        (wide(".tiff", 1), "gray and of 16 bits a channel"),
        (wide(".tiff", 3), "of 16 bits a channel"),
    ],
)
def test_a_photo_of_another_kind_is_said(data, words):
    assert metadata.read(data).warnings == (f"the photo is written as RGB of 8 bits a channel: it was {words}",)


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_a_photo_of_the_same_kind_loses_nothing(mode):
    assert metadata.read(saved("PNG", mode)) == Metadata()


def test_jpeg_is_close_and_png_is_the_same():
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert np.array_equal(images.decode(metadata.encode(noise, "png")), noise)
    assert np.abs(images.decode(metadata.encode(noise, "jpg")).astype(int) - noise).mean() < 6


def test_what_cannot_be_written_is_said():
    with pytest.raises(images.ImageError, match=r"cannot write '.gif': expected .jpg or .png"):
        metadata.encode(picture(), ".gif")
    with pytest.raises(images.ImageError, match="65500 px a side: write a PNG"):
        metadata.encode(np.zeros((1, 65_501, 3), np.uint8), "jpeg")
    with pytest.raises(images.ImageError, match="no photo"):
        metadata.read(b"text")
