"""Class names at several levels: 16 genera, 10 extended classes, 7 main families, 1 coral.

    python -m data_engineering.taxonomy --show
    python -m data_engineering.taxonomy reef_2024 --level family                # what would become of each label
    python -m data_engineering.taxonomy reef_2024 --level family --as-field ground_truth_family
    python -m data_engineering.taxonomy reef_2024 --level family --view families --unknown other

The table is `taxonomies/coral.yaml`, with the reasons for each grouping and for other names; any other file of that
shape can be loaded. A label may be a name of any level, or an alias; upper and lower case and spaces do not count.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml

CORAL = Path(__file__).parent / "taxonomies" / "coral.yaml"
REFUSE, OTHER = "refuse", "other"
UNKNOWN = (REFUSE, OTHER)
"""What becomes of labels that the taxonomy does not know: an error that lists them, or the class Other."""

_OTHER_NAME = "Other"


class TaxonomyError(ValueError):
    """Labels, a level or a file that do not fit."""


@dataclass(frozen=True)
class Taxonomy:
    """Names at every level.

    Attributes:
        levels: from the finest to the coarsest.
        table: finest name -> its name at each level, the finest itself included.
        aliases: other names -> a name of any level.

    Raises:
        TaxonomyError: an alias that is a name itself, or stands for no name.
    """

    levels: tuple[str, ...]
    table: Mapping[str, Mapping[str, str]]
    aliases: Mapping[str, str] = field(default_factory=dict)
    _known: dict[str, tuple[int, str]] = field(init=False, repr=False, compare=False)
    """Every name and alias, `_plain` -> number of the finest level that has it, and a finest name under it."""

    def __post_init__(self) -> None:
        known: dict[str, tuple[int, str]] = {}
        for number, level in enumerate(self.levels):
            for finest, names in self.table.items():
                known.setdefault(_plain(names[level]), (number, finest))
        for alias, name in self.aliases.items():
            if _plain(alias) in known or _plain(name) not in known:
                raise TaxonomyError(f"alias {alias!r} of {name!r}: expected a new name for a name of a level")
        known.update({_plain(alias): known[_plain(name)] for alias, name in self.aliases.items()})
        object.__setattr__(self, "_known", known)

    def labels(self, level: str) -> tuple[str, ...]:
        """Distinct names at a level, in alphabetical order: the order of a network's outputs.

        Raises:
            TaxonomyError: no such level.
        """
        self._number_of(level)
        return tuple(sorted({names[level] for names in self.table.values()}))

    def level_of(self, label: str) -> str | None:
        """The finest level that has a label; `None` for an unknown one."""
        found = self._known.get(_plain(label))
        return None if found is None else self.levels[found[0]]

    def to_level(self, label: str, level: str, unknown: str = REFUSE) -> str:
        """What a label is called at a level.

        Args:
            label: a name of `level` or a finer one, or an alias of such.
            level: the wanted level.
            unknown: of `UNKNOWN`: what becomes of a label that is not known.

        Raises:
            TaxonomyError: no such level; an unknown label, unless it may be Other; a label coarser than the level. The
                message lists the names there are.
        """
        wanted = self._number_of(level)
        found = self._known.get(_plain(label))
        if found is None and unknown == OTHER:
            found = self._known.get(_plain(_OTHER_NAME))
        if found is None:
            near = difflib.get_close_matches(_plain(label), self._known, n=1)
            hint = f" (near: {self._spelt(near[0])})" if near else ""
            raise TaxonomyError(f"unknown {self.levels[0]} {label!r}{hint}: expected one of {', '.join(self.table)}")
        number, finest = found
        if number > wanted:
            has = self.levels[number]
            raise TaxonomyError(
                f"{label!r} is a name of level {has}, which does not say its {level}: take --level {has} or a coarser "
                "one, or give these shapes a finer name"
            )
        return self.table[finest][level]

    def mapping(self, labels: Iterable[str], level: str, unknown: str = REFUSE) -> dict[str, str]:
        """What each of many labels is called at a level.

        Raises:
            TaxonomyError: as `to_level`, with all that do not fit in one message.
        """
        _check_choice(unknown)
        mapped, wrong = {}, {}
        for label in sorted(set(labels)):
            try:
                mapped[label] = self.to_level(label, level, unknown)
            except TaxonomyError as error:
                self._number_of(level)
                wrong[label] = str(error).split(":")[0]
        if wrong:
            listed = "".join(f"\n  {reason}" for reason in wrong.values())
            raise TaxonomyError(
                f"{len(wrong)} of {len(mapped) + len(wrong)} labels have no name at level {level}:{listed}\n"
                f"give --unknown {OTHER} to call unknown ones {_OTHER_NAME}, or --taxonomy FILE with aliases for them"
            )
        return mapped

    def _spelt(self, plain: str) -> str:
        names = [*self.aliases, *(name for row in self.table.values() for name in row.values())]
        return next(name for name in names if _plain(name) == plain)

    def _number_of(self, level: str) -> int:
        if level not in self.levels:
            raise TaxonomyError(f"unknown taxonomy level {level!r}: expected one of {', '.join(self.levels)}")
        return self.levels.index(level)


@cache
def load(path: str | Path = CORAL) -> Taxonomy:
    """Read a taxonomy file.

    Raises:
        TaxonomyError: the file is not of the right shape, a name lacks a level, the levels do not nest, or an alias
            does not fit.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TaxonomyError(f"{path}: no readable YAML ({error})") from error
    if not isinstance(raw, dict) or {*raw, "aliases"} != {"levels", "genera", "aliases"}:
        raise TaxonomyError(f"{path}: expected the keys levels (a list), genera (a mapping) and perhaps aliases")
    aliases = raw.get("aliases") or {}
    if not raw["levels"] or not isinstance(raw["genera"], dict) or not isinstance(aliases, dict):
        raise TaxonomyError(f"{path}: expected the keys levels (a list), genera and aliases (mappings)")
    finest, *coarser = levels = tuple(str(level) for level in raw["levels"])
    table = {}
    for name, names in raw["genera"].items():
        if not isinstance(names, dict) or set(names) != set(coarser):
            raise TaxonomyError(f"{path}: {name!r} has {names}: expected a name at each of {', '.join(coarser)}")
        table[str(name)] = MappingProxyType({finest: str(name), **{k: str(names[k]) for k in coarser}})
    try:
        aliases = MappingProxyType({str(alias): str(name) for alias, name in aliases.items()})
        taxonomy = Taxonomy(levels, MappingProxyType(table), aliases)
    except TaxonomyError as error:
        raise TaxonomyError(f"{path}: {error}") from error
    _check_nesting(taxonomy, path)
    return taxonomy


