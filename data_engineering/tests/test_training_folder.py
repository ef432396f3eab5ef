"""From a real dataset to a training folder: field, view, tags, and the list of what training must not see."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data_engineering import splits, taxonomy, training_folder
from data_engineering.labels import fo
from data_engineering.training_folder import Source, Split, Tally
from quadrat import held_out, images
from quadrat.held_out import HeldOutError
from quadrat.shapes import Annotations

NAME = "training-folder-test"


@pytest.fixture
def reef(tmp_path):
    """Twelve photos of 40 x 30 px, each with a square of Acropora or Porites."""
    if fo.dataset_exists(NAME):
        fo.delete_dataset(NAME)
    made = fo.Dataset(NAME, persistent=True)
    for number in range(12):
        path = tmp_path / "photos" / f"reef_2024_q{number}.png"
        images.write(path, np.full((30, 40, 3), 10 * number, np.uint8))
        ring = [(0.1, 0.1), (0.6, 0.1), (0.6, 0.6), (0.1, 0.6)]
        label = ("Acropora", "Porites")[number % 2]
        shapes = fo.Polylines(polylines=[fo.Polyline(label=label, points=[ring], closed=True, filled=True)])
        metadata = fo.ImageMetadata(width=40, height=30)
        made.add_sample(fo.Sample(str(path), ground_truth=shapes, metadata=metadata))
    yield made
    fo.delete_dataset(NAME)


def make(out: Path, source: Source, split: Split) -> Tally:
    """A folder whose label files hold the labels."""
    kept: list[Tally] = []

    def encode(annotations: Annotations) -> tuple[bytes, Counter[str]]:
        names = Counter(instance.label for instance in annotations.instances)
        return "\n".join(names).encode(), names

    training_folder.make(out, source, split, encode, lambda _, tally: kept.append(tally))
    return kept[0]


def photos_in(out: Path) -> dict[str, set[str]]:
    return {split: {path.stem for path in (out / "images" / split).iterdir()} for split in training_folder.SPLITS}


def test_tags_of_splits_are_obeyed_and_the_test_photos_listed(reef, tmp_path):
    result = splits.main(NAME, val=0.25, test=0.25)
    make(tmp_path / "data", Source(fiftyone=NAME), Split())
    there = photos_in(tmp_path / "data")
    assert {stem: split for split, stems in there.items() for stem in stems} == {
        Path(path).stem: split for path, split in result.splits.items()
    }
    assert set(json.loads((tmp_path / "data" / held_out.FILE).read_text())["photos"]) == there["test"]
    assert there["test"]


@pytest.mark.parametrize("only", ["train", "val"])
def test_only_leaves_out_what_is_tagged_test(reef, tmp_path, only):
    reef[:3].tag_samples("test")
    tally = make(tmp_path / "data", Source(fiftyone=NAME), Split(only=only))
    assert tally.by_split[only] == 9
    assert all("tagged test" in reason for reason in tally.skipped.values())
    assert len(tally.skipped) == 3


def test_a_view_shows_fewer_photos_under_other_names(reef, tmp_path):
    reef.save_view("few", reef[:6].map_labels("ground_truth", {"Acropora": "Acroporidae"}))
    source = Source(fiftyone=NAME, view="few")
    tally = make(tmp_path / "data", source, Split(val=0.4, test=0))
    assert tally.objects == {"Acroporidae": 3, "Porites": 3}
    assert source.words == f"FiftyOne dataset {NAME}, view few"
    assert sorted(source.names()) == [f"reef_2024_q{number}.png" for number in range(6)]
    with pytest.raises(ValueError, match="no saved view 'many'"):
        make(tmp_path / "other", Source(fiftyone=NAME, view="many"), Split())


def test_a_field_of_another_level_is_read(reef, tmp_path):
    taxonomy.main(NAME, level="family", as_field="families")
    tally = make(tmp_path / "data", Source(fiftyone=NAME, field="families"), Split(val=0.4, test=0))
    assert tally.objects == {"Acroporidae": 6, "Poritidae": 6}


def test_field_and_view_belong_to_a_dataset(tmp_path):
    for given in ({"view": "few"}, {"field": "families"}):
        with pytest.raises(ValueError, match="give --fiftyone, or leave them out"):
            Source(rendered=tmp_path, **given)


def test_one_file_under_two_names_in_test_and_training_leaves_no_folder(reef, tmp_path):
    twice = tmp_path / "photos" / "again.png"
    twice.write_bytes((tmp_path / "photos" / "reef_2024_q0.png").read_bytes())
    reef.add_sample(fo.Sample(str(twice), tags=["train"], ground_truth=fo.Polylines()))
    reef[:1].tag_samples("test")
    with pytest.raises(HeldOutError, match=r"again\.png \(the same file as reef_2024_q0\)"):
        make(tmp_path / "data", Source(fiftyone=NAME), Split())
    assert not (tmp_path / "data").exists()
