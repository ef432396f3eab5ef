"""A function's address, asked over HTTP on loopback; busy functions and tokens: test_predict_url."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from data_engineering import function_url
from data_engineering.function_url import AnswerError, FunctionError


@pytest.fixture
def function():
    """Answers every request with `answer`: status, headers, body; counts them by path."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            server.asked.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            status, headers, body = server.answer
            self.send_response(status)
            for name, text in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.answer = [], (200, {}, b"[]")
        server.url = f"http://127.0.0.1:{server.server_port}/functions/any"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_headers_come_with_the_answer(function):
    function.answer = (200, {"X-Quadrat-Verdict": "ok"}, b'{"a": 1}')
    reply = function_url.post(function.url, {"image": "x"}, request_id="task-7.frame-3")
    assert reply.body == {"a": 1}
    assert reply.headers["x-quadrat-VERDICT"] == "ok"
    assert "X-Quadrat-Verdict" in reply.headers
    ((path, headers, body),) = function.asked
    assert (path, headers["X-Request-Id"], json.loads(body)) == ("/functions/any", "task-7.frame-3", {"image": "x"})


def test_the_whole_answer_to_a_photo(function):
    function.answer = (200, {"X-Quadrat-Model": "m"}, b"[1]")
    reply = function_url.ask_whole(function.url, b"photo", 0.5)
    assert (reply.body, reply.headers["X-Quadrat-Model"]) == ([1], "m")
    assert "X-Request-Id" not in function.asked[0][1]
    assert json.loads(function.asked[0][2]) == {"image": "cGhvdG8=", "threshold": 0.5}


@pytest.mark.parametrize(
    ("status", "kind", "again"),
    [
        (400, AnswerError, False),
        (401, FunctionError, False),
        (403, FunctionError, False),
        (404, FunctionError, False),
        (408, AnswerError, True),
        (413, AnswerError, False),
        (429, AnswerError, True),
        (500, AnswerError, True),
        (503, AnswerError, True),
        (504, AnswerError, True),
    ],
)
def test_an_error_says_whether_asking_again_may_help(function, status, kind, again):
    function.answer = (status, {}, b'{"error": {"message": "why"}}')
    with pytest.raises(kind, match=f"{status}: why") as caught:
        function_url.post(function.url, {}, backoff_s=0.001)
    assert (caught.value.status, caught.value.again) == (status, again)


@pytest.mark.parametrize("body", [b"<html>", b"", b"[" * 100_000, b"\xff"])
def test_garbage_may_be_asked_for_again(function, body):
    function.answer = (200, {}, body)
    with pytest.raises(AnswerError, match="did not answer in JSON") as caught:
        function_url.post(function.url, {})
    assert (caught.value.status, caught.value.again) == (200, True)


def test_an_address_that_leads_elsewhere_is_refused_and_not_followed(function, monkeypatch):
    monkeypatch.setenv("QUADRAT_TOKEN", "secret")
    for status in (301, 302, 307, 308):
        function.answer = (status, {"Location": "/functions/other"}, b"")
        with pytest.raises(FunctionError, match="leads elsewhere") as caught:
            function_url.post(function.url, {"image": "x"})
        assert (caught.value.status, caught.value.again) == (status, False)
    assert {path for path, _, _ in function.asked} == {"/functions/any"}


def test_a_function_that_is_away_may_come_back():
    with pytest.raises(FunctionError, match="cannot be reached") as caught:
        function_url.post("http://127.0.0.1:9/functions/none", {}, backoff_s=0.001)
    assert (caught.value.status, caught.value.again) == (None, True)


def test_a_function_that_takes_too_long_may_be_quicker_later(function, monkeypatch):
    monkeypatch.setattr(function_url, "_ANSWER_S", 0.05)
    held = threading.Event()
    monkeypatch.setattr(function.RequestHandlerClass, "do_POST", lambda self: held.wait(5))
    with pytest.raises(FunctionError, match="did not answer within") as caught:
        function_url.post(function.url, {}, backoff_s=0.001)
    held.set()
    assert caught.value.again


def test_an_answer_that_is_too_long_is_cut_off(function, monkeypatch):
    monkeypatch.setattr(function_url, "_MOST_BYTES", 10)
    function.answer = (200, {}, b"[" + b"1," * 50 + b"1]")
    with pytest.raises(AnswerError, match="over 10 bytes") as caught:
        function_url.post(function.url, {})
    assert not caught.value.again
