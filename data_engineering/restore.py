"""Put a backup of a CVAT project or task into a CVAT server: `python -m data_engineering.restore BACKUP`.

python -m data_engineering.restore corals_backup.zip
CVAT_BACKUP_PASSWORD=… python -m data_engineering.restore corals_backup.7z --project

The server and who signs in stand in the environment: CVAT_URL, and CVAT_TOKEN or CVAT_USERNAME and CVAT_PASSWORD.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from data_engineering.cvat_restore import Restored


def main(
    backup: Path, *, kind: Literal["project", "task"] | None = None, again: bool = False, scratch: Path | None = None
) -> Restored:
    """Make a project or task of a backup.

    Args:
        backup: ``.zip``, ``.7z`` (its password stands in ``CVAT_BACKUP_PASSWORD``) or a folder that was unpacked.
        kind: what it should be; `None` takes what it is.
        again: make it though there is one of this name.
        scratch: folder with room for what a ``.7z`` holds, twice.

    Raises:
        ValueError: no backup, or the server does not take it.
    """
    from data_engineering import cvat_restore, cvat_server

    with cvat_server.connect() as client:
        return cvat_restore.restore(client, backup, kind=kind, again=again, scratch=scratch)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_engineering.restore", description=__doc__.splitlines()[0])
    parser.add_argument("backup", type=Path, help=".zip, .7z (password in CVAT_BACKUP_PASSWORD) or unpacked folder")
    kinds = parser.add_mutually_exclusive_group()
    for kind in ("project", "task"):
        text = f"refuse it unless it is the backup of a {kind}"
        kinds.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind, help=text)
    parser.add_argument("--again", action="store_true", help="restore it though there is one of this name")
    parser.add_argument("--scratch", type=Path, help="folder for temporary files, with room for a .7z unpacked")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        made = main(**vars(_parse(None)))
    except (ValueError, OSError) as error:
        sys.exit(f"restore: {error}")
    print(f"{made.kind} {made.name!r} is there as id {made.id}")
