"""Which photo of a dataset is meant: by path, else by file name, else by file name without suffix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath


class MatchError(ValueError):
    """No photo is meant, or several could be."""


class Photos:
    """The photos of a dataset.

    Args:
        paths: absolute paths, each once.
    """

    def __init__(self, paths: Iterable[str]):
        self.paths = [PurePath(path) for path in paths]
        self._whole = set(self.paths)
        self._by_name: dict[str, list[PurePath]] = {}
        self._by_stem: dict[str, list[PurePath]] = {}
        for path in self.paths:
            self._by_name.setdefault(path.name, []).append(path)
            self._by_stem.setdefault(path.stem, []).append(path)

    def find(self, photo: str | PurePath) -> str:
        """The path of the photo that is meant.

        Among photos of one name those win that lie in folders of the same names: ``site_a/1.jpg`` finds
        ``/data/site_a/1.jpg`` and not ``/data/site_b/1.jpg``.

        Args:
            photo: a path, absolute or relative to anything, or a bare name.

        Raises:
            MatchError: none or several; the message names them.
        """
        wanted = PurePath(photo)
        if wanted.is_absolute() and (whole := PurePath(Path(wanted).resolve())) in self._whole:
            return str(whole)
        for candidates in (self._by_name.get(wanted.name, []), self._by_stem.get(wanted.stem, [])):
            if candidates:
                return str(_nearest(wanted, candidates))
        raise MatchError(f"no photo is called {wanted.name!r}, nor {wanted.stem!r} with another suffix")


def _nearest(wanted: PurePath, candidates: Sequence[PurePath]) -> PurePath:
    shared = [_same_folders(wanted, path) for path in candidates]
    best = [path for path, count in zip(candidates, shared, strict=True) if count == max(shared)]
    if len(best) > 1:
        raise MatchError(
            f"{str(wanted)!r} may be any of {len(best)} photos ({', '.join(map(str, best[:3]))}): give more of the path"
        )
    return best[0]


def _same_folders(a: PurePath, b: PurePath) -> int:
    """Number of folders, from the innermost outwards, that have the same names."""
    count = 0
    for ours, theirs in zip(reversed(a.parts[:-1]), reversed(b.parts[:-1]), strict=False):
        if ours != theirs:
            break
        count += 1
    return count
