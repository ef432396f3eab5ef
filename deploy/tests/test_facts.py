"""What a predictor says of how it worked reaches headers and log, and nothing that cannot be a header does."""

from __future__ import annotations

import io
import json

import nuclio_sdk
import nuclio_sdk.logger
import pytest

from deploy import serving
from deploy.serving import facts, labels, schema
from quadrat import masks
from quadrat.predictor import Card, Explained

from .conftest import photo, request

CARD = Card("explaining", "instances", ("Porites", "Acropora"))
UNSURE = labels.Attribute(name="unsure", input_type="checkbox", values=("false",))
SIZE_WH = (64, 48)


class Explaining:
    """Finds the red square, surely, and the blue one, unsurely."""

    card = CARD
    told = {"refiner": "watershed", "scale": "0.259"}  # noqa: RUF012

    def predict(self, image_rgb, *, threshold=None):
        least = 0.05 if threshold is None else threshold
        image_rgb = photo() if image_rgb.shape[0] != SIZE_WH[1] else image_rgb  # the warm-up
        red = masks.instance_from_mask("Porites", image_rgb[..., 0] > 200, score=0.8)
        blue = masks.instance_from_mask("Acropora", image_rgb[..., 2] > 200, score=0.1, attributes={"unsure": "true"})
        return [shape for shape in (red, blue) if shape.score >= least]

    def predict_explained(self, image_rgb, *, threshold=None):
        return Explained(self.predict(image_rgb, threshold=threshold), self.told)


class Worker:
    def __init__(self, folder, predictor, more=(UNSURE,)):
        spec = labels.spec_for(CARD, more=more)
        (folder / "function.yaml").write_text(json.dumps({"metadata": {"annotations": {"spec": spec}}}))
        self.log = io.StringIO()
        logger = nuclio_sdk.Logger("DEBUG", f"test-{id(self)}")
        logger.set_handler("default", self.log, nuclio_sdk.logger.JSONFormatter())
        self.context = nuclio_sdk.Context(logger)
        serving.setup(self.context, lambda _settings: predictor, folder)
        self.offered = labels.read_labels(folder / "function.yaml")

    def ask(self, **more):
        return serving.handle(self.context, nuclio_sdk.Event(body=request(**more), method="POST"))


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("FUNCTION_YAML", "CONVERT_TO_POLYLINE"):
        monkeypatch.delenv(name, raising=False)


def test_facts_are_headers_and_stand_in_the_log(tmp_path):
    worker = Worker(tmp_path, Explaining())
    response = worker.ask()
    assert response.status_code == 200
    headers = response.headers
    assert (headers["X-Quadrat-Refiner"], headers["X-Quadrat-Scale"]) == ("watershed", "0.259")
    assert headers["X-Quadrat-Shapes"] == "2"
    told = json.loads(worker.log.getvalue().splitlines()[-1])["with"]
    assert (told["refiner"], told["scale"], told["shapes"]) == ("watershed", "0.259", 2)


def test_a_threshold_is_obeyed(tmp_path):
    assert [shape["label"] for shape in json.loads(Worker(tmp_path, Explaining()).ask(threshold=0.5).body)] == [
        "Porites"
    ]


@pytest.mark.parametrize("offered", [True, False])
def test_an_unsure_colony_says_so_where_its_label_has_a_place_for_it(tmp_path, offered):
    worker = Worker(tmp_path, Explaining(), (UNSURE,) if offered else ())
    sure, unsure = json.loads(worker.ask().body)
    schema.check_answer([sure, unsure], schema.Rules(SIZE_WH, worker.offered))
    assert sure["attributes"] == [{"name": "confidence", "value": "80"}]
    assert [a["value"] for a in unsure["attributes"] if a["name"] == "unsure"] == (["true"] if offered else [])


def test_a_fact_that_cannot_be_a_header_stops_the_function_at_its_start(tmp_path):
    predictor = Explaining()
    predictor.told = {"Scale: 1\r\nX-Evil": "1"}
    with pytest.raises(ValueError, match="expected a name of lower-case words joined by -"):
        Worker(tmp_path, predictor)


@pytest.mark.parametrize("name", ["", "Scale", "work_px", "a b", "-a", "a-", "a--b", "é", "a:b", "a\n", "x" * 41])
def test_a_name_that_no_header_can_have_is_refused(name):
    with pytest.raises(ValueError, match="expected a name of lower-case words"):
        facts.headers({name: "1"})


@pytest.mark.parametrize("name", ["model", "shapes", "verdict", "status", "predict-seconds", "predict-ms"])
def test_a_name_that_is_taken_is_refused(name):
    with pytest.raises(ValueError, match="something else by that name"):
        facts.headers({name: "1"})


def test_texts_are_cut_and_made_ascii(tmp_path):
    predictor = Explaining()
    predictor.told = {"work-px": "é\r\nX-Evil: 1", "long": "x" * 9999, "empty": ""}
    headers = Worker(tmp_path, predictor).ask().headers
    assert headers["X-Quadrat-Work-Px"] == "???X-Evil: 1"
    assert len(headers["X-Quadrat-Long"]) == 300
    assert "X-Quadrat-Empty" not in headers
