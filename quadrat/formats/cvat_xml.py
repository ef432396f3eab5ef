"""CVAT XML ("CVAT for images 1.1"): what CVAT exports and imports, read and written photo by photo.

The file cannot say a shape's score; the attribute ``confidence``, 0 to 100, can. Coordinates have two decimals.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, TypeAlias
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.parsers import expat

from quadrat import drawn
from quadrat.drawn import DrawnPhoto, Labels
from quadrat.drawn_labels import Seen, missing_sentences
from quadrat.files import atomic_write
from quadrat.formats import cvat_xml_meta, cvat_xml_shapes
from quadrat.formats.cvat_xml_meta import Head
from quadrat.formats.cvat_xml_shapes import quoted
from quadrat.shapes import Annotations

CONFIDENCE = drawn.CONFIDENCE
_CHUNK = 1 << 18  # bytes read at once
_COPY = 1 << 20  # bytes copied at once

Source: TypeAlias = str | Path | IO[bytes]


# ---------------------------------------------------------------------------------------------- reading


def read(path: str | Path) -> list[Annotations]:
    """Read a CVAT XML file as the shapes that modules speak.

    Polygons, masks, boxes and ellipses (turned ones too) become instances, polygons of one label and group one
    instance; skeletons become keypoints, their points in the order of the label. Tags, polylines, single points and
    cuboids have no place here: ``meta["skipped"]`` counts them by kind. ``meta["problems"]`` has a sentence for all
    that could not be kept.

    Raises:
        ValueError: the file is not CVAT XML or damaged; the message begins with the path.
    """
    found = []
    with open_drawn(path) as (head, photos):
        points = drawn.sublabels_of(head.labels)
        for photo in photos:
            made = drawn.to_annotations(photo, points)
            said = {"problems": list(photo.problems)} if photo.problems else {}
            found.append(replace(made, meta={**made.meta, **said}))
    return found


def read_drawn(source: Source) -> tuple[Labels, list[DrawnPhoto], str]:
    """Read all that was drawn.

    Args:
        source: a file, or an open stream of bytes.

    Returns:
        Label definitions, photos in the order of the file, and the name of the project or task.

    Raises:
        ValueError: as `open_drawn`.
    """
    with open_drawn(source) as (head, photos):
        return head.labels, list(photos), head.name


def iter_drawn(source: Source) -> Iterator[DrawnPhoto]:
    """Read photo by photo; only one photo is in memory at a time.

    Raises:
        ValueError: as `open_drawn`.
    """
    with open_drawn(source) as (_, photos):
        yield from photos


@contextmanager
def open_drawn(source: Source) -> Iterator[tuple[Head, Iterator[DrawnPhoto]]]:
    """Give what a file says before its first photo, and the photos one after the other.

    A shape that cannot be kept is left out, and the photo's `problems` say why.

    Args:
        source: a file, or an open stream of bytes.

    Raises:
        ValueError: not CVAT XML for images, damaged, or with a DOCTYPE, which could hold entities; the message begins
            with the name of the file. It may come in the midst of the photos.
        OSError: the file cannot be read.
    """
    name = str(source) if isinstance(source, (str, Path)) else str(getattr(source, "name", "annotations.xml"))
    with ExitStack() as stack:
        stream = stack.enter_context(Path(source).open("rb")) if isinstance(source, (str, Path)) else source
        parts = _named(_parts(stream), name)
        first = next(parts, None)
        head = first if isinstance(first, Head) else Head()
        yield head, (part for part in _again(first, parts) if isinstance(part, DrawnPhoto))


def _again(first: Head | DrawnPhoto | None, parts: Iterator[Head | DrawnPhoto]) -> Iterator[Head | DrawnPhoto]:
    if first is not None:
        yield first
    yield from parts


def _named(parts: Iterator[Head | DrawnPhoto], name: str) -> Iterator[Head | DrawnPhoto]:
    """Whatever is wrong with the content becomes one kind of error."""
    try:
        yield from parts
    except (ElementTree.ParseError, expat.ExpatError, ValueError, KeyError, TypeError, OverflowError) as error:
        what = f"it has no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{name}: not a readable CVAT XML file ({type(error).__name__}: {what})") from error


def _parts(stream: IO[bytes]) -> Iterator[Head | DrawnPhoto]:
    head = Head()
    points: dict[str, list[str]] = {}
    root: Element | None = None
    for event, element in _events(stream):
        if root is None:
            root = element
            if root.tag != "annotations":
                raise ValueError(f"its root is <{root.tag}>, expected <annotations>")
        elif event == "end" and element.tag == "meta":
            head = cvat_xml_meta.read(element)
            points = drawn.sublabels_of(head.labels)
            root.clear()
            yield head
        elif event == "end" and element.tag == "image":
            yield _photo(element, head, points)
            root.clear()
        elif element.tag == "track":
            raise ValueError('it is of a video ("CVAT for video 1.1"): export it as "CVAT for images 1.1"')
    if root is None:
        raise ValueError("it is empty")


def _events(stream: IO[bytes]) -> Iterator[tuple[str, Element]]:
    parser: Any = ElementTree.XMLPullParser(("start", "end"))
    guard = _Guard()
    while chunk := stream.read(_CHUNK):
        guard.check(chunk)
        parser.feed(chunk)
        yield from parser.read_events()
    parser.close()
    yield from parser.read_events()


class _RootBegins(Exception):
    pass


class _Guard:
    """Refuses a DOCTYPE, in any encoding, before the parser that would follow it has seen it."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._begin
        self._done = False

    def check(self, chunk: bytes) -> None:
        if self._done:
            return
        try:
            self._parser.Parse(chunk, False)
        except _RootBegins:
            self._done = True

    def _refuse(self, *_: object) -> None:
        raise ValueError("it has a DOCTYPE, which CVAT never writes and which could hold entities: it is not read")

    def _begin(self, *_: object) -> None:
        raise _RootBegins


