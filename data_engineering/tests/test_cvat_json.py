from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from data_engineering import cvat_json, cvat_shapes
from data_engineering.formats.collection import FormatError
from quadrat.drawn import Drawn, DrawnPhoto
from quadrat.tests.drawn_examples import CORNERS, LABELS, PHOTOS, SIZE, assert_same, assert_same_photos

SHARED = Path(__file__).resolve().parents[3] / "shared" / "cvat"
HERE = pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not here")


def numbered() -> list[dict[str, Any]]:
    """The labels as a server gives them."""
    ids = iter(range(100, 200))

    def one(label: dict[str, Any]) -> dict[str, Any]:
        specs = [{**spec, "id": next(ids)} for spec in label["attributes"]]
        return {
            **label,
            "id": next(ids),
            "attributes": specs,
            "sublabels": [one(s) for s in label.get("sublabels", [])],
        }

    labels = [one(label) for label in LABELS]
    for sub in labels[-1]["sublabels"]:
        old, new = f'data-label-name="{sub["name"]}"', f'data-label-id="{sub["id"]}"'
        labels[-1]["svg"] = labels[-1]["svg"].replace(old, new)
    return labels


def meta_of(photos: list[DrawnPhoto], **more: Any) -> dict[str, Any]:
    frames = [{"name": p.name, "width": p.size_wh[0], "height": p.size_wh[1]} for p in photos]
    return {"size": len(frames), "frames": frames, "deleted_frames": [], **more}


def photos_of(count: int) -> list[DrawnPhoto]:
    return [DrawnPhoto(f"{n}.jpg", SIZE) for n in range(count)]


def shape(**more: Any) -> dict[str, Any]:
    label = numbered()[0]
    return {"id": 7, "type": "polygon", "label_id": label["id"], "frame": 0, "points": [1, 1, 9, 1, 9, 9], **more}


def only(shapes: list[dict[str, Any]], **annotations: Any) -> DrawnPhoto:
    body = {"shapes": shapes, "tags": [], "tracks": [], **annotations}
    (photo,) = cvat_json.to_collection({"id": 1}, [], meta_of(photos_of(1)), numbered(), body).photos
    return photo


@given(PHOTOS)
def test_what_is_sent_comes_back(photos):
    body = json.loads(json.dumps(cvat_json.to_annotations_request(list(enumerate(photos)), numbered())))
    assert all(math.isfinite(v) for raw in body["shapes"] for one in (raw, *raw["elements"]) for v in one["points"])
    for raw in body["shapes"]:
        assert {element["frame"] for element in raw["elements"]} <= {raw["frame"]}
        assert 0 <= raw["rotation"] <= 360
    back = list(cvat_json.to_collection({"id": 1}, [], meta_of(photos), numbered(), body).photos)
    assert_same_photos([in_order(photo) for photo in photos], back, 0.0)


def in_order(photo: DrawnPhoto) -> DrawnPhoto:
    """CVAT keeps tags apart from shapes."""
    return DrawnPhoto(photo.name, photo.size_wh, tuple(sorted(photo.drawn, key=lambda one: one.kind != "tag")))


@given(PHOTOS)
def test_a_backup_says_the_same_by_name(photos):
    item = json.loads(json.dumps(cvat_json.to_backup(enumerate(photos), LABELS)))
    frames = [(p.name, p.size_wh) for p in photos]
    made = cvat_json.from_backup({"name": "t", "labels": LABELS}, [item], frames, project_name="reef")
    assert_same_photos([in_order(photo) for photo in photos], list(made.photos), 0.0)
    assert made.labels == LABELS
    assert dict(next(iter(made.photos)).facts) == {
        "cvat_task_name": "t", "cvat_project_name": "reef", "cvat_frame": 0,
    }  # fmt: skip


def test_labels_lose_their_numbers_and_pictures_get_names():
    assert cvat_shapes.definitions(numbered()) == LABELS


def test_points_that_a_skeleton_lacks_are_sent_outside_at_the_mean():
    points = tuple(Drawn("points", n, np.array([[x, 6.0]])) for n, x in (("tl", 0.0), ("br", 4.0)))
    photo = DrawnPhoto("a.jpg", SIZE, (Drawn("skeleton", "grid", elements=points, source="auto"),))
    elements = cvat_json.to_annotations_request([(3, photo)], numbered())["shapes"][0]["elements"]
    ids = [sub["id"] for sub in numbered()[-1]["sublabels"]]
    assert [e["label_id"] for e in elements] == ids
    assert [e["outside"] for e in elements] == [False, True, False, True]
    assert [e["points"] for e in elements] == [[0, 6], [2, 6], [4, 6], [2, 6]]
    assert {(e["frame"], e["source"]) for e in elements[1::2]} == {(3, "auto")}


