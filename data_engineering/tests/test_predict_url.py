"""Predictions by a function's address, asked over HTTP on loopback."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data_engineering.tests.review_sample import dataset_of, stems

pytest.importorskip("fiftyone")

from data_engineering import function_url, patience, predict_url  # noqa: E402

SQUARE = {
    "label": "Porites",
    "type": "polygon",
    "points": [4, 4, 20, 4, 20, 20, 4, 20],
    "attributes": [{"name": "confidence", "value": "80"}],
}


class Function(ThreadingHTTPServer):
    """Answers every request with the next of `answers` (status, body), the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = [(200, json.dumps([SQUARE]).encode())]
        self.asked: list[dict[str, object]] = []
        self.headers: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/functions/coral"


class Handler(BaseHTTPRequestHandler):
    server: Function

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(json.loads(body))
        self.server.headers.append(dict(self.headers))
        status, answer = self.server.answers[0]
        if len(self.server.answers) > 1:
            self.server.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Function]:
    function = Function()
    thread = threading.Thread(target=function.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield function
    finally:
        function.shutdown()
        function.server_close()
        thread.join()


@pytest.fixture
def function():
    with serving() as function:
        yield function


@pytest.fixture
def samples(request, tmp_path):
    with dataset_of(f"test-{request.node.name}", tmp_path) as dataset:
        yield dataset


def error(message: str) -> bytes:
    return json.dumps({"error": {"code": "bad", "message": message}}).encode()


def test_every_photo_is_asked_about_and_its_answer_attached(function, samples):
    done = predict_url.main(function.url, samples.name, field="net", threshold=0.25)
    assert (done.photos, done.shapes, done.failed) == (6, 6, [])
    photos = {Path(path).read_bytes() for path in samples.values("filepath")}
    assert {base64.b64decode(asked["image"]) for asked in function.asked} == photos
    assert {asked["threshold"] for asked in function.asked} == {0.25}
    assert {header["Content-Type"] for header in function.headers} == {"application/json"}
    samples.reload()
    [found] = samples.first()["net"].detections
    assert (found.label, found.confidence) == ("Porites", 0.8)
    assert found.bounding_box == pytest.approx([4 / 64, 4 / 48, 16 / 64, 16 / 48])
    assert found.mask.all()


def test_photos_that_have_some_are_left_out_unless_told_otherwise(function, samples):
    done = predict_url.main(function.url, samples.name, field="yolo")
    assert (done.photos, done.had_some) == (2, 4)
    samples.reload()
    assert samples.first()["yolo"].detections[0].confidence == 0.9
    done = predict_url.main(function.url, samples.name, field="yolo", overwrite=True)
    assert (done.photos, done.had_some) == (6, 0)
    samples.reload()
    assert samples.first()["yolo"].detections[0].confidence == 0.8


def test_an_overwritten_field_loses_its_evaluations(function, samples):
    from data_engineering import evaluation

    evaluation.evaluate(samples.name, "yolo", "check", samples.values("id")[:2])
    predict_url.main(function.url, samples.name, field="yolo", overwrite=True)
    samples.reload()
    assert samples.list_evaluations() == []


def test_only_some_photos(function, samples):
    predict_url.main(function.url, samples.name, field="net", tags=["review"])
    samples.reload()
    assert stems(samples.exists("net")) == "d"
    predict_url.main(function.url, samples.name, field="net", samples=samples.limit(2))
    samples.reload()
    assert stems(samples.exists("net")) == "abd"


def test_a_view_that_hides_shapes_does_not_make_them_be_asked_for_again(function, samples):
    view = samples.exclude_fields("yolo")
    assert predict_url.main(function.url, samples.name, field="yolo", samples=view).had_some == 4


def test_points_go_to_their_own_field(function, samples):
    points = [{"label": "TL", "type": "points", "points": [3, 4]}, {"label": "TR", "type": "points", "points": [9, 4]}]
    function.answers = [(200, json.dumps([{"label": "corners", "type": "skeleton", "elements": points}]).encode())]
    predict_url.main(function.url, samples.name, field="net")
    samples.reload()
    assert samples.first()["net_keypoints"].keypoints[0].names == ["TL", "TR"]
    assert predict_url.main(function.url, samples.name, field="net").had_some == 6


def test_nothing_found_is_an_answer_too(function, samples):
    function.answers = [(200, b"[]")]
    assert predict_url.main(function.url, samples.name, field="net").photos == 6
    assert predict_url.main(function.url, samples.name, field="net").photos == 0


def test_a_busy_function_is_asked_again(function):
    busy = (503, error("busy"))
    function.answers = [busy, (429, b"slow down"), (200, b"[]")]
    assert function_url.ask(function.url, b"photo", backoff_s=0.001) == []
    assert len(function.asked) == 3
    function.answers = [busy]
    with pytest.raises(function_url.AnswerError, match="answered 503: busy"):
        function_url.ask(function.url, b"photo", backoff_s=0.001)
    assert len(function.asked) == 3 + 1 + patience.TRIES


def test_a_refusal_is_said_and_not_repeated(function, samples):
    function.answers = [(400, error("image: expected a photo"))]
    with pytest.raises(function_url.AnswerError, match="answered 400: image: expected a photo"):
        predict_url.main(function.url, samples.name, field="net", workers=1)
    assert len(function.asked) <= 8  # those that were on their way
    samples.reload()
    assert not samples.has_field("net") or not samples.exists("net").count()


def test_one_photo_that_fails_does_not_stop_the_rest(function, samples):
    good = function.answers[0]
    function.answers = [good, (400, error("too dark")), good]
    done = predict_url.main(function.url, samples.name, field="net", workers=1)
    assert done.photos == 5
    assert len(done.failed) == 1
    assert "b.jpg" in done.failed[0]
    assert "too dark" in done.failed[0]
    assert predict_url.main(function.url, samples.name, field="net").photos == 1


@pytest.mark.parametrize("body", [b"no JSON", b'{"shapes": []}', b'"text"'])
def test_an_address_that_is_no_detector_is_said(function, body):
    function.answers = [(200, body)]
    with pytest.raises(function_url.AnswerError, match="expected a list of shapes|did not answer in JSON"):
        function_url.ask(function.url, b"photo")


def test_shapes_that_are_none_are_said(function, samples):
    function.answers = [(200, b'[{"label": "Porites", "type": "circle"}]')]
    with pytest.raises(function_url.AnswerError, match="circle"):
        predict_url.main(function.url, samples.name, field="net")


def test_a_function_that_is_not_there_is_said():
    with pytest.raises(function_url.FunctionError, match="cannot be reached"):
        function_url.ask("http://127.0.0.1:9/functions/none", b"photo", backoff_s=0.001)
    with pytest.raises(function_url.FunctionError, match="is no URL of a function"):
        predict_url.main("coral", "any", field="net")


def test_the_token_comes_from_the_environment(function, monkeypatch):
    function_url.ask(function.url, b"photo")
    monkeypatch.setenv("QUADRAT_TOKEN", "secret")
    function_url.ask(function.url, b"photo")
    assert [header.get("Authorization") for header in function.headers] == [None, "Bearer secret"]


@pytest.mark.parametrize("field", ["ground_truth", "ground_truth_masks", "a b", "corners_verdict"])
def test_a_field_that_is_not_for_predictions_is_refused(function, samples, field):
    from data_engineering.labels import DatasetError

    with pytest.raises(DatasetError, match="give another name"):
        predict_url.main(function.url, samples.name, field=field)
    assert not function.asked


def test_progress_is_told(function, samples):
    told = []
    predict_url.main(function.url, samples.name, field="net", progress=lambda count, total: told.append((count, total)))
    assert told == [(k, 6) for k in range(1, 7)]
