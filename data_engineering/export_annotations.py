"""FiftyOne dataset -> annotations in other people's formats.

python -m data_engineering.export_annotations reef_2024 --format cvat --out reef_2024.zip
python -m data_engineering.export_annotations reef_2024 --format coco --out coco/ --field yolo
python -m data_engineering.export_annotations reef_2024 --format backup --out backup.zip --tags review fix

What a format cannot hold is counted and said; docs/formats.md has the table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_engineering.formats.losses import Losses


def main(
    name: str,
    out: Path,
    *,
    format: str = "cvat",
    field: str = "ground_truth",
    view: str | None = None,
    tags: Sequence[str] = (),
) -> Losses:
    """Write the shapes of a dataset.

    Args:
        name: of the dataset.
        out: file or folder to write, whole or not at all.
        format: one of `data_engineering.formats.known.FORMATS`.
        field: field family of drawn shapes, or a field of predictions.
        view: only photos and shapes of this saved view.
        tags: only photos with one of these tags.

    Returns:
        What the format could not hold.

    Raises:
        DatasetError: no such dataset, field or view.
        FormatError: no such format, or it cannot hold these photos at all.
    """
    from data_engineering import dataset
    from data_engineering.formats import known
    from data_engineering.formats.losses import Losses

    module = known.module_of(format)
    collection = dataset.collection_of(name, field, view=view, tags=tags)
    out.parent.mkdir(parents=True, exist_ok=True)
    return module.write(collection, out) or Losses()


def _parse(argv: list[str] | None) -> argparse.Namespace:
    from data_engineering.formats.known import WRITTEN

    parser = argparse.ArgumentParser(
        prog="python -m data_engineering.export_annotations", description=__doc__.splitlines()[0]
    )
    parser.add_argument("name", help="FiftyOne dataset")
    parser.add_argument("--format", choices=WRITTEN, default="cvat", help="default: cvat, for CVAT for images 1.1")
    parser.add_argument("--out", type=Path, required=True, help="file or folder to write")
    parser.add_argument("--field", default="ground_truth", help="of the shapes (default ground_truth)")
    parser.add_argument("--view", help="only what this saved view shows")
    parser.add_argument("--tags", nargs="+", default=(), metavar="TAG", help="only photos with one of these tags")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = _parse(None)
    try:
        lost = main(**vars(arguments))
    except (ValueError, OSError) as error:
        sys.exit(f"export_annotations: {error}")
    print(f"written: {arguments.out}")
    if lost:
        print(f"{arguments.format} cannot hold, and left out: {lost.words()}")