def test_what_the_server_has_not_is_named_and_nothing_is_made():
    points = tuple(Drawn("points", n, np.zeros((1, 2))) for n in ("tl", "middle"))
    drawn = (
        Drawn("tag", "Fungia"),
        Drawn("tag", "Porites", attributes={"form": "massive"}),
        Drawn("skeleton", "grid", elements=points),
    )
    with pytest.raises(ValueError, match="label 'Fungia', attribute 'form' of 'Porites', point 'middle' of 'grid'"):
        cvat_json.to_annotations_request([(0, DrawnPhoto("a.jpg", SIZE, drawn))], numbered())
    with pytest.raises(ValueError, match="label 'Fungia'"):
        cvat_json.to_backup([(0, DrawnPhoto("a.jpg", SIZE, drawn))], LABELS)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({"points": [1, 1, 2, 2]}, "has 2 points: expected 3 or more"),
        ({"points": [1, 1, 2]}, "has 3 numbers"),
        ({"points": [1, 1, float("nan"), 2, 3, 3]}, "finite"),
        ({"points": None}, "left out"),
        ({"points": [[1, 2], [3, 4], [5, 6]]}, "expected pairs"),
        ({"type": "blob"}, "kind is 'blob'"),
        ({"label_id": 999}, "has the number 999"),
        ({"rotation": float("inf")}, "its rotation is inf"),
        ({"type": "mask", "points": [0, 5, 0, 0, 1, 1]}, "add up to 5 px: expected 2 x 2"),
        ({"type": "mask", "points": [0, 1]}, "it has 2 numbers"),
        ({"type": "mask", "points": [1, 0, 0, 999999, 999999]}, "on a photo of 300 x 200"),
        ({"type": "mask", "points": [1, 5, 5, 4, 4]}, "its box is 0 x 0"),
    ],
)
def test_what_cannot_be_kept_is_said_and_the_rest_is_kept(raw, why):
    photo = only([shape(**raw), shape(id=8)])
    assert [one.id for one in photo.drawn] == [8]
    (problem,) = photo.problems
    assert problem.startswith("0.jpg: ")
    assert "(id 7) was left out" in problem
    assert why in problem


def test_odd_scores_and_unknown_attributes_are_said_and_the_shape_kept():
    photo = only([shape(score=93, attributes=[{"spec_id": 1, "value": "x"}, {"spec_id": 100, "value": True}])])
    assert (photo.drawn[0].score, dict(photo.drawn[0].attributes)) == (1.0, {"confidence": "true"})
    assert "attribute number 1 ('x') was left out" in photo.problems[0]
    assert "its score is 93" in photo.problems[1]


def test_points_of_a_skeleton_that_do_not_belong_to_it_are_said():
    porites, _, grid = numbered()
    elements = [
        {"type": "points", "label_id": grid["sublabels"][0]["id"], "points": [1, 2]},
        {"type": "points", "label_id": grid["sublabels"][0]["id"], "points": [3, 4]},
        {"type": "points", "label_id": porites["id"], "points": [3, 4]},
        {"type": "points", "label_id": grid["sublabels"][1]["id"], "points": [3, 4, 5, 6]},
        {"type": "points", "label_id": grid["id"], "points": [3, 4]},
    ]
    photo = only([shape(type="skeleton", label_id=grid["id"], points=[], elements=elements)])
    assert [(p.label, p.xy_px.tolist()) for p in photo.drawn[0].elements] == [("tl", [[1, 2]])]
    said = "\n".join(photo.problems)
    assert "two points 'tl', the first was kept" in said
    assert "'Porites' is no point of 'grid'" in said
    assert "of 2 points, expected one point" in said
    assert "'grid' is no point of 'grid'" in said
    assert "has 1 of its 4 points, missing: tr, br, bl." in said