def _photo(image: Element, head: Head, points: dict[str, list[str]]) -> DrawnPhoto:
    name = image.attrib["name"]
    size_wh = int(image.attrib["width"]), int(image.attrib["height"])
    found: list[drawn.Drawn] = []
    problems: list[str] = []
    for element in image:
        if element.tag not in cvat_xml_shapes.TAGS:
            problems.append(f"<{element.tag}> was left out: CVAT for images 1.1 has no such thing")
            continue
        one, said = cvat_xml_shapes.read(element, size_wh)
        problems += said
        if one is not None:
            found.append(one)
            problems += missing_sentences(one, points)
    return DrawnPhoto(
        name, size_wh, tuple(found), None, head.facts_of(image), tuple(f"{name}: {one}" for one in problems)
    )


# ---------------------------------------------------------------------------------------------- writing


def write(path: str | Path, photos: Iterable[Annotations], *, as_masks: bool = False) -> None:
    """Write what a module answered to one CVAT XML file, whole or not at all; see `drawn.from_annotations`.

    Args:
        path: the file.
        photos: what to write, in the order of the task's frames.
        as_masks: write instances as masks, holes kept, instead of exact polygons.
    """
    write_drawn(path, (drawn.from_annotations(photo, as_masks=as_masks) for photo in photos))


def write_drawn(
    path: str | Path, photos: Iterable[DrawnPhoto], labels: Labels = (), *, name: str = "", project: bool = False
) -> None:
    """Write one CVAT XML file, whole or not at all; only one photo is in memory at a time.

    Args:
        path: the file.
        photos: in the order of the task's frames.
        labels: definitions; labels that were drawn and have none get one of their own.
        name: of the project or task.
        project: write it as CVAT writes a project's export: each photo with its subset and task.
    """
    seen = Seen(labels)
    tasks: dict[int, dict[str, Any]] = {}
    with atomic_write(path) as temporary, tempfile.TemporaryFile(dir=Path(path).parent) as body:
        for number, photo in enumerate(photos):
            seen.add(photo.drawn)
            _note_task(photo, tasks)
            body.write("".join(_image(photo, number, project)).encode())
        with temporary.open("wb") as out:
            out.write(b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
            out.write("".join(cvat_xml_meta.write(name, seen.definitions(), tasks, project=project)).encode())
            body.seek(0)
            shutil.copyfileobj(body, out, _COPY)
            out.write(b"</annotations>\n")


def _note_task(photo: DrawnPhoto, tasks: dict[int, dict[str, Any]]) -> None:
    task = photo.facts.get("cvat_task_id")
    if task is not None:
        tasks.setdefault(int(task), dict(photo.facts))


def _image(photo: DrawnPhoto, number: int, project: bool) -> Iterator[str]:
    width, height = photo.size_wh
    head: dict[str, object] = {"id": number, "name": photo.name}
    if project:
        head["subset"] = photo.facts.get("cvat_subset") or "default"
        head["task_id"] = photo.facts.get("cvat_task_id", "")
    head |= {"width": width, "height": height}
    yield "  <image" + "".join(f" {key}={quoted(value)}" for key, value in head.items() if value != "") + ">\n"
    for one in photo.drawn:
        yield from cvat_xml_shapes.write(one, "    ")
    yield "  </image>\n"
