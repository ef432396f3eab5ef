"""The photos that an archive or folder has for what was drawn, put where they can be used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from data_engineering.formats import zips
from data_engineering.formats.collection import FormatError
from data_engineering.formats.zips import Archive
from data_engineering.match import MatchError, Photos
from quadrat import images
from quadrat.drawn import DrawnPhoto


class PhotoFiles:
    """Finds the file of a photo: in the archive, else in folders.

    Args:
        archive: with the photos, perhaps without any.
        folders: to look in for what the archive has not.
        extract_to: folder to put photos of the archive in; without one they stay there and only `folders` help.
        members: of the archive that may be photos.
    """

    def __init__(
        self, archive: Archive, folders: Sequence[Path], extract_to: Path | None, members: Iterable[str] = ()
    ) -> None:
        self._archive = archive
        self._to = extract_to
        self._targets = zips.targets(members)
        self._photos = Photos([str(path) for folder in folders for path in _listed(Path(folder))])

    def place(self, photo: DrawnPhoto, members: Sequence[str]) -> DrawnPhoto:
        """The photo with its path; a problem is added where it has none, or where its size is not the one drawn on.

        Args:
            photo: as the file of annotations has it.
            members: of the archive that it may be, the likeliest first.

        Raises:
            FormatError: the archive is damaged, or the disk full.
        """
        path, problem = self._find(photo, members)
        if path is None:
            return replace(photo, problems=(*photo.problems, f"{photo.name}: {problem}"))
        problem = _size_problem(photo, path)
        return replace(photo, path=path, problems=(*photo.problems, *([problem] if problem else [])))

    def _find(self, photo: DrawnPhoto, members: Sequence[str]) -> tuple[Path | None, str]:
        member = next((name for name in members if zips.safe(name) and self._archive.has(name)), None)
        if member is not None and (self._to is not None or not self._archive.sizes):
            target = (self._to or Path()) / self._targets.get(member, member)
            return self._archive.put(member, target).resolve(), ""
        try:
            return Path(self._photos.find(photo.name)), ""
        except MatchError as error:
            fix = "say where to extract the photos to" if member else "give the folder where the photo is"
            return None, f"its photo was not found ({error}): {fix}"


def _listed(folder: Path) -> list[Path]:
    try:
        return [path.resolve() for path in images.list_photos(folder)]
    except ValueError as error:
        raise FormatError(str(error)) from error


def _size_problem(photo: DrawnPhoto, path: Path) -> str:
    try:
        size_wh = images.read_size_wh(path)
    except (OSError, ValueError) as error:
        return f"{photo.name}: its file cannot be read as a photo ({error}): get it from where it came"
    if size_wh == photo.size_wh:
        return ""
    (width, height), (drawn_width, drawn_height) = size_wh, photo.size_wh
    return (
        f"{photo.name}: the file is {width} x {height} px, but was drawn on as {drawn_width} x {drawn_height} px: "
        f"shapes may lie wrong; give the photo that was drawn on ({path})"
    )


@contextmanager
def format_errors(where: Path) -> Iterator[None]:
    """What readers of `quadrat` raise, as `FormatError`.

    Raises:
        FormatError: for any `ValueError`; the message names `where`.
    """
    try:
        yield
    except ValueError as error:
        text = str(error)
        if isinstance(error, FormatError) and str(where) in text:
            raise
        raise FormatError(text if str(where) in text else f"{where}: {text}") from error