def test_tracks_and_frames_that_are_not_there_are_said():
    track = {"label_id": numbered()[0]["id"], "frame": 0, "shapes": []}
    photo = only([shape(), shape(frame=99)], tracks=[track])
    assert len(photo.drawn) == 1
    assert "a track of 'Porites' that begins here was left out" in photo.problems[0]
    assert "task 1 '': 1 shapes or tags lie on frames that the task has not (99" in photo.problems[1]


def test_deleted_frames_are_left_out_and_jobs_and_people_found():
    jobs = [
        {"id": 5, "start_frame": 0, "stop_frame": 1, "type": "annotation", "assignee": {"username": "ann"}},
        {"id": 6, "start_frame": 2, "stop_frame": 3, "type": "annotation", "assignee": None},
        {"id": 4, "start_frame": 0, "stop_frame": 3, "type": "ground_truth", "assignee": {"username": "joe"}},
        {"id": 3, "start_frame": 0, "stop_frame": 1, "parent_job_id": 5, "assignee": {"username": "eve"}},
    ]
    task = {"id": 1, "name": "t", "project_id": 2, "subset": "val", "assignee": {"username": "head"}}
    meta = meta_of(photos_of(4), deleted_frames=[1])
    made = cvat_json.to_collection(task, jobs, meta, numbered(), {"shapes": [shape(frame=1)]}, project_name="reef")
    photos = list(made.photos)
    assert [p.name for p in photos] == ["0.jpg", "2.jpg", "3.jpg"]
    assert not any(p.drawn or p.problems for p in photos)
    assert dict(photos[0].facts) == {
        "cvat_task_id": 1, "cvat_task_name": "t", "cvat_subset": "val", "cvat_project_id": 2,
        "cvat_project_name": "reef", "cvat_job_id": 5, "cvat_frame": 0, "annotators": ["ann", "joe", "eve"],
    }  # fmt: skip
    assert photos[1].facts["cvat_job_id"] == 6
    without = cvat_json.to_collection(task, jobs[1:2], meta, numbered(), {"shapes": []})
    assert [p.facts.get("annotators") for p in without.photos] == [["head"]] * 3


def test_photos_shown_again_to_check_annotators_are_taken_once():
    names = ["a.jpg", "b.jpg", "a.jpg"]
    jobs = [{"id": 1, "start_frame": 0, "stop_frame": 1}, {"id": 2, "start_frame": 2, "stop_frame": 2}]
    jobs[1]["type"] = "ground_truth"
    meta = meta_of([DrawnPhoto(name, SIZE) for name in names])
    body = {"shapes": [shape(frame=0), shape(frame=2, id=8)]}
    first, second = cvat_json.to_collection({"id": 1}, jobs, meta, numbered(), body).photos
    assert (first.name, second.name, second.facts["cvat_frame"]) == ("b.jpg", "a.jpg", 2)
    assert [one.id for one in second.drawn] == [8]
    assert "what was drawn on frame 0" in first.problems[0]


def test_what_was_drawn_twice_in_a_backup_is_taken_once():
    jobs = [{"start_frame": 0, "stop_frame": 0}, {"start_frame": 0, "stop_frame": 1, "type": "ground_truth"}]
    items = [
        cvat_json.to_backup([(0, DrawnPhoto("a.jpg", SIZE, (Drawn("tag", "Porites"),)))], LABELS),
        cvat_json.to_backup([(n, DrawnPhoto("a.jpg", SIZE, (Drawn("tag", "Porites"),))) for n in (0, 1)], LABELS),
    ]
    frames = [("a.jpg", SIZE), ("b.jpg", SIZE)]
    first, second = cvat_json.from_backup({"name": "t", "labels": LABELS, "jobs": jobs}, items, frames).photos
    assert (len(first.drawn), len(second.drawn)) == (1, 1)
    assert "1 shapes or tags that were drawn a second time" in first.problems[0]


def test_frames_of_a_video_are_named_by_their_number():
    meta = meta_of(photos_of(1), size=3, start_frame=10, frame_filter="step=5")
    photos = cvat_json.to_collection({"id": 1}, [], meta, numbered(), {}).photos
    assert [p.name for p in photos] == ["frame_000010", "frame_000015", "frame_000020"]


