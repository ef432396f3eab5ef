"""Class names at several levels: 16 genera, 10 extended classes, 7 main families, 1 coral.

The table is `taxonomies/coral.yaml`, with the reasons for each grouping; any other file of that shape can be loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml

CORAL = Path(__file__).parent / "taxonomies" / "coral.yaml"


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """Names at every level.

    Attributes:
        levels: from the finest to the coarsest.
        table: finest name -> its name at each level, the finest itself included.
    """

    levels: tuple[str, ...]
    table: Mapping[str, Mapping[str, str]]

    def labels(self, level: str) -> tuple[str, ...]:
        """Distinct names at a level, in alphabetical order: the order of a network's outputs.

        Raises:
            ValueError: no such level.
        """
        self._check_level(level)
        return tuple(sorted({names[level] for names in self.table.values()}))

    def to_level(self, name: str, level: str) -> str:
        """What a finest name is called at a level.

        Raises:
            ValueError: no such name or level; the message lists those there are.
        """
        self._check_level(level)
        if name not in self.table:
            raise ValueError(f"unknown {self.levels[0]} {name!r}: expected one of {', '.join(self.table)}")
        return self.table[name][level]

    def _check_level(self, level: str) -> None:
        if level not in self.levels:
            raise ValueError(f"unknown taxonomy level {level!r}: expected one of {', '.join(self.levels)}")


@cache
def load(path: str | Path = CORAL) -> Taxonomy:
    """Read a taxonomy file.

    Raises:
        ValueError: the file is not of the right shape, a name lacks a level, or the levels do not nest.
    """
    raw = yaml.safe_load(Path(path).read_text("utf-8"))
    if not isinstance(raw, dict) or set(raw) != {"levels", "genera"} or not raw["levels"] or not raw["genera"]:
        raise ValueError(f"{path}: expected the keys levels (a list) and genera (a mapping)")
    finest, *coarser = levels = tuple(str(level) for level in raw["levels"])
    table = {}
    for name, names in raw["genera"].items():
        if not isinstance(names, dict) or set(names) != set(coarser):
            raise ValueError(f"{path}: {name!r} has {names}: expected a name at each of {', '.join(coarser)}")
        table[str(name)] = MappingProxyType({finest: str(name), **{k: str(names[k]) for k in coarser}})
    taxonomy = Taxonomy(levels, MappingProxyType(table))
    _check_nesting(taxonomy, path)
    return taxonomy


def labels(level: str) -> tuple[str, ...]:
    """Class names of the coral taxonomy at a level, see `Taxonomy.labels`."""
    return load().labels(level)


def to_level(genus: str, level: str) -> str:
    """Name of a genus at a level of the coral taxonomy, see `Taxonomy.to_level`."""
    return load().to_level(genus, level)


def _check_nesting(taxonomy: Taxonomy, path: str | Path) -> None:
    for fine, coarse in zip(taxonomy.levels, taxonomy.levels[1:], strict=False):
        above: dict[str, str] = {}
        for names in taxonomy.table.values():
            first = above.setdefault(names[fine], names[coarse])
            if first != names[coarse]:
                raise ValueError(
                    f"{path}: {fine} {names[fine]!r} lies in the {coarse} {first!r} and in {names[coarse]!r}: "
                    "expected each level to nest in the next"
                )
