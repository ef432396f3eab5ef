"""What is wrong with the shapes on a photo: checks that need nothing but the shapes.

`find` runs all checks that look at one photo; `SamePhotos` remembers photos to find those that are there twice. Each
check is a function of its own. What they find is a `Problem`: a sentence, and where to look.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_engineering import rings, surfaces
from data_engineering.problem_kinds import KINDS
from data_engineering.rings import Ring
from data_engineering.surfaces import Surfaces
from quadrat import drawn, images
from quadrat.drawn import Drawn, DrawnPhoto, Labels

TAG = "problem"
"""What samples with a problem are tagged with in FiftyOne; ``problem:<kind>`` says which."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Something wrong with a photo or with shapes on it.

    Attributes:
        kind: one of `KINDS`.
        text: a sentence that says what, without the photo's name.
        shapes: indices among ``photo.drawn`` of the shapes it is about; none for the photo as a whole.
        marks: float64 ``[K, 2]`` px: spots to look at.
        weight: the greater, the worse; comparable among problems of one kind.
    """

    kind: str
    text: str
    shapes: tuple[int, ...] = ()
    marks: Ring = field(default_factory=lambda: np.zeros((0, 2)))
    weight: float = 0.0


@dataclass(frozen=True, eq=False)
class Rules:
    """What the checks go by.

    Attributes:
        labels: definitions as CVAT has them: attributes and the points of skeletons; without, both go unchecked.
        knows: whether a colony may be called so; `None` leaves labels unchecked.
        same_iou: shapes of a greater intersection over union are one drawn twice, 0..1.
        overlap: share of the smaller of two colonies from which their overlap is told, 0..1.
        tiny_share: a shape with less of the photo's area is tiny, 0..1.
        tiny_px: so is one with less px2.
        outside_px: how far a shape may reach beyond the photo's border.
        outside_share: a colony with more of it beyond the quadrat is outside, 0..1.
    """

    labels: Labels = ()
    knows: Callable[[str], bool] | None = None
    same_iou: float = 0.9
    overlap: float = 0.1
    tiny_share: float = 1e-5
    tiny_px: float = 9.0
    outside_px: float = 1.0
    outside_share: float = 0.5

    def __post_init__(self) -> None:
        for name in ("same_iou", "overlap", "tiny_share", "outside_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: expected 0..1")

    @cached_property
    def sublabels(self) -> dict[str, list[str]]:
        """Skeleton label -> names of its points."""
        return drawn.sublabels_of(self.labels)

    @cached_property
    def attributes(self) -> dict[str, Sequence[Mapping[str, object]]]:
        """Label -> definitions of its attributes."""
        return {str(each["name"]): each.get("attributes") or () for each in self.labels}


def find(photo: DrawnPhoto, rules: Rules, ground: Surfaces | None = None) -> list[Problem]:
    """All problems of one photo, in the order of `KINDS`.

    Args:
        photo: with shapes.
        rules: what to go by.
        ground: `surfaces.of` the photo, where it is known already.
    """
    ground = surfaces.of(photo) if ground is None else ground
    found = [
        *unreadable(photo),
        *(Problem("not_kept", text) for text in photo.problems),
        *unknown_labels(ground, rules),
        *self_crossings(ground),
        *shared_ground(ground, rules),
        *outside_quadrat(ground, rules),
        *outside_photo(photo, ground, rules),
        *tiny_shapes(photo, ground, rules),
        *wrong_attributes(photo, rules),
        *incomplete_skeletons(photo, rules),
    ]
    return sorted(found, key=lambda one: _ORDER[one.kind])


_ORDER = {kind: place for place, kind in enumerate(KINDS)}


# ---------------------------------------------------------------------------------------------- the photo


def unreadable(photo: DrawnPhoto) -> Iterator[Problem]:
    """A photo whose file is not there, is none, or is of another size than its shapes; the header alone is read."""
    if photo.path is None:
        return
    try:
        size_wh = images.read_size_wh(photo.path)
    except (images.ImageError, OSError) as error:
        yield Problem("unreadable", f"The file cannot be opened: {error}")
        return
    if size_wh != photo.size_wh:
        told, real = (f"{width} x {height}" for width, height in (photo.size_wh, size_wh))
        yield Problem("other_size", f"The file has {real} px, its shapes were drawn on {told} px.")


class SamePhotos:
    """Finds photos that were there before: files of the same bytes, and, where there is no file, of the same name."""

    def __init__(self) -> None:
        self._by_size: dict[int, dict[str, str] | tuple[Path, str]] = {}
        self._names: dict[str, str] = {}

    def check(self, photo: DrawnPhoto) -> Iterator[Problem]:
        """Remember a photo; tell if it is there already. A file is read only if another one has as many bytes."""
        where = _place(photo)
        try:
            size = None if photo.path is None else photo.path.stat().st_size
            first = self._names.setdefault(photo.name, where) if size is None else self._same(photo.path, size, where)
        except OSError:
            return  # `unreadable` tells it
        if first != where:
            what = "has the same name" if size is None else "is the same file to the byte"
            yield Problem("same_photo", f"{first} {what}.")

    def _same(self, path: Path | None, size: int, where: str) -> str:
        assert path is not None
        known = self._by_size.setdefault(size, (path, where))
        if isinstance(known, tuple):
            if known == (path, where):
                return where
            self._by_size[size] = known = {_digest(known[0]): known[1]}
        return known.setdefault(_digest(path), where)


def _place(photo: DrawnPhoto) -> str:
    task = photo.facts.get("cvat_task_name") or photo.facts.get("cvat_task_id")
    frame = photo.facts.get("cvat_frame")
    return photo.name + (f" of task {task}" if task else "") + ("" if frame is None else f", frame {frame},")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


# ---------------------------------------------------------------------------------------------- its shapes


def unknown_labels(ground: Surfaces, rules: Rules) -> Iterator[Problem]:
    """Colonies whose label `Rules.knows` not; one problem for each label on a photo."""
    counts: dict[str, list[int]] = {}
    for index, one in zip(ground.at, ground.shapes, strict=True):
        if rules.knows is not None and not rules.knows(one.label):
            counts.setdefault(one.label, []).append(index)
    for label, at in counts.items():
        times = "One shape is" if len(at) == 1 else f"{len(at)} shapes are"
        yield Problem("unknown_label", f"{times} labelled {label!r}.", tuple(at), weight=len(at))


def self_crossings(ground: Surfaces) -> Iterator[Problem]:
    """Polygons whose edges cross; see `rings.crossings`."""
    for index, one, marks in zip(ground.at, ground.shapes, ground.crossings, strict=True):
        if len(marks):
            x, y = marks[0]
            times = "once" if len(marks) == 1 else f"{len(marks)} times"
            text = f"The outline of {one.label} crosses itself {times}, at {x:.0f}, {y:.0f} px."
            yield Problem("self_crossing", text, (index,), marks, len(marks))


def shared_ground(ground: Surfaces, rules: Rules) -> Iterator[Problem]:
    """Two shapes that are one drawn twice, and colonies of different labels that overlap.

    Polygons of one label and group are parts of one colony and are compared like others.
    """
    first, second, upper = surfaces.pairs(ground.boxes)
    small, large = np.sort(np.stack([ground.areas_px[first], ground.areas_px[second]]), axis=0)
    names = np.unique([one.label for one in ground.shapes], return_inverse=True)[1] if len(ground) else first
    upper = np.minimum(upper, small)
    twins = upper > rules.same_iou * (small + large - upper)
    mixed = (names[first] != names[second]) & (upper >= rules.overlap * small)
    for at in np.flatnonzero((twins | mixed) & (small > 0)):
        i, j = int(first[at]), int(second[at])
        shared = surfaces.shared_px(ground, i, j)
        iou = shared / max(small[at] + large[at] - shared, 1e-9)
        a, b = ground.shapes[i], ground.shapes[j]
        pair = (ground.at[i], ground.at[j])
        if iou > rules.same_iou:
            what = f"{a.label} is" if a.label == b.label else f"The same colony is {a.label} and {b.label}:"
            yield Problem("duplicate", f"{what} drawn twice, {iou:.0%} in common.", pair, weight=iou)
        elif a.label != b.label and shared >= rules.overlap * small[at]:
            share = shared / small[at]
            text = f"{a.label} and {b.label} share {min(share, 1):.0%} of the smaller one."
            yield Problem("overlap", text, pair, weight=shared)


def outside_quadrat(ground: Surfaces, rules: Rules) -> Iterator[Problem]:
    """Colonies that lies outside the quadrat for the greater part; nothing where its corners are not known."""
    if ground.inside is None:
        return
    colony = surfaces.colonies(ground)
    whole = np.bincount(colony, ground.areas_px, len(ground))
    outside = 1 - np.bincount(colony, rings.areas(ground.inside), len(ground)) / np.maximum(whole, 1e-9)
    for k in np.flatnonzero((outside > rules.outside_share) & (whole > 0)):
        text = f"{ground.shapes[k].label}: {min(outside[k], 1):.0%} of it lies outside the quadrat."
        yield Problem("outside_quadrat", text, _parts(ground, colony, k), weight=float(outside[k] * whole[k]))


def _parts(ground: Surfaces, colony: NDArray[np.int64], first: int) -> tuple[int, ...]:
    return tuple(ground.at[k] for k in np.flatnonzero(colony == first))


def outside_photo(photo: DrawnPhoto, ground: Surfaces, rules: Rules) -> Iterator[Problem]:
    """Shapes that reach beyond the photo's border."""
    beyond = _beyond(ground.boxes, photo.size_wh)
    for k in np.flatnonzero(beyond > rules.outside_px):
        text = f"{ground.shapes[k].label} reaches {beyond[k]:.0f} px beyond the photo."
        yield Problem("outside_photo", text, (ground.at[k],), weight=float(beyond[k]))


