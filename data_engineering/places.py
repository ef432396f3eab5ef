"""Where photos go: train, val or test, by a tag, by the one split that takes all, or by their name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from data_engineering import file_names
from quadrat.shapes import Annotations

SPLITS = ("train", "val", "test")
TEST = "test"


class Places(Protocol):
    """What says where photos go: `Split`, or `data_engineering.folds.Fold`."""

    @property
    def only(self) -> str | None:
        """The one split that takes every photo, if there is one."""

    def of(self, photo: Path, annotations: Annotations) -> str:
        """The split of a photo."""


@dataclass(frozen=True)
class Split:
    """How photos go to train, val and test.

    Attributes:
        val: share for validation, above 0.
        test: share that training never sees.
        seed: of the split.
        only: put every photo into this one, for evaluation; shares count no more, and of the tags only that no photo
            tagged ``test`` may go elsewhere.
    """

    val: float = 0.15
    test: float = 0.15
    seed: int = 0
    only: str | None = None

    def __post_init__(self) -> None:
        check_shares(self.val, self.test)

    def of(self, photo: Path, annotations: Annotations) -> str:
        """The split of a photo: `only`, its tag in FiftyOne, or by its name.

        Raises:
            ValueError: it has the tags of two splits, or is tagged ``test`` and `only` names another.
        """
        if self.only not in (None, TEST) and is_held_out(annotations):
            raise ValueError(f"it is tagged {TEST}, which training never reads: not put into {self.only}")
        return self.only or tagged(annotations) or split_of(photo.name, self.seed, self.val, self.test)


def check_shares(val: float, test: float) -> None:
    """Refuse shares that leave nothing for validation or for training.

    Raises:
        ValueError: naming them.
    """
    if not (val > 0 and test >= 0 and val + test < 1):
        raise ValueError(f"val {val} and test {test}: expected val > 0, test >= 0 and room for training")


def split_of(name: str, seed: int, val: float, test: float) -> str:
    """The split of a photo: by the hash of its name, so that it stays where it is when other photos come or go.

    Photos of one place (`file_names.place_of`) lie in one split, in whatever years and however they were rectified or
    cleaned: the test split holds quadrats that training never saw.

    Returns:
        ``train``, ``val`` or ``test``.
    """
    return split_of_hash(hash_of(name, seed), val, test)


def split_of_hash(digest: bytes, val: float, test: float) -> str:
    """The split of what has this hash (`hash_of`): each gets its share of all hashes there can be."""
    share = int.from_bytes(digest[:8], "big") / 2**64
    return TEST if share < test else "val" if share < test + val else "train"


def hash_of(name: str, seed: int) -> bytes:
    """32 bytes that depend on the place a photo's name tells and on the seed: the same for year twins."""
    return hash_of_place(file_names.place_of(name), seed)


def hash_of_place(place: str, seed: int) -> bytes:
    """32 bytes that depend on a place (`file_names.place_of`) and on the seed."""
    return hashlib.sha256(f"{seed}:{place}".encode()).digest()


def tagged(annotations: Annotations) -> str | None:
    """The split that a photo's tags in FiftyOne name; `None` if they name none.

    Raises:
        ValueError: they name several.
    """
    found = _split_tags(annotations)
    if len(found) > 1:
        raise ValueError(f"{annotations.image} has the tags {found}: expected one of them")
    return found[0] if found else None


def is_held_out(annotations: Annotations) -> bool:
    """Whether a photo is tagged ``test`` in FiftyOne, whatever other tags it has."""
    return TEST in _split_tags(annotations)


def _split_tags(annotations: Annotations) -> list[str]:
    tags = annotations.meta.get("tags", ())
    return [split for split in SPLITS if isinstance(tags, Iterable) and split in tags]
