"""The real cvat-sdk at work on the stand-in, faults on demand, and a restart."""

import io
import re
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
import urllib3

pytest.importorskip("cvat_sdk")

from cvat_sdk import make_client, models
from cvat_sdk.api_client import exceptions
from cvat_sdk.core import uploading
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction as Action

from tests.cvat_stand_in import running
from tests.cvat_stand_in.receiver import receiving
from tests.cvat_stand_in.seed import picture
from tests.cvat_stand_in.server import PASSWORD, wait_for

CONFIDENCE = {"name": "confidence", "input_type": "number", "mutable": True, "values": ["0", "100", "1"]}
SVG = (
    '<circle data-element-id="1" data-label-name="1"></circle><circle data-element-id="2" data-label-name="2"></circle>'
)
LABELS = [
    {
        "name": "pair",
        "type": "skeleton",
        "sublabels": [{"name": "1", "type": "points"}, {"name": "2", "type": "points"}],
        "svg": SVG,
        "attributes": [{**CONFIDENCE, "default_value": "100"}],
    },
    {"name": "coral", "type": "polygon", "attributes": []},
]


@pytest.fixture
def server():
    with running(retry_delays_s=(0.05,)) as server:
        yield server
        assert server.errors == []


@pytest.fixture
def client(server):
    with make_client(server.url, access_token=server.token) as client:
        client.config.status_check_period = 0.01
        yield client


def photos(folder: Path, count: int = 3) -> list[Path]:
    paths = [folder / f"Q{place:02d}.jpg" for place in range(count)]
    for place, path in enumerate(paths):
        path.write_bytes(picture(80, 60, shade=place * 40))
    return paths


def polygon(label: int, frame: int = 0, **more):
    return models.LabeledShapeRequest(
        type="polygon", label_id=label, frame=frame, points=[1, 2, 30, 4, 5, 36.5], **more
    )


def test_logins(server):
    with make_client(server.url, credentials=("annotator", PASSWORD)) as client:
        assert client.users.retrieve_current_user().username == "annotator"
    with make_client(server.url, access_token=server.read_token) as client:
        assert client.projects.list() == []
        with pytest.raises(exceptions.ForbiddenException):
            client.projects.create({"name": "no"})
    with pytest.raises(exceptions.ApiException, match="Unable to log in"):
        make_client(server.url, credentials=("bridge", "wrong"))
    with make_client(server.url, access_token="none") as client, pytest.raises(exceptions.UnauthorizedException):
        client.projects.list()


def test_a_skeleton_gets_ids_of_the_server_in_its_picture(client):
    project = client.projects.create({"name": "p", "labels": LABELS})
    [skeleton, _] = project.get_labels()
    ids = [str(part.id) for part in skeleton.sublabels]
    assert re.findall(r'data-label-id="(\d+)"', skeleton.svg) == ids


def test_photos_come_back_byte_for_byte(client, server, tmp_path):
    project = client.projects.create({"name": "p", "labels": LABELS})
    paths = photos(tmp_path)
    task = client.tasks.create_from_data({"name": "t", "project_id": project.id, "subset": "train"}, paths)
    assert [task.get_frame(n, quality="original").read() for n in range(3)] == [path.read_bytes() for path in paths]
    assert [frame.name for frame in task.get_frames_info()] == [path.name for path in paths]
    assert server.requests.images() == 3


