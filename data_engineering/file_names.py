"""What a photo's file name says: area, year and quadrat, and which photos show one place.

The rule, for the pattern ``{site}_{year}_{quadrat}``:

- Folders and the suffix do not count, nor what tasks put behind a name when they make a photo of another: `DERIVED`
  (``reef_2024_q7_rect.jpg`` is quadrat q7), nor the ``(1)`` of a copy.
- The year is four digits, 1900 to 2099, or a day whose year counts: ``20080415``, ``2008-04-15``.
- Site and quadrat are anything, ``_`` included; the site reaches as far as it can. Of two years in a name the last one
  counts that leaves something for the quadrat: ``trip_2019_reef_2021_q1`` is site ``trip_2019_reef``, year 2021.
- What the pattern writes between the fields stands in the name as it is; upper and lower case differ.

A name that does not fit says nothing; callers list such names.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import PurePosixPath

PATTERN = "{site}_{year}_{quadrat}"
"""Of the coral-quadrat workflow; commands take another one as ``--pattern``."""

_MONTH, _DAY = "(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
FIELDS = {
    "site": ".+",
    "year": rf"(?<!\d)(?:19|20)\d\d(?:(?P<dash>-?){_MONTH}(?P=dash){_DAY})?(?!\d)",
    "quadrat": ".+",
}

DERIVED = ("rect", "rectified", "warped", "clean", "inpainted", "nogrid", "half", "crop", "cropped", "copy")
"""What stands, after ``_``, ``-``, ``.`` or a space, at the end of the name of a photo that was made of another."""

_DERIVED = re.compile(rf"(?:[_\-. ](?:{'|'.join(DERIVED)})|\s*\(\d+\))$", re.IGNORECASE)


class PatternError(ValueError):
    """A pattern that does not say where site, year and quadrat stand."""


def parse(name: str, pattern: str = PATTERN) -> dict[str, str | int]:
    """Area, year and quadrat of a photo.

    Args:
        name: of its file, with or without folders and suffix.
        pattern: the fields ``{site}``, ``{year}`` and ``{quadrat}``, in any order, and what stands between them.

    Returns:
        ``area`` (text), ``year`` (whole number) and ``quadrat_id`` (text); empty where the name does not fit.

    Raises:
        PatternError: the pattern lacks a field, or has one twice or an unknown one.
    """
    found = _compiled(pattern).fullmatch(stem_of(name))
    if not found:
        return {}
    return {"area": found["site"], "year": int(found["year"][:4]), "quadrat_id": found["quadrat"]}


def stem_of(name: str) -> str:
    """The name without folders, suffix and what says that it was made of another photo."""
    stem = PurePosixPath(name.replace("\\", "/")).stem
    while (shorter := _DERIVED.sub("", stem)) not in (stem, ""):
        stem = shorter
    return stem


def place_of(name: str, pattern: str = PATTERN) -> str:
    """What photos of one quadrat have in common, in whatever year: area and quadrat, else `stem_of` the name.

    Raises:
        PatternError: as `parse`.
    """
    known = parse(name, pattern)
    return f"{known['area']}_{known['quadrat_id']}" if known else stem_of(name)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w*)\}", pattern)
    fields, between = parts[1::2], parts[::2]
    if sorted(fields) != sorted(FIELDS):
        raise PatternError(
            f"pattern {pattern!r} has the fields {', '.join(fields) or 'none'}: expected {{site}}, {{year}} and "
            f"{{quadrat}}, each once, for example {PATTERN}"
        )
    if any(not text for text in between[1:-1]):
        raise PatternError(f"pattern {pattern!r} has fields that touch: expected something between them, such as _")
    groups = [f"(?P<{name}>{FIELDS[name]})" for name in fields]
    text = re.escape(between[0])
    for group, after in zip(groups, between[1:], strict=True):
        text += group + re.escape(after)
    return re.compile(text)
