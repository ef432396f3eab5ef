"""Pictures of a report: which to take while photos pass by, and crops of them with their outlines drawn in."""

from __future__ import annotations

import base64
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import cv2
import numpy as np
from numpy.typing import NDArray

from data_engineering import surfaces
from data_engineering.problems import Problem
from data_engineering.rings import Ring
from data_engineering.surfaces import Surfaces
from quadrat import cvat_labels, drawn, images
from quadrat.drawn import Drawn, DrawnPhoto

Box = tuple[float, float, float, float]
Rgb = NDArray[np.uint8]

PROBLEM_WH, COLONY_WH, PHOTO_PX = (400, 300), (264, 198), 880
_EMPTY, _HALO, _MARK = (64, 72, 76), (16, 22, 26), (255, 255, 255)
_FINE = 4  # bits of OpenCV's fixed-point coordinates
_FAR = 20_000  # px beyond which OpenCV draws nothing sensible


@dataclass(frozen=True, eq=False)
class Wish:
    """A picture that is wanted.

    Attributes:
        key: to know it by.
        photo: to open.
        box: what must be in the picture, px of the photo; `None` for the whole photo.
        bold: indices of the shapes it is about; all where there are none.
        marks: spots to ring.
        size_wh: of the picture; the photo's own shape, at `PHOTO_PX` on the longer side, where it is `None`.
    """

    key: str
    photo: DrawnPhoto
    box: Box | None = None
    bold: tuple[int, ...] = ()
    marks: Ring = field(default_factory=lambda: np.zeros((0, 2)))
    size_wh: tuple[int, int] | None = None


class Choice:
    """Keeps what will be shown, and no more, while photos pass by: the worst problems, fine colonies, full photos.

    Args:
        most: problems to keep of each kind.
        photos: to keep.
    """

    def __init__(self, most: int = 12, photos: int = 4):
        self._most, self._photos = most, photos
        self._number = count()
        self._worst: dict[str, list[tuple[float, int, DrawnPhoto, Problem]]] = {}
        self._full: list[tuple[int, int, int, DrawnPhoto]] = []
        self._fine: dict[str, tuple[float, DrawnPhoto, int]] = {}

    def add(self, photo: DrawnPhoto, ground: Surfaces, found: Sequence[Problem], to_name: Callable[[str], str]) -> None:
        """Keep of a photo what is worth it."""
        for problem in found:
            entry = (problem.weight, -next(self._number), photo, problem)
            _push(self._worst.setdefault(problem.kind, []), entry, self._most)
        if photo.path is None or not len(ground) or any(one.kind == "unreadable" for one in found):
            return
        labels = {to_name(one.label) for one in ground.shapes}
        _push(self._full, (len(labels), len(ground), -next(self._number), photo), self._photos)
        faulty = {index for problem in found for index in problem.shapes}
        for k in np.flatnonzero(_shows_well(ground, photo.size_wh)):
            name, area = to_name(ground.shapes[k].label), float(ground.areas_px[k])
            if ground.at[k] not in faulty and area > self._fine.get(name, (0.0,))[0]:
                self._fine[name] = (area, photo, ground.at[k])

    def problems(self, kind: str) -> list[tuple[DrawnPhoto, Problem]]:
        """The worst of a kind, the worst first."""
        return [(photo, problem) for _, _, photo, problem in sorted(self._worst.get(kind, []), reverse=True)]

    def colonies(self) -> dict[str, tuple[DrawnPhoto, int]]:
        """A fine colony of each name: photo and index among its shapes."""
        return {name: (photo, index) for name, (_, photo, index) in self._fine.items()}

    def photos(self) -> list[DrawnPhoto]:
        """Photos with the most genera."""
        return [photo for *_, photo in sorted(self._full, reverse=True)]


def _push(heap: list, entry: tuple, most: int) -> None:  # type: ignore[type-arg]
    if len(heap) < most:
        heapq.heappush(heap, entry)
    elif heap:
        heapq.heappushpop(heap, entry)


