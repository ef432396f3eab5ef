"""On a real FiftyOne with its embedded database."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quadrat import images, masks
from quadrat.formats import coco, shapes_json
from quadrat.shapes import Annotations, Instance

pytest.importorskip("fiftyone")

SIZE = (64, 48)


def colony(label: str = "Porites", x: int = 7, score: float = 0.75) -> Instance:
    mask = np.zeros((48, 64), bool)
    mask[5:30, x : x + 20] = True
    return masks.instance_from_mask(label, mask, score=score)


def photo_of(*shapes: Instance, name: str = "x.jpg") -> Annotations:
    return Annotations(name, SIZE, shapes)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    for folder in ("a", "b"):
        images.write(tmp_path / "reef" / folder / "1.jpg", np.zeros((48, 64, 3), np.uint8))
    images.write(tmp_path / "reef" / "b" / "2.jpg", np.zeros((48, 64, 3), np.uint8))
    return sorted((tmp_path / "reef").rglob("*.jpg"))


@pytest.fixture
def name(request, photos):
    from data_engineering import dataset

    name = f"test-{request.node.name}"
    dataset.create(name, [(p, photo_of(colony(score=1.0))) for p in photos])
    yield name
    dataset.fo.delete_dataset(name)


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    folder = tmp_path / "out" / "shapes"
    for image in ("a/1.jpg", "b/1.jpg", "b/2.jpg"):
        shapes_json.write(folder / f"{image[:-4]}.json", photo_of(colony(), name=image))
    coco.write(tmp_path / "out" / "coco.json", [shapes_json.read(path) for path in folder.rglob("*.json")])
    return tmp_path / "out"


def counts(name: str, field: str) -> list[int]:
    from data_engineering import dataset

    return [len(known.instances) for _, known in dataset.iter_annotations(name, field)]


def test_a_folder_and_a_coco_file_are_attached(name, predictions):
    from data_engineering import attach

    assert attach.main(predictions, name, field="yolo") == (3, [])
    assert attach.main(predictions / "coco.json", name, field="from_coco") == (3, [])
    assert attach.main(predictions / "shapes" / "b" / "2.json", name, field="one") == (1, [])
    assert counts(name, "yolo") == counts(name, "from_coco") == [1, 1, 1]
    assert counts(name, "one") == [0, 0, 1]


def test_a_field_is_replaced_only_when_asked(name, predictions):
    from data_engineering import attach, dataset

    attach.main(predictions, name, field="yolo")
    with pytest.raises(ValueError, match="holds something: name another or overwrite"):
        attach.main(predictions, name, field="yolo")
    assert attach.main(predictions / "shapes" / "b", name, field="yolo", overwrite=True)[0] == 2
    assert counts(name, "yolo") == [0, 1, 1]
    for field in ("ground_truth", "filepath", "no name"):
        with pytest.raises(dataset.DatasetError, match="give another name"):
            attach.main(predictions, name, field=field, overwrite=True)
    assert counts(name, "ground_truth") == [1, 1, 1]


def test_what_was_cut_short_goes_on(name, predictions, monkeypatch):
    from data_engineering import attach, dataset

    fill = dataset._fill

    def stop_at_the_second(sample, *rest) -> None:
        if "/b/1" in sample.filepath:
            raise KeyboardInterrupt
        fill(sample, *rest)

    monkeypatch.setattr(dataset, "_fill", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        attach.main(predictions, name, field="yolo")
    monkeypatch.setattr(dataset, "_fill", fill)
    assert counts(name, "yolo") == [1, 0, 0]
    with pytest.raises(dataset.DatasetError, match=r"what was left of '.*/out'"):
        attach.main(predictions / "coco.json", name, field="yolo")
    assert attach.main(predictions, name, field="yolo")[0] == 3
    assert counts(name, "yolo") == [1, 1, 1]
    with pytest.raises(dataset.DatasetError, match="holds something"):
        attach.main(predictions, name, field="yolo")


def test_photos_that_are_not_found_are_named_before_anything_is_written(name, predictions):
    from data_engineering import attach, dataset

    shapes_json.write(predictions / "shapes" / "c.json", photo_of(colony(), name="1.jpg"))
    shapes_json.write(predictions / "shapes" / "d.json", photo_of(colony(), name="b/2.png"))
    shapes_json.write(predictions / "shapes" / "e.json", photo_of(colony(), name="other.jpg"))
    with pytest.raises(ValueError, match="3 of 6 predictions") as caught:
        attach.main(predictions, name, field="yolo")
    for text in ("1.jpg: '1.jpg' may be any of 2 photos", "and so is b/2.jpg", "no photo is called 'other.jpg'"):
        assert text in str(caught.value)
    assert not dataset.load(name).has_field("yolo")
    count, left_out = attach.main(predictions, name, field="yolo", skip_unmatched=True)
    assert (count, len(left_out)) == (3, 3)


def test_predictions_for_another_size_are_refused(name, tmp_path):
    from data_engineering import attach

    wrong = Annotations("b/2.jpg", (640, 480), (colony(),))
    shapes_json.write(tmp_path / "wrong.json", wrong)
    with pytest.raises(ValueError, match=r"\(64, 48\) px, its predictions are for \(640, 480\)"):
        attach.main(tmp_path / "wrong.json", name, field="yolo")


def test_what_is_no_prediction_is_refused(name, tmp_path):
    from data_engineering import attach

    with pytest.raises(ValueError, match="holds no"):
        attach.main(tmp_path / "reef", name, field="yolo")
    with pytest.raises(ValueError, match="is not there"):
        attach.main(tmp_path / "no", name, field="yolo")


def test_fiftyone_counts_what_the_tally_counts(name, photos):
    """Found, found under a wrong name, found twice, missed: by FiftyOne's evaluation and by ours."""
    from data_engineering import dataset, evaluation, tally

    found = {
        photos[0]: [colony(score=0.9), colony(score=0.4)],
        photos[1]: [colony("Acropora", score=0.8)],
        photos[2]: [colony(x=40, score=0.7)],
    }
    ids = dataset.attach(name, "yolo", [(photo, photo_of(*shapes)) for photo, shapes in found.items()])
    assert evaluation.evaluate(name, "yolo", "eval", ids) == {"tp": 1, "fp": 3, "fn": 2}
    count = tally.Tally(("Acropora", "Porites"))
    for shapes in found.values():
        count.add([colony(score=1.0)], shapes)
    confusion = count.confusion(0)
    assert confusion.tolist() == [[0, 0, 0], [1, 1, 1], [0, 2, 0]]
    sample = dataset.load(name)[str(photos[1])]
    assert sample.yolo.detections[0].eval == "fp"
    assert sample.ground_truth.detections[0].eval == "fn"
    assert sample.yolo.detections[0].eval_id == sample.ground_truth.detections[0].id
    with pytest.raises(dataset.DatasetError, match="has an evaluation 'eval'"):
        evaluation.check_key(name, "eval", overwrite=False)
    dataset.attach(name, "yolo", [(photos[0], photo_of(colony()))], overwrite=True)
    assert not dataset.load(name).has_evaluation("eval")