@pytest.mark.parametrize(
    ("task", "change", "why"),
    [
        ({"id": 3, "dimension": "3d"}, {}, "point clouds"),
        ({"id": 3}, {"size": 9}, "1 photos listed for 9 frames|do not fit"),
        ({"id": 3}, {"frames": [{"name": "a"}]}, "do not fit together"),
        ({"id": 3}, {"frames": None}, "do not fit together"),
    ],
)
def test_answers_that_do_not_fit_together_are_refused(task, change, why):
    meta = meta_of(photos_of(2), **change)
    with pytest.raises(FormatError, match=rf"task 3 .*({why})"):
        cvat_json.to_collection(task, [], meta, numbered(), {})


# ---------------------------------------------------------------------------------------------- recordings


def recorded(number: int) -> Any:
    entries = json.loads((SHARED / "recordings/guide_c/guide_c_http.json").read_text("utf-8"))
    return next(entry for entry in entries if entry.get("n") == number)["response"]["body"]


@HERE
def test_a_recorded_task_is_read_and_asked_for_again():
    labels, annotations = recorded(130)["results"], recorded(133)
    made = cvat_json.to_collection(recorded(101), recorded(103)["results"], recorded(119), labels, annotations)
    photos = list(made.photos)
    assert [(p.name, p.size_wh) for p in photos][2] == ("Q03_20080415.jpg", (716, 720))
    assert [len(one.elements) for p in photos for one in p.drawn] == [4, 4, 4]
    assert photos[0].facts["cvat_job_id"] == 48
    assert all('data-label-name="' in label["svg"] and "data-label-id" not in label["svg"] for label in made.labels)
    request = cvat_json.to_annotations_request([(p.facts["cvat_frame"], p) for p in photos], labels)
    assert [bare(raw) for raw in request["shapes"]] == [bare(raw) for raw in annotations["shapes"]]


def bare(raw: dict[str, Any]) -> dict[str, Any]:
    """Without ids, points in one order (CVAT's is not fixed)."""
    elements = sorted((bare(one) for one in raw.get("elements", [])), key=lambda one: one["label_id"])
    return {key: value for key, value in raw.items() if key != "id"} | {"elements": elements}


@HERE
def test_the_recorded_117_points_are_those_of_the_export_and_the_backup():
    from data_engineering.formats import cvat_backup, cvat_images

    folder = SHARED / "recordings/guide_c"
    raw = json.loads((folder / "grid_annotations_get_full.json").read_text("utf-8"))
    labels = json.loads((folder / "grid_labels_full.json").read_text("utf-8"))["results"]
    exported = list(cvat_images.read(folder / "exports/task2_cvat-for-images-1.1.zip").photos)
    names = {"size": 3, "frames": [{"name": p.name, "width": p.size_wh[0], "height": p.size_wh[1]} for p in exported]}
    made = cvat_json.to_collection({"id": 34}, [], names, labels, raw)
    photos = list(made.photos)
    assert Counter(len(one.elements) for p in photos for one in p.drawn) == {117: 3}
    backup = list(cvat_backup.read(folder / "exports/task2_backup.zip").photos)
    for ours, theirs, kept in zip(photos, exported, backup, strict=True):
        assert not ours.problems
        for a, b, c in zip(ours.drawn, theirs.drawn, kept.drawn, strict=True):
            assert_same(a, b)
            assert_same(a, c, 0.0)


@HERE
def test_all_kinds_of_the_recorded_sdk_session():
    entries = json.loads((SHARED / "recordings/sdk_e2e_http.json").read_text("utf-8"))
    bodies = [e["response_body"] for e in entries if e["method"] == "GET"]
    labels = next(b["results"] for b in bodies if isinstance(b, dict) and b.get("results", [{}])[0].get("id") == 151)
    body = [b for b in bodies if isinstance(b, dict) and b.get("tags") and b["tags"][0]["id"] == 19][0]
    meta = meta_of([DrawnPhoto(f"img{n}.png", (120, 100)) for n in range(2)])
    first, second = cvat_json.to_collection({"id": 14}, [], meta, labels, body).photos
    assert [one.kind for one in first.drawn] == ["tag", "polygon", "mask", "rectangle"]
    assert first.drawn[1].attributes == {"health": "dead"}
    assert first.drawn[2].mask.shape == (10, 30)
    assert first.drawn[2].mask.all()
    assert first.drawn[3].rotation == 30
    assert [one.outside for one in sorted(second.drawn[0].elements, key=lambda p: CORNERS.index(p.label))] == [
        False, False, False, True,
    ]  # fmt: skip
