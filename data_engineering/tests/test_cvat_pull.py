"""Pulling from the stand-in with the real cvat-sdk: what is fetched, what is kept, what breaks."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cvat_sdk import Client
from PIL import Image

from data_engineering import cvat_pull, cvat_server, cvat_store
from data_engineering.cvat_errors import CvatError, OutageError
from data_engineering.cvat_server import Account, Project
from data_engineering.formats.collection import FormatError
from quadrat import files
from quadrat.drawn import DrawnPhoto
from tests.cvat_stand_in import Server

ATTRIBUTE = {
    "name": "confidence",
    "input_type": "number",
    "mutable": True,
    "values": ["0", "100", "1"],
    "default_value": "100",
}
LABELS = [{"name": "Porites", "type": "any", "color": "#aa0000", "attributes": [ATTRIBUTE]}]
RING = [1.0, 1.0, 20.5, 1.0, 20.5, 30.25]


@pytest.fixture
def project(server: Server, client: Client) -> Project:
    """Two completed tasks of two photos with a polygon each, and one on which people still work."""
    record = server.add_project("Corals", LABELS)
    label = server.labels(record)["Porites"]
    for name, subset, completed in (("one", "train", True), ("two", "val", True), ("open", "train", False)):
        task = server.add_task(record, name, [f"{name}_a.jpg", f"{name}_b.jpg"], subset=subset, completed=completed)
        shapes = [{"type": "polygon", "label_id": label, "frame": k, "points": RING, "attributes": []} for k in (0, 1)]
        server.draw(task, shapes)
    server.requests.clear()
    return cvat_server.find_project(client, "Corals")


def _photos(store: Path, result: cvat_pull.PullResult) -> list[DrawnPhoto]:
    folders = [cvat_pull.folder_of(store, task_id) for task_id in result.tasks]
    return [photo for folder in folders for photo in cvat_pull.read_task(folder).photos]


def _state(store: Path) -> dict[str, bytes]:
    """Every file of a store, without what a killed pull left, which is hidden."""
    found = (path for path in store.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in found}


# ---------------------------------------------------------------------------------------------- what is fetched


def test_a_pull_gives_photos_shapes_and_facts(server: Server, client: Client, project: Project, tmp_path: Path) -> None:
    result = cvat_pull.pull(client, project, tmp_path)
    photos = _photos(tmp_path, result)
    assert [photo.name for photo in photos] == ["one_a.jpg", "one_b.jpg", "two_a.jpg", "two_b.jpg"]
    assert result.photos == 4
    assert not result.failed
    assert len(result.left_out) == 1  # the task on which people still work
    assert cvat_store.listed_ids(tmp_path) == sorted([*result.tasks, *result.left_out])
    for photo in photos:
        assert photo.path is not None
        with Image.open(photo.path) as image:
            assert image.size == photo.size_wh
        np.testing.assert_array_equal(photo.drawn[0].xy_px, np.reshape(RING, (-1, 2)))
        assert photo.facts["cvat_project_name"] == "Corals"
        assert photo.facts["cvat_task_name"] in ("one", "two")
    assert cvat_pull.read_task(cvat_pull.folder_of(tmp_path, min(result.tasks))).labels[0]["name"] == "Porites"


def test_photos_are_byte_for_byte_what_was_uploaded(
    server: Server, client: Client, project: Project, tmp_path: Path
) -> None:
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # stands upright once turned
    Image.new("RGB", (40, 20), "red").save(turned, "JPEG", exif=exif)
    png = io.BytesIO()
    Image.new("RGB", (30, 20), "blue").save(png, "PNG")
    task = server.add_task(project.id, "kinds", {"a.png": png.getvalue(), "b.jpg": turned.getvalue()}, completed=True)
    with server.state.lock:
        record = next(photo for photo in server.state.tasks[task.id].photos if photo.name == "b.jpg")
        record.width, record.height = 20, 40  # as CVAT says it of a photo that EXIF turns
    result = cvat_pull.pull(client, project, tmp_path)
    assert not result.failed
    found = {photo.name: photo for photo in _photos(tmp_path, result)}
    assert found["a.png"].path.read_bytes() == png.getvalue()  # type: ignore[union-attr]
    assert found["b.jpg"].path.read_bytes() == turned.getvalue()  # type: ignore[union-attr]
    assert found["b.jpg"].size_wh == (20, 40)


def test_a_pull_only_reads(server: Server, client: Client, project: Project, tmp_path: Path) -> None:
    cvat_pull.pull(client, project, tmp_path)
    assert {asked.method for asked in server.requests.found()} == {"GET"}


def test_a_token_that_may_only_read_suffices(server: Server, project: Project, tmp_path: Path) -> None:
    with cvat_server.connect(Account(server.url, server.read_token)) as client:
        assert len(cvat_pull.pull(client, project, tmp_path).tasks) == 2


def test_a_second_pull_transfers_no_photo(server: Server, client: Client, project: Project, tmp_path: Path) -> None:
    first = cvat_pull.pull(client, project, tmp_path)
    before = _state(tmp_path)
    assert server.requests.images() == 4
    server.requests.clear()
    second = cvat_pull.pull(client, project, tmp_path)
    assert server.requests.images() == 0
    assert server.requests.count() == 2  # the labels and the tasks
    assert second.unchanged == first.fetched
    assert second.tasks == first.tasks
    assert _state(tmp_path) == before


def test_what_changed_is_fetched_without_its_photos(
    server: Server, client: Client, project: Project, tmp_path: Path
) -> None:
    first = cvat_pull.pull(client, project, tmp_path)
    changed = min(first.tasks)
    label = server.labels(project.id)["Porites"]
    shape = {"type": "polygon", "label_id": label, "frame": 0, "points": RING, "attributes": []}
    server.draw(server.state.tasks[changed], [shape])
    server.requests.clear()
    second = cvat_pull.pull(client, project, tmp_path)
    assert second.fetched == (changed,)
    assert server.requests.images() == 0
    assert len(_photos(tmp_path, second)[0].drawn) == 2


def test_a_task_that_is_completed_is_fetched_then(
    server: Server, client: Client, project: Project, tmp_path: Path
) -> None:
    first = cvat_pull.pull(client, project, tmp_path)
    (still_open,) = first.left_out
    server.complete(server.state.tasks[still_open])
    assert cvat_pull.pull(client, project, tmp_path).fetched == (still_open,)


def test_subsets_statuses_and_wishes_choose(server: Server, client: Client, project: Project, tmp_path: Path) -> None:
    names = lambda result: [stamp.name for stamp in result.tasks.values()]  # noqa: E731
    assert names(cvat_pull.pull(client, project, tmp_path, subsets=("val",))) == ["two"]
    every = cvat_pull.pull(client, project, tmp_path, statuses=cvat_pull.STATUSES)
    assert names(every) == ["one", "two", "open"]
    assert names(cvat_pull.pull(client, project, tmp_path, wanted=lambda stamp: stamp.name != "one")) == ["two"]
    with pytest.raises(CvatError, match=r"subset 'test': there is 'train', 'val'"):
        cvat_pull.pull(client, project, tmp_path, subsets=("test",))
    with pytest.raises(CvatError, match="status done"):
        cvat_pull.pull(client, project, tmp_path, statuses=("done",))


def test_force_fetches_annotations_again_and_keeps_photos(
    server: Server, client: Client, project: Project, tmp_path: Path
) -> None:
    cvat_pull.pull(client, project, tmp_path)
    server.requests.clear()
    result = cvat_pull.pull(client, project, tmp_path, force=True)
    assert len(result.fetched) == 2
    assert server.requests.count("annotations") == 2
    assert server.requests.images() == 0


def test_a_task_that_is_gone_is_named(server: Server, client: Client, project: Project, tmp_path: Path) -> None:
    first = cvat_pull.pull(client, project, tmp_path)
    client.tasks.remove_by_ids([min(first.tasks)])
    second = cvat_pull.pull(client, project, tmp_path)
    assert second.gone == (min(first.tasks),)
    assert min(first.tasks) not in second.tasks


def test_a_photo_that_was_lost_on_this_disk_is_fetched_again(
    server: Server, client: Client, project: Project, tmp_path: Path
) -> None:
    lost = _photos(tmp_path, cvat_pull.pull(client, project, tmp_path))[0].path
    assert lost is not None
    lost.unlink()
    server.requests.clear()
    assert cvat_pull.pull(client, project, tmp_path).photos == 1
    assert server.requests.images() == 1
    assert lost.is_file()


def test_a_store_is_of_one_project(server: Server, client: Client, project: Project, tmp_path: Path) -> None:
    cvat_pull.pull(client, project, tmp_path)
    other = cvat_server.find_project(client, server.add_project("Other", LABELS).id)
    with pytest.raises(CvatError, match=r"holds the project 'Corals' .*give each project a folder of its own"):
        cvat_pull.pull(client, other, tmp_path)


# ---------------------------------------------------------------------------------------------- what breaks


def test_a_photo_that_breaks_off_is_fetched_again(
    server: Server, client: Client, project: Project, tmp_path: Path
) -> None:
    whole = cvat_pull.pull(client, project, tmp_path / "whole")
    server.faults.cut(100, path="type=frame", times=2)
    server.faults.shorten(300, times=2)
    result = cvat_pull.pull(client, project, tmp_path / "broken")
    assert not result.failed
    assert result.tasks == whole.tasks
    assert _state(tmp_path / "broken") == _state(tmp_path / "whole")


def test_a_photo_that_stays_cut_short_fails_its_task_alone(
    server: Server, client: Client, project: Project, tmp_path: Path
) -> None:
    first, second = (t.id for t in sorted(server.state.tasks.values(), key=lambda t: t.id) if t.status == "completed")
    server.faults.shorten(300, path=f"/tasks/{first}/data.*number=1", times=None)
    result = cvat_pull.pull(client, project, tmp_path)
    assert list(result.tasks) == [second]
    assert len(result.failed) == 1
    assert "fetch photo one_b.jpg" in result.failed[0]
    assert "damaged or cut short" in result.failed[0]
    with pytest.raises(FormatError, match="pull the project first"):
        cvat_pull.read_task(cvat_pull.folder_of(tmp_path, first))
    server.faults.clear()
    server.requests.clear()
    assert list(cvat_pull.pull(client, project, tmp_path).tasks) == [first, second]
    assert server.requests.images() == 1  # the other photo of that task was kept


def test_a_photo_of_another_size_than_cvat_says_fails(
    server: Server, client: Client, project: Project, tmp_path: Path
) -> None:
    task = min(server.state.tasks.values(), key=lambda t: t.id)
    with server.state.lock:
        task.photos[0].width = 63
    result = cvat_pull.pull(client, project, tmp_path)
    assert "it has 64 x 48 px, and 63 x 48 px in CVAT" in result.failed[0]


def test_a_task_that_the_server_cannot_read_fails_alone(
    server: Server, client: Client, project: Project, tmp_path: Path
) -> None:
    first = min(server.state.tasks)
    server.faults.fail(500, path=f"/tasks/{first}/annotations", times=None)
    result = cvat_pull.pull(client, project, tmp_path)
    assert len(result.tasks) == 1
    assert f"read task {first}" in result.failed[0]
    assert "the server failed (500" in result.failed[0]


def test_a_server_lost_midway_stops_and_what_was_pulled_is_kept(
    server: Server, client: Client, project: Project, tmp_path: Path
) -> None:
    whole = cvat_pull.pull(client, project, tmp_path / "whole")

    def stop_then_want(stamp: cvat_pull.Stamp) -> bool:
        if stamp.name == "two":
            server.stop()
        return True

    cvat_pull.pull(client, project, tmp_path / "kept", subsets=("train",))
    with pytest.raises(OutageError, match="cannot be reached, asked several times"):
        cvat_pull.pull(client, project, tmp_path / "kept", wanted=stop_then_want)
    assert len(cvat_store.task_ids(tmp_path / "kept")) == 1
    server.start()
    server.requests.clear()
    result = cvat_pull.pull(client, project, tmp_path / "kept")
    assert result.tasks == whole.tasks
    assert server.requests.images() == 2  # of the second task alone
    assert _state(tmp_path / "kept") == _state(tmp_path / "whole")


def test_a_full_disk_stops_clearly_and_keeps_what_is_whole(
    server: Server, client: Client, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, left = Path.write_bytes, [5]

    def full(path: Path, data: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OutageError, match="the disk is full"):
            cvat_pull.pull(client, project, tmp_path, workers=1)
    assert all(cvat_pull.read_task(cvat_pull.folder_of(tmp_path, n)).photos for n in cvat_store.task_ids(tmp_path))
    result = cvat_pull.pull(client, project, tmp_path)
    assert not result.failed
    assert 0 < result.photos < 4  # the rest was kept
    assert len(result.tasks) == 2


# ---------------------------------------------------------------------------------------------- kills

PULL = """
import sys
from pathlib import Path
from data_engineering import cvat_pull, cvat_server
with cvat_server.connect(cvat_server.Account(sys.argv[1], sys.argv[2])) as client:
    print("begun", flush=True)
    cvat_pull.pull(client, cvat_server.find_project(client, "Corals"), Path(sys.argv[3]), workers=2)
