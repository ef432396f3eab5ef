"""Small checks of YAML values, put together to those of whole files."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Check = Callable[[Any, str], Iterator[str]]
"""Yields what is wrong with a value, one sentence each; each begins with its place in the file."""


def _of(kind: type, name: str) -> Check:
    def check(value: Any, place: str) -> Iterator[str]:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            yield f"{place}: expected {name}, got {value!r}"

    return check


TEXT, FLAG, WHOLE = _of(str, "a text"), _of(bool, "true or false"), _of(int, "a whole number without quotes")
LIST, MAP = _of(list, "a list"), _of(dict, "a map")


def matching(pattern: str, name: str) -> Check:
    """A text of a form, or a number that would be written so."""

    def check(value: Any, place: str) -> Iterator[str]:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (isinstance(value, str) or number) or not re.fullmatch(pattern, str(value)):
            yield f"{place}: expected {name}, got {value!r}"

    return check


def duration(value: Any, place: str) -> Iterator[str]:
    """What Go reads as a duration; it takes no bare number."""
    if not isinstance(value, str) or not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", value):
        yield f'{place}: expected a duration such as "110s", got {value!r}'


def one_of(*allowed: str) -> Check:
    """One of these texts."""

    def check(value: Any, place: str) -> Iterator[str]:
        if value not in allowed:
            near = difflib.get_close_matches(str(value), allowed, 1)
            yield f"{place}: expected {' or '.join(near or allowed)}, got {value!r}"

    return check


def list_of(each: Check) -> Check:
    """A list with entries of one kind."""

    def check(value: Any, place: str) -> Iterator[str]:
        yield from LIST(value, place)
        for index, entry in enumerate(value if isinstance(value, list) else ()):
            yield from each(entry, f"{place}[{index}]")

    return check


def map_of(each: Check, names: str = r".+", what: str = "a name") -> Check:
    """A map with free names and values of one kind.

    Args:
        each: of the values.
        names: pattern that the names match.
        what: such a name in words.
    """

    def check(value: Any, place: str) -> Iterator[str]:
        yield from MAP(value, place)
        for name, content in value.items() if isinstance(value, dict) else ():
            where = f"{place}.{name}"
            if not re.fullmatch(names, str(name)):
                yield f"{where}: {name!r} is not {what}"
            yield from each(content, where)

    return check


def fields(legal: Mapping[str, Check], needed: str = "") -> Check:
    """A map with fields of these names; an unknown one is named with the nearest known one.

    Args:
        legal: the check of each field.
        needed: names of those that must be there, and not be empty.
    """

    def check(value: Any, place: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{place or 'file'}: expected a map, got {type(value).__name__}"
            return
        for name, content in value.items():
            where = f"{place}.{name}" if place else str(name)
            if name in legal:
                yield from legal[name](content, where)
                continue
            near = difflib.get_close_matches(str(name), legal, 1)
            yield f"{where}: Nuclio knows no such field{f', did you mean {near[0]!r}?' if near else ''}"
        for name in needed.split():
            if value.get(name) in (None, "", {}, []):
                yield f"{place}.{name}".lstrip(".") + ": is missing"

    return check


def all_of(check: Check, names: str) -> dict[str, Check]:
    """One check for several fields."""
    return dict.fromkeys(names.split(), check)
