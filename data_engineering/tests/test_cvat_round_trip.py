"""Backups of a real CVAT server: restored, pulled, pushed and pulled again; nothing is lost on the way."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_engineering import cvat_pull, cvat_push, cvat_restore, cvat_server
from data_engineering.cvat_server import Account, Project
from quadrat.drawn import Drawn, DrawnPhoto, Labels
from tests.cvat_stand_in import running

EXPORTS = Path(__file__).resolve().parents[3] / "shared" / "cvat" / "recordings" / "guide_c" / "exports"


@pytest.mark.skipif(not EXPORTS.is_dir(), reason="../shared is not there")
@pytest.mark.parametrize("name", ["project1", "project2", "project3"])
def test_a_real_backup_survives_restore_pull_push_and_pull(name: str, tmp_path: Path) -> None:
    backup = EXPORTS / f"{name}_backup.zip"
    with running() as server, cvat_server.connect(Account(server.url, server.token), poll_s=0.01) as client:
        restored = cvat_restore.restore(client, backup)
        project = cvat_server.find_project(client, restored.id)
        photos, labels = _pulled(client, project, tmp_path / "first")
        assert _kinds(photos) == _kinds_in(backup)
        copy = cvat_push.create_project(client, "copy", labels)
        assert copy is not None
        for task_name in {photo.facts["cvat_task_name"] for photo in photos}:
            own = [photo for photo in photos if photo.facts["cvat_task_name"] == task_name]
            cvat_push.push_task(client, copy, task_name, own, subset=own[0].facts.get("cvat_subset", ""))
        again, labels_again = _pulled(client, copy, tmp_path / "second")
    assert [_without_colours(label) for label in labels_again] == [_without_colours(label) for label in labels]
    assert [photo.name for photo in again] == [photo.name for photo in photos]
    for before, after in zip(photos, again, strict=True):
        assert before.path is not None
        assert after.path is not None
        assert after.path.read_bytes() == before.path.read_bytes()
        assert after.facts.get("cvat_subset") == before.facts.get("cvat_subset")
        for one, other in zip(before.drawn, after.drawn, strict=True):
            _assert_same(one, other)


def _pulled(client: object, project: Project, store: Path) -> tuple[list[DrawnPhoto], Labels]:
    result = cvat_pull.pull(client, project, store, statuses=cvat_pull.STATUSES)  # type: ignore[arg-type]
    assert not result.failed
    tasks = [cvat_pull.read_task(cvat_pull.folder_of(store, task_id)) for task_id in result.tasks]
    return sorted((photo for task in tasks for photo in task.photos), key=lambda photo: photo.name), tasks[0].labels


def _kinds(photos: list[DrawnPhoto]) -> Counter[str]:
    return Counter(one.kind for photo in photos for one in photo.drawn)


def _kinds_in(backup: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    with zipfile.ZipFile(backup) as archive:
        for name in archive.namelist():
            if name.endswith("annotations.json"):
                for job in json.loads(archive.read(name)):
                    found += Counter(shape["type"] for shape in job["shapes"]) + Counter(["tag"] * len(job["tags"]))
    return found


def _assert_same(one: Drawn, other: Drawn) -> None:
    np.testing.assert_allclose(other.xy_px, one.xy_px, atol=0.01)
    np.testing.assert_array_equal(other.mask, one.mask)  # type: ignore[arg-type]
    bare = {"xy_px": one.xy_px, "mask": one.mask, "elements": (), "id": None}
    mine, theirs = replace(one, **bare), replace(other, **bare)
    for field in ("kind", "label", "group", "occluded", "outside", "source", "score", "z_order", "rotation"):
        assert getattr(mine, field) == getattr(theirs, field), field
    assert dict(one.attributes) == dict(other.attributes)
    ours, others = ({e.label: e for e in shape.elements} for shape in (one, other))
    assert set(ours) <= set(others)  # pushing completes a skeleton
    for name, element in ours.items():
        _assert_same(element, others[name])


def _without_colours(label: object) -> object:
    assert isinstance(label, dict)
    points = [_without_colours(sub) for sub in label.get("sublabels", [])]
    return {k: v for k, v in label.items() if k not in ("color", "svg")} | {"sublabels": points}