def labels(level: str) -> tuple[str, ...]:
    """Class names of the coral taxonomy at a level, see `Taxonomy.labels`."""
    return load().labels(level)


def to_level(label: str, level: str) -> str:
    """Name of a label at a level of the coral taxonomy, see `Taxonomy.to_level`."""
    return load().to_level(label, level)


def _plain(name: str) -> str:
    """A name without case and spaces; ``_`` counts as a space."""
    return "".join(name.casefold().replace("_", " ").split())


def _check_choice(unknown: str) -> None:
    if unknown not in UNKNOWN:
        raise TaxonomyError(f"unknown {unknown!r}: expected one of {', '.join(UNKNOWN)}")


def _check_nesting(taxonomy: Taxonomy, path: str | Path) -> None:
    for fine, coarse in zip(taxonomy.levels, taxonomy.levels[1:], strict=False):
        above: dict[str, str] = {}
        for names in taxonomy.table.values():
            first = above.setdefault(names[fine], names[coarse])
            if first != names[coarse]:
                raise TaxonomyError(
                    f"{path}: {fine} {names[fine]!r} lies in the {coarse} {first!r} and in {names[coarse]!r}: "
                    "expected each level to nest in the next"
                )


# ---------------------------------------------------------------------------------------------- the command


def main(
    name: str,
    *,
    level: str,
    as_field: str | None = None,
    view: str | None = None,
    unknown: str = REFUSE,
    taxonomy: Path = CORAL,
    field: str = "ground_truth",
    overwrite: bool = False,
) -> list[tuple[str, str, int]]:
    """Give the shapes of a dataset their names at a level, in a new field or as a view.

    Args:
        name: of the FiftyOne dataset.
        level: of the names.
        as_field: the new field; masks go to ``<as_field>_masks`` where `field` has such.
        view: name of the saved view; in it `field` itself has the new names, the dataset stays as it is.
        unknown: of `UNKNOWN`: what becomes of labels that the taxonomy does not know.
        taxonomy: its file.
        field: of the shapes.
        overwrite: replace a field or view of this name.

    Returns:
        Label, its name at the level, and how many shapes have it, the commonest first.

    Raises:
        ValueError: labels that do not fit; no such dataset, field or level; a field or view that is there already.
    """
    from data_engineering import taxonomy_fields

    known = load(taxonomy)
    known.labels(level)
    return taxonomy_fields.rename(name, field, known, level, unknown, as_field, view, overwrite)


