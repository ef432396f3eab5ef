"""k-fold cross-validation by photo: each photo is in the validation split of exactly one of N folds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data_engineering.places import TEST, hash_of, is_held_out
from quadrat.shapes import Annotations


@dataclass(frozen=True)
class Fold:
    """One fold: its photos are ``val``, all others ``train``; those tagged ``test`` stay so, other tags do not count.

    Attributes:
        number: of the fold, 1..count.
        count: number of folds, at least 2.
        held_out: hashes of the photos' names (`data_engineering.places.hash_of`) that are ``val``.
        seed: of the deal.
    """

    number: int
    count: int
    held_out: frozenset[bytes]
    seed: int = 0
    only: None = None

    def of(self, photo: Path, annotations: Annotations) -> str:
        """``test`` for photos so tagged in FiftyOne, ``val`` for the others of this fold, else ``train``."""
        if is_held_out(annotations):
            return TEST
        return "val" if hash_of(photo.name, self.seed) in self.held_out else "train"


def deal(text: str, names: Iterable[str], seed: int = 0) -> Fold:
    """Deal photos to N folds like cards, in the order of their names' hashes: no fold has two more than another.

    Photos of one quadrat in several years (``{site}_{year}_{quadrat}``) count as one and stay together.

    Args:
        text: ``K/N``: fold K of N, counted from 1.
        names: of all photos, in any order.
        seed: of the deal; all folds of one deal need the same.

    Raises:
        ValueError: `text` is not of this form, or there are fewer photos than folds.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    number, count = (int(part) for part in match.groups()) if match else (0, 0)
    if not 1 <= number <= count or count < 2:
        raise ValueError(f"fold {text!r}: expected K/N with 1 <= K <= N and N >= 2, for example 2/5")
    hashes = sorted({hash_of(name, seed) for name in names})
    if len(hashes) < count:
        raise ValueError(f"fold {text!r}: {len(hashes)} photos are too few for {count} folds: give a smaller N")
    return Fold(number, count, frozenset(hashes[number - 1 :: count]), seed)
