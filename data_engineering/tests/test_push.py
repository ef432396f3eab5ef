"""Datasets into CVAT and back: the real SDK against a stand-in server, the real FiftyOne."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("fiftyone")
pytest.importorskip("cvat_sdk")

from data_engineering import create_fiftyone_dataset, dataset, drawn_fields, push
from data_engineering.labels import fo
from quadrat import images, masks, template
from quadrat.shapes import Annotations, Keypoints
from tests.cvat_stand_in import running

SIZE = (64, 48)


@pytest.fixture(scope="module")
def server():
    with running() as running_server:
        yield running_server
        assert running_server.errors == []


@pytest.fixture
def name(request, server, monkeypatch, tmp_path):
    monkeypatch.setenv("CVAT_URL", server.url)
    monkeypatch.setenv("CVAT_TOKEN", server.token)
    monkeypatch.chdir(tmp_path)
    made = f"test-push-{request.node.name}"[:80]
    yield made
    for each in fo.list_datasets():
        if each.startswith(made):
            fo.delete_dataset(each)


def predictions(number: int) -> tuple:
    mask = np.zeros((48, 64), bool)
    mask[5:30, 7 : 30 + number] = True
    mask[10:15, 12:20] = False
    grid = template.load("grid11x11")
    xy = grid.uv * [60, 40] + 2
    seen = np.full(len(xy), 2)
    seen[5] = 0
    return (
        masks.instance_from_mask("Porites", mask, score=0.75),
        Keypoints(grid.label, grid.names, xy, seen, np.full(len(xy), 0.5), 0.9),
    )


def fill(name: str, tmp_path, splits=("train", "val", "val")) -> None:
    items = []
    for number, split in enumerate(splits):
        path = tmp_path / f"reef_{2020 + number}_q1.jpg"
        images.write(path, np.full((48, 64, 3), 60 * number, np.uint8))
        items.append((path, Annotations(path.name, SIZE, (), {"tags": [split] if split else []})))
    dataset.create(name, items)
    dataset.attach(
        name, "net", [(path, Annotations(path.name, SIZE, predictions(n))) for n, (path, _) in enumerate(items)]
    )


def drawn(name: str, field: str) -> dict:
    return {one.name: one for one in drawn_fields.iter_drawn(dataset.load(name), field)}


def test_predictions_go_to_cvat_and_come_back_exactly(name, server, tmp_path):
    fill(name, tmp_path)
    pushed = push.main(name, project=name, field="net")
    assert {title: (one.created, one.shapes) for title, one in pushed.items()} == {
        f"{name} (train)": (True, 2),
        f"{name} (val)": (True, 4),
    }
    subsets = {task.name: task.subset for task in server.state.tasks.values() if task.name.startswith(name)}
    assert subsets == {f"{name} (train)": "train", f"{name} (val)": "val"}

    changes = create_fiftyone_dataset.main(name, name=f"{name}-back", statuses=["annotation"], tag_subsets=True)
    assert (changes.added, changes.problems) == (3, [])
    assert dataset.load(f"{name}-back").count_sample_tags() == {"train": 1, "val": 2}
    before, after = drawn(name, "net"), drawn(f"{name}-back", "ground_truth")
    for key, one in before.items():
        ours, theirs = ({shape.kind: shape for shape in photo.drawn} for photo in (one, after[key]))
        assert (ours["mask"].mask == theirs["mask"].mask).all()
        assert ours["mask"].xy_px.tolist() == theirs["mask"].xy_px.tolist()
        assert (theirs["mask"].source, theirs["mask"].confidence) == ("auto", 0.75)
        points = [{e.label: (e.outside, e.xy_px) for e in each["skeleton"].elements} for each in (ours, theirs)]
        assert len(points[1]) == 117
        for point, (outside, xy) in points[0].items():
            assert points[1][point][0] == outside
            assert outside or np.abs(points[1][point][1] - xy).max() <= 0.01


def test_pushing_again_makes_nothing_twice_and_touches_no_human(name, server, tmp_path):
    fill(name, tmp_path, ("", "", ""))
    (first,) = push.main(name, project=name, field="net").values()
    (second,) = push.main(name, project=name, field="net").values()
    assert (second.task_id, second.created, second.shapes, len(second.left_alone)) == (first.task_id, False, 0, 3)

    label = next(shape["label_id"] for shape in server.drawn(first.task_id) if shape["type"] == "mask")
    own = {"type": "polygon", "label_id": label, "frame": 0, "points": [1, 1, 9, 1, 9, 9], "source": "manual"}
    server.draw(server.state.tasks[first.task_id], [own])
    (third,) = push.main(name, project=name, field="net", replace_auto=True).values()
    assert third.removed == 6
    kinds = sorted((shape["type"], shape["source"]) for shape in server.drawn(first.task_id))
    assert kinds == [("mask", "auto")] * 3 + [("polygon", "manual")] + [("skeleton", "auto")] * 3


def test_a_dry_run_writes_nothing(name, server, tmp_path):
    fill(name, tmp_path)
    server.requests.clear()
    pushed = push.main(name, project=name, field="net", dry_run=True)
    assert {asked.method for asked in server.requests.found()} == {"GET"}
    assert push.describe(pushed, dry_run=True).splitlines()[0] == (
        f"{name} (train): a new task would be made; shapes: 2 would be drawn"
    )


def test_what_cannot_be_pushed_is_said(name, tmp_path):
    fill(name, tmp_path)
    with pytest.raises(ValueError, match="no photo to push"):
        push.main(name, project=name, field="net", tags=["none"])
    with pytest.raises(ValueError, match="no field 'other'"):
        push.main(name, project=name, field="other")
