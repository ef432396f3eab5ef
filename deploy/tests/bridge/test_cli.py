"""The bridge's command line: what each command does, and what is loaded for it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("cvat_sdk")

from deploy.bridge import cli, doctor, init, plan, settings, status
from deploy.bridge.ledger import FILE, HEARTBEAT, Ledger
from deploy.bridge.status import StatusError
from deploy.bridge.work_queue import WorkQueue
from deploy.tests.bridge.neighbours import SECRET

ROOT = Path(__file__).parents[3]
HEAVY = {"fastapi", "uvicorn", "huey", "cvat_sdk", "cv2", "numpy", "torch", "openvino"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, and an environment that is enough."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_SECRET", SECRET)
    for name in ("BRIDGE_DATA", "BRIDGE_PIPELINE", "BRIDGE_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def ledger(folder):
    """A ledger of guide B with a step of each kind."""
    (folder / "pipeline.yaml").write_text((ROOT / "deploy/bridge/guides/b.yaml").read_text())
    known = Ledger(folder / "bridge-data" / FILE)
    for number, end in enumerate(("done", "failed", "failed", "waiting")):
        row, _ = known.order("corners", number, "rectify", "r", job=None, task_name=f"S0{number}", request_id="x")
        if end != "waiting":
            known.start(row.id)
        if end == "done":
            known.finish(row.id, "3 photos")
        if end == "failed":
            known.fail(row.id, "no disk")
    known.take("digest", "update:job", 1, 2, 3, "", "x")
    known.set_photo(known.step(1), 0, "a.jpg", "ok")
    return known


def test_arguments_are_understood_before_anything_of_weight_is_loaded():
    code = f"import sys, deploy.bridge.cli as c; c._parser(); print(*sorted(set(sys.modules) & {HEAVY!r}))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert all(re.search(rf"^    {command}\s", said, re.MULTILINE) for command in cli.COMMANDS)


@pytest.mark.parametrize(
    ("given", "host", "port"),
    [
        ([], "127.0.0.1", 8090),
        (["--port", "8091"], "127.0.0.1", 8091),
        (["serve", "--host", "0.0.0.0"], "0.0.0.0", 8090),
        (["--env-file", "x.env", "--host", "::1"], "::1", 8090),
    ],
)
def test_without_a_command_it_serves(folder, monkeypatch, given, host, port):
    (folder / "x.env").write_text("")
    monkeypatch.setitem(cli.COMMANDS, "serve", (lambda asked: [asked.host, asked.port], "serves"))
    assert cli.main(given) == [host, port]


@pytest.mark.parametrize("order", [["--env-file", "x.env", "status"], ["status", "--env-file", "x.env"]])
def test_a_file_of_variables_may_stand_before_or_after_the_command(folder, ledger, monkeypatch, order):
    monkeypatch.delenv("BRIDGE_SECRET")
    (folder / "x.env").write_text(f"BRIDGE_SECRET={SECRET}\n")
    assert cli.main(order) == 0
    assert os.environ["BRIDGE_SECRET"] == SECRET


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--env-file", "none.env"], "none.env: there is no such file"),
        (["status"], "no bridge ran yet"),
        (["retry", "--failed"], "no bridge ran yet"),
        (["init", "--url", "http://10.0.0.1:1"], "--guide a, b or c"),
        (["init", "--url", "b:1"], "such as http://192.168.1.20:8090"),
        (["init", "--url", "http://10.0.0.1:1", "--guide", "a"], "CVAT_URL is not set"),
    ],
)
def test_what_cannot_be_begun_ends_with_2_and_the_reason(folder, monkeypatch, capsys, given, words):
    monkeypatch.delenv("CVAT_URL", raising=False)
    assert cli.main(given) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("deploy.bridge: ")
    assert words in told.err


@pytest.mark.parametrize("given", [["init"], ["retry"], ["retry", "1", "--failed"], ["retry", "x"], ["unknown"]])
def test_nonsense_is_refused_by_the_parser(capsys, given):
    with pytest.raises(SystemExit) as end:
        cli.main(given)
    assert end.value.code == 2


def test_no_secret_no_bridge(folder, monkeypatch, capsys):
    monkeypatch.delenv("BRIDGE_SECRET")
    assert cli.main(["status"]) == 2
    assert "--env-file" not in (said := capsys.readouterr().err)
    assert "BRIDGE_SECRET is not set" in said
    (folder / "bridge.env").write_text(f"BRIDGE_SECRET={SECRET}\n")
    assert cli.main(["status"]) == 2
    assert "There is a bridge.env here: --env-file bridge.env" in capsys.readouterr().err


def test_init_gets_what_was_said(folder, monkeypatch):
    got = {}
    monkeypatch.setattr(init, "main", lambda url, **more: got.update(more, url=url))
    monkeypatch.setenv("BRIDGE_PIPELINE", "mine.yaml")
    assert cli.main(["init", "--url", "http://10.0.0.1:1", "--guide", "c", "--rotate"]) == 0
    assert (got["url"], got["guide"], got["rotate"], got["dry_run"]) == ("http://10.0.0.1:1", "c", True, False)
    assert (got["pipeline"], got["secrets"]) == (Path("mine.yaml"), Path("bridge.env"))


def test_doctor_ends_with_1_where_something_is_broken(folder, monkeypatch, capsys):
    monkeypatch.delenv("CVAT_URL", raising=False)
    assert cli.main(["doctor"]) == 1
    assert re.search(r"^broken   CVAT +CVAT_URL is not set", capsys.readouterr().out, re.MULTILINE)
    assert cli.main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_status_tells_what_the_ledger_knows(folder, ledger, capsys):
    ledger.remember(HEARTBEAT, "1")
    assert cli.main(["status"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^corners/rectify +1 +\. +\. +1 +2$", said, re.MULTILINE)
    assert re.search(r"^corals/colonies +\. +\. +\. +\. +\.$", said, re.MULTILINE)
    assert "deliveries: 1, 1 open" in said
    assert "photos: 1 ok" in said
    assert "step 3 failed: rectify of task 2 (S02): no disk" in said
    assert cli.main(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps"]["corners/rectify"] == {"done": 1, "failed": 2, "waiting": 1}
    assert [row["id"] for row in told["failed"]] == [3, 2]
    assert told["heard_s"] > 0


def test_status_without_a_pipeline(folder, ledger):
    (folder / "pipeline.yaml").unlink()
    told = status.look(settings.from_environment())
    assert list(told.steps) == ["corners/rectify"]
    assert told.heard_s is None
    assert "never heard of" in status.describe(told)


def test_a_failed_step_is_let_go_again(folder, ledger, capsys):
    assert cli.main(["retry", "2"]) == 0
    assert capsys.readouterr().out == "to be done again: 1 step\n"
    assert ledger.step(2).state == "waiting"
    assert ledger.step(3).state == "failed"
    assert len(WorkQueue(folder / "bridge-data")) == 1
    assert cli.main(["retry", "--failed"]) == 0
    assert ledger.step(3).state == "waiting"
    assert len(WorkQueue(folder / "bridge-data")) == 2


@pytest.mark.parametrize(("number", "words"), [(1, "step 1 is done"), (4, "step 4 is waiting"), (99, "no step 99")])
def test_a_step_that_did_not_fail_is_left_alone(folder, ledger, number, words):
    with pytest.raises(StatusError, match=words):
        status.retry(settings.from_environment(), number)
    assert len(WorkQueue(folder / "bridge-data")) == 0


# ---------------------------------------------------------------------------------------------- the page

PAGE = (ROOT / "docs" / "webhooks.md").read_text("utf-8")


def test_the_pipeline_on_the_page_is_one(folder):
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (folder / "pipeline.yaml").write_text(example)
    made = plan.read(folder / "pipeline.yaml")
    assert [step.name for _, step in made.steps()] == ["corners", "rectify", "colonies"]


def test_the_page_has_every_field_of_a_pipeline():
    fields = {f"functions.{name}" for name in plan.Functions.model_fields} | set(plan.Stage.model_fields)
    fields |= set(plan.Step.model_fields) | set(plan.Plan.model_fields) - {"functions"}
    section = PAGE.split("## pipeline.yaml")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE)) == fields


def test_the_page_names_every_command_and_check():
    assert all(f"`{command}" in PAGE or f"deploy.bridge {command}" in PAGE for command in cli.COMMANDS)
    section = PAGE.split("## doctor")[1].split("\n## ")[0]
    named = {name.strip() for row in re.findall(r"^\| ([^|`]+) \|", section, re.MULTILINE) for name in row.split(",")}
    assert {check.name for check in doctor.CHECKS} <= named


@pytest.mark.parametrize("command", re.findall(r"python -m deploy\.bridge( init .*)", PAGE))
def test_the_commands_on_the_page_are_understood(command):
    asked = cli._parser().parse_args(command.split())
    assert init.target_of(asked.url) == "http://192.168.1.20:8090/webhooks/cvat"
