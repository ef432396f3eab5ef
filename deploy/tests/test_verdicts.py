"""What a predictor says of its own result reaches the caller, the log and the counters."""

from __future__ import annotations

import io
import json

import nuclio_sdk
import nuclio_sdk.logger
import numpy as np
import pytest

from deploy import serving, spec
from deploy.host.metrics import HostMetrics
from deploy.serving import labels, schema, verdicts
from quadrat import template
from quadrat.predictor import Card
from quadrat.shapes import Keypoints
from quadrat.verdict import FAILED, OK, REVIEW, Judged, Verdict, judged

from .conftest import request

LAYOUT = template.load("corners")
SIZE_WH = (64, 48)
GOOD = Verdict(OK, 0.91)
DOUBTFUL = Verdict(REVIEW, 0.41, ("corner 3 not seen, place guessed", "turned by 44 degrees — caf\u00e9\r\nX-Evil: 1"))
NONE = Verdict(FAILED, 0.0, ("no quadrat frame found",))


class Judge:
    """Finds the same corners in every photo and says what it is told to say."""

    layouts = (LAYOUT,)
    card = Card("judge", "keypoints", ("quadrat_corner",), layouts=("corners",))
    says = GOOD

    def predict(self, image_rgb, *, threshold=None):
        return self.predict_judged(image_rgb, threshold=threshold).shapes

    def predict_judged(self, image_rgb, *, threshold=None):
        seen = np.array([2, 2, 1, 0], np.uint8)
        points = Keypoints("quadrat_corner", LAYOUT.names, [[5, 5], [50, 6], [51, 40], [-9, 44]], seen)
        if threshold is not None and self.says.score < threshold:
            return Judged((), self.says)
        return judged(points, LAYOUT, self.says)


class Worker:
    def __init__(self, folder, monkeypatch, says):
        monkeypatch.delenv("FUNCTION_YAML", raising=False)
        annotations = "metadata:\n  annotations:\n" + spec.spec_text(LAYOUT)
        (folder / "function.yaml").write_text(annotations)
        self.log = io.StringIO()
        logger = nuclio_sdk.Logger("DEBUG", f"test-{id(self)}")
        logger.set_handler("default", self.log, nuclio_sdk.logger.JSONFormatter())
        self.context = nuclio_sdk.Context(logger)
        self.judge = Judge()
        self.judge.says = says
        serving.setup(self.context, lambda _settings: self.judge, folder)
        self.offered = labels.read_labels(folder / "function.yaml")

    def ask(self, body):
        return serving.handle(self.context, nuclio_sdk.Event(body=body, method="POST"))

    def metrics(self):
        return serving.handle(self.context, nuclio_sdk.Event(method="GET", path="/metrics")).body


@pytest.fixture
def worker_that_says(tmp_path, monkeypatch):
    return lambda says: Worker(tmp_path, monkeypatch, says)


def test_a_good_answer_says_so(worker_that_says):
    worker = worker_that_says(GOOD)
    response = worker.ask(request())
    (shape,) = json.loads(response.body)
    schema.check_answer([shape], schema.Rules(SIZE_WH, worker.offered))
    assert shape["attributes"] == [{"name": "confidence", "value": "91"}]
    assert [(e["label"], e["outside"]) for e in shape["elements"]] == [
        ("1", False),
        ("2", False),
        ("3", False),
        ("4", True),
    ]
    headers = response.headers
    assert (headers[verdicts.VERDICT], headers[verdicts.SCORE], headers[verdicts.LAYOUT]) == (OK, "0.910", "corners")
    assert verdicts.REASONS not in headers
    assert json.loads(worker.log.getvalue().splitlines()[-1])["with"]["verdict"] == OK


def test_reasons_are_ascii_on_one_line(worker_that_says):
    headers = worker_that_says(DOUBTFUL).ask(request()).headers
    assert headers[verdicts.VERDICT] == REVIEW
    wanted = "corner 3 not seen, place guessed; turned by 44 degrees ? caf???X-Evil: 1"
    assert headers[verdicts.REASONS] == wanted


def test_a_photo_without_a_quadrat_is_an_empty_answer_that_says_why(worker_that_says):
    response = worker_that_says(NONE).ask(request())
    assert (response.status_code, response.body) == (200, "[]")
    assert response.headers[verdicts.VERDICT] == FAILED
    assert response.headers[verdicts.REASONS] == "no quadrat frame found"
    assert verdicts.LAYOUT not in response.headers


def test_what_the_threshold_keeps_back_is_said(worker_that_says):
    response = worker_that_says(DOUBTFUL).ask(request(threshold=0.5))
    assert response.body == "[]"
    assert response.headers[verdicts.VERDICT] == REVIEW
    assert response.headers[verdicts.REASONS].endswith("; its score 0.41 is below the threshold 0.50")


@pytest.mark.parametrize(("long", "end"), [(90, "; and 20 more"), (2000, "; and 29 more")])
def test_reasons_fit_into_a_header(long, end):
    reasons = tuple(f"{k:02d}{'x' * long}" for k in range(30))
    text = verdicts.headers(Judged((), Verdict(FAILED, 0.0, reasons)), None)[verdicts.REASONS]
    assert text.startswith(reasons[0][:500])
    assert text.endswith(end)
    assert len(text) < 1100


def test_answers_are_counted_by_verdict_and_faults_are_not(worker_that_says):
    worker = worker_that_says(GOOD)
    worker.ask(request())
    worker.judge.says = NONE
    worker.ask(request())
    worker.ask(b"text")
    worker.judge.says = None  # a fault of the model
    assert verdicts.VERDICT not in worker.ask(request()).headers
    lines = [line for line in worker.metrics().splitlines() if line.startswith("quadrat_function_verdicts_total")]
    assert lines == [
        'quadrat_function_verdicts_total{verdict="ok"} 1.0',
        'quadrat_function_verdicts_total{verdict="failed"} 1.0',
    ]


def test_the_host_counts_verdicts_that_there_are():
    metrics = HostMetrics()
    for told in ({verdicts.VERDICT: OK}, {verdicts.VERDICT: "made up"}, {}):
        metrics.told("f", told)
    lines = [line for line in metrics.text().decode().splitlines() if line.startswith("quadrat_verdicts_total")]
    assert lines == ['quadrat_verdicts_total{function="f",verdict="ok"} 1.0']


def test_labels_of_another_layout_refuse_to_start(tmp_path, monkeypatch):
    monkeypatch.setattr(Judge, "layouts", (template.even_lattice("five", 5, 1, label="quadrat_corner"),))
    with pytest.raises(labels.LabelsError, match="skeleton of 4 points, layout 'five' has 5"):
        Worker(tmp_path, monkeypatch, GOOD)
