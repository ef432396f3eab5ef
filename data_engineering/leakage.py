"""Does anything of the test photos lie in training? Places and pictures that are in two splits of a FiftyOne dataset.

    python -m data_engineering.leakage reef_2024
    python -m data_engineering.leakage reef_2024 --json leaks.json --sheet leaks.png --tag

By name: photos of one quadrat, in whatever years (`data_engineering.file_names`). By picture: copies that were made
smaller, recompressed, cropped, turned a little, brightened or rectified, under any name. Candidates are the photos that
look alike (`descriptors`); `same_picture` lays the two over one another and decides. Exit status: 0 no leak, 1 leaks,
2 an error.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data_engineering import descriptors, file_names, same_picture, splits
from data_engineering.places import SPLITS
from quadrat import files, images
from quadrat.formats.overlay import contact_sheet

if TYPE_CHECKING:
    from data_engineering.labelled_area import Photo

TAG = "leak"
_NEAREST, _FAR = 5, 0.5
_ROWS, _KEPT, _THREADS = 500, 200, 2
_SHOWN_PAIRS, _CELL_PX = 24, 480
SHOWN = 12


@dataclass(frozen=True, slots=True)
class Leak:
    """Two photos in different splits that show the same.

    Attributes:
        kind: ``name`` or ``picture``.
        paths: of the two.
        splits: of the two.
        what: the place that both names tell, or how far the details agree.
    """

    kind: str
    paths: tuple[str, str]
    splits: tuple[str, str]
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes:
        photos: number of photos a split.
        leaks: pairs, those by name first.
        problems: photos that cannot be read, or have no split or two, a sentence each.
    """

    photos: dict[str, int]
    leaks: list[Leak]
    problems: list[str]


