"""What every format gives and takes: label definitions and photos with what was drawn on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from quadrat.drawn import DrawnPhoto, Labels


class FormatError(ValueError):
    """A file that cannot be read or written; the message names the file, what is wrong with it, and the fix."""


@dataclass(frozen=True)
class Collection:
    """Photos that belong together.

    Attributes:
        photos: may be an iterator, which can be gone through once.
        labels: definitions as CVAT's label constructor has them; may be empty where a format has none.
        name: of the project, task or file; empty where there is none.
    """

    photos: Iterable[DrawnPhoto]
    labels: Labels = field(default=())
    name: str = ""