def test_a_large_photo_goes_up_in_pieces(client, server, tmp_path, monkeypatch):
    monkeypatch.setattr(uploading, "TUS_CHUNK_SIZE", 400)
    uploader = uploading.DataUploader.__init__.__kwdefaults__
    monkeypatch.setitem(uploader, "max_request_size", 100)
    server.faults.fail(503, method="PATCH", path=r"/data/", skip=1)
    project = client.projects.create({"name": "p", "labels": LABELS})
    [path] = photos(tmp_path, 1)
    task = client.tasks.create_from_data({"name": "t", "project_id": project.id}, [path])
    assert task.get_frame(0, quality="original").read() == path.read_bytes()
    assert server.requests.count("/data/", "PATCH", 204) == -(-path.stat().st_size // 400)


def test_annotations_there_and_back(client, server):
    project = server.add_project("p", LABELS)
    task = client.tasks.retrieve(server.add_task(project, "t", ["a.jpg", "b.jpg"], segment_size=1).id)
    label = server.labels(project)
    points = [
        models.SubLabeledShapeRequest(type="points", label_id=label[f"pair/{n}"], frame=1, points=[n, n])
        for n in (1, 2)
    ]
    pair = models.LabeledShapeRequest(type="skeleton", label_id=label["pair"], frame=1, elements=points, score=0.5)
    body = models.PatchedLabeledDataRequest(shapes=[polygon(label["coral"], source="auto"), pair])
    task.update_annotations(body, action=Action.CREATE)
    drawn, skeleton = task.get_annotations().shapes
    assert drawn.points == [1, 2, 30, 4, 5, 36.5]
    assert drawn.source == "auto"
    assert {part.label_id: part.points for part in skeleton.elements} == {
        label["pair/1"]: [1, 1],
        label["pair/2"]: [2, 2],
    }
    assert [given.value for given in skeleton.attributes] == ["100"]
    task.remove_annotations(ids=[drawn.id])
    assert [shape.id for shape in task.get_annotations().shapes] == [skeleton.id]


def test_lists_come_in_pages(client, server):
    project = server.add_project("p", LABELS)
    for number in range(23):
        server.add_task(project, f"t{number}", [])
    server.requests.clear()
    assert {task.name for task in client.tasks.list()} == {f"t{number}" for number in range(23)}
    assert server.requests.count("/api/tasks") == 3


def test_export_and_backup(client, server, tmp_path):
    project = server.add_project("p", LABELS)
    task = server.add_task(project, "t", ["a.jpg", "b.jpg"], subset="train")
    server.draw(
        task, [{"type": "polygon", "label_id": server.labels(project)["coral"], "frame": 1, "points": [1, 2] * 3}]
    )
    whole = client.projects.retrieve(project.id)
    whole.export_dataset("CVAT for images 1.1", tmp_path / "export.zip", include_images=True)
    with zipfile.ZipFile(tmp_path / "export.zip") as archive:
        assert sorted(archive.namelist()) == ["annotations.xml", "images/train/a.jpg", "images/train/b.jpg"]
        assert archive.read("images/train/a.jpg") == picture(shade=0)
        assert b'points="1.00,2.00;1.00,2.00;1.00,2.00"' in archive.read("annotations.xml")
    whole.download_backup(tmp_path / "backup.zip")
    copy = client.projects.create_from_backup(tmp_path / "backup.zip")
    [restored] = copy.get_tasks()
    assert restored.id != task.id
    assert restored.get_frame(1, quality="original").read() == picture(shade=1)
    assert [shape.points for shape in restored.get_annotations().shapes] == [[1, 2] * 3]


def test_a_batch_of_a_function(client, server):
    project = server.add_project("p", LABELS)
    task, go = server.add_task(project, "t", ["a.jpg", "b.jpg"]), threading.Event()

    def detect(photo: bytes):
        assert go.wait(10)
        return [{"label": "coral", "type": "polygon", "points": [0, 0, 9, 0, 9, len(photo)]}]

    server.add_function("corals", detect)
    asked = models.FunctionCallRequest(function="corals", task=task.id)
    api = client.api_client.lambda_api
    api.create_requests(function_call_request=asked)
    with pytest.raises(exceptions.ApiException, match="Only one running request"):
        api.create_requests(function_call_request=asked)
    go.set()
    server.settle()
    sizes = [len(picture(shade=0)), len(picture(shade=1))]
    assert [(shape["source"], shape["points"][-1]) for shape in server.drawn(task)] == [
        ("auto", size) for size in sizes
    ]


def test_a_signed_delivery_is_tried_again(client, server):
    with receiving() as receiver:
        project = server.add_project("p", LABELS)
        hook = {"target_url": f"{receiver.url}/fail", "type": "project", "events": ["update:task"]}
        hook |= {"secret": "s", "project_id": project.id, "content_type": "application/json"}
        client.api_client.webhooks_api.create(webhook_write_request=hook)
        task = client.tasks.retrieve(server.add_task(project, "t", []).id)
        server.settle()
        receiver.deliveries.clear()
        receiver.seen.clear()
        task.update({"name": "renamed"})
        wait_for(lambda: len(receiver.deliveries) == 2)
        first, second = receiver.deliveries
        assert first.raw == second.raw
        assert first.signed_with("s")
        assert not first.signed_with("other")
        assert first.body["changes"]["name"] == {"from": "t", "to": "renamed"}
        assert first.body["sender"]["username"] == "bridge"


def get(server, path: str) -> urllib3.BaseHTTPResponse:
    """One request, asked once."""
    headers = {"Authorization": f"Bearer {server.token}"}
    return urllib3.request("GET", server.url + path, headers=headers, retries=False)


def test_faults_meet_what_they_are_meant_for(client, server):
    task = server.add_task(server.add_project("p", LABELS), "t", {"a.jpg": picture(300, 200)})
    at = client.tasks.retrieve(task.id)
    server.faults.fail(500, path="/data/meta")
    with pytest.raises(exceptions.ServiceException):
        at.get_meta()
    assert at.get_meta().size == 1
    server.faults.fail(503, path="/data/meta")  # the SDK itself asks again
    assert at.get_meta().size == 1
    server.faults.shorten(100)
    assert at.get_frame(0, quality="original").read() == picture(300, 200)[:100]
    server.faults.cut(100, path="type=frame")
    with pytest.raises(urllib3.exceptions.HTTPError):  # not by the SDK, which asks again after a wait
        get(server, f"/api/tasks/{task.id}/data?type=frame&quality=original&number=0")
    server.faults.drop(path="/annotations", times=None)
    with pytest.raises(urllib3.exceptions.HTTPError):
        get(server, f"/api/tasks/{task.id}/annotations")
    server.faults.clear()
    assert at.get_annotations().shapes == []


def test_an_answer_can_be_lost_after_the_write_was_done(client, server):
    server.faults.drop(method="POST", path="/api/projects", times=None, after=True)
    with pytest.raises(urllib3.exceptions.HTTPError):
        client.projects.create({"name": "p"})
    assert [project.name for project in client.projects.list()] == ["p"]


def test_how_long_to_wait_is_told(server):
    server.faults.fail(429, path="/api/projects", retry_after=2)
    answer = get(server, "/api/projects")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "2")


