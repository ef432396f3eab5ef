"""On a real FiftyOne with its embedded database, its evaluation and its brain."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_engineering.tests.review_sample import COLOUR, dataset_of, detections, stems
from quadrat import cvat_labels

pytest.importorskip("fiftyone")


@pytest.fixture(params=["polylines", "detections"])
def samples(request, tmp_path):
    with dataset_of(f"test-{request.node.name}", tmp_path, request.param) as dataset:
        yield dataset


@pytest.fixture
def polylines(request, tmp_path):
    with dataset_of(f"test-{request.node.name}", tmp_path) as dataset:
        yield dataset


def prepare(dataset, predictions=None, **options):
    from data_engineering import review

    return review.prepare(dataset.name, predictions, **options)


def shown(dataset) -> dict[str, str]:
    return {name: stems(dataset.load_saved_view(name)) for name in dataset.list_saved_views()}


def labels_in(dataset, view: str, field: str) -> dict[str, list[str]]:
    """Labels that a view shows of a field, by photo; photos without are left out."""
    found = {}
    for sample in dataset.load_saved_view(view):
        label = sample[field]
        names = [one.label for one in (label[label._LABEL_LIST_FIELD] if label is not None else [])]
        if names:
            found[Path(sample.filepath).stem] = names
    return found


def test_each_view_holds_what_it_says(samples):
    from data_engineering import evaluation

    evaluation.evaluate(samples.name, "yolo", "check", samples.match(~_tagged()).values("id")[:2])
    prepared = prepare(samples)
    assert shown(samples) == {
        "drawn by people": "abdef",
        "to review": "def",
        "low confidence: yolo": "c",
        "disagreements: yolo and dino": "c",
        "evaluation check: false positives": "b",
        "evaluation check: missed": "b",
        "likely label mistakes: yolo": "b",
        "likely label mistakes: dino": "b",
        "near duplicates": "ae",
        "annotate next": "c",
    }
    assert prepared.views == {name: len(photos) for name, photos in shown(samples).items()}
    assert prepared.notes == ()
    assert labels_in(samples, "disagreements: yolo and dino", "yolo") == {"c": ["Porites"]}
    assert labels_in(samples, "evaluation check: false positives", "yolo") == {"b": ["Acropora"]}
    assert labels_in(samples, "likely label mistakes: yolo", "ground_truth") == {"b": ["Porites"]}


def _tagged():
    from data_engineering.labels import fo

    return fo.ViewField("tags").contains("review")


def test_a_view_shows_only_the_fields_that_it_is_about(samples):
    prepare(samples)
    view = "disagreements: yolo and dino"
    assert labels_in(samples, view, "ground_truth") == {}
    assert labels_in(samples, "drawn by people", "ground_truth").keys() == set("abdef")
    assert labels_in(samples, "drawn by people", "yolo") == {}
    assert labels_in(samples, "to review", "ground_truth").keys() == set("def")
    assert labels_in(samples, "to review", "yolo").keys() == {"e"}
    assert samples.load_saved_view(view).get_field_schema() == samples.get_field_schema()


def test_mistakes_are_written_to_the_shapes_that_people_drew(samples):
    prepare(samples)
    by_photo = {Path(sample.filepath).stem: sample for sample in samples}
    truth = by_photo["b"]["ground_truth"]
    assert truth[truth._LABEL_LIST_FIELD][0]["mistakenness_yolo"] == pytest.approx((1 + 0.97) / 2)
    truth = by_photo["a"]["ground_truth"]
    assert truth[truth._LABEL_LIST_FIELD][0]["mistakenness_yolo"] == pytest.approx((1 - 0.9) / 2)
    assert not samples.has_field("review_truth")


def test_a_sure_prediction_that_nobody_drew_is_a_likely_mistake(polylines):
    sample = polylines.first()
    sample["yolo"] = detections(("Porites", 8, 0.9), ("Pavona", 40, 0.99))
    sample.save()
    prepare(polylines)
    assert labels_in(polylines, "likely label mistakes: yolo", "yolo")["a"] == ["Pavona"]


def test_what_nobody_has_looked_at_is_no_mistake(samples):
    sample = samples.match({"filepath": {"$regex": "c.jpg$"}}).first()
    sample["yolo"] = detections(("Porites", 8, 0.99))
    sample.save()
    prepare(samples)
    assert shown(samples)["likely label mistakes: yolo"] == "b"


def test_a_second_time_nothing_is_computed_and_all_is_the_same(samples):
    first = prepare(samples)
    views, groups = shown(samples), [group.to_dict() for group in samples.app_config.sidebar_groups]
    assert {"descriptors", "photos", "yolo_against_dino", "mistakenness_yolo"} <= set(first.steps)
    again = prepare(samples)
    assert again.steps == ()
    assert again.views == first.views
    assert shown(samples) == views
    assert [group.to_dict() for group in samples.app_config.sidebar_groups] == groups
    assert set(prepare(samples, anew=True).steps) == set(first.steps) - {"descriptors"}


def test_what_changed_is_computed_again(polylines):
    prepare(polylines)
    sample = polylines.match({"filepath": {"$regex": "b.jpg$"}}).first()
    sample["yolo"] = detections(("Porites", 8, 0.97))
    sample.save()
    again = prepare(polylines)
    assert set(again.steps) == {"yolo_against_dino", "mistakenness_yolo"}
    assert "likely label mistakes: yolo" not in again.views
    assert shown(polylines)["disagreements: yolo and dino"] == "bc"
    assert "evaluation check: missed" not in again.views


def test_a_person_s_own_views_stay(polylines):
    mine = polylines.limit(1)
    polylines.save_view("mine", mine)
    polylines.save_view("to review", mine)
    for _ in range(2):
        prepared = prepare(polylines)
        assert shown(polylines)["mine"] == shown(polylines)["to review"] == "a"
        assert shown(polylines)["to review (made by review)"] == "def"
    assert "to review" not in prepared.views


def test_what_is_on_its_way_to_cvat_is_not_to_be_reviewed(polylines):
    polylines.match_tags("review").tag_samples("sent")
    prepare(polylines)
    assert shown(polylines)["to review"] == "ef"
    assert shown(polylines)["sent to CVAT"] == "d"


def test_a_view_goes_when_nothing_is_left_in_it(polylines):
    prepare(polylines)
    polylines.untag_samples("review")
    polylines.untag_labels("fix", label_fields="ground_truth")
    polylines.set_values("corners_verdict", ["ok"] * 6)
    prepare(polylines)
    assert "to review" not in shown(polylines)


def test_most_informative_is_unsure_and_unlike_the_others(polylines):
    """Confidence 0.3 is a doubt of 0.6, a photo without shapes tells nothing; of near duplicates one is proposed."""
    polylines.match({"filepath": {"$regex": "[ae].jpg$"}}).set_field("ground_truth", None).save()
    prepare(polylines)
    by_photo = {Path(sample.filepath).stem: sample for sample in polylines}
    assert by_photo["c"]["uncertainty"] == pytest.approx(0.6)
    assert by_photo["a"]["uncertainty"] == pytest.approx(0.2)
    assert by_photo["d"]["uncertainty"] is None
    for sample in by_photo.values():
        if sample["uncertainty"] is not None:
            assert sample["informative"] == pytest.approx(sample["uncertainty"] * sample["uniqueness"])
    assert shown(polylines)["annotate next"] in ("ca", "ce")


def test_colours_are_those_of_cvat_else_those_of_the_name(samples):
    prepare(samples)
    for field in ("ground_truth", "yolo"):
        scheme = next(one for one in samples.app_config.color_scheme.fields if one["path"] == field)
        colours = {one["value"]: one["color"] for one in scheme["valueColors"]}
        assert colours["Porites"] == COLOUR
        assert colours.get("Acropora", cvat_labels.colour("Acropora")) == cvat_labels.colour("Acropora")
    assert samples.app_config.color_scheme.color_by == "value"


def test_the_sidebar_has_each_field_in_one_group(samples):
    prepare(samples)
    groups = {group.name: list(group.paths) for group in samples.app_config.sidebar_groups}
    assert list(groups)[:3] == ["tags", "people's shapes", "predictions"]
    assert groups["people's shapes"] == ["ground_truth"]
    assert groups["predictions"] == ["yolo", "dino"]
    assert {"yolo_against_dino_fp", "yolo_against_dino_tp"} <= set(groups["evaluation"])
    assert {"uniqueness", "informative", "mistakenness_yolo", "near_duplicates"} <= set(groups["brain"])
    paths = [path for there in groups.values() for path in there]
    assert len(paths) == len(set(paths))
    assert set(samples.get_field_schema()) - {"metadata", "review_descriptor"} <= set(paths)


def test_a_person_s_own_group_stays_in_the_sidebar(polylines):
    from data_engineering.labels import fo

    polylines.app_config.sidebar_groups = [fo.SidebarGroupDocument(name="my group", paths=["yolo"])]
    polylines.save()
    prepare(polylines)
    groups = {group.name: list(group.paths) for group in polylines.app_config.sidebar_groups}
    assert groups["my group"] == ["yolo"]
    assert groups["predictions"] == ["dino"]


def test_one_segmenter_has_no_disagreements_and_says_so(polylines):
    polylines.delete_sample_field("dino")
    prepared = prepare(polylines)
    assert not [name for name in prepared.views if name.startswith("disagreements")]
    assert any("name two by --predictions" in note for note in prepared.notes)


def test_other_names_of_predictions_are_given_once(polylines):
    polylines.rename_sample_field("yolo", "mine")
    assert "disagreements: mine and dino" in prepare(polylines, ["mine", "dino"]).views
    assert "disagreements: mine and dino" in prepare(polylines).views  # remembered


@pytest.mark.parametrize("field", ["ground_truth", "missing"])
def test_a_field_that_holds_no_predictions_is_refused(polylines, field):
    from data_engineering.labels import DatasetError

    with pytest.raises(DatasetError, match=f"--predictions {field}.*yolo"):
        prepare(polylines, [field])


def test_a_dataset_without_shapes_has_no_views(tmp_path):
    from data_engineering.labels import fo

    with dataset_of("test-review-empty", tmp_path) as dataset:
        dataset.delete_sample_fields(["ground_truth", "yolo", "dino", "corners_verdict"])
        dataset.untag_samples("review")
        assert set(prepare(dataset).views) == {"near duplicates"}
    empty = fo.Dataset("test-review-none", persistent=True)
    try:
        assert prepare(empty).views == {}
    finally:
        empty.delete()


def test_a_photo_that_is_gone_is_named_and_the_rest_is_done(polylines):
    gone = Path(polylines.first().filepath)
    gone.unlink()
    prepared = prepare(polylines)
    assert any(str(gone) in note for note in prepared.notes)
    assert "near duplicates" not in prepared.views
    assert "disagreements: yolo and dino" in prepared.views


def test_no_such_dataset_is_a_sentence():
    command = [sys.executable, "-m", "data_engineering.review", "no-such-dataset", "--no-serve"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith("review: no FiftyOne dataset 'no-such-dataset'")


def test_the_plugin_is_found_beside_a_person_s_own(monkeypatch, tmp_path):
    from data_engineering import review

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FIFTYONE_PLUGINS_DIR", raising=False)
    review.use_plugin()
    assert os.environ["FIFTYONE_PLUGINS_DIR"] == str(review.PLUGIN)
    monkeypatch.setenv("FIFTYONE_PLUGINS_DIR", "elsewhere")
    review.use_plugin()
    assert os.environ["FIFTYONE_PLUGINS_DIR"] == "elsewhere"
    monkeypatch.delenv("FIFTYONE_PLUGINS_DIR")
    (tmp_path / "fiftyone" / "__plugins__" / "own").mkdir(parents=True)
    review.use_plugin(links=tmp_path / "links")
    folder = Path(os.environ["FIFTYONE_PLUGINS_DIR"])
    assert (folder / "quadratseg" / "fiftyone.yml").is_file()
    assert (folder / "own" / "own").is_dir()


def test_the_only_two_fields_of_predictions_are_the_two_segmenters_whatever_their_names(polylines):
    from data_engineering.review_fields import fields_of

    polylines.rename_sample_field("yolo", "prediction")
    polylines.rename_sample_field("dino", "segmenter")
    assert set(fields_of(polylines).segmenters) == {"prediction", "segmenter"}
    polylines.clone_sample_field("segmenter", "third")
    assert fields_of(polylines).segmenters == ()
