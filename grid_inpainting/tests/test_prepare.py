from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_engineering import training_folder
from grid_inpainting import folder, prepare
from quadrat import images, template
from quadrat.formats import shapes_json
from quadrat.shapes import Annotations

from .conftest import SIZE_WH, grid, write_scene


def test_a_rendered_photo_has_its_twin_its_strings_and_its_truth(scenes: Path, tmp_path: Path) -> None:
    manifest = prepare.main(tmp_path / "d", rendered=scenes, only="test")
    assert manifest.photos == {"train": 0, "val": 0, "test": 7}
    assert manifest.with_strings == {"train": 0, "val": 0, "test": 6}
    assert (manifest.trained_on, manifest.note) == ("rendered quadrats", prepare.NOTE)
    first, *_, last = folder.pairs(tmp_path / "d", "test")
    assert first.name == "reef_2024_q0"
    for path, kind in ((first.clean, "clean"), (first.photo, "photos"), (first.strings, "strings")):
        assert path is not None
        assert path.is_symlink()
        assert path.resolve().parent == (scenes / kind).resolve()
    assert first.truth is not None
    assert shapes_json.read(first.truth).keypoints
    assert last == folder.Pair("reef_2024_q6", tmp_path / "d" / "clean" / "test" / "reef_2024_q6.jpg")
    assert folder.pairs(tmp_path / "d", "train") == []


def test_splits_are_disjoint_and_by_name(scenes: Path, tmp_path: Path) -> None:
    manifest = prepare.main(tmp_path / "d", rendered=[scenes], val=0.4, test=0.2, seed=1)
    assert sum(manifest.photos.values()) == 7
    names = [pair.name for split in folder.SPLITS for pair in folder.pairs(tmp_path / "d", split)]
    assert sorted(names) == [f"reef_2024_q{k}" for k in range(7)]
    for split in folder.SPLITS:
        for pair in folder.pairs(tmp_path / "d", split):
            assert training_folder.split_of(f"{pair.name}.jpg", 1, 0.4, 0.2) == split


def test_photographs_are_taken_as_they_are(tmp_path: Path) -> None:
    for name in ("a/one.png", "b/one.png", "b/deep/two.jpg"):
        images.write(tmp_path / "reef" / name, np.full((20, 30, 3), 90, np.uint8))
    manifest = prepare.main(tmp_path / "d", photos=tmp_path / "reef", only="val")
    assert manifest.trained_on == "photos of reef"
    assert manifest.note == ""
    pairs = folder.pairs(tmp_path / "d", "val")
    assert len(pairs) == 3
    assert {pair.clean.resolve() for pair in pairs} == set((tmp_path / "reef").resolve().rglob("*.*"))
    assert all(pair.photo is pair.strings is pair.truth is None for pair in pairs)


def test_photographs_with_grid_points_show_strings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {
        "corners": (grid(template.load("corners")),),
        "grid": (grid(template.load("corners")), grid()),
        "none": (),
    }
    for name in shapes:
        images.write(tmp_path / f"{name}.jpg", np.full((SIZE_WH[1], SIZE_WH[0], 3), 90, np.uint8))

    def samples(name: str, *_: object):
        for photo, known in shapes.items():
            path = tmp_path / f"{photo}.jpg"
            tags = {"tags": ["train"] if photo == "none" else ["val"]}
            yield path, lambda path=path, known=known, tags=tags: Annotations(path.name, SIZE_WH, known, tags)

    monkeypatch.setattr(training_folder, "_fiftyone", samples)
    manifest = prepare.main(tmp_path / "d", fiftyone="reef")
    assert manifest.photos == {"train": 1, "val": 1, "test": 0}
    assert manifest.trained_on == "FiftyOne dataset reef"
    [(photo, reason)] = manifest.skipped.items()
    assert Path(photo).stem == "grid"
    assert "117 points of 'grid'" in reason


def test_what_cannot_be_used_is_skipped_with_the_reason(tmp_path: Path) -> None:
    source = tmp_path / "scenes"
    for number in range(6):
        write_scene(source, f"q{number}", number)
    (source / "photos" / "q1.jpg").write_bytes(b"no photo")
    images.write(source / "clean" / "q2.jpg", np.zeros((20, 30, 3), np.uint8))
    images.write(source / "strings" / "q3.png", np.zeros((20, 30), np.uint8))
    (source / "clean" / "q4.jpg").unlink()
    manifest = prepare.main(tmp_path / "d", rendered=source, only="train")
    reasons = {Path(photo).stem: reason for photo, reason in manifest.skipped.items()}
    assert sorted(reasons) == ["q1", "q2", "q3", "q4"]
    assert "30 x 20 px" in reasons["q2"]
    assert "320 x 240" in reasons["q3"]
    assert "No such file" in reasons["q4"]
    assert manifest.photos["train"] == 2


def test_unfit_wishes_leave_nothing_behind(tmp_path: Path, scenes: Path) -> None:
    write_scene(tmp_path / "one", "q0")
    with pytest.raises(ValueError, match="at least one in train and one in val"):
        prepare.main(tmp_path / "d", rendered=tmp_path / "one")
    with pytest.raises(ValueError, match="one source"):
        prepare.main(tmp_path / "d", rendered=scenes, photos=scenes)
    with pytest.raises(ValueError, match="render"):
        prepare.main(tmp_path / "d", rendered=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    (tmp_path / "d").mkdir()
    with pytest.raises(FileExistsError, match="--overwrite"):
        prepare.main(tmp_path / "d", rendered=scenes, only="test")
    assert prepare.main(tmp_path / "d", rendered=scenes, only="test", overwrite=True).photos["test"] == 7


def test_no_other_folder_passes_for_a_prepared_one(tmp_path: Path, scenes: Path) -> None:
    for reader in (folder.read, lambda path: folder.pairs(path, "train"), folder.of_rendered):
        with pytest.raises(ValueError, match=r"grid_inpainting\.prepare|data_engineering\.render"):
            reader(tmp_path)
    prepare.main(tmp_path / "d", rendered=scenes, only="test")
    with pytest.raises(ValueError, match="expected one of train, val, test"):
        folder.pairs(tmp_path / "d", "validation")


def test_the_command_says_what_it_made(tmp_path: Path, scenes: Path) -> None:
    command = [sys.executable, "-m", "grid_inpainting.prepare", "--photos", str(scenes / "clean"), "--only", "val"]
    ran = subprocess.run([*command, "--out", str(tmp_path / "d")], capture_output=True, text=True, check=True)
    assert "'val': 7" in ran.stdout
    ran = subprocess.run([*command, "--out", str(tmp_path / "d")], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith("prepare: ")


def test_pairs_over_real_photographs_say_so(scenes: Path, tmp_path: Path) -> None:
    own = tmp_path / "over"
    shutil.copytree(scenes, own)
    (own / "manifest.json").write_text(json.dumps({"backgrounds": ["a.jpg", "b.jpg"]}), "utf-8")
    manifest = prepare.main(tmp_path / "pairs", rendered=[own], only="val")
    assert (manifest.trained_on, manifest.note) == ("quadrats rendered over 2 photographs", "")
    both = prepare.main(tmp_path / "both", rendered=[own, scenes], only="val")
    assert (both.trained_on, both.note) == ("rendered quadrats", prepare.NOTE)
