"""A good function passes, and whatever is wrong with an answer is found."""

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from deploy import nuctl, smoke
from deploy.host import Host, functions
from quadrat import images

HERE = Path(__file__).parent
FAKES = (HERE / "functions" / "fake", HERE / "painters" / "fake")
RED = functions.read(FAKES[0] / "nuclio" / "function.yaml")
PAINTER = functions.read(FAKES[1] / "nuclio" / "function.yaml")
GOOD = {"X-Quadrat-Model": "red", "X-Quadrat-Shapes": "0"}
REFUSED = (400, {"error": {"code": "bad_field", "message": "field `image` is missing"}}, {})
WORD = {"name": "confidence", "value": "90"}
SQUARE = {"label": "red", "type": "polygon", "points": [1, 1, 9, 1, 9, 9], "attributes": [WORD]}


@contextmanager
def answering(answer, refusal=REFUSED):
    """A server that answers a photo so, and anything else as `refusal`; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body, headers = answer if "image" in asked else refusal
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A small photo, and no patience with servers that fail on purpose."""
    monkeypatch.setattr(smoke, "SIZE_PX", 320)
    monkeypatch.setattr(smoke, "_BACKOFF_S", 0.0)
    smoke.scene.cache_clear()
    yield
    smoke.scene.cache_clear()


@pytest.fixture
def host(painter_environment):
    with Host(list(FAKES), port=0) as running:
        assert not running.failures
        yield running


def test_functions_of_a_host_pass(host, capsys):
    address = host.urls["fake-red"].rsplit("/functions/", 1)[0]
    results = smoke.main([], address, FAKES)
    assert [(each.name, each.fault) for each in results] == [("fake-red", ""), ("fake-painter", "")]
    assert results[0].model == "red"
    assert "painted" in results[1].found
    rows = smoke.table(results).splitlines()
    assert rows[0].split() == ["function", "answer", "model", "seconds"]
    assert len(rows) == 3


def test_a_function_is_found_by_url_or_where_it_is_said_to_be(host):
    url = host.urls["fake-red"]
    assert smoke.find([url], sources=FAKES) == {"fake-red": url}
    assert smoke.find(["fake-red=http://a:1"], sources=FAKES) == {"fake-red": "http://a:1"}
    with pytest.raises(smoke.SmokeError, match="no function is named nobody: there are fake-red, fake-painter"):
        smoke.find(["http://a:1/nobody"], sources=FAKES)


def test_nuclio_is_asked_for_the_port(monkeypatch):
    monkeypatch.setattr(nuctl, "require", lambda *_: None)
    monkeypatch.setattr(nuctl, "state", lambda name: nuctl.State("ready", 31000))
    assert smoke.find(["fake-red"], sources=FAKES) == {"fake-red": "http://127.0.0.1:31000"}
    monkeypatch.setattr(nuctl, "state", lambda name: nuctl.State("error"))
    with pytest.raises(smoke.SmokeError, match=r"Nuclio runs no fake-red here \(error\)"):
        smoke.find(["fake-red"], sources=FAKES)


def test_an_answer_without_shapes_passes():
    with answering((200, [], GOOD)) as url:
        assert smoke.ask(RED, url).found == "0 shapes"
    with answering((200, [SQUARE], {**GOOD, "X-Quadrat-Shapes": "1", "X-Quadrat-Verdict": "review"})) as url:
        assert smoke.ask(RED, url).found == "1 shape, review"


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ((500, {"error": {"code": "model_fault", "message": "it broke"}}, GOOD), "answered 500: it broke"),
        ((200, {"shapes": []}, GOOD), "expected a list of shapes"),
        ((200, b"[NaN]", GOOD), "NaN, which is no number"),
        ((200, b"hello", GOOD), "did not answer in JSON"),
        ((200, [], {"X-Quadrat-Shapes": "0"}), "X-Quadrat-Model is missing"),
        ((200, [SQUARE], GOOD), "it says 0 shapes and sends 1"),
        ((200, [{**SQUARE, "label": "green"}], GOOD), "'green' is not offered"),
        ((200, [{**SQUARE, "points": [1, 1, 9, 1, 9, 9999]}], GOOD), "must lie in the photo"),
        ((200, [{**SQUARE, "attributes": [{"name": "confidence", "value": "0.9"}]}], GOOD), "is not defined"),
        ((200, [], {**GOOD, "X-Quadrat-Verdict": "fine"}), "its verdict is 'fine'"),
    ],
)
def test_a_wrong_answer_is_found(answer, word):
    with answering(answer) as url:
        result = smoke.ask(RED, url)
    assert word in result.fault
    assert "FAULT" in smoke.table([result])


@pytest.mark.parametrize(
    ("refusal", "word"),
    [
        ((200, [], {}), "is answered 200: expected 400"),
        ((400, b"Traceback", {}), "did not answer in JSON"),
        ((400, ["no"], {}), "without a reason in JSON"),
        ((400, {"error": {"code": "x", "message": "bad request"}}, {}), "does not name `image`"),
    ],
)
def test_a_request_without_a_photo_must_be_refused_with_a_reason(refusal, word):
    with answering((200, [], GOOD), refusal) as url:
        assert word in smoke.ask(RED, url).fault


def painted(change=None, mask_of=None, **more):
    """A remover's answer: the photo as it was, but for what is changed."""
    photo_rgb = smoke.scene()[0].copy()
    mask = np.zeros(photo_rgb.shape[:2], np.uint8)
    mask[:, 10:14] = 255
    photo_rgb[:, 10:14] = 0
    if change:
        photo_rgb[change] = 255 - photo_rgb[change]
    share = float((mask > 0).mean())
    pictures = {"image": photo_rgb, "mask": mask if mask_of is None else mask * mask_of}
    body = {name: base64.b64encode(images.encode_png(value)).decode() for name, value in pictures.items()}
    return (200, {**body, "painted_fraction": share, "warnings": [], **more}, GOOD)


def test_a_remover_that_keeps_the_rest_passes():
    with answering(painted()) as url:
        result = smoke.ask(PAINTER, url)
    assert (result.fault, result.found) == ("", "1.2% painted")


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda: painted(change=(5, 50)), "changed 1 px outside its mask"),
        (lambda: painted(painted_fraction=0.5), "it says that 50.0000% were painted"),
        (lambda: painted(mask_of=0), "outside its mask"),
        (lambda: painted(image="§"), "no photo with its mask"),
        (lambda: (200, {}, GOOD), "no photo with its mask"),
        (lambda: (200, [], GOOD), "no photo with its mask"),
        (lambda: painted(image=base64.b64encode(images.encode_png(np.zeros((9, 9, 3), np.uint8))).decode()), "9, 9"),
    ],
)
def test_a_wrong_remover_is_found(answer, word):
    with answering(answer()) as url:
        assert word in smoke.ask(PAINTER, url).fault


def test_nobody_there_is_said():
    result = smoke.ask(RED, "http://127.0.0.1:9")
    assert "cannot be reached" in result.fault


def test_the_rendered_photo_is_a_quadrat_with_its_grid():
    photo_rgb, grid = smoke.scene()
    assert len(grid.names) == 117
    assert photo_rgb.dtype == np.uint8
    assert max(photo_rgb.shape) == 320
