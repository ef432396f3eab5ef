"""Archives (.zip, .7z) and unpacked folders, opened so that nothing in them can do harm."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from data_engineering.formats.collection import FormatError
from quadrat import files

PASSWORD = "CVAT_BACKUP_PASSWORD"
MAX_MEMBERS = 1_000_000
MAX_BYTES = 1 << 40
MAX_RATIO = 1_000
_RATIO_FROM = 1 << 30  # bytes unpacked; what is smaller may be packed as tightly as it likes
_COPY = 1 << 20
_OF_CVAT = ("project.json", "task.json", "annotations.xml")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OverflowError)


class Archive:
    """Members by name, read one by one.

    Attributes:
        path: of the archive or folder.
        sizes: name of each member (with ``/``, relative) -> bytes; a folder lists none beforehand.
    """

    def __init__(self, path: Path, sizes: Mapping[str, int]):
        self.path = path
        self.sizes = sizes

    def has(self, name: str) -> bool:
        """Whether there is a member of this name."""
        return name in self.sizes

    def under(self, pattern: str) -> list[str]:
        """Names of the members that the regular expression matches from their beginning."""
        return [name for name in self.sizes if re.match(pattern, name)]

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A member as a stream of bytes.

        Raises:
            FormatError: it is not there, or damaged.
        """
        raise NotImplementedError
        yield

    def read(self, name: str) -> bytes:
        """A whole member; for small ones."""
        with self.open(name) as stream:
            return stream.read()

    def put(self, name: str, target: Path) -> Path:
        """A member as a file: `target`, written whole or not at all, and kept where it is there with the same size.

        Raises:
            FormatError: it is damaged, or the disk is full.
        """
        if target.is_file() and target.stat().st_size == self.sizes[name]:
            return target
        with (
            self.open(name) as stream,
            disk_full(target),
            files.atomic_write(target) as temporary,
            temporary.open("wb") as out,
        ):
            shutil.copyfileobj(stream, out, _COPY)
        return target


class _Zip(Archive):
    def __init__(self, path: Path, archive: zipfile.ZipFile):
        super().__init__(path, {one.filename: one.file_size for one in archive.infolist() if not one.is_dir()})
        self._archive = archive

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with self._archive.open(name) as stream:
                yield stream
        except KeyError:
            raise FormatError(f"{self.path}: {name} is not in it") from None
        except RuntimeError as error:  # of a wrong password, or none
            raise FormatError(f"{self.path}: {name} is locked: set {PASSWORD} to its password ({error})") from error
        except _DAMAGED as error:
            raise FormatError(f"{self.path}: {name} in it is damaged ({error}): fetch the file again") from error


class _Folder(Archive):
    def __init__(self, path: Path):
        super().__init__(path, {})

    def has(self, name: str) -> bool:
        return safe(name) and (self.path / name).is_file()

    def under(self, pattern: str) -> list[str]:
        names = (path.relative_to(self.path).as_posix() for path in sorted(self.path.rglob("*")) if path.is_file())
        return [name for name in names if re.match(pattern, name)]

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        if not self.has(name):
            raise FormatError(f"{self.path}: {name} is not in it")
        with (self.path / name).open("rb") as stream:
            yield stream

    def put(self, name: str, target: Path) -> Path:
        """The file where it lies; nothing is copied."""
        return self.path / name


class _Unpacked(_Folder):
    """A folder that is removed later, so that what is needed of it is copied."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.sizes = {name: (path / name).stat().st_size for name in self.under("")}

    def put(self, name: str, target: Path) -> Path:
        return Archive.put(self, name, target)


@contextmanager
def opened(path: Path, *, scratch: Path | None = None) -> Iterator[Archive]:
    """Open a ``.zip``, a ``.7z`` or a folder that was unpacked from one. A zip file alone in a ``.7z`` is opened too.

    Args:
        path: of it.
        scratch: folder on a disk with room for all that a ``.7z`` holds; else the system's folder of temporary files.

    Raises:
        FormatError: not there, no archive, damaged, locked (the password stands in the environment, see `PASSWORD`),
            larger than `MAX_BYTES` or `MAX_MEMBERS`, or with a member that would be written outside its folder.
    """
    if path.is_dir():
        yield _Folder(path)
    elif not path.is_file():
        raise FormatError(f"{path}: no such file or folder")
    elif path.suffix.lower() == ".7z":
        with _unpacked(path, scratch) as folder:
            inner = _inner(folder)
            if inner.is_dir():
                yield _Unpacked(inner)
            else:
                with _zip(inner) as archive:
                    yield _Zip(inner, archive)
    else:
        with _zip(path) as archive:
            yield _Zip(path, archive)


def _inner(folder: Path) -> Path:
    """What was locked away in a ``.7z``: often CVAT's own zip file, or the folder that it was unpacked to."""
    entries = list(folder.iterdir())
    if len(entries) != 1:
        return folder
    if entries[0].suffix.lower() == ".zip":
        return entries[0]
    return entries[0] if any((entries[0] / name).is_file() for name in _OF_CVAT) else folder


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    if not zipfile.is_zipfile(path):
        raise FormatError(f"{path}: not a zip file, or one that was cut off: fetch it again from where it came")
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise FormatError(f"{path}: damaged ({error}): fetch it again from where it came") from error
    with archive:
        members = archive.infolist()
        links = [one.filename for one in members if stat.S_ISLNK(one.external_attr >> 16)]
        _check(path, [one.filename for one in members], links, sum(one.file_size for one in members))
        if any(one.flag_bits & 1 for one in members):
            archive.setpassword(_password(path).encode())
        yield archive


