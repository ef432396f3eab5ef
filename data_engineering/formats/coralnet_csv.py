"""CoralNet's tables of points (`data_engineering.coralnet`) as single points, each with its class.

A table counts whole pixels: a point is the centre of its pixel, and who said what is there is its attribute
``annotator``. It does not say the photos' sizes, so that photos are needed to read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_engineering import coralnet
from data_engineering.coralnet import CoralNetError, Point
from data_engineering.formats import folders
from data_engineering.formats.collection import Collection, FormatError
from data_engineering.formats.losses import Losses
from quadrat.drawn import Drawn, DrawnPhoto
from quadrat.drawn_labels import Seen

ANNOTATOR = "annotator"
TABLE = "annotations.csv"


def read(path: str | Path, *, photos: Sequence[Path] = (), extract_to: Path | None = None) -> Collection:
    """Read a table of points.

    Args:
        path: of the table; a folder, or an archive, with one table in it.
        photos: folders with the photos, where they do not lie beside the table.
        extract_to: folder for what an archive holds; without it a photo inside one has no path.

    Returns:
        Photos in the table's order, with the fact ``annotators``; a sentence for points that nobody gave a class yet,
        and for those outside their photo.

    Raises:
        FormatError: no such table, or a photo is not there; the message names the file and the line.
    """
    path = Path(path)
    with folders.unpacked(path, extract_to, with_photos=True) as tree:
        table = _table(tree.root, path)
        try:
            points = coralnet.read(table)
        except (CoralNetError, OSError) as error:
            raise FormatError(str(error).replace(str(table), str(path) if path.is_file() else str(table))) from error
        sized = folders.Finder(photos, [table.parent], path).sized(points)
        found = tree.settled(_photo(name, points[name], *sized[name]) for name in points)
    return Collection(found, Seen().of(found), path.stem)


def _table(root: Path, source: Path) -> Path:
    if root.is_file():
        return root
    tables = [table for table in sorted(root.glob("*.csv")) if "labelset" not in table.stem.lower()]
    if len(tables) != 1:
        raise FormatError(f"{source}: {len(tables)} tables *.csv in it: give the one with Name, Row, Column, Label")
    return tables[0]


def _photo(name: str, points: Sequence[Point], path: Path, size_wh: tuple[int, int]) -> DrawnPhoto:
    (width, height), problems = size_wh, []
    inside = [point for point in points if point.x_px < width and point.y_px < height]
    if len(inside) < len(points):
        problems.append(
            f"{name}: {len(points) - len(inside)} points were left out: they lie outside of the photo of {width} x "
            f"{height} px: give the photo on which they were set."
        )
    known = [point for point in inside if point.label]
    if len(known) < len(inside):
        problems.append(
            f"{name}: {len(inside) - len(known)} points were left out: they have no label yet: give them one."
        )
    people = list(dict.fromkeys(point.annotator for point in known if point.annotator))
    facts = {"annotators": people} if people else {}
    return DrawnPhoto(name, size_wh, tuple(map(_drawn, known)), path, facts, tuple(problems))


def _drawn(point: Point) -> Drawn:
    attributes = {ANNOTATOR: point.annotator} if point.annotator else {}
    return Drawn("points", point.label, np.array([[point.x_px, point.y_px]]), attributes=attributes)


def write(collection: Collection, out: str | Path) -> Losses:
    """Write a table of points, whole or not at all.

    Args:
        collection: its points are written, a line each.
        out: a name that ends in ``.csv``, or a folder that gets an ``annotations.csv``.

    Returns:
        A count of what a table has no place for: all but points, their class and who set it.

    Raises:
        FormatError: a point lies left of or above its photo.
    """
    out, losses = Path(out), Losses()
    out = out if out.suffix.lower() == ".csv" else out / TABLE
    losses.add("label's colour", sum("color" in label for label in collection.labels))
    found: dict[str, list[Point]] = {}
    for photo in collection.photos:
        losses.of_photo(photo)
        points = [point for one in photo.drawn for point in _points(one, photo.name, losses)]
        losses.add("photo's file")
        losses.add("photo without a point", int(not points))
        found.setdefault(photo.name, []).extend(points)
    coralnet.write(out, found)
    return losses


def _points(one: Drawn, photo: str, losses: Losses) -> list[Point]:
    if one.kind != "points":
        losses.add(one.kind)
        return []
    losses.of_shape(one, ("attributes",))
    losses.add("attributes", len(set(one.attributes) - {ANNOTATOR}))
    losses.add("points that belong together", len(one.xy_px) - 1)
    losses.add("place within a pixel", int(np.abs(one.xy_px % 1 - 0.5).max(1).round(4).astype(bool).sum()))
    try:
        return [Point(float(x), float(y), one.label, one.attributes.get(ANNOTATOR, "")) for x, y in one.xy_px]
    except ValueError as error:
        raise FormatError(f"{photo}: {one.label}: {error}: move it into the photo") from error
