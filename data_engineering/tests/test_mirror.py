"""Datasets that mirror sources, on a real FiftyOne: what was drawn comes back exactly, and what people did stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quadrat import images
from quadrat.drawn import Drawn, DrawnPhoto
from quadrat.shapes import Annotations

pytest.importorskip("fiftyone")

from data_engineering import dataset, drawn_fields, mirror
from data_engineering.formats.collection import Collection, FormatError
from data_engineering.labels import DatasetError, fo
from data_engineering.mirror import Settings, Source

SIZE = (64, 48)
LABELS = [
    {
        "name": "Porites",
        "color": "#123456",
        "type": "any",
        "attributes": [{"name": "confidence", "input_type": "number"}, {"name": "health", "input_type": "select"}],
    },
    {
        "name": "quadrat_corner",
        "type": "skeleton",
        "attributes": [],
        "sublabels": [{"name": name, "type": "points", "attributes": []} for name in "1234"],
        "svg": "",
    },
]
RING = np.array([[3.25, 4.5], [30.125, 5.0], [28.0, 40.75], [4.0, 33.3]])


@pytest.fixture
def name(request):
    name = f"test-mirror-{request.node.name}"[:80]
    yield name
    for each in (name, f"{name} (unfinished)"):
        if fo.dataset_exists(each):
            fo.delete_dataset(each)


def element(name: str, x: float, y: float, **more) -> Drawn:
    return Drawn("points", name, np.array([[x, y]]), **more)


def everything() -> tuple[Drawn, ...]:
    """One of each kind that CVAT has, with all that it may carry."""
    mask = np.zeros((5, 7), bool)
    mask[1:4, 2:6] = mask[0, 0] = True
    points = (element("2", 40, 5.5), element("1", 5, 5, source="auto"), element("3", 40, 30, occluded=True))
    return (
        Drawn("polygon", "Porites", RING, attributes={"confidence": "80", "health": "dead"}, group=3, id=11),
        Drawn("polygon", "Porites", RING / 2, occluded=True, source="auto", score=0.25, z_order=-2, id=12),
        Drawn("polyline", "Porites", RING[:2], source="file"),
        Drawn("ellipse", "Porites", np.array([[30, 20], [40, 15.5]]), rotation=33.5),
        Drawn("rectangle", "Porites", np.array([[1.5, 2], [20, 30.25]]), rotation=300.0),
        Drawn("cuboid", "Porites", np.arange(16.0).reshape(8, 2)),
        Drawn("rectangle", "Porites", np.array([[1.5, 2], [20, 30.25]]), attributes={"width.mm$": "3"}),
        Drawn("mask", "Porites", np.array([[10, 20], [17, 25]], float), mask, group=2),
        Drawn("skeleton", "quadrat_corner", elements=(*points, element("4", 6, 31, outside=True)), id=13),
        Drawn("skeleton", "quadrat_corner", elements=points, occluded=True, attributes={"confidence": "7"}),
        Drawn("points", "Porites", RING[:3], id=14),
        Drawn("tag", "Porites", attributes={"health": "alive"}, source="auto", id=15),
    )


def facts_of(one: Drawn) -> tuple:
    mask = None if one.mask is None else (one.mask.shape, one.mask.tobytes())
    elements = tuple(sorted(((e.label, *facts_of(e)[2:]) for e in one.elements), key=lambda fact: fact[0]))
    xy = tuple(map(tuple, np.round(one.xy_px, 6)))
    more = (tuple(sorted(one.attributes.items())), one.group, one.occluded, one.outside, one.source)
    return one.kind, one.label, xy, mask, elements, *more, round(one.score, 6), one.z_order, one.rotation, one.id


@pytest.fixture
def photos(tmp_path) -> list[DrawnPhoto]:
    made = []
    for number in range(3):
        path = tmp_path / f"reef_{2020 + number}_q1.jpg"
        images.write(path, np.full((48, 64, 3), 60 * number, np.uint8))
        facts = {"cvat_task_id": 7, "cvat_frame": number, "cvat_subset": "Train", "cvat_task_name": "a task"}
        made.append(DrawnPhoto(path.name, SIZE, everything()[number:], path, facts))
    return made


def source(photos, key: str = "task 7", stamp: str = "1", labels=LABELS) -> Source:
    return Source(key, stamp, lambda: Collection(iter(photos), labels))


def read(name: str) -> dict[str, DrawnPhoto]:
    return {photo.name: photo for photo in drawn_fields.iter_drawn(dataset.load(name), "ground_truth")}


def test_all_that_was_drawn_comes_back_exactly(name, photos):
    changes = mirror.mirror(name, [source(photos)])
    assert (changes.added, changes.updated, changes.removed, changes.problems) == (3, 0, 0, [])
    back = read(name)
    for photo in photos:
        assert sorted(map(facts_of, back[photo.name].drawn)) == sorted(map(facts_of, photo.drawn))
        assert back[photo.name].size_wh == photo.size_wh


def test_samples_say_where_they_come_from(name, photos):
    mirror.mirror(name, [source(photos)], Settings(tag_subsets=True))
    sample = dataset.load(name).match(fo.ViewField("photo_name") == "reef_2021_q1.jpg").first()
    known = [sample[fact] for fact in ("cvat_task_id", "cvat_task_name", "cvat_frame", "area", "year", "quadrat_id")]
    assert known == [7, "a task", 1, "reef", 2021, "q1"]
    assert sample.tags == ["train"]


def test_the_app_knows_classes_colours_skeletons_and_attributes(name, photos):
    mirror.mirror(name, [source(photos)])
    made = dataset.load(name)
    assert made.default_classes == ["Porites"]
    assert made.skeletons["ground_truth_keypoints"].labels == ["1", "2", "3", "4"]
    assert made.has_field("ground_truth.polylines.attribute_health")
    scheme = {one["path"]: one["valueColors"] for one in made.app_config.color_scheme.fields}
    assert scheme["ground_truth"] == [{"value": "Porites", "color": "#123456"}]


def test_only_what_changed_is_taken_over(name, photos):
    mirror.mirror(name, [source(photos[:2]), source(photos[2:], "task 8")])
    made = dataset.load(name)
    before = made.values("id")
    for sample in made:
        sample.tags.append("fix")
        sample["yolo"] = fo.Detections()
        sample.save()
    fewer = [replace(photos[0], drawn=photos[0].drawn[:1])]

    changes = mirror.mirror(name, [source(fewer, stamp="2"), source(photos[2:], "task 8")])

    assert (changes.sources, changes.unchanged) == (["task 7"], ["task 8"])
    assert (changes.added, changes.updated, changes.removed) == (0, 1, 1)
    made = dataset.load(name)
    assert made.values("id") == [before[0], before[2]]
    assert made.count_sample_tags() == {"fix": 2}
    assert made.has_field("yolo")
    assert len(read(name)["reef_2020_q1.jpg"].drawn) == 1


def test_a_source_that_is_no_more_goes_with_its_photos(name, photos):
    mirror.mirror(name, [source(photos[:2]), source(photos[2:], "task 8")])
    changes = mirror.mirror(name, [], gone=["task 8", "task 9"])
    assert (changes.removed, changes.removed_sources) == (1, ["task 8"])
    assert len(read(name)) == 2


def breaks(photos):
    yield from photos
    raise FormatError("the file ends early")


def test_a_source_that_ends_badly_changes_nothing(name, photos):
    with pytest.raises(FormatError):
        mirror.mirror(name, [source(photos[2:], "task 8"), source(breaks(photos[:1]))])
    assert not fo.dataset_exists(name)

    mirror.mirror(name, [source(photos[2:], "task 8"), source(photos[:2])])
    before = {key: len(photo.drawn) for key, photo in read(name).items()}
    assert len(before) == 3

    with pytest.raises(FormatError):
        mirror.mirror(name, [source(breaks([replace(photos[0], drawn=())]), stamp="2")])
    assert {key: len(photo.drawn) for key, photo in read(name).items()} == before


def test_an_interrupted_run_is_mended_and_nobody_reads_its_half(name, photos, monkeypatch):
    mirror.mirror(name, [source(photos)])
    fewer = [replace(photo, drawn=photo.drawn[:1]) for photo in photos]
    with monkeypatch.context() as patch:
        patch.setattr(fo.Dataset, "delete_samples", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            mirror.mirror(name, [source(fewer, stamp="2")])
    with pytest.raises(DatasetError, match="task 7.*run create_fiftyone_dataset again"):
        dataset.load(name)
    mirror.mirror(name, [source(fewer, stamp="2")])
    assert [len(photo.drawn) for photo in read(name).values()] == [1, 1, 1]


def test_a_first_run_that_was_cut_short_while_fields_were_made_is_mended(name, photos, monkeypatch):
    declare = fo.Dataset.add_sample_field
    for last in ("photo_name", "cvat_task_id", "problems"):

        def cut(self, path, *args, last=last, **more):
            return 1 / 0 if path == last else declare(self, path, *args, **more)

        with monkeypatch.context() as patch:
            patch.setattr(fo.Dataset, "add_sample_field", cut)
            with pytest.raises(ZeroDivisionError):
                mirror.mirror(name, [source(photos)])
    assert mirror.mirror(name, [source(photos)]).added == 3


def test_a_photo_that_an_export_lacks_stays(name, photos):
    mirror.mirror(name, [source(photos)])
    lame = replace(photos[0], path=None, problems=("reef_2020_q1.jpg: its file is not there",))
    changes = mirror.mirror(name, [source([lame, *photos[1:]], stamp="2")])
    assert (changes.updated, changes.removed, len(changes.problems)) == (2, 0, 1)
    assert len(read(name)) == 3


def test_a_photo_with_more_than_the_database_takes_is_told_and_left_out(name, photos, monkeypatch):
    monkeypatch.setattr(mirror, "_LARGEST", 4000)
    changes = mirror.mirror(name, [source([photos[0], replace(photos[1], drawn=photos[1].drawn[:1])])])
    assert changes.added == 1
    (problem,) = changes.problems
    assert "reef_2020_q1.jpg" in problem
    assert "left out" in problem


def test_a_project_without_a_finished_task_is_an_empty_dataset_that_fills_later(name, photos):
    assert mirror.mirror(name, []).added == 0
    assert mirror.mirror(name, [source(photos)]).added == 3


def test_of_two_photos_of_one_name_the_second_is_told(name, photos):
    changes = mirror.mirror(name, [source([photos[0], replace(photos[1], name=photos[0].name)])])
    assert changes.added == 1
    assert changes.problems == ["reef_2020_q1.jpg: the photo is there twice; the second is left out: rename one"]


def test_a_correction_that_is_cut_short_is_taken_once(name, photos, monkeypatch):
    mirror.mirror(name, [source(photos)])
    sample = dataset.load(name).first()
    sample["sent_task_id"], sample["sent_photo_name"], sample.tags = 9, "up.jpg", ["fix", "sent", "mine"]
    sample.save()
    corrected = replace(photos[0], name="up.jpg", drawn=photos[0].drawn[:1], facts={"cvat_task_id": 9})
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "_write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            mirror.mirror(name, [source([corrected], "task 9")])
    changes = mirror.mirror(name, [source(photos, stamp="2"), source([corrected], "task 9")])
    assert (changes.added, changes.updated, changes.removed) == (0, 3, 0)
    back = dataset.load(name)[sample.id]
    assert (back.cvat_task_id, back.photo_name, back.tags) == (9, "up.jpg", ["mine"])
    assert len(read(name)["up.jpg"].drawn) == 1
    assert len(dataset.load(name)) == 3


def test_what_could_not_be_kept_is_told(name, photos):
    lame = [replace(photos[0], problems=("photo a: a polygon has 2 points",)), replace(photos[1], path=None)]
    changes = mirror.mirror(name, [source([*lame, replace(photos[2], problems=("b",))])])
    assert changes.problems == ["photo a: a polygon has 2 points", "b"]
    assert [sample["problems"] for sample in dataset.load(name)] == [["photo a: a polygon has 2 points"], ["b"]]


def test_modules_get_instances_and_keypoints(name, photos):
    mirror.mirror(name, [source(photos[:1])])
    ((path, known),) = dataset.iter_annotations(name)
    assert path == photos[0].path
    assert {shape.label for shape in known.instances} == {"Porites"}
    assert len(known.instances) == 6  # polygons of no group, ellipse, two rectangles, mask, and the group of one
    corners = known.keypoints[0]
    assert corners.names == ("1", "2", "3", "4")
    assert corners.visibility.tolist() == [2, 2, 1, 0]
    assert known.meta["facts"]["quadrat_id"] == "q1"


def test_a_name_that_fiftyone_takes_for_another_is_refused_before_any_work(name, photos):
    mirror.mirror(name, [source(photos[:1])])
    with pytest.raises(DatasetError, match="choose another --name"):
        mirror.mirror(name.replace("-", "_"), [source(photos)])


def test_a_dataset_that_was_not_pulled_is_left_alone(name, photos):
    made = dataset.create(name, [(photos[0].path, Annotations(photos[0].name, SIZE))])
    with pytest.raises(DatasetError, match="was not pulled"):
        mirror.mirror(made.name, [source(photos)])
    assert len(made) == 1


def test_a_field_of_predictions_is_no_place_for_what_people_drew(name, photos):
    mirror.mirror(name, [source(photos[:1])])
    dataset.attach(name, "net", [(photos[0].path, Annotations(photos[0].name, SIZE))])
    with pytest.raises(DatasetError, match="holds Detections"):
        mirror.mirror(name, [source(photos, stamp="2")], Settings(field="net"))


def test_an_ellipse_that_was_moved_in_the_app_is_the_polygon_it_became(name, photos):
    mirror.mirror(name, [source([replace(photos[0], drawn=everything()[3:4])])])
    sample = dataset.load(name).first()
    sample.ground_truth.polylines[0].points[0][0] = [0.5, 0.5]
    sample.save()
    (moved,) = read(name)[photos[0].name].drawn
    assert (moved.kind, len(moved.xy_px)) == ("polygon", 180)
    assert moved.xy_px[0].tolist() == [32, 24]


def test_paths_are_whole(name, photos, monkeypatch):
    monkeypatch.chdir(photos[0].path.parent)
    mirror.mirror(name, [source([replace(photos[0], path=Path(photos[0].name))])])
    assert dataset.load(name).values("filepath") == [str(photos[0].path)]
