"""Shares of every class in every split, and what stays decided."""

from __future__ import annotations

import numpy as np
import pytest

from data_engineering.places import SPLITS
from data_engineering.stratify import Group, assign

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
LABELS = tuple(f"genus{number}" for number in range(12))


def reef(count: int, seed: int = 0) -> list[Group]:
    """Groups of 1 to 3 photos; the first genus is nearly everywhere, the last in few."""
    rng = np.random.default_rng(seed)
    frequency = np.geomspace(0.9, 0.08, len(LABELS))
    return [
        Group(
            f"reef_q{number}",
            int(rng.integers(1, 4)),
            {name: float(rng.lognormal(8, 0.7)) for name, f in zip(LABELS, frequency, strict=True) if rng.random() < f},
        )
        for number in range(count)
    ]


def share(groups, assigned, split, amount) -> float:
    return sum(amount(g) for g in groups if assigned[g.name] == split) / sum(amount(g) for g in groups)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_class_has_its_share_in_each_split(seed):
    groups = reef(120, seed)
    assigned = assign(groups, SHARES, seed)
    for split, wanted in SHARES.items():
        assert share(groups, assigned, split, lambda g: g.photos) == pytest.approx(wanted, abs=0.03)
        for label in LABELS:
            if sum(label in g.areas for g in groups) >= 15:
                there = share(groups, assigned, split, lambda g, label=label: g.areas.get(label, 0))
                assert there == pytest.approx(wanted, abs=0.08), (split, label)


def test_a_class_of_few_groups_is_in_each_split():
    groups = [Group(f"q{n}", 1, {"Porites": 100.0, **({"Fungia": 5.0} if n < 3 else {})}) for n in range(30)]
    assigned = assign(groups, SHARES)
    assert {assigned[f"q{n}"] for n in range(3)} == set(SPLITS)


def test_three_groups_fill_three_splits_and_shapeless_ones_count_as_photos():
    assert set(assign([Group(f"q{n}", 1, {}) for n in range(3)], SHARES).values()) == set(SPLITS)
    groups = [Group(f"q{n}", 1, {}) for n in range(100)]
    assigned = assign(groups, SHARES)
    assert [share(groups, assigned, split, lambda _: 1) for split in SPLITS] == pytest.approx([0.7, 0.15, 0.15])


def test_the_order_of_groups_does_not_count_and_the_seed_does():
    groups = reef(60)
    assigned = assign(groups, SHARES)
    assert assign(groups[::-1], SHARES) == assigned
    assert assign(groups, SHARES, seed=1) != assigned


def test_what_is_decided_stays_and_new_groups_go_where_something_lacks():
    groups = reef(80)
    before = assign(groups, SHARES)
    decided = [Group(g.name, g.photos, g.areas, before[g.name]) for g in groups]
    more = [Group(f"new{n}", 1, {"Acropora": 10.0}) for n in range(9)]
    after = assign([*more, *decided], SHARES)
    assert {name: after[name] for name in before} == before
    assert {after[g.name] for g in more} == set(SPLITS), "the new class is in each split"

    all_train = [Group(g.name, g.photos, g.areas, "train") for g in groups]
    lacking = [Group(g.name, 1, {"genus0": 5000.0}) for g in more]
    after = assign([*all_train, *lacking], SHARES)
    assert {after[g.name] for g in more} <= {"val", "test"}


def test_a_split_of_share_0_gets_nothing_new_and_keeps_what_it_has():
    groups = [Group("old", 1, {}, "test"), *(Group(f"q{n}", 1, {}) for n in range(20))]
    assigned = assign(groups, {"train": 0.8, "val": 0.2, "test": 0.0})
    assert [name for name, split in assigned.items() if split == "test"] == ["old"]
