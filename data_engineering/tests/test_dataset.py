"""On a real FiftyOne with its embedded database, in a folder of the test's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quadrat import images, masks
from quadrat.shapes import HIDDEN, OCCLUDED, VISIBLE, Annotations, Instance, Keypoints

pytest.importorskip("fiftyone")

SIZE = (64, 48)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(3):
        images.write(folder / f"reef_2024_q{number}.jpg", np.full((48, 64, 3), 60 * number, np.uint8))
    return sorted(folder.iterdir())


@pytest.fixture
def name(request):
    from data_engineering import dataset

    name = f"test-{request.node.name}"
    yield name
    if dataset.fo.dataset_exists(name):
        dataset.fo.delete_dataset(name)


def colony() -> Instance:
    mask = np.zeros((48, 64), bool)
    mask[5:30, 7:40] = True
    mask[10:15, 12:20] = False
    mask[47, 63] = True  # a part of one pixel in the photo's corner
    return masks.instance_from_mask("Porites", mask, score=0.75, attributes={"form": "massive"})


def corners() -> Keypoints:
    xy = [[1, 2], [60, 3.5], [61, 44], [0, 0]]
    return Keypoints("quadrat_corner", ("1", "2", "3", "4"), xy, [VISIBLE, OCCLUDED, VISIBLE, HIDDEN], [1, 0.5, 1, 0])


def test_shapes_come_back_as_they_were(photos, name):
    from data_engineering import dataset

    made = Annotations(photos[0].name, SIZE, (colony(), corners()), {"tags": ["val"]})
    dataset.create(name, [(photos[0], made), (photos[1], Annotations(photos[1].name, SIZE))])
    (path, back), (_, empty) = dataset.iter_annotations(name)
    assert path == photos[0].resolve()
    assert back.meta["tags"] == ["val"]
    assert empty.shapes == ()
    instance, points = back.instances[0], back.keypoints[0]
    assert instance.xyxy_px == colony().xyxy_px
    assert (instance.mask == colony().mask).all()
    assert (instance.score, dict(instance.attributes)) == (0.75, {"form": "massive"})
    assert points.names == ("1", "2", "3", "4")
    assert points.visibility.tolist() == [VISIBLE, OCCLUDED, VISIBLE, HIDDEN]
    assert np.allclose(points.xy_px[:3], corners().xy_px[:3])
    assert np.allclose(points.scores, [1, 0.5, 1, 0])


def test_polylines_with_holes_and_plain_boxes_are_instances(photos, name):
    from data_engineering import dataset

    fo = dataset.fo
    sample = fo.Sample(filepath=str(photos[0]))
    rings = [[(0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5)], [(0.125, 0.125), (0.25, 0.125), (0.25, 0.25), (0.125, 0.25)]]
    sample["ground_truth"] = fo.Polylines(
        polylines=[
            fo.Polyline(label="Acropora", points=rings, closed=True, filled=True),
            fo.Polyline(label="transect", points=[[(0, 0), (1, 1)]], closed=False, filled=False),
        ]
    )
    sample["boxes"] = fo.Detections(detections=[fo.Detection(label="Fungia", bounding_box=[0.25, 0.25, 0.5, 0.5])])
    fo.Dataset(name).add_samples([sample])
    ((_, drawn),) = dataset.iter_annotations(name)
    assert [(s.label, s.area_px) for s in drawn.instances] == [("Acropora", 32 * 24 - 8 * 6)]
    ((_, boxes),) = dataset.iter_annotations(name, "boxes")
    assert boxes.instances[0].xyxy_px == (16, 12, 48, 36)


def test_attach_finds_the_photo_by_path_or_name(photos, name, tmp_path):
    from data_engineering import dataset

    dataset.create(name, [(p, Annotations(p.name, SIZE)) for p in photos])
    prediction = Annotations("x.jpg", SIZE, (colony(),))
    assert len(dataset.attach(name, "yolo", [(photos[1], prediction), (tmp_path / photos[2].name, prediction)])) == 2
    counts = [len(a.instances) for _, a in dataset.iter_annotations(name, "yolo")]
    assert counts == [0, 1, 1]
    with pytest.raises(dataset.DatasetError, match=r"no photo is called .other\.jpg."):
        dataset.attach(name, "yolo2", [(tmp_path / "other.jpg", prediction)])


def test_what_is_missing_is_named(photos, name):
    from data_engineering import dataset

    with pytest.raises(dataset.DatasetError, match="no FiftyOne dataset"):
        next(dataset.iter_annotations(name))
    dataset.create(name, [(photos[0], Annotations(photos[0].name, SIZE))])
    with pytest.raises(dataset.DatasetError, match="no field 'yolo'"):
        next(dataset.iter_annotations(name, "yolo"))
    with pytest.raises(dataset.DatasetError, match="exists"):
        dataset.create(name, [])
    assert len(dataset.create(name, [], overwrite=True)) == 0