def _beyond(boxes: NDArray[np.float64], size_wh: tuple[int, int]) -> NDArray[np.float64]:
    return np.concatenate([-boxes[:, :2], boxes[:, 2:] - size_wh], axis=1).max(1, initial=0)


def tiny_shapes(photo: DrawnPhoto, ground: Surfaces, rules: Rules) -> Iterator[Problem]:
    """Colonies that cover next to nothing, all their parts together."""
    least = max(rules.tiny_px, rules.tiny_share * photo.size_wh[0] * photo.size_wh[1])
    colony = surfaces.colonies(ground)
    whole = np.bincount(colony, ground.areas_px, len(ground))
    for k in np.flatnonzero((whole < least) & (colony == np.arange(len(ground)))):
        text = f"{ground.shapes[k].label} covers only {whole[k]:.1f} px²."
        yield Problem("tiny", text, _parts(ground, colony, k), weight=-float(whole[k]))


def wrong_attributes(photo: DrawnPhoto, rules: Rules) -> Iterator[Problem]:
    """Shapes that lack an attribute of their label's definition, or hold a value that it does not list."""
    for index, one in enumerate(photo.drawn):
        wrong = list(_wrong_attributes(one, rules.attributes.get(one.label, ())))
        if wrong:
            yield Problem("attribute", f"{one.label}: {'; '.join(wrong)}.", (index,), weight=len(wrong))


def _wrong_attributes(one: Drawn, defined: Iterable[Mapping[str, object]]) -> Iterator[str]:
    for each in defined:
        name, values = str(each["name"]), [str(value) for value in _listed(each.get("values"))]
        if name not in one.attributes:
            yield f"{name} is missing"
        elif each.get("input_type") in ("select", "radio") and one.attributes[name] not in values:
            yield f"{name} is {one.attributes[name]!r}, which is none of {', '.join(values)}"


def _listed(values: object) -> Iterable[object]:
    return values if isinstance(values, (list, tuple)) else ()


def incomplete_skeletons(photo: DrawnPhoto, rules: Rules) -> Iterator[Problem]:
    """Skeletons that lack points of their label's definition."""
    for index, one in enumerate(photo.drawn):
        missing = drawn.missing_points(one, rules.sublabels)
        if missing:
            named = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
            count = "1 point" if len(missing) == 1 else f"{len(missing)} points"
            text = f"{one.label} has {len(one.elements)} points; {count} missing: {named}."
            yield Problem("skeleton", text, (index,), weight=len(missing))
