"""Tags train, val and test in a real dataset: places stay together, tags stay, conflicts are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_engineering import labelled_area, splits
from data_engineering.labels import fo
from data_engineering.places import SPLITS
from quadrat import images

NAME = "splits-test"


def polygon(label: str, x: float, y: float, side: float) -> fo.Polyline:
    ring = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
    return fo.Polyline(label=label, points=[ring], closed=True, filled=True)


def sample(path: Path, number: int, tags: list[str] | None = None, **fields) -> fo.Sample:
    """A photo of 100 x 80 px: a square of Porites or Acropora, and a triangular mask of Fungia."""
    made = fo.Sample(str(path), tags=tags or [], metadata=fo.ImageMetadata(width=100, height=80), **fields)
    made["ground_truth"] = fo.Polylines(polylines=[polygon(("Porites", "Acropora")[number % 2], 0.1, 0.1, 0.5)])
    mask = np.tri(20, dtype=bool)
    fungia = fo.Detection(label="Fungia", bounding_box=[0.5, 0.5, 0.2, 0.25], mask=mask)
    made["ground_truth_masks"] = fo.Detections(detections=[fungia])
    return made


@pytest.fixture
def reef(tmp_path):
    """20 quadrats of two sites in two years, one rectified photo of each, and a photo whose name says nothing."""
    if fo.dataset_exists(NAME):
        fo.delete_dataset(NAME)
    made = fo.Dataset(NAME, persistent=True)
    names = [
        f"{site}_{year}_q{number}{end}.jpg"
        for site in ("north_reef", "south")
        for number in range(10)
        for year, end in ((2019, ""), (2024, ""), (2024, "_rect"))
    ]
    made.add_samples([sample(tmp_path / n, k // 3) for k, n in enumerate([*names, "IMG_1.jpg"])], progress=False)
    yield made
    fo.delete_dataset(NAME)


def tags_of(dataset) -> dict[str, list[str]]:
    dataset.reload()
    found = zip(*dataset.values(["filepath", "tags"]), strict=True)
    return {Path(path).stem: [tag for tag in tags if tag in SPLITS] for path, tags in found}


def test_places_stay_together_and_every_photo_gets_one_tag(reef, capsys):
    assert splits.run([NAME, "--val", "0.2", "--test", "0.2"]) == 0
    tags = tags_of(reef)
    assert all(len(each) == 1 for each in tags.values())
    for site in ("north_reef", "south"):
        for number in range(10):
            of = [tags[f"{site}_{rest}"] for rest in (f"2019_q{number}", f"2024_q{number}", f"2024_q{number}_rect")]
            assert of[0] == of[1] == of[2]
    said = capsys.readouterr().out
    assert "1 photos do not say their quadrat: IMG_1.jpg" in said
    assert "21 of 21 groups assigned" in said
    row = next(line for line in said.splitlines() if line.startswith("Porites, px")).split()
    assert row[2] == f"{31 * 2000:,}"
    assert all(
        float(part.rstrip("%")) == pytest.approx(wanted, abs=7)
        for part, wanted in zip(row[3:], (60, 20, 20), strict=True)
    )


def test_areas_are_those_of_polygons_and_masks(reef):
    first = labelled_area.read(NAME, "ground_truth")[0]
    assert dict(first.areas) == pytest.approx({"Porites": 2000, "Fungia": 20 * 20 * 210 / 400})
    assert dict(labelled_area.read(NAME, "humans")[0].areas) == {}


def test_sites_stay_whole(reef):
    reef.add_samples([sample(Path(f"/x/{site}_2024_q1.jpg"), 0) for site in ("east", "west")], progress=False)
    splits.main(NAME, by="site")
    tags = tags_of(reef)
    for site in ("north_reef", "south"):
        assert len({tuple(each) for stem, each in tags.items() if stem.startswith(site)}) == 1
    assert {tag for each in tags.values() for tag in each} == set(SPLITS)


def test_a_dry_run_changes_nothing_and_says_the_same(reef):
    planned = splits.main(NAME, dry_run=True)
    assert all(not each for each in tags_of(reef).values())
    assert splits.main(NAME).splits == planned.splits
    assert splits.main(NAME).new == 0


def test_new_photos_join_their_place_and_no_tag_changes(reef, tmp_path):
    splits.main(NAME)
    before = tags_of(reef)
    new = [sample(tmp_path / "south_2026_q3.jpg", 0), *(sample(tmp_path / f"new_2026_q{n}.jpg", n) for n in range(8))]
    reef.add_samples(new, progress=False)
    result = splits.main(NAME)
    after = tags_of(reef)
    assert {stem: after[stem] for stem in before} == before
    assert after["south_2026_q3"] == before["south_2024_q3"]
    assert all(len(each) == 1 for each in after.values())
    assert result.new == 8


def test_a_split_changed_by_hand_is_respected(reef):
    splits.main(NAME)
    view = reef.match(fo.ViewField("filepath").contains_str("south_"))
    view.untag_samples(list(SPLITS))
    view.tag_samples("test")
    splits.main(NAME)
    assert all(tags == ["test"] for stem, tags in tags_of(reef).items() if stem.startswith("south"))


def test_places_with_two_splits_are_named_and_nothing_is_tagged(reef):
    for stem, tag in (("south_2019_q1", "train"), ("south_2024_q1", "test")):
        reef.match(fo.ViewField("filepath").contains_str(f"{stem}.jpg")).tag_samples(tag)
    before = tags_of(reef)
    message = r"1 places .*\n  south_q1: south_2019_q1\.jpg train, south_2024_q1\.jpg test"
    with pytest.raises(splits.SplitError, match=message):
        splits.main(NAME)
    assert tags_of(reef) == before


def test_fields_say_the_place_where_names_do_not(reef, tmp_path):
    pair = [sample(tmp_path / f"DSC_{n}.jpg", n, area="west", year=2020 + n, quadrat_id="q1") for n in range(2)]
    reef.add_samples(pair, progress=False)
    result = splits.main(NAME)
    tags = tags_of(reef)
    assert tags["DSC_0"] == tags["DSC_1"]
    assert "west_q1" in {group.name for group in result.groups}
    assert result.unnamed == ["IMG_1.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--val", "0"], "expected val > 0"),
        (["--pattern", "{site}"], r"expected {site}, {year} and {quadrat}"),
        (["--by", "site", "--pattern", "{year}-{site}-{quadrat}", "--field", "x"], "groups assigned"),
    ],
)
def test_options_that_do_not_fit(reef, capsys, arguments, message):
    status = splits.run([NAME, *arguments])
    said = capsys.readouterr()
    assert message in said.err + said.out
    assert status == (0 if "assigned" in message else 1)


def test_too_few_places_are_refused(tmp_path):
    name = f"{NAME}-few"
    if fo.dataset_exists(name):
        fo.delete_dataset(name)
    made = fo.Dataset(name, persistent=True)
    try:
        photo = tmp_path / "reef_2024_q1.jpg"
        images.write(photo, np.zeros((8, 12, 3), np.uint8))
        made.add_samples([fo.Sample(str(photo)), fo.Sample(str(tmp_path / "reef_2025_q1.jpg"))], progress=False)
        images.write(tmp_path / "reef_2025_q1.jpg", np.zeros((8, 12, 3), np.uint8))
        with pytest.raises(splits.SplitError, match="1 groups by quadrat are too few for 3 splits"):
            splits.main(name)
    finally:
        fo.delete_dataset(name)
