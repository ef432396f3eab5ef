"""Names at a level in a real dataset: new fields, views, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from data_engineering import taxonomy
from data_engineering.labels import fo

NAME = "taxonomy-test"


@pytest.fixture
def reef(tmp_path):
    """Two photos: polygons of two genera and of a family, one mask, skeletons."""
    if fo.dataset_exists(NAME):
        fo.delete_dataset(NAME)
    made = fo.Dataset(NAME, persistent=True)
    ring = [[(0.1, 0.1), (0.4, 0.1), (0.4, 0.4)]]
    for number, names in enumerate((["acropora", "Goniastrea"], ["Astrea", "Acroporidae"])):
        sample = fo.Sample(str(tmp_path / f"reef_2024_q{number}.jpg"), tags=["keep"])
        polylines = [fo.Polyline(label=name, points=ring, closed=True, attribute_confidence="90") for name in names]
        sample["ground_truth"] = fo.Polylines(polylines=polylines)
        mask = fo.Detection(label="Porites", bounding_box=[0.5, 0.5, 0.2, 0.2], mask=np.eye(4, dtype=bool))
        sample["ground_truth_masks"] = fo.Detections(detections=[mask])
        sample["ground_truth_keypoints"] = fo.Keypoints(keypoints=[fo.Keypoint(label="grid", points=[(0.5, 0.5)])])
        made.add_sample(sample)
    yield made
    fo.delete_dataset(NAME)


def names_in(collection, field="ground_truth"):
    masks = collection.values(f"{field}_masks.detections.label")
    return collection.values(f"{field}.polylines.label"), masks


FAMILIES = ([["Acroporidae", "Merulinidae"], ["Merulinidae", "Acroporidae"]], [["Poritidae"], ["Poritidae"]])


def test_a_new_field_has_the_names_and_all_else_stays(reef, capsys):
    before = names_in(reef)
    assert taxonomy.run([NAME, "--level", "family", "--as-field", "families"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows][0] == ["Porites", "->", "Poritidae", "2"]
    assert len(rows) == 5
    reef.reload()
    assert names_in(reef, "families") == FAMILIES
    assert names_in(reef) == before
    sample = reef.first()
    assert sample["families"].polylines[0]["attribute_confidence"] == "90"
    assert (sample["families_masks"].detections[0].mask == np.eye(4, dtype=bool)).all()
    assert not reef.has_field("families_keypoints")
    assert reef.classes["families"] == list(taxonomy.labels("family"))
    assert not any(field.startswith("draft") for field in reef.get_field_schema())


def test_a_view_has_the_names_and_the_dataset_stays(reef):
    before = names_in(reef)
    taxonomy.main(NAME, level="family", view="families")
    reef.reload()
    assert names_in(reef.load_saved_view("families")) == FAMILIES
    assert names_in(reef) == before
    with pytest.raises(ValueError, match="has a view 'families' already"):
        taxonomy.main(NAME, level="coral", view="families")
    taxonomy.main(NAME, level="coral", view="families", overwrite=True)
    reef.reload()
    assert names_in(reef.load_saved_view("families"))[1] == [["coral"], ["coral"]]


def test_without_field_and_view_only_the_table_is_made(reef):
    schema = set(reef.get_field_schema())
    rows = taxonomy.main(NAME, level="extended", field="ground_truth_masks")
    assert rows == [("Porites", "Porites", 2)]
    reef.reload()
    assert set(reef.get_field_schema()) == schema


def test_what_does_not_fit_changes_nothing(reef):
    schema = set(reef.get_field_schema())
    with pytest.raises(ValueError, match="'Acroporidae' is a name of level family"):
        taxonomy.main(NAME, level="genus", as_field="genera")
    with pytest.raises(ValueError, match="no field 'humans' of polylines or detections.*ground_truth"):
        taxonomy.main(NAME, level="family", field="humans", as_field="x")
    for name in ("ground_truth_masks", "two words"):
        with pytest.raises(ValueError, match="expected a new name"):
            taxonomy.main(NAME, level="family", as_field=name)
    with pytest.raises(ValueError, match="has ground_truth_keypoints already"):
        taxonomy.main(NAME, level="family", as_field="ground_truth_keypoints")
    reef.reload()
    assert set(reef.get_field_schema()) == schema


def test_unknown_labels_are_refused_or_called_other(reef):
    sample = reef.first()
    sample["ground_truth"].polylines[0].label = "Sand"
    sample.save()
    with pytest.raises(ValueError, match="1 of 5 labels have no name at level family(.|\\n)*'Sand'"):
        taxonomy.main(NAME, level="family", as_field="families")
    assert ("Sand", "Other", 1) in taxonomy.main(NAME, level="family", as_field="families", unknown="other")


def test_a_field_that_is_there_is_replaced_on_demand_and_a_draft_is_dropped(reef):
    taxonomy.main(NAME, level="family", as_field="mine")
    reef.reload()
    reef.clone_sample_field("ground_truth", "draft_of_mine")
    with pytest.raises(ValueError, match="has mine, mine_masks already"):
        taxonomy.main(NAME, level="coral", as_field="mine")
    taxonomy.main(NAME, level="coral", as_field="mine", overwrite=True)
    reef.reload()
    assert names_in(reef, "mine") == ([["coral"] * 2] * 2, [["coral"]] * 2)