def test_polylines_and_other_levels_are_compared_as_masks(name, photos):
    from data_engineering import dataset, evaluation, taxonomy

    fo = dataset.fo
    ring = [[(x / 64, y / 48) for x, y in ((7, 5), (27, 5), (27, 30), (7, 30))]]
    for sample in dataset.load(name).iter_samples(autosave=True):
        sample["ground_truth"] = None
    dataset.load(name).delete_sample_field("ground_truth")
    for sample in dataset.load(name).iter_samples(autosave=True):
        polyline = fo.Polyline(label="Porites", points=ring, closed=True, filled=True)
        sample["ground_truth"] = fo.Polylines(polylines=[polyline])
    ids = dataset.attach(name, "yolo", [(photo, photo_of(colony("coral"))) for photo in photos[:2]])
    level = "coral"
    [label] = taxonomy.labels(level)
    dataset.attach(name, "yolo", [(photo, photo_of(colony(label))) for photo in photos[:2]], overwrite=True)
    done = evaluation.evaluate(name, "yolo", "eval", ids, lambda genus: taxonomy.to_level(genus, level))
    assert done == {"tp": 2, "fp": 0, "fn": 0}
    sample = dataset.load(name)[str(photos[0])]
    assert sample.eval_truth.detections[0].label == label
    assert sample.ground_truth.polylines[0].label == "Porites"