"""


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_a_pull_killed_at_any_moment_ends_as_an_unbroken_one(
    kills: int, server: Server, client: Client, project: Project, tmp_path: Path
) -> None:
    for number in range(12):
        server.add_task(project.id, f"more {number}", [f"{number}_{k}.jpg" for k in range(5)], completed=True)
    whole, store = tmp_path / "whole", tmp_path / "killed"
    every = list(cvat_pull.pull(client, project, whole).tasks)
    wanted = _state(whole)
    random = np.random.default_rng(7)
    server.faults.stall(0.01, times=None)
    amid = 0
    for _ in range(kills):
        _kill_a_pull(server, store, float(random.uniform(0, 0.6)))
        kept = _state(store)
        assert all(wanted[name] == data for name, data in kept.items() if name != "project.json")
        there = cvat_store.task_ids(store)
        for task_id in there:  # what is there is whole
            photos = cvat_pull.read_task(cvat_pull.folder_of(store, task_id)).photos
            assert all(photo.path and photo.path.is_file() for photo in photos)
        amid += len(there) < len(every)
        if there == every:  # begin anew, so that the next kill hits something
            shutil.rmtree(store)
    assert amid > kills / 2
    server.faults.clear()
    _wait_for_the_last_requests(server)
    server.requests.clear()
    kept = _state(store)
    cvat_pull.pull(client, project, store)
    assert _state(store) == wanted
    missing = [name for name in wanted if "photos" in name and name not in kept]
    assert server.requests.images() == len(missing)


def _wait_for_the_last_requests(server: Server) -> None:
    """What the last one that was killed had on its way is counted late."""
    counted = -1
    while counted != (now := server.requests.images()):
        counted = now
        time.sleep(0.3)


def _kill_a_pull(server: Server, store: Path, after_s: float) -> None:
    command = [sys.executable, "-c", PULL, server.url, server.token, str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(after_s)
        os.kill(process.pid, signal.SIGKILL)


# ---------------------------------------------------------------------------------------------- the store


def test_a_store_that_is_none_lists_nothing(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="pull the project again"):
        cvat_store.listed_ids(tmp_path)


def test_a_task_json_that_was_tampered_with_is_pulled_again(
    server: Server, client: Client, project: Project, tmp_path: Path
) -> None:
    result = cvat_pull.pull(client, project, tmp_path)
    path = cvat_pull.folder_of(tmp_path, min(result.tasks)) / "task.json"
    before = path.read_bytes()
    path.write_bytes(before[:100])
    with pytest.raises(FormatError, match="delete it and pull the project again"):
        cvat_pull.read_task(path.parent)
    cvat_pull.pull(client, project, tmp_path)
    assert json.loads(path.read_bytes()) == json.loads(before)


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["a.jpg"], ["a.jpg"]),
        (["site/a.jpg", "b/a.jpg"], ["site/a.jpg", "b/a.jpg"]),
        (["../../etc/a.jpg"], ["etc/a.jpg"]),
        (["/etc/a.jpg", "C:\\etc\\a.jpg"], ["etc/a.jpg", "C_/etc/a.jpg"]),
        (["a.jpg", "../a.jpg", "A.jpg"], ["a.jpg", "~1/a.jpg", "~2/A.jpg"]),
        ([".hidden.jpg", "~1/a.jpg"], ["_.hidden.jpg", "_~1/a.jpg"]),
        (["a.jpg/b.jpg", "a.jpg"], ["a.jpg/b.jpg", "~1/a.jpg"]),
        (["a.jpg", "a.jpg/b.jpg"], ["a.jpg", "~1/b.jpg"]),
        (["..", "a\x00\n.jpg", "reef?.jpg"], ["photo.png", "a__.jpg", "reef_.jpg"]),
        (["frame_000007"], ["frame_000007.png"]),
    ],
)
def test_names_from_a_server_are_made_safe(names: list[str], places: list[str]) -> None:
    assert list(cvat_store.safe_places(names).values()) == places


def test_a_very_long_name_is_shortened_and_stays_its_own() -> None:
    names = ["é" * 300 + f"{k}.jpg" for k in range(2)]
    places = list(cvat_store.safe_places(names).values())
    assert len(set(places)) == 2
    assert all(len(place.encode()) < 200 and place.endswith(".jpg") for place in places)


def test_names_that_climb_stay_in_the_store(server: Server, client: Client, project: Project, tmp_path: Path) -> None:
    task = server.add_task(project.id, "climbing", ["x.jpg", "y.jpg"], completed=True)
    with server.state.lock:
        task.photos[0].name, task.photos[1].name = "../../../x.jpg", "sub/x.jpg"
    result = cvat_pull.pull(client, project, tmp_path / "store")
    assert task.id in result.tasks
    places = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("x.jpg")]
    folder = f"store/task_{task.id}/photos"
    assert sorted(places) == [f"{folder}/sub/x.jpg", f"{folder}/x.jpg"]


def test_leftovers_of_an_old_kill_are_swept_and_those_of_another_pull_are_not(
    server: Server, client: Client, project: Project, tmp_path: Path
) -> None:
    folder = cvat_pull.folder_of(tmp_path, min(server.state.tasks)) / "photos"
    for name in (".old-x.jpg", ".new-x.jpg"):
        files.write_bytes(folder / name, b"half")
    os.utime(folder / ".old-x.jpg", (1, 1))
    cvat_pull.pull(client, project, tmp_path)
    assert not (folder / ".old-x.jpg").exists()
    assert (folder / ".new-x.jpg").exists()
