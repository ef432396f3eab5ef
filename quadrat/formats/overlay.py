"""Overlays: a photo with its shapes or its class map drawn in, a legend beside it, a note under it; contact sheets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from quadrat import cvat_labels, masks, template
from quadrat.shapes import HIDDEN, VISIBLE, Instance, Keypoints, SemanticMap, Shape

Rgb = NDArray[np.uint8]

_PAPER, _INK, _FAINT = (250, 250, 248), (28, 32, 36), (110, 118, 124)
_SEEN, _PUT, _STRING = (255, 214, 10), (255, 110, 80), (120, 225, 255)
_TINT, _FAINT_TINT = 0.45, 0.18
_NOT_KNOWN = "not known"
_FAR = 30_000  # px beyond which OpenCV draws nothing sensible


class _Row(NamedTuple):
    """A line of the legend; without a colour where nothing is coloured."""

    label: str
    colour: tuple[int, int, int] | None
    words: str


def colour_rgb(label: str) -> tuple[int, int, int]:
    """The colour of a label, the same in every overlay and in CVAT's label list."""
    code = cvat_labels.colour(label)
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def draw(image_rgb: Rgb, shapes: Sequence[Shape], *, title: str = "", note: str = "", long_side: int = 1600) -> Rgb:
    """Draw shapes over a photo, with a legend that counts them, their share of the photo, and points that were seen.

    Points are numbered, and joined where their layout is a built-in one: dots where they were seen, rings where they
    were put because something covers them.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        shapes: in pixels of the photo.
        title: stands over the legend, for example the file's name.
        note: stands under the photo, for example what the weights were trained on.
        long_side: larger photos are shrunk to this many px before anything is drawn, so that lines stay visible.

    Returns:
        uint8 ``[h, w, 3]``, the photo with a panel to its right and, if there is a note, a strip below.
    """
    canvas, scale = _shrunk(image_rgb, long_side)
    thick = max(1, round(max(canvas.shape[:2]) / 600))
    covered = {shape.label: np.zeros(canvas.shape[:2], np.bool_) for shape in shapes if isinstance(shape, Instance)}
    for shape in shapes:
        if isinstance(shape, Instance):
            _draw_instance(canvas, shape, scale, thick, covered[shape.label])
    for shape in shapes:
        if isinstance(shape, Keypoints):
            _draw_keypoints(canvas, shape, scale)
    facts = {label: f"{mask.mean():.1%}" for label, mask in covered.items()}
    for shape in shapes:
        if isinstance(shape, Keypoints):
            seen = np.count_nonzero(np.asarray(shape.visibility) == VISIBLE)
            facts[shape.label] = f"{seen} of {len(shape.names)} seen"
    counts = Counter(shape.label for shape in shapes)
    rows = [
        _Row(label, colour_rgb(label), f"{n}   {facts.get(label, '')}".strip()) for label, n in counts.most_common()
    ]
    return _with_note(_with_legend(canvas, rows, title, f"{len(shapes)} shapes"), note)