def test_a_stopped_server_refuses_and_knows_all_when_it_is_back(client, server):
    server.add_project("p", LABELS)
    server.stop()
    with pytest.raises(urllib3.exceptions.HTTPError):
        get(server, "/api/server/about")
    server.start()
    assert [project.name for project in client.projects.list()] == ["p"]


def test_an_upload_that_broke_off_leaves_an_empty_task_to_be_found(client, server, tmp_path):
    project = client.projects.create({"name": "p", "labels": LABELS})
    server.faults.drop(method="POST", path="/data", skip=2)
    paths = photos(tmp_path)
    with pytest.raises(urllib3.exceptions.HTTPError):
        client.tasks.create_from_data({"name": "t", "project_id": project.id}, paths)
    [task] = client.tasks.list()
    assert task.size == 0
    with pytest.raises(exceptions.ApiException, match="Data is not uploaded"):
        task.get_meta()
    task.upload_data(paths[:1])
    assert task.fetch().size == 3


def start(folder: Path) -> tuple[subprocess.Popen[str], str, str]:
    """The server in a process of its own."""
    command = [sys.executable, "-m", "tests.cvat_stand_in", "--port", "0", "--state", str(folder)]
    root = Path(__file__).resolve().parents[1]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline().split()
    return process, line[0], line[-1]


def test_a_killed_server_knows_all_when_it_is_back(tmp_path):
    process, url, token = start(tmp_path / "state")
    try:
        with make_client(url, access_token=token) as client:
            project = client.projects.create({"name": "p", "labels": LABELS})
            task = client.tasks.create_from_data({"name": "t", "project_id": project.id}, photos(tmp_path))
            label = next(label.id for label in project.get_labels() if label.name == "coral")
            body = models.PatchedLabeledDataRequest(shapes=[polygon(label)])
            task.update_annotations(body, action=Action.CREATE)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    process, url, again = start(tmp_path / "state")
    try:
        assert again == token
        with make_client(url, access_token=token) as client:
            [task] = client.tasks.list()
            assert len(task.get_annotations().shapes) == 1
            assert task.get_frame(2, quality="original").read() == (tmp_path / "Q02.jpg").read_bytes()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def test_frames_as_chunks_and_compressed(client, server):
    task = client.tasks.retrieve(server.add_task(server.add_project("p"), "t", ["a.jpg", "b.jpg"]).id)
    _, answer = client.api_client.tasks_api.retrieve_data(task.id, type="chunk", quality="original", number=0)
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert [archive.read(name) for name in archive.namelist()] == [picture(shade=0), picture(shade=1)]
    assert task.get_frame(0, quality="compressed").read()[:2] == b"\xff\xd8"
    assert task.get_meta().size == 2
