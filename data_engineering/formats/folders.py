"""Folders of photos and label files, for formats that are one: read from an archive too, and written whole.

Photos are found by the names that a file gives them, and put beside what is written.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from data_engineering import training_folder
from data_engineering.formats import zips
from data_engineering.formats.collection import FormatError
from data_engineering.match import MatchError, Photos
from quadrat import images
from quadrat.drawn import DrawnPhoto

ARCHIVES = (".zip", ".7z")


@dataclass(frozen=True)
class Tree:
    """A file or folder that was named, or what an archive held.

    Attributes:
        root: the file or folder.
        lasts: false where the folder goes when reading ends.
    """

    root: Path
    lasts: bool

    def settled(self, photos: Iterable[DrawnPhoto]) -> tuple[DrawnPhoto, ...]:
        """Photos without the paths that go with the folder."""
        if self.lasts:
            return tuple(photos)
        return tuple(replace(one, path=None) if self._holds(one.path) else one for one in photos)

    def _holds(self, path: Path | None) -> bool:
        return path is not None and path.is_relative_to(self.root)


@contextmanager
def unpacked(path: Path, extract_to: Path | None, *, with_photos: bool) -> Iterator[Tree]:
    """A file or folder as it is; an archive in `extract_to`, or in a folder that goes when the block ends.

    Args:
        path: of a file, a folder or an archive.
        extract_to: gets all that an archive holds; what is there with the same size is kept.
        with_photos: without `extract_to`, whether the photos are wanted while reading.

    Raises:
        FormatError: there is no such file or folder, or the archive is refused (`zips.opened`).
    """
    if not path.exists():
        raise FormatError(f"{path}: no such file or folder")
    if path.is_dir() or path.suffix.lower() not in ARCHIVES:
        yield Tree(path, True)
    elif extract_to is not None:
        _unpack(path, extract_to, True)
        yield Tree(extract_to, True)
    else:
        with tempfile.TemporaryDirectory(prefix="quadratseg-") as name:
            _unpack(path, Path(name), with_photos)
            yield Tree(Path(name), False)


def _unpack(path: Path, folder: Path, with_photos: bool) -> None:
    with zips.opened(path) as archive:
        for name, target in zips.targets(archive.under("")).items():
            if not with_photos and is_photo(name):
                continue
            lies = archive.put(name, folder / target)
            if lies != folder / target:  # a .7z is a folder already
                (folder / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(lies, folder / target)


def is_photo(name: str) -> bool:
    """Whether a name ends like that of a photo."""
    return PurePosixPath(name).suffix.lower() in images.IMAGE_SUFFIXES


# ---------------------------------------------------------------------------------------------- photos


class Finder:
    """Finds photos by the names that a file gives them.

    Args:
        photos: folders, and single photos.
        beside: folders in which a name is looked up first, as a path within them; those not there are passed over.
        source: the file that names the photos, for messages.

    Raises:
        FormatError: one of `photos` is not there or has no photo.
    """

    def __init__(self, photos: Sequence[Path], beside: Sequence[Path], source: Path) -> None:
        self._source = source
        self._beside = tuple(folder for folder in beside if folder.is_dir())
        try:
            listed = [str(photo.resolve()) for folder in photos for photo in images.list_photos(folder)]
        except FileNotFoundError as error:
            raise FormatError(f"{error}: give a folder with the photos that {source} names") from None
        self._listed = Photos(dict.fromkeys(listed)) if listed else None

    def find(self, name: str) -> Path | None:
        """The photo of this name, a path relative to the file or a bare name; `None` where there is none.

        Raises:
            FormatError: several photos could be meant.
        """
        for folder in self._beside if zips.safe(name) else ():
            if (folder / name).is_file():
                return folder / name
        if self._listed is None:
            return None
        try:
            return Path(self._listed.find(name))
        except MatchError as error:
            if "may be any of" in str(error):
                raise FormatError(f"{self._source}: {error}") from None
            return None

    def sized(self, names: Iterable[str]) -> dict[str, tuple[Path, tuple[int, int]]]:
        """Path and size in px of every photo named; for formats that do not say sizes.

        Raises:
            FormatError: photos are not there, or one cannot be read.
        """
        found = {name: self.find(name) for name in names}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            raise FormatError(
                f"{self._source}: {len(missing)} of {len(found)} photos are not there ({', '.join(missing[:3])}"
                f"{', ...' if len(missing) > 3 else ''}), and only a photo tells its size: name their folder (--photos)"
            )
        return {name: (path, read_size(path, self._source)) for name, path in found.items() if path is not None}


def read_size(photo: Path, source: str | Path) -> tuple[int, int]:
    """Width and height in px of a photo that `source` names.

    Raises:
        FormatError: it cannot be read.
    """
    try:
        return images.read_size_wh(photo)
    except (OSError, ValueError) as error:
        raise FormatError(f"{source}: its photo cannot be read ({error}): get it from where it came") from error


def size_of(raw: Mapping[str, Any], path: Path | None, where: str) -> tuple[int, int]:
    """Width and height in px that a format says, else those of the photo's file.

    Raises:
        FormatError: neither is there, or the file is no photo; `where` says whose.
    """
    width, height = raw.get("width"), raw.get("height")
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    if path is None:
        raise FormatError(
            f"{where} has width {width!r} and height {height!r}, and is not there to tell: name its folder (--photos)"
        )
    return read_size(path, where)


def safe_name(name: str, source: str | Path) -> str:
    """A photo's name as a path that stays in its folder, with ``/`` between its parts.

    Raises:
        FormatError: it is absolute or leads out of the folder.
    """
    path = name.replace("\\", "/")
    if not zips.safe(path):
        raise FormatError(f"{source}: the photo's name {name!r} leads out of its folder: rename it")
    return PurePosixPath(path).as_posix()


# ---------------------------------------------------------------------------------------------- writing


def place(photo: Path, target: Path, *, copy: bool) -> None:
    """Put a photo under another name: linked (`training_folder.link`) or copied."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if copy:
        shutil.copyfile(photo, target)
    else:
        training_folder.link(photo.resolve(), target)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a draft beside `out` that takes its name when the block ends well; else nothing is left.

    Raises:
        FormatError: `out` is there and not an empty folder, or the disk is full.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FormatError(f"{out} is there and not an empty folder: name another one, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with zips.disk_full(out), tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as name:
        draft = Path(name) / out.name
        draft.mkdir()
        yield draft
        draft.replace(out)