def draw_map(
    image_rgb: Rgb,
    semantic_map: SemanticMap,
    *,
    title: str = "",
    note: str = "",
    background: Collection[str] = (),
    long_side: int = 1600,
) -> Rgb:
    """Tint a photo by the class of each pixel, with a legend of the classes and their share of the photo.

    Classes of `background` are tinted faintly, or not at all where it is only one.

    Args:
        image_rgb: uint8 ``[H, W, 3]``.
        semantic_map: of its size.
        title: stands over the legend, for example the file's name.
        note: stands under the photo, for example what the weights were trained on.
        background: classes that are no colonies.
        long_side: larger photos are shrunk to this many px.

    Returns:
        uint8 ``[h, w, 3]``, the photo with a panel to its right and, if there is a note, a strip below.

    Raises:
        ValueError: the map is of another size than the photo.
    """
    if semantic_map.index.shape != image_rgb.shape[:2]:
        height, width = semantic_map.index.shape
        wanted = f"{image_rgb.shape[1]} x {image_rgb.shape[0]} px, the photo's"
        raise ValueError(f"the map has {width} x {height} px: expected {wanted}")
    canvas, _ = _shrunk(image_rgb, long_side)
    index = cv2.resize(semantic_map.index, canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    _tint(canvas, np.asarray(index, np.uint8), semantic_map.labels, background)
    rows = _cover_rows(semantic_map, background)
    return _with_note(_with_legend(canvas, rows, title, f"{len(rows)} classes, share of the photo"), note)


def _tint(canvas: Rgb, index: NDArray[np.uint8], labels: Sequence[str], background: Collection[str]) -> None:
    """Colour the pixels of each class, its border strongly."""
    colours, strength = np.zeros((256, 3), np.float32), np.zeros((256, 1), np.float32)
    colours[: len(labels)] = [colour_rgb(label) for label in labels]
    strength[: len(labels), 0] = [_strength(label, background) for label in labels]
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    border = cv2.morphologyEx(index, cv2.MORPH_GRADIENT, cross) > 0
    share = strength[index]
    share[border] *= 2
    canvas[:] = ((1 - share) * canvas + share * colours[index]).astype(np.uint8)


def _strength(label: str, background: Collection[str]) -> float:
    if label not in background:
        return _TINT
    return _FAINT_TINT if len(background) > 1 else 0.0


def _cover_rows(semantic_map: SemanticMap, background: Collection[str]) -> list[_Row]:
    """The classes that there are, colonies first, each kind by its share."""
    pixels = np.sum([np.bincount(row, minlength=256) for row in semantic_map.index], axis=0)  # by rows: less memory
    there = [(label, int(n)) for label, n in zip(semantic_map.labels, pixels, strict=False) if n]
    there.sort(key=lambda pair: (pair[0] in background, -pair[1]))
    colours = [colour_rgb(label) if _strength(label, background) else None for label, _ in there]
    rows = [
        _Row(label, colour, f"{n / semantic_map.index.size:.1%}")
        for (label, n), colour in zip(there, colours, strict=True)
    ]
    unknown = int(pixels[SemanticMap.IGNORE])
    if unknown:
        rows.append(_Row(_NOT_KNOWN, None, f"{unknown / semantic_map.index.size:.1%}"))
    return rows


def contact_sheet(pictures: Sequence[Rgb], *, columns: int = 3, cell_px: int = 640, note: str = "") -> Rgb:
    """Lay pictures out in rows on one sheet, each shrunk to fit its cell.

    Args:
        pictures: uint8 ``[h, w, 3]`` each, at least one.
        columns: cells a row.
        cell_px: width of a cell.
        note: stands under the sheet.

    Raises:
        ValueError: there is no picture.
    """
    if not pictures:
        raise ValueError("pictures is empty: expected at least one")
    columns = min(columns, len(pictures))
    cells = [_fitted(picture, cell_px) for picture in pictures]
    rows = []
    for first in range(0, len(cells), columns):
        row = cells[first : first + columns]
        height = max(cell.shape[0] for cell in row)
        row += [_paper(height, cell_px)] * (columns - len(row))
        rows.append(np.hstack([_padded(cell, height, cell_px) for cell in row]))
    return _with_note(np.vstack(rows), note)


def _shrunk(image_rgb: Rgb, long_side: int) -> tuple[Rgb, float]:
    scale = min(1.0, long_side / max(image_rgb.shape[:2]))
    if scale == 1.0:
        return image_rgb.copy(), scale
    height, width = (max(1, round(side * scale)) for side in image_rgb.shape[:2])
    return np.asarray(cv2.resize(image_rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8), scale


def _draw_instance(canvas: Rgb, shape: Instance, scale: float, thick: int, covered: masks.Mask) -> None:
    colour = colour_rgb(shape.label)
    rings = [ring * scale for part in masks.instance_to_parts(shape) for ring in part]
    height, width = canvas.shape[:2]
    drawn = masks.instance_from_rings(shape.label, rings, (width, height))
    if drawn is None:
        return
    masks.paste(drawn, covered)
    x0, y0, x1, y1 = drawn.xyxy_px
    crop = canvas[y0:y1, x0:x1]
    crop[drawn.mask] = (0.68 * crop[drawn.mask] + 0.32 * np.array(colour)).astype(np.uint8)
    lines = [_to_pixel_centres(ring) for ring in rings]
    cv2.polylines(canvas, lines, True, (0, 0, 0), thick + 2, cv2.LINE_AA)
    cv2.polylines(canvas, lines, True, colour, thick, cv2.LINE_AA)


def _to_pixel_centres(ring: masks.Ring) -> NDArray[np.int32]:
    return np.rint(ring - 0.5).astype(np.int32)


def _draw_keypoints(canvas: Rgb, shape: Keypoints, scale: float) -> None:
    """Lines between neighbours, a dot at every point that was seen, a ring where one was put, and their names."""
    seen, xy = np.asarray(shape.visibility), shape.xy_px * scale - 0.5
    placed = seen != HIDDEN
    if not placed.any():
        return
    places = np.rint(np.clip(xy, -_FAR, _FAR)).astype(int).tolist()
    unit = _spacing(xy[placed], max(canvas.shape[:2]))
    thin = 1 + (unit > 70)
    for start, end in _neighbours(shape):
        if placed[start] and placed[end]:
            cv2.line(canvas, places[start], places[end], _STRING, thin, cv2.LINE_AA)
    radius = round(min(max(3.0, unit / 12), 9.0))
    for at, visible in zip(places, seen, strict=True):
        if visible == VISIBLE:
            cv2.circle(canvas, at, radius + 1, (0, 0, 0), -1, cv2.LINE_AA)
            cv2.circle(canvas, at, radius, _SEEN, -1, cv2.LINE_AA)
        elif visible != HIDDEN:
            cv2.circle(canvas, at, radius + 1, (0, 0, 0), thin + 2, cv2.LINE_AA)
            cv2.circle(canvas, at, radius + 1, _PUT, thin, cv2.LINE_AA)
    _write_names(canvas, shape.names, places, seen, unit, radius)


def _write_names(
    canvas: Rgb, names: Sequence[str], places: Sequence[list[int]], seen: NDArray[np.uint8], unit: float, radius: int
) -> None:
    font = _font(min(max(9.0, 0.27 * unit), 30.0))
    sheet = Image.fromarray(canvas)
    pen = ImageDraw.Draw(sheet)
    for name, (x, y), visible in zip(names, places, seen, strict=True):
        if visible != HIDDEN:
            ink = _SEEN if visible == VISIBLE else _PUT
            at = (x + radius + 2, y - radius)
            pen.text(at, name, ink, font, anchor="ls", stroke_width=2, stroke_fill=(0, 0, 0))
    canvas[:] = np.asarray(sheet)


def _spacing(xy: NDArray[np.float64], most: int) -> float:
    """How much room a point has: the median way to the nearest other one, px."""
    ways = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
    np.fill_diagonal(ways, np.inf)
    return min(float(np.median(ways.min(axis=1))), float(most))


def _neighbours(shape: Keypoints) -> tuple[tuple[int, int], ...]:
    """Which points a built-in layout joins; of several with these points, the one that it says, or that fits best."""
    known = [layout for layout in map(template.load, template.BUILTIN) if layout.names == shape.names]
    said = [layout for layout in known if layout.name == shape.attributes.get("layout")]

    def way(layout: template.Template) -> float:
        start, end = np.array(layout.edges).T
        return float(np.hypot(*(shape.xy_px[start] - shape.xy_px[end]).T).sum())

    return min(said or known, key=way).edges if known else ()


def _with_legend(canvas: Rgb, rows: Sequence[_Row], title: str, summary: str) -> Rgb:
    unit = max(13, round(max(canvas.shape[:2]) / 62))
    width = unit * 17
    height = max(canvas.shape[0], round(unit * 1.7 * (len(rows) + 3)))
    panel = Image.fromarray(_paper(height, width))
    pen = ImageDraw.Draw(panel)
    pen.text((unit, unit * 0.7), _cut(title, 30), _INK, _font(unit))
    pen.text((unit, unit * 2.2), summary, _FAINT, _font(unit * 0.85))
    for place, row in enumerate(rows):
        top = unit * (4 + 1.7 * place)
        line = row.colour or _FAINT
        pen.rounded_rectangle((unit, top, unit * 2, top + unit), unit / 5, row.colour, line, max(1, unit // 12))
        pen.text((unit * 2.6, top + unit / 2), _cut(row.label, 20), _INK, _font(unit * 0.9), anchor="lm")
        pen.text((width - unit * 0.8, top + unit / 2), row.words, _FAINT, _font(unit * 0.8), anchor="rm")
    return np.hstack([_padded(canvas, height, canvas.shape[1]), np.asarray(panel)])


def _with_note(picture: Rgb, note: str) -> Rgb:
    if not note:
        return picture
    width = picture.shape[1]
    size = max(12.0, min(width / 70, 28.0))
    lines = _wrapped(note, _font(size), width - 2 * size)
    strip = Image.fromarray(_paper(round(size * (1.4 * len(lines) + 0.9)), width))
    pen = ImageDraw.Draw(strip)
    for row, line in enumerate(lines):
        pen.text((size, size * (0.4 + 1.4 * row)), line, _INK, _font(size))
    return np.vstack([picture, np.asarray(strip)])


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _paper(height: int, width: int) -> Rgb:
    return np.full((height, width, 3), _PAPER, np.uint8)


def _padded(picture: Rgb, height: int, width: int) -> Rgb:
    sheet = _paper(height, width)
    sheet[: picture.shape[0], : picture.shape[1]] = picture
    return sheet


def _fitted(picture: Rgb, cell_px: int) -> Rgb:
    height = max(1, round(picture.shape[0] * cell_px / picture.shape[1]))
    return np.asarray(cv2.resize(picture, (cell_px, height), interpolation=cv2.INTER_AREA), np.uint8)
