"""Tag the photos of a FiftyOne dataset train, val or test, so that no place lies in two of them.

    python -m data_engineering.splits reef_2024 --dry-run
    python -m data_engineering.splits reef_2024 --val 0.15 --test 0.15
    python -m data_engineering.splits reef_2024 --by site

Photos of one quadrat stay together, in whatever years they were taken and however they were rectified or cleaned
(`data_engineering.file_names`; `--by site`: all quadrats of a site); a photo whose name says nothing stays alone with
what was made of it. Every genus gets its share of area in each split. What has a tag keeps it, also one set by hand in
the app: called again after photos were added, only new places are assigned. Every `prepare` obeys the tags.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data_engineering import file_names, stratify
from data_engineering.places import SPLITS, check_shares
from data_engineering.stratify import Group

if TYPE_CHECKING:
    from data_engineering.labelled_area import Photo

BY = ("quadrat", "site")
SHOWN = 8


class SplitError(ValueError):
    """Tags that contradict each other, or too few places for the splits."""


@dataclass(frozen=True)
class Result:
    """What was, or would be, assigned.

    Attributes:
        splits: path of every photo -> its split.
        groups: what stays together, each with its split.
        new: number of groups that had no split before.
        unnamed: names of photos that do not say their quadrat.
    """

    splits: dict[str, str]
    groups: list[Group]
    new: int
    unnamed: list[str]


def main(
    name: str,
    *,
    val: float = 0.15,
    test: float = 0.15,
    by: str = "quadrat",
    seed: int = 0,
    pattern: str | None = None,
    field: str = "ground_truth",
    dry_run: bool = False,
) -> Result:
    """Assign every photo of a dataset to a split, by a tag.

    Args:
        name: of the dataset.
        val: share for validation, 0..1.
        test: share that training never sees, 0..1.
        by: what stays together: ``quadrat`` or ``site``.
        seed: of the hash that new places begin with.
        pattern: of file names (`file_names.parse`); `None`: the fields ``area`` and ``quadrat_id`` where a photo has
            them, else `file_names.PATTERN`.
        field: of the shapes whose areas count.
        dry_run: change nothing.

    Raises:
        ValueError: unfit shares or pattern, no such dataset, places or photos with the tags of two splits, fewer places
            than splits.
    """
    check_shares(val, test)
    if by not in BY:
        raise SplitError(f"by {by!r}: expected one of {', '.join(BY)}")
    file_names.parse("", pattern or file_names.PATTERN)
    from data_engineering import labelled_area

    photos = labelled_area.read(name, field)
    places = {photo.path: place_of(photo, by, pattern) for photo in photos}
    groups = _groups(photos, places)
    shares = {"train": 1 - val - test, "val": val, "test": test}
    if len(groups) < (wanted := sum(share > 0 for share in shares.values())):
        raise SplitError(f"{len(groups)} groups by {by} are too few for {wanted} splits: --by quadrat, or --test 0")
    assigned = stratify.assign(groups, shares, seed)
    if not dry_run:
        labelled_area.tag(name, {photo.id: assigned[places[photo.path]] for photo in photos if not photo.splits})
    done = [Group(group.name, group.photos, group.areas, assigned[group.name]) for group in groups]
    unnamed = [Path(photo.path).name for photo in photos if not known_place(photo, pattern)]
    return Result(
        {path: assigned[place] for path, place in places.items()}, done, sum(not g.split for g in groups), unnamed
    )


def known_place(photo: Photo, pattern: str | None) -> dict[str, str | int]:
    """``area`` and ``quadrat_id`` of a photo, by its fields or its name; empty where neither says it."""
    if pattern is None and photo.area and photo.quadrat_id:
        return {"area": photo.area, "quadrat_id": photo.quadrat_id}
    return file_names.parse(photo.path, pattern or file_names.PATTERN)


def place_of(photo: Photo, by: str, pattern: str | None) -> str:
    """Name of the group that a photo belongs to."""
    known = known_place(photo, pattern)
    if not known:
        return file_names.stem_of(photo.path)
    return str(known["area"]) if by == "site" else f"{known['area']}_{known['quadrat_id']}"


def _groups(photos: Sequence[Photo], places: dict[str, str]) -> list[Group]:
    members: dict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        members[places[photo.path]].append(photo)
    tags = {place: sorted({tag for photo in there for tag in photo.splits}) for place, there in members.items()}
    _refuse_conflicts({place: members[place] for place, found in tags.items() if len(found) > 1})
    groups = []
    for place, there in members.items():
        areas = _summed(photo.areas for photo in there)
        groups.append(Group(place, len(there), areas, tags[place][0] if tags[place] else None))
    return groups


def _summed(areas: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for each in areas:
        for label, area in each.items():
            total[label] += area
    return total


def _refuse_conflicts(torn: dict[str, list[Photo]]) -> None:
    if not torn:
        return
    lines = []
    for place, there in list(torn.items())[:SHOWN]:
        tagged = (f"{Path(photo.path).name} {'+'.join(photo.splits)}" for photo in there if photo.splits)
        lines.append(f"\n  {place}: {', '.join(tagged)}")
    more = f"\n  and {len(torn) - SHOWN} more" if len(torn) > SHOWN else ""
    raise SplitError(
        f"{len(torn)} places have photos tagged for two splits:{''.join(lines)}{more}\n"
        "keep one of the tags of each place (in the app: select the photos, then remove the tag)"
    )


def table(result: Result) -> str:
    """Photos, groups and area per class, a line each, with the share that every split has of it."""
    rows = [("photos", _per_split(result.groups, lambda g: g.photos))]
    rows.append(("groups", _per_split(result.groups, lambda _: 1)))
    areas = _summed(group.areas for group in result.groups)
    for label in sorted(areas, key=lambda each: -areas[each]):
        rows.append((f"{label}, px", _per_split(result.groups, lambda g, label=label: g.areas.get(label, 0.0))))
    width = max(len(head) for head, _ in rows)
    lines = [f"{'':<{width}}  {'all':>15}  " + "  ".join(f"{split:>8}" for split in SPLITS)]
    for head, found in rows:
        total = sum(found.values())
        shares = "  ".join(f"{found[split] / total if total else 0:>8.1%}" for split in SPLITS)
        lines.append(f"{head:<{width}}  {total:>15,.0f}  {shares}")
    return "\n".join(lines)


def _per_split(groups: Iterable[Group], amount: Callable[[Group], float]) -> dict[str, float]:
    found = dict.fromkeys(SPLITS, 0.0)
    for group in groups:
        found[str(group.split)] += amount(group)
    return found


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_engineering.splits", description=__doc__.splitlines()[0])
    parser.add_argument("name", metavar="dataset", help="FiftyOne dataset")
    parser.add_argument("--val", type=float, default=0.15, help="share for validation (default 0.15)")
    parser.add_argument("--test", type=float, default=0.15, help="share that training never sees (default 0.15)")
    parser.add_argument("--by", choices=BY, default="quadrat", help="what stays together (default: quadrat)")
    parser.add_argument("--seed", type=int, default=0, help="of the hash that new places begin with")
    parser.add_argument("--pattern", help=f"of file names, such as {file_names.PATTERN} (default: fields, then that)")
    parser.add_argument("--field", default="ground_truth", help="of the shapes whose areas count")
    parser.add_argument("--dry-run", action="store_true", help="print the table and change nothing")
    return parser.parse_args(argv)


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = vars(_parse(argv))
    try:
        result = main(**arguments)
    except (ValueError, OSError) as error:
        print(f"splits: {error}", file=sys.stderr)
        return 1
    if result.unnamed:
        more = ", …" if len(result.unnamed) > SHOWN else ""
        print(f"{len(result.unnamed)} photos do not say their quadrat: {', '.join(result.unnamed[:SHOWN])}{more}")
    print(table(result))
    done = "would be assigned" if arguments["dry_run"] else "assigned"
    print(f"{result.new} of {len(result.groups)} groups {done}, the others had a split already")
    return 0


if __name__ == "__main__":
    sys.exit(run())
