"""A folder of photographs on which nothing is drawn yet: the beginning of a dataset. It is read, not written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_engineering.formats.collection import Collection, FormatError
from data_engineering.formats.losses import Losses
from quadrat import images
from quadrat.drawn import DrawnPhoto


def read(path: Path, *, photos: Sequence[Path] = (), extract_to: Path | None = None) -> Collection:
    """Read the photographs in a folder and the folders in it; they stay where they lie.

    Args:
        path: the folder.
        photos: no matter.
        extract_to: no matter.

    Returns:
        Photos named by where they lie below `path`; one that is none says so in its problems.

    Raises:
        FormatError: no folder, or no photograph in it.
    """
    if not Path(path).is_dir():
        raise FormatError(f"{path}: expected a folder with photographs")
    try:
        found = images.list_photos(path)
    except FileNotFoundError as error:
        raise FormatError(str(error)) from None
    return Collection((_photo(each, Path(path)) for each in found), name=Path(path).name)


def _photo(path: Path, root: Path) -> DrawnPhoto:
    name = path.relative_to(root).as_posix()
    try:
        return DrawnPhoto(name, images.read_size_wh(path), path=path)
    except (OSError, ValueError) as error:
        return DrawnPhoto(name, (1, 1), problems=(f"{name}: {error}; it is left out",))


def write(collection: Collection, out: Path) -> Losses:
    """Refuse to write.

    Raises:
        FormatError: always.
    """
    raise FormatError(f"{out}: photographs alone are no annotations: choose another format")
