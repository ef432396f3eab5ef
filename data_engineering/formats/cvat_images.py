"""Exports "CVAT for images 1.1" of a task or a project: a zip file, a folder unpacked from one, or the XML alone."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path, PurePosixPath

from data_engineering.formats import zips
from data_engineering.formats.collection import Collection, FormatError
from data_engineering.formats.photo_files import PhotoFiles, format_errors
from quadrat import files
from quadrat.drawn import DrawnPhoto
from quadrat.formats import cvat_xml
from quadrat.formats.cvat_xml_meta import Head

ANNOTATIONS = "annotations.xml"
_IMAGES = "images"


def read(path: Path, *, photos: Sequence[Path] = (), extract_to: Path | None = None) -> Collection:
    """Read an export.

    Args:
        path: a zip file, a folder, or the XML.
        photos: folders to look in for photos that the export has not.
        extract_to: folder to put the photos of a zip file in; one that is there with the same size is kept.

    Returns:
        Photos are read and extracted while one goes through them, one at a time. A photo without a file, or with one of
        another size, says so in its problems.

    Raises:
        FormatError: not such an export, or damaged; it may come in the midst of the photos.
    """
    path = Path(path)
    where, name = (path.parent, path.name) if path.suffix.lower() == ".xml" else (path, ANNOTATIONS)
    if where is not path and not path.is_file():
        raise FormatError(f"{path}: no such file")
    parts = _parts(path, where, name, photos, extract_to)
    head = next(parts)
    assert isinstance(head, Head)
    return Collection((one for one in parts if isinstance(one, DrawnPhoto)), head.labels, head.name)


def _parts(
    path: Path, where: Path, name: str, folders: Sequence[Path], extract_to: Path | None
) -> Iterator[Head | DrawnPhoto]:
    """What is known beforehand, then the photos, while the archive stays open."""
    with format_errors(path), zips.opened(where, scratch=extract_to) as archive:
        if not archive.has(name):
            raise FormatError(f'{path}: no {name} in it: export the task or project as "CVAT for images 1.1"')
        found = PhotoFiles(archive, folders, extract_to, archive.sizes)
        with archive.open(name) as stream, cvat_xml.open_drawn(stream) as (head, photos):
            yield head
            for photo in photos:
                yield found.place(photo, _members(photo))


def _members(photo: DrawnPhoto) -> list[str]:
    """Where an export has a photo: of a project below its subset, of a task without."""
    subset = photo.facts.get("cvat_subset") or "default"
    return [f"{_IMAGES}/{subset}/{photo.name}", f"{_IMAGES}/{photo.name}", photo.name]


def write(collection: Collection, out: Path, *, with_images: bool = True) -> None:
    """Write an export that CVAT imports, whole or not at all.

    It is of a project where the first photo has the fact ``cvat_project_name``, else of a task. Photos of one name are
    told apart by a number, as CVAT does.

    Args:
        collection: what to write.
        out: a zip file, or ``.xml`` for the annotations alone.
        with_images: whether the photos go into the zip file.

    Raises:
        FormatError: a photo has no file though it should go into the zip file, or the disk is full.
    """
    photos = iter(collection.photos)
    first = next(photos, None)
    project = first is not None and bool(first.facts.get("cvat_project_name"))
    every = _told_apart(chain([first] if first else [], photos), project)
    with zips.disk_full(out):
        if out.suffix.lower() == ".xml":
            cvat_xml.write_drawn(out, every, collection.labels, name=collection.name, project=project)
            return
        with (
            files.atomic_write(out) as temporary,
            zipfile.ZipFile(temporary, "w") as archive,
            tempfile.TemporaryDirectory(dir=out.parent, prefix=".cvat-") as folder,
        ):
            xml = Path(folder) / ANNOTATIONS
            packed = _packed(every, archive, project) if with_images else every
            cvat_xml.write_drawn(xml, packed, collection.labels, name=collection.name, project=project)
            archive.write(xml, ANNOTATIONS, zipfile.ZIP_DEFLATED)


def _told_apart(photos: Iterable[DrawnPhoto], project: bool) -> Iterator[DrawnPhoto]:
    taken: set[tuple[str, str]] = set()
    for photo in photos:
        subset = str(photo.facts.get("cvat_subset") or "default") if project else ""
        path, name, number = PurePosixPath(photo.name), photo.name, 0
        while (subset, name) in taken:
            number += 1
            name = path.with_name(f"{path.stem}_{number}{path.suffix}").as_posix()
        taken.add((subset, name))
        yield photo if name == photo.name else replace(photo, name=name)


def _packed(photos: Iterable[DrawnPhoto], archive: zipfile.ZipFile, project: bool) -> Iterator[DrawnPhoto]:
    for photo in photos:
        if photo.path is None or not photo.path.is_file():
            raise FormatError(f"{photo.name}: no file of this photo ({photo.path}): export without images, or add it")
        if not zips.safe(photo.name):
            raise FormatError(f"{photo.name}: a name that leads out of the archive: rename the photo")
        archive.write(photo.path, _members(photo)[0 if project else 1])
        yield photo
