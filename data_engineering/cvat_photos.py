"""One photo of a CVAT task: asked for at its original quality, checked, and in its place whole or not at all."""

from __future__ import annotations

from pathlib import Path

from cvat_sdk import Client

from data_engineering import cvat_server
from data_engineering.cvat_errors import CvatError
from quadrat import files, images

_TRIES = 3
_JPEG, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


def fetch(client: Client, task_id: int, frame: int, size_wh: tuple[int, int], place: Path, *, name: str = "") -> bool:
    """Fetch a photo, unless it lies whole in its place.

    Args:
        client: signed in; may be shared by threads.
        task_id: number of the task.
        frame: number of the photo in it.
        size_wh: width and height in px that CVAT says, EXIF turned.
        place: file to write.
        name: of the photo, for messages.

    Returns:
        Whether it was transferred.

    Raises:
        CvatError: it cannot be had, or what comes is not that photo.
        OSError: it cannot be written.
    """
    if is_kept(place, size_wh):
        return False
    doing = f"fetch photo {name or frame} of task {task_id}"
    for _ in range(_TRIES):
        wrong = _write(place, get(client, task_id, frame, doing), size_wh)
        if wrong is None:
            return True
    raise CvatError(f"{doing}: {wrong}; look at the photo in CVAT, then pull again")


def is_kept(place: Path, size_wh: tuple[int, int]) -> bool:
    """Whether a photo that `fetch` wrote, whole or not at all, lies in its place; its header is looked at."""
    try:
        return place.is_file() and images.read_size_wh(place) == size_wh
    except images.ImageError:
        return False


def _write(place: Path, data: bytes, size_wh: tuple[int, int]) -> str | None:
    """Write a photo; where it is not the whole one of that size, nothing, and why."""
    try:
        with files.atomic_write(place) as temporary:
            temporary.write_bytes(data)
            _check(temporary, size_wh)
    except images.ImageError as error:
        return str(error)
    return None


def get(client: Client, task_id: int, frame: int, doing: str) -> bytes:
    """The file of a photo as it was uploaded.

    Raises:
        CvatError: it cannot be had.
    """
    path = f"/api/tasks/{task_id}/data/"
    most = images.MAX_BYTES
    return cvat_server.get_bytes(client, path, doing, most=most, type="frame", number=frame, quality="original")


def _check(path: Path, size_wh: tuple[int, int]) -> None:
    """Refuse what is not the whole photo of that size.

    Raises:
        ImageError: why.
    """
    try:
        found = images.read_size_wh(path)
        if not _ends_well(path):
            images.read(path)  # decoding says whether pixels are missing
    except images.ImageError as error:
        raise images.ImageError(str(error).removeprefix(f"{path}: ")) from error
    if found != size_wh:
        raise images.ImageError(f"it has {found[0]} x {found[1]} px, and {size_wh[0]} x {size_wh[1]} px in CVAT")


def _ends_well(path: Path) -> bool:
    """Whether a JPEG ends with its mark, which one cut short does not; false for other files."""
    with path.open("rb") as file:
        if file.read(2) != _JPEG:
            return False
        file.seek(-2, 2)
        return file.read() == _JPEG_END