def _shows_well(ground: Surfaces, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Which colonies lie inside the photo as a whole and leave room for what is round them."""
    low, high = ground.boxes[:, :2], ground.boxes[:, 2:]
    inside = (low > 1).all(1) & (high < np.array(size_wh) - 1).all(1)
    return np.asarray(inside & ((high - low) < 0.6 * np.array(size_wh)).all(1))


# ---------------------------------------------------------------------------------------------- drawing


def draw(wishes: Iterable[Wish]) -> Iterator[tuple[str, str]]:
    """Fulfil wishes: key and picture as a ``data:`` address; each photo is opened once.

    A photo that cannot be opened gives none of its pictures.
    """
    by_photo: dict[int, list[Wish]] = {}
    for wish in wishes:
        by_photo.setdefault(id(wish.photo), []).append(wish)
    for group in by_photo.values():
        photo = group[0].photo
        try:
            image = None if photo.path is None else images.read(photo.path)
        except (images.ImageError, OSError):
            image = None
        ground = surfaces.of(photo)
        for wish in group:
            picture = None if image is None else data_uri(_picture(image, wish, ground))
            yield wish.key, picture or ""


def data_uri(image_rgb: Rgb) -> str:
    """A picture as an address that holds it."""
    return "data:image/jpeg;base64," + base64.b64encode(images.encode_jpeg(image_rgb, 82)).decode("ascii")


def box_of(photo: DrawnPhoto, problem: Problem) -> Box | None:
    """What a picture of a problem must show: the shapes it is about; `None` for the photo as a whole.

    Where an outline crosses itself in one small spot, that spot and some of the outline.
    """
    points = [_points(photo.drawn[index]) for index in problem.shapes]
    points = [each for each in points if len(each)]
    if not points:
        return None
    xy = np.concatenate(points)
    low, high = xy.min(0), xy.max(0)
    if len(problem.marks) and np.ptp(problem.marks, axis=0).max() < 0.2 * (high - low).max():
        reach = 0.3 * (high - low).max()
        low, high = problem.marks.min(0) - reach, problem.marks.max(0) + reach
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _points(one: Drawn) -> Ring:
    if one.kind == "skeleton":
        return np.array([e.xy_px[0] for e in one.elements if not e.outside]).reshape(-1, 2)
    ring = drawn.outline(one)
    return one.xy_px if ring is None else ring


def _picture(image: Rgb, wish: Wish, ground: Surfaces) -> Rgb:
    height, width = image.shape[:2]
    size_wh = wish.size_wh or _fitted((width, height), PHOTO_PX)
    window = (0.0, 0.0, float(width), float(height)) if wish.box is None else _roomy(wish.box, (width, height))
    window = _shaped(window, size_wh[0] / size_wh[1])
    canvas, scale = _crop(image, window, size_wh)
    origin = np.array(window[:2])
    bold = set(wish.bold)
    if ground.frame is not None:
        _line(canvas, (ground.frame - origin) * scale, (255, 255, 255), 1)
    for k in sorted(range(len(ground)), key=lambda k: ground.at[k] in bold):  # those it is about lie above
        aside = bool(bold) and ground.at[k] not in bold
        one = ground.shapes[k]
        for ring in (one.xy_px,) if one.kind == "polygon" else ground.rings[k]:
            _line(canvas, (ring - origin) * scale, _rgb(one.label), 1 if aside else 2, faint=aside)
    for index in bold:
        if wish.photo.drawn[index].kind == "skeleton":
            _dots(canvas, (_points(wish.photo.drawn[index]) - origin) * scale, _rgb(wish.photo.drawn[index].label))
    for mark in wish.marks[:40]:
        _ring(canvas, (mark - origin) * scale)
    return canvas


def _rgb(label: str) -> tuple[int, int, int]:
    code = cvat_labels.colour(label)
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def _fitted(size_wh: tuple[int, int], long_side: int) -> tuple[int, int]:
    scale = min(1.0, long_side / max(size_wh))
    return max(1, round(size_wh[0] * scale)), max(1, round(size_wh[1] * scale))


def _roomy(box: Box, size_wh: tuple[int, int]) -> Box:
    """A box with room round it, and at least a sixteenth of the photo wide."""
    x0, y0, x1, y1 = box
    least = max(size_wh) / 16
    room = max(0.2 * max(x1 - x0, y1 - y0), (least - max(x1 - x0, y1 - y0)) / 2, 4)
    return x0 - room, y0 - room, x1 + room, y1 + room


def _shaped(box: Box, ratio: float) -> Box:
    """A box made wider or higher about its middle, until its sides have the ratio."""
    x0, y0, x1, y1 = box
    width, height = max(x1 - x0, (y1 - y0) * ratio), max(y1 - y0, (x1 - x0) / ratio)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2


def _crop(image: Rgb, window: Box, size_wh: tuple[int, int]) -> tuple[Rgb, float]:
    """A window of a photo at a size; what lies beyond the photo is grey. Also: px of the picture a px of the photo."""
    x0, y0, x1, y1 = window
    scale = size_wh[0] / (x1 - x0)
    height, width = image.shape[:2]
    a, b = max(int(np.floor(x0)), 0), max(int(np.floor(y0)), 0)
    c, d = min(int(np.ceil(x1)), width), min(int(np.ceil(y1)), height)
    canvas = np.full((size_wh[1], size_wh[0], 3), _EMPTY, np.uint8)
    if a >= c or b >= d:
        return canvas, scale
    size = max(1, round((c - a) * scale)), max(1, round((d - b) * scale))
    part = cv2.resize(image[b:d, a:c], size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = round((a - x0) * scale), round((b - y0) * scale)
    u, v = max(left, 0), max(top, 0)
    part = part[v - top :, u - left :][: size_wh[1] - v, : size_wh[0] - u]
    canvas[v : v + part.shape[0], u : u + part.shape[1]] = part
    return canvas, scale


def _line(canvas: Rgb, ring: Ring, rgb: tuple[int, int, int], thick: int, *, faint: bool = False) -> None:
    points = [np.round(np.clip(ring, -_FAR, _FAR) * 2**_FINE).astype(np.int32)]
    if faint:
        before = canvas.copy()
    cv2.polylines(canvas, points, True, _HALO, thick + 2, cv2.LINE_AA, _FINE)
    cv2.polylines(canvas, points, True, rgb, thick, cv2.LINE_AA, _FINE)
    if faint:
        cv2.addWeighted(canvas, 0.45, before, 0.55, 0, canvas)


def _dots(canvas: Rgb, xy: Ring, rgb: tuple[int, int, int]) -> None:
    for x, y in np.clip(xy, -_FAR, _FAR).round().astype(int).tolist():
        cv2.circle(canvas, (x, y), 4, _HALO, -1, cv2.LINE_AA)
        cv2.circle(canvas, (x, y), 3, rgb, -1, cv2.LINE_AA)


def _ring(canvas: Rgb, xy: Ring) -> None:
    x, y = np.clip(xy, -_FAR, _FAR).round().astype(int).tolist()
    cv2.circle(canvas, (x, y), 11, _HALO, 4, cv2.LINE_AA)
    cv2.circle(canvas, (x, y), 11, _MARK, 2, cv2.LINE_AA)


def colony_wish(name: str, photo: DrawnPhoto, index: int) -> Wish:
    """A picture of one colony."""
    xy = _points(photo.drawn[index])
    box = (float(xy[:, 0].min()), float(xy[:, 1].min()), float(xy[:, 0].max()), float(xy[:, 1].max()))
    return Wish(f"colony {name}", photo, box, (index,), size_wh=COLONY_WH)


def problem_wishes(chosen: Mapping[str, Sequence[tuple[DrawnPhoto, Problem]]]) -> Iterator[Wish]:
    """A picture of each problem, known by its kind and place in the list."""
    for kind, listed in chosen.items():
        for place, (photo, problem) in enumerate(listed):
            box = box_of(photo, problem)
            yield Wish(f"{kind} {place}", photo, box, problem.shapes, problem.marks, PROBLEM_WH)
