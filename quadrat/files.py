"""Writing without loss: a file is whole under its own name or not there at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well, remove it when it fails.

    Folders above are made. The temporary name keeps the suffix of `path`, so that writers that choose a format by
    suffix work on it.

    Args:
        path: the file to write.

    Yields:
        A path of an empty file in the same folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: object, *, indent: int | None = 1) -> None:
    """Write `value` as JSON; NaN and infinities are refused with a `ValueError`."""
    write_text(path, json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent) + "\n")


def put_in_place(made: Path, target: Path) -> Path:
    """Move a file or folder to its name on the same disk, and return that; what was there is gone only then."""
    old = target.with_name(f".{target.name}.old")
    if target.exists():
        target.rename(old)
    made.rename(target)
    if old.is_dir():
        shutil.rmtree(old)
    else:
        old.unlink(missing_ok=True)
    return target


def distinct_names(paths: Iterable[PurePath]) -> list[str]:
    """Paths without suffix, to name what is made of each.

    Where two would be the same, the second keeps its suffix, and a number if that is not enough.
    """
    names: dict[str, None] = {}
    for path in paths:
        choices = [path.with_suffix("").as_posix(), path.as_posix()]
        choices += [f"{path.as_posix()}-{number}" for number in range(2, len(names) + 3)]
        names[next(choice for choice in choices if choice not in names)] = None
    return list(names)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
