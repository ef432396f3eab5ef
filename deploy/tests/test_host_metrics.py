"""The counters, and the dashboard that draws them."""

import json
import re
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.host import Host, Limits
from deploy.host.metrics import HostMetrics

from .conftest import request

FUNCTIONS = Path(__file__).parent / "functions"
DASHBOARD = Path(__file__).parents[1] / "host" / "dashboard" / "grafana.json"
DOCS = Path(__file__).parents[2] / "docs" / "serving.md"
NAME = "fake-red"


@pytest.fixture(scope="module")
def samples():
    """Name, labels and value of all that the host says after a good request, a broken one, a stranger and a crash."""
    with Host([FUNCTIONS], port=0, limits=Limits(workers=2)) as host:
        httpx.post(host.urls[NAME], json=request())
        httpx.post(host.urls[NAME], content=b"text")
        httpx.post(host.urls[NAME], json=request(102))
        httpx.get(f"{host.url}/nothing")
        text = httpx.get(f"{host.url}/metrics").text
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


@pytest.fixture
def value(samples):
    def find(name, **labels):
        found = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
        assert found, f"{name} {labels} is not there"
        return sum(found)

    return find


def test_requests_are_counted_by_function_and_status(value):
    for status in ("200", "400", "500"):
        assert value("quadrat_requests_total", function=NAME, status=status) == 1
    assert value("quadrat_requests_total", function="host", status="404") == 1
    assert value("quadrat_request_seconds_count", function=NAME) == 3
    assert value("quadrat_request_bytes_total", function=NAME) > 300
    assert value("quadrat_response_bytes_total", function=NAME) > 100


def test_what_the_function_says_of_its_answers_is_counted(value):
    assert value("quadrat_shapes_total", function=NAME) == 1
    assert value("quadrat_stage_seconds_count", function=NAME, stage="predict") == 1
    assert value("quadrat_stage_seconds_count", function=NAME, stage="decode") == 2


def test_workers_and_queue_are_seen(value):
    assert value("quadrat_worker_restarts_total", function=NAME, reason="crashed") == 1
    assert value("quadrat_workers", function=NAME) == 2
    assert 1 <= value("quadrat_workers_alive", function=NAME) <= 2
    assert value("quadrat_worker_rss_bytes", function=NAME, worker="0") >= 0
    assert value("quadrat_worker_rss_bytes", function=NAME) > 10**6
    assert value("quadrat_queue_wait_seconds_count", function=NAME) == 3
    assert value("quadrat_queue_depth", function=NAME) == value("quadrat_in_flight", function=NAME) == 0
    assert value("quadrat_build_info") == 1
    assert value("quadrat_uptime_seconds") > 0


def test_the_dashboard_names_only_metrics_that_there_are(samples):
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    named = set(re.findall(r"\b(?:quadrat|process)_\w+", " ".join(expressions)))
    there = {sample.name for sample in samples}
    assert len(named) > 15
    assert named <= there
    labels = {label for sample in samples for label in sample.labels}
    assert set(re.findall(r"(\w+)=~?\"", " ".join(expressions))) <= labels
    assert set(re.findall(r"{{(\w+)}}", json.dumps(dashboard))) <= labels


@pytest.mark.parametrize("dashboard", sorted(DASHBOARD.parents[2].glob("*/dashboard/grafana.json")), ids=str)
def test_panels_lie_side_by_side(dashboard):
    panels = json.loads(dashboard.read_text())["panels"]
    cells = [
        (p["gridPos"]["x"] + dx, p["gridPos"]["y"] + dy)
        for p in panels
        for dx in range(p["gridPos"]["w"])
        for dy in range(p["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_metric_of_ours_is_in_the_docs(samples):
    ours = {re.sub("_(bucket|sum|count|created)$", "", s.name) for s in samples if s.name.startswith("quadrat_")}
    documented = set(re.findall(r"`(quadrat_\w+)`", DOCS.read_text()))
    assert ours | {"quadrat_verdicts_total", "quadrat_painted_fraction"} == documented  # these judge and paint nothing


def test_what_a_function_writes_into_its_headers_does_no_harm():
    metrics = HostMetrics()
    metrics.told(NAME, {"X-Quadrat-Shapes": "many", "X-Quadrat-Decode-Seconds": "soon", "X-Quadrat-Seconds": "1"})
    assert 'quadrat_shapes_total{function="fake-red"} 0.0' in metrics.text().decode()
