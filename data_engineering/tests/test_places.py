"""Where photos go: tags, names, and that photos tagged test go nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_engineering import folds
from data_engineering.places import SPLITS, Split, hash_of, split_of
from quadrat.shapes import Annotations


def photo(name: str, *tags: str) -> tuple[Path, Annotations]:
    return Path("somewhere") / name, Annotations(name, (4, 4), (), {"tags": list(tags)})


def test_twins_and_what_was_made_of_a_photo_have_one_hash():
    names = ["reef_2008_q7.jpg", "reef_20240301_q7.png", "reef_2024_q7_rect.jpg", "a/reef_2010_q7_inpainted.jpg"]
    assert len({hash_of(name, 3) for name in names}) == 1
    assert len({split_of(name, 3, 0.3, 0.3) for name in names}) == 1
    assert hash_of("reef_2008_q8.jpg", 3) != hash_of("reef_2008_q7.jpg", 3) != hash_of("reef_2008_q7.jpg", 4)


def test_names_that_were_split_before_stay_where_they_are():
    """Digests of an earlier version: photos must not change sides when the project is brought up to date."""
    assert hash_of("reef_2024_q7.jpg", 0).hex().startswith("11f32ae6")
    assert hash_of("IMG_0042.jpg", 1).hex().startswith("7bb0b17d")


@pytest.mark.parametrize("only", ["train", "val"])
def test_photos_tagged_test_are_put_nowhere_else(only):
    with pytest.raises(ValueError, match=f"tagged test, which training never reads: not put into {only}"):
        Split(only=only).of(*photo("a.jpg", "checked", "test"))
    assert Split(only=only).of(*photo("a.jpg", "val")) == only
    assert Split(only="test").of(*photo("a.jpg", "train")) == "test"
    fold = folds.deal("1/2", ["a.jpg", "b.jpg"])
    assert {fold.of(*photo(name, "test")) for name in ("a.jpg", "b.jpg")} == {"test"}
    assert {fold.of(*photo(name, "train")) for name in ("a.jpg", "b.jpg")} == {"train", "val"}


def test_a_tag_rules_and_two_are_refused():
    assert [Split().of(*photo("a.jpg", split)) for split in SPLITS] == list(SPLITS)
    with pytest.raises(ValueError, match="has the tags"):
        Split().of(*photo("a.jpg", "train", "test"))


@pytest.mark.parametrize(("val", "test"), [(0, 0.1), (0.5, 0.5), (0.1, -0.1)])
def test_unfit_shares_are_refused(val, test):
    with pytest.raises(ValueError, match="expected val > 0"):
        Split(val, test)
