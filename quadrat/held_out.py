"""The test photos of a prepared folder, and the refusal to train on them.

``held_out.json`` in a prepared folder names the photos of its test split and what they hold. A training asks `check`
before it begins: a photo that was moved, renamed or pointed at from elsewhere is still known. Photos that were encoded
anew are not: `data_engineering.leakage` finds those.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from quadrat import files

FILE = "held_out.json"
TEST = "test"
_PART = 64 * 1024
_SHOWN = 5
_UPWARDS = 4  # folders above a photo in which its prepared folder may lie


class HeldOutError(ValueError):
    """A training would see photos of a test split."""


def write(folder: Path, photos: Mapping[str, Iterable[Path]]) -> None:
    """List the photos that training must not see, and see that no other split holds one of them too.

    Args:
        folder: gets the list.
        photos: ``train``, ``val`` and ``test`` -> their photos, as they lie in the folder.

    Raises:
        HeldOutError: one file is in the test split and in another, under two names.
    """
    known = {photo.stem: digest(photo) for photo in sorted(photos[TEST])}
    used = {split: list(there) for split, there in photos.items() if split != TEST}
    only = bool(known) and not any(used.values())
    files.write_json(folder / FILE, {"only": only, "photos": known})
    if not only:
        check(folder, used)


def check(folder: Path, used: Mapping[str, Iterable[Path]]) -> None:
    """Refuse to train or validate on photos that are held out, here or in the prepared folder they lie in.

    Args:
        folder: the prepared folder; one without a list holds out what lies in its test split now.
        used: ``train`` and ``val`` -> their photos.

    Raises:
        HeldOutError: some of the photos are; the message names them and says what to do.
    """
    if _listed(folder).get("only"):
        raise HeldOutError(
            f"{folder} was prepared with --only {TEST}: its photos are for evaluation, and training reads no test "
            "split; prepare a folder without --only to train on"
        )
    taken = {split: list(photos) for split, photos in used.items()}
    roots = {folder.resolve(), *(root for photos in taken.values() for root in _roots(photos))}
    held = _Held({root: _held_out(root) for root in roots})
    for split, photos in taken.items():
        found = [words for photo in photos if (words := held.words(photo))]
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise HeldOutError(
                f"photos for {split} are of the test split, which training never reads: {', '.join(found[:_SHOWN])}"
                f"{more}; take them out of one of the two, or give both the same tag, and prepare the folder again"
            )


class _Held:
    """Held-out photos of prepared folders: names count within their folder, what a file holds counts everywhere."""

    def __init__(self, names: Mapping[Path, Mapping[str, str]]) -> None:
        self._names = names
        self._digests = {known: name for held in names.values() for name, known in held.items()}
        self._sizes = {known.partition(":")[0] for known in self._digests}
        self._own: dict[Path, set[str]] = {}

    def words(self, photo: Path) -> str:
        """The photo in words if it is held out, else empty."""
        if photo.stem in self._names_at(photo.absolute().parent):
            return photo.name
        if str(photo.stat().st_size) not in self._sizes:
            return ""
        name = self._digests.get(digest(photo))
        return f"{photo.name} (the same file as {name})" if name else ""

    def _names_at(self, place: Path) -> set[str]:
        if place not in self._own:
            above = {up.resolve() for up in (place, *place.parents)}
            self._own[place] = {name for root, names in self._names.items() if root in above for name in names}
        return self._own[place]


def digest(photo: Path) -> str:
    """What a file holds, in short: its size and a hash of its first and last 64 KiB."""
    size = photo.stat().st_size
    with photo.open("rb") as file:
        part = file.read(_PART)
        if size > 2 * _PART:
            file.seek(-_PART, 2)
        part += file.read(_PART)
    return f"{size}:{hashlib.sha256(part).hexdigest()}"


def _listed(folder: Path) -> Mapping[str, object]:
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        raw = json.loads(path.read_text("utf-8"))
        if isinstance(raw, dict) and isinstance(raw["photos"], dict):
            return raw
    except (ValueError, KeyError):
        pass
    raise HeldOutError(f"{path} is no list of held-out photos: prepare {folder} again")


def _held_out(root: Path) -> dict[str, str]:
    """Name without suffix -> digest of the photos that a prepared folder holds out."""
    photos = _listed(root).get("photos")
    if isinstance(photos, dict):
        return {str(name): str(known) for name, known in photos.items()}
    return {photo.stem: digest(photo) for photo in _in_test(root)}


def _in_test(root: Path) -> list[Path]:
    """The test photos of a folder without a list, as any of the modules lays them."""
    places = [root / kind / TEST for kind in ("images", "clean")] + [root / TEST / "data"]
    return [path for place in places if place.is_dir() for path in sorted(place.iterdir()) if path.is_file()]


def _roots(photos: Iterable[Path]) -> set[Path]:
    """The prepared folders that photos lie in, other than links lead to."""
    folders = {photo.absolute().parent for photo in photos}
    above = {up for folder in folders for up in [folder, *folder.parents][:_UPWARDS]}
    return {up.resolve() for up in above if (up / FILE).is_file()}
