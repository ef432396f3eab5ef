"""Colonies of a photo -> the class of every pixel, by stated rules.

- A pixel of several colonies is of the smallest of them, because a small colony drawn over a large one lies on it:
  where outlines were drawn roughly, the large one loses a few pixels, while the other way round the small one would be
  gone. Of colonies of one size the one that comes first in the file wins.
- A pixel of no colony is background, also where points or open lines lie.
- A colony whose label is to be ignored leaves "not known" (255) where it is the smallest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from DINOv2_mmseg.folder import BACKGROUND, IGNORE, LabelledPoint
from quadrat import masks
from quadrat.shapes import Annotations, Instance

Index = NDArray[np.uint8]
UNKNOWN = ("refuse", "ignore", "other")
OTHER = "Other"


class UnknownLabels(ValueError):
    """Labels that are none of the classes.

    Attributes:
        labels: their names.
    """

    def __init__(self, labels: Iterable[str], classes: Sequence[str] = ()):
        self.labels = sorted(set(labels))
        super().__init__(
            f"labels {', '.join(map(repr, self.labels))} are none of the classes {', '.join(classes)}: give --unknown "
            "ignore (their pixels are not known) or --unknown other, or name them in --ignore"
        )


@dataclass(frozen=True)
class Rule:
    """How a user wants labels to become classes.

    Attributes:
        classes: a file with a class name a line, instead of all that there are.
        unknown: what becomes of labels that are no class: ``refuse``, ``ignore`` or ``other``.
        ignore: labels whose pixels are "not known".

    Raises:
        ValueError: another word for `unknown`.
    """

    classes: Path | None = None
    unknown: str = "refuse"
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.unknown not in UNKNOWN:
            raise ValueError(f"unknown {self.unknown!r}: expected one of {', '.join(UNKNOWN)}")

    def listed(self) -> tuple[str, ...]:
        """The names in the file, in its order; none without a file.

        Raises:
            ValueError: the file is no text, or lists one twice, or none at all.
        """
        if self.classes is None:
            return ()
        lines = (line.strip() for line in self.classes.read_text("utf-8-sig").splitlines())
        names = tuple(line for line in lines if line)
        if not names or len(set(names)) != len(names):
            raise ValueError(f"{self.classes} lists {list(names)}: expected at least one class, each once")
        return names


@dataclass(frozen=True)
class Classes:
    """Which class a label means.

    Attributes:
        labels: class names in the order of the index.
        to_class: the class name of a label; a `ValueError` says that it has none.
        ignore: labels or class names that are "not known".
        unknown: what becomes of a label that is none of these: ``refuse``, ``ignore``, or ``other``: it is `other`.
        other: the class that takes unknown labels.

    Raises:
        ValueError: there is no class to take unknown labels.
    """

    labels: tuple[str, ...]
    to_class: Callable[[str], str]
    ignore: frozenset[str] = frozenset()
    unknown: str = "refuse"
    other: str = OTHER

    def __post_init__(self) -> None:
        if self.unknown == "other" and self.other not in self.labels:
            raise ValueError(f"there is no class {self.other!r} for unknown labels, only {', '.join(self.labels)}")

    def index_of(self, label: str) -> int:
        """The class number of a label; 255 if it is to be ignored.

        Raises:
            UnknownLabels: it is none, and unknown ones are refused.
        """
        try:
            name = self.to_class(label)
        except ValueError:
            name = label
        if {label, name} & self.ignore:
            return IGNORE
        if name in self.labels:
            return self.labels.index(name)
        if self.unknown == "refuse":
            raise UnknownLabels([label], self.labels)
        return IGNORE if self.unknown == "ignore" else self.labels.index(self.other)

    def check(self, labels: Iterable[str]) -> None:
        """Refuse labels that are none of the classes.

        Raises:
            UnknownLabels: with all of them, where they are refused.
        """
        unknown = []
        for label in set(labels):
            try:
                self.index_of(label)
            except UnknownLabels:
                unknown.append(label)
        if unknown:
            raise UnknownLabels(unknown, self.labels)


@dataclass(frozen=True, eq=False)
class LabelMap:
    """The classes of a photo's pixels, and what they come from.

    Attributes:
        index: uint8 ``[H, W]``, 255 where not known.
        counts: number of pixels a class; for points, of points.
        ignored: labels that were made "not known", with their number of colonies or points.
        points: of known classes.
    """

    index: Index
    counts: Counter[str]
    ignored: Counter[str]
    points: tuple[LabelledPoint, ...] = ()


def draw(annotations: Annotations, classes: Classes, ignore_border_px: int = 0) -> LabelMap:
    """The class of every pixel of a photo.

    Args:
        annotations: of the photo; only its instances count.
        classes: one of them is `BACKGROUND`.
        ignore_border_px: pixels this near to one of another class become "not known", for outlines drawn roughly.

    Raises:
        UnknownLabels: where they are refused.
    """
    width, height = annotations.size_wh
    index = np.full((height, width), classes.labels.index(BACKGROUND), np.uint8)
    numbers = {colony.label: classes.index_of(colony.label) for colony in annotations.instances}
    last_first = reversed(annotations.instances)  # so that of two of one size the first is painted last
    for colony in sorted(last_first, key=lambda colony: -colony.area_px):
        _paint(index, colony, numbers[colony.label])
    if ignore_border_px:
        index = without_borders(index, ignore_border_px)
    pixels = np.bincount(index.ravel(), minlength=IGNORE + 1)
    counts = Counter({label: int(pixels[number]) for number, label in enumerate(classes.labels)})
    ignored = Counter(colony.label for colony in annotations.instances if numbers[colony.label] == IGNORE)
    return LabelMap(index, counts, ignored)


def _paint(index: Index, colony: Instance, number: int) -> None:
    height, width = index.shape
    x0, y0, x1, y1 = box = masks.intersection(colony.xyxy_px, (0, 0, width, height))
    if x0 < x1 and y0 < y1:
        index[y0:y1, x0:x1][masks.window(colony, box)] = number


def without_borders(index: Index, px: int) -> Index:
    """`index` with "not known" (255) where a pixel of another class lies at most `px` away; 255 is no class."""
    known = index != IGNORE
    off = np.arange(-px, px + 1)
    disc = (off[:, None] ** 2 + off**2 <= px**2).astype(np.uint8)  # OpenCV's own ellipse reaches further
    # what is not known is neither the largest nor the least class; OpenCV takes what lies beyond the frame likewise
    largest = cv2.dilate(np.where(known, index, 0).astype(np.uint8), disc)
    least = cv2.erode(index, disc)
    return np.where(known & (largest != least), np.uint8(IGNORE), index)
