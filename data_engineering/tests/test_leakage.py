"""Leaks in a real dataset: twins by name, copies by picture, what is said, drawn and tagged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from data_engineering import leakage
from data_engineering.labels import fo
from quadrat import images

from .test_same_picture import CHANGES, scene

NAME = "leakage-test"


def put(dataset: fo.Dataset, path: Path, picture: np.ndarray | None, *tags: str) -> None:
    if picture is None:
        path.write_bytes(b"no photo")
    else:
        images.write(path, picture)
    dataset.add_sample(fo.Sample(str(path), tags=list(tags)))


@pytest.fixture
def reef(tmp_path):
    """Six photos of six quadrats in three splits, with nothing in two of them."""
    if fo.dataset_exists(NAME):
        fo.delete_dataset(NAME)
    made = fo.Dataset(NAME, persistent=True)

    for number, split in enumerate(("train", "train", "train", "val", "test", "test")):
        put(made, tmp_path / f"reef_2024_q{number}.jpg", scene(number), split)
    yield made
    fo.delete_dataset(NAME)


@pytest.fixture
def add(reef, tmp_path):
    """Adds a photo: name without suffix, picture, tags."""
    return lambda stem, picture, *tags: put(reef, tmp_path / f"{stem}.jpg", picture, *tags)


def test_clean_splits_leak_nothing(reef, tmp_path, capsys):
    assert leakage.run([NAME, "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert not (tmp_path / "sheet.png").exists()
    said = capsys.readouterr().out
    assert "photos: train 3, val 1, test 2" in said
    assert "pictures in two splits: 0" in said


def test_year_twins_are_found_by_name(add, capsys):
    add("reef_2019_q0", scene(77), "test")
    add("reef_2020_q4_rect", scene(78), "test")
    assert leakage.run([NAME]) == 1
    said = capsys.readouterr().out
    assert "places in two splits, by name: 1\n  train reef_2024_q0.jpg  =  test reef_2019_q0.jpg  (reef_q0)" in said


@pytest.mark.parametrize("change", list(CHANGES))
def test_copies_are_found_under_any_name(add, change):
    add("IMG_0001", CHANGES[change](scene(1)), "test")
    add("IMG_0002", CHANGES[change](scene(3)), "val")
    [leak] = leakage.main(NAME).leaks
    assert [path.rpartition("/")[2] for path in leak.paths] == ["reef_2024_q1.jpg", "IMG_0001.jpg"]
    assert (leak.kind, leak.splits) == ("picture", ("train", "test"))


def test_what_was_found_is_written_drawn_and_tagged(reef, add, tmp_path):
    add("IMG_0001", CHANGES["smaller"](scene(1)), "val")
    add("reef_2019_q2", scene(77), "test")
    leakage.main(NAME, json=tmp_path / "leaks.json", sheet=tmp_path / "leaks.png", tag=True)
    raw = json.loads((tmp_path / "leaks.json").read_text())
    assert [leak["kind"] for leak in raw["leaks"]] == ["name", "picture"]
    height, width = images.read(tmp_path / "leaks.png").shape[:2]
    assert width == 960
    assert height > 2 * 300
    reef.reload()
    stems = {path.rpartition("/")[2] for path in reef.match_tags("leak").values("filepath")}
    assert stems == {"reef_2024_q1.jpg", "IMG_0001.jpg", "reef_2024_q2.jpg", "reef_2019_q2.jpg"}


def test_photos_that_are_not_looked_at_are_named(add):
    add("broken", None, "test")
    add("untagged", CHANGES["smaller"](scene(0)))
    add("twice", scene(60), "train", "test")
    report = leakage.main(NAME)
    assert report.leaks == []
    assert [any(name in problem for problem in report.problems) for name in ("broken", "untagged", "twice")] == [
        True
    ] * 3


def test_what_cannot_be_judged_is_refused(reef, capsys):
    reef.untag_samples(["val", "test"])
    assert leakage.run([NAME]) == 2
    assert "expected at least two splits; run `python -m data_engineering.splits" in capsys.readouterr().err
    assert leakage.run([NAME, "--threshold", "0"]) == 2
    assert leakage.run([NAME, "--pattern", "{site}"]) == 2
    assert leakage.run([f"{NAME}-none"]) == 2
