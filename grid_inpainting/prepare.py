"""Rendered quadrats or photographs without strings -> a folder of pairs to train on (see `grid_inpainting.folder`).

    python -m grid_inpainting.prepare --rendered renders --out data/pairs
    python -m grid_inpainting.prepare --rendered renders --rectified --out data/quadrats
    python -m grid_inpainting.prepare --photos reef/ --out data/reef
    python -m grid_inpainting.prepare --fiftyone reef_2024 --out data/mine

A rendered photo has a twin without strings: what the network shall paint. To photographs without strings `train` draws
holes. Of a dataset the photographs with grid points are left out: they show strings, and nobody knows what lies under
them. Photos are linked, not copied.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from grid_inpainting import folder as prepared
from grid_inpainting.folder import Pair
from quadrat import images, template
from quadrat.shapes import Annotations

CORNERS = template.load("corners").names
NOTE = "Weights trained on rendered quadrats only: what is painted is invented; look, then train on your own photos."


def main(
    out: Path,
    *,
    rendered: Path | Sequence[Path] | None = None,
    fiftyone: str | None = None,
    photos: Path | Sequence[Path] | None = None,
    rectified: bool = False,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    only: str | None = None,
    field: str = "ground_truth",
    view: str | None = None,
    overwrite: bool = False,
) -> prepared.Manifest:
    """Prepare a folder of pairs. It appears under its name only when it is whole.

    Args:
        out: the folder to make.
        rendered: a folder of `data_engineering.render`, or several; or
        fiftyone: the name of a FiftyOne dataset; or
        photos: a folder of photographs without strings, or several.
        rectified: take the rectified photos of a rendered folder.
        val: share of photos for validation, 0..1.
        test: share of photos that training never sees, 0..1.
        seed: of the split.
        only: put every photo into this split, for evaluation; what is tagged ``test`` goes nowhere else.
        field: of the dataset's labels.
        view: only what this saved view of the dataset shows.
        overwrite: replace `out` if it is there.

    Raises:
        ValueError: not exactly one source, unfit shares, no photo for training or for validation.
        FileExistsError: `out` is there and `overwrite` is not set.
    """
    from data_engineering import training_folder

    source = training_folder.Source(rendered, fiftyone, rectified, photos, field, view)
    split = training_folder.Split(val, test, seed, only)
    tally, strung, taken = training_folder.Tally(), Counter[str](), set[str]()
    with training_folder.drafted(out, prepared.KINDS, overwrite=overwrite) as draft:
        for photo, load in source.samples():
            try:
                known = load()
                pair = _twins(photo) if rendered else _alone(photo, known)
                place = split.of(photo, known)
                pair = _checked(pair)
            except (ValueError, KeyError, OSError) as error:
                tally.skipped[str(photo)] = f"{type(error).__name__}: {error}"
                continue
            _link(draft, place, replace(pair, name=training_folder.distinct_stem(photo, taken)))
            tally.photos[place] += 1
            strung[place] += pair.strings is not None
        training_folder.check_can_train(tally, split)
        manifest = prepared.Manifest(
            trained_on=_words(source),
            note=NOTE if rendered and not _backgrounds(source) else "",
            seed=seed,
            photos=tally.by_split,
            with_strings={name: strung[name] for name in prepared.SPLITS},
            skipped=tally.skipped,
        )
        prepared.write(draft, manifest)
    return prepared.read(out)


def _words(source: Any) -> str:
    """What a network trained on these pairs has seen."""
    behind = _backgrounds(source)
    return f"quadrats rendered over {behind} photographs" if behind else source.words


def _backgrounds(source: Any) -> int:
    """Number of photographs that rendered folders were drawn over; 0 where one of them was drawn from nothing."""
    folders = source.rendered or ()
    counts = []
    for folder in [folders] if isinstance(folders, Path) else folders:
        path = folder / "manifest.json"
        made = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        counts.append(len(made.get("backgrounds", ())))
    return sum(counts) if counts and all(counts) else 0


def _twins(photo: Path) -> Pair:
    """A rendered photo and what lies beside it."""
    root, stem = photo.parent.parent, photo.stem
    paths = root / "clean" / f"{stem}.jpg", photo, root / "strings" / f"{stem}.png", root / "truth" / f"{stem}.json"
    return Pair(stem, *paths)


def _alone(photo: Path, known: Annotations) -> Pair:
    grids = [points for points in known.keypoints if points.names != CORNERS]
    if grids:
        raise ValueError(
            f"it has {len(grids[0].names)} points of {grids[0].label!r}, so that it shows strings, and there is no "
            "photo of it without: expected photographs without a grid"
        )
    return Pair(photo.stem, photo)


def _checked(pair: Pair) -> Pair:
    """The pair if it can be read whole and its parts fit; without its second half where there is no string in it.

    Raises:
        ValueError: a part cannot be read, or is of another size.
    """
    height, width = images.read(pair.clean).shape[:2]
    if pair.photo is None or pair.strings is None:
        return pair
    h, w = images.read(pair.photo).shape[:2]
    if (h, w) != (height, width):
        raise ValueError(f"with strings it is {w} x {h} px, without them {width} x {height} px: expected one size")
    strings = prepared.read_mask(pair.strings, (width, height))
    return pair if strings.any() else Pair(pair.name, pair.clean)


def _link(draft: Path, place: str, pair: Pair) -> None:
    from data_engineering import training_folder

    for kind, path in zip(prepared.KINDS, (pair.clean, pair.photo, pair.strings, pair.truth), strict=True):
        if path is not None:
            training_folder.link(path.resolve(), draft / kind / place / f"{pair.name}{path.suffix.lower()}")


def _parse(argv: list[str] | None) -> argparse.Namespace:
    from data_engineering import training_folder

    parser = argparse.ArgumentParser(prog="python -m grid_inpainting.prepare", description=__doc__.splitlines()[0])
    training_folder.add_arguments(parser, unlabelled=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        made = main(**vars(arguments := _parse(None)))
    except (ValueError, OSError) as error:
        sys.exit(f"prepare: {error}")
    for bad, reason in made.skipped.items():
        print(f"skipped {bad}: {reason}")
    strings = sum(made.with_strings.values())
    print(f"{arguments.out}: photos {made.photos}, {strings} with strings, skipped {len(made.skipped)}")
