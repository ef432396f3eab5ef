"""Points of a photo -> the classes of their pixels, or of the superpixels round them; all else is "not known".

Where points of two classes lie in one pixel, that pixel is not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from DINOv2_mmseg import superpixels as grown
from DINOv2_mmseg.class_maps import OTHER, Classes, Index, LabelMap, Rule
from DINOv2_mmseg.folder import IGNORE, LabelledPoint
from quadrat.images import Rgb
from quadrat.shapes import HIDDEN, Annotations


@dataclass(frozen=True)
class Legend:
    """What short codes stand for; empty where labels are names already.

    Attributes:
        names: full name of a code.
        groups: functional group of a full name.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    def to_name(self, label: str) -> str:
        """The full name of a code; a full name is its own.

        Raises:
            ValueError: the labelset does not have it.
        """
        if label not in self.names and label not in self.groups and self.names:
            raise ValueError(f"label {label!r} is not in the labelset: expected one of {', '.join(self.names)}")
        return self.names.get(label, label)


def classes_of(counts: Mapping[str, int], rule: Rule, legend: Legend, min_points: int = 1) -> Classes:
    """The classes of all points: in alphabetical order, or exactly those of the file that the user gave.

    Args:
        counts: number of points a label, in all photos.
        rule: of the user.
        legend: of the labels.
        min_points: classes with fewer points are to be ignored.

    Raises:
        UnknownLabels: labels that are no class, where they are refused.
        ValueError: no class is left, or both a file and `min_points` say which there are.
    """
    listed = rule.listed()
    if listed and min_points > 1:
        raise ValueError(f"--classes {rule.classes} and --min-points {min_points}: expected one of them")
    by_name = Counter[str]()
    for label, count in counts.items():
        name = _name_or_other(label, rule, legend)
        if name and not {label, name} & set(rule.ignore):
            by_name[name] += count
    few = {name for name, count in by_name.items() if count < min_points}
    labels = listed or tuple(sorted(set(by_name) - few))
    if not labels:
        raise ValueError(f"no class has {min_points} points or more ({dict(counts)}): give a smaller --min-points")
    classes = Classes(labels, legend.to_name, frozenset(rule.ignore) | few, rule.unknown)
    classes.check(counts)
    return classes


def _name_or_other(label: str, rule: Rule, legend: Legend) -> str | None:
    try:
        return legend.to_name(label)
    except ValueError:
        return OTHER if rule.unknown == "other" else None


def background_of(classes: Classes, legend: Legend, not_colony: Sequence[str]) -> tuple[str, ...]:
    """The classes that are no colonies.

    Args:
        classes: all of them.
        legend: of the labels.
        not_colony: class names, codes, or functional groups of the labelset.

    Raises:
        ValueError: one of `not_colony` is nothing of this kind.
    """
    groups = set(legend.groups.values()) - {""}
    known = {*classes.labels, *classes.ignore, *legend.names, *legend.groups, *groups}
    if strange := [name for name in not_colony if name not in known]:
        raise ValueError(f"--not-colony {', '.join(strange)}: expected classes among {', '.join(classes.labels)}")
    named = {legend.names.get(name, name) for name in not_colony}
    return tuple(label for label in classes.labels if {label, legend.groups.get(label, label)} & named)


def draw(annotations: Annotations, image_rgb: Rgb, classes: Classes, superpixels: int = 0) -> LabelMap:
    """The classes of a photo's points on its pixels.

    Args:
        annotations: of the photo; the label of each of its keypoints is that of all its points that are not hidden.
        image_rgb: uint8 ``[H, W, 3]``, the photo.
        classes: what labels mean.
        superpixels: number of superpixels to which points are grown; 0: they are not.

    Raises:
        UnknownLabels: where they are refused.
    """
    found = points_of(annotations)
    numbers = np.array([classes.index_of(label) for _, _, label in found], np.uint8)
    xy = np.array([(int(x), int(y)) for x, y, _ in found], np.int64).reshape(-1, 2)
    index = np.full(image_rgb.shape[:2], IGNORE, np.uint8)
    if superpixels and found:
        index = grown.grow(image_rgb, xy, numbers, superpixels)
    _set_points(index, xy, numbers)
    known = [(x, y, classes.labels[n]) for (x, y, _), n in zip(found, numbers, strict=True) if n != IGNORE]
    ignored = Counter(label for (_, _, label), n in zip(found, numbers, strict=True) if n == IGNORE)
    return LabelMap(index, Counter(label for _, _, label in known), ignored, tuple(known))


def points_of(annotations: Annotations) -> list[LabelledPoint]:
    """All points that are not hidden: x and y in px of the photo, and the label as it was given."""
    return [
        (float(x), float(y), shape.label)
        for shape in annotations.keypoints
        for (x, y), seen in zip(shape.xy_px, np.asarray(shape.visibility), strict=True)
        if seen != HIDDEN
    ]


def _set_points(index: Index, xy: NDArray[np.int64], numbers: NDArray[np.uint8]) -> None:
    pixels, which = np.unique(xy, axis=0, return_inverse=True)
    agreed = grown.agreed(which.ravel(), numbers, len(pixels))
    index[pixels[:, 1], pixels[:, 0]] = agreed
