"""What a prepared folder holds out, and that training on it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from quadrat import held_out, images
from quadrat.held_out import HeldOutError


def write_photo(path: Path, number: int, side: int = 24) -> Path:
    images.write(path, np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8))
    return path


def of(folder: Path, split: str) -> list[Path]:
    return sorted((folder / "images" / split).glob("*"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for number, split in enumerate(("train", "train", "val", "test", "test")):
        write_photo(root / "images" / split / f"p{number}.png", number)
    held_out.write(root, {split: of(root, split) for split in ("train", "val", "test")})
    return root


def check(folder: Path) -> None:
    held_out.check(folder, {split: of(folder, split) for split in ("train", "val")})


def test_a_folder_as_it_was_prepared_may_be_trained_on(folder: Path) -> None:
    check(folder)
    assert set(json.loads((folder / held_out.FILE).read_text())["photos"]) == {"p3", "p4"}


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("name", ["p3.png", "renamed.png"])
def test_a_photo_that_was_moved_is_known(folder: Path, split: str, name: str) -> None:
    (folder / "images" / "test" / "p3.png").rename(folder / "images" / split / name)
    with pytest.raises(HeldOutError, match=rf"photos for {split} are of the test split.*{name}"):
        check(folder)


def test_a_name_counts_even_if_the_file_was_encoded_anew(folder: Path) -> None:
    images.write(folder / "images" / "train" / "p3.jpg", images.read(folder / "images" / "test" / "p3.png"))
    with pytest.raises(HeldOutError, match=r"p3\.jpg"):
        check(folder)


def test_the_test_photos_of_another_folder_are_known(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_photo(other / "images" / "train" / "p3.png", 9)
    held_out.write(other, {"train": of(other, "train"), "val": [], "test": []})
    held_out.check(other, {"train": of(other, "train"), "val": of(folder, "val")})
    with pytest.raises(HeldOutError, match=r"photos for val .*p3\.png, p4\.png"):
        held_out.check(other, {"train": of(other, "train"), "val": of(folder, "test")})


def test_without_a_list_what_lies_in_test_is_held_out(folder: Path) -> None:
    (folder / held_out.FILE).unlink()
    check(folder)
    (folder / "images" / "val" / "again.png").symlink_to(folder / "images" / "test" / "p4.png")
    with pytest.raises(HeldOutError, match=r"again\.png \(the same file as p4\)"):
        check(folder)


def test_a_folder_for_evaluation_is_refused_whatever_is_moved(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_photo(root / "images" / "test" / "p0.png", 0)
    held_out.write(root, {"train": [], "val": [], "test": of(root, "test")})
    (root / "images" / "test").rename(root / "images" / "train")
    with pytest.raises(HeldOutError, match="prepared with --only test"):
        held_out.check(root, {"train": of(root, "train"), "val": []})


def test_one_file_in_two_splits_is_refused_when_the_list_is_made(folder: Path) -> None:
    write_photo(folder / "images" / "train" / "twice.png", 4)
    with pytest.raises(HeldOutError, match=r"twice\.png \(the same file as p4\).*same tag"):
        held_out.write(folder, {split: of(folder, split) for split in ("train", "val", "test")})


def test_large_files_differ_by_their_ends(tmp_path: Path) -> None:
    begin, middle = b"a" * 70_000, b"b" * 70_000
    for name, data in (("a", begin + middle), ("b", begin + middle[:-1] + b"c"), ("c", b"c" + (begin + middle)[1:])):
        (tmp_path / name).write_bytes(data)
    assert len({held_out.digest(tmp_path / name) for name in "abc"}) == 3


def test_a_damaged_list_is_refused(folder: Path) -> None:
    (folder / held_out.FILE).write_text("[]")
    with pytest.raises(HeldOutError, match="is no list of held-out photos"):
        check(folder)