@contextmanager
def _unpacked(path: Path, scratch: Path | None) -> Iterator[Path]:
    """A ``.7z`` unpacked to a folder that is removed afterwards: its members cannot be read one by one."""
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".7z-") as folder:
        _unpack(path, Path(folder))
        yield Path(folder)


def _unpack(path: Path, folder: Path) -> None:
    import lzma

    import py7zr
    from py7zr.exceptions import ArchiveError, PasswordRequired

    try:
        with disk_full(folder), py7zr.SevenZipFile(path, password=os.environ.get(PASSWORD) or None) as archive:
            if archive.needs_password():
                _password(path)
            members = archive.list()
            links = [one.filename for one in members if getattr(one, "is_symlink", False)]
            _check(path, [one.filename for one in members], links, sum(one.uncompressed or 0 for one in members))
            archive.extractall(folder)
    except PasswordRequired:
        raise FormatError(f"{path}: locked: set {PASSWORD} to its password") from None
    except (ArchiveError, lzma.LZMAError, zlib.error, EOFError, ValueError, TypeError) as error:
        if isinstance(error, FormatError):
            raise
        locked = f" or locked with another password than {PASSWORD} says" if os.environ.get(PASSWORD) else ""
        raise FormatError(f"{path}: not a 7z file, damaged{locked} ({error!r}): fetch it again") from error


def _password(path: Path) -> str:
    password = os.environ.get(PASSWORD)
    if not password:
        raise FormatError(f"{path}: locked: set {PASSWORD} to its password")
    return password


def _check(path: Path, names: list[str], links: list[str], total: int) -> None:
    """Refuse, before anything is written, what no honest archive of photos has."""
    bad = next((name for name in names if not safe(name)), None)
    if bad is not None:
        raise FormatError(f"{path}: its member {bad!r} would be written outside the folder: it is not opened")
    if links:
        raise FormatError(f"{path}: its member {links[0]!r} is a link: it is not opened, pack files only")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise FormatError(f"{path}: its member {twice[0]!r} is there twice: pack it once")
    if len(names) > MAX_MEMBERS or total > MAX_BYTES:
        raise FormatError(f"{path}: {len(names)} members of {total} bytes: more than {MAX_MEMBERS} or {MAX_BYTES}")
    if total > _RATIO_FROM and total > MAX_RATIO * path.stat().st_size:
        raise FormatError(f"{path}: would unpack to {total} bytes, over {MAX_RATIO} times its size: it is not opened")


def safe(name: str) -> bool:
    """Whether `name` stays below the folder it is put in, on every system."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not (
        ".." in parts or name.startswith("/") or "\\" in name or "\0" in name or re.match(r"[A-Za-z]:", name)
    )


def targets(names: Iterable[str]) -> dict[str, str]:
    """Where to put each: under its own name, but with a number where two differ in upper and lower case alone.

    On many disks the second would overwrite the first.
    """
    taken: set[str] = set()
    found: dict[str, str] = {}
    for name in names:
        path, number, choice = PurePosixPath(name), 1, name
        while choice.casefold() in taken:
            number += 1
            choice = path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
        taken.add(choice.casefold())
        found[name] = choice
    return found


@contextmanager
def disk_full(target: Path) -> Iterator[None]:
    """A full disk as a `FormatError` that says which one, and that what is there already is kept.

    Raises:
        FormatError: the disk, or what one may use of it, is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FormatError(
            f"{target}: the disk is full: make room and start again, photos that are there already are kept"
        ) from error
