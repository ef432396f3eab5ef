"""The bridge's log: one id from the delivery to the function, and no secret."""

import json
import logging
from pathlib import Path

import pytest

from data_engineering import function_url
from deploy.bridge import log
from deploy.host import Host
from deploy.log import HIDDEN, LOG_FILE

from ..conftest import request

FUNCTIONS = Path(__file__).parents[1] / "functions"
ID = "0f3a" * 8


@pytest.fixture
def lines(tmp_path, monkeypatch):
    path = tmp_path / "bridge.log"
    monkeypatch.setenv(LOG_FILE, str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


def test_one_id_leads_from_the_delivery_to_the_function(lines):
    log.make_logger(part="worker").info_with("step begins", request_id=ID, step="corners", task=7)
    with Host([FUNCTIONS], port=0) as host:
        reply = function_url.post(host.urls["fake-red"], request(), request_id=ID)
    assert reply.headers["X-Quadrat-Request"] == ID
    mine = [line for line in lines() if ID in line["with"].values()]
    assert [line["message"] for line in mine][0] == "step begins"
    assert {line["message"] for line in mine} >= {"step begins", "answered", "request"}
    assert mine[0]["with"] == {"part": "worker", "request_id": ID, "step": "corners", "task": 7}


def test_no_secret_is_in_a_line(lines, monkeypatch):
    secrets = {
        "BRIDGE_SECRET": 'first-long-"secret" second-long-secret',
        "BRIDGE_TOKEN": "the-token-of-the-page",
        "BRIDGE_REDIS_URL": "redis://:redis-password@queue:6379/0",
        "CVAT_TOKEN": "token-of-cvat",
        "CVAT_PASSWORD": "pass",  # too short to be hidden without taking words out of every line
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    logger = log.make_logger(part="web")
    logger.warn_with("said by token-of-cvat", nested={"deep": ['a first-long-"secret" here']}, key="redis-password")
    log.take_over_library_logs(logger, "somelibrary")
    logging.getLogger("somelibrary").error("bad header second-long-secret; the-token-of-the-page")
    text = json.dumps(lines())
    for secret in ("first-long", "second-long", "the-token", "redis-password", "token-of-cvat"):
        assert secret not in text
    assert text.count(HIDDEN) == 5
    assert lines()[1]["with"] == {"logger": "somelibrary", "part": "web"}


def test_without_secrets_lines_are_as_they_are(lines, monkeypatch):
    for name in ("BRIDGE_SECRET", "BRIDGE_TOKEN", "BRIDGE_REDIS_URL", "CVAT_TOKEN", "CVAT_PASSWORD", "QUADRAT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    log.make_logger(part="web").error_with("delivery refused", code="bad_signature")
    (line,) = lines()
    assert (line["level"], line["message"]) == ("error", "delivery refused")
    assert line["with"] == {"code": "bad_signature", "part": "web"}
    assert line["datetime"]