def table(rows: Iterable[tuple[str, str, int]]) -> str:
    """Counts label -> name, a line each."""
    rows = list(rows)
    width, wide = (max([5, *(len(row[column]) for row in rows)]) for column in (0, 1))
    return "\n".join(f"{label:<{width}}  ->  {name:<{wide}}  {count:>9,}" for label, name, count in rows)


def show(known: Taxonomy) -> str:
    """All names: a line for every finest one with its name at each level, and its aliases."""
    widths = [max(len(level), *(len(row[level]) for row in known.table.values())) + 2 for level in known.levels]
    lines = [[f"{level} ({len(known.labels(level))})" for level in known.levels]]
    widths = [max(width, len(head) + 2) for width, head in zip(widths, lines[0], strict=True)]
    lines += [[row[level] for level in known.levels] for row in known.table.values()]
    also = {name: [alias for alias, of in known.aliases.items() if of == name] for name in known.aliases.values()}
    return "\n".join(
        [
            *("".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines),
            *(f"{name} also: {', '.join(aliases)}" for name, aliases in also.items()),
        ]
    )


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_engineering.taxonomy", description=__doc__.splitlines()[0])
    parser.add_argument("name", metavar="dataset", nargs="?", help="FiftyOne dataset")
    parser.add_argument("--show", action="store_true", help="print the names of all levels, and their aliases")
    parser.add_argument("--level", help="of the names: genus, extended, family or coral in the built-in file")
    parser.add_argument("--as-field", metavar="FIELD", help="make this field with the names of the level")
    parser.add_argument("--view", metavar="NAME", help="save a view in which the shapes have the names of the level")
    parser.add_argument("--unknown", choices=UNKNOWN, default=REFUSE, help="labels not known (default: refuse)")
    parser.add_argument("--taxonomy", type=Path, default=CORAL, metavar="FILE", help="another table, as coral.yaml")
    parser.add_argument("--field", default="ground_truth", help="of the shapes (default ground_truth)")
    parser.add_argument("--overwrite", action="store_true", help="replace a field or view of this name")
    arguments = parser.parse_args(argv)
    if not arguments.show and not (arguments.name and arguments.level):
        parser.error("expected a dataset and --level, or --show")
    return arguments


def run(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = vars(_parse(argv))
    try:
        if arguments.pop("show"):
            print(show(load(arguments["taxonomy"])))
        else:
            print(table(main(**arguments)))
    except (ValueError, OSError) as error:
        print(f"taxonomy: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run())
