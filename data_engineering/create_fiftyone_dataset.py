"""CVAT project, or files -> FiftyOne dataset: photos, shapes and where they come from. The server is only read.

python -m data_engineering.create_fiftyone_dataset "Fine-grained segmentation"
python -m data_engineering.create_fiftyone_dataset 12 --subsets train val --mode skip_existing
python -m data_engineering.create_fiftyone_dataset reef_2024 --from export.zip
python -m data_engineering.create_fiftyone_dataset reef_2024 --from annotations.json --photos photos/

``CVAT_URL`` names the server, ``CVAT_TOKEN`` or ``CVAT_USERNAME`` and ``CVAT_PASSWORD`` who signs in. Run it again to
bring the dataset up to date: only what changed is fetched. What people did in the app (tags, other fields) stays.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_engineering import file_names

if TYPE_CHECKING:
    from data_engineering.cvat_pull import PullResult
    from data_engineering.mirror import Changes, Settings, Source

MODES = {
    "task_tracking": "what is new or has changed is taken over (the default)",
    "skip_existing": "only tasks that the dataset does not have are taken over; changed ones stay as they are",
    "force_refresh": "all is taken over again, changed or not; photos that are there are not transferred again",
    "skip_if_exist": "nothing is done if the dataset exists",
}
STATUSES = ("annotation", "validation", "completed")
MEDIA = Path("data") / "pulled"
_SHOWN = 20


def main(
    project: str,
    *,
    mode: str = "task_tracking",
    subsets: Sequence[str] = (),
    statuses: Sequence[str] = ("completed",),
    source: Path | None = None,
    photos: Sequence[Path] = (),
    format: str | None = None,
    name: str | None = None,
    media: Path | None = None,
    pattern: str = file_names.PATTERN,
    tag_subsets: bool = False,
    workers: int = 4,
) -> Changes:
    """Make a dataset, or bring it up to date.

    Args:
        project: name or id of a CVAT project; with `source`, the name of the dataset.
        mode: one of `MODES`.
        subsets: only CVAT tasks of these; empty for all.
        statuses: only CVAT tasks of these.
        source: a file or folder to read instead of a server.
        photos: folders to look for the photos of `source` in.
        format: of `source`, one of `data_engineering.formats.known.FORMATS`; `None` finds out.
        name: of the dataset; `None` takes the project's.
        media: folder for photos that are fetched or unpacked; `None` makes one below ``data/pulled``. It belongs to
            the dataset: photos are looked at where they lie there.
        pattern: of file names, for area, year and quadrat.
        tag_subsets: photos of a CVAT subset train, validation or test get the tag of that split.
        workers: photos that are fetched at the same time.

    Returns:
        What changed, and what could not be kept as it was.

    Raises:
        ValueError: an argument that is none, a file that cannot be read, a server that does not answer or does not let
            us in: the message says what to do. What was pulled is kept, and the dataset is as it was.
    """
    from data_engineering import mirror

    if mode not in MODES:
        raise ValueError(f"mode {mode!r}: expected one of {', '.join(MODES)}")
    file_names.parse("", pattern)  # refuses a pattern before any work
    settings = mirror.Settings(pattern=pattern, tag_subsets=tag_subsets)
    if source is not None:
        name = name or project
        if mode == "skip_if_exist" and _exists(name):
            return mirror.Changes(name)
        folder = media or MEDIA / _folder_name(name)
        found = _of_file(source, photos, format, folder)
        known = mirror.stamps_of(name)
        if mode == "skip_existing" and found.key in known:
            return mirror.Changes(name, unchanged=[found.key])
        return mirror.mirror(name, [found], settings, again=mode == "force_refresh")
    return _of_server(project, mode, subsets, statuses, name, media, settings, workers)


def _exists(name: str) -> bool:
    from data_engineering.labels import fo

    return bool(fo.dataset_exists(name))


def _folder_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "dataset"


# ---------------------------------------------------------------------------------------------- from a server


def _of_server(
    wanted: str,
    mode: str,
    subsets: Sequence[str],
    statuses: Sequence[str],
    name: str | None,
    media: Path | None,
    settings: Settings,
    workers: int,
) -> Changes:
    from data_engineering import cvat_pull, cvat_server, cvat_store, mirror

    if mode == "skip_if_exist" and name and _exists(name):
        return mirror.Changes(name)
    with cvat_server.connect() as client:
        project = cvat_server.find_project(client, wanted)
        name = name or project.name
        if mode == "skip_if_exist" and _exists(name):
            return mirror.Changes(name)
        store = media or MEDIA / f"{_folder_name(project.name)}-{project.id}"
        known = mirror.stamps_of(name)
        prefix = f"project {project.id} of {project.raw.get('created_date')} task "  # whatever the server's address is
        pulled = cvat_pull.pull(
            client,
            project,
            store,
            subsets=subsets,
            statuses=statuses,
            wanted=(lambda stamp: f"{prefix}{stamp.task_id}" not in known) if mode == "skip_existing" else None,
            workers=workers,
            force=mode == "force_refresh",
        )
    there = {f"{prefix}{task_id}" for task_id in cvat_store.listed_ids(store)}
    gone = [key for key in known if key.startswith(prefix) and key not in there]
    changes = mirror.mirror(name, _sources(pulled, store, prefix), settings, gone=gone, again=mode == "force_refresh")
    changes.problems[:0] = pulled.failed
    changes.left_out = len(pulled.left_out)
    return changes


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _sources(pulled: PullResult, store: Path, prefix: str) -> Iterator[Source]:
    from tqdm import tqdm

    from data_engineering import cvat_store
    from data_engineering.mirror import Source

    for task_id, stamp in tqdm(pulled.tasks.items(), desc="dataset", unit="task", disable=not pulled.tasks):
        folder = cvat_store.folder_of(store, task_id)
        yield Source(f"{prefix}{task_id}", _digest(stamp), lambda folder=folder: cvat_store.read_task(folder))


# ---------------------------------------------------------------------------------------------- from files


def _of_file(source: Path, photos: Sequence[Path], format: str | None, folder: Path) -> Source:
    from data_engineering.formats import known
    from data_engineering.mirror import Source

    module = known.module_of(format or known.detect(source))
    return Source(
        f"file {source.name}",
        _stamp_of(source, photos),
        lambda: module.read(source, photos=list(photos), extract_to=folder),
    )


def _stamp_of(source: Path, photos: Sequence[Path]) -> str:
    """What tells whether a file, or one in a folder, was written since; the folders of photos count as well."""
    paths = [source, *photos]
    within = sorted(path for folder in paths if folder.is_dir() for path in folder.rglob("*"))
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in (*paths, *within) if path.is_file()]
    return _digest(facts)


# ---------------------------------------------------------------------------------------------- the command


def describe(changes: Changes) -> str:
    """What a run did, in words, with the first problems."""
    taken, same, gone = len(changes.sources), len(changes.unchanged), len(changes.removed_sources)
    lines = [
        f"dataset {changes.dataset!r}: {taken} taken over, {same} as before, {gone} gone; photos: "
        f"{changes.added} added, {changes.updated} brought up to date, {changes.removed} removed"
    ]
    if changes.left_out:
        tasks = "1 task was" if changes.left_out == 1 else f"{changes.left_out} tasks were"
        lines.append(
            f"{tasks} left out: not completed (--statuses), of another subset (--subsets) or skipped by --mode"
        )
    elif not taken + same + gone and not changes.problems:
        lines.append("the project has no task, or the dataset is there and --mode skips it")
    if changes.problems:
        lines.append(f"{len(changes.problems)} problem{'s' if len(changes.problems) > 1 else ''}:")
        lines += [f"  {problem}" for problem in changes.problems[:_SHOWN]]
    if len(changes.problems) > _SHOWN:
        lines.append(f"  and {len(changes.problems) - _SHOWN} more: python -m data_engineering.report lists them")
    return "\n".join(lines)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m data_engineering.create_fiftyone_dataset", description=__doc__.splitlines()[0]
    )
    parser.add_argument("project", help="name or id of a CVAT project; with --from, the name of the dataset")
    parser.add_argument("--mode", choices=MODES, default="task_tracking", help="; ".join(map(": ".join, MODES.items())))
    parser.add_argument("--subsets", nargs="+", default=(), metavar="NAME", help="only tasks of these CVAT subsets")
    parser.add_argument(
        "--statuses", nargs="+", choices=STATUSES, default=("completed",), help="of tasks (default: completed ones)"
    )
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="read a file or folder, no server")
    parser.add_argument("--photos", type=Path, nargs="+", default=(), metavar="DIR", help="where its photos lie")
    parser.add_argument("--format", help="of the file, if it is not found out: see docs/formats.md")
    parser.add_argument("--name", help="of the dataset (default: the project's)")
    parser.add_argument("--media", type=Path, metavar="DIR", help=f"for the photos (default: one below {MEDIA})")
    parser.add_argument("--pattern", default=file_names.PATTERN, help=f"of file names (default {file_names.PATTERN})")
    parser.add_argument(
        "--tag-subsets", action="store_true", help="tag photos train, val or test as their CVAT subset says"
    )
    parser.add_argument("--workers", type=int, default=4, help="photos fetched at the same time (default 4)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        outcome = main(**vars(_parse(None)))
    except (ValueError, OSError) as error:
        sys.exit(f"create_fiftyone_dataset: {error}")
    print(describe(outcome))
    sys.exit(1 if outcome.problems else 0)
