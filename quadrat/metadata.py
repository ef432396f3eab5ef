"""What goes along with a photo's pixels: EXIF and the colour profile, read from one file and put into another.

`images` turns a photo upright and makes 8-bit RGB of it. So the EXIF that goes along says "upright", has no thumbnail
(it would show the photo as it was), and is otherwise the same bytes; and a profile goes along only if it is one of RGB.
XMP, IPTC and comments do not go along.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image

from quadrat import images

MAX_EXIF_BYTES = 65_527
"""The largest EXIF that goes along: what one segment of a JPEG file holds."""
MAX_ICC_BYTES = 4 * 2**20
"""The largest colour profile that goes along."""
QUALITY = 95
"""Of JPEG: with colours as fine as the brightness (4:4:4), no change can be seen."""

_JPEG_EXIF, _JPEG_ICC = b"Exif\0\0", b"ICC_PROFILE\0"
_SEGMENT = 65_533
_DEEPEST = 8
_PNG_SIGNATURE_BYTES = 8
_PNG_DEPTH_AT = 24
_BITS_A_SAMPLE = 258
_TIFF_TAGS = (
    *(ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software),
    *(ExifTags.Base.DateTime, ExifTags.Base.Artist, ExifTags.Base.Copyright, ExifTags.Base.Orientation),
)
"""Of a TIFF file, whose other tags say how its pixels are stored."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What goes along.

    Attributes:
        exif: a TIFF block, upright, without its thumbnail; empty if there is none.
        icc: colour profile of RGB; empty if there is none.
        warnings: what of the photo is lost in an RGB file of 8 bits a channel, a sentence each.
    """

    exif: bytes = b""
    icc: bytes = b""
    warnings: tuple[str, ...] = ()


def read(data: bytes, *, max_pixels: int = images.MAX_PIXELS) -> Metadata:
    """Read what goes along with the pixels that `images.decode` gives; what is damaged is left out, with a warning.

    Args:
        data: an encoded photo.
        max_pixels: as of `images.decode`.

    Raises:
        ImageError: as `images.decode`, for what the header shows.
    """
    with images.opened(data, max_pixels) as image:
        kind = _lost_kind(image, data)
        exif, exif_fault = _exif_of(image, data)
        icc, icc_fault = _icc_of(image)
    return Metadata(exif, icc, tuple(filter(None, (kind, exif_fault, icc_fault))))


def encode(image_rgb: images.Rgb, suffix: str, metadata: Metadata | None = None, quality: int = QUALITY) -> bytes:
    """Encode a photo with what goes along.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        suffix: ``.png`` or ``png``: every pixel as it is; ``.jpg``, ``.jpeg``, ``jpg`` or ``jpeg``: 4:4:4.
        metadata: what `read` gave; ``None`` writes none.
        quality: of JPEG, 1..100.

    Raises:
        ImageError: another suffix, or too long a side for JPEG.
    """
    kind, along = suffix.lower().lstrip("."), metadata or Metadata()
    if kind == "png":
        return _with_chunks(images.encode_png(image_rgb), along)
    if kind in ("jpg", "jpeg"):
        return _with_segments(images.encode_jpeg(image_rgb, quality, "444"), along)
    raise images.ImageError(f"cannot write {suffix!r}: expected .jpg or .png")


# ------------------------------------------------------------------------------------------------ what is lost


def _lost_kind(image: Image.Image, data: bytes) -> str:
    """What of the kind of the pixels is lost, in words."""
    mode, kinds = image.mode, []
    if mode in ("1", "L", "LA", "La", "F") or mode.startswith("I"):
        kinds.append("gray")
    if mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "F") and not mode.startswith("I"):
        kinds.append(mode)
    if _bits(image, data) > _DEEPEST:
        kinds.append(f"of {_bits(image, data)} bits a channel")
    if mode in images.TRANSPARENT or "transparency" in image.info:
        kinds.append("partly transparent, which is white now")
    return f"the photo is written as RGB of 8 bits a channel: it was {' and '.join(kinds)}" if kinds else ""


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits a channel: Pillow hides those of colour files."""
    if image.format == "PNG":
        return data[_PNG_DEPTH_AT]
    if image.format == "TIFF":
        return int(np.max(image.tag_v2.get(_BITS_A_SAMPLE, 1)))  # type: ignore[attr-defined]
    return _DEEPEST


def _icc_of(image: Image.Image) -> tuple[bytes, str]:
    """The colour profile and why it is left out."""
    icc = image.info.get("icc_profile") or b""
    if not icc:
        return b"", ""
    if len(icc) > MAX_ICC_BYTES:
        return b"", f"the colour profile has {len(icc)} bytes and is left out: at most {MAX_ICC_BYTES} go along"
    if len(icc) < 128 or icc[36:40] != b"acsp":
        return b"", "the colour profile is damaged and is left out"
    if icc[16:20] != b"RGB ":
        return b"", f"the colour profile is one of {icc[16:20].decode('ascii', 'replace').strip()} and is left out"
    return icc, ""


# ------------------------------------------------------------------------------------------------ EXIF


