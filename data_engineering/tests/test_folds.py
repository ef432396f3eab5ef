from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from data_engineering import folds
from quadrat.shapes import Annotations

NAMES = [f"site_q{number}.jpg" for number in range(11)]


def split_of(fold: folds.Fold, name: str, tags: tuple[str, ...] = ()) -> str:
    return fold.of(Path("somewhere") / name, Annotations(name, (4, 4), (), {"tags": tags}))


@pytest.mark.parametrize("count", [2, 3, 5, 11])
def test_every_photo_is_held_out_once_and_folds_are_balanced(count):
    dealt = [folds.deal(f"{k}/{count}", NAMES, seed=3) for k in range(1, count + 1)]
    sizes = [sum(split_of(fold, name) == "val" for name in NAMES) for fold in dealt]
    assert max(sizes) - min(sizes) <= 1
    held_out = Counter(name for fold in dealt for name in NAMES if split_of(fold, name) == "val")
    assert held_out == dict.fromkeys(NAMES, 1)
    assert {split_of(fold, name) for fold in dealt for name in NAMES} == {"train", "val"}


def test_the_deal_depends_on_names_and_seed_alone_and_tags_do_not_count():
    val = {name for name in NAMES if split_of(folds.deal("1/3", NAMES), name) == "val"}
    again = folds.deal("1/3", reversed(NAMES))
    assert {name for name in NAMES if split_of(again, name, ("train", "val")) == "val"} == val
    others = [{name for name in NAMES if split_of(folds.deal("1/3", NAMES, s), name) == "val"} for s in range(1, 4)]
    assert any(other != val for other in others)


def test_years_of_one_quadrat_stay_together():
    names = [f"site_{year}_q{number}.jpg" for number in range(6) for year in (2019, 2024)]
    for k in range(1, 4):
        fold = folds.deal(f"{k}/3", names)
        assert sum(split_of(fold, name) == "val" for name in names) == 4
        assert all(split_of(fold, name) == split_of(fold, name.replace("2019", "2024")) for name in names)


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/1", "-1/3", "1/3/5", "a/b"])
def test_other_words_are_refused(text):
    with pytest.raises(ValueError, match="expected K/N"):
        folds.deal(text, NAMES)


def test_more_folds_than_photos_are_refused():
    with pytest.raises(ValueError, match="11 photos are too few for 12 folds"):
        folds.deal("1/12", NAMES)
