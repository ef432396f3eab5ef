from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from coral_seg_yolo import folder as prepared
from coral_seg_yolo import prepare
from data_engineering import training_folder
from data_engineering.training_folder import split_of
from quadrat import images, masks
from quadrat.shapes import Annotations

from .conftest import SIDE, disc, two_part_ring, write_sample


def read_rings(label_file: Path) -> list[tuple[int, np.ndarray]]:
    lines = [line.split() for line in label_file.read_text().splitlines()]
    return [(int(line[0]), np.array(line[1:], float).reshape(-1, 2) * SIDE) for line in lines]


def test_folder_has_links_labels_and_a_manifest(data: Path, rendered: Path) -> None:
    manifest = prepared.read(data)
    assert sum(manifest.photos.values()) == 10
    assert min(manifest.photos.values()) >= 1
    assert manifest.colonies["Porites"] == 10
    assert manifest.colonies["Acropora"] == 9
    assert manifest.trained_on == "rendered quadrats"
    for split in prepared.SPLITS:
        for photo in prepared.photos(data, split):
            assert photo.is_symlink()
            assert photo.resolve() == (rendered / "photos" / photo.name).resolve()
            assert prepared.labels_of(photo).is_file()


def test_a_colony_with_a_hole_and_two_parts_comes_back_from_its_one_ring(data: Path) -> None:
    from ultralytics.data.utils import polygon2mask
    from ultralytics.utils.ops import resample_segments

    label_file = next(data.glob("labels/*/reef_2024_q0.txt"))
    [(_, ring)] = read_rings(label_file)
    truth = two_part_ring()
    ours = masks.rings_to_mask([ring], (0, 0, SIDE, SIDE))
    assert (ours & truth).sum() / (ours | truth).sum() > 0.97
    [resampled] = resample_segments([ring.astype(np.float32)])
    theirs = polygon2mask((SIDE * 4, SIDE * 4), [resampled.ravel() * 4]).astype(bool)[2::4, 2::4]
    assert (theirs & truth).sum() / (theirs | truth).sum() > 0.93
    assert not theirs[34, 30], "the hole is filled"
    assert theirs[70, 74], "the second part is lost"


def test_long_outlines_stay_below_what_ultralytics_resamples() -> None:
    rough = np.random.default_rng(0).random((150, 150)) < 0.5
    instance = masks.instance_from_mask("Porites", np.pad(disc((48, 48), 40), 80)[:150, :150] & rough)
    assert instance is not None
    exact = sum(len(ring) for part in masks.instance_to_parts(instance) for ring in part)
    assert len(prepare.yolo_ring(instance)) < exact


def test_split_depends_on_the_name_alone_and_not_on_the_year() -> None:
    names = [f"site{i}_2020_q{i % 7}.jpg" for i in range(400)]
    splits = [split_of(name, 0, 0.2, 0.1) for name in names]
    assert splits == [split_of(name.replace("_2020_", "_2024_"), 0, 0.2, 0.1) for name in names]
    assert splits != [split_of(name, 1, 0.2, 0.1) for name in names]
    assert 0.13 < splits.count("val") / 400 < 0.27
    assert 0.05 < splits.count("test") / 400 < 0.15


def test_bad_photos_are_skipped_and_listed(tmp_path: Path) -> None:
    source = tmp_path / "rendered"
    for number in range(6):
        write_sample(source, f"q{number}", {"Porites": disc((40, 40), 20)})
    (source / "photos" / "q1.jpg").write_bytes(b"no photo")
    images.write(source / "photos" / "q2.jpg", np.zeros((20, 30, 3), np.uint8))
    (source / "truth" / "q3.json").write_text("{")
    (source / "photos" / "q4.jpg").unlink()
    write_sample(source, "q7", {"Porites": disc((40, 40), 20)})
    manifest = prepare.main(tmp_path / "data", rendered=source, only="test")
    assert {Path(path).stem for path in manifest.skipped} == {"q1", "q2", "q3", "q4"}
    assert "30 x 20" in manifest.skipped[str(source / "photos" / "q2.jpg")]
    assert manifest.photos == {"train": 0, "val": 0, "test": 3}


