"""A backup of a CVAT project or task back into a server."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from cvat_sdk import Client
from cvat_sdk.core.helpers import DeferredTqdmProgressReporter
from tqdm import tqdm

from data_engineering import cvat_server
from data_engineering.cvat_errors import CvatError, translated
from data_engineering.formats import zips
from data_engineering.formats.collection import FormatError

Kind = Literal["project", "task"]

_COPY = 2**20
_PACKED_ALREADY = (".jpg", ".jpeg", ".png", ".webp", ".zip")


@dataclass(frozen=True)
class Restored:
    """What a backup became.

    Attributes:
        kind: ``project`` or ``task``.
        id: its number on the server.
        name: as the backup has it.
    """

    kind: Kind
    id: int
    name: str


def restore(
    client: Client, backup: Path, *, kind: Kind | None = None, again: bool = False, scratch: Path | None = None
) -> Restored:
    """Make a project or task of a backup.

    Who annotated, issues, webhooks and the states of jobs are in no backup.

    Args:
        client: of `cvat_server.connect`.
        backup: ``.zip`` as CVAT makes it, or the same as ``.7z`` or in a folder, which are packed for CVAT first.
        kind: what it should be; `None` takes what it is.
        again: make it though there is one of this name.
        scratch: folder with room for all that the backup holds twice; else the system's.

    Raises:
        FormatError: no backup, a damaged one, or one of another kind.
        CvatError: there is a project or task of this name already, or the server fails.
    """
    backup = Path(backup)
    with zips.opened(backup, scratch=scratch) as archive:
        found, name = _look(archive)
        if kind not in (None, found):
            raise FormatError(f"{backup} is the backup of a {found}, not of a {kind}")
        doing = f"restore the {found} {name!r}"
        if not again:
            _refuse_second(client, found, name, doing)
        with _as_zip(archive, backup, scratch) as packed, translated(doing):
            repository = client.projects if found == "project" else client.tasks
            made = repository.create_from_backup(packed, pbar=DeferredTqdmProgressReporter())
    return Restored(found, int(made.id), name)


def _look(archive: zips.Archive) -> tuple[Kind, str]:
    kinds: tuple[Kind, ...] = ("project", "task")
    kind = next((one for one in kinds if archive.has(f"{one}.json")), None)
    if kind is None:
        raise FormatError(
            f"{archive.path} holds neither project.json nor task.json: it is no backup of CVAT's (an export is read by "
            "create_fiftyone_dataset)"
        )
    try:
        return kind, str(json.loads(archive.read(f"{kind}.json"))["name"])
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{archive.path}: its {kind}.json is damaged ({error!r}): make the backup again") from error


def _refuse_second(client: Client, kind: Kind, name: str, doing: str) -> None:
    there = [str(one["id"]) for one in cvat_server.get_all(client, f"/api/{kind}s", doing, name=name)]
    if there:
        raise CvatError(
            f"the server has a {kind} {name!r} already (id {', '.join(there)}); perhaps an earlier restore made it. "
            "Delete or rename it there, or say --again"
        )


@contextmanager
def _as_zip(archive: zips.Archive, backup: Path, scratch: Path | None) -> Iterator[Path]:
    """The backup as a zip that CVAT can open, every member of it whole."""
    if backup.is_file() and backup.suffix.lower() != ".7z" and not _is_locked(backup):
        for name in tqdm(archive.under(""), desc="check", unit="file"):
            with archive.open(name) as stream:
                _copy(stream, None)
        yield backup
        return
    with tempfile.TemporaryDirectory(dir=scratch, prefix="quadratseg-restore-") as folder:
        packed = Path(folder) / f"{backup.stem}.zip"
        with zips.disk_full(packed), zipfile.ZipFile(packed, "w") as made:
            for name in tqdm(archive.under(""), desc="pack", unit="file"):
                how = zipfile.ZIP_STORED if name.lower().endswith(_PACKED_ALREADY) else zipfile.ZIP_DEFLATED
                entry = zipfile.ZipInfo(name)
                entry.compress_type = how
                with archive.open(name) as stream, made.open(entry, "w", force_zip64=True) as target:
                    _copy(stream, target)
        yield packed


def _is_locked(backup: Path) -> bool:
    with zipfile.ZipFile(backup) as archive:
        return any(one.flag_bits & 1 for one in archive.infolist())


def _copy(stream: IO[bytes], target: IO[bytes] | None) -> None:
    while chunk := stream.read(_COPY):
        if target is not None:
            target.write(chunk)
