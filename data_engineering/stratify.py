"""Groups of photos to train, val and test, so that every class has its share of area in each. Plain numbers, no photos.

What is decided stays decided. A new group begins where the hash of its name puts it, and is moved, or changed for
another new one, as long as that brings the splits nearer to their shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_engineering.places import SPLITS, hash_of_place, split_of_hash

PHOTOS = "photos"
_ABSENT, _PHOTO_WEIGHT = 4.0, 3.0
_ROUNDS, _MOST_SWAPPED = 20, 300


@dataclass(frozen=True, slots=True)
class Group:
    """Photos that stay together.

    Attributes:
        name: of the group; two with the same name and seed begin in the same split.
        photos: their number.
        areas: class -> area, in any one unit.
        split: where it is already; `None` for a new group.
    """

    name: str
    photos: int
    areas: Mapping[str, float]
    split: str | None = None


def assign(groups: Sequence[Group], shares: Mapping[str, float], seed: int = 0) -> dict[str, str]:
    """Give every group a split.

    A class that lies in at least as many groups as there are splits shall be in each of them; it is missed only where
    that is out of reach of single moves and exchanges, or decided groups stand against it.

    Args:
        groups: in any order; names differ.
        shares: split -> its share, which add up to 1; a split of share 0 gets no new group.
        seed: of the hash.

    Returns:
        Name of the group -> split, for all groups.
    """
    splits = [split for split in SPLITS if shares.get(split, 0) > 0]
    ordered = sorted(groups, key=lambda group: hash_of_place(group.name, seed))
    placed = [group.split or _begin(group.name, seed, shares) for group in ordered]
    counted = [
        k for k, group in enumerate(ordered) if placed[k] in splits
    ]  # by hand in a split of share 0: stays there
    table = _Table([ordered[k] for k in counted], [splits.index(placed[k]) for k in counted], splits, shares)
    table.improve()
    for k, number in zip(counted, table.place, strict=True):
        placed[k] = splits[number]
    return {group.name: split for group, split in zip(ordered, placed, strict=True)}


def _begin(name: str, seed: int, shares: Mapping[str, float]) -> str:
    return split_of_hash(hash_of_place(name, seed), shares.get("val", 0.0), shares.get("test", 0.0))


class _Table:
    """Who lies where, and how far that is from the shares."""

    def __init__(
        self, groups: Sequence[Group], place: Sequence[int], splits: Sequence[str], shares: Mapping[str, float]
    ):
        classes = sorted({label for group in groups for label, area in group.areas.items() if area > 0})
        rows = [[float(group.photos), *(group.areas.get(label, 0.0) for label in classes)] for group in groups]
        amounts = np.array(rows, np.float64).reshape(len(groups), len(classes) + 1)
        self.amounts = amounts / np.maximum(amounts.sum(axis=0), 1e-12)
        """Share of each group in all there is, float64 ``[groups, 1 + classes]``; the first column counts photos."""
        self.there = (amounts > 0).astype(np.int64)
        self.place = np.array(place, np.int64)
        self.free = [k for k, group in enumerate(groups) if group.split is None]
        self.wanted = np.array([shares[split] for split in splits])[:, None]
        self.weights = np.array([_PHOTO_WEIGHT * max(1, len(classes)) ** 0.5, *([1.0] * len(classes))])
        self.everywhere = (self.there.sum(axis=0) >= len(splits)) * self.weights
        self.held = np.stack([self.amounts[self.place == s].sum(axis=0) for s in range(len(splits))])
        self.counts = np.stack([self.there[self.place == s].sum(axis=0) for s in range(len(splits))])

    def improve(self) -> None:
        """Move and exchange free groups until nothing gets better."""
        cost = self._cost(self.held, self.counts)
        for _ in range(_ROUNDS):
            before = cost
            for changes in self._changes():
                held, counts = self._after(changes)
                if (after := self._cost(held, counts)) < cost - 1e-9:
                    cost, self.held, self.counts = after, held, counts
                    for group, split in changes:
                        self.place[group] = split
            if cost == before:
                break

    def _cost(self, held: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
        """Deviations in parts of each split's share, squared, and a fine for each class that a split lacks."""
        off = (held - self.wanted) / self.wanted
        return float((off**2 * self.weights * self.wanted).sum() + _ABSENT * ((counts == 0) * self.everywhere).sum())

    def _changes(self) -> Iterator[list[tuple[int, int]]]:
        """Every free group to every other split; then pairs of free groups exchanged, where there are not too many."""
        for group in self.free:
            for split in range(len(self.wanted)):
                if split != self.place[group]:
                    yield [(group, split)]
        few = self.free if len(self.free) <= _MOST_SWAPPED else []
        for number, one in enumerate(few):
            for other in few[number + 1 :]:
                if self.place[one] != self.place[other]:
                    yield [(one, int(self.place[other])), (other, int(self.place[one]))]

    def _after(self, changes: Sequence[tuple[int, int]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        held, counts = self.held.copy(), self.counts.copy()
        for group, split in changes:
            for sign, where in ((-1, self.place[group]), (1, split)):
                held[where] += sign * self.amounts[group]
                counts[where] += sign * self.there[group]
        return held, counts