def test_a_label_that_the_taxonomy_does_not_know_skips_its_photo(tmp_path: Path, monkeypatch) -> None:
    from .conftest import COLOURS

    monkeypatch.setitem(COLOURS, "Unicorn", (1, 2, 3))
    write_sample(tmp_path / "rendered", "a", {"Porites": disc((40, 40), 20)})
    write_sample(tmp_path / "rendered", "b", {"Unicorn": disc((40, 40), 20)})
    manifest = prepare.main(tmp_path / "data", rendered=tmp_path / "rendered", only="train")
    [reason] = manifest.skipped.values()
    assert "Unicorn" in reason


def test_tags_of_a_dataset_rule_over_the_hash(tmp_path: Path, rendered: Path, monkeypatch) -> None:
    photos = images.list_photos(rendered / "photos")[:4]
    tags = (["val"], ["train", "checked"], ["test"], ["train"])

    def samples(name: str, *_: object):
        for photo, tag in zip(photos, tags, strict=True):
            instance = masks.instance_from_mask("Porites", disc((40, 40), 20))
            yield (
                photo,
                lambda photo=photo, tag=tag, i=instance: Annotations(photo.name, (SIDE, SIDE), (i,), {"tags": tag}),
            )

    monkeypatch.setattr(training_folder, "_fiftyone", samples)
    manifest = prepare.main(tmp_path / "data", fiftyone="reef", level="family")
    assert manifest.photos == {"train": 2, "val": 1, "test": 1}
    assert manifest.trained_on == "FiftyOne dataset reef"
    assert manifest.note == ""


def test_nothing_is_left_behind_when_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    write_sample(tmp_path / "rendered", "q0", {"Porites": disc((40, 40), 20)})
    with pytest.raises(ValueError, match="at least one in train and one in val"):
        prepare.main(tmp_path / "data", rendered=tmp_path / "rendered")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rendered"]


def test_an_existing_folder_is_replaced_only_when_asked(tmp_path: Path, rendered: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(FileExistsError, match="--overwrite"):
        prepare.main(tmp_path / "data", rendered=rendered, only="test")
    prepare.main(tmp_path / "data", rendered=rendered, only="test", overwrite=True)
    assert prepared.read(tmp_path / "data").photos["test"] == 10


def test_a_jpeg_without_end_marker_is_copied_and_left_alone(tmp_path: Path) -> None:
    photo = write_sample(tmp_path / "rendered", "q0", {"Porites": disc((40, 40), 20)})
    photo.write_bytes(photo.read_bytes() + b"more bytes, as phones add them")
    before = photo.read_bytes()
    prepare.main(tmp_path / "data", rendered=tmp_path / "rendered", only="train")
    [link] = prepared.photos(tmp_path / "data", "train")
    assert not link.is_symlink()
    assert link.read_bytes().endswith(b"\xff\xd9")
    assert photo.read_bytes() == before


def test_hard_links_where_symbolic_ones_fail(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no symbolic links here")

    monkeypatch.setattr(os, "symlink", refuse)
    photo = write_sample(tmp_path / "rendered", "q0", {"Porites": disc((40, 40), 20)})
    prepare.main(tmp_path / "data", rendered=tmp_path / "rendered", only="train")
    [link] = prepared.photos(tmp_path / "data", "train")
    assert not link.is_symlink()
    assert link.stat().st_ino == photo.stat().st_ino


def test_one_name_in_two_folders_gives_two_photos(tmp_path: Path, monkeypatch) -> None:
    one = write_sample(tmp_path / "a", "q0", {"Porites": disc((40, 40), 20)})
    two = write_sample(tmp_path / "b", "q0", {"Acropora": disc((40, 40), 20)})

    def samples(name: str, *_: object):
        for photo in (one, two):
            yield photo, lambda: Annotations("q0.jpg", (SIDE, SIDE))

    monkeypatch.setattr(training_folder, "_fiftyone", samples)
    prepare.main(tmp_path / "data", fiftyone="x", only="train")
    assert {path.resolve() for path in prepared.photos(tmp_path / "data", "train")} == {one.resolve(), two.resolve()}


def test_no_other_folder_passes_for_a_prepared_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="coral_seg_yolo.prepare"):
        prepared.read(tmp_path)


def test_a_real_fiftyone_dataset(tmp_path: Path, rendered: Path) -> None:
    from data_engineering import dataset

    dataset.from_rendered(rendered, "coral-seg-yolo-test", overwrite=True)
    try:
        manifest = prepare.main(tmp_path / "data", fiftyone="coral-seg-yolo-test", val=0.5, test=0)
    finally:
        dataset.load("coral-seg-yolo-test").delete()
    assert sum(manifest.photos.values()) == 10
    assert manifest.colonies["Acropora"] == 9
