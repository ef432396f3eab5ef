"""What was tagged goes to the stand-in by the real cvat-sdk: once, whole, and where it belongs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_engineering.tests.review_sample import dataset_of, detections, stems
from quadrat import cvat_labels

pytest.importorskip("fiftyone")

from tests.cvat_stand_in import Server, running  # noqa: E402

TAGS = ("review", "fix")
LABELS = cvat_labels.segmentation_labels(["Porites", "Acropora"])


@pytest.fixture
def server(monkeypatch):
    with running() as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        monkeypatch.setenv("CVAT_TOKEN", server.token)
        yield server


@pytest.fixture
def samples(request, tmp_path):
    with dataset_of(f"test-{request.node.name}", tmp_path) as dataset:
        yield dataset


def send(dataset, tags=TAGS, **options):
    from data_engineering import review_send

    return review_send.send(dataset.name, tags, **options)


def tasks(server: Server) -> dict[str, object]:
    return {task.name: task for task in server.state.tasks.values()}


def test_tagged_photos_become_a_task_with_their_shapes(server, samples):
    project = server.add_project("Corals", LABELS)
    [sent] = send(samples, project="Corals", task="look again")
    task = tasks(server)["look again"]
    assert (sent.task_id, sent.photos, sent.shapes, sent.project) == (task.id, 2, 2, "Corals")
    assert task.project == project.id
    shapes = server.drawn(task)
    assert [shape["type"] for shape in shapes] == ["polygon", "polygon"]
    assert np.array(shapes[0]["points"]) == pytest.approx(np.array([8, 8, 24, 8, 24, 24, 8, 24]), abs=0.01)
    assert {shape["label_id"] for shape in shapes} == {server.labels(project)["Porites"]}
    assert stems(samples.match_tags("sent")) == "de"
    by_photo = {Path(sample.filepath).stem: sample for sample in samples}
    assert by_photo["d"]["sent_task_id"] == by_photo["e"]["sent_task_id"] == task.id
    assert by_photo["d"]["sent_photo_name"] == "d.jpg"
    assert by_photo["a"]["sent_task_id"] is None
    assert by_photo["d"].tags == ["review", "sent"]


def test_nothing_is_sent_twice_unless_the_tag_is_taken_away(server, samples):
    server.add_project("Corals", LABELS)
    send(samples, project="Corals")
    assert send(samples, project="Corals") == []
    assert len(server.state.tasks) == 1
    samples.match_tags("review").untag_samples("sent")
    [sent] = send(samples, project="Corals", task="once more")
    assert sent.photos == 1
    assert len(server.state.tasks) == 2


def test_one_tag_alone(server, samples):
    server.add_project("Corals", LABELS)
    send(samples, ["fix"], project="Corals")
    assert stems(samples.match_tags("sent")) == "e"


def test_a_project_is_made_where_there_is_none(server, samples):
    [sent] = send(samples)
    [project] = server.state.projects.values()
    assert project.name == sent.project == samples.name
    assert sent.name.startswith(f"correction of {samples.name} 20")
    assert set(server.labels(project)) == {"Porites"}


def test_photos_go_back_to_the_project_that_they_come_from(server, samples):
    server.add_project("Other", LABELS)
    project = server.add_project("Corals", LABELS)
    samples.set_values("cvat_project_id", [project.id] * 6)
    send(samples)
    assert [task.project for task in server.state.tasks.values()] == [project.id]


def test_photos_of_several_projects_need_a_word(server, samples):
    samples.set_values("cvat_project_id", [1, 1, 1, 1, 2, 2])
    with pytest.raises(ValueError, match=r"several projects \(1, 2\): say by --project"):
        send(samples)
    assert not server.state.tasks


def test_each_subset_gets_a_task_of_its_own(server, samples):
    server.add_project("Corals", LABELS)
    samples.set_values("cvat_subset", ["train"] * 4 + ["val"] * 2)
    sent = send(samples, project="Corals", task="look")
    assert [(one.name, one.subset, one.photos) for one in sent] == [
        ("look (train)", "train", 1),
        ("look (val)", "val", 1),
    ]
    assert {task.name: task.subset for task in server.state.tasks.values()} == {
        "look (train)": "train",
        "look (val)": "val",
    }


def test_a_prediction_is_sent_as_made_by_a_program_with_its_score(server, samples):
    project = server.add_project("Corals", LABELS)
    samples.match({"filepath": {"$regex": "c.jpg$"}}).tag_samples("annotate")
    send(samples, ["annotate"], project="Corals", field="yolo", task="new")
    [shape] = server.drawn(tasks(server)["new"])
    assert (shape["source"], shape["type"]) == ("auto", "mask")
    assert [attribute["value"] for attribute in shape["attributes"]] == ["30"]
    assert server.labels(project)["Porites"] == shape["label_id"]


def test_photos_of_one_name_keep_apart(server, samples, tmp_path):
    from data_engineering.labels import fo

    other = tmp_path / "other" / "d.jpg"
    other.parent.mkdir()
    other.write_bytes((tmp_path / "a.jpg").read_bytes())
    sample = fo.Sample(str(other), tags=["review"])
    samples.add_sample(sample)
    server.add_project("Corals", LABELS)
    send(samples, ["review"], project="Corals")
    assert set(samples.match_tags("sent").values("sent_photo_name")) == {f"{tmp_path.name}_d.jpg", "other_d.jpg"}


def test_a_dry_run_writes_nothing(server, samples):
    [planned] = send(samples, dry_run=True)
    assert (planned.task_id, planned.photos, planned.shapes, planned.project) == (None, 2, 2, samples.name)
    assert not server.state.projects
    assert not server.state.tasks
    assert not samples.match_tags("sent").count()
    assert "review_sending" not in samples.info


def test_a_sending_that_was_cut_short_is_gone_on_with(server, samples):
    from data_engineering import review_send
    from data_engineering.labels import fo

    server.add_project("Corals", LABELS)
    server.faults.fail(403, method="PATCH", path="/annotations", times=1)
    with pytest.raises(ValueError, match="403|not allowed|may not"):
        send(samples, project="Corals")
    [begun] = tasks(server)
    assert not samples.match_tags("sent").count()
    samples.match({"filepath": {"$regex": "a.jpg$"}}).tag_samples("review")  # meanwhile
    again = fo.load_dataset(samples.name)
    [sent] = review_send.send(again.name, TAGS, project="Corals")
    assert sent.name == begun
    assert list(tasks(server)) == [begun]
    assert len(server.drawn(tasks(server)[begun])) == 2
    samples.reload()
    assert stems(samples.match_tags("sent")) == "de"
    [later] = send(samples, project="Corals", task="later")
    assert later.photos == 1


def test_the_second_of_two_tasks_cut_short_keeps_its_name(server, samples):
    server.add_project("Corals", LABELS)
    samples.set_values("cvat_subset", ["train"] * 4 + ["val"] * 2)
    server.faults.fail(403, method="PATCH", path="/annotations", times=1, skip=1)
    with pytest.raises(ValueError, match="403|not allowed|may not"):
        send(samples, project="Corals", task="look")
    assert stems(samples.match_tags("sent")) == "d"
    [sent] = send(samples, project="Corals")
    assert (sent.name, sent.subset) == ("look (val)", "val")
    assert sorted(tasks(server)) == ["look (train)", "look (val)"]


def test_a_field_without_shapes_is_refused_with_those_that_there_are(server, samples):
    samples.match({"filepath": {"$regex": "c.jpg$"}}).tag_samples("annotate")
    with pytest.raises(ValueError, match="none of the 1 photos has shapes in 'ground_truth'.*yolo"):
        send(samples, ["annotate"])


def test_a_label_that_the_project_lacks_is_named_and_nothing_is_made(server, samples):
    server.add_project("Fish", cvat_labels.segmentation_labels(["Cod"]))
    with pytest.raises(ValueError, match="Porites"):
        send(samples, project="Fish")
    assert not server.state.tasks


def test_the_command_says_what_it_sent(server, samples):
    server.add_project("Corals", LABELS)
    command = [sys.executable, "-m", "data_engineering.review", samples.name, "--send", *TAGS, "--project", "Corals"]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    for expected in ("would send 2 photos with 2 shapes to project 'Corals'", "sent 2 photos with 2 shapes"):
        options = ["--dry-run"] if expected.startswith("would") else []
        result = subprocess.run([*command, *options], capture_output=True, text=True, check=True, env=environment)
        assert expected in result.stdout
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "no photo has a tag review or fix that was not sent yet" in result.stdout


def test_without_a_server_the_command_ends_with_a_sentence(samples, monkeypatch):
    monkeypatch.delenv("CVAT_URL", raising=False)
    command = [sys.executable, "-m", "data_engineering.review", samples.name, "--send", "review"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "review: CVAT_URL is not set" in result.stderr
    assert not samples.match_tags("sent").count()


def test_detections_of_people_are_sent_as_masks(server, tmp_path, request):
    with dataset_of(f"test-{request.node.name}", tmp_path, "detections") as samples:
        server.add_project("Corals", LABELS)
        send(samples, ["review"], project="Corals", task="look")
        [shape] = server.drawn(tasks(server)["look"])
        assert shape["type"] == "mask"
        assert shape["source"] == "manual"
        assert detections(("Porites", 8, 1.0)).detections[0].mask.all()
