"""Backups into the stand-in with the real cvat-sdk."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cvat_sdk import Client

from data_engineering import cvat_restore
from data_engineering import restore as command
from data_engineering.cvat_errors import CvatError
from data_engineering.formats.collection import FormatError
from tests.cvat_stand_in import Server

LABELS = [{"name": "Porites", "type": "polygon", "attributes": []}]
RING = [1.0, 1.0, 20.5, 1.0, 20.5, 30.25]


@pytest.fixture
def backups(server: Server, client: Client, tmp_path: Path) -> dict[str, Path]:
    """Backups of a project and of its task; the server has neither any more."""
    project = server.add_project("Corals", LABELS)
    task = server.add_task(project, "Moorea", ["a.jpg", "b.jpg"])
    label = server.labels(project)["Porites"]
    server.draw(task, [{"type": "polygon", "label_id": label, "frame": 1, "points": RING, "attributes": []}])
    made = {"project": tmp_path / "project.zip", "task": tmp_path / "task.zip"}
    client.projects.retrieve(project.id).download_backup(made["project"], status_check_period=0)
    client.tasks.retrieve(task.id).download_backup(made["task"], status_check_period=0)
    client.projects.remove_by_ids([project.id])
    assert not server.state.tasks
    return made


@pytest.mark.parametrize("kind", ["project", "task"])
def test_a_backup_comes_back(kind: str, server: Server, client: Client, backups: dict[str, Path]) -> None:
    made = cvat_restore.restore(client, backups[kind])
    assert (made.kind, made.name) == (kind, "Corals" if kind == "project" else "Moorea")
    (task,) = server.state.tasks.values()
    assert made.id == (task.id if kind == "task" else task.project)
    assert [photo.name for photo in task.photos] == ["a.jpg", "b.jpg"]
    assert [(one["frame"], one["points"]) for one in server.drawn(task)] == [(1, RING)]


@pytest.mark.parametrize("how", ["7z", "folder"])
def test_an_archive_of_another_kind_is_packed_for_cvat(
    how: str, server: Server, client: Client, backups: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(backups["project"]) as archive:
        archive.extractall(folder)
    if how == "7z":
        py7zr = pytest.importorskip("py7zr")
        with py7zr.SevenZipFile(tmp_path / "project.7z", "w", password="reef") as packed:
            for path in (one for one in folder.rglob("*") if one.is_file()):
                packed.write(path, path.relative_to(folder).as_posix())
        with pytest.raises(FormatError, match="set CVAT_BACKUP_PASSWORD to its password"):
            cvat_restore.restore(client, tmp_path / "project.7z")
        monkeypatch.setenv("CVAT_BACKUP_PASSWORD", "reef")
        folder = tmp_path / "project.7z"
    cvat_restore.restore(client, folder, scratch=tmp_path)
    (task,) = server.state.tasks.values()
    assert len(server.drawn(task)) == 1
    assert not list(tmp_path.glob("quadratseg-restore-*"))


def test_a_second_of_the_name_is_made_only_on_request(server: Server, client: Client, backups: dict[str, Path]) -> None:
    first = cvat_restore.restore(client, backups["project"])
    with pytest.raises(CvatError, match=rf"has a project 'Corals' already \(id {first.id}\)"):
        cvat_restore.restore(client, backups["project"])
    assert cvat_restore.restore(client, backups["project"], again=True).id != first.id


def test_the_wrong_kind_is_refused(client: Client, backups: dict[str, Path]) -> None:
    with pytest.raises(FormatError, match="is the backup of a task, not of a project"):
        cvat_restore.restore(client, backups["task"], kind="project")


def test_files_that_are_no_backup(server: Server, client: Client, backups: dict[str, Path], tmp_path: Path) -> None:
    text, other, damaged = tmp_path / "text.zip", tmp_path / "other.zip", tmp_path / "damaged.zip"
    text.write_text("no archive")
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("annotations.xml", "<annotations/>")
    data = bytearray(backups["project"].read_bytes())
    with zipfile.ZipFile(backups["project"]) as archive:
        photo = next(one for one in archive.infolist() if one.filename.endswith(".jpg"))
    at = photo.header_offset + 30 + len(photo.filename) + photo.compress_size // 2
    data[at : at + 8] = b"\0" * 8
    damaged.write_bytes(data)
    server.requests.clear()
    for path, said in ((text, "not a zip file"), (other, "neither project.json nor task.json"), (damaged, "damaged")):
        with pytest.raises(FormatError, match=said):
            cvat_restore.restore(client, path)
    assert server.requests.count(method="POST") == 0


def test_the_command(server: Server, backups: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_URL", server.url)
    monkeypatch.setenv("CVAT_TOKEN", server.token)
    assert command.main(**vars(command._parse([str(backups["task"]), "--task"]))).name == "Moorea"
    told = subprocess.run(
        [sys.executable, "-m", "data_engineering.restore", "nowhere.zip"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 1
    assert told.stderr == "restore: nowhere.zip: no such file or folder\n"