def main(
    name: str,
    *,
    threshold: float = same_picture.SAME,
    pattern: str | None = None,
    json: Path | None = None,
    sheet: Path | None = None,
    tag: bool = False,
) -> Report:
    """Look for leaks between the splits that the tags train, val and test name.

    Args:
        name: of the dataset.
        threshold: agreement of details, 0..1, from which on two photos are the same picture.
        pattern: of file names, as `data_engineering.splits.main` takes it.
        json: gets the report.
        sheet: PNG, gets the found pairs side by side.
        tag: give the photos of the pairs the tag ``leak``.

    Raises:
        ValueError: no such dataset, no photo with a split, an unfit threshold or pattern.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold}: expected above 0 and at most 1")
    file_names.parse("", pattern or file_names.PATTERN)
    from data_engineering import labelled_area

    everything = labelled_area.read(name, None)
    photos = [photo for photo in everything if len(photo.splits) == 1]
    counts = {split: sum(photo.splits == (split,) for photo in photos) for split in SPLITS}
    if sum(count > 0 for count in counts.values()) < 2:
        raise ValueError(
            f"dataset {name!r} has photos tagged {counts}: expected at least two splits; run "
            f"`python -m data_engineering.splits {name}`"
        )
    problems = [_no_one_split(photo) for photo in everything if len(photo.splits) != 1]
    found = [*_by_name(photos, pattern), *_by_picture(photos, threshold, problems)]
    report = Report(counts, found, problems)
    if json:
        files.write_json(json, asdict(report))
    if sheet and found:
        images.write(sheet, draw(found))
    if tag:
        leaking = {path for leak in found for path in leak.paths}
        labelled_area.tag(name, {photo.id: TAG for photo in photos if photo.path in leaking})
    return report


def _no_one_split(photo: Photo) -> str:
    has = f"tags of the splits {' and '.join(photo.splits)}" if photo.splits else "no tag of a split"
    return f"{Path(photo.path).name} has {has}: not looked at"


def _by_name(photos: Sequence[Photo], pattern: str | None) -> Iterator[Leak]:
    """For every place in several splits a pair of photos for each two of them."""
    places: dict[str, dict[str, Photo]] = defaultdict(dict)
    for photo in photos:
        places[splits.place_of(photo, "quadrat", pattern)].setdefault(photo.splits[0], photo)
    for place, there in places.items():
        for one, other in combinations(sorted(there, key=SPLITS.index), 2):
            yield Leak("name", (there[one].path, there[other].path), (one, other), place)


# ---------------------------------------------------------------------------------------------- pictures


def _by_picture(photos: Sequence[Photo], threshold: float, problems: list[str]) -> list[Leak]:
    rows, readable = _described(photos, problems)
    looked = lru_cache(_KEPT)(same_picture.look_at)

    def leak(pair: tuple[int, int]) -> Leak | None:
        one, other = (readable[number] for number in pair)
        agrees = same_picture.agreement(looked(one.path), looked(other.path))
        if agrees < threshold:
            return None
        return Leak("picture", (one.path, other.path), (one.splits[0], other.splits[0]), f"agree by {agrees:.2f}")

    pairs = candidates(rows, [SPLITS.index(photo.splits[0]) for photo in readable])
    with ThreadPoolExecutor(_THREADS) as pool:
        bar = tqdm(pool.map(leak, pairs), total=len(pairs), desc="compare", unit="pair")
        return [found for found in bar if found]


def _described(photos: Sequence[Photo], problems: list[str]) -> tuple[NDArray[np.float32], list[Photo]]:
    """`descriptors` of the photos that can be read, float32 ``[N, SIZE]``, and these."""
    rows, readable = [], []
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(_described_one, photos)
        for photo, row in zip(photos, tqdm(found, total=len(photos), desc="look", unit="photo"), strict=True):
            if isinstance(row, str):
                problems.append(row)
            else:
                rows.append(row)
                readable.append(photo)
    return np.array(rows, np.float32).reshape(len(rows), descriptors.SIZE), readable


def _described_one(photo: Photo) -> NDArray[np.float32] | str:
    try:
        return descriptors.descriptor(photo.path)
    except (images.ImageError, OSError) as error:
        return f"{error}: not looked at"


def candidates(rows: NDArray[np.float32], split: Sequence[int]) -> list[tuple[int, int]]:
    """For every photo those of the splits before its own that look most alike: pairs of numbers (other, own).

    Args:
        rows: float32 ``[N, D]`` of length 1.
        split: number of the split of each.
    """
    of = np.array(split)
    pairs = []
    for first in range(0, len(rows), _ROWS):
        part = slice(first, first + _ROWS)
        far = 1 - rows[part] @ rows.T
        far[of[None, :] >= of[part, None]] = np.inf
        nearest = np.argsort(far, axis=1)[:, :_NEAREST]
        for own, others in enumerate(nearest):
            pairs += [(int(other), first + own) for other in others if far[own, other] < _FAR]
    return pairs


# ---------------------------------------------------------------------------------------------- what is shown


def draw(found: Sequence[Leak]) -> images.Rgb:
    """A sheet of the first pairs, side by side, those by picture first."""
    ordered = sorted(found, key=lambda leak: leak.kind != "picture")[:_SHOWN_PAIRS]
    cells = [_titled(path, f"{split}: {Path(path).name[-48:]}") for leak in ordered for path, split in _ends(leak)]
    more = f" (the first {_SHOWN_PAIRS} of {len(found)} pairs)" if len(found) > _SHOWN_PAIRS else ""
    return contact_sheet(cells, columns=2, cell_px=_CELL_PX, note=f"Each row: the same in two splits{more}")


def _ends(leak: Leak) -> Iterator[tuple[str, str]]:
    return zip(leak.paths, leak.splits, strict=True)


def _titled(path: str, title: str) -> images.Rgb:
    try:
        picture = images.read(path)
    except (images.ImageError, OSError):
        picture = np.full((_CELL_PX // 2, _CELL_PX, 3), 128, np.uint8)
    height = max(1, round(picture.shape[0] * _CELL_PX / picture.shape[1]))
    picture = cv2.resize(picture, (_CELL_PX, height), interpolation=cv2.INTER_AREA)
    strip = np.full((26, _CELL_PX, 3), 250, np.uint8)
    cv2.putText(strip, title, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (28, 32, 36), 1, cv2.LINE_AA)
    return np.vstack([strip, picture])


def describe(report: Report) -> str:
    """The report in lines of text."""
    lines = [f"photos: {', '.join(f'{split} {count}' for split, count in report.photos.items())}"]
    for kind, words in (("name", "places in two splits, by name"), ("picture", "pictures in two splits")):
        of_kind = [leak for leak in report.leaks if leak.kind == kind]
        lines.append(f"{words}: {len(of_kind)}")
        for leak in of_kind[:SHOWN]:
            both = "  =  ".join(f"{split} {Path(path).name}" for path, split in _ends(leak))
            lines.append(f"  {both}  ({leak.what})")
        lines += [f"  and {len(of_kind) - SHOWN} more"] if len(of_kind) > SHOWN else []
    lines += report.problems[:SHOWN]
    lines += [f"and {len(report.problems) - SHOWN} more photos not looked at"] if len(report.problems) > SHOWN else []
    return "\n".join(lines)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_engineering.leakage", description=__doc__.splitlines()[0])
    parser.add_argument("name", metavar="dataset", help="FiftyOne dataset whose photos are tagged train, val and test")
    known = same_picture.SAME
    parser.add_argument("--threshold", type=float, default=known, help=f"agreement of the same (default {known})")
    parser.add_argument("--pattern", help=f"of file names, such as {file_names.PATTERN} (default: fields, then that)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="draw the found pairs")
    parser.add_argument("--tag", action="store_true", help=f"tag the photos of the pairs {TAG!r}, to see in the app")
    return parser.parse_args(argv)


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    try:
        report = main(**vars(_parse(argv)))
    except (ValueError, OSError) as error:
        print(f"leakage: {error}", file=sys.stderr)
        return 2
    print(describe(report))
    return 1 if report.leaks else 0


if __name__ == "__main__":
    sys.exit(run())
