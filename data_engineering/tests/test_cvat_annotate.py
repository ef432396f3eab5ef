"""A function behind HTTP, over a task of the stand-in, with the real cvat-sdk."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from cvat_sdk import Client
from cvat_sdk.auto_annotation import annotate_task
from PIL import Image

from data_engineering import annotate as command
from data_engineering import cvat_annotate, cvat_draw, cvat_function
from data_engineering.cvat_errors import CvatError, OutageError
from data_engineering.function_url import AnswerError, FunctionError
from quadrat import cvat_labels, masks
from tests.cvat_stand_in import Server
from tests.cvat_stand_in.seed import picture
from tests.cvat_stand_in.state import Task

NAMES = ("TL", "TR", "BR", "BL")
SKELETON = cvat_labels.skeleton_label("quadrat", NAMES, [[10, 10], [90, 10], [90, 90], [10, 90]])
LABELS = [*cvat_labels.segmentation_labels(["Porites", "Acropora"]), SKELETON]
RING = [1.0, 1.0, 20.5, 1.0, 20.5, 30.25]
POLYGON = {
    "label": "Porites",
    "type": "polygon",
    "points": RING,
    "attributes": [{"name": "confidence", "value": "73"}],
    "group_id": 2,
}
MASK = {
    "label": "Acropora",
    "type": "mask",
    "points": RING,
    "mask": masks.mask_to_cvat(masks.instance_from_mask("Acropora", np.eye(5, dtype=bool), (3, 4))),  # type: ignore[arg-type]
    "attributes": [],
}
POINTS = {
    "label": "quadrat",
    "type": "skeleton",
    "attributes": [],
    "elements": [
        {"label": "TL", "type": "points", "points": [5.0, 6.0], "occluded": True},
        {"label": "TR", "type": "points", "points": [7.0, 6.0], "outside": True},
    ],
}


class Function:
    """A function that answers with `shapes`, or as `answer` says."""

    def __init__(self) -> None:
        self.shapes: list[dict[str, Any]] = [POLYGON]
        self.spec: Any = LABELS
        self.answer: Callable[[int, dict[str, Any]], tuple[int, bytes] | None] = lambda n, asked: None
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._lock = threading.Lock()

    def post(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        with self._lock:
            asked = json.loads(body)
            self.asked.append(asked)
            self.headers.append(headers)
            return self.answer(len(self.asked), asked) or (200, json.dumps(self.shapes).encode())

    def about(self) -> bytes:
        return json.dumps({"metadata": {"annotations": {"spec": json.dumps(self.spec)}}}).encode()


@pytest.fixture
def function() -> Function:
    return Function()


@pytest.fixture
def url(function: Function) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._reply(*function.post(self.rfile.read(int(self.headers["Content-Length"])), dict(self.headers)))

        def do_GET(self) -> None:
            known = self.path == "/api/functions/corals"
            self._reply(200 if known else 404, function.about() if known else b'{"error": {"message": "no function"}}')

        def _reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Quadrat-Verdict", "ok")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/functions/corals"
    server.shutdown()
    server.server_close()


@pytest.fixture
def task(server: Server) -> Task:
    project = server.add_project("Corals", LABELS)
    return server.add_task(project, "Moorea", {f"{k}.jpg": picture(shade=k) for k in range(3)})


def run(client: Client, task: Task, url: str, **more: Any) -> cvat_annotate.Annotated:
    return cvat_annotate.annotate(client, task.id, url, backoff_s=0.001, **more)


def human(server: Server, task: Task, frame: int, source: str = "manual") -> None:
    label = server.labels(task.project)["Porites"]  # type: ignore[arg-type]
    shape = {"type": "polygon", "label_id": label, "frame": frame, "points": RING, "attributes": [], "source": source}
    server.draw(task, [shape])


# ---------------------------------------------------------------------------------------------- what is drawn


def test_a_function_tells_what_stands_in_its_headers(task: Task, function: Function, url: str) -> None:
    remote = cvat_function.RemoteFunction(url, LABELS, backoff_s=0.001)
    found = remote.find(picture(), request_id="delivery-7")
    assert ([one.label for one in found.drawn], found.notes) == (["Porites"], ())
    assert found.headers["x-quadrat-verdict"] == found.headers["X-Quadrat-Verdict"] == "ok"
    assert function.headers[0]["X-Request-Id"] == "delivery-7"


def test_answers_are_drawn_with_all_they_say(
    server: Server, client: Client, task: Task, function: Function, url: str
) -> None:
    function.shapes = [POLYGON, {**MASK, "occluded": True}, POINTS]
    done = run(client, task, url, threshold=0.25)
    assert (done.photos, done.shapes, done.failed, done.notes) == (3, 9, (), ())
    drawn = [one for one in server.drawn(task) if one["frame"] == 1]
    by_kind = {one["type"]: one for one in drawn}
    assert {one["source"] for one in drawn} == {"auto"}
    assert sorted(by_kind) == ["polygon", "skeleton"]  # the mask's polygon, for its label takes polygons
    named = {number: name for name, number in server.labels(task.project).items()}  # type: ignore[arg-type]
    polygon, other = sorted((one for one in drawn if one["type"] == "polygon"), key=lambda one: -one["group"])
    assert (polygon["points"], polygon["score"], polygon["group"]) == (RING, 0.73, 2)
    assert [one["value"] for one in polygon["attributes"]] == ["73"]
    assert (named[other["label_id"]], other["occluded"], other["points"]) == ("Acropora", True, RING)
    points = {named[one["label_id"]]: one for one in by_kind["skeleton"]["elements"]}
    assert {name: one["outside"] for name, one in points.items()} == {
        "quadrat/TL": False, "quadrat/TR": True, "quadrat/BR": True, "quadrat/BL": True,
    }  # fmt: skip
    assert points["quadrat/TL"]["occluded"]


def test_the_function_gets_the_photo_as_it_was_uploaded_and_the_threshold(
    client: Client, task: Task, function: Function, url: str
) -> None:
    run(client, task, url, threshold=0.25)
    assert [base64.b64decode(asked["image"]) for asked in function.asked] == [picture(shade=k) for k in range(3)]
    assert {asked["threshold"] for asked in function.asked} == {0.25}
    run(client, task, url, replace_auto=True)
    assert "threshold" not in function.asked[-1]


def test_masks_stay_masks_on_request(server: Server, client: Client, task: Task, function: Function, url: str) -> None:
    function.shapes = [MASK]
    run(client, task, url, masks=True)
    assert {one["type"] for one in server.drawn(task)} == {"mask"}
    assert server.drawn(task)[0]["points"][-4:] == [3, 4, 7, 8]


def test_the_token_of_the_host_is_sent(
    client: Client, task: Task, function: Function, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUADRAT_TOKEN", "hunter2")
    run(client, task, url)
    assert {headers["Authorization"] for headers in function.headers} == {"Bearer hunter2"}


# ---------------------------------------------------------------------------------------------- nothing lost


def test_a_second_run_asks_nothing(client: Client, task: Task, function: Function, url: str) -> None:
    run(client, task, url)
    asked = len(function.asked)
    again = run(client, task, url)
    assert (again.photos, again.shapes, again.left_alone) == (0, 0, ("0.jpg", "1.jpg", "2.jpg"))
    assert len(function.asked) == asked


@pytest.mark.parametrize("source", ["manual", "semi-auto", "file"])
@pytest.mark.parametrize("replace", [False, True])
def test_a_humans_shapes_are_never_deleted(
    source: str, replace: bool, server: Server, client: Client, task: Task, url: str
) -> None:
    run(client, task, url)
    human(server, task, 0, source)
    human(server, task, 1, source)
    theirs = [one for one in server.drawn(task) if one["source"] == source]
    done = run(client, task, url, replace_auto=replace)
    assert [one for one in server.drawn(task) if one["source"] == source] == theirs
    assert done.removed == (3 if replace else 0)
    assert sum(one["source"] == "auto" for one in server.drawn(task)) == 3


def test_replace_auto_takes_out_what_is_found_no_more(
    server: Server, client: Client, task: Task, function: Function, url: str
) -> None:
    run(client, task, url)
    function.shapes = []
    assert run(client, task, url, replace_auto=True).removed == 3
    assert server.drawn(task) == []


def test_a_dry_run_asks_and_writes_nothing(
    server: Server, client: Client, task: Task, function: Function, url: str
) -> None:
    server.requests.clear()
    done = run(client, task, url, dry_run=True)
    assert (done.photos, done.shapes) == (3, 3)
    assert len(function.asked) == 3
    assert {asked.method for asked in server.requests.found()} == {"GET"}


# ---------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_function_is_asked_again(
    status: int, server: Server, client: Client, task: Task, function: Function, url: str
) -> None:
    function.answer = lambda number, asked: (status, b"{}") if number in (1, 2, 5) else None
    assert not run(client, task, url).failed
    assert len(function.asked) == 6
    assert len(server.drawn(task)) == 3


def test_a_bad_photo_is_named_and_the_others_are_drawn(
    server: Server, client: Client, task: Task, function: Function, url: str
) -> None:
    bad = base64.b64encode(picture(shade=1)).decode()
    said = b'{"error": {"code": "bad_image", "message": "field `image`: these bytes are no photo"}}'
    function.answer = lambda number, asked: (400, said) if asked["image"] == bad else None
    human(server, task, 1, "auto")
    done = run(client, task, url, replace_auto=True)
    assert done.failed == ("1.jpg: the function answered 400: field `image`: these bytes are no photo",)
    assert sorted(one["frame"] for one in server.drawn(task)) == [0, 1, 2]  # the old one of that photo stays


@pytest.mark.parametrize("answer", [b"{}", b"no JSON", b"[[1]]", b'[{"type": "polygon"}]'])
def test_answers_that_are_none(
    answer: bytes, server: Server, client: Client, task: Task, function: Function, url: str
) -> None:
    function.answer = lambda number, asked: (200, answer)
    done = run(client, task, url)
    assert done.failed or done.notes
    assert server.drawn(task) == []


def test_shapes_that_have_no_place_are_counted_and_named(
    server: Server, client: Client, task: Task, function: Function, url: str
) -> None:
    function.shapes = [
        POLYGON,
        {**POLYGON, "label": "Fungia"},
        {**POLYGON, "points": RING[:4]},
        {**POLYGON, "attributes": [{"name": "depth", "value": "3"}]},
        {**POLYGON, "attributes": [{"name": "confidence", "value": "high"}]},
    ]
    done = run(client, task, url)
    assert done.shapes == len(server.drawn(task)) == 9
    for said in ("'Fungia' is not among the labels", "has 2 points", "'depth' is not among", "cannot be 'high'"):
        (note,) = [note for note in done.notes if said in note]
        assert note.endswith("(0.jpg), 3 times")


def test_labels_that_the_task_lacks_are_named(
    server: Server, client: Client, task: Task, function: Function, url: str
) -> None:
    function.spec = [*LABELS, {"name": "Fungia", "type": "polygon", "attributes": []}]
    assert "the function may answer 'Fungia', a label that task 1 lacks (all photos)" in run(client, task, url).notes
    function.spec = function.spec[-1:]
    with pytest.raises(CvatError, match=r"has none of the function's labels \(Fungia\)"):
        run(client, task, url, replace_auto=True)


def test_a_function_that_is_not_there(client: Client, task: Task, url: str) -> None:
    with pytest.raises(FunctionError, match="no function behind"):
        run(client, task, url.replace("corals", "nothing"))
    with pytest.raises(FunctionError, match="cannot be reached, asked several times"):
        run(client, task, "http://127.0.0.1:9/")
    with pytest.raises(FunctionError, match="is no URL of a function"):
        run(client, task, "pth-yolo-coralseg")


def test_a_function_that_lets_nobody_in_stops_at_once(client: Client, task: Task, function: Function, url: str) -> None:
    function.answer = lambda number, asked: (401, b'{"error": {"message": "send the token"}}')
    with pytest.raises(FunctionError, match=r"401: send the token\); set QUADRAT_TOKEN"):
        run(client, task, url)
    assert len(function.asked) == 1


def test_a_server_lost_midway_keeps_what_was_drawn(
    server: Server, client: Client, task: Task, function: Function, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cvat_annotate, "_AT_A_TIME", 1)

    def stop_at_2(number: int, asked: dict[str, Any]) -> None:
        if number == 2:
            server.stop()

    function.answer = stop_at_2
    with pytest.raises(OutageError, match="cannot be reached"):
        run(client, task, url)
    server.start()
    assert [one["frame"] for one in server.drawn(task)] == [0]
    assert run(client, task, url).photos == 2
    assert sorted(one["frame"] for one in server.drawn(task)) == [0, 1, 2]


def test_what_the_server_refuses_of_one_photo_is_named(
    server: Server, client: Client, task: Task, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = cvat_draw._send

    def refuse(client: Client, task_id: int, frames: Any, labels: Any) -> None:
        if any(frame == 1 for frame, _ in frames):
            raise CvatError("the server refused it")
        send(client, task_id, frames, labels)

    monkeypatch.setattr(cvat_draw, "_send", refuse)
    done = run(client, task, url)
    assert (done.photos, done.failed) == (2, ("1.jpg: the server refused it",))
    assert sorted(one["frame"] for one in server.drawn(task)) == [0, 2]


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_thresholds_that_are_none(threshold: float, client: Client, task: Task, url: str) -> None:
    with pytest.raises(CvatError, match="expected 0..1"):
        run(client, task, url, threshold=threshold)


# ---------------------------------------------------------------------------------------------- with cvat-sdk's driver


def test_it_serves_as_a_function_of_cvat_sdk(
    server: Server, client: Client, task: Task, function: Function, url: str
) -> None:
    function.shapes = [POLYGON, MASK, POINTS]
    remote = cvat_function.at(url, cvat_draw.labels_of(client, task.id), backoff_s=0.001)
    assert [label.name for label in remote.spec.labels] == ["Porites", "Acropora", "quadrat"]
    annotate_task(client, task.id, remote, conf_threshold=0.5)
    drawn = server.drawn(task)
    assert len(drawn) == 9
    assert {one["source"] for one in drawn} == {"auto"}
    assert {len(one["elements"]) for one in drawn if one["type"] == "skeleton"} == {4}
    sent = Image.open(io.BytesIO(base64.b64decode(function.asked[0]["image"])))
    np.testing.assert_array_equal(np.asarray(sent), np.asarray(Image.open(io.BytesIO(picture(shade=0)))))


def test_a_port_of_its_own_says_no_labels_and_those_of_the_task_serve(
    client: Client, task: Task, function: Function, url: str
) -> None:
    alone = url.removesuffix("/functions/corals") + "/"
    remote = cvat_function.at(alone, cvat_draw.labels_of(client, task.id), backoff_s=0.001)
    assert not remote.says_labels
    assert [one.label for one in remote.draw(picture())[0]] == ["Porites"]
    function.answer = lambda number, asked: (500, b"<html>")
    with pytest.raises(AnswerError, match="answered 500"):
        remote.draw(picture())


# ---------------------------------------------------------------------------------------------- the command


def test_the_command(server: Server, task: Task, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_URL", server.url)
    monkeypatch.setenv("CVAT_TOKEN", server.token)
    arguments = command._parse([str(task.id), "--function", url, "--replace-auto", "--dry-run", "--threshold", "0.5"])
    assert command.main(**vars(arguments)).shapes == 3
    assert server.drawn(task) == []
    monkeypatch.delenv("CVAT_TOKEN")
    told = subprocess.run(
        [sys.executable, "-m", "data_engineering.annotate", "1", "--function", url], capture_output=True, text=True
    )
    assert told.returncode == 1
    assert told.stderr.startswith("annotate: no one to sign in: set CVAT_TOKEN")