def _exif_of(image: Image.Image, data: bytes) -> tuple[bytes, str]:
    """The EXIF that goes along and why it is left out."""
    try:
        raw = _tiff_exif(image) if image.format == "TIFF" else image.info.get("exif") or b""
        if not raw and image.format == "PNG":
            raw = next((body for kind, body in _chunks(data) if kind == b"eXIf"), b"")
        exif = _uprighted(raw.removeprefix(_JPEG_EXIF)) if raw else b""
    except Exception:  # Pillow raises whatever it meets on bad bytes; so do the readers below: struct.error, KeyError
        return b"", "the EXIF data are damaged and are left out"
    if len(exif) > MAX_EXIF_BYTES:
        return b"", f"the EXIF data have {len(exif)} bytes and are left out: at most {MAX_EXIF_BYTES} go along"
    return exif, ""


def _tiff_exif(image: Image.Image) -> bytes:
    whole, kept = image.getexif(), Image.Exif()
    for tag in _TIFF_TAGS:
        if tag in whole:
            kept[tag] = whole[tag]
    for inner in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if directory := whole.get_ifd(inner):
            kept[inner] = directory
    return kept.tobytes() if len(kept) else b""


_KIND_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_WHOLE = {1: "B", 3: "H", 4: "I", 13: "I"}
_WIDTH, _HEIGHT = ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight


@dataclass(slots=True)
class _Directory:
    """One directory of a TIFF block.

    Attributes:
        block: the whole block, changed in place.
        order: of bytes, as `struct` writes it.
        places: of each tag: format of its values and where they lie.
        end: where the offset of the next directory lies.
    """

    block: bytearray
    order: str
    places: dict[int, tuple[str, int]]
    end: int

    @classmethod
    def read(cls, block: bytearray, order: str, start: int) -> _Directory:
        """Read the directory at `start`.

        Raises:
            struct.error, ValueError, KeyError: it is damaged.
        """
        (count,) = struct.unpack_from(f"{order}H", block, start)
        places = {}
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(f"{order}HHI", block, at)
            size = _KIND_BYTES[kind] * values
            place = at + 8 if size <= 4 else struct.unpack_from(f"{order}I", block, at + 8)[0]
            if place + size > len(block) and tag != ExifTags.Base.MakerNote:  # makers count offsets as they like
                raise ValueError(f"tag {tag} lies beyond the end")
            places[tag] = (order + _WHOLE.get(kind, ""), place)
        return cls(block, order, places, start + 2 + 12 * count)

    def get(self, tag: int) -> int:
        """A whole number; 0 if it is not there."""
        code, place = self.places.get(tag, ("", 0))
        return int(struct.unpack_from(code, self.block, place)[0]) if len(code) > 1 else 0

    def put(self, tag: int, value: int) -> None:
        """Change a whole number that is there."""
        code, place = self.places.get(tag, ("", 0))
        if len(code) > 1:
            struct.pack_into(code, self.block, place, value)

    def inner(self, tag: int) -> _Directory | None:
        """The directory that a tag points to."""
        return _Directory.read(self.block, self.order, self.get(tag)) if self.get(tag) else None


def _uprighted(exif: bytes) -> bytes:
    """The same block for a photo that has been turned, its thumbnail unhooked.

    Raises:
        struct.error, ValueError, KeyError: it is damaged.
    """
    block = bytearray(exif)
    order = {b"II*\0": "<", b"MM\0*": ">"}[bytes(block[:4])]
    main = _Directory.read(block, order, struct.unpack_from(f"{order}I", block, 4)[0])
    camera = main.inner(ExifTags.IFD.Exif)
    main.inner(ExifTags.IFD.GPSInfo)
    if camera and main.get(ExifTags.Base.Orientation) in images.SIDEWAYS:
        width, height = camera.get(_WIDTH), camera.get(_HEIGHT)
        camera.put(_WIDTH, height)
        camera.put(_HEIGHT, width)
    main.put(ExifTags.Base.Orientation, 1)
    if main.end + 4 <= len(block):
        struct.pack_into(f"{order}I", block, main.end, 0)
    return bytes(block)


# ------------------------------------------------------------------------------------------------ files


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each chunk."""
    at = _PNG_SIGNATURE_BYTES
    while at + 8 <= len(png):
        size, kind = struct.unpack_from(">I4s", png, at)
        yield kind, png[at + 8 : at + 8 + size] if kind == b"eXIf" else b""
        at += 12 + size


def _with_chunks(png: bytes, along: Metadata) -> bytes:
    """Behind the header, where readers look for them before the pixels."""
    added = b""
    if along.icc:
        added += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(along.icc))
    if along.exif:
        added += _chunk(b"eXIf", along.exif)
    end = _PNG_SIGNATURE_BYTES + 25
    return png[:end] + added + png[end:] if added else png


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _with_segments(jpeg: bytes, along: Metadata) -> bytes:
    """Behind the JFIF header, EXIF first; a profile in as many segments as it needs."""
    added = _segment(0xE1, _JPEG_EXIF + along.exif) if along.exif else b""
    room = _SEGMENT - len(_JPEG_ICC) - 2
    pieces = [along.icc[at : at + room] for at in range(0, len(along.icc), room)]
    for number, piece in enumerate(pieces, 1):
        added += _segment(0xE2, _JPEG_ICC + bytes((number, len(pieces))) + piece)
    end = 4 + struct.unpack_from(">H", jpeg, 4)[0] if jpeg[2:4] == b"\xff\xe0" else 2
    return jpeg[:end] + added + jpeg[end:] if added else jpeg


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
