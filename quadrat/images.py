"""Photographs: bytes or a path to an RGB array and back.

Whatever the file holds (gray, gray + alpha, RGBA, CMYK, palette, 16 bits a channel, an animation, an EXIF orientation),
the result is uint8 ``[H, W, 3]`` RGB as a person would see it. Sizes are bounded before anything is decoded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from quadrat.files import write_bytes

MAX_PIXELS = 100_000_000
"""The largest photo that is decoded, in pixels."""
MAX_BYTES = 48 * 2**20
"""The largest photo that is read, in encoded bytes."""
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations under which width and height change places."""
TRANSPARENT = ("LA", "PA", "RGBA", "La", "RGBa")
"""Pillow's modes with a channel of transparency."""

Rgb = NDArray[np.uint8]

_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF")
_UPRIGHT = 1
_JPEG_SIDE = 65_500  # of libjpeg


class ImageError(ValueError):
    """The bytes are not a photo that can be read; the message says what is wrong and what would do."""


def read(path: str | Path, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Rgb:
    """Read a photo from a file, see `decode`.

    Raises:
        ImageError: the file is missing, or `decode` refuses it; the message begins with the path.
    """
    path = Path(path)
    try:
        return decode(_read_bounded(path, max_bytes), max_pixels=max_pixels, max_bytes=max_bytes)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def _read_bounded(path: Path, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(max_bytes + 1)


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Rgb:
    """Decode an encoded photo.

    Args:
        data: a JPEG, PNG, TIFF, BMP, WebP or GIF file; of an animation the first picture counts.
        max_pixels: larger photos are refused by their header, before decoding.
        max_bytes: longer data are refused.

    Returns:
        uint8 ``[H, W, 3]`` RGB, C-contiguous, the EXIF orientation applied. Transparent pixels are laid on white;
        16-bit values are divided by 257, floating-point ones (TIFF) stretched from their least to their largest.

    Raises:
        ImageError: no photo, a truncated or damaged one, or one too large.
    """
    if len(data) > max_bytes:
        raise ImageError(f"the photo has over {max_bytes} bytes, the most that is accepted: save it smaller")
    if not data:
        raise ImageError("the photo is empty: expected a JPEG or PNG file")
    with opened(data, max_pixels) as image:
        orientation = _orientation(image)
        pixels = _decode_jpeg(data) if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L") else None
        if pixels is None:
            pixels = _to_rgb(image)
    return _turned(pixels, orientation)


def decode_mask(data: bytes, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode a mask that belongs to a photo.

    Args:
        data: a PNG file of any colour mode.
        size_wh: width and height in px of the photo, EXIF turned.

    Returns:
        bool ``[H, W]``: true where any colour channel is above 0 and the pixel is not wholly transparent.

    Raises:
        ImageError: no PNG, a damaged one, or one of another size, which is not decoded.
    """
    with opened(data) as image:
        if image.format != "PNG":
            raise ImageError(f"the mask is a {image.format} file: expected a PNG, which keeps every pixel as it is")
        if image.size != size_wh:
            (width, height), (w, h) = image.size, size_wh
            raise ImageError(f"the mask is {width} x {height} px: expected {w} x {h} px, as the photo is seen")
        return _above_0(image)


def _above_0(image: Image.Image) -> NDArray[np.bool_]:
    image.load()
    if image.mode not in ("1", "L", "RGB") and not image.mode.startswith("I"):  # palettes and transparency
        image = image.convert("RGBA")
    values = np.asarray(image) != 0
    if image.mode == "RGBA":
        values = values[..., :3] & values[..., 3:]
    return np.ascontiguousarray(values.any(axis=2) if values.ndim == 3 else values)


def read_size_wh(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height of a photo as `read` would give it, from its header alone.

    Raises:
        ImageError: as `read`, for what the header shows.
    """
    path = Path(path)
    try:
        with opened(path, max_pixels) as image:
            width, height = image.size
            return (height, width) if _orientation(image) in SIDEWAYS else (width, height)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


@contextmanager
def opened(source: bytes | Path, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open a photo lazily, refuse it by its size, and turn all that a decoder may throw in the block into `ImageError`.

    Args:
        source: an encoded photo, or the path of one.
        max_pixels: larger photos are refused by their header.

    Yields:
        The photo before it is decoded; valid in the block.

    Raises:
        ImageError: as `decode`.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageError(
                    f"the photo is {width} x {height} px, more than the {max_pixels} px accepted: save it smaller"
                )
            yield image
    except ImageError:
        raise
    except (UnidentifiedImageError, ImportError) as error:  # ultralytics lets Pillow ask for a reader of HEIF
        raise ImageError("these bytes are no photo: expected a JPEG, PNG, TIFF, BMP, WebP or GIF file") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"the photo is too large ({error}): at most {max_pixels} px are accepted") from error
    except FileNotFoundError as error:
        raise ImageError("there is no such file") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, EOFError, ... on bad bytes
        raise ImageError(f"the photo is damaged or cut short ({error}): save it again") from error


def _decode_jpeg(data: bytes) -> Rgb | None:
    """libjpeg-turbo, twice as fast as Pillow (`benchmarks.run quadrat`); ``None`` leaves file and error to Pillow."""
    try:
        pixels: Rgb = simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)
    except ValueError:
        return None
    return pixels


def _to_rgb(image: Image.Image) -> Rgb:
    image.seek(0)
    image.load()
    if image.mode == "F" or image.mode == "I" or image.mode.startswith("I;16"):
        return np.repeat(_to_8_bits(np.asarray(image))[..., None], 3, axis=2)
    if image.mode in TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return np.ascontiguousarray(image.convert("RGB"))


def _to_8_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """16-bit scale for integers (Pillow opens 16-bit PNG as 32-bit "I"); least to largest for floating point."""
    if np.issubdtype(values.dtype, np.floating):
        finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
        low, high = float(finite.min()), float(finite.max())
        return np.rint((finite - low) * (255 / (high - low or 1))).astype(np.uint8)
    return np.rint(np.clip(values.astype(np.float64), 0, 65535) / 257).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
    except Exception:  # a damaged EXIF block does not make the photo unreadable
        return _UPRIGHT
    return value if isinstance(value, int) and 1 <= value <= 8 else _UPRIGHT


def _turned(pixels: Rgb, orientation: int) -> Rgb:
    """Apply an EXIF orientation (1..8)."""
    if orientation in SIDEWAYS:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def encode_jpeg(image_rgb: Rgb, quality: int = 92, subsampling: str = "420") -> bytes:
    """Encode uint8 ``[H, W, 3]`` RGB as JPEG.

    Args:
        image_rgb: at most 65,500 px a side.
        quality: 1..100.
        subsampling: of the colours: ``420``, half as fine as the brightness, or ``444``, as fine.

    Raises:
        ImageError: a side is longer than JPEG files can have.
    """
    height, width = image_rgb.shape[:2]
    if max(width, height) > _JPEG_SIDE:
        raise ImageError(f"{width} x {height} px is more than a JPEG can have, {_JPEG_SIDE} px a side: write a PNG")
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image_rgb), quality, "RGB", subsampling)
    return data


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode uint8 ``[H, W, 3]`` RGB or ``[H, W]`` gray as PNG."""
    pixels = image if image.ndim == 2 else image[..., ::-1]
    ok, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    if not ok:
        raise ImageError(f"cannot encode {image.dtype}{list(image.shape)} as PNG: expected uint8[H, W] or [H, W, 3]")
    return data.tobytes()


def write(path: str | Path, image: NDArray[np.uint8], quality: int = 92) -> None:
    """Write a picture, whole or not at all; the suffix (.jpg, .jpeg, .png) says how.

    Raises:
        ImageError: another suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix in (".jpg", ".jpeg"):
        write_bytes(path, encode_jpeg(image, quality))
    elif suffix == ".png":
        write_bytes(path, encode_png(image))
    else:
        raise ImageError(f"{path}: cannot write {suffix!r}: expected .jpg or .png")


def list_photos(source: str | Path) -> list[Path]:
    """The photos of a folder and its subfolders, sorted; or the one file that is named.

    Raises:
        FileNotFoundError: no such file or folder, or no photo in it.
    """
    source = Path(source)
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: no such file or folder")
    photos = sorted(p for p in source.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and not _hidden(p, source))
    if not photos:
        raise FileNotFoundError(f"{source}: no photo in it (looked for {', '.join(IMAGE_SUFFIXES)})")
    return photos


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
