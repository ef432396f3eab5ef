"""Put a predictions file or folder into a field of a FiftyOne dataset.

    python -m data_engineering.attach predictions reef_2024 --field yolo
    python -m data_engineering.attach predictions/coco.json reef_2024 --field yolo --overwrite

Takes what every `predict` command writes: its output folder, its folder of shapes JSON, one such file, or COCO JSON.
Photos are matched by path, file name, or file name without suffix; nothing is written before every one is found. Called
again after it was cut short, it fills the field anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from data_engineering.match import MatchError, Photos
from quadrat.formats import coco, shapes_json
from quadrat.shapes import Annotations

if TYPE_CHECKING:
    from data_engineering.dataset import Item

SHOWN = 8


def main(
    predictions: Path, name: str, *, field: str, overwrite: bool = False, skip_unmatched: bool = False
) -> tuple[int, list[str]]:
    """Attach predictions.

    Args:
        predictions: output folder of a `predict` command, folder of shapes JSON, a shapes JSON or a COCO JSON file.
        name: of the dataset.
        field: gets the instances; keypoints go to ``<field>_keypoints``.
        overwrite: replace what the field holds.
        skip_unmatched: leave out predictions of photos that the dataset does not have.

    Returns:
        The number of photos that got predictions, and what was left out, with the reason.

    Raises:
        ValueError: unreadable predictions; photos that are not found, may be several or are meant twice; a field that
            holds something already.
    """
    names, read = _source(predictions)
    from data_engineering import dataset

    photos = Photos(dataset.load(name).values("filepath"))
    found, problems = _match(names, photos)
    if problems and not (skip_unmatched and found):
        listed = "\n  ".join([*problems[:SHOWN], *(["…"] if len(problems) > SHOWN else [])])
        raise ValueError(f"{len(problems)} of {len(names)} predictions fit no photo of dataset {name!r}:\n  {listed}")
    items = ((Path(found[image]), known) for image, known in read if image in found)
    bar: Iterable[Item] = tqdm(items, desc="attach", unit="photo", total=len(found))
    filled = dataset.attach(name, field, bar, overwrite=overwrite, source=str(predictions.resolve()))
    return len(filled), problems


def _match(names: list[str], photos: Photos) -> tuple[dict[str, str], list[str]]:
    """The photo of each prediction, and what is wrong with those that have none."""
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    problems = []
    for image in names:
        try:
            photo = photos.find(image)
        except MatchError as error:
            problems.append(f"{image}: {error}")
            continue
        if photo in taken:
            problems.append(f"{image}: is for {photo}, and so is {taken[photo]}")
            continue
        found[image], taken[photo] = photo, image
    return found, problems


def _source(predictions: Path) -> tuple[list[str], Iterator[tuple[str, Annotations]]]:
    """The names of the photos, and these with their shapes, one after the other."""
    if predictions.is_dir():
        folder = predictions / "shapes" if (predictions / "shapes").is_dir() else predictions
        files = sorted(folder.rglob("*.json"))
        if not files:
            raise ValueError(f"{folder} holds no *.json: expected the output folder of a predict command")
        names = [_image_of(path) for path in files]
        return names, ((image, shapes_json.read(path)) for image, path in zip(names, files, strict=True))
    if not predictions.is_file():
        raise ValueError(f"{predictions} is not there: expected a folder of shapes JSON or a COCO JSON file")
    raw = json.loads(predictions.read_text("utf-8"))
    known = coco.read(predictions) if isinstance(raw, dict) and "images" in raw else [shapes_json.read(predictions)]
    return [one.image for one in known], ((one.image, one) for one in known)


def _image_of(path: Path) -> str:
    """The photo of a shapes JSON file. Masks are not kept: there may be very many files."""
    return shapes_json.read(path).image


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_engineering.attach", description=__doc__.splitlines()[0])
    parser.add_argument("predictions", type=Path, help="output folder of a predict command, shapes JSON or COCO JSON")
    parser.add_argument("name", metavar="dataset", help="FiftyOne dataset")
    parser.add_argument("--field", required=True, help="gets the shapes; keypoints go to FIELD_keypoints")
    parser.add_argument("--overwrite", action="store_true", help="replace what the field holds")
    parser.add_argument("--skip-unmatched", action="store_true", help="leave out photos that the dataset does not have")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = _parse(None)
    try:
        count, left_out = main(**vars(arguments))
    except (ValueError, OSError) as error:
        sys.exit(f"attach: {error}")
    for problem in left_out:
        print(f"left out {problem}", file=sys.stderr)
    print(f"field {arguments.field!r} of dataset {arguments.name!r}: predictions for {count} photos")
