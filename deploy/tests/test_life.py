"""A function through its real handler, under nuclio-sdk's Context and Event."""

import importlib.util
import io
import json
import sys
from pathlib import Path

import nuclio_sdk
import nuclio_sdk.logger
import pytest

from deploy.serving import labels, schema
from deploy.serving import request as requests

from .conftest import broken_requests, request

FAKE = Path(__file__).parent / "functions" / "fake" / "nuclio"
OFFERED = labels.read_labels(FAKE / "function.yaml")


class Worker:
    """What Nuclio's wrapper does with a function, in this process."""

    def __init__(self):
        self.log = io.StringIO()
        logger = nuclio_sdk.Logger("DEBUG", f"test-{id(self)}")
        logger.set_handler("default", self.log, nuclio_sdk.logger.JSONFormatter())
        self.context = nuclio_sdk.Context(logger)
        spec = importlib.util.spec_from_file_location("fake_main", FAKE / "main.py")
        self.main = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.main)
        self.main.init_context(self.context)

    def ask(self, body, **event):
        return self.main.handler(self.context, nuclio_sdk.Event(body=body, method="POST", **event))

    @property
    def lines(self):
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@pytest.fixture
def environment(monkeypatch):
    for name in ("MODEL_PATH", "CONF_THRESHOLD", "CONVERT_TO_POLYLINE", "FUNCTION_YAML"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.syspath_prepend(FAKE)
    yield monkeypatch
    sys.modules.pop("predictor", None)


@pytest.fixture
def worker(environment):
    return Worker()


def error_of(response):
    assert response.content_type == "application/json"
    return json.loads(response.body)["error"]


@pytest.mark.parametrize(
    "wrap", [dict, json.dumps, lambda r: json.dumps(r).encode(), lambda r: bytearray(json.dumps(r).encode())]
)
def test_a_photo_is_answered_as_cvat_wants_it_however_the_body_comes(worker, wrap):
    response = worker.ask(wrap(request()))
    assert (response.status_code, response.content_type) == (200, "application/json")
    shapes = json.loads(response.body)
    schema.check_answer(shapes, schema.Rules((64, 48), OFFERED))
    assert [(s["label"], s["type"], s["attributes"]) for s in shapes] == [
        ("red", "polygon", [{"name": "confidence", "value": "90"}]),
        ("blue", "polygon", [{"name": "confidence", "value": "40"}]),
    ]
    assert sorted(zip(shapes[0]["points"][::2], shapes[0]["points"][1::2], strict=True)) == [
        (6, 4),
        (6, 14),
        (18, 4),
        (18, 14),
    ]


def test_the_sdk_sends_the_answer_as_it_is(worker):
    sent = nuclio_sdk.Response.from_entrypoint_output(json.dumps, worker.ask(request()))
    assert (sent["body_encoding"], sent["status_code"]) == ("text", 200)
    assert isinstance(json.loads(sent["body"]), list)


@pytest.mark.parametrize(("threshold", "found"), [(0.0, 2), (0.4, 2), (0.41, 1), (0.95, 0), (1, 0), (None, 2)])
def test_the_threshold_is_obeyed(worker, threshold, found):
    assert len(json.loads(worker.ask(request(threshold=threshold)).body)) == found


def test_the_environment_sets_the_threshold_and_masks(environment):
    environment.setenv("CONF_THRESHOLD", "0.5")
    environment.setenv("CONVERT_TO_POLYLINE", "false")
    shapes = json.loads(Worker().ask(request()).body)
    assert [(s["label"], s["type"]) for s in shapes] == [("red", "mask")]
    assert shapes[0]["mask"] == [1] * 120 + [6, 4, 17, 13]


def test_unknown_keys_are_let_pass(worker):
    assert worker.ask(request(future={"roi": [1, 2]})).status_code == 200


def test_broken_requests_get_a_json_error_and_the_function_goes_on(worker, broken):
    body, status, word = broken
    response = worker.ask(body)
    assert response.status_code == status
    assert word in error_of(response)["message"]
    assert len(response.body) < 400
    assert worker.ask(request()).status_code == 200


@pytest.mark.parametrize("body", [b" " * (requests.MAX_BODY_BYTES + 1), {"image": "A" * (requests.MAX_BODY_BYTES + 8)}])
def test_too_large_is_413(worker, body):
    response = worker.ask(body)
    assert response.status_code == 413
    assert error_of(response)["code"] == "too_large"


@pytest.mark.parametrize("width", [101, 104])  # raises; calls sys.exit
def test_a_model_fault_is_500_with_the_traceback_in_the_log_alone(worker, width):
    response = worker.ask(request(width), _id="photo-7")
    assert response.status_code == 500
    assert error_of(response)["code"] == "model_fault"
    assert "photo-7" in error_of(response)["message"]
    assert "Traceback" not in response.body
    assert "secret" not in response.body
    assert any("Traceback" in line["with"].get("traceback", "") for line in worker.lines)
    assert worker.ask(request()).status_code == 200


def test_headers_and_log_say_what_cvat_has_no_place_for(worker):
    response = worker.ask(request(), headers={"x-request-id": "abc\r\nSet-Cookie: x"})
    assert response.headers["X-Quadrat-Model"] == "red"
    assert response.headers["X-Quadrat-Shapes"] == "2"
    assert response.headers["X-Quadrat-Note"] == "For tests only."
    assert float(response.headers["X-Quadrat-Seconds"]) >= 0  # in ms, and a tiny photo takes less than one
    assert response.headers["X-Quadrat-Request"] == "abc??Set-Cookie: x"
    line = worker.lines[-1]
    assert (line["message"], line["with"]["shapes"], line["with"]["status"]) == ("answered", 2, 200)
    assert {"decode_ms", "predict_ms", "encode_ms"} <= set(line["with"])


def test_answers_are_counted_and_timed_for_prometheus(worker):
    worker.ask(request())
    worker.ask(b"text")
    event = nuclio_sdk.Event(method="GET", path="/metrics")
    text = worker.main.handler(worker.context, event).body
    assert 'quadrat_function_answers_total{status="200"} 1.0' in text
    assert 'quadrat_function_answers_total{status="400"} 1.0' in text
    assert 'quadrat_function_stage_seconds_count{stage="predict"} 1.0' in text


def test_events_of_nuclios_wrapper_hold_bytes(worker):
    event = nuclio_sdk.Event(body=request(), method=b"POST", path=b"/", headers={b"X-Request-Id": b"raw"})
    assert worker.main.handler(worker.context, event).headers["X-Quadrat-Request"] == "raw"


def test_labels_other_than_the_weights_refuse_to_start(environment, tmp_path):
    other = tmp_path / "function.yaml"
    other.write_text((FAKE / "function.yaml").read_text().replace('"blue"', '"green"'))
    environment.setenv("FUNCTION_YAML", str(other))
    with pytest.raises(labels.LabelsError, match=r"\['blue'\].*\['green'\]"):
        Worker()


def test_the_list_of_broken_requests_is_whole():
    assert len(broken_requests()) >= 25
