"""Annotate a CVAT task with a function: `python -m data_engineering.annotate TASK --function URL`.

python -m data_engineering.annotate 33 --function http://127.0.0.1:8070/functions/pth-yolo-coralseg --threshold 0.5
python -m data_engineering.annotate 33 --function URL --replace-auto --dry-run

Photos with anything on them are left alone; with --replace-auto shapes whose source is auto are replaced, and only
those. The server and who signs in stand in the environment: CVAT_URL, and CVAT_TOKEN or CVAT_USERNAME and
CVAT_PASSWORD; QUADRAT_TOKEN where the function's host asks for one.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_engineering.cvat_annotate import Annotated


def main(
    task: int,
    function: str,
    *,
    threshold: float | None = None,
    replace_auto: bool = False,
    masks: bool = False,
    dry_run: bool = False,
) -> Annotated:
    """Ask a function for every photo of a task, and draw what it answers.

    Args:
        task: number of the task.
        function: URL that takes a photo.
        threshold: lowest score, 0..1; `None` for the function's own.
        replace_auto: replace shapes whose source is auto, and only those.
        masks: keep masks as masks on labels for polygons too.
        dry_run: ask, and write nothing.

    Raises:
        ValueError: the server or the function cannot be used.
    """
    from data_engineering import cvat_annotate, cvat_server

    with cvat_server.connect() as client:
        return cvat_annotate.annotate(
            client, task, function, threshold=threshold, replace_auto=replace_auto, masks=masks, dry_run=dry_run
        )


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_engineering.annotate", description=__doc__.splitlines()[0])
    parser.add_argument("task", type=int, help="number of the task in CVAT")
    parser.add_argument("--function", required=True, metavar="URL", help="such as http://HOST:8070/functions/NAME")
    parser.add_argument("--threshold", type=float, help="lowest score, 0..1 (default: the function's own)")
    parser.add_argument("--replace-auto", action="store_true", help="replace shapes whose source is auto, no others")
    parser.add_argument("--masks", action="store_true", help="keep masks as masks on labels for polygons too")
    parser.add_argument("--dry-run", action="store_true", help="ask the function, and write nothing")
    return parser.parse_args(argv)


def _told(done: Annotated, dry_run: bool) -> str:
    would = "would be " if dry_run else ""
    text = f"{done.shapes} shapes {would}drawn on {done.photos} photos, {done.removed} {would}taken out"
    alone = f"; {len(done.left_alone)} photos had something on them and were left alone" if done.left_alone else ""
    return text + alone


if __name__ == "__main__":
    arguments = _parse(None)
    try:
        done = main(**vars(arguments))
    except (ValueError, OSError) as error:
        sys.exit(f"annotate: {error}")
    for sentence in (*done.notes, *(f"nothing for {one}" for one in done.failed)):
        print(sentence, file=sys.stderr)
    print(_told(done, arguments.dry_run))
    sys.exit(1 if done.failed else 0)
